"""The power goes at any instant, and again while the server recovers: nothing acknowledged is missing, nothing doubled."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import stored
from conftest import CONFIG, number
from disks import Ext4, PowerRig
from ledger import Ledger, Shortfall
from load import Load
from sandbox import pretending

# A history is one server's life under load; cuts are copies taken while it lasts.
CUTS_PER_HISTORY = 60
HISTORIES_PER_DISK = 3
CHECKERS = 2


def history(rig, serve, ledger, image, disk, chance, prefix=(), pending=()):
    """A server's life on a disk: the cuts, each with what had been acknowledged before it and sent after it."""
    cuts = []

    def cut():
        copy = rig.folder / f"cut-{chance.getrandbits(64):016x}.img"
        before = ledger.state()[0]
        rig.cut(image, copy)
        cuts.append((copy, (before, ledger.state()[1])))

    # The first while it starts, perhaps replays.
    with ThreadPoolExecutor(1) as starting:
        server = starting.submit(serve, disk.folder / "data", CONFIG, prefix=prefix)
        while not server.done():
            cut()
            time.sleep(chance.random() * 0.1)
        server = server.result()
    load = Load(server.addresses["otlp-http"], ledger, chance.getrandbits(32), pending=pending)
    while len(cuts) < CUTS_PER_HISTORY:
        time.sleep(chance.random() * 0.04)
        cut()
    server.kill()
    return cuts, load.stop()


def check(rig, ledger, copy, at):
    """Starts on what a cut left, and compares. Returns the rows."""
    disk = Ext4(copy, copy.with_suffix(".mount"))
    try:
        data = disk.folder / "data"
        rows = stored.rows(data) if data.exists() else []
        ledger.compare(rows, at)
        return rows
    finally:
        disk.unmount()


def cut_power(place, serve, chance, seed, cuts_wanted, prefix=()):
    """Yields each cut's number and what was wrong with it, if anything was."""
    rig = PowerRig(place / "rig")
    done = 0
    with ThreadPoolExecutor(CHECKERS) as checkers:
        while done < cuts_wanted:
            ledger, pending = Ledger(chance.getrandbits(62)), []
            image = rig.folder / f"disk-{done}.img"
            disk = Ext4(image, rig.folder / f"disk-{done}", make="192M")
            for _ in range(HISTORIES_PER_DISK):
                cuts, pending = history(rig, serve, ledger, image, disk, chance, prefix, pending)
                disk.unmount()
                last, at = cuts[-1]
                outcomes = [checkers.submit(check, rig, ledger, copy, at) for copy, at in cuts]
                for (copy, _), outcome in zip(cuts, outcomes, strict=True):
                    done += 1
                    error = outcome.exception()
                    yield done, error
                    if copy != last:
                        copy.unlink()
                if done >= cuts_wanted or error:
                    break
                # The next life begins where the power went last, as machines do.
                image.unlink()
                image = last
                disk = Ext4(image, disk.folder)
                survivors = outcomes[-1].result()
                ledger.resume(survivors, at)
            for left in rig.folder.glob("*.img"):
                left.unlink()
    rig.close()


def test_acknowledged_spans_survive_power_cuts(place, serve, chance, seed):
    wanted = number("FAULTS_CUTS", 90)
    began = time.monotonic()
    for done, error in cut_power(place, serve, chance, seed, wanted):
        if error:
            raise AssertionError(f"cut {done} of FAULTS_SEED={seed}: {error}") from error
    print(f"power cuts: {done} cuts, nothing missing or doubled, {time.monotonic() - began:.0f} s, seed {seed}")


def test_without_fdatasync_they_do_not(place, serve, chance, seed):
    """The control: the same rig sees the losses of a server whose fdatasync does nothing."""
    lost = 0
    for done, error in cut_power(place, serve, chance, seed, CUTS_PER_HISTORY, pretending("fdatasync")):
        if error:
            assert isinstance(error, Shortfall | stored.Failed), error
            lost += 1
    print(f"power cuts, control without fdatasync: {lost} of {done} cuts lost something, seed {seed}")
    assert lost, "the rig does not lose what is not synced, so it shows nothing"
