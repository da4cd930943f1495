"""Python programs as forks of a process that has already loaded what they import.

Loading aiortc and icefloe takes the better part of a second of the processor. One process
(:mod:`tests.helpers.fork_server`) does that once, and gives each program a process of its own, with
standard streams, a folder, variables and a network namespace of its own.
"""

import asyncio
import atexit
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.base_subprocess import BaseSubprocessTransport
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process, SubprocessStreamProtocol
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

_address: str | None = None


async def start(
    *arguments: str,
    namespace: str | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | str | None = None,
    stdin: int | IO[Any] | None = PIPE,
    stdout: int | IO[Any] | None = PIPE,
    stderr: int | IO[Any] | None = PIPE,
    limit: int = 2**16,
) -> Process:
    """Run a program as ``asyncio.create_subprocess_exec(sys.executable, *arguments)`` does.

    Args:
        arguments: Those of ``python``: ``-m`` and a module, ``-c`` and its text, or a file; then
            the program's own.
        namespace: Path of the network namespace in which it runs; ``None`` is that of this process.
        environment: All of its variables; ``None`` gives it those of this process.
        cwd: The folder in which it runs; ``None`` is that of this process.
        stdin: Its standard input, as for ``subprocess.Popen``.
        stdout: Likewise.
        stderr: Likewise.
        limit: Bytes of a line of its output at most.

    Raises:
        ConnectionError: The fork server has ended.
    """
    loop = asyncio.get_running_loop()
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asking.connect(_running())  # it listens already
    kinds = (stdin, stdout, stderr)
    ours, theirs, opened = _streams(kinds)
    wish = {
        "arguments": arguments,
        "namespace": namespace,
        "environment": dict(os.environ if environment is None else environment),
        "cwd": str(cwd or Path.cwd()),
    }
    try:
        socket.send_fds(asking, [json.dumps(wish).encode() + b"\n"], theirs)
    finally:
        for descriptor in opened:
            os.close(descriptor)
    asking.setblocking(False)
    said = b""
    while not said.endswith(b"\n"):
        if not (more := await loop.sock_recv(asking, 64)):
            raise ConnectionError("the fork server has ended")
        said += more
    protocol = SubprocessStreamProtocol(limit=limit, loop=loop)
    waiter: asyncio.Future[None] = loop.create_future()
    forked = _Forked(int(said), *ours)
    transport = _Transport(loop, protocol, arguments, forked, asking, waiter)
    await waiter
    return Process(transport, protocol, loop)


def _streams(
    kinds: tuple[int | IO[Any] | None, ...],
) -> tuple[list[IO[bytes] | None], list[int], list[int]]:
    """Return this side's ends, the descriptors for the program, and those of them to close here."""
    ours: list[IO[bytes] | None] = []
    theirs: list[int] = []
    opened: list[int] = []
    for number, kind in enumerate(kinds):
        mine = None
        if kind is None:
            theirs.append(number)
        elif kind == PIPE:
            reading, writing = os.pipe()
            near, far = (writing, reading) if number == 0 else (reading, writing)
            mine = os.fdopen(near, "wb" if number == 0 else "rb", 0)
            theirs.append(far)
            opened.append(far)
        elif kind == DEVNULL:
            theirs.append(os.open(os.devnull, os.O_RDWR))
            opened.append(theirs[-1])
        elif kind == STDOUT:
            theirs.append(theirs[1])
        else:
            theirs.append(kind if isinstance(kind, int) else kind.fileno())
        ours.append(mine)
    return ours, theirs, opened


class _Forked:
    """The program's process, in the form of a ``subprocess.Popen``."""

    def __init__(
        self,
        pid: int,
        stdin: IO[bytes] | None,
        stdout: IO[bytes] | None,
        stderr: IO[bytes] | None,
    ) -> None:
        self.pid = pid
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.returncode: int | None = None

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Transport(BaseSubprocessTransport):
    """asyncio's transport of a process; the fork server tells how the process ended."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: SubprocessStreamProtocol,
        arguments: tuple[str, ...],
        forked: "_Forked",
        asking: socket.socket,
        waiter: "asyncio.Future[None]",
    ) -> None:
        self._running_loop, self._forked, self._asking = loop, forked, asking
        streams: list[Any] = [
            None if end is None else PIPE for end in (forked.stdin, forked.stdout, forked.stderr)
        ]
        super().__init__(loop, protocol, arguments, False, *streams, 0, waiter)  # type: ignore[call-arg, arg-type, misc, unused-ignore]

    _proc: Any

    def _start(self, *_: Any, **__: Any) -> None:
        self._proc = self._forked
        self._running_loop.add_reader(self._asking, self._told)

    def _told(self) -> None:
        said = self._asking.recv(64)
        self._running_loop.remove_reader(self._asking)
        self._asking.close()
        # The fork server ends with this process alone, so an end without a number is a fault of it.
        number = int(said) if said else -signal.SIGKILL
        self._forked.returncode = number
        self._process_exited(number)


def _running() -> str:
    """Return the address of the fork server; it runs from now on."""
    global _address
    if _address is None:
        # An abstract name: nothing is left of it, and other networks have others.
        _address = f"\0icefloe-fork-server-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(_address)
            listening.listen(64)
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.fork_server", str(listening.fileno())],
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(_end, process)
    return _address


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
