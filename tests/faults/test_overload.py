"""More than the server can take, in a bounded memory: it refuses with a delay, lives, and is its old self right after."""

import gzip
import http.client
import threading
import time

import pytest
import stored
from cgroup import MemoryGroup, peak_bytes
from conftest import number
from ledger import attribute, field, fixed64

# Bounds as an operator would set them for a small container.
BOUNDED = """
[limits]
body_bytes = "4MiB"
in_flight_bytes = "8MiB"
decoded_bytes = "64MiB"
[storage]
memtable_bytes = "64MiB"
flush_bytes = "16MiB"
wal_bytes = "128MiB"
wal_segment_bytes = "16MiB"
"""
UNBOUNDED = """
[limits]
in_flight_bytes = "64GiB"
decoded_bytes = "64GiB"
[storage]
memtable_bytes = "64GiB"
flush_bytes = "32GiB"
flush_age_busy = "1h"
flush_age_quiet = "1h"
wal_bytes = "64GiB"
"""
SPANS = 2000
WRITERS_FEW, WRITERS_MANY = 2, 32
NORMAL_SECONDS = 30
RETRYABLE = (429, 503)


def template() -> tuple[bytes, bytes]:
    """A request of many spans, as gzip: what comes before the eight digits that tell it from others, and what after.

    A body is three members, so that a small machine can send more than it can take.
    """
    spans = b"".join(
        field(2, b"".join([
            field(1, bytes(8) + (n + 1).to_bytes(8)), field(2, (n + 1).to_bytes(8)), field(5, f"operation {n % 50}"),
            fixed64(7, time.time_ns() - n * 1000), fixed64(8, time.time_ns()), attribute(9, "user.id", f"u{n}"),
            attribute(9, "url.full", f"https://example.org/{n}/" + "x" * 200),
        ]))
        for n in range(SPANS)
    )  # fmt: skip
    resource = field(1, attribute(1, "service.name", "overload") + attribute(1, "request", "########"))
    body = field(1, resource + field(2, spans))
    return tuple(gzip.compress(part, 6) for part in body.split(b"########"))


class Flood:
    """Writers that send the next request whatever became of the last one."""

    def __init__(self, address: str, writers: int, first: int, body: tuple[bytes, bytes], pause=0.0):
        self.address, self.body, self.pause = address, body, pause
        self.next, self.acknowledged, self.replies, self.wrong = first, set(), {}, []
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._write, daemon=True) for _ in range(writers)]
        self.began = time.monotonic()
        for thread in self._threads:
            thread.start()

    def stop(self) -> float:
        """Ends it; returns the requests that it sent each second."""
        self._stop.set()
        seconds = time.monotonic() - self.began
        for thread in self._threads:
            thread.join(60)
        return sum(self.replies.values()) / seconds

    def _write(self):
        connection = http.client.HTTPConnection(self.address, timeout=60)
        headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "gzip"}
        while not self._stop.wait(self.pause):
            with self._lock:
                self.next += 1
                request = self.next
            body = gzip.compress(b"%08d" % request, 0).join(self.body)
            try:
                connection.request("POST", "/v1/traces", body, headers)
                response = connection.getresponse()
                reply = response.read()
            except (OSError, http.client.HTTPException) as error:
                # Refused before the body was read, perhaps.
                connection.close()
                with self._lock:
                    self.replies[type(error).__name__] = self.replies.get(type(error).__name__, 0) + 1
                continue
            with self._lock:
                self.replies[response.status] = self.replies.get(response.status, 0) + 1
                if response.status == 200:
                    self.acknowledged.add(request)
                elif response.status not in RETRYABLE or not response.headers.get("Retry-After", "").isdigit():
                    self.wrong.append((response.status, dict(response.headers), reply[:200]))


def test_overload_is_refused_and_forgotten(place, serve, seed):
    seconds, megabytes = number("FAULTS_OVERLOAD_SECONDS", 15), number("FAULTS_OVERLOAD_MIB", 768)
    group, data, body = MemoryGroup(megabytes << 20), place / "data", template()
    server = serve(data, BOUNDED)
    try:
        group.add(server.process.pid)
        address = server.addresses["otlp-http"]
        calm = Flood(address, WRITERS_FEW, 0, body)
        time.sleep(max(3, seconds / 10))
        calm.stop()
        taken = len(calm.acknowledged) / (time.monotonic() - calm.began)
        flood = Flood(address, WRITERS_MANY, calm.next, body)
        time.sleep(seconds)
        offered = flood.stop()
        accepted = len(flood.acknowledged) / (time.monotonic() - flood.began)
        over_at = time.monotonic()
        first, later = flood.next, set()
        while True:
            # A load that it takes easily.
            after = Flood(address, 1, first, body, pause=0.1)
            time.sleep(1)
            after.stop()
            first, later = after.next, later | after.acknowledged
            if after.replies.keys() == {200}:
                break
            assert time.monotonic() < over_at + NORMAL_SECONDS, f"not its old self: {after.replies}\n{server.log()}"
        normal = time.monotonic() - over_at
        assert server.process.poll() is None and group.killed() == 0, server.log()
        peak = peak_bytes(server.process.pid)
        assert not flood.wrong, flood.wrong[:3]
        sql = "SELECT resource['request'] AS request, count(*) AS spans FROM spans GROUP BY 1"
        server.stop()
        found = {int(request): int(spans) for request, spans in stored.rows(data, sql)}
        acknowledged = calm.acknowledged | flood.acknowledged | later
        missing = [request for request in acknowledged if found.get(request) != SPANS]
        in_part = [request for request, spans in found.items() if spans != SPANS]
        assert not missing and not in_part, (missing[:10], in_part[:10])
        print(f"overload: {seconds} s of {offered:.0f} requests/s where {taken:.0f} are taken ({offered / taken:.1f}x),"
              f" {accepted:.0f}/s accepted meanwhile, replies {flood.replies}, peak {peak >> 20} MiB of {megabytes} MiB,"
              f" normal after {normal:.1f} s, {len(acknowledged)} acknowledged requests all there")  # fmt: skip
        assert offered >= 3 * taken, "too little was sent to be an overload"
    finally:
        server.close()
        group.close()


def test_without_bounds_it_dies(place, serve, seed):
    """The control: the same load in the same memory kills a server that is allowed everything."""
    group = MemoryGroup(number("FAULTS_OVERLOAD_MIB", 768) << 20)
    body = template()
    server = serve(place / "data", UNBOUNDED)
    try:
        group.add(server.process.pid)
        flood = Flood(server.addresses["otlp-http"], WRITERS_MANY, 0, body)
        server.process.wait(timeout=120)
        flood.stop()
        assert group.killed() > 0
    finally:
        server.close()
        group.close()
