"""STUN and TURN servers for tests: coturn for real, and ones that never say anything."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import trustme
from aioice import stun

from tests.helpers import system

USER, PASSWORD, REALM = "user", "secret", "test.invalid"


@dataclass(frozen=True, slots=True)
class Coturn:
    """A running coturn, with a user ``user`` whose password is ``secret``."""

    host: str
    port: int
    tls_port: int
    ca: trustme.CA

    @property
    def stun(self) -> str:
        return f"stun:{self._bracketed}:{self.port}"

    def turn(self, transport: str) -> str:
        """Return the TURN URL for ``udp``, ``tcp`` or ``tls``."""
        if transport == "tls":
            return f"turns:{self._bracketed}:{self.tls_port}"
        return f"turn:{self._bracketed}:{self.port}?transport={transport}"

    @property
    def _bracketed(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def free_port(host: str, kind: int = socket.SOCK_DGRAM) -> int:
    """Return a port that nobody uses at the moment."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as sock:
        sock.bind((host, 0))
        port: int = sock.getsockname()[1]
        return port


@asynccontextmanager
async def coturn(folder: Path, host: str, *options: str) -> AsyncIterator[Coturn]:
    """Run coturn at an address of this machine until the end of the block.

    Args:
        folder: Where its files go.
        host: The address.
        options: Further lines of its configuration file.
    """
    ca = trustme.CA()
    certificate = ca.issue_cert(host)
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    server = Coturn(host, free_port(host), free_port(host, socket.SOCK_STREAM), ca)
    (folder / "turn.conf").write_text(
        f"listening-ip={host}\nrelay-ip={host}\nlistening-port={server.port}\n"
        f"tls-listening-port={server.tls_port}\nrealm={REALM}\nfingerprint\n"
        f"lt-cred-mech\nuser={USER}:{PASSWORD}\ncert={folder}/cert.pem\npkey={folder}/key.pem\n"
        f"userdb={folder}/turndb\npidfile={folder}/turn.pid\nlog-file=stdout\n"
        "no-cli\nno-multicast-peers\nallow-loopback-peers\nrelay-threads=1\n"
        + "".join(f"{option}\n" for option in options)
    )
    program = system.find("turnserver")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program,
        "-c",
        str(folder / "turn.conf"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _accepts(host, server.tls_port)
        yield server
    finally:
        process.terminate()
        await process.wait()


async def _accepts(host: str, port: int) -> None:
    """Wait until a TCP port accepts connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            await writer.wait_closed()
            return


@dataclass(slots=True)
class Silent:
    """Ports that take everything and never answer."""

    host: str
    udp_port: int
    tcp_port: int
    received: int = 0

    @property
    def stun(self) -> str:
        return f"stun:{self.host}:{self.udp_port}"

    def turn(self, transport: str) -> str:
        """Return the TURN URL for ``udp``, ``tcp`` or ``tls``."""
        if transport == "udp":
            return f"turn:{self.host}:{self.udp_port}?transport=udp"
        scheme = "turns" if transport == "tls" else "turn"
        return f"{scheme}:{self.host}:{self.tcp_port}?transport=tcp"


@asynccontextmanager
async def silent(host: str, port: int = 0) -> AsyncIterator[Silent]:
    """Listen on UDP and TCP, and say nothing, until the end of the block.

    Args:
        host: The address to listen at.
        port: The port to listen on; any that is free if it is 0.
    """
    loop = asyncio.get_running_loop()

    class Sink(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: object) -> None:
            server.received += 1

    transport, _ = await loop.create_datagram_endpoint(Sink, local_addr=(host, port))
    connections: set[asyncio.StreamWriter] = set()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.received += 1
        connections.add(writer)
        try:
            await reader.read()
        finally:
            writer.close()
            connections.discard(writer)

    listener = await asyncio.start_server(hold, host, port)
    server = Silent(
        host, transport.get_extra_info("sockname")[1], listener.sockets[0].getsockname()[1]
    )
    try:
        yield server
    finally:
        transport.close()
        listener.close()
        for writer in list(connections):
            writer.transport.abort()
        await listener.wait_closed()


class StunServer(asyncio.DatagramProtocol):
    """A STUN server behind a NAT of its own invention: what it sees is what it is told to see."""

    def __init__(self, mapped: tuple[str, int]) -> None:
        self.mapped = mapped
        self.requests: list[tuple[str, int]] = []
        self.changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)
        self.host, self.port = transport.get_extra_info("sockname")[:2]

    @property
    def url(self) -> str:
        return f"stun:{self.host}:{self.port}"

    def datagram_received(self, data: bytes, addr: Any) -> None:
        request = stun.parse_message(data)
        self.requests.append(addr[:2])
        answer = stun.Message(request.message_method, stun.Class.RESPONSE, request.transaction_id)
        answer.attributes["XOR-MAPPED-ADDRESS"] = self.mapped
        self.transport.sendto(bytes(answer), addr)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds, looking again at each request."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()


@asynccontextmanager
async def stun_server(
    host: str, mapped: tuple[str, int], port: int = 0
) -> AsyncIterator[StunServer]:
    """Run a STUN server that tells everybody the same address, until the end of the block."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: StunServer(mapped), local_addr=(host, port)
    )
    try:
        yield server
    finally:
        transport.close()
