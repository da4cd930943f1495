"""The other side of a transfer as a test plays it: it has the code, and says what it likes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from icefloe.peer import (
    DataChannel,
    Meeting,
    PairingCode,
    PairingSide,
    PeerConfiguration,
    RemotePeer,
    meet,
)
from icefloe.peer.files.protocol import PROTOCOL


async def come(meeting: Meeting) -> RemotePeer:
    """Wait until the command is there and has shown that it has the code."""
    async for peer in meeting:
        return peer
    raise AssertionError("the meeting ended without a word")


@asynccontextmanager
async def sender_to_the_command(
    url: str, code: str
) -> AsyncIterator[tuple[RemotePeer, DataChannel]]:
    """Be the sender for ``icefloe receive``; give the channel of a transfer."""
    async with meet(url, PairingCode.parse(code), side=PairingSide.SENDER) as meeting:
        peer = await come(meeting)
        yield peer, await peer.open_channel("files", protocol=PROTOCOL)


@asynccontextmanager
async def receiver_of_the_command(
    told: dict[str, Any], configuration: PeerConfiguration | None = None
) -> AsyncIterator[Meeting]:
    """Be the receiver for ``icefloe send``, which told this of itself."""
    code = PairingCode.parse(told["code"])
    async with meet(
        told["server"], code, side=PairingSide.RECEIVER, configuration=configuration
    ) as meeting:
        yield meeting
