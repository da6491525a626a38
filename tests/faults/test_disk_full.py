"""The disk fills up: writers are told to come back, readers notice nothing, and all goes on once there is space."""

import time

import pytest
import stored
from conftest import CONFIG
from disks import Ext4, Tmpfs
from ledger import Ledger
from load import Load
from test_io_errors import REFUSED

REFUSED_SECONDS = 1
BACK_SECONDS = 10
FULL_SECONDS = 3

DISKS = {
    "tmpfs": lambda place: Tmpfs(place / "disk", "48M"),
    "ext4": lambda place: Ext4(place / "disk.img", place / "disk", make="64M"),
}


@pytest.mark.parametrize("kind", DISKS)
def test_a_full_disk_loses_nothing(place, serve, seed, kind):
    disk, ledger = DISKS[kind](place), Ledger(seed)
    data = disk.folder / "data"
    server = serve(data, CONFIG)
    load = Load(server.addresses["otlp-http"], ledger, seed)
    time.sleep(1)
    assert load.replies == {200: len(ledger.acknowledged)}
    for _ in range(2):
        ballast = disk.fill()
        full_at, load.slowest, load.refused_at = time.monotonic(), 0.0, None
        queries = 0
        while time.monotonic() < full_at + FULL_SECONDS:
            acknowledged = len(ledger.acknowledged)
            [row] = server.query("SELECT count(*) AS spans, count(DISTINCT span_id) AS ids FROM spans")
            assert row["spans"] == row["ids"] and int(row["spans"]) >= acknowledged, row
            queries += 1
            time.sleep(0.2)
        assert load.refused_at is not None, f"nothing was refused: {load.replies}"
        refused_after, slowest = load.refused_at - full_at, load.slowest
        assert slowest < REFUSED_SECONDS, f"a reply took {slowest:.1f} s"
        ballast.unlink()
        space_at = time.monotonic()
        while load.accepted_at < space_at:
            assert time.monotonic() < space_at + BACK_SECONDS, f"not back after {BACK_SECONDS} s: {server.log()}"
            time.sleep(0.02)
        back = time.monotonic() - space_at
        time.sleep(0.5)
        print(f"disk full on {kind}: first 503 {refused_after:.2f} s after the last free byte, slowest reply {slowest:.2f} s,"
              f" {queries} queries meanwhile, back {back:.2f} s after space")  # fmt: skip

    # It goes down while the disk is full, and comes up once there is space.
    ballast = disk.fill()
    time.sleep(0.5)
    server.kill()
    pending = load.stop()
    try:
        server.start()
    except AssertionError as refused:
        assert REFUSED.search(str(refused)), refused
    else:
        server.kill()
    ballast.unlink()
    server.start()
    load = Load(server.addresses["otlp-http"], ledger, seed + 1, pending=pending)
    time.sleep(0.5)
    server.kill()
    load.stop()
    print(f"disk full on {kind}: {ledger.compare(stored.rows(data))}, seed {seed}")
