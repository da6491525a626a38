"""A fast load over OTLP/HTTP, by writers that behave as clients do: the same bytes again, or never."""

import http.client
import random
import threading
import time

from ledger import Ledger

RETRYABLE = (429, 503)


class Load:
    """Runs from construction to `stop`. `replies` counts codes; `wrong` holds what no client should ever be told."""

    def __init__(self, address: str, ledger: Ledger, seed: int, writers=4, spans_max=20, pause=0.004, pending=()):
        self.address, self.ledger, self.spans_max, self.pause = address, ledger, spans_max, pause
        self.replies: dict[int, int] = {}
        self.wrong: list[str] = []
        # Numbers of requests without an answer.
        self.unknown: list[int] = []
        self.slowest = 0.0
        self.refused_at: float | None = None
        # When the last request was sent that was acknowledged.
        self.accepted_at = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        pending = list(pending)
        self._threads = [
            threading.Thread(target=self._write, args=(random.Random(f"{seed}/{n}"), pending[n::writers]), daemon=True)
            for n in range(writers)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[int]:
        """Ends it; returns the requests whose fate is unknown."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a request hangs"
        assert not self.wrong, self.wrong
        return self.unknown

    def _write(self, chance: random.Random, pending: list[int]):
        connection = http.client.HTTPConnection(self.address, timeout=20)
        number = None
        try:
            for number in pending:
                # As clients do.
                if chance.random() < 0.7:
                    self._send(connection, number, self.ledger.send_again(number))
            while not self._stop.is_set():
                number, body = self.ledger.new_request(chance.randint(1, self.spans_max))
                self._send(connection, number, body)
                time.sleep(chance.random() * self.pause)
        except (OSError, http.client.HTTPException):
            with self._lock:
                self.unknown.append(number)
        finally:
            connection.close()

    def _send(self, connection, number, body):
        while True:
            began = time.monotonic()
            connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            response = connection.getresponse()
            reply = response.read()
            status = response.status
            with self._lock:
                self.slowest = max(self.slowest, time.monotonic() - began)
                self.replies[status] = self.replies.get(status, 0) + 1
            if status == 200:
                if reply:
                    self.wrong.append(f"a partial success: {reply!r}")
                self.ledger.acknowledge(number)
                self.accepted_at = max(self.accepted_at, began)
                return
            delay = response.headers.get("Retry-After", "")
            if status not in RETRYABLE or not delay.isdigit():
                self.wrong.append(f"{status} with Retry-After {delay!r}: {reply[:200]!r}")
                return
            if self.refused_at is None:
                self.refused_at = time.monotonic()
            if self._stop.wait(0.1):
                with self._lock:
                    self.unknown.append(number)
                return
