import itertools
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

import disks
import pytest
from tracehound_server import Server

# Small, so that segments end, files appear and are merged between two faults.
CONFIG = """
[storage]
flush_bytes = "32KiB"
flush_age_busy = "50ms"
flush_age_quiet = "150ms"
wal_segment_bytes = "64KiB"
"""


def pytest_configure():
    disks.own_mounts()


def number(name: str, default: int) -> int:
    """How often; `scripts/long` asks for the full counts."""
    return int(os.environ.get(name, default))


@pytest.fixture
def seed(request):
    """FAULTS_SEED repeats a run, as far as timing allows."""
    seed = number("FAULTS_SEED", time.time_ns() // 1000 % 1_000_000_000)
    print(f"\nFAULTS_SEED={seed} {request.node.nodeid}")
    return seed


@pytest.fixture
def chance(seed):
    return random.Random(seed)


@pytest.fixture
def place():
    """A folder in memory, if there is enough."""
    folder = Path(tempfile.mkdtemp(prefix="tracehound-faults-", dir=disks.scratch(4 << 30)))
    yield folder
    for mount in sorted((line.split()[1] for line in open("/proc/mounts")), reverse=True):
        if mount.startswith(f"{folder}/"):
            disks.run("umount", "-l", mount)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def serve(place):
    """Starts servers that end with the test."""
    servers, numbers = [], itertools.count()

    def start(data: Path, config: str = CONFIG, **options):
        directory = place / f"server-{next(numbers)}"
        directory.mkdir()
        servers.append(Server(directory, config, data, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()
