"""What the probe says of stores that tell the truth and of stores that lie."""

import time

import pytest
import stored
from ledger import Ledger
from load import Load

HONEST = ["moto", "azurite"]
# What they do wrong that no server could live with.
USELESS = {"rclone": "it does not give a range of an object", "s3rver": "a listing of folders lacks"}


@pytest.fixture
def liar(stores, proxy):
    """A store that ignores that an object is to be created only if it is absent."""

    def config(prefix: str) -> str:
        store = stores("moto")
        between = proxy(store.address)
        between.drops = {"if-none-match"}
        return store.config(prefix, between.address)

    return config


def log_of(server) -> str:
    return (server.directory / "stderr.log").read_text()


@pytest.mark.parametrize("kind", HONEST)
def test_a_store_that_tells_the_truth_may_have_two_writers(stores, serve, kind):
    config = stores(kind).config(f"honest-{kind}")
    for server in (serve(config), serve(config)):
        assert "the store keeps writers apart" in log_of(server)
        server.stop()


@pytest.mark.parametrize("kind", USELESS)
def test_a_store_that_does_not_do_what_it_should_is_refused(stores, serve, kind):
    with pytest.raises(AssertionError) as refused:
        serve(stores(kind).config("useless"))
    text = str(refused.value)
    assert "cannot be used" in text and USELESS[kind] in text, text


def test_a_store_that_lies_has_one_writer(liar, serve):
    config = liar("liar")
    first = serve(config)
    assert "does not keep writers apart" in log_of(first)
    with pytest.raises(AssertionError) as refused:
        serve(config)
    text = str(refused.value)
    assert "has another writer" in text and "must have only one" in text, text
    assert f"process {first.process.pid}" in text and "writer.json" in text, text
    # Once the first has ended, the next need not wait.
    first.stop()
    serve(config).stop()


def test_one_writer_works_on_a_store_that_lies(liar, serve, seed):
    config, ledger, pending = liar("alone"), Ledger(seed), []
    server = serve(config)
    for _ in range(3):
        load = Load(server.addresses["otlp-http"], ledger, seed, pending=pending)
        time.sleep(1)
        # After a crash the same data directory comes back at once, though the lease has not run out.
        server.kill()
        pending = load.stop()
        server.start()
    assert not Load(server.addresses["otlp-http"], ledger, seed, pending=pending).stop()
    server.stop()
    print("one writer:", ledger.compare(stored.rows(serve(config).api)))


def test_doctor_says_what_a_store_is(stores, serve, place, monkeypatch):
    store, data = stores("moto"), place / "data"
    serve(store.config("doctor"), data).stop()
    monkeypatch.setitem(stored.ENVIRONMENT, "AWS_ENDPOINT_URL", f"http://{store.address}")
    monkeypatch.setitem(stored.ENVIRONMENT, "AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setitem(stored.ENVIRONMENT, "AWS_SECRET_ACCESS_KEY", "secret")
    said = stored.run("doctor", "--data-dir", data, "-o", "csv")
    assert "s3://tracehound/doctor keeps writers apart" in said, said


def test_a_store_that_is_not_there_is_named(serve):
    config = '[store]\nurl = "s3://tracehound/x"\nendpoint = "http://127.0.0.1:9"\nretry_timeout = "1s"\n'
    settings = '[store.settings]\naws_access_key_id = "a"\naws_secret_access_key = "b"\n'
    with pytest.raises(AssertionError) as refused:
        serve(config + settings)
    assert "s3://tracehound/x" in str(refused.value), refused.value
