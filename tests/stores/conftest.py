import itertools
import os
import random
import shutil
import tempfile
import time
from pathlib import Path

import pytest
import servers
from faulty_proxy import FaultyProxy
from tracehound_server import Server

# Young, so that files appear while a test runs; not small, or what an outage piled up takes long to flush.
STORAGE = """
[storage]
flush_bytes = "4MiB"
flush_age_busy = "500ms"
flush_age_quiet = "1s"
wal_segment_bytes = "1MiB"
"""


def number(name: str, default: int) -> int:
    """How often or how long; `scripts/long` asks for the full counts."""
    return int(os.environ.get(name, default))


@pytest.fixture
def seed(request):
    """STORES_SEED repeats a run, as far as timing allows."""
    seed = number("STORES_SEED", time.time_ns() // 1000 % 1_000_000_000)
    print(f"\nSTORES_SEED={seed} {request.node.nodeid}")
    return seed


@pytest.fixture
def chance(seed):
    return random.Random(seed)


@pytest.fixture
def place():
    folder = Path(tempfile.mkdtemp(prefix="tracehound-stores-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def stores():
    """The running store of each kind; a test keeps to a prefix of its own."""
    folder = Path(tempfile.mkdtemp(prefix="tracehound-stores-"))
    running = {}

    def get(kind: str) -> servers.Store:
        if kind not in running:
            running[kind] = servers.start(kind, folder)
        return running[kind]

    yield get
    for store in running.values():
        store.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def proxy(seed):
    """Makes proxies that end with the test."""
    proxies = []

    def make(target: str) -> FaultyProxy:
        proxies.append(FaultyProxy(target, seed))
        return proxies[-1]

    yield make
    for made in proxies:
        made.close()


@pytest.fixture
def serve(place):
    """Starts servers on stores; they end with the test. Each has a data directory of its own unless it is given one."""
    started, numbers = [], itertools.count()

    def start(config: str, data: Path | None = None) -> Server:
        directory = place / f"server-{next(numbers)}"
        directory.mkdir()
        started.append(Server(directory, STORAGE + config, data))
        return started[-1]

    yield start
    for server in started:
        server.close()
