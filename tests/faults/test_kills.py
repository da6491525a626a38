"""Killed before every single call that changes a file, in every piece of work on files: the same rows, then and after it is done again.

The kill is exact, by the number of the call, and needs nothing in the server: a list of fail points would hold only
the steps that somebody thought of.
"""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import stored
from conftest import number
from ledger import Shortfall
from sandbox import Sandbox
from work import WORK, crashed

AT_ONCE = 2
NEVER = 1 << 40

def killed_at(data, work, nth):
    """Does the work, and kills it before its nth call. Returns that call, `None` if it came to its end."""
    sandbox = Sandbox()
    sandbox.arm(sandbox.watched, f"{data}/", "kill", nth)
    try:
        stored.run(*work, "--data-dir", data, prefix=sandbox.prefix, pass_fds=sandbox.pass_fds)
    except stored.Failed as failed:
        if failed.code != -9:
            raise
    finally:
        sandbox.entered()
    hit, calls = sandbox.wait(0.1), sandbox.count()
    sandbox.close()
    return hit, calls


def try_kill(place, data, ledger, work, nth):
    copy = place / f"killed-{nth}"
    shutil.copytree(data, copy)
    hit, _ = killed_at(copy, work, nth)
    try:
        ledger.compare(stored.rows(copy))
        stored.run(*work, "--data-dir", copy)
        ledger.compare(stored.rows(copy))
        leftovers = [path for path in copy.rglob("*") if path.suffix in (".tmp", ".corrupt")]
        assert not leftovers, leftovers
    except AssertionError as error:
        raise AssertionError(f"killed before {hit}: {error}") from error
    shutil.rmtree(copy)
    return hit


@pytest.mark.parametrize("name", WORK)
def test_the_same_rows_after_a_kill_at_any_step(place, serve, chance, seed, name):
    wanted, work, began = number("FAULTS_KILLS", 24), WORK[name], time.monotonic()
    kills, steps, described = 0, set(), 0
    while kills < wanted:
        data, ledger = crashed(place / "crashed", serve, chance.getrandbits(32))
        counted = place / "counted"
        shutil.copytree(data, counted)
        _, calls = killed_at(counted, work, NEVER)
        assert calls, "the work changes no file"
        described = max(described, calls)
        points = chance.sample(range(1, calls + 1), min(calls, wanted - kills))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for hit in pool.map(lambda nth: try_kill(place, data, ledger, work, nth), points):  # noqa: B023
                kills += hit is not None
                steps.add(hit and hit["call"])
        shutil.rmtree(counted)
    print(f"kills in {name}: {kills} of at most {described} steps ({', '.join(sorted(filter(None, steps)))}), same rows,"
          f" {time.monotonic() - began:.0f} s, seed {seed}")  # fmt: skip


def test_a_file_taken_away_is_missed(place, serve, seed):
    """The control: the comparison, or the binary, sees that one file of the many is gone."""
    data, ledger = crashed(place / "crashed", serve, seed)
    stored.run("sql", "-c", "SELECT 1", "--data-dir", data)
    next(data.rglob("*.parquet")).unlink()
    with pytest.raises((Shortfall, stored.Failed)):
        ledger.compare(stored.rows(data))
