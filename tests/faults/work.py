"""The work on a data directory that is interrupted at every step."""

import shutil
import time
from pathlib import Path

import stored
from conftest import CONFIG
from ledger import Ledger
from load import Load

# The command, to which `--data-dir` is added.
WORK = {
    # Replays the log, writes files, commits them, and closes.
    "recovery": ("sql", "-c", "SELECT 1"),
}


def crashed(folder: Path, serve, seed: int, seconds=1.0) -> tuple[Path, Ledger]:
    """A data directory below a folder as a crash under load leaves it, and the ledger of what is in it for good."""
    shutil.rmtree(folder, ignore_errors=True)
    ledger, data = Ledger(seed), folder / "data"
    server = serve(data, CONFIG)
    load = Load(server.addresses["otlp-http"], ledger, seed)
    time.sleep(seconds)
    server.kill()
    load.stop()
    # What became of the last requests is settled once, on a copy.
    settled = folder / "settled"
    shutil.copytree(data, settled)
    rows = stored.rows(settled)
    ledger.compare(rows)
    ledger.resume(rows)
    shutil.rmtree(settled)
    return data, ledger
