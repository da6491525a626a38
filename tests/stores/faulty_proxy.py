"""An HTTP proxy in front of a store: it fails requests, delays them, loses replies, or is gone."""

import http.client
import random
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FaultyProxy:
    """Set `fails` (a share of the requests), `delay` (seconds for each) and `gone` at any time.

    Headers in `drops` (lowercase) do not arrive, so that a store ignores what they ask for.
    """

    def __init__(self, target: str, seed: int):
        self.target, self.drops = target, set()
        self.fails, self.delay, self.gone = 0.0, 0.0, False
        self.requests, self.failed = 0, 0
        self._chance, self._lock = random.Random(seed), threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Nagle's algorithm would wait for acknowledgements that are delayed.
            disable_nagle_algorithm = True

            def do_GET(self):
                proxy.handle(self)

            do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                """Whoever went away in the middle does not want to know."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = "127.0.0.1:%d" % self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def _fate(self) -> str:
        with self._lock:
            self.requests += 1
            if self.gone:
                return "gone"
            if self._chance.random() >= self.fails:
                return "well"
            self.failed += 1
            return self._chance.choice(["500", "503", "reset", "lost", "lost"])

    def handle(self, handler: BaseHTTPRequestHandler):
        fate = self._fate()
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        time.sleep(self.delay)
        if fate in ("gone", "reset"):
            return self._reset(handler)
        if fate in ("500", "503"):
            handler.send_response(int(fate))
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return None
        connection = http.client.HTTPConnection(self.target, timeout=30)
        try:
            connection.putrequest(handler.command, handler.path, skip_host=True, skip_accept_encoding=True)
            for name, value in handler.headers.items():
                if name.lower() not in {"connection", *self.drops}:
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            return self._reset(handler)
        finally:
            connection.close()
        if fate == "lost":
            return self._reset(handler)
        handler.send_response(response.status)
        for name, value in response.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive", "server", "date"):
                handler.send_header(name, value)
        length = response.getheader("Content-Length") if handler.command == "HEAD" else None
        handler.send_header("Content-Length", length or str(len(content)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(content)
        return None

    @staticmethod
    def _reset(handler: BaseHTTPRequestHandler):
        handler.close_connection = True
        try:
            handler.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
