"""A TCP proxy that loses replies: the request arrives, its acknowledgement does not."""

import socket
import threading

HTTP2_HEADERS = 1
FRAME_HEADER_BYTES = 9


class LossyProxy:
    """Forwards to `target`. When one of the first `lose` replies begins, both connections are cut; later ones pass.

    With `http2`, the reply is the first HEADERS frame: the frames before it belong to the connection.
    """

    def __init__(self, target: str, http2: bool, lose: int = 1):
        host, port = target.rsplit(":", 1)
        self.target = (host, int(port))
        self.http2 = http2
        self.lose = lose
        self.lost = 0
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            upstream = socket.create_connection(self.target)
            threading.Thread(target=self._forward, args=(client, upstream), daemon=True).start()
            threading.Thread(target=self._reply, args=(upstream, client), daemon=True).start()

    @staticmethod
    def _forward(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _reply(self, upstream, client):
        unread = b""
        try:
            while data := upstream.recv(65536):
                begins, unread = self._reply_begins(unread + data)
                if begins:
                    with self._lock:
                        self.lost += 1
                        lose = self.lost <= self.lose
                    if lose:
                        break
                client.sendall(data)
        except OSError:
            pass
        for side in (upstream, client):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            side.close()

    def _reply_begins(self, data: bytes) -> tuple[bool, bytes]:
        if not self.http2:
            return True, b""
        begins = False
        while len(data) >= FRAME_HEADER_BYTES:
            end = FRAME_HEADER_BYTES + int.from_bytes(data[:3], "big")
            if len(data) < end:
                break
            begins |= data[3] == HTTP2_HEADERS
            data = data[end:]
        return begins, data
