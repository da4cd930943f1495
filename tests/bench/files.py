"""The cost of a big file to `icefloe send` and `icefloe receive`: time, memory, processor.

Real files, two processes, loopback: ``python -m tests.bench.files --size 10000``. With ``--reader``
the receiver writes to a pipe that is read so fast and no faster.
"""

import argparse
import asyncio
import hashlib
import os
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Section, machine
from tests.helpers import netns
from tests.helpers.commands import Usage, event, process, receive_arguments, usage

MB = 1_000_000
_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Files:
    """The figures of a run.

    Attributes:
        size: Bytes of the file.
        seconds: From the start of the receiver to its end.
        sender: What the sender used.
        receiver: What the receiver used.
    """

    size: int
    seconds: float
    sender: Usage
    receiver: Usage

    def row(self, what: str) -> tuple[str, ...]:
        """Return a row of the table."""
        used = (self.sender, self.receiver)
        return (
            what,
            f"{self.size / MB / self.seconds:.1f} MB/s",
            f"{self.seconds:.1f} s",
            " / ".join(f"{one.peak / MB:.0f}" for one in used) + " MB",
            " / ".join(f"{one.cpu / (self.size / MB / 1000):.1f}" for one in used) + " s",
        )


HEADER = ("file", "rate", "time", "memory, sender / receiver", "CPU for 1 GB")


def make_file(path: Path, size: int, holes: float) -> str:
    """Make a file of random bytes, with a hole at the end of each 64 MB.

    Args:
        path: Where.
        size: Bytes.
        holes: Which part of it is holes, 0 to 1.

    Returns:
        Its BLAKE2b hash.
    """
    digest = hashlib.blake2b(digest_size=32)
    noise = os.urandom(16 * MB)
    with path.open("wb") as file:
        for start in range(0, size, 64 * MB):
            length = min(64 * MB, size - start)
            data = bytearray()
            while len(data) < length * (1 - holes):
                noise = noise[1:] + noise[:1]
                data += noise
            data[int(length * (1 - holes)) :] = b""
            file.seek(start)
            file.write(data)
            digest.update(data)
            digest.update(bytes(length - len(data)))
        file.truncate(size)
    return digest.hexdigest()


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


async def _watch(running: Process, into: list[Usage]) -> None:
    while running.returncode is None:
        try:
            into.append(usage(running.pid))
        except (OSError, StopIteration):
            return  # it ended just now
        await asyncio.sleep(_EVERY)


async def _read(running: Process, rate: float | None) -> str:
    """Read what a process writes, at most so many bytes a second; return the hash of it."""
    assert running.stdout is not None
    digest, size, begun = hashlib.blake2b(digest_size=32), 0, time.monotonic()
    while data := await running.stdout.read(256 * 1024):
        digest.update(data)
        size += len(data)
        if rate:
            await asyncio.sleep(max(0, begun + size / rate - time.monotonic()))
    return digest.hexdigest()


async def measure_one(folder: Path, size: int, holes: float, reader: float | None) -> Files:
    """Send a file and see that it is whole.

    Args:
        folder: Where both files are.
        size: Bytes.
        holes: See :func:`make_file`.
        reader: Bytes a second that are read from the receiver's output; ``None`` for a file.
    """
    source, target = folder / "source.bin", folder / "target"
    digest = await asyncio.to_thread(make_file, source, size, holes)
    used: tuple[list[Usage], list[Usage]] = ([], [])
    cache = {"XDG_CACHE_HOME": str(folder / "cache")}
    async with process("send", str(source), "--json", environment=cache) as sender:
        told = await event(sender, "code")
        begun = time.monotonic()
        draining = asyncio.create_task(_read(sender, None))
        out: Path | str = target if reader is None else "-"
        async with process(*receive_arguments(told, out), stdout=PIPE) as receiver:
            watching = [
                asyncio.create_task(_watch(one, into))
                for one, into in zip((sender, receiver), used, strict=True)
            ]
            arrived = await _read(receiver, reader)
            code = await receiver.wait()
            seconds = time.monotonic() - begun
            await asyncio.wait(watching, timeout=5)
            assert receiver.stderr is not None
            assert code == 0, (await receiver.stderr.read()).decode()
        await draining
        assert await sender.wait() == 0
    if reader is None:
        arrived = await asyncio.to_thread(_hash_of, target / source.name)
    assert arrived == digest, "what arrived is not what was sent"
    for path in (source, target / source.name):
        path.unlink(missing_ok=True)
    return Files(size, seconds, used[0][-1], used[1][-1])


async def measure(size: int, holes: float = 0.25, reader: float | None = None) -> Section:
    """Run it.

    Args:
        size: Bytes of the file.
        holes: Which part of it is holes.
        reader: See :func:`measure_one`.
    """
    with tempfile.TemporaryDirectory(prefix="icefloe-files-", dir="/var/tmp") as folder:
        result = await measure_one(Path(folder), size, holes, reader)
    what = f"{size / MB:,.0f} MB, {holes:.0%} holes"
    what += f", into a pipe read at {reader / MB:.0f} MB/s" if reader else ""
    return Section(
        "Files",
        f"`icefloe send` and `icefloe receive` over loopback; {machine()}. "
        "`python -m tests.bench.files`",
        HEADER,
        (result.row(what),),
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=float, default=1000, help="of the file, in MB")
    parser.add_argument("--holes", type=float, default=0.25, help="part of it that is holes")
    parser.add_argument("--reader", type=float, help="MB/s of who reads the receiver's output")
    given = parser.parse_args()
    netns.isolate()
    reader = given.reader * MB if given.reader else None
    section = asyncio.run(measure(int(given.size * MB), given.holes, reader))
    print(section.markdown())


if __name__ == "__main__":
    main()
