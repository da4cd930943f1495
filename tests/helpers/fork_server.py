"""The process of which :mod:`tests.helpers.forked` makes forks.

``python -m tests.helpers.fork_server FD``: the descriptor is a socket that listens. It ends with
the process that asks it.
"""

import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

LOADED = (
    "icefloe.__main__",
    "icefloe._serving",
    "icefloe._transfer",
    "icefloe.demos",
    "tests.interop.aiortc_far",
    "tests.natlab.aiortc_peer",
    "tests.natlab.icefloe_peer",
    "tests.natlab.room_peer",
    "tests.natlab.signaling_peer",
)
"""The modules whose imports are loaded."""

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1


class _ForkServer:
    """Forks at every wish, and tells how each program ended."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._asking: dict[int, socket.socket] = {}
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)

    def run(self) -> dict[str, Any]:
        """Start programs; what returns is each of them, with what was wished."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._woken:
                        os.read(self._woken, 4096)
                        self._bury()
                    elif (wish := self._fork()) is not None:
                        return wish

    def _fork(self) -> dict[str, Any] | None:
        asking, _ = self._listening.accept()
        said, descriptors, _, _ = socket.recv_fds(asking, 65536, 3)
        while said and not said.endswith(b"\n"):
            said += asking.recv(65536)
        pid = os.fork()
        if pid == 0:
            self._begin(asking, descriptors)
            wish: dict[str, Any] = json.loads(said)
            return wish
        for descriptor in descriptors:
            os.close(descriptor)
        self._asking[pid] = asking
        self._tell(pid, pid)
        return None

    def _begin(self, asking: socket.socket, descriptors: list[int]) -> None:
        """Have in the new process nothing of this one's, and its own standard streams."""
        _end_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        for other in (self._listening, asking, *self._asking.values()):
            other.close()
        os.close(self._woken)
        os.close(self._wake)

    def _bury(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                self._tell(pid, os.waitstatus_to_exitcode(status))
                self._asking.pop(pid).close()

    def _tell(self, pid: int, number: int) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody waits any more
            self._asking[pid].sendall(b"%d\n" % number)


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _enter(namespace: str) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"setns: {os.strerror(number)}")
    finally:
        os.close(descriptor)


def _standard_streams() -> None:
    """Make them anew, as an interpreter does at its start: these are for other descriptors."""
    sys.stdin = io.TextIOWrapper(
        io.BufferedReader(io.FileIO(0, "r", closefd=False)), encoding="utf-8"
    )
    sys.stdout = _output(1, "strict", line_buffering=os.isatty(1))
    sys.stderr = _output(2, "backslashreplace", line_buffering=True)


def _output(descriptor: int, errors: str, *, line_buffering: bool) -> io.TextIOWrapper:
    buffer = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
    return io.TextIOWrapper(buffer, encoding="utf-8", errors=errors, line_buffering=line_buffering)


def _run(arguments: list[str]) -> None:
    """Run a program as ``python`` with these arguments does."""
    first, *rest = arguments
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        main = sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(first).resolve().parent)
        runpy.run_path(first, run_name="__main__")


def main() -> None:
    """Load the modules, and start programs as they are wished."""
    _end_with_parent()
    listening = socket.socket(fileno=int(sys.argv[1]))
    for module in LOADED:
        importlib.import_module(module)
        # It may be run as a program, and is then not to be there before.
        sys.modules.pop(module)
    # What is there is not to be looked through, and copied, in every fork.
    gc.collect()
    gc.freeze()
    wish = _ForkServer(listening).run()
    os.environ.clear()
    os.environ.update(wish["environment"])
    if wish["namespace"] is not None:
        _enter(wish["namespace"])
    os.chdir(wish["cwd"])
    _standard_streams()
    _run(wish["arguments"])


if __name__ == "__main__":
    main()
