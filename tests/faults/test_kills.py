"""Killed before every single call that changes a file while files are written, merged and retired: the same rows, no orphans.

The kill is exact, by the number of the call, and needs nothing in the server: a list of fail points would hold only
the steps that somebody thought of.
"""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import stored
from conftest import number
from ledger import Ledger, Shortfall
from sandbox import Sandbox
from work import WORK, Entries, Work, crashed, until_done

AT_ONCE = number("FAULTS_CHECKERS", 2)
NEVER = 1 << 40


def interrupted(serve, data, work: Work, nth: int):
    """Lets a server do its work and kills it before its nth call. Returns that call, if it came to it, and their number."""
    sandbox = Sandbox()
    sandbox.arm(sandbox.watched, f"{data}/", "kill", nth)
    try:
        server = serve(data, work.config, prefix=sandbox.prefix, pass_fds=sandbox.pass_fds)
        if nth == NEVER:
            until_done(server, data, work)
        hit = sandbox.wait(5 if nth != NEVER else 0)
        server.kill()
    except AssertionError as ended:
        # Killed before it was ready.
        if "ended with code -9" not in str(ended):
            raise
        hit = sandbox.wait(1)
    finally:
        sandbox.entered()
    calls = sandbox.count()
    sandbox.close()
    return hit, calls


def check(data, ledger: Ledger, work: Work) -> set[str]:
    """Each row is there once and as it was sent; where rows may go, each at most once. Returns their ids."""
    rows = stored.rows(data)
    ids = {row[0] for row in rows}
    if work.removes:
        before = {f"{id:016x}" for request in ledger.acknowledged for id in ledger.sent[request].ids}
        assert len(ids) == len(rows), "doubled"
        assert ids <= before, "never stored before"
        assert all(tuple(said) == ledger.span(int(id, 16)) for id, *said in rows), "wrong"
    else:
        ledger.compare(rows)
    return ids


def kill_once(place, serve, data, ledger, work: Work, nth):
    copy = place / f"killed-{nth}"
    shutil.copytree(data, copy)
    hit, _ = interrupted(serve, copy, work, nth)
    try:
        before = check(copy, ledger, work)
        server = serve(copy, work.config)
        until_done(server, copy, work)
        server.stop()
        assert check(copy, ledger, work) <= before, "came back"
    except AssertionError as error:
        raise AssertionError(f"killed before {hit}: {error}") from error
    shutil.rmtree(copy)
    return hit


@pytest.mark.parametrize("name", WORK)
def test_the_same_rows_after_a_kill_at_any_step(place, serve, chance, seed, name):
    wanted, work, began = number("FAULTS_KILLS", 10), WORK[name], time.monotonic()
    kills, most, calls_seen = 0, 0, set()
    while kills < wanted:
        data, ledger = crashed(place / "crashed", serve, chance.getrandbits(32))
        whole = place / "whole"
        shutil.copytree(data, whole)
        _, calls = interrupted(serve, whole, work, NEVER)
        kept = len(check(whole, ledger, work))
        assert work.removes == (kept < sum(ledger.sent[request].count for request in ledger.acknowledged))
        most = max(most, calls)
        points = chance.sample(range(1, calls + 1), min(calls, wanted - kills))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            trials = [pool.submit(kill_once, place, serve, data, ledger, work, nth) for nth in points]
            for trial in trials:
                if hit := trial.result():
                    kills += 1
                    calls_seen.add(hit["call"])
        shutil.rmtree(whole)
    print(f"kills in {name}: {kills} of at most {most} steps ({', '.join(sorted(calls_seen))}), same rows, no orphans,"
          f" {time.monotonic() - began:.0f} s, seed {seed}")  # fmt: skip


def test_a_file_taken_away_is_missed_and_one_left_behind_is_seen(place, serve, seed):
    """The control: the comparison, or the binary, sees that one file of many is gone, and an orphan is told from a live file."""
    data, ledger = crashed(place / "crashed", serve, seed)
    stored.run("sql", "-c", "SELECT 1", "--data-dir", data)
    assert not Entries(data).superfluous()
    live = next(data.rglob("*.parquet"))
    orphan = shutil.copy(live, live.with_name("01M82KDHHBAHNWKJ056KZ1526M.parquet"))
    assert [path.rsplit("/", 1)[1] for path in Entries(data).superfluous()] == [orphan.name]
    live.unlink()
    with pytest.raises((Shortfall, stored.Failed)):
        ledger.compare(stored.rows(data))
