"""Demo of telemetry over an unreliable, unordered data channel.

::

    icefloe serve                              # in one terminal
    python -m icefloe.demos.telemetry watch    # in another
    python -m icefloe.demos.telemetry send     # in a third, or on another machine

A lost reading is not retransmitted (``max_retransmits=0``), and no reading waits for an earlier one
(``ordered=False``), since old readings are useless. Readings are numbered, so that the receiver can
count the lost ones.
"""

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from logging import Logger
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

from ._attending import (
    LOCAL,
    ExternalAddresses,
    Name,
    RoomName,
    Server,
    TcpPort,
    UdpPort,
    announce,
    over_ports,
    own_token,
    run,
)

logger: Logger = get_logger(__name__)

_HERE = "python -m icefloe.demos.telemetry"

LABEL = "telemetry"
"""The label of the data channel."""


class Reading(msgspec.Struct):
    """The values measured at one moment, sent as JSON.

    Attributes:
        number: The number of the reading for its receiver, from 0.
        values: The values by name.
    """

    number: Annotated[int, msgspec.Meta(ge=0)]
    values: dict[str, float]


Measure: TypeAlias = Callable[[], dict[str, float]]
"""Returns the current values by name. It is called on the event loop, so it must be quick."""


def measure() -> dict[str, float]:
    """Return values that every machine has; replace this function with your sensors."""
    return {"clock": round(time.time(), 3), "processor": round(time.process_time(), 3)}


# --- counting, without I/O


@dataclass(slots=True)
class Tally:
    """The number of received and lost readings.

    Attributes:
        received: The number of received readings.
        newest: The received reading with the highest number; ``None`` before the first.
    """

    received: int = 0
    newest: Reading | None = None

    def take(self, reading: Reading) -> None:
        """Count a reading. One that arrives out of order is counted, but is not the newest."""
        self.received += 1
        if self.newest is None or reading.number > self.newest.number:
            self.newest = reading

    @property
    def lost(self) -> int:
        """The number of readings before the newest that have not arrived.

        A reading that is still on its way counts as lost until it arrives. Readings after the
        newest are not counted.
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
    """Send readings to all participants of a room, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The name of the sensor in the room.
        rate: Readings per second.
        measure: Returns the values of a reading.
        configuration: The configuration of the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: safe; the sensor leaves the room and closes all connections.
    """
    async with join(
        url, room=room, name=name, token=own_token(), configuration=configuration
    ) as joined:
        announce(url, room, joined, f"Run `{_HERE} watch` to see them.")
        await joined.attend(partial(report, rate=rate, measure=measure))


async def report(peer: RemotePeer, rate: float, measure: Measure) -> None:
    """Send readings to one participant, until it leaves or closes the channel.

    Cancellation: safe.
    """
    loop = asyncio.get_running_loop()
    channel = await peer.open_channel(LABEL, ordered=False, max_retransmits=0)
    encoder = msgspec.json.Encoder()
    began = loop.time()
    try:
        for number in itertools.count():
            # Relative to the start and not to the last reading, so that delays do not accumulate.
            await asyncio.sleep(began + number / rate - loop.time())
            # If the network is too slow the send buffer is full, and this reading is lost.
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
    """Show the readings of all participants of a room, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The name of the watcher in the room.
        every: Seconds between two calls of ``show``.
        show: Called with the name of the sender and its tally, at this interval and at the end;
            prints a line if ``None``.
        configuration: The configuration of the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: safe; the watcher leaves the room and closes all connections.
    """
    async with join(
        url, room=room, name=name, token=own_token(), configuration=configuration
    ) as joined:
        announce(url, room, joined, f"Run `{_HERE} send`, here or elsewhere.")
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
    """Count the readings of a channel, until it is closed."""
    try:
        async for reading in channel.messages(Reading):
            tally.take(reading)
    except InvalidMessage as error:
        logger.warning("closing the channel after an invalid reading: %s", error)
        channel.close()


async def _show(name: str, tally: Tally, every: float, show: Callable[[str, Tally], None]) -> None:
    while True:
        await asyncio.sleep(every)
        show(name, tally)


def _print(name: str, tally: Tally) -> None:
    sys.stdout.write(f"{printable(name)}: {printable(tally)}\n")
    sys.stdout.flush()


# --- the command

app: typer.Typer = typer.Typer(
    add_completion=False, help="Readings over an unreliable data channel."
)


@app.command("send")
def send_command(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "sensor",
    rate: Annotated[float, typer.Option(min=0.1, max=1000, help="Readings a second.")] = 20.0,
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Send readings to everybody in a room."""
    run(
        over_ports(
            udp_port,
            tcp_port,
            external_address,
            lambda configuration: send(
                server, room=room, name=name, rate=rate, configuration=configuration
            ),
        )
    )


@app.command("watch")
def watch_command(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "watcher",
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Show the readings of everybody in a room, and how many were lost."""
    run(
        over_ports(
            udp_port,
            tcp_port,
            external_address,
            lambda configuration: watch(server, room=room, name=name, configuration=configuration),
        )
    )


if __name__ == "__main__":
    app()
