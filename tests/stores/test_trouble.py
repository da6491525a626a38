"""Servers that are killed, stores that restart, fail, are slow or gone: nothing acknowledged is missing, nothing is doubled."""

import time

import pytest
import servers
import stored
from conftest import number
from ledger import Ledger, Shortfall
from load import Load

HONEST = ["moto", "azurite"]


def run_load(server, ledger, seed, seconds, pending=(), pause=0.004):
    load = Load(server.addresses["otlp-http"], ledger, seed, pause=pause, pending=pending)
    time.sleep(seconds)
    return load


@pytest.mark.parametrize("kind", HONEST)
def test_an_empty_data_directory_finds_all_that_was_flushed(stores, serve, kind, seed):
    config, ledger = stores(kind).config(f"elsewhere-{kind}"), Ledger(seed)
    server = serve(config)
    pending = run_load(server, ledger, seed, 2).stop()
    assert not pending
    server.stop()
    print(kind, ledger.compare(stored.rows(serve(config).api)))


def test_what_is_not_flushed_is_not_elsewhere(stores, serve, seed):
    """The control: a killed server's unflushed rows are in its WAL, and the comparison misses them elsewhere."""
    config, ledger = stores("moto").config("control"), Ledger(seed)
    server = serve(config)
    run_load(server, ledger, seed, 0.5)
    server.kill()
    with pytest.raises(Shortfall, match="missing"):
        ledger.compare(stored.rows(serve(config).api))


def test_a_server_that_is_killed_under_load(stores, serve, proxy, chance, seed):
    """And a fifth of all requests to the store fail meanwhile, some of them after they were done."""
    store, ledger, pending = stores("moto"), Ledger(seed), []
    between = proxy(store.address)
    server = serve(store.config("killed", between.address, retry_timeout="3s"))
    between.fails = 0.2
    for _ in range(number("STORES_KILLS", 4)):
        load = run_load(server, ledger, seed, 0.5 + chance.random() * 2, pending)
        server.kill()
        pending = load.stop()
        server.start()
    load = run_load(server, ledger, seed, 1, pending)
    assert not load.stop()
    server.stop()
    assert between.failed > 20, between.failed
    between.fails = 0.0
    found = ledger.compare(stored.rows(serve(store.config("killed")).api))
    print(f"killed: {found}; {between.failed} of {between.requests} requests to the store failed")


def test_a_store_that_is_restarted_under_load(serve, place, chance, seed):
    store = servers.start("azurite", place)
    port, ledger = int(store.address.split(":")[1]), Ledger(seed)
    server = serve(store.config(retry_timeout="1s"))
    load = Load(server.addresses["otlp-http"], ledger, seed, pause=0.02)
    for _ in range(number("STORES_KILLS", 3)):
        time.sleep(0.5 + chance.random() * 2)
        store.stop()
        time.sleep(chance.random() * 2)
        store = servers.start("azurite", place, port)
    assert not load.stop()
    server.stop()
    print("store restarted:", ledger.compare(stored.rows(serve(store.config()).api)))
    store.stop()


def test_a_slow_store(stores, serve, proxy, seed):
    store, ledger = stores("moto"), Ledger(seed)
    between = proxy(store.address)
    server = serve(store.config("slow", between.address))
    between.delay = 0.2
    # So little that it can be flushed within the time that a server has to stop: each small piece takes some requests.
    load = run_load(server, ledger, seed, 5, pause=0.2)
    assert not load.stop()
    # Acknowledgements do not wait for the store.
    assert load.slowest < 2, load.slowest
    server.stop()
    print("slow:", ledger.compare(stored.rows(serve(store.config("slow")).api)))


def test_a_store_that_is_gone(stores, serve, proxy, seed):
    """For a minute in the long run: what is sent is acknowledged, queries say what is wrong, and all arrives afterwards."""
    store, ledger = stores("moto"), Ledger(seed)
    between = proxy(store.address)
    config = store.config("gone", between.address, retry_timeout="1s", cache="0B")
    server = serve(config)
    assert not run_load(server, ledger, seed, 2).stop()
    deadline = time.monotonic() + 20
    while server.query("SELECT count(*) AS n FROM spans WHERE _commit IS NULL")[0]["n"] > 0:
        assert time.monotonic() < deadline, server.log()
        time.sleep(0.2)
    between.gone = True
    load = Load(server.addresses["otlp-http"], ledger, seed, pause=0.05)
    time.sleep(2)
    with pytest.raises(AssertionError) as refused:
        server.query("SELECT name FROM spans")
    assert str(refused.value).startswith("503 "), refused.value
    time.sleep(number("STORES_GONE_SECONDS", 10))
    sent = ledger.state()
    time.sleep(1)
    assert ledger.state()[0] > sent[0], "nothing is acknowledged while the store is gone"
    between.gone = False
    time.sleep(6)
    assert not load.stop()
    assert "flush failed" in server.log()
    server.stop()
    print("gone:", ledger.compare(stored.rows(serve(store.config("gone")).api)))


@pytest.mark.parametrize("kind", HONEST)
def test_two_writers(stores, serve, proxy, kind, seed):
    """Each has its own data directory; they write for the same tenant, into the same manifest."""
    store, ledger = stores(kind), Ledger(seed)
    config = store.config(f"two-{kind}")
    writers = [serve(config), serve(config)]
    loads = [Load(server.addresses["otlp-http"], ledger, seed + n) for n, server in enumerate(writers)]
    time.sleep(2)
    writers[0].kill()
    pending = loads[0].stop()
    writers[0].start()
    loads[0] = run_load(writers[0], ledger, seed + 2, 3, pending)
    for load in loads:
        assert not load.stop()
    for server in writers:
        server.stop()
    reader = serve(config)
    entries = reader.query("SELECT max(_commit) AS n FROM spans")[0]["n"]
    print(f"two writers on {kind}:", ledger.compare(stored.rows(reader.api)), f"{entries} entries")
