"""Replies get lost and clients send again, while the server is stopped and killed: each request is stored once."""

import http.client
import time

import pytest
import stored
from conftest import CONFIG, number
from ledger import Ledger, Shortfall, varint
from lossy_proxy import LossyProxy

LOSSES = 3
REQUESTS_PER_ROUND = 25


def post(address, body) -> int | None:
    """The status of the reply, `None` where it was lost."""
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        response = connection.getresponse()
        response.read()
        return response.status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def disturb(server, chance):
    """What may happen between two attempts: a flush, a restart, a crash."""
    what = chance.choice(["nothing", "flush", "stop", "kill"])
    if what == "flush":
        time.sleep(0.3)
    elif what != "nothing":
        getattr(server, what)()
        server.start()
    return what in ("stop", "kill")


def round_of(server, ledger, chance, again):
    """Sends some requests whose replies are all lost, until the last attempt. Returns how many restarts there were."""
    requests = [ledger.new_request(chance.randint(1, 20)) for _ in range(REQUESTS_PER_ROUND)]
    restarts = 0
    for attempt in range(LOSSES):
        proxy = LossyProxy(server.addresses["otlp-http"], http2=False, lose=REQUESTS_PER_ROUND)
        for _, body in requests:
            assert post(proxy.address, again(body, attempt)) is None
        assert proxy.lost == REQUESTS_PER_ROUND
        proxy.close()
        restarts += disturb(server, chance)
    for number_, body in requests:
        assert post(server.addresses["otlp-http"], again(body, LOSSES)) == 200
        ledger.acknowledge(number_)
    return restarts


def test_lost_replies_double_nothing(place, serve, chance, seed):
    ledger, data, restarts, rounds = Ledger(seed), place / "data", 0, number("FAULTS_RETRY_ROUNDS", 4)
    server = serve(data, CONFIG)
    for _ in range(rounds):
        restarts += round_of(server, ledger, chance, lambda body, attempt: body)
    server.kill()
    print(f"retries: {rounds * REQUESTS_PER_ROUND} requests, each reply lost {LOSSES} times, {restarts} restarts:"
          f" {ledger.compare(stored.rows(data))}, seed {seed}")  # fmt: skip


def test_other_bytes_are_another_request(place, serve, chance, seed):
    """The control: an unknown field makes the retry another request, and the comparison sees the doubles."""
    ledger, data = Ledger(seed), place / "data"
    server = serve(data, CONFIG)
    round_of(server, ledger, chance, lambda body, attempt: body + varint(15 << 3) + varint(attempt))
    server.kill()
    with pytest.raises(Shortfall, match="doubled"):
        ledger.compare(stored.rows(data))
