"""The hostile peer of :mod:`tests.bench.hostile`: connects like any other, and then does one thing.

It reports ``ready`` when its call stands, begins when its input says ``attack`` with ``seconds``,
and reports ``done`` with how many packets or messages it ``sent``::

    python -m tests.bench.hostility.hostile_peer PORT "gap blocks without end"
"""

import asyncio
import sys
import time

from icefloe.peer import PeerError
from tests.bench.hostility import data, media, paths
from tests.bench.hostility.friends import Friend
from tests.bench.hostility.link import Lines
from tests.bench.hostility.means import ATTACKS, Means
from tests.helpers.calls import eventually
from tests.natlab.program import emit, lines, log_to_stderr

NAME = "Eve"
MODULES = (data, media, paths)
"""They fill the table of attacks."""


async def be_hostile(port: int, name: str) -> None:
    """Connect, wait for the word, attack, and end with standard input."""
    peer = Friend(await Lines.to(port))
    calling = asyncio.create_task(_call(peer))
    await eventually(lambda: all(peer.counts[kind] for kind in ("audio", "video")))
    await eventually(lambda: peer.channel.readyState == "open")
    emit("ready")
    async for message in lines():
        means = Means(peer, time.monotonic() + message["seconds"])
        try:
            await ATTACKS[name](means)
        except (PeerError, ConnectionError) as error:
            emit("ended", why=f"{type(error).__name__}: {error}"[:200])
        emit("done", sent=means.sent)
    calling.cancel()
    peer.lines.close()
    await peer.close()


async def _call(peer: Friend) -> None:
    try:
        await peer.call(NAME)
    except PeerError:
        return  # its own connection may break by what it does


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(be_hostile(int(sys.argv[1]), sys.argv[2]))
