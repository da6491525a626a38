"""Object stores of several makes, started for a test."""

import base64
import hashlib
import hmac
import http.client
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

HERE = Path(__file__).parent
READY_SECONDS = 60
BUCKET = "tracehound"
# Azurite's, published and fixed.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@dataclass
class Store:
    """A running store. `address` is where it answers."""

    kind: str
    address: str
    process: subprocess.Popen
    log: Path
    settings: dict[str, str] = field(default_factory=dict)

    def config(self, prefix: str = "data", address: str | None = None, **keys) -> str:
        """The `[store]` part of a configuration, by way of a proxy at `address` if given."""
        address = address or self.address
        if self.kind == "azurite":
            keys = {"url": f"az://{BUCKET}/{prefix}", "endpoint": f"http://{address}/{AZURITE_ACCOUNT}", **keys}
        else:
            keys = {"url": f"s3://{BUCKET}/{prefix}", "endpoint": f"http://{address}", "region": "us-east-1", **keys}
        lines = [f'{key} = "{value}"' for key, value in keys.items()]
        settings = [f'{key} = "{value}"' for key, value in self.settings.items()]
        return "\n".join(["[store]", *lines, "[store.settings]", *settings, ""])

    def stop(self):
        """Ends it as its own make wants it: killed, azurite forgets objects that it acknowledged."""
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def start(kind: str, place: Path, port: int | None = None) -> Store:
    """Starts a store of a kind, with an empty bucket; on the port and the data of an earlier one if it had these."""
    port = port or free_port()
    address, data = f"127.0.0.1:{port}", place / f"{kind}-data"
    data.mkdir(parents=True, exist_ok=True)
    bin, modules = Path(sys.executable).parent, HERE / "node_modules/.bin"
    command = {
        "moto": [bin / "moto_server", "-H", "127.0.0.1", "-p", port],
        "azurite": [
            modules / "azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", port, "--location", data,
            "--skipApiVersionCheck", "--silent",
        ],
        "rclone": [bin / "rclone", "serve", "s3", "--addr", address, "--auth-key", "key,secret", "--config", "", data],
        "s3rver": [
            modules / "s3rver", "--address", "127.0.0.1", "--port", port, "--directory", data, "--silent",
            "--configure-bucket", BUCKET,
        ],
    }[kind]  # fmt: skip
    log = place / f"{kind}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    credentials = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    if kind == "s3rver":
        credentials = {"aws_access_key_id": "S3RVER", "aws_secret_access_key": "S3RVER"}
    if kind == "azurite":
        credentials = {"azure_storage_account_name": AZURITE_ACCOUNT, "azure_storage_account_key": AZURITE_KEY}
    store = Store(kind, address, process, log, credentials)
    await_port(store)
    make_bucket(store, data)
    return store


def await_port(store: Store):
    host, port = store.address.split(":")
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            return
        except OSError:
            assert store.process.poll() is None, f"{store.kind} ended: {store.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{store.kind} does not answer: {store.log.read_text()[-2000:]}"
            time.sleep(0.1)


def make_bucket(store: Store, data: Path):
    if store.kind == "rclone":
        (data / BUCKET).mkdir(exist_ok=True)
    elif store.kind == "moto":
        assert request(store.address, "PUT", f"/{BUCKET}") in (200, 409)
    elif store.kind == "azurite":
        path = f"/{AZURITE_ACCOUNT}/{BUCKET}"
        assert request(store.address, "PUT", f"{path}?restype=container", azure_headers("PUT", path)) in (201, 409)


def azure_headers(method: str, path: str) -> dict[str, str]:
    """Signs the making of a container, as Azure wants it."""
    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
    named = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    text = f"{method}\n\n\n\n\n\n\n\n\n\n\n\n{named}/{AZURITE_ACCOUNT}{path}\nrestype:container"
    digest = hmac.new(base64.b64decode(AZURITE_KEY), text.encode(), hashlib.sha256).digest()
    return {**headers, "Authorization": f"SharedKey {AZURITE_ACCOUNT}:{base64.b64encode(digest).decode()}"}


def request(address: str, method: str, path: str, headers: dict[str, str] | None = None) -> int:
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request(method, path, headers={"Content-Length": "0", **(headers or {})})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()
