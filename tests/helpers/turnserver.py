"""A TURN server that misbehaves on demand, for what coturn can't be brought to do.

It speaks RFC 8656 over UDP and TCP as far as a client sees it, with long-term credentials; what it
relays goes nowhere, and is noted.
"""

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from aioice import stun
from aioice.turn import make_integrity_key

from icefloe.peer.ice.server_urls import Transport
from icefloe.peer.ice.turn.transports import Endpoint, Framer
from tests.helpers.turn import PASSWORD, REALM, USER

RELAYED = ("198.51.100.7", 40000)
MAPPED = ("203.0.113.9", 50000)


@dataclass
class TurnServer:
    """The behaviour of the server, and the requests that it has seen."""

    transport: Transport
    host: str
    port: int = 0
    users: dict[str, str] = field(default_factory=lambda: {USER: PASSWORD})
    lifetime: int = 600
    refuse: dict[stun.Method, list[int]] = field(default_factory=dict)
    """Error codes for the next signed requests of a method, in order."""
    silent: set[stun.Method] = field(default_factory=set)
    """Methods that are not answered."""
    attributes: dict[str, Any] = field(
        default_factory=lambda: {"XOR-RELAYED-ADDRESS": RELAYED, "XOR-MAPPED-ADDRESS": MAPPED}
    )
    """The attributes of an Allocate response."""
    reason: str = "as told"
    """The attributes of error responses to one."""
    nonce: bytes = b"nonce-0"
    requests: list[stun.Message] = field(default_factory=list)
    indications: list[stun.Message] = field(default_factory=list)
    data: list[tuple[int, bytes]] = field(default_factory=list)
    """Channel number and payload of what was to be relayed."""
    clients: list[Callable[[bytes], None]] = field(default_factory=list)
    connections: list[asyncio.Transport] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port, self.transport, self.host)

    @property
    def url(self) -> str:
        return f"turn:{self.host}:{self.port}?transport={self.transport}"

    def seen(self, method: stun.Method) -> list[stun.Message]:
        """Return the signed requests of a method so far."""
        return [r for r in self.requests if r.message_method == method and "NONCE" in r.attributes]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, looking again whenever something comes."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    def renew_nonce(self) -> None:
        self.nonce = b"nonce-" + os.urandom(4).hex().encode()

    def send(self, data: bytes) -> None:
        """Send bytes to the latest client."""
        self.clients[-1](data)

    def send_channel_data(self, channel: int, payload: bytes) -> None:
        data = struct.pack("!HH", channel, len(payload)) + payload
        self.send(data + bytes(-len(data) % 4) if self.transport is Transport.TCP else data)

    def received(self, data: bytes, reply: Callable[[bytes], None]) -> None:
        if data[0] >> 6 == 1:
            number, size = struct.unpack_from("!HH", data)
            self.data.append((number, data[4 : 4 + size]))
        else:
            message = stun.parse_message(data)
            if message.message_class == stun.Class.REQUEST:
                self.requests.append(message)
                self._answer(message, reply)
            else:
                self.indications.append(message)
        self.changed.set()

    def _answer(self, request: stun.Message, reply: Callable[[bytes], None]) -> None:
        method, given = request.message_method, request.attributes
        if method in self.silent:
            return
        key = make_integrity_key(USER, REALM, "")
        error: int | None = None
        if "NONCE" not in given:
            error = 401
        elif given["NONCE"] != self.nonce:
            error = 438
        elif given["USERNAME"] not in self.users:
            error = 401
        else:
            key = make_integrity_key(given["USERNAME"], REALM, self.users[given["USERNAME"]])
            if not request.check_message_integrity(key):
                error = 401
            elif self.refuse.get(method):
                error = self.refuse[method].pop(0)
        kind = stun.Class.RESPONSE if error is None else stun.Class.ERROR
        answer = stun.Message(method, kind, transaction_id=request.transaction_id)
        if error is not None:
            answer.attributes["ERROR-CODE"] = (error, self.reason)
            if error in (401, 438):
                answer.attributes["REALM"] = REALM
                answer.attributes["NONCE"] = self.nonce
        elif method == stun.Method.ALLOCATE:
            answer.attributes.update(self.attributes, LIFETIME=self.lifetime)
        elif method == stun.Method.REFRESH:
            answer.attributes["LIFETIME"] = given["LIFETIME"] and self.lifetime
        if error not in (401, 438):
            answer.add_message_integrity(key)
        reply(bytes(answer))


@asynccontextmanager
async def turn_server(transport: Transport, host: str = "127.0.0.1") -> AsyncIterator[TurnServer]:
    """Run the server until the end of the block."""
    server = TurnServer(transport, host)
    loop = asyncio.get_running_loop()
    if transport is Transport.UDP:
        datagrams, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(server), local_addr=(host, 0)
        )
        server.port = datagrams.get_extra_info("sockname")[1]
        try:
            yield server
        finally:
            datagrams.close()
        return
    listener = await loop.create_server(lambda: _Stream(server), host, 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for connection in server.connections:
            connection.abort()
        await listener.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: TurnServer) -> None:
        self.server = server
        self.clients: dict[Any, Callable[[bytes], None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if addr not in self.clients:
            self.clients[addr] = lambda answer: self.transport.sendto(answer, addr)
            self.server.clients.append(self.clients[addr])
        self.server.received(data, self.clients[addr])


class _Stream(asyncio.Protocol):
    def __init__(self, server: TurnServer) -> None:
        self.server = server
        self.framer = Framer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.server.connections.append(self.transport)
        self.server.clients.append(self.transport.write)

    def data_received(self, data: bytes) -> None:
        for message in self.framer.feed(data):
            self.server.received(message, self.transport.write)
