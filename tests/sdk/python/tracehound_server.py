"""Runs the built `tracehound` binary, and asks it SQL."""

import json
import os
import queue
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

READY_SECONDS = 60
LISTENING = re.compile(r"^(http|otlp-grpc|otlp-http) listening on http://(127\.0\.0\.1:\d+)$")


def binary() -> Path:
    if path := os.environ.get("TRACEHOUND_BIN"):
        return Path(path)
    target = os.environ.get("CARGO_TARGET_DIR") or Path(__file__).parents[3] / "target"
    return Path(target) / "debug" / "tracehound"


class Server:
    """One server on one data directory. It may be stopped, killed and started again on the same ports.

    `data` is the data directory, `directory / "data"` if not given; `options` are those of the first `start`.
    """

    def __init__(self, directory: Path, config: str | None = None, data: Path | None = None, **options):
        self.directory = directory
        self.data = data or directory / "data"
        self.addresses = {name: "127.0.0.1:0" for name in ("http", "otlp-grpc", "otlp-http")}
        self.config = None
        if config is not None:
            self.config = directory / "tracehound.toml"
            self.config.write_text(config)
        self.process = None
        self.start(**options)

    @property
    def api(self) -> str:
        return f"http://{self.addresses['http']}"

    @property
    def otlp_grpc(self) -> str:
        return f"http://{self.addresses['otlp-grpc']}"

    @property
    def otlp_http(self) -> str:
        return f"http://{self.addresses['otlp-http']}"

    def start(self, prefix: tuple[str, ...] = (), pass_fds: tuple[int, ...] = ()):
        """Starts it and waits until it is ready. A command in `prefix`, which inherits `pass_fds`, becomes the server."""
        command = [*prefix, str(binary()), "serve", "--data-dir", str(self.data)]
        for name, address in self.addresses.items():
            command += [f"--{name}", address]
        if self.config:
            command += ["--config", str(self.config)]
        log = open(self.directory / "stderr.log", "ab")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, pass_fds=pass_fds
        )
        log.close()
        lines = queue.Queue()
        threading.Thread(target=self._read, args=(self.process.stdout, lines), daemon=True).start()
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                line = lines.get(timeout=max(deadline - time.monotonic(), 0))
            except queue.Empty:
                self.kill()
                raise AssertionError(f"the server was not ready within {READY_SECONDS} s: {self.log()}") from None
            if line is None:
                raise AssertionError(f"the server ended with code {self.process.wait()}: {self.log()}")
            if line == "ready":
                assert all(not address.endswith(":0") for address in self.addresses.values()), self.addresses
                return
            if match := LISTENING.match(line):
                self.addresses[match[1]] = match[2]

    @staticmethod
    def _read(stdout, lines):
        for line in stdout:
            lines.put(line.rstrip("\n"))
        lines.put(None)

    def stop(self):
        """Asks it to end, and expects it to do so cleanly."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=60) == 0, self.log()

    def kill(self):
        """Ends it as a crash would."""
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.kill()

    def log(self) -> str:
        return (self.directory / "stderr.log").read_text()[-4000:]

    def query(self, sql: str, key: str | None = None, **params) -> list[dict]:
        """The rows of the answer, each as a dict by column."""
        body = {"sql": sql, "params": params, "limits": {"max_rows": 100_000}}
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(f"{self.api}/api/v1/query", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.code} for {sql!r}: {error.read().decode()}") from None
        assert answer["truncated"] is False, answer["truncated"]
        names = [column["name"] for column in answer["columns"]]
        return [dict(zip(names, row, strict=True)) for row in answer["rows"]]
