"""A bot for the workers of the fleet's test: it tells in which process it is."""

import os

from icefloe.peer import RemotePeer


async def answer(peer: RemotePeer) -> None:
    """Answer each message with it and the number of the process."""
    async for channel in peer.channels():
        async for message in channel:
            await channel.send(f"{message!s} {os.getpid()}")
