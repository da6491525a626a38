"""What was sent, what of it was acknowledged, and what has to be stored therefore."""

import hashlib
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass

HOUR_NS = 3_600_000_000_000
COLUMNS = "span_id, name, user_id, attributes['http.route'] AS route"


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, value: bytes | str) -> bytes:
    """A length-delimited field of protobuf."""
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def fixed64(number: int, value: int) -> bytes:
    return varint(number << 3 | 1) + struct.pack("<Q", value)


def attribute(number: int, key: str, value: str) -> bytes:
    return field(number, field(1, key) + field(2, field(1, value)))


@dataclass(frozen=True)
class Request:
    """An export request of the spans `first` to `first + count`; its bytes say nothing else."""

    first: int
    count: int

    @property
    def ids(self) -> range:
        return range(self.first, self.first + self.count)


class Shortfall(AssertionError):
    """Something acknowledged is missing, or something is there that should not be."""


class Ledger:
    """Writers share it. Span ids are numbers that rise, and what a span says follows from its id and the seed."""

    def __init__(self, seed: int):
        self.seed = seed
        self.base_ns = time.time_ns() // HOUR_NS * HOUR_NS - 2 * HOUR_NS
        self._lock = threading.Lock()
        self._next = 1
        self.sent: list[Request] = []
        self.acknowledged: list[int] = []
        # Requests that were lost with a server, and must not come back.
        self.void: set[int] = set()

    def new_request(self, count: int) -> tuple[int, bytes]:
        with self._lock:
            request = Request(self._next, count)
            self._next += count
            self.sent.append(request)
            number = len(self.sent) - 1
        return number, self.message(request)

    def acknowledge(self, number: int):
        with self._lock:
            self.acknowledged.append(number)
            self.void.discard(number)

    def send_again(self, number: int) -> bytes:
        """The bytes of a request that got no answer; it may be stored from now on."""
        with self._lock:
            self.void.discard(number)
        return self.message(self.sent[number])

    def state(self) -> tuple[int, int]:
        """How many requests are sent and acknowledged. Acknowledged is read first where it must not be too much."""
        with self._lock:
            return len(self.acknowledged), len(self.sent)

    def span(self, id: int) -> tuple[str, str, str]:
        """The name, user and route that a span was sent with."""
        digest = hashlib.blake2b(struct.pack("<QQ", self.seed, id), digest_size=8).hexdigest()
        return digest, f"u{id % 97}", f"/r/{id % 7}"

    def message(self, request: Request) -> bytes:
        spans = []
        for id in request.ids:
            name, user, route = self.span(id)
            # Two hours, so that a flush writes more than one file.
            start = self.base_ns + (id * 7_919_000_003) % (2 * HOUR_NS)
            spans.append(field(2, b"".join([
                field(1, struct.pack(">QQ", self.seed & (1 << 63) - 1, id)), field(2, struct.pack(">Q", id)), field(5, name),
                fixed64(7, start), fixed64(8, start + 1000), attribute(9, "user.id", user), attribute(9, "http.route", route),
            ])))  # fmt: skip
        resource = field(1, attribute(1, "service.name", "faults"))
        return field(1, resource + field(2, b"".join(spans)))

    def compare(self, rows, at: tuple[int, int] | None = None) -> str:
        """Compares the stored rows (of `COLUMNS`) with what was sent, up to a `state`; fails with `Shortfall`."""
        found, wrong = Counter(), []
        for id, *said in rows:
            id = int(id, 16)
            found[id] += 1
            if tuple(said) != self.span(id):
                wrong.append((id, said))
        with self._lock:
            acknowledged, sent = at or (len(self.acknowledged), len(self.sent))
            durable, requests, void = set(self.acknowledged[:acknowledged]), self.sent[:sent], set(self.void)
        missing, torn, lucky, spans = [], [], 0, 0
        for number, request in enumerate(requests):
            there = sum(id in found for id in request.ids)
            if number in durable:
                spans += request.count
                missing += [id for id in request.ids if id not in found]
            elif there not in (0, request.count):
                torn.append(number)
            elif there and number in void:
                wrong.append((request.first, "came back after it was lost"))
            else:
                lucky += there > 0
        end = requests[-1].ids.stop if requests else 1
        strange = [id for id in found if not 1 <= id < end]
        doubled = [id for id, count in found.items() if count > 1]
        for name, some in (
            ("missing", missing), ("doubled", doubled), ("requests in part", torn), ("never sent", strange), ("wrong", wrong)
        ):  # fmt: skip
            if some:
                raise Shortfall(f"{name}: {len(some)} {some[:10]} of {spans} acknowledged spans (seed {self.seed})")
        return f"{spans} acknowledged spans in {len(durable)} requests, each once; {lucky} others are there"

    def resume(self, rows, at: tuple[int, int] | None = None):
        """After a crash at a `state`: what is stored stays, the rest is lost unless it is sent again."""
        found = {int(row[0], 16) for row in rows}
        with self._lock:
            acknowledged, sent = at or (len(self.acknowledged), len(self.sent))
            self.sent = self.sent[:sent]
            self._next = self.sent[-1].ids.stop if self.sent else 1
            durable = set(self.acknowledged[:acknowledged])
            stored = {number for number, request in enumerate(self.sent) if request.first in found}
            self.acknowledged = sorted(durable | stored)
            self.void = set(range(sent)) - durable - stored
