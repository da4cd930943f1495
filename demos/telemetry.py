"""This demonstrates readings over an unreliable data channel: the newest counts, and none waits.

::

    icefloe serve                              # in one terminal
    python -m icefloe.demos.telemetry watch    # in another
    python -m icefloe.demos.telemetry send     # in a third, or on another machine

A reading that got lost is not sent again (``max_retransmits=0``), and none waits for one that is
late (``ordered=False``): what is old is of no use. Readings are numbered, so that who watches can
tell how many were lost.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypeAlias

import msgspec
import typer

from icefloe.logs import get_logger
from icefloe.peer import (
    ChannelClosed,
    DataChannel,
    InvalidMessage,
    PeerConfiguration,
    RemotePeer,
    join,
)
from icefloe.text import printable

from ._attending import LOCAL, Name, RoomName, Server, run, tell

logger = get_logger(__name__)

_HERE = "python -m icefloe.demos.telemetry"

LABEL = "telemetry"
"""The label of the channel, by which those who watch know it."""


class Reading(msgspec.Struct):
    """What was measured at one moment; JSON on the way.

    Attributes:
        number: 0, 1, 2 … for each who watches.
        values: What was measured, by name.
    """

    number: Annotated[int, msgspec.Meta(ge=0)]
    values: dict[str, float]


Measure: TypeAlias = Callable[[], dict[str, float]]
"""Measures now; called in the event loop, and so to take well below a millisecond."""


def measure() -> dict[str, float]:
    """Measure something that every machine has: replace it by your sensors."""
    return {"clock": round(time.time(), 3), "processor": round(time.process_time(), 3)}


# --- counting, without any I/O


@dataclass(slots=True)
class Tally:
    """How many readings came, and how many did not.

    Attributes:
        received: How many came.
        newest: The one with the greatest number; ``None`` before the first.
    """

    received: int = 0
    newest: Reading | None = None

    def take(self, reading: Reading) -> None:
        """Count a reading; one that was overtaken counts as well, and is not the newest."""
        self.received += 1
        if self.newest is None or reading.number > self.newest.number:
            self.newest = reading

    @property
    def lost(self) -> int:
        """How many did not come, of those up to the newest.

        One that is still on its way counts as lost until it is here. What is lost after the newest
        is not known yet.
        """
        return self.newest.number + 1 - self.received if self.newest is not None else 0

    def __str__(self) -> str:
        if self.newest is None:
            return "nothing yet"
        sent = self.newest.number + 1
        values = ", ".join(f"{name} {value:g}" for name, value in self.newest.values.items())
        return f"{values}; {self.lost} of {sent} lost, {self.lost / sent:.1%}"


# --- sending


async def send(
    url: str,
    *,
    room: str = "lobby",
    name: str = "sensor",
    rate: float = 20.0,
    measure: Measure = measure,
    configuration: PeerConfiguration | None = None,
) -> None:
    """Send readings to everybody in a room, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The own name in it.
        rate: Readings a second.
        measure: What gives them.
        configuration: For the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: leaves the room, and nothing behind.
    """
    async with join(url, room=room, name=name, configuration=configuration) as joined:
        tell(url, room, joined, f"Run `{_HERE} watch` to see them.")
        await joined.attend(partial(report, rate=rate, measure=measure))


async def report(peer: RemotePeer, rate: float, measure: Measure) -> None:
    """Send one participant readings, until it leaves or closes the channel.

    Cancellation: safe.
    """
    loop = asyncio.get_running_loop()
    channel = await peer.open_channel(LABEL, ordered=False, max_retransmits=0)
    encoder = msgspec.json.Encoder()
    began = loop.time()
    try:
        for number in itertools.count():
            # By the number and not by the last one, so that what each is late by does not add up.
            await asyncio.sleep(began + number / rate - loop.time())
            # Where the network takes less than is measured there is no room: then this reading is
            # one that got lost, and the next one is newer.
            channel.try_send(encoder.encode(Reading(number, measure())).decode())
    except ChannelClosed:
        logger.info("%s does not watch any more", peer.name)
    finally:
        channel.close()


# --- watching


async def watch(
    url: str,
    *,
    room: str = "lobby",
    name: str = "watcher",
    every: float = 1.0,
    show: Callable[[str, Tally], None] | None = None,
    configuration: PeerConfiguration | None = None,
) -> None:
    """Show the readings of everybody in a room, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The own name in it.
        every: Seconds between two looks at what came.
        show: Called with who it is from and what came so far, at each look and at the end; prints
            a line if ``None``.
        configuration: For the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: leaves the room, and nothing behind.
    """
    async with join(url, room=room, name=name, configuration=configuration) as joined:
        tell(url, room, joined, f"Run `{_HERE} send`, here or elsewhere.")
        await joined.attend(partial(follow, every=every, show=show or _print))


async def follow(peer: RemotePeer, every: float, show: Callable[[str, Tally], None]) -> None:
    """Show the readings of one participant, until it leaves.

    Cancellation: safe.
    """
    async for channel in peer.channels():
        if channel.label != LABEL:
            channel.close()
            continue
        tally = Tally()
        async with asyncio.TaskGroup() as group:
            showing = group.create_task(_show(peer.name, tally, every, show))
            await _count(channel, tally)
            showing.cancel()
        show(peer.name, tally)


async def _count(channel: DataChannel, tally: Tally) -> None:
    """Count what comes: every reading is read at once, and the channel keeps none of them."""
    try:
        async for reading in channel.messages(Reading):
            tally.take(reading)
    except InvalidMessage as error:
        logger.warning("no reading, so the channel is closed: %s", error)
        channel.close()


async def _show(name: str, tally: Tally, every: float, show: Callable[[str, Tally], None]) -> None:
    while True:
        await asyncio.sleep(every)
        show(name, tally)


def _print(name: str, tally: Tally) -> None:
    sys.stdout.write(f"{printable(name)}: {printable(tally)}\n")
    sys.stdout.flush()


# --- the command

app = typer.Typer(add_completion=False, help="Readings over an unreliable data channel.")


@app.command("send")
def send_command(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "sensor",
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Readings a second.")] = 20.0,
) -> None:
    """Send readings to everybody in a room."""
    run(send(server, room=room, name=name, rate=rate))


@app.command("watch")
def watch_command(server: Server = LOCAL, room: RoomName = "lobby", name: Name = "watcher") -> None:
    """Show the readings of everybody in a room, and how many were lost."""
    run(watch(server, room=room, name=name))


if __name__ == "__main__":
    app()
