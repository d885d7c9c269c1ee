"""`centime` in real processes at the price of a fork: one process imports everything, each command is a fork of it.

It imports when the first command is asked for, and forks those of all workers of a run: tests/conftest.py hands its
address on. A command has its own process id, streams, folder, environment, signals and exit code, as one that a shell
starts; only the seconds of importing torch are gone. Where those are what a test is about, it starts an interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import json
import logging
import multiprocessing.util
import os
import pkgutil
import select
import selectors
import signal
import socket
import subprocess
import sys
import traceback
import weakref
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LATE = ("torch._dynamo", "torch.distributed.fsdp", "uvloop", "xgrammar")  # what verbs import when they are under way
MAIN = {"centime": "centime.cli"}  # module -> where its `main` is, if elsewhere
MESSAGE = 2**17  # bytes of a request: arguments and environment
# Once CUDA's driver was asked for anything a fork is of no use, and no other system forks as Linux does.
FORKS = sys.platform == "linux" and not Path("/dev/nvidiactl").exists()


def centime_process(*arguments: object, **options: Any) -> subprocess.Popen[Any]:
    """`centime ARGUMENTS`, begun. options: subprocess.Popen's streams, cwd, env, start_new_session, kinds of text."""
    return python_process("centime", *map(str, arguments), **options)


def python_process(module: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """`python -m MODULE ARGUMENTS` of a module that has a `main`, begun, with everything of centime imported."""
    command = [module, *arguments]
    return Forked(command, **options) if FORKS else subprocess.Popen([sys.executable, "-m", *command], **options)


def centime(*arguments: object, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """`centime ARGUMENTS` run to its end. typed: its standard input; environment: variables to add."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with centime_process(*arguments, env=os.environ | environment, text=True, **pipes) as process:
        try:
            stdout, stderr = process.communicate(typed, timeout=300)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


# What stands where a shell looks for `centime`: hands its words, folder, variables, streams and signals on, and ends as
# told.
RELAY = """\
#!{python} -IS
import json, os, signal, socket, sys
status = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
status.connect({address!r})
wanted = dict(command=["centime", *sys.argv[1:]], folder=os.getcwd(), environment=dict(os.environ), session=False)
socket.send_fds(status, [json.dumps(wanted).encode()], [0, 1, 2])
pid = int(status.recv(64))
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, _: os.kill(pid, number))
code = os.waitstatus_to_exitcode(int(status.recv(64)))
sys.exit(code if code >= 0 else 128 - code)
"""


def write_relay(path: Path) -> None:
    """Makes `path` a command that shells may run as `centime`, at the price of a fork."""
    path.write_text(RELAY.format(python=sys.executable, address=zygote()))
    path.chmod(0o755)


class Forked(subprocess.Popen[Any]):
    """subprocess.Popen but for how the process begins and how its end is heard of: over a socket, from its parent."""

    def _execute_child(self, args: Any, *rest: Any) -> None:
        """rest: Popen's own order, the same from Python 3.11 on."""
        _, _, _, _, cwd, env, _, _, _, *pipes = rest[:15]
        wanted = {
            "command": args,
            "folder": os.path.abspath(cwd or "."),
            "environment": dict(os.environ if env is None else env),
            "session": rest[20],
        }
        self._status = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._status.connect(zygote())
        own = (pipes[0], pipes[3], pipes[5])
        streams = [number if end == -1 else end for number, end in enumerate(own)]
        socket.send_fds(self._status, [json.dumps(wanted).encode()], streams)
        self.pid = int(self._status.recv(MESSAGE))
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags & os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        status = int(self._status.recv(MESSAGE))
        self._status.close()
        return self.pid, status

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None and self._waitpid_lock.acquire(False):  # type: ignore[attr-defined]
            try:
                pid, status = (0, 0) if self.returncode is not None else self._try_wait(os.WNOHANG)
                if pid:
                    self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


def zygote() -> str:
    """The address (of Linux's abstract kind) of the process that forks, begun at the first need; it ends with us."""
    if not _kept:
        name = f"centime-tests-{os.getpid()}"
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
        command = [sys.executable, "-m", "tests.forked", name]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        _kept.append((f"\0{name}", process))
    return _kept[0][0]


def share(address: str) -> None:
    """Commands are forked by the process at `address`, which somebody else began and ends."""
    _kept.append((address, None))


_kept: list[tuple[str, subprocess.Popen[bytes] | None]] = []  # its standard input is open as long as we live


@functools.cache
def import_all() -> None:
    """Imports what any command would, and lets nothing of it have a last word when a command ends."""
    import centime

    names = [module.name for module in pkgutil.walk_packages(centime.__path__, "centime.")]
    for name in (*names, *LATE):
        if not name.endswith("__main__"):
            with contextlib.suppress(ImportError):  # of an extra that is not here
                importlib.import_module(name)
    # What libraries take down at an exit, 174 of torch's tables first of all, takes longer than most commands.
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False
    atexit._clear()
    for needed in (logging.shutdown, multiprocessing.util._exit_function, weakref.finalize._exitfunc):  # type: ignore[attr-defined]
        atexit.register(needed)
    gc.collect()
    gc.freeze()  # pages that a collection need not touch stay shared


def serve(name: str) -> None:
    """Forks a command for every connection, tells it the process id and later how it ended, until its input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C at the terminal is for the commands
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(f"\0{name}")
    listener.listen(64)
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    print("listening", flush=True)
    running: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as ready:
        for source in (listener, ended, sys.stdin):
            ready.register(source, selectors.EVENT_READ)
        while True:
            sources = [key.fileobj for key, _ in ready.select()]
            if sys.stdin in sources:
                os._exit(0)  # without the words of libraries that are not used to leave
            if listener in sources:
                import_all()
                connection, _ = listener.accept()
                message, streams, _, _ = socket.recv_fds(connection, MESSAGE, 3)
                pid = os.fork()
                if pid == 0:
                    _become(json.loads(message), connection, streams)
                running[pid] = connection
                for stream in streams:
                    os.close(stream)
            if ended in sources:
                os.read(ended, 4096)
            while running:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                with running.pop(pid) as connection, contextlib.suppress(OSError):  # whoever asked may have left
                    connection.send(str(status).encode())


def _become(wanted: dict[str, Any], connection: socket.socket, streams: list[int]) -> None:
    """The command, in the forked process; does not return."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if wanted["session"]:
        os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    connection.send(str(os.getpid()).encode())
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.argv = wanted["command"]
    code = 1
    try:
        importlib.import_module(MAIN.get(sys.argv[0], sys.argv[0])).main()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # as the interpreter does; the ledger writes its last word there
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
