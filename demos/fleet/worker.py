"""A worker: a process with a bot in each of the rooms that it is told of.

It is told by lines of JSON on standard input, ``{"room": …, "number": …}``, and tells on standard
output ``{"ready": true}``, ``{"draining": true}``, and ``{"left": …, "number": …, "empty": …}``.
What the bot itself prints goes to standard error. On SIGTERM, or when its input ends, the worker
takes no more rooms, leaves each as soon as nobody else is in it, or at the end of the time for
that, and ends; a second SIGTERM ends it at once.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any

import typer

from icefloe.logs import get_logger
from icefloe.peer import PeerConfiguration, RemotePeer, Room, join
from icefloe.signaling import SignalingError

from .._attending import ExternalAddresses, TcpPort, UdpPort, over_ports, run

logger = get_logger(__name__)

Hold = Callable[[RemotePeer], Awaitable[object]]

LOOK_EVERY = 0.25
"""Seconds between two looks at who is in a room."""

RETRY_PAUSE = 1.0
"""Seconds until a room is given back that could not be joined."""

TOKEN_VARIABLE = "ICEFLOE_FLEET_TOKEN"
"""The environment variable with the token that tells the server that a worker joins."""


@dataclass(slots=True)
class _Seat:
    """A room that the worker has, and the latest order for it."""

    room: str
    number: int
    wanted_at: float


class Worker:
    """The rooms of a worker.

    Args:
        url: The signaling server.
        token: The token of workers.
        hold: Runs for each participant of each room.
        configuration: For all connections.
        name: The bot's name in the rooms.
        idle: Seconds without anybody else after which a room is left.
        drain: Seconds that calls may go on when the worker is to end.
        say: Tells the runner.
    """

    def __init__(
        self,
        url: str,
        token: str,
        hold: Hold,
        configuration: PeerConfiguration,
        *,
        say: Callable[..., None],
        name: str,
        idle: float,
        drain: float,
    ) -> None:
        self._url, self._token, self._hold = url, token, hold
        self._configuration = configuration
        self._name, self._idle, self._drain = name, idle, drain
        self.say = say
        self._seats: dict[str, _Seat] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends_at: float | None = None

    def take(self, room: str, number: int) -> None:
        """Have a bot in a room, in which somebody is about to be."""
        now = asyncio.get_running_loop().time()
        seat = self._seats.get(room)
        if self._ends_at is not None and seat is None:
            self.say(left=room, number=number, empty=False)  # for another worker
        elif seat is not None:
            seat.number, seat.wanted_at = number, now
        else:
            seat = self._seats[room] = _Seat(room, number, now)
            task = asyncio.create_task(self._attend(seat), name=f"room {room}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Take no more rooms, and wait until all are left.

        Takes some seconds more than the time that calls may go on. Cancellation: safe; all rooms
        are left at once.
        """
        if self._ends_at is None:
            self._ends_at = asyncio.get_running_loop().time() + self._drain
            self.say(draining=True)
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        """Leave all rooms now."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _attend(self, seat: _Seat) -> None:
        empty = False
        try:
            async with join(
                self._url,
                room=seat.room,
                name=self._name,
                token=self._token,
                configuration=self._configuration,
            ) as room:
                logger.info("joined %r as %s", seat.room, room.name)
                attending = asyncio.create_task(room.attend(self._hold))
                try:
                    while not attending.done() and not self._is_over(seat, room):
                        await asyncio.wait((attending,), timeout=LOOK_EVERY)
                    empty = not room.peers
                finally:
                    # From here on an order for the room begins anew.
                    self._seats.pop(seat.room, None)
                    attending.cancel()
                    with suppress(asyncio.CancelledError):
                        await attending
        except SignalingError as error:
            logger.warning("room %r: %s", seat.room, error)
            await asyncio.sleep(RETRY_PAUSE)
        finally:
            self._seats.pop(seat.room, None)
            self.say(left=seat.room, number=seat.number, empty=empty)

    def _is_over(self, seat: _Seat, room: Room) -> bool:
        now = asyncio.get_running_loop().time()
        if room.peers:
            seat.wanted_at = now
        if self._ends_at is not None:
            return not room.peers or now >= self._ends_at
        return now - seat.wanted_at >= self._idle


class Report:
    """Writes lines for the runner; what is printed otherwise goes to standard error from now on."""

    def __init__(self) -> None:
        self._file = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def __call__(self, **message: object) -> None:
        """Write a line."""
        with suppress(BrokenPipeError):
            os.write(self._file, (json.dumps(message) + "\n").encode())


def find(bot: str) -> Hold:
    """Return the coroutine function that ``module:function`` names.

    Raises:
        ValueError: There is none.
    """
    module, _, name = bot.partition(":")
    try:
        found: Hold = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{bot!r} names no function; write it like icefloe.demos.echo:echo"
        ) from error
    return found


async def work(worker: Worker) -> None:
    """Do what the runner says until it says no more, or until SIGTERM; then drain.

    Cancellation: safe.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    reading = asyncio.create_task(_obey(worker, reader))

    def end() -> None:
        reading.cancel()
        loop.remove_signal_handler(signal.SIGTERM)

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        worker.say(ready=True)
        await asyncio.wait((reading,))
        # Orders that were on their way are answered.
        further = asyncio.create_task(_obey(worker, reader))
        try:
            await worker.drain()
        finally:
            further.cancel()
            await asyncio.wait((further,))
    finally:
        reading.cancel()
        await worker.close()
        transport.close()


async def _obey(worker: Worker, reader: asyncio.StreamReader) -> None:
    while line := await reader.readline():
        order: dict[str, Any] = json.loads(line)
        worker.take(order["room"], order["number"])


def main(
    server: Annotated[str, typer.Option()],
    bot: Annotated[str, typer.Option()],
    name: Annotated[str, typer.Option()] = "bot",
    idle: Annotated[float, typer.Option()] = 10.0,
    drain: Annotated[float, typer.Option()] = 30.0,
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Have a bot in rooms; started by the runner."""
    report = Report()
    hold, token = find(bot), os.environ.get(TOKEN_VARIABLE, "")

    async def in_rooms(configuration: PeerConfiguration) -> None:
        await work(
            Worker(
                server, token, hold, configuration, name=name, say=report, idle=idle, drain=drain
            )
        )

    run(over_ports(udp_port, tcp_port, external_address, in_rooms))


if __name__ == "__main__":
    typer.run(main)
