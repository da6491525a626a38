"""Disks to break: small ones, and one that is cut off from power at any instant.

All mounts are in a namespace of this process and go with it, however it ends.
"""

import ctypes
import fcntl
import os
import shutil
import subprocess
from pathlib import Path

CLONE_NEWNS = 0x20000
FICLONE = 0x40049409


def run(*command):
    subprocess.run([str(each) for each in command], check=True, capture_output=True, text=True, timeout=120)


def own_mounts():
    """Takes this process, and those it starts, out of the machine's mounts. Before any other thread runs."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare: the rigs need root")
    run("mount", "--make-rprivate", "/")


class Mounted:
    """A file system on a folder."""

    def __init__(self, folder: Path):
        self.folder = folder

    def unmount(self):
        run("umount", self.folder)

    def fill(self, name="ballast") -> Path:
        """Takes all space that is left, to the byte."""
        path = self.folder / name
        piece = 1 << 20
        with open(path, "ab", buffering=0) as file:
            while piece:
                try:
                    if file.write(b"\xa5" * piece) < piece:
                        piece //= 2
                except OSError:
                    piece //= 2
        return path


class Tmpfs(Mounted):
    def __init__(self, folder: Path, size: str):
        folder.mkdir(parents=True, exist_ok=True)
        run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
        super().__init__(folder)


class Ext4(Mounted):
    """ext4 in a file. Its mount options leave to the caller whatever the caller does not sync."""

    OPTIONS = "loop,noauto_da_alloc,commit=60,noatime"

    def __init__(self, image: Path, folder: Path, make: str | None = None):
        self.image = image
        folder.mkdir(parents=True, exist_ok=True)
        if make:
            run("truncate", "-s", make, image)
            run("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "16384", "-E", "lazy_itable_init=0,nodiscard", image)
        run("mount", "-o", self.OPTIONS, image, folder)
        super().__init__(folder)
        if make:
            (folder / "lost+found").rmdir()


class PowerRig:
    """A reflinking XFS in a file: holds ext4 images, and copies of them as they are at an instant.

    A copy has every write that ext4 gave to its disk before the instant and none after. What ext4 still held
    back, because nobody synced it, is gone.
    """

    def __init__(self, folder: Path, size="3G"):
        folder.mkdir(parents=True, exist_ok=True)
        self._image = folder / "xfs.img"
        run("truncate", "-s", size, self._image)
        run("mkfs.xfs", "-q", "-f", "-m", "reflink=1", self._image)
        self.folder = folder / "xfs"
        self.folder.mkdir()
        run("mount", "-o", "loop,discard,noatime", self._image, self.folder)

    def cut(self, image: Path, copy: Path):
        """What the disk would hold if the power went now."""
        source, target = os.open(image, os.O_RDONLY), os.open(copy, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            fcntl.ioctl(target, FICLONE, source)
        finally:
            os.close(source)
            os.close(target)

    def close(self):
        run("umount", self.folder)
        self._image.unlink()


def scratch(size_bytes: int) -> Path:
    """Where images go: memory if it has room for them, since cuts and not the machine's disk are to be tried."""
    if chosen := os.environ.get("FAULTS_DIR"):
        return Path(chosen)
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 2 * size_bytes:
        return memory
    return Path("/tmp")
