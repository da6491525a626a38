"""The work on a data directory that is interrupted at every step."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import stored
from conftest import CONFIG
from ledger import Ledger
from load import Load
from tracehound_server import Server

# Merging and sweeping at once, for files that nobody reads.
EAGER = """
[limits]
query_timeout = "500ms"
[compaction]
interval = "200ms"
closed_after = "200ms"
busy_percent = 100
grace = "1s"
sweep_interval = "1s"
"""


@dataclass(frozen=True)
class Work:
    """What a server does by itself right after its start, under a configuration; `operation` names its entries."""

    operation: str
    config: str
    # Whether rows may go.
    removes: bool = False


WORK = {
    "flush": Work("flush", CONFIG),
    "retention": Work("retain", CONFIG + EAGER + '[retention.spans]\nsize = "128KiB"\n', removes=True),
}


def crashed(folder: Path, serve, seed: int, seconds=1.0) -> tuple[Path, Ledger]:
    """A data directory below a folder as a crash under load leaves it, and the ledger of what is in it for good."""
    shutil.rmtree(folder, ignore_errors=True)
    ledger, data = Ledger(seed), folder / "data"
    server = serve(data, CONFIG + "[compaction]\nbackground = false\n")
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


class Entries:
    """A tenant's log of entries, folded."""

    def __init__(self, data: Path, tenant="default"):
        self.folder = data / "store" / f"tenant={tenant}"
        self.operations, self.live = set(), set()
        for path in sorted((self.folder / "manifest").glob("*.json")):
            entry = json.loads(path.read_text())
            self.operations.add(entry["operation"])
            self.live -= {file["path"] for file in entry.get("remove", ())}
            self.live |= {file["path"] for file in entry.get("add", ())}

    def superfluous(self) -> list[str]:
        """Data files and sidecars on the disk that belong to no live file, and what was never finished."""
        known = self.live | {str(Path(path).with_suffix(".index")) for path in self.live}
        found = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        return sorted(path for path in found - known if path.endswith((".parquet", ".index", ".tmp")))


def until_done(server: Server, data: Path, work: Work, seconds=20.0):
    """Waits until the work's entries are there and nothing superfluous is, and nothing changes any more."""
    deadline, before = time.monotonic() + seconds, None
    while True:
        time.sleep(0.6)
        entries = Entries(data)
        leftovers = entries.superfluous() if work.operation != "flush" else []
        done = work.operation in entries.operations and not leftovers
        if done and entries.live == before:
            return
        before = entries.live
        assert time.monotonic() < deadline, f"{entries.operations}, superfluous: {leftovers[:5]}\n{server.log()}"
