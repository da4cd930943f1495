"""From ``createOffer`` to an open data channel, icefloe and plain aiortc in turn.

Both peers are in one process, without delay between them. Each trickles if it can: icefloe's
candidates travel one by one, aiortc's in its descriptions::

    python -m tests.bench.connect --rounds 5
"""

import argparse
import asyncio
import statistics
from contextlib import AsyncExitStack

from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection

from icefloe.peer import PeerConfiguration, PeerConnection
from tests.bench.report import Section, seconds
from tests.helpers import netns
from tests.helpers.pairs import negotiate, opened, trickle
from tests.helpers.turn import silent

SLOW_ROUNDS = 2
"""Rounds where aiortc waits ten seconds."""

Servers = list[RTCIceServer]


async def icefloe(servers: Servers) -> float:
    """Connect two icefloe peers; return the seconds it took."""
    a, b = (PeerConnection(PeerConfiguration(iceServers=servers)) for _ in range(2))
    trickle(a, b)
    trickle(b, a)
    return await _connect(a, b)


async def aiortc(servers: Servers) -> float:
    """Connect two peers of plain aiortc; return the seconds it took."""
    a, b = (RTCPeerConnection(RTCConfiguration(iceServers=servers)) for _ in range(2))
    return await _connect(a, b)


async def _connect(a: RTCPeerConnection, b: RTCPeerConnection) -> float:
    loop = asyncio.get_running_loop()
    channel = a.createDataChannel("bench")
    started = loop.time()
    await negotiate(a, b)
    await opened(channel)
    taken = loop.time() - started
    await asyncio.gather(a.close(), b.close())
    return taken


async def describe(servers: Servers, *, listener: bool) -> float:
    """Return the seconds that ``setLocalDescription()`` takes."""
    loop = asyncio.get_running_loop()
    connection = PeerConnection(PeerConfiguration(iceServers=servers))
    connection.createDataChannel("bench")
    if listener:
        connection.on("icecandidate", lambda _: None)
    started = loop.time()
    await connection.setLocalDescription()
    taken = loop.time() - started
    await connection.close()
    return taken


async def measure(rounds: int) -> list[Section]:
    """Run every case; what is compared runs in turn."""
    host = netns.ADDRESS if netns.isolate() else "127.0.0.1"
    async with AsyncExitStack() as stack:
        dead = await stack.enter_async_context(silent(host))
        stun = RTCIceServer(dead.stun)
        turn = RTCIceServer(dead.turn("udp"), username="user", credential="secret")
        cases: dict[str, Servers] = {
            "no servers": [],
            "a silent STUN server": [stun],
            "a silent TURN server": [turn],
            "both": [stun, turn],
        }
        await icefloe([])  # the first connection of a process loads libraries
        baseline = 0.0
        connecting, describing = [], []
        for name, servers in cases.items():
            ours, theirs = await _in_turn(servers, rounds, SLOW_ROUNDS if servers else rounds)
            baseline = baseline or ours
            connecting.append(
                (
                    name,
                    seconds(ours),
                    seconds(theirs),
                    f"{theirs / ours:.1f}",
                    f"{ours / baseline:.2f}",
                )
            )
            with_listener = [await describe(servers, listener=True) for _ in range(rounds)]
            without = [await describe(servers, listener=False) for _ in range(SLOW_ROUNDS)]
            describing.append(
                (name, f"{max(with_listener) * 1000:.1f} ms", f"{max(without) * 1000:.0f} ms")
            )
    return [
        Section(
            "Time to an open data channel",
            "From `createOffer` to `open`, median; both ends in one process. "
            "`python -m tests.bench.connect`",
            ("servers", "icefloe", "aiortc", "aiortc / icefloe", "icefloe / icefloe without"),
            tuple(connecting),
        ),
        Section(
            "How long setLocalDescription() takes",
            "The longest of all rounds. Without a listener to `icecandidate` it waits for servers, "
            "for at most `gathering_timeout`, here 1 s.",
            ("servers", "with a listener", "without"),
            tuple(describing),
        ),
    ]


async def _in_turn(servers: Servers, ours: int, theirs: int) -> tuple[float, float]:
    """Return the medians of icefloe and aiortc, the rounds of both spread over the same time."""
    taken: dict[bool, list[float]] = {True: [], False: []}
    for number in range(ours):
        taken[True].append(await icefloe(servers))
        if number * theirs // ours != (number + 1) * theirs // ours:
            taken[False].append(await aiortc(servers))
    return statistics.median(taken[True]), statistics.median(taken[False])


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    netns.isolate()
    for section in asyncio.run(measure(parser.parse_args().rounds)):
        print(section.markdown())


if __name__ == "__main__":
    main()
