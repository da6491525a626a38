"""The power goes at any instant, and again while the server recovers: nothing acknowledged is missing, nothing doubled."""

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import stored
from conftest import number
from disks import Ext4, PowerRig
from ledger import Ledger, Shortfall
from load import Load
from sandbox import Sandbox, pretending
from work import WORK, crashed, until_done

# A history is one server's life under load; cuts are copies taken while it lasts.
CUTS_PER_HISTORY = 60
HISTORIES_PER_DISK = 3
CHECKERS = number("FAULTS_CHECKERS", 2)
# Fewer files than elsewhere, so that a cut is checked sooner.
CONFIG = """
[storage]
flush_bytes = "128KiB"
flush_age_busy = "200ms"
flush_age_quiet = "400ms"
wal_segment_bytes = "128KiB"
"""


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
    load = Load(server.addresses["otlp-http"], ledger, chance.getrandbits(32), pause=0.02, pending=pending)
    while len(cuts) < CUTS_PER_HISTORY:
        time.sleep(chance.random() * 0.04)
        cut()
    server.kill()
    return cuts, load.stop()


def check(rig, ledger, copy, at):
    """Starts on what a cut left, and compares. Returns the rows."""
    disk = Ext4(copy, copy.with_suffix(".mount"))
    try:
        try:
            rows = stored.rows(disk.folder / "data")
        except stored.Failed as failed:
            # It was cut before there was a data directory.
            if "error[no-data]" not in str(failed):
                raise
            rows = []
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
            image, make = rig.folder / f"disk-{done}.img", "192M"
            for _ in range(HISTORIES_PER_DISK):
                disk = Ext4(image, rig.folder / "disk", make)
                cuts, pending = history(rig, serve, ledger, image, disk, chance, prefix, pending)
                disk.unmount()
                last, at = cuts[-1]
                outcomes = [checkers.submit(check, rig, ledger, *cut) for cut in cuts]
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
                image, make = last, None
                ledger.resume(outcomes[-1].result(), at)
                pending = [request for request in pending if request < at[1]]
            for left in rig.folder.glob("*.img"):
                left.unlink()
    rig.close()


def test_acknowledged_spans_survive_power_cuts(place, serve, chance, seed):
    wanted = number("FAULTS_CUTS", 90)
    began = time.monotonic()
    for done, error in cut_power(place, serve, chance, seed, wanted):
        if error:
            raise AssertionError(f"cut {done} of FAULTS_SEED={seed}: {error}") from error
        if done % 1000 == 0:
            print(f"power cuts: {done} done, {time.monotonic() - began:.0f} s")
    print(f"power cuts: {done} cuts, nothing missing or doubled, {time.monotonic() - began:.0f} s, seed {seed}")


@pytest.mark.parametrize("name", [name for name in WORK if not WORK[name].removes])
def test_cuts_at_the_steps_of(place, serve, chance, seed, name):
    """A server does its work, held before its calls; the power goes at each of them, or at so many."""
    wanted, work, began = number("FAULTS_STEPS", 30), WORK[name], time.monotonic()
    prepared, ledger = crashed(place / "crashed", serve, seed)
    rig = PowerRig(place / "rig")
    image = rig.folder / "disk.img"
    disk = Ext4(image, rig.folder / "disk", make="192M")
    data = shutil.copytree(prepared, disk.folder / "data")
    subprocess.run(["sync", "-f", data], check=True)
    sandbox, cuts, steps = Sandbox(), [], 0
    sandbox.arm(sandbox.watched, f"{data}/", "hold", times=1 << 40)
    with ThreadPoolExecutor(CHECKERS + 1) as pool:

        def do():
            server = serve(data, work.config, prefix=sandbox.prefix, pass_fds=sandbox.pass_fds)
            until_done(server, data, work, seconds=60)
            server.kill()

        worker = pool.submit(do)
        while not worker.done():
            if hit := sandbox.wait(0.05):
                steps += 1
                # The further, the rarer, so that any number of steps gives about as many cuts.
                if chance.random() < wanted / (wanted + len(cuts) * 4):
                    copy = rig.folder / f"step-{steps}.img"
                    rig.cut(image, copy)
                    cuts.append((hit, copy))
                sandbox.go()
        worker.result()
        sandbox.close()
        checks = [(hit, pool.submit(check, rig, ledger, copy, None)) for hit, copy in cuts]
        for hit, checked in checks:
            if error := checked.exception():
                raise AssertionError(f"power cut before {hit}, FAULTS_SEED={seed}: {error}") from error
    disk.unmount()
    rig.close()
    print(f"power cuts in {name}: {len(cuts)} of {steps} steps, same rows, {time.monotonic() - began:.0f} s, seed {seed}")


def test_without_fdatasync_they_do_not(place, serve, chance, seed):
    """The control: the same rig sees the losses of a server whose fdatasync does nothing."""
    lost = 0
    for done, error in cut_power(place, serve, chance, seed, CUTS_PER_HISTORY, pretending("fdatasync")):
        if error:
            assert isinstance(error, Shortfall | stored.Failed), error
            lost += 1
    print(f"power cuts, control without fdatasync: {lost} of {done} cuts lost something, seed {seed}")
    assert lost, "the rig does not lose what is not synced, so it shows nothing"
