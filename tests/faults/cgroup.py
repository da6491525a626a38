"""A bound on the memory of a process and its children: a memory cgroup, of either version."""

import uuid
from pathlib import Path

V1, V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


class MemoryGroup:
    """Holds processes to so many bytes, page cache included; beyond it the kernel kills."""

    def __init__(self, bytes_max: int):
        name = f"tracehound-faults-{uuid.uuid4().hex[:8]}"
        self._v2 = (V2 / "cgroup.controllers").exists()
        self._folder = (V2 if self._v2 else V1) / name
        self._folder.mkdir()
        self._write("memory.max" if self._v2 else "memory.limit_in_bytes", bytes_max)

    def add(self, pid: int):
        self._write("cgroup.procs", pid)

    def killed(self) -> int:
        """How many processes the kernel killed for want of memory."""
        text = (self._folder / ("memory.events" if self._v2 else "memory.oom_control")).read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))

    def close(self):
        """When its processes are gone."""
        self._folder.rmdir()

    def _write(self, name, value):
        (self._folder / name).write_text(str(value))


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever held itself: page cache is not in it."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))
