"""Network namespaces that live as long as this process holds them.

A namespace has no name under ``/run/netns``: it is an open file of this process, so nothing is left
of it however the process ends. Commands are run in it by ``nsenter``, and are killed by the kernel
when this process is.
"""

import asyncio
import ctypes
import os
import threading
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Any, Protocol

_CLONE_NEWNET = 0x40000000


class CommandFailed(Exception):
    """A command in a namespace ended with an error.

    Attributes:
        command: The command.
        output: What it printed.
    """

    def __init__(self, command: tuple[str, ...], code: int, output: str) -> None:
        self.command = command
        self.output = output
        super().__init__(f"{' '.join(command)} ended with {code}: {output}")


class Place(Protocol):
    """The place where a program runs."""

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the command that runs another one there."""
        ...

    async def start(self, *arguments: str, **options: Any) -> Process:
        """Start a command there; whoever starts it ends it."""
        ...


class Here:
    """The namespace of this process."""

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the command itself."""
        return arguments

    async def start(self, *arguments: str, **options: Any) -> Process:
        """Start a command; whoever starts it ends it.

        Args:
            arguments: The command.
            options: What ``asyncio.create_subprocess_exec`` takes.
        """
        return await asyncio.create_subprocess_exec(*arguments, **options)


class Namespace:
    """A network namespace.

    Raises:
        OSError: The kernel refused it.
    """

    def __init__(self) -> None:
        self._file: int | None = None
        self._error: OSError | None = None
        # The kernel moves the thread that asks; this one ends with that.
        thread = threading.Thread(target=self._make, name="namespace")
        thread.start()
        thread.join()
        if self._error is not None:
            raise self._error

    def _make(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            self._error = OSError(number, f"unshare(CLONE_NEWNET): {os.strerror(number)}")
            return
        try:
            self._file = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            self._error = error

    @property
    def path(self) -> str:
        """A path by which other processes find it, while this one holds it."""
        if self._file is None:
            raise ValueError("the namespace is closed")
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def command(self, *arguments: str) -> tuple[str, ...]:
        """Return the command that runs another one inside."""
        return (
            "nsenter",
            f"--net={self.path}",
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            *arguments,
        )

    async def start(self, *arguments: str, **options: Any) -> Process:
        """Start a command inside; whoever starts it ends it.

        Args:
            arguments: The command.
            options: What ``asyncio.create_subprocess_exec`` takes.
        """
        return await asyncio.create_subprocess_exec(*self.command(*arguments), **options)

    async def run(self, *arguments: str, stdin: str = "") -> str:
        """Run a command inside to its end; return what it printed.

        Raises:
            CommandFailed: It ended with an error.
        """
        process = await self.start(*arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        out, err = await process.communicate(stdin.encode())
        if process.returncode:
            raise CommandFailed(arguments, process.returncode, (out + err).decode())
        return out.decode()

    def close(self) -> None:
        """Let go of it; with its last process its links and addresses vanish. Idempotent."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


async def stop(process: Process, patience: float = 5.0) -> None:
    """End a process that was started here, by force if it does not go within so many seconds."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(patience):
                await process.wait()
        except TimeoutError:
            process.kill()
    await process.wait()


__all__ = ["DEVNULL", "PIPE", "CommandFailed", "Here", "Namespace", "Place", "Process", "stop"]
