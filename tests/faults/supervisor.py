"""Answers the system calls that a sandboxed server makes: `python supervisor.py LISTENER_SOCKET CONTROL_SOCKET`.

A rule counts the calls that match it and does something at the nth. Messages on the control socket are JSON:
in come `{"arm": rule}`, `{"disarm": true}`, `{"go": errno or null}`, `{"count": true}`; out go `{"hit": call}` and `{"count": n}`.
A rule is `{"calls", "paths", "nth", "times", "action"}`; the action is the name of an errno, `pretend` (succeed, do
nothing), `kill`, or `hold` (wait for `go`, which lets the call be made or fail).
"""

import array
import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import struct
import sys
from collections import deque

from enter import CALLS

NAMES = {number: name for name, number in CALLS.items()}
NOTIFICATION, RESPONSE = struct.Struct("=QIIiIQ6Q"), struct.Struct("=Qqi I".replace(" ", ""))
RECEIVE = 3 << 30 | NOTIFICATION.size << 16 | ord("!") << 8
SEND = 3 << 30 | RESPONSE.size << 16 | ord("!") << 8 | 1
CONTINUE = 1
# Which arguments are paths; of the others the first is a file descriptor.
PATHS = {
    "openat": (1,), "rename": (0, 1), "renameat": (1, 3), "renameat2": (1, 3), "link": (0, 1), "linkat": (1, 3),
    "unlink": (0,), "unlinkat": (1,), "mkdir": (0,), "mkdirat": (1,),
}  # fmt: skip
LENGTHS = {"write", "pwrite64"}


def text_at(pid, address):
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memory.seek(address)
        # A path may end right before a page that is not mapped.
        data = memory.read(4096 - address % 4096)
        if b"\0" not in data:
            data += memory.read(4096)
    return data.split(b"\0", 1)[0].decode(errors="replace")


def path_of(name, pid, arguments):
    if name not in PATHS:
        return os.readlink(f"/proc/{pid}/fd/{arguments[0]}")
    return " -> ".join(text_at(pid, arguments[index]) for index in PATHS[name])


class Supervisor:
    def __init__(self, entered, control):
        self.entered, self.control, self.listener = entered, control, None
        self.rule, self.counted, self.done = None, 0, 0
        # Threads may wait side by side; the first goes first.
        self.held = deque()

    def run(self):
        poll = select.poll()
        poll.register(self.entered, select.POLLIN)
        poll.register(self.control, select.POLLIN)
        while True:
            for descriptor, event in poll.poll():
                if descriptor == self.control.fileno():
                    try:
                        message = self.control.recv(65536)
                    except ConnectionResetError:
                        message = b""
                    if not message:
                        # The test is done with it, or gone.
                        return
                    self.told(json.loads(message))
                elif descriptor == self.entered.fileno():
                    poll.unregister(self.entered)
                    self.listener = self.receive_listener()
                    if self.listener is None:
                        continue
                    poll.register(self.listener, select.POLLIN)
                elif event & select.POLLIN:
                    self.called()
                else:
                    # The server is gone; it may still be asked about.
                    poll.unregister(self.listener)

    def receive_listener(self):
        message, ancillary, _, _ = self.entered.recvmsg(1, socket.CMSG_LEN(4))
        if not message:
            return None
        descriptors = array.array("i")
        descriptors.frombytes(ancillary[0][2][:4])
        return descriptors[0]

    def told(self, message):
        if "arm" in message:
            self.rule = message["arm"] | {"pattern": re.compile(message["arm"]["paths"])}
            self.counted = self.done = 0
        elif "disarm" in message:
            self.rule = None
        elif "go" in message and self.held:
            self.answer(self.held.popleft(), *self.failure(message["go"]))
        self.tell({"count": self.counted})

    def tell(self, message):
        self.control.send(json.dumps(message).encode())

    def called(self):
        buffer = bytearray(NOTIFICATION.size)
        try:
            fcntl.ioctl(self.listener, RECEIVE, buffer)
        except FileNotFoundError:
            # The caller was killed in the meantime.
            return
        id, pid, _, number, _, _, *arguments = NOTIFICATION.unpack(buffer)
        name = NAMES[number]
        if self.rule is None or name not in self.rule["calls"]:
            return self.answer(id)
        try:
            path = path_of(name, pid, arguments)
        except OSError:
            return self.answer(id)
        if not self.rule["pattern"].search(path):
            return self.answer(id)
        self.counted += 1
        if self.counted < self.rule["nth"] or self.done >= self.rule["times"]:
            return self.answer(id)
        self.done += 1
        self.act(id, pid, name, arguments, path)

    def act(self, id, pid, name, arguments, path):
        action = self.rule["action"]
        hit = {"hit": {"call": name, "path": path, "nth": self.counted}}
        if action == "kill":
            # The thread's group, which is the server.
            with open(f"/proc/{pid}/status") as status:
                group = next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
            os.kill(group, signal.SIGKILL)
        elif action == "hold":
            self.held.append(id)
        elif action == "pretend":
            self.answer(id, value=arguments[2] if name in LENGTHS else 0, flags=0)
        else:
            self.answer(id, *self.failure(action))
        self.tell(hit)

    @staticmethod
    def failure(name):
        """What answers a call that fails with that errno; without one it is made."""
        return (0, -getattr(errno, name), 0) if name else ()

    def answer(self, id, value=0, error=0, flags=CONTINUE):
        try:
            fcntl.ioctl(self.listener, SEND, RESPONSE.pack(id, value, error, flags))
        except FileNotFoundError:
            pass


if __name__ == "__main__":
    Supervisor(*(socket.socket(fileno=int(descriptor)) for descriptor in sys.argv[1:3])).run()
