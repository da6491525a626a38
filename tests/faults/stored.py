"""What a data directory holds, asked through the binary."""

import csv
import io
import os
import subprocess
from pathlib import Path

from ledger import COLUMNS
from tracehound_server import binary

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("TRACEHOUND_")}


class Failed(AssertionError):
    """The binary did not do what it was asked."""

    def __init__(self, command, ended):
        self.code = ended.returncode
        super().__init__(f"{' '.join(command[1:])} ended with {ended.returncode}: {ended.stderr[-2000:]}")


def run(*arguments: str, prefix=(), pass_fds=(), timeout=120) -> str:
    """What a command of the binary prints."""
    command = [*prefix, str(binary()), *map(str, arguments)]
    ended = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, pass_fds=pass_fds, env=ENVIRONMENT
    )
    if ended.returncode != 0:
        raise Failed(command, ended)
    return ended.stdout


def rows(place: Path | str, sql: str = f"SELECT {COLUMNS} FROM spans") -> list[list[str]]:
    """The rows of an answer, from a data directory or from a server's URL."""
    where = ["--url", place] if str(place).startswith("http://") else ["--data-dir", str(place)]
    text = run("sql", "-c", sql, "-o", "csv", "--max-rows", "0", *where)
    return list(csv.reader(io.StringIO(text)))[1:]
