"""The TURN client, against coturn where it can show it and a server that misbehaves where not."""

import asyncio
import errno
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aioice import stun
from hypothesis import HealthCheck, given, settings, strategies as st

from icefloe.peer.ice.server_urls import Transport
from icefloe.peer.ice.turn import allocation, channels, client as turn_client, transports
from icefloe.peer.ice.turn.client import RelayTransport, allocate
from icefloe.peer.ice.turn.transactions import Transactions
from icefloe.peer.ice.turn.transports import Endpoint
from tests.helpers.netns import ADDRESS
from tests.helpers.turn import PASSWORD, USER, coturn
from tests.helpers.turnserver import MAPPED, RELAYED, TurnServer, turn_server

PEER = ("198.51.100.1", 4000)
PLAIN = [Transport.UDP, Transport.TCP]
needs_coturn = pytest.mark.system("coturn", "netns")


class Receiver(asyncio.DatagramProtocol):
    """Everything that comes out of an allocation."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.changed = asyncio.Event()
        self.closed: asyncio.Future[Exception | None] = asyncio.Future()
        self.reasons: list[str] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.append((data, addr))
        self.changed.set()

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(exc)

    def lost(self, reason: str) -> None:
        self.reasons.append(reason)
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


def known() -> tuple[str | None, str | None]:
    return USER, PASSWORD


@asynccontextmanager
async def allocated(
    endpoint: Endpoint, credentials: Callable[[], Any] = known, **options: Any
) -> AsyncIterator[tuple[RelayTransport, Receiver]]:
    transport, receiver = await allocate(
        Receiver, endpoint, credentials, on_lost=Receiver.lost, **options
    )
    try:
        yield transport, receiver
    finally:
        transport.close()
        await receiver.closed


# --- against coturn


@needs_coturn
@pytest.mark.parametrize("transport", PLAIN)
async def test_two_allocations_of_coturn_exchange_datagrams(
    tmp_path: Path, transport: Transport
) -> None:
    async with coturn(tmp_path, ADDRESS) as server:
        endpoint = Endpoint(ADDRESS, server.port, transport, ADDRESS)
        async with allocated(endpoint) as (a, left), allocated(endpoint) as (b, right):
            a_addr, b_addr = a.get_extra_info("sockname"), b.get_extra_info("sockname")
            assert a.get_extra_info("related_address") == a.get_extra_info("local_address")
            a.sendto(b"opens the way", b_addr)
            b.sendto(b"hello", a_addr)
            await left.until(lambda: bool(left.received))
            a.sendto(b"hello yourself", b_addr)
            a.sendto(b"x" * 1200, b_addr)
            await right.until(lambda: (b"x" * 1200, a_addr) in right.received)
        assert left.received == [(b"hello", b_addr)]
        assert (b"hello yourself", a_addr) in right.received
        assert left.errors == right.errors == []


@needs_coturn
async def test_closing_frees_the_allocation_of_coturn(tmp_path: Path) -> None:
    async with coturn(tmp_path, ADDRESS, "user-quota=1") as server:
        endpoint = Endpoint(ADDRESS, server.port, Transport.UDP, ADDRESS)
        async with allocated(endpoint):
            with pytest.raises(stun.TransactionFailed) as refused:
                async with allocated(endpoint):
                    pass
            assert refused.value.response.error_code == 486
        while True:  # coturn counts an allocation for a moment after it is freed, not for 600 s
            try:
                async with allocated(endpoint):
                    return
            except stun.TransactionFailed:
                await asyncio.sleep(0.1)


@needs_coturn
async def test_an_ipv6_allocation_is_asked_for_by_its_family(tmp_path: Path) -> None:
    async with coturn(tmp_path, "::1") as server:
        endpoint = Endpoint("::1", server.port, Transport.UDP, "::1")
        async with allocated(endpoint, address_family=6) as (transport, _):
            assert transport.get_extra_info("sockname")[0] == "::1"
        with pytest.raises(stun.TransactionFailed) as refused:
            async with allocated(endpoint):
                pass
        assert refused.value.response.error_code == 440


# --- sending


@pytest.mark.parametrize("transport", PLAIN)
async def test_what_is_sent_while_the_channel_is_bound_follows_it_in_order(
    transport: Transport,
) -> None:
    async with turn_server(transport) as server, allocated(server.endpoint) as (client, _):
        assert client.get_extra_info("sockname") == RELAYED
        assert client.get_extra_info("related_address") == MAPPED
        for number in range(3):
            client.sendto(bytes([number]) * (number + 1), PEER)
        await server.until(lambda: len(server.data) == 3)
        assert server.data == [(0x4000, b"\0"), (0x4000, b"\1\1"), (0x4000, b"\2\2\2")]
        assert len(server.seen(stun.Method.CHANNEL_BIND)) == 1
        server.send_channel_data(0x4000, b"answer")
        server.send_channel_data(0x4001, b"nobody's")


async def test_a_bound_channel_costs_no_task() -> None:
    async with turn_server(Transport.UDP) as server, allocated(server.endpoint) as (client, _):
        client.sendto(b"first", PEER)
        await server.until(lambda: bool(server.data))
        before = asyncio.all_tasks()
        for _ in range(10):
            client.sendto(b"next", PEER)
        assert asyncio.all_tasks() == before


async def test_only_the_newest_wait_for_a_channel() -> None:
    async with turn_server(Transport.UDP) as server, allocated(server.endpoint) as (client, _):
        for number in range(turn_client.MAX_QUEUED_PER_PEER + 5):
            client.sendto(bytes([number]), PEER)
        await server.until(lambda: len(server.data) >= turn_client.MAX_QUEUED_PER_PEER)
        assert [data[0] for _, data in server.data] == list(
            range(5, turn_client.MAX_QUEUED_PER_PEER + 5)
        )


async def test_a_datagram_that_does_not_fit_is_refused() -> None:
    async with turn_server(Transport.TCP) as server, allocated(server.endpoint) as (client, got):
        client.sendto(bytes(turn_client.MAX_DATAGRAM + 1), PEER)
        client.sendto(b"x", ("no address", 1))
        client.sendto(b"x", None)
        assert [getattr(error, "errno", None) for error in got.errors] == [
            errno.EMSGSIZE,
            errno.EDESTADDRREQ,
            errno.EDESTADDRREQ,
        ]
        client.sendto(bytes(turn_client.MAX_DATAGRAM), PEER)
        await server.until(lambda: bool(server.data))
        assert len(server.data[0][1]) == turn_client.MAX_DATAGRAM


async def test_a_server_that_does_not_read_bounds_what_waits() -> None:
    async with turn_server(Transport.TCP) as server, allocated(server.endpoint) as (client, _):
        client.sendto(b"first", PEER)
        await server.until(lambda: bool(server.data))
        server.connections[-1].pause_reading()
        link = client._link
        assert link is not None
        for _ in range(10_000):
            client.sendto(bytes(1200), PEER)
        queued = link.transport.get_write_buffer_size()  # type: ignore[union-attr]
        assert transports.MAX_QUEUED < queued < transports.MAX_QUEUED + 1300
        server.connections[-1].resume_reading()


async def test_a_refused_channel_is_reported_and_asked_for_again_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "HOLD_OFF", 0.0)
    async with turn_server(Transport.UDP) as server, allocated(server.endpoint) as (client, got):
        server.refuse[stun.Method.CHANNEL_BIND] = [403]
        client.sendto(b"lost", PEER)
        await got.until(lambda: bool(got.errors))
        assert "403" in str(got.errors[0])
        client.sendto(b"arrives", PEER)
        await server.until(lambda: bool(server.data))
        assert server.data == [(0x4000, b"arrives")]


# --- receiving


@pytest.mark.parametrize("transport", PLAIN)
async def test_data_comes_by_channel_or_indication_from_those_with_a_permission(
    transport: Transport,
) -> None:
    async with turn_server(transport) as server, allocated(server.endpoint) as (client, got):
        client.sendto(b"x", PEER)
        await server.until(lambda: bool(server.data))
        for source, data in ((("192.0.2.66", 1), b"stranger"), ((PEER[0], 9), b"same host")):
            indication = stun.Message(stun.Method.DATA, stun.Class.INDICATION)
            indication.attributes.update({"XOR-PEER-ADDRESS": source, "DATA": data})
            server.send(bytes(indication))
        server.send_channel_data(0x4999, b"no such channel")
        server.send_channel_data(0x4000, b"by channel")
        await got.until(lambda: len(got.received) == 2)
        assert got.received == [(b"same host", (PEER[0], 9)), (b"by channel", PEER)]


async def test_a_receiver_that_raises_does_not_end_the_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with turn_server(Transport.TCP) as server, allocated(server.endpoint) as (client, got):
        client.sendto(b"x", PEER)
        await server.until(lambda: bool(server.data))
        take = got.datagram_received

        def stumble(data: bytes, addr: Any) -> None:
            if data == b"bad":
                raise ValueError("stumbled")
            take(data, addr)

        monkeypatch.setattr(got, "datagram_received", stumble)
        server.send_channel_data(0x4000, b"bad")
        server.send_channel_data(0x4000, b"good")
        await got.until(lambda: bool(got.received))
        assert got.received == [(b"good", PEER)]
        assert "stumbled" in caplog.text


async def test_garbage_over_udp_changes_nothing() -> None:
    noise = random.Random(8656)
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    async with turn_server(Transport.UDP) as server, allocated(server.endpoint) as (client, got):
        client.sendto(b"x", PEER)
        await server.until(lambda: bool(server.data))
        real = bytes(
            stun.Message(stun.Method.DATA, stun.Class.INDICATION, attributes={"DATA": b""})
        )
        for _ in range(300):
            mutated = bytearray(real + noise.randbytes(noise.randrange(40)))
            mutated[noise.randrange(len(mutated))] ^= 1 << noise.randrange(8)
            struct.pack_into("!H", mutated, 2, len(mutated) - 20)
            server.send(noise.choice([bytes(mutated), noise.randbytes(noise.randrange(64))]))
            await asyncio.sleep(0)
        server.send_channel_data(0x4000, b"still here")
        await got.until(lambda: (b"still here", PEER) in got.received)
        assert errors == []


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
async def test_no_message_of_a_server_raises(data: bytes) -> None:
    got = Receiver()
    transport = RelayTransport(lifetime=600, close_timeout=0, on_lost=got.lost)
    transport._transactions = Transactions(lambda _: None, PEER, known, reliable=False)
    transport._on_message(data)
    for attribute in range(0x30):
        body = struct.pack("!HH", attribute, len(data)) + data + bytes(-len(data) % 4)
        header = struct.pack("!HHI12s", 0x0017, len(body), 0x2112A442, bytes(12))
        transport._on_message(header + body)
    assert got.received == []


async def test_garbage_over_tcp_ends_the_allocation() -> None:
    async with turn_server(Transport.TCP) as server, allocated(server.endpoint) as (client, got):
        server.send(b"\xff" * 100)
        assert isinstance(await asyncio.shield(got.closed), ConnectionError)
        assert len(got.reasons) == 1
        assert "does not speak TURN" in got.reasons[0]
        client.sendto(b"ignored", PEER)
        assert client.is_closing()


# --- what ends it


async def test_a_lost_connection_is_told_once() -> None:
    async with turn_server(Transport.TCP) as server, allocated(server.endpoint) as (client, got):
        server.connections[-1].abort()
        await asyncio.shield(got.closed)
        assert len(got.reasons) == 1
        assert "connection to the TURN server ended" in got.reasons[0]
        client.close()
        client.abort()


async def test_a_connection_that_ends_while_allocating_fails_at_once() -> None:
    async with turn_server(Transport.TCP) as server:
        server.silent.add(stun.Method.ALLOCATE)
        attempt = asyncio.create_task(allocate(Receiver, server.endpoint, known, on_lost=print))
        await server.until(lambda: bool(server.requests))
        server.connections[-1].abort()
        with pytest.raises(ConnectionError, match="ended"):
            await attempt


@pytest.mark.parametrize(("code", "said"), [(437, "437"), (401, "401"), (441, "441"), (403, "403")])
async def test_a_refused_refresh_ends_the_allocation(code: int, said: str) -> None:
    async with turn_server(Transport.UDP) as server:
        server.lifetime = 1
        async with allocated(server.endpoint) as (_, got):
            server.refuse[stun.Method.REFRESH] = [code] * 3
            await got.until(lambda: bool(got.reasons))
            assert "refused to refresh" in got.reasons[0]
            assert said in got.reasons[0]


@pytest.mark.parametrize("code", [401, 403, 441])
async def test_an_allocation_that_is_not_refreshed_relays_until_it_expires(code: int) -> None:
    async with turn_server(Transport.UDP) as server:
        server.lifetime = 2
        async with allocated(server.endpoint) as (client, got):
            server.refuse[stun.Method.REFRESH] = [code] * 3
            client.sendto(b"before", PEER)
            await got.until(lambda: bool(got.reasons))
            assert not client.is_closing()
            client.sendto(b"after", PEER)
            await server.until(lambda: (0x4000, b"after") in server.data)
            server.send_channel_data(0x4000, b"answer")
            await got.until(lambda: bool(got.received))
            with pytest.raises(ConnectionError, match="refused to refresh"):
                raise await asyncio.shield(got.closed) or AssertionError
            assert client.is_closing()
            assert len(got.reasons) == 1


async def test_a_refresh_without_an_answer_ends_it_when_its_time_is_over() -> None:
    async with turn_server(Transport.UDP) as server:
        server.lifetime = 1
        async with allocated(server.endpoint, close_timeout=0.05) as (_, got):
            server.silent.add(stun.Method.REFRESH)
            await got.until(lambda: bool(got.reasons))
            assert "did not answer" in got.reasons[0]


async def test_a_mismatch_on_a_channel_ends_the_allocation() -> None:
    async with turn_server(Transport.UDP) as server, allocated(server.endpoint) as (client, got):
        server.refuse[stun.Method.CHANNEL_BIND] = [437]
        client.sendto(b"x", PEER)
        await got.until(lambda: bool(got.reasons))
        assert "the server lost the allocation" in got.reasons[0]


# --- keeping it up


async def test_an_allocation_is_refreshed_in_time() -> None:
    async with turn_server(Transport.UDP) as server:
        server.lifetime = 1
        async with allocated(server.endpoint) as (_, got):
            await server.until(lambda: len(server.seen(stun.Method.REFRESH)) == 3)
            assert got.reasons == []


async def test_a_server_error_is_not_the_end_of_an_allocation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allocation, "REFRESH_RETRY_DELAY", 0.05)
    async with turn_server(Transport.UDP) as server:
        server.lifetime = 1
        async with allocated(server.endpoint) as (_, got):
            server.refuse[stun.Method.REFRESH] = [500, 500]
            await server.until(lambda: len(server.seen(stun.Method.REFRESH)) == 4)
            assert got.reasons == []


async def test_a_channel_in_use_is_bound_again_and_an_idle_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(channels, "REBIND_AFTER", 0.1)
    idle = ("198.51.100.2", 4000)
    async with turn_server(Transport.UDP) as server, allocated(server.endpoint) as (client, _):
        client.sendto(b"x", idle)
        client.sendto(b"x", PEER)

        def bound(peer: Any) -> int:
            requests = server.seen(stun.Method.CHANNEL_BIND)
            return sum(r.attributes["XOR-PEER-ADDRESS"] == peer for r in requests)

        await server.until(lambda: len(server.data) == 2)
        while bound(PEER) < 5:
            client.sendto(b"in use", PEER)
            await server.until(lambda: server.data[-1] == (0x4001, b"in use"))
            server.data.append((0, b""))
            await asyncio.sleep(0.02)
        assert bound(idle) <= 2
        assert idle not in client._bindings.ready


async def test_a_nat_is_reminded_while_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turn_client, "KEEPALIVE_INTERVAL", 0.05)
    async with turn_server(Transport.UDP) as server, allocated(server.endpoint):
        await server.until(lambda: len(server.indications) == 3)
        assert {m.message_method for m in server.indications} == {stun.Method.BINDING}


# --- credentials


async def test_a_stale_nonce_is_replaced() -> None:
    async with turn_server(Transport.UDP) as server:
        server.lifetime = 1
        async with allocated(server.endpoint) as (client, got):
            server.renew_nonce()
            client.sendto(b"x", PEER)
            await server.until(lambda: bool(server.data))
            server.renew_nonce()
            await server.until(lambda: len(server.seen(stun.Method.REFRESH)) == 3)
            assert got.reasons == []


async def test_a_server_that_always_has_a_new_nonce_is_given_up() -> None:
    async with turn_server(Transport.UDP) as server:
        server.refuse[stun.Method.ALLOCATE] = [438] * 100
        with pytest.raises(stun.TransactionFailed) as refused:
            await allocate(Receiver, server.endpoint, known, on_lost=Receiver.lost)
        assert refused.value.response.error_code == 438
        assert len(server.seen(stun.Method.ALLOCATE)) < 6


async def test_new_credentials_are_used_when_the_old_ones_are_refused() -> None:
    newest = [USER, PASSWORD]
    async with turn_server(Transport.UDP) as server:
        server.lifetime = 1
        async with allocated(server.endpoint, lambda: tuple(newest)) as (client, got):
            server.users.clear()
            server.users["later"] = "new secret"
            newest[:] = "later", "new secret"
            client.sendto(b"x", PEER)
            await server.until(lambda: bool(server.data))
            await server.until(lambda: len(server.seen(stun.Method.REFRESH)) == 2)
            assert server.seen(stun.Method.REFRESH)[-1].attributes["USERNAME"] == "later"
            assert got.reasons == []


@pytest.mark.parametrize("credentials", [(None, None), (USER, None), (USER, "wrong")])
async def test_wrong_or_missing_credentials_fail_with_the_servers_code(credentials: Any) -> None:
    async with turn_server(Transport.UDP) as server:
        with pytest.raises(stun.TransactionFailed) as refused:
            await allocate(Receiver, server.endpoint, lambda: credentials, on_lost=print)
        assert refused.value.response.error_code == 401
        assert len(server.requests) <= 2


@pytest.mark.parametrize(
    "broken",
    [
        {"XOR-RELAYED-ADDRESS": RELAYED},
        {"XOR-MAPPED-ADDRESS": MAPPED},
        {"XOR-RELAYED-ADDRESS": ("0.0.0.0", 1), "XOR-MAPPED-ADDRESS": MAPPED},
        {"XOR-RELAYED-ADDRESS": ("198.51.100.7", 0), "XOR-MAPPED-ADDRESS": MAPPED},
    ],
)
async def test_an_answer_of_no_use_is_an_error(broken: dict[str, Any]) -> None:
    async with turn_server(Transport.UDP) as server:
        server.attributes = broken
        with pytest.raises(ConnectionError, match="Allocate response"):
            await allocate(Receiver, server.endpoint, known, on_lost=print)


# --- closing


@pytest.mark.parametrize("transport", PLAIN)
async def test_closing_waits_no_longer_than_it_is_told(transport: Transport) -> None:
    async with turn_server(transport) as server:
        client, got = await allocate(
            Receiver, server.endpoint, known, on_lost=Receiver.lost, close_timeout=0.05
        )
        server.silent.add(stun.Method.REFRESH)
        client.close()
        client.close()
        assert await got.closed is None
        assert got.reasons == []
        assert server.seen(stun.Method.REFRESH)[0].attributes["LIFETIME"] == 0


@pytest.mark.parametrize("transport", PLAIN)
async def test_aborting_waits_for_nothing(transport: Transport) -> None:
    async with turn_server(transport) as server:
        client, got = await allocate(Receiver, server.endpoint, known, on_lost=Receiver.lost)
        client.sendto(b"waits for its channel", PEER)
        client.abort()
        assert await got.closed is None
        assert (got.reasons, got.errors) == ([], [])


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has these options")
async def test_a_tcp_relay_outlives_an_outage_of_a_minute() -> None:
    async with turn_server(Transport.TCP) as server, allocated(server.endpoint) as (client, _):
        link = client._link
        assert link is not None
        sock = link.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) > 60_000


async def test_a_server_that_refuses_the_connection_is_an_error() -> None:
    async with turn_server(Transport.TCP) as server:
        nobody = replace(server.endpoint, port=1)
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            await allocate(Receiver, nobody, known, on_lost=print)


def test_the_helper_is_what_its_name_says() -> None:
    assert TurnServer(Transport.UDP, "127.0.0.1", 3478).url == "turn:127.0.0.1:3478?transport=udp"
