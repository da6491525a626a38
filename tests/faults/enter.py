"""Runs a command under a seccomp filter: `python enter.py OPTIONS COMMAND…`, OPTIONS being JSON.

`{"watch": [calls], "socket": fd}` hands every such system call to the supervisor at the socket's other end.
`{"pretend": [calls]}` makes them succeed without doing anything. The command takes this process over.
"""

import array
import ctypes
import json
import os
import socket
import struct
import sys

# x86-64. The numbers of the calls by which the server changes files.
CALLS = {
    "write": 1, "pwrite64": 18, "writev": 20, "pwritev": 296, "pwritev2": 328, "openat": 257, "fsync": 74, "fdatasync": 75,
    "ftruncate": 77, "fallocate": 285, "rename": 82, "renameat": 264,
    "renameat2": 316, "link": 86, "linkat": 265, "unlink": 87, "unlinkat": 263, "mkdir": 83, "mkdirat": 258,
}  # fmt: skip

ALLOW, ERRNO, NOTIFY = 0x7FFF0000, 0x00050000, 0x7FC00000
LOAD, JUMP_EQUAL, JUMP_SET, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER_AT, ARCH_AT, THIRD_ARGUMENT_AT = 0, 4, 32
ARCH_X86_64, O_CREAT = 0xC000003E, 0o100
PR_SET_NO_NEW_PRIVS, SYS_SECCOMP, SET_MODE_FILTER, NEW_LISTENER = 38, 317, 1, 8


def program(watch, pretend):
    """The filter, as instructions of classic BPF: (code, jump if true, jump if false, operand)."""
    code = [(LOAD, 0, 0, ARCH_AT), (JUMP_EQUAL, 1, 0, ARCH_X86_64), (RETURN, 0, 0, ALLOW), (LOAD, 0, 0, NUMBER_AT)]
    for name in pretend:
        code += [(JUMP_EQUAL, 0, 1, CALLS[name]), (RETURN, 0, 0, ERRNO)]
    for name in watch:
        if name == "openat":
            # Only where a file may be made.
            body = [(LOAD, 0, 0, THIRD_ARGUMENT_AT), (JUMP_SET, 0, 1, O_CREAT), (RETURN, 0, 0, NOTIFY), (RETURN, 0, 0, ALLOW)]
        elif name == "write":
            # Eight bytes wake a thread through an eventfd; no frame and no file is that short.
            body = [(LOAD, 0, 0, THIRD_ARGUMENT_AT), (JUMP_EQUAL, 0, 1, 8), (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, NOTIFY)]
        else:
            body = [(RETURN, 0, 0, NOTIFY)]
        code += [(JUMP_EQUAL, 0, len(body), CALLS[name]), *body]
    code.append((RETURN, 0, 0, ALLOW))
    return code


def install(code, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code), ctypes.addressof(instructions)))
    result = libc.syscall(SYS_SECCOMP, SET_MODE_FILTER, flags, head)
    if result < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return result


def main():
    options = json.loads(sys.argv[1])
    watch, pretend = options.get("watch", ()), options.get("pretend", ())
    listener = install(program(watch, pretend), NEW_LISTENER if watch else 0)
    if watch:
        # No watched call may happen before the supervisor has the listener.
        with socket.socket(fileno=options["socket"]) as supervisor:
            supervisor.sendmsg([b"."], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [listener]))])
        os.close(listener)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
