"""Files to transfer, and a transfer within one process."""

import asyncio
import os
from pathlib import Path
from typing import Any

from icefloe.peer import DataChannel
from icefloe.peer.files.file_names import gather
from icefloe.peer.files.protocol import PROTOCOL
from icefloe.peer.files.receive_session import FileOffer
from icefloe.peer.files.send_session import send_sources
from tests.helpers.calls import Call


async def transfer_channel(call: Call) -> tuple[DataChannel, DataChannel]:
    """Open a channel for a transfer; return the sender's end and the receiver's."""
    near = await call.ends[0].open_channel("files", protocol=PROTOCOL)
    return near, await anext(aiter(call.ends[1]._transfers))


async def transfer(
    call: Call, paths: list[Path], folder: Path, **options: Any
) -> tuple[int | BaseException, list[Path] | BaseException]:
    """Send from the first end and accept at the second; return what came of it at both."""
    near, far = await transfer_channel(call)

    async def receive() -> list[Path]:
        return await (await FileOffer.read(far)).accept(folder, **options)

    sources, _ = gather(paths)
    results = await asyncio.gather(send_sources(near, sources), receive(), return_exceptions=True)
    return results[0], results[1]


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return what is in a folder, by relative names; ``None`` stands for a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def random_file(path: Path, size: int) -> Path:
    """Make a file of random bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        while size > 0:
            file.write(os.urandom(min(size, 1 << 20)))
            size -= 1 << 20
    return path
