"""Runs one program that nobody trusts. Started by `run.py` as a script, with the standard library alone.

Before the program begins the kernel is told, for good, what it may not do: no process, no socket, no file opened for
writing or changed by name, no signal to others, nothing but more threads of its own (seccomp, a filter on system calls
that needs no rights; Linux, Documentation/userspace-api/seccomp_filter.rst). Its memory, time, output and open files
have limits (setrlimit). What it may still do is compute, and read what its user can read: nothing that it reads gets
out but by its output.

The program arrives on standard input after a line of JSON. That it came to its end is told by a secret, written last.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import platform
import resource
import struct
import sys

# System calls by processor: those refused whatever their arguments, and where the flags of those that open files are.
REFUSED = {
    "x86_64": (
        *(41, 57, 58, 59, 322),  # socket, fork, vfork, execve, execveat
        *(62, 200, 234, 101, 310, 311, 424, 434, 438),  # kill and its kin, ptrace, others' memory and descriptors
        *(82, 83, 84, 85, 86, 87, 88, 258, 259, 263, 264, 265, 266, 316, 133),  # names made, moved and removed
        *(76, 90, 91, 92, 93, 94, 260, 268, 452, 132, 235, 261, 280),  # sizes, rights, owners, times
        *(188, 189, 190, 197, 198, 199, 304),  # extended attributes, files by handle
        *(155, 161, 165, 166, 169, 272, 308, 428, 429, 430, 442),  # mounts, roots, namespaces
        *(175, 176, 246, 298, 313, 320, 321, 323),  # modules, kexec, perf, bpf, userfaultfd
        *(29, 64, 68, 240, 248, 249, 250, 141, 203, 425, 426, 427),  # shared memory, queues, keys, priorities, io_uring
    ),
    "aarch64": (
        *(198, 221, 281),
        *(129, 130, 131, 117, 270, 271, 424, 434, 438),
        *(33, 34, 35, 36, 37, 38, 276),
        *(45, 52, 53, 54, 55, 452, 88),
        *(5, 6, 7, 14, 15, 16, 265),
        *(39, 40, 41, 51, 97, 142, 268, 428, 429, 430, 442),
        *(104, 105, 106, 241, 273, 280, 282, 294),
        *(180, 186, 190, 194, 217, 218, 219, 140, 122, 425, 426, 427),
    ),
}
OPENS = {"x86_64": ((2, 1), (257, 2)), "aarch64": ((56, 2),)}  # (call, which argument has the flags): open, openat
MISSING = (435, 437)  # clone3 and openat2, whose arguments no filter sees: libraries do without where there is none
CLONE = {"x86_64": 56, "aarch64": 220}
PRLIMIT = {"x86_64": 302, "aarch64": 261}
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # AUDIT_ARCH_*
CLONE_THREAD = 0x10000
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

LOAD, EQUAL, ANY_BIT, AT_LEAST, RETURN = 0x20, 0x15, 0x45, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|JSET|JGE|K, BPF_RET|K
KILL, REFUSE, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # SECCOMP_RET_KILL_PROCESS, _ERRNO, _ALLOW
NUMBER, ARCH, ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant


def rules(machine: str) -> list[Instruction]:
    """The filter as BPF. Every rule loads what it looks at, so that each reads by itself."""
    refuse: Instruction = (RETURN, 0, 0, REFUSE | errno.EACCES)
    found: list[Instruction] = [(LOAD, 0, 0, ARCH), (EQUAL, 1, 0, ARCHITECTURE[machine]), (RETURN, 0, 0, KILL)]
    found += [(LOAD, 0, 0, NUMBER), (AT_LEAST, 0, 1, 0x40000000), refuse]  # x32's calls, which have other numbers
    for call in REFUSED[machine]:
        found += [(EQUAL, 0, 1, call), refuse]
    for call in MISSING:
        found += [(EQUAL, 0, 1, call), (RETURN, 0, 0, REFUSE | errno.ENOSYS)]
    for call, argument in OPENS[machine]:
        flags = ARGUMENTS + 8 * argument
        found += [(EQUAL, 0, 4, call), (LOAD, 0, 0, flags), (ANY_BIT, 0, 1, WRITING), refuse, (LOAD, 0, 0, NUMBER)]
    found += [(EQUAL, 0, 4, CLONE[machine]), (LOAD, 0, 0, ARGUMENTS), (ANY_BIT, 1, 0, CLONE_THREAD), refuse]
    found += [(LOAD, 0, 0, NUMBER), (EQUAL, 0, 3, PRLIMIT[machine]), (LOAD, 0, 0, ARGUMENTS), (EQUAL, 1, 0, 0), refuse]
    return [*found, (RETURN, 0, 0, ALLOW)]


def confine(seconds: int, memory: int, output: int) -> None:
    """From here on this process is held. Raises OSError where the kernel does not do it."""
    for what, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, output),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(what, (most, most))
    program = b"".join(struct.pack("HBBI", *one) for one in rules(platform.machine()))
    held = ctypes.create_string_buffer(program)
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(held)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    if prctl(PR_SET_NO_NEW_PRIVS, 1, None, 0, 0) or prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(header), 0, 0
    ):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of system calls")


def main() -> None:
    head, _, source = sys.stdin.buffer.read().partition(b"\n")
    limits = json.loads(head)
    secret = limits.pop("secret")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    try:
        confine(**limits)
    except (OSError, KeyError) as error:
        os.write(2, f"not confined: {error}".encode())
        os._exit(3)
    code = compile(source.decode("utf-8", "replace"), "<answer>", "exec")
    exec(code, {"__name__": "__main__"})
    sys.stdout.flush()
    os.write(1, f"\n{secret}".encode())
    os._exit(0)  # what the program left behind (threads, functions for the end) is not waited for


if __name__ == "__main__":
    main()
