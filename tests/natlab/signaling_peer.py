"""The signaling server at a lab's public host; a program as :mod:`tests.natlab.program` has it.

``start`` has ``host``, ``port``, ``iceServers``, ``lifetime`` (seconds that the credentials of TURN
servers hold, ``null`` for ever) and ``awaySeconds``. Each ``join`` is reported as ``joined``, with
``resume``: whether it takes up a seat.
"""

import asyncio
from contextlib import AsyncExitStack

from msgspec import UNSET, convert, structs

from icefloe.signaling import (
    Admission,
    IceAccess,
    IceRequest,
    IceServer,
    Join,
    Limits,
    ServerConfiguration,
    serve,
)
from tests.natlab.program import Message, drive, emit, log_to_stderr
from tests.natlab.turn import time_limited


class SignalingProgram:
    """A server that names TURN servers as one in production does: with credentials that lapse."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._servers: list[IceServer] = []
        self._lifetime: float | None = None

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        if message["do"] != "start":
            raise ValueError(f"cannot {message['do']}")
        self._servers = convert(message["iceServers"], list[IceServer])
        self._lifetime = message["lifetime"]
        configuration = ServerConfiguration(
            limits=Limits(away_seconds=message["awaySeconds"]),
            admit=self._admit,
            ice_provider=self._provide if self._lifetime is not None else None,
        )
        server = serve(message["host"], message["port"], configuration=configuration)
        await self._stack.enter_async_context(server)
        emit("listening", url=server.url)

    def _admit(self, join: Join) -> Admission:
        emit("joined", name=join.name, resume=join.resume is not UNSET)
        return Admission(ice_servers=tuple(self._servers) if self._lifetime is None else ())

    async def _provide(self, request: IceRequest) -> IceAccess:
        """Make credentials as a provider of TURN does."""
        assert self._lifetime is not None
        username, credential = time_limited(self._lifetime)
        emit("provided", name=request.name)
        servers = (
            structs.replace(server, username=username, credential=credential)
            if isinstance(server.username, str)
            else server
            for server in self._servers
        )
        return IceAccess(tuple(servers), self._lifetime)

    async def close(self) -> None:
        """End the server."""
        await self._stack.aclose()


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(drive(SignalingProgram()))
