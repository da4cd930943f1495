"""The port for TCP connections of many peers: who gets in, and what strangers cost."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import pytest
from aioice import stun

from icefloe.peer import (
    PeerConfiguration,
    PeerConnection,
    TcpMux,
    TcpMuxUnusable,
    TcpPortUnavailable,
    UdpMux,
)
from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.tcp import admission, transport
from icefloe.peer.ice.tcp.framing import Deframer, frame
from icefloe.peer.ice.tcp.sockets import TcpSockets
from tests.helpers.pairs import closing, connected, negotiate, without_udp

HOST = "127.0.0.1"


class Stranger:
    """A TCP connection to the port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._deframer = Deframer()

    @property
    def address(self) -> tuple[str, int]:
        """The address that it connects from."""
        name = self.writer.get_extra_info("sockname")
        return name[0], name[1]

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    async def receive(self) -> stun.Message:
        """Wait for a STUN message."""
        while (datagram := self._deframer.next()) is None:
            data = await self.reader.read(65536)
            assert data, "it was closed"
            self._deframer.feed(data)
        return stun.parse_message(datagram)

    async def is_closed(self) -> bool:
        """Wait for the end of the connection; return whether nothing came before it."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        """Close it."""
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


@dataclass
class Port:
    """A port with one peer connection behind it, which has offered and waits for an answer."""

    mux: TcpMux
    credentials: Credentials
    stack: AsyncExitStack

    async def stranger(self) -> Stranger:
        """Connect; it is closed at the end of the test."""
        found = Stranger(*await asyncio.open_connection(HOST, self.mux.port))
        self.stack.push_async_callback(found.close)
        return found

    def check(self, **changes: str) -> bytes:
        """Return a framed check of the remote peer, or of one who knows less."""
        known = {"remote_username": self.credentials.remote_username or ""}
        known |= {"remote_password": self.credentials.remote_password or ""}
        known |= changes
        credentials = Credentials("far", "far-password", **known)
        _, made = binding.request(credentials, Role(False, 1), local_preference=1)
        return frame(made)

    async def counted(self, **counts: int) -> None:
        """Wait until the counters are so."""
        while any(getattr(self.mux.stats(), name) != value for name, value in counts.items()):
            await asyncio.sleep(0.01)


def value_of(sdp: str, name: str) -> str:
    """Return the value of the first attribute with a name."""
    return next(
        line.partition(":")[2] for line in sdp.splitlines() if line.startswith(f"a={name}:")
    )


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    async with opened() as found:
        yield found


@asynccontextmanager
async def opened(**options: object) -> AsyncIterator[Port]:
    async with await TcpMux.open(0) as mux, AsyncExitStack() as stack:
        connection = PeerConnection(
            PeerConfiguration(tcp_mux=mux, include_loopback=True, **options)  # type: ignore[arg-type]
        )
        connection.createDataChannel("x")
        async with closing(connection):
            await connection.setLocalDescription()
            sdp = connection.localDescription.sdp
            named = value_of(sdp, "ice-ufrag"), value_of(sdp, "ice-pwd")
            yield Port(mux, Credentials("far", "far-password", *named), stack)


async def test_an_authentic_check_is_answered_on_its_connection(port: Port) -> None:
    stranger = await port.stranger()
    stranger.send(port.check())
    answer = await stranger.receive()
    assert answer.message_class is stun.Class.RESPONSE
    assert answer.attributes["XOR-MAPPED-ADDRESS"] == stranger.address
    assert (port.mux.stats().accepted, port.mux.stats().authenticated) == (1, 1)


async def test_a_check_may_come_byte_by_byte(port: Port) -> None:
    stranger = await port.stranger()
    for byte in port.check():
        stranger.send(bytes([byte]))
        await stranger.writer.drain()
        await asyncio.sleep(0)
    assert (await stranger.receive()).message_class is stun.Class.RESPONSE


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(21_000),
        b"\x16\x03\x01\x02\x00" + bytes(6000),
        b"\xff\xff",
        frame(b""),
        frame(b"not STUN"),
        frame(bytes(20)),
        frame(bytes(stun.Message(stun.Method.BINDING, stun.Class.REQUEST))),
        frame(bytes(stun.Message(stun.Method.BINDING, stun.Class.INDICATION))),
    ],
    ids=["http", "tls", "giant", "empty", "text", "zeros", "anonymous", "indication"],
)
async def test_what_does_not_begin_with_a_check_is_closed_without_a_word(
    port: Port, first: bytes
) -> None:
    stranger = await port.stranger()
    stranger.send(first)
    if first == frame(b""):
        stranger.send(frame(b"x"))
    assert await stranger.is_closed()
    await port.counted(authenticated=0, refused=1)


@pytest.mark.parametrize(
    "changes", [{"remote_username": "nobody"}, {"remote_password": "wrong-password-123456"}]
)
async def test_a_check_that_is_not_authentic_is_closed_without_a_word(
    port: Port, changes: dict[str, str]
) -> None:
    stranger = await port.stranger()
    stranger.send(port.check(**changes))
    assert await stranger.is_closed()
    await port.counted(authenticated=0, refused=1)


@pytest.mark.parametrize("sent", [b"", b"\x00", b"\x00\x60\x00\x01"])
async def test_who_says_too_little_is_closed_after_some_seconds(
    monkeypatch: pytest.MonkeyPatch, port: Port, sent: bytes
) -> None:
    monkeypatch.setattr(admission, "AUTHENTICATION_TIMEOUT", 0.05)
    stranger = await port.stranger()
    stranger.send(sent)
    assert await stranger.is_closed()
    await port.counted(refused=1)


async def test_a_flood_of_silent_connections_keeps_nobody_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "MAX_UNAUTHENTICATED_PER_SOURCE", 8)
    async with opened() as port:
        strangers = [await port.stranger() for _ in range(40)]
        await port.counted(accepted=40, displaced=32)
        for displaced in strangers[:32]:
            assert await displaced.is_closed()
        one = await port.stranger()
        one.send(port.check())
        assert (await one.receive()).message_class is stun.Class.RESPONSE


async def test_who_has_authenticated_is_not_displaced_by_strangers(
    monkeypatch: pytest.MonkeyPatch, port: Port
) -> None:
    monkeypatch.setattr(admission, "MAX_UNAUTHENTICATED", 4)
    one = await port.stranger()
    one.send(port.check())
    await one.receive()
    for _ in range(10):
        await port.stranger()
    await port.counted(displaced=6)
    one.send(port.check())
    assert (await one.receive()).message_class is stun.Class.RESPONSE


async def test_a_peer_that_opens_too_many_connections_loses_the_most_silent(
    monkeypatch: pytest.MonkeyPatch, port: Port
) -> None:
    monkeypatch.setattr(transport, "MAX_CONNECTIONS", 3)
    peers = [await port.stranger() for _ in range(3)]
    for peer in [*peers, peers[0]]:
        peer.send(port.check())
        await peer.receive()
    late = await port.stranger()
    late.send(port.check())
    await late.receive()
    assert await peers[1].is_closed()
    for peer in (peers[0], peers[2], late):
        peer.send(port.check())
        assert (await peer.receive()).message_class is stun.Class.RESPONSE


async def test_empty_frames_and_long_ones_of_a_peer_change_nothing(port: Port) -> None:
    peer = await port.stranger()
    peer.send(port.check())
    await peer.receive()
    peer.send(frame(b"") * 100_000 + frame(bytes(65535)) + port.check())
    assert (await peer.receive()).message_class is stun.Class.RESPONSE


async def test_a_reset_at_any_time_leaves_nothing(port: Port) -> None:
    for sent in (b"", port.check()[:10], port.check()):
        stranger = await port.stranger()
        stranger.send(sent)
        sock = stranger.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stranger.close()
    await port.counted(accepted=3)


# --- opening and closing


async def test_closing_ends_all_connections_and_a_second_time_does_nothing() -> None:
    async with opened() as port:
        silent, peer = await port.stranger(), await port.stranger()
        peer.send(port.check())
        await peer.receive()
        await port.counted(accepted=2)
        await port.mux.close()
        assert await silent.is_closed()
        assert await peer.is_closed()
        await port.mux.close()
        with pytest.raises(OSError):
            await asyncio.open_connection(HOST, port.mux.port)


async def test_a_port_in_use_is_told() -> None:
    async with await TcpMux.open(0) as mux:
        with pytest.raises(TcpPortUnavailable) as caught:
            await TcpMux.open(mux.port)
        assert isinstance(caught.value, OSError)
        assert caught.value.port == mux.port


@pytest.mark.parametrize("port", [-1, 65536])
async def test_what_is_no_port_is_told(port: int) -> None:
    with pytest.raises(ValueError, match=str(port)):
        await TcpMux.open(port)


async def test_a_mux_that_is_closed_or_of_another_event_loop_is_told() -> None:
    mux = await TcpMux.open()
    connection = PeerConnection(PeerConfiguration(tcp_mux=mux))
    connection.createDataChannel("x")
    with pytest.raises(TcpMuxUnusable, match="another event loop"):
        await asyncio.to_thread(lambda: asyncio.run(_port_of(mux)))
    await mux.close()
    assert mux.is_closed
    async with closing(connection):
        with pytest.raises(TcpMuxUnusable, match="closed"):
            await connection.setLocalDescription()


async def _port_of(mux: TcpMux) -> int | None:
    mux.ensure_usable()
    return mux.port_for(HOST)


async def test_both_muxes_may_have_one_port_number() -> None:
    async with await UdpMux.open() as udp, await TcpMux.open(udp.port) as tcp:
        for change, protocol in ((str, "udp"), (without_udp, "tcp")):
            far = PeerConnection()
            near = PeerConnection(PeerConfiguration(udp_mux=udp, tcp_mux=tcp))
            near.createDataChannel("x")
            async with closing(near, far):
                await negotiate(near, far, change, change)
                await connected(near, far)
                pair = near.selected_candidate_pair
                assert pair is not None
                assert (pair.local.protocol, pair.local.port) == (protocol, udp.port)


async def test_addresses_are_ip_addresses_in_a_sequence() -> None:
    with pytest.raises(ValueError, match="sequence"):
        await TcpMux.open(0, addresses="127.0.0.1")
    with pytest.raises(ValueError):
        await TcpMux.open(0, addresses=("bot.example",))


async def test_candidates_are_those_of_the_addresses_that_are_listened_on() -> None:
    async with await TcpMux.open(0, addresses=(HOST,)) as mux:
        assert mux.addresses == (HOST,)
        connection = PeerConnection(PeerConfiguration(tcp_mux=mux, include_loopback=True))
        connection.createDataChannel("x")
        async with closing(connection):
            await connection.setLocalDescription()
            sdp = connection.localDescription.sdp
            passive = [line for line in sdp.splitlines() if line.endswith("tcptype passive")]
            assert [line.split()[4:6] for line in passive] == [[HOST, str(mux.port)]]


async def test_external_addresses_are_announced_for_passive_candidates() -> None:
    async with await TcpMux.open(0) as mux:
        options = {"external_addresses": ("203.0.113.4",), "addresses": ("0.0.0.0/0",)}
        for kind, announced in (("host", 1), ("srflx", 2)):
            connection = PeerConnection(
                PeerConfiguration(tcp_mux=mux, external_address_type=kind, **options)  # type: ignore[arg-type]
            )
            connection.createDataChannel("x")
            async with closing(connection):
                await connection.setLocalDescription()
                sdp = connection.localDescription.sdp
                passive = [line.split() for line in sdp.splitlines() if "tcptype passive" in line]
                assert len(passive) == announced
                assert ["203.0.113.4", str(mux.port), "typ", kind] in [p[4:8] for p in passive]


async def test_a_username_fragment_that_is_taken_costs_only_the_tcp_candidates(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with await TcpMux.open(0) as mux:
        mux._table.register("same", cast(Any, object()), object())
        receiver = cast(Any, None)
        configuration = PeerConfiguration(tcp_mux=mux).ice
        sockets = TcpSockets(receiver, Credentials("same", "p" * 22), configuration)
        assert sockets.open_passive(HOST) is None
        assert "same" in caplog.text
        sockets.close()


async def test_many_connections_share_a_port() -> None:
    async with await TcpMux.open(0) as mux, AsyncExitStack() as stack:
        pairs = []
        for _ in range(5):
            near, far = PeerConnection(PeerConfiguration(tcp_mux=mux)), PeerConnection()
            await stack.enter_async_context(closing(near, far))
            near.createDataChannel("x")
            pairs.append((near, far))
        await asyncio.gather(
            *(negotiate(near, far, without_udp, without_udp) for near, far in pairs)
        )
        for near, far in pairs:
            await connected(near, far)
            assert near.selected_candidate_pair is not None
            assert near.selected_candidate_pair.local.port == mux.port
