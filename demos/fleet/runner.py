"""The runner: a signaling server, and the worker processes with the bots of its rooms."""

import asyncio
import hmac
import json
import os
import secrets
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from icefloe.logs import get_logger
from icefloe.signaling import (
    AddressLimits,
    Admission,
    Join,
    Limits,
    ServerConfiguration,
    SignalingServer,
    serve,
)

from .assignment import Assignment, Order
from .worker import TOKEN_VARIABLE

logger = get_logger(__name__)

RESTART_PAUSE = 1.0
"""Seconds until a worker that has ended is started anew."""

KILL_AFTER = 10.0
"""Seconds after the time for draining after which a worker that has not ended is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """The settings of a fleet.

    Attributes:
        host: The address that the signaling server listens at.
        port: Its TCP port; 0 for any.
        workers: Number of worker processes.
        bot: The coroutine function that runs for each participant, as ``module:function``.
        name: The bot's name in the rooms.
        idle: Seconds without anybody else after which a bot leaves a room.
        drain: Seconds that calls may go on when a worker is to end.
        udp_port: The UDP port of the first worker; each further one has the next. ``None`` for a
            port for each connection.
        tcp_port: The TCP port of the first worker, likewise; ``None`` for none.
        external_addresses: See ``PeerConfiguration``.
        rooms: Maximum number of rooms.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 2
    bot: str = "icefloe.demos.echo:echo"
    name: str = "bot"
    idle: float = 10.0
    drain: float = 30.0
    udp_port: int | None = None
    tcp_port: int | None = None
    external_addresses: tuple[str, ...] = ()
    rooms: int = 1000


class Fleet:
    """A signaling server and its workers, until the end of the ``async with`` block.

    Args:
        settings: The settings.
    """

    def __init__(self, settings: FleetSettings) -> None:
        self._settings = settings
        self._token = secrets.token_urlsafe(32)
        self._assignment = Assignment()
        self._processes: dict[str, Process] = {}
        self._keeping: list[asyncio.Task[None]] = []
        self._is_ending = False
        # The bots are participants, too, all from one address.
        each = AddressLimits()
        limits = AddressLimits(
            sockets=(each.sockets or 0) + settings.rooms,
            seats=(each.seats or 0) + settings.rooms,
            joins=(each.joins or 0) + settings.rooms,
        )
        self._server = serve(
            settings.host,
            settings.port,
            configuration=ServerConfiguration(
                admit=self._admit, limits=Limits(rooms=settings.rooms, address=limits)
            ),
        )

    @property
    def server(self) -> SignalingServer:
        """The signaling server."""
        return self._server

    @property
    def rooms(self) -> dict[str, str | None]:
        """The worker of each room in which somebody is."""
        return self._assignment.rooms

    @property
    def pids(self) -> dict[str, int]:
        """The process of each worker that runs."""
        return {name: process.pid for name, process in self._processes.items()}

    async def __aenter__(self) -> Self:
        await self._server.__aenter__()
        self._keeping = [
            asyncio.create_task(self._keep(number), name=f"worker {number}")
            for number in range(self._settings.workers)
        ]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Drain all workers, and end; takes the time for draining at most, and some seconds."""
        self._is_ending = True
        for process in self._processes.values():
            _terminate(process)
        try:
            async with asyncio.timeout(self._settings.drain + KILL_AFTER):
                await asyncio.gather(*self._keeping)
        except TimeoutError:
            logger.warning("workers are killed that have not ended")
        finally:
            for task in self._keeping:
                task.cancel()
            await asyncio.gather(*self._keeping, return_exceptions=True)
            await self._server.__aexit__(exc_type, exc, traceback)

    async def failed(self) -> None:
        """Wait until a worker cannot be started, and raise the reason.

        Cancellation: safe.
        """
        done, _ = await asyncio.wait(self._keeping, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    # --- rooms

    def _admit(self, join: Join) -> Admission | None:
        is_bot = isinstance(join.token, str) and hmac.compare_digest(
            join.token.encode(), self._token.encode()
        )
        if not is_bot:
            self._give(self._assignment.wanted(join.room))
        return Admission(rename=True)

    def _give(self, orders: Iterable[Order]) -> None:
        for order in orders:
            process = self._processes.get(order.worker)
            if process is not None and process.stdin is not None:
                line = json.dumps({"room": order.room, "number": order.number})
                process.stdin.write(line.encode() + b"\n")

    # --- workers

    async def _keep(self, number: int) -> None:
        """Run a worker, and another one when it has ended."""
        name = f"worker-{number}"
        while not self._is_ending:
            process = await asyncio.create_subprocess_exec(
                *self._command(number),
                stdin=PIPE,
                stdout=PIPE,
                env={**os.environ, TOKEN_VARIABLE: self._token},
            )
            self._processes[name] = process
            try:
                await self._listen(name, process)
                code = await process.wait()
            finally:
                del self._processes[name]
                if process.returncode is None:
                    process.kill()
                    await process.wait()
                self._give(self._assignment.remove(name))
            logger.info("%s has ended with code %d", name, code)
            if not self._is_ending:
                await asyncio.sleep(RESTART_PAUSE)

    async def _listen(self, name: str, process: Process) -> None:
        if self._is_ending:
            _terminate(process)  # it was started meanwhile
        if process.stdout is None:
            raise RuntimeError("a worker has no output")
        while line := await process.stdout.readline():
            message: dict[str, Any] = json.loads(line)
            if "ready" in message:
                logger.info("%s is ready: process %d", name, process.pid)
                self._give(self._assignment.add(name))
            elif "draining" in message:
                logger.info("%s takes no more rooms", name)
                self._assignment.drain(name)
            elif "left" in message:
                room, order = message["left"], message["number"]
                self._give(self._assignment.left(name, room, order, is_empty=message["empty"]))

    def _command(self, number: int) -> list[str]:
        settings = self._settings
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)
        command = [
            *(sys.executable, "-m", "icefloe.demos.fleet.worker"),
            *("--server", f"ws://{host}:{self._server.port}/ws"),
            *("--bot", settings.bot, "--name", settings.name),
            *("--idle", str(settings.idle), "--drain", str(settings.drain)),
        ]
        if settings.udp_port is not None:
            command += ["--udp-port", str(settings.udp_port + number)]
        if settings.tcp_port is not None:
            command += ["--tcp-port", str(settings.tcp_port + number)]
        for address in settings.external_addresses:
            command += ["--external-address", address]
        return command


def _terminate(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
