"""The disk fails: every call that changes files, each on its kth time, in every area of the data directory."""

import itertools
import re
import time

import pytest
import stored
from conftest import CONFIG, number
from ledger import Ledger, Shortfall
from load import Load
from sandbox import Sandbox

SYNCS = ("fsync", "fdatasync")
CALLS = {
    "write": ("write", "pwrite64", "writev", "pwritev", "pwritev2"),
    "create": ("openat",),
    "sync": SYNCS,
    "rename": ("rename", "renameat", "renameat2"),
    "link": ("link", "linkat"),
    "unlink": ("unlink", "unlinkat"),
    "mkdir": ("mkdir", "mkdirat"),
}
AREAS = {"wal": "/data/wal", "files": "/(hour=|day=|late)", "manifest": "/manifest", "checkpoint": "/checkpoint"}
ERRORS = ("EIO", "ENOSPC")
RECOVERY_SECONDS = 10
REFUSED = re.compile(r"^the server ended with code [13]:.*error\[(io|disk-full|storage-[a-z]+)\]", re.DOTALL)


def trial(data, serve, ledger, chance, case, pending):
    """One failure under load, then a crash. Returns what happened, and the requests without an answer."""
    call, area, error, nth, at_start = case
    sandbox = Sandbox()
    options = {"prefix": sandbox.prefix, "pass_fds": sandbox.pass_fds}
    arm = lambda: sandbox.arm(CALLS[call], AREAS[area], error, nth)  # noqa: E731
    try:
        if at_start:
            arm()
        try:
            server = serve(data, CONFIG, **options)
        except AssertionError as refused:
            # A start may fail, with words.
            assert at_start and REFUSED.search(str(refused)), refused
            return "start refused", pending
        load = Load(server.addresses["otlp-http"], ledger, chance.getrandbits(32), pending=pending)
        time.sleep(chance.random() * 0.1)
        if not at_start:
            arm()
        hit = sandbox.wait(0 if at_start else 0.8)
        if hit:
            hit_at = time.monotonic()
            time.sleep(0.2)
            deadline = hit_at + RECOVERY_SECONDS
            while call != "sync" and load.accepted_at < hit_at and time.monotonic() < deadline:
                time.sleep(0.05)
            if call != "sync":
                assert load.accepted_at > hit_at, f"{hit}: nothing is accepted {RECOVERY_SECONDS} s later\n{server.log()}"
            elif not at_start:
                # A flush takes a moment to tell the log; the log itself has a test of its own.
                assert load.accepted_at < hit_at + 0.1, f"{hit}: acknowledged after a sync that failed"
        server.kill()
        pending = load.stop()
        assert "panicked" not in server.log(), server.log()
        return hit and "hit", pending
    finally:
        sandbox.close()


def settle(data, ledger):
    rows = stored.rows(data)
    ledger.compare(rows)
    ledger.resume(rows)


def test_every_failing_call_is_survived(place, serve, chance, seed):
    every = list(itertools.product(CALLS, AREAS, ERRORS, range(1, 9), (False, True)))
    chance.shuffle(every)
    wanted, hits, refused, began = number("FAULTS_IO_ERRORS", 16), 0, 0, time.monotonic()
    ledger, pending, data = Ledger(seed), [], place / "data"
    # What does not happen n times does not happen n + 1 times.
    never = {}
    for case in itertools.cycle(every):
        call, area, _, nth, at_start = case
        if hits + refused >= wanted:
            break
        if nth >= never.get((call, area, at_start), nth + 1):
            continue
        try:
            happened, pending = trial(data, serve, ledger, chance, case, pending)
            if data.exists():
                settle(data, ledger)
        except AssertionError as error:
            raise AssertionError(f"{case} of FAULTS_SEED={seed}: {error}") from error
        if not happened:
            never[call, area, at_start] = nth
        hits += happened == "hit"
        refused += happened == "start refused"
        if len(ledger.sent) > 4000:
            ledger, pending, data = Ledger(seed + hits), [], place / f"{hits}" / "data"
    print(f"i/o errors: {hits} under load, {refused} starts refused, nothing missing or doubled,"
          f" {time.monotonic() - began:.0f} s, seed {seed}")  # fmt: skip


@pytest.mark.parametrize("error", ERRORS)
def test_nothing_is_acknowledged_while_or_after_a_sync_fails(place, serve, chance, seed, error):
    sandbox, ledger, data = Sandbox(), Ledger(seed), place / "data"
    server = serve(data, CONFIG, prefix=sandbox.prefix, pass_fds=sandbox.pass_fds)
    load = Load(server.addresses["otlp-http"], ledger, seed)
    time.sleep(0.2)
    sandbox.arm(SYNCS, r"/wal/\d+", "hold", nth=chance.randint(1, 50))
    assert sandbox.wait(10)
    # Replies of the group before are on their way.
    time.sleep(0.1)
    before = len(ledger.acknowledged)
    assert before > 0
    time.sleep(0.3)
    assert len(ledger.acknowledged) == before, "acknowledged before its sync was done"
    sandbox.go(error)
    time.sleep(0.5)
    assert len(ledger.acknowledged) == before, "acknowledged after its sync failed"
    assert load.refused_at is not None and load.replies.get(503)
    # Another sync would say that all is well.
    sandbox.disarm()
    server.kill()
    load.stop()
    sandbox.close()
    settle(data, ledger)


def test_a_disk_that_lies_is_seen(place, serve, chance, seed):
    """The control: where failures of writes to the log are told as successes, the comparison finds the loss."""
    sandbox, ledger, data = Sandbox(), Ledger(seed), place / "data"
    server = serve(data, CONFIG, prefix=sandbox.prefix, pass_fds=sandbox.pass_fds)
    load = Load(server.addresses["otlp-http"], ledger, seed)
    time.sleep(0.2)
    sandbox.arm(CALLS["write"], r"/wal/\d+", "pretend", nth=20)
    assert sandbox.wait(10)
    time.sleep(0.05)
    server.kill()
    load.stop()
    sandbox.close()
    with pytest.raises(Shortfall, match="missing"):
        settle(data, ledger)
