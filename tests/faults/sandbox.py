"""A server whose system calls fail, stop or kill it where a test wants: seccomp's user notification, without a debugger.

Only calls that change files are watched, so that the server runs at its own speed otherwise.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

from enter import CALLS

HERE = Path(__file__).parent


def pretending(*calls: str) -> tuple[str, ...]:
    """The prefix of a command that is told that these calls succeed, though they do nothing."""
    return (sys.executable, str(HERE / "enter.py"), json.dumps({"pretend": calls}))


class Sandbox:
    """For one process; `prefix` and `pass_fds` are for its command."""

    def __init__(self, watched=tuple(CALLS)):
        self.watched = watched
        theirs, entered = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, str(HERE / "supervisor.py"), str(theirs.fileno()), str(control.fileno())]
        self._supervisor = subprocess.Popen(command, pass_fds=(theirs.fileno(), control.fileno()))
        theirs.close()
        control.close()
        self._entered = entered
        entered.set_inheritable(True)
        options = {"watch": list(watched), "socket": entered.fileno()}
        self.prefix = (sys.executable, str(HERE / "enter.py"), json.dumps(options))
        self.pass_fds = (entered.fileno(),)
        self.hits = []

    def entered(self):
        """To be called once the command runs, so that the supervisor ends with it."""
        self._entered.close()

    def arm(self, calls, paths: str, action: str, nth: int = 1, times: int = 1):
        """From the `nth` call on a path that the pattern is found in, `times` calls get the action."""
        self._ask({"arm": {"calls": list(calls), "paths": paths, "nth": nth, "times": times, "action": action}})

    def disarm(self):
        self._ask({"disarm": True})

    def go(self, error: str | None = None):
        """Lets the call that is held longest go on, or fail."""
        self._ask({"go": error})

    def count(self) -> int:
        """How many calls matched since the rule was armed."""
        return self._ask({"count": True})

    def wait(self, seconds: float) -> dict | None:
        """The next call that got the action, or `None` if there was none in time."""
        if self.hits:
            return self.hits.pop(0)
        self._control.settimeout(max(seconds, 0.001))
        try:
            message = self._control.recv(65536)
        except TimeoutError:
            return None
        finally:
            self._control.settimeout(None)
        return json.loads(message).get("hit") if message else None

    def close(self):
        self._entered.close()
        self._control.close()
        self._supervisor.wait(30)

    def _ask(self, message):
        self._control.send(json.dumps(message).encode())
        while answer := self._control.recv(65536):
            answer = json.loads(answer)
            if "count" in answer:
                return answer["count"]
            self.hits.append(answer["hit"])
        return 0
