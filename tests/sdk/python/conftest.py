import pytest
from tracehound_server import Server
from transports import TRANSPORTS

STATES = ["at-once", "after-a-crash", "after-a-clean-restart"]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture(scope="session", params=STATES)
def state(request, server):
    """The server's history since the data was acknowledged; pytest goes through the states in order."""
    yield request.param
    following = STATES.index(request.param) + 1
    if following < len(STATES):
        server.kill() if STATES[following] == "after-a-crash" else server.stop()
        server.start()


@pytest.fixture(params=TRANSPORTS, ids=lambda transport: transport.name)
def transport(request):
    return request.param


@pytest.fixture(scope="session")
def once():
    """Runs a function once for each key and remembers its result, so that data is sent in the first state only."""
    results = {}

    def run(key, function):
        if key not in results:
            results[key] = function()
        return results[key]

    return run
