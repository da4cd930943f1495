"""Programs of the lab that begin at once: forks of a process that has loaded what they import.

Loading aiortc and icefloe takes the better part of a second of the processor. One process does it
for all programs of a test run, and gives each a process of its own, in its namespace, with standard
streams of its own. It ends with the process that asks it.

``python -m tests.natlab.warm FD`` is that process; the descriptor is a socket that listens.
"""

import asyncio
import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from typing import Any

PROGRAMS = (
    "tests.natlab.aiortc_peer",
    "tests.natlab.icefloe_peer",
    "tests.natlab.room_peer",
    "tests.natlab.signaling_peer",
    "tests.interop.aiortc_far",
)
"""The modules whose imports are loaded."""

_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1

_address: str | None = None


class WarmProcess:
    """A program that :func:`start` has started, with its three standard streams.

    Attributes:
        pid: Its number.
        returncode: Its exit code, negative if a signal ended it; ``None`` until :meth:`wait`.
    """

    def __init__(self, pid: int, end: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: asyncio.StreamWriter | None = None
        self.stdout: asyncio.StreamReader | None = None
        self.stderr: asyncio.StreamReader | None = None
        self._end = end

    def kill(self) -> None:
        """End it by force."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait until it has ended; return its exit code. Cancellation: safe.

        Raises:
            ConnectionError: The process that has loaded the programs ended before.
        """
        if self.returncode is None:
            reader, writer = self._end
            line = await reader.readline()
            writer.close()
            if not line:
                raise ConnectionError("the process that starts the lab's programs has ended")
            self.returncode = int(line)
        return self.returncode


# --- where programs are asked for


async def start(namespace: str | None, module: str, *, limit: int = 2**20) -> WarmProcess:
    """Start one of :data:`PROGRAMS`; whoever starts it ends it.

    Args:
        namespace: Path of the network namespace in which it runs; ``None`` is that of this process.
        module: Its module, which is run as ``__main__``.
        limit: Bytes of a line of its output at most.

    Raises:
        ConnectionError: The process that has loaded the programs has ended.
    """
    loop = asyncio.get_running_loop()
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asking.connect(_running())  # it listens already
    pipes = [os.pipe() for _ in range(3)]
    theirs = [pipes[0][0], pipes[1][1], pipes[2][1]]
    wish = {"namespace": namespace, "module": module, "environment": dict(os.environ)}
    socket.send_fds(asking, [json.dumps(wish).encode() + b"\n"], theirs)
    for descriptor in theirs:
        os.close(descriptor)
    reader, writer = await asyncio.open_unix_connection(sock=asking)
    line = await reader.readline()
    if not line:
        raise ConnectionError("the process that starts the lab's programs has ended")
    process = WarmProcess(int(line), (reader, writer))
    process.stdin = await _writer(loop, pipes[0][1])
    process.stdout = await _reader(loop, pipes[1][0], limit)
    process.stderr = await _reader(loop, pipes[2][0], limit)
    return process


async def _reader(
    loop: asyncio.AbstractEventLoop, descriptor: int, limit: int
) -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=limit)
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )
    return reader


async def _writer(loop: asyncio.AbstractEventLoop, descriptor: int) -> asyncio.StreamWriter:
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()),
        os.fdopen(descriptor, "wb", 0),
    )
    return asyncio.StreamWriter(transport, protocol, None, loop)


def _running() -> str:
    """Return the address of the process that has loaded the programs; it runs from now on."""
    global _address
    if _address is None:
        # An abstract name: nothing is left of it, and other networks have others.
        _address = f"\0icefloe-lab-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(_address)
            listening.listen(64)
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.natlab.warm", str(listening.fileno())],
                pass_fds=[listening.fileno()],
                stdin=subprocess.DEVNULL,
            )
        atexit.register(_end, process)
    return _address


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


# --- the process that has loaded the programs


class _Starter:
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
        while not said.endswith(b"\n"):
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


def main() -> None:
    """Load the programs, and start them as they are wished."""
    _end_with_parent()
    listening = socket.socket(fileno=int(sys.argv[1]))
    for module in PROGRAMS:
        importlib.import_module(module)
    for module in PROGRAMS:
        # Each is run as a program, so its own module is not to be there before.
        sys.modules.pop(module, None)
    # What is there is not to be looked through, and copied, in every fork.
    gc.collect()
    gc.freeze()
    wish = _Starter(listening).run()
    os.environ.clear()
    os.environ.update(wish["environment"])
    if wish["namespace"] is not None:
        _enter(wish["namespace"])
    sys.argv = [wish["module"]]
    runpy.run_module(wish["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
