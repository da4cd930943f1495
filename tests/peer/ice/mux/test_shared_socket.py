"""A shared port and those who mean it ill: forged sources, floods, and members that are slow."""

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aioice import stun

from icefloe.peer import PeerConnection, UdpMux
from icefloe.peer.ice.checks.binding import Credentials, Role, request
from icefloe.peer.ice.mux import inboxes, table
from icefloe.peer.ice.mux.shared_socket import SharedSocket, Sharing, open_shared
from icefloe.peer.ice.udp import TIME_SLICE, UdpTransport, open_udp
from tests.helpers.calls import eventually
from tests.helpers.forged_udp import forge
from tests.helpers.muxes import linked, over, route, says, sockets
from tests.helpers.turns import Turns

IPV4 = ("127.0.0.1",)


def check(connection: PeerConnection, *, password: str | None = None) -> bytes:
    """Encode a check for a connection, as its peer would, or with another password."""
    sdp = connection.localDescription.sdp
    found = [re.search(rf"a=ice-{name}:(\S+)", sdp) for name in ("ufrag", "pwd")]
    fragment, secret = (match[1] for match in found if match)
    remote = re.search(r"a=ice-ufrag:(\S+)", connection.remoteDescription.sdp)
    assert remote is not None
    credentials = Credentials(remote[1], "", fragment, password or secret)
    return request(credentials, Role(False, 0), local_preference=1)[1]


@contextmanager
def stranger() -> Iterator[socket.socket]:
    """Have a socket that belongs to no connection."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


async def test_a_datagram_of_a_stranger_is_dropped_and_counted() -> None:
    async with await UdpMux.open(addresses=IPV4) as mux:
        with stranger() as sock:
            for data in (b"", b"\x80" * 100, b"\x00\x01" + bytes(18), b"\x16\xfe\xfd" * 10):
                sock.sendto(data, ("127.0.0.1", mux.port))
            await eventually(lambda: mux.stats().foreign_datagrams == 4)
        assert mux.stats().remote_addresses == 0


async def test_a_check_for_somebody_with_a_wrong_signature_gives_no_address() -> None:
    async with (
        await UdpMux.open(addresses=IPV4) as mux,
        linked(a := over(mux), over(None)) as (near, far),
    ):
        before = mux.stats().remote_addresses
        with stranger() as sock:
            sock.sendto(check(a, password="x" * 22), ("127.0.0.1", mux.port))
            sock.setblocking(False)
            answer, _ = await asyncio.get_running_loop().sock_recvfrom(sock, 2048)
            assert stun.parse_message(answer).error_code == 401
            sock.sendto(b"\x16\xfe\xfd" * 10, ("127.0.0.1", mux.port))
            await eventually(lambda: mux.stats().foreign_datagrams == 1)
        assert mux.stats().remote_addresses == before
        await says(near, far, "all is well")
        await says(far, near, "here, too")


@pytest.mark.system("netns")
async def test_a_forged_source_takes_nobodys_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # As long as the delay is, only a peer that is silent for all of it loses its address.
    monkeypatch.setattr(table, "TAKEOVER_DELAY", 1.0)
    async with await UdpMux.open(addresses=IPV4) as mux:
        here = ("127.0.0.1", mux.port)
        async with (
            linked(a := over(mux, addresses=IPV4), over(None, addresses=IPV4)) as (near, far),
            linked(b := over(mux, addresses=IPV4), over(None, addresses=IPV4)) as (other, beyond),
        ):
            ip, port = route(a)[2:]
            assert ip is not None
            assert port is not None
            victim = (ip, port)
            (sock,) = sockets(mux)
            holder = sock.table.find_address(victim)
            until = time.monotonic() + 3 * table.TAKEOVER_DELAY
            number = 0
            while time.monotonic() < until:
                number += 1
                forge(victim, here, check(b))  # authentic, of the other connection's peer
                forge(victim, here, check(a, password="x" * 22))
                forge(victim, here, check(b, password="x" * 22))
                await says(near, far, f"to {number}")
                await says(far, near, f"from {number}")
                assert sock.table.find_address(victim) is holder
            assert mux.stats().contested_messages > 0
            await says(other, beyond, "the other connection goes on as well")
            await says(beyond, other, "both ways")


class Slow(asyncio.DatagramProtocol):
    """Takes a time slice for each datagram."""

    def __init__(self, seconds: float = TIME_SLICE) -> None:
        self.got: list[bytes] = []
        self._seconds = seconds

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.got.append(data)
        time.sleep(self._seconds)


def attach(shared: SharedSocket, name: str, protocol: asyncio.DatagramProtocol) -> Any:
    """Add a member to a socket, whatever its protocol is."""
    sharing = Sharing(name, object(), lambda: None, lambda host: None)
    shared.attach(protocol, sharing)  # type: ignore[arg-type]
    return shared.table.find_fragment(name.encode())


class Sender(asyncio.DatagramProtocol):
    """Sends, in trains where the system can."""

    transport: UdpTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, UdpTransport)
        self.transport = transport

    @property
    def name(self) -> tuple[str, int]:
        host, port = self.transport.get_extra_info("sockname")
        return host, port


@pytest.mark.parametrize("size", [100, 1200])
async def test_a_slow_member_that_is_flooded_delays_no_other(size: int) -> None:
    shared = await open_shared("127.0.0.1", 0)
    flooder = await open_udp(Sender, "127.0.0.1", 0, 1 << 20)
    quiet = await open_udp(Sender, "127.0.0.1", 0, 1 << 20)
    slow, other = Slow(), Slow(0)
    for sender, name, protocol in ((flooder, "slow", slow), (quiet, "other", other)):
        member = attach(shared, name, protocol)
        shared.table.claim(sender.name, member, 0.0)
    with Turns():
        flooder.transport.send_all([b"\x80" * size] * 100, shared.name)
        await eventually(lambda: len(slow.got) > 2)
        for number in range(10):
            before = len(slow.got)
            quiet.transport.sendto(b"\x80%d" % number, shared.name)
            await eventually(lambda: len(other.got) == number + 1)  # noqa: B023
            # One of a train, or the datagrams of one time slice, may be before it.
            assert len(slow.got) - before <= 5
        assert len(slow.got) < 100
    shared.transport.close()
    flooder.transport.close()
    quiet.transport.close()
    await shared.lost.wait()
    assert len(shared.table) == 0


async def test_a_flood_for_one_member_fills_its_own_queue_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inboxes, "MAX_INBOX_BYTES", 20_000)
    shared = await open_shared("127.0.0.1", 0)
    flooder = await open_udp(Sender, "127.0.0.1", 0, 1 << 20)
    quiet = await open_udp(Sender, "127.0.0.1", 0, 1 << 20)
    slow, other = Slow(), Slow(0)
    for sender, name, protocol in ((flooder, "slow", slow), (quiet, "other", other)):
        shared.table.claim(sender.name, attach(shared, name, protocol), 0.0)
    for _ in range(10):
        flooder.transport.send_all([b"\x80" * 1000] * 40, shared.name)
        quiet.transport.sendto(b"\x80", shared.name)
    await eventually(lambda: len(other.got) == 10)
    await eventually(lambda: shared.overflowed > 0)
    for one in (shared, flooder, quiet):
        one.transport.close()
    await shared.lost.wait()


async def test_batches_are_told_apart_by_their_source_and_checks_within_by_their_name() -> None:
    shared = await open_shared("127.0.0.1", 0)
    one, two = Slow(0), Slow(0)
    first, second = attach(shared, "one", one), attach(shared, "two", two)
    shared.table.claim(("192.0.2.1", 1), first, 0.0)
    credentials = Credentials("peer", "", "two", "password")
    message = request(credentials, Role(False, 0), local_preference=1)[1]
    data = b"\x80" * len(message)
    shared.sort(data * 2 + message + data, len(message), ("192.0.2.1", 1))
    shared.sort(data * 3, len(message), ("192.0.2.1", 2))
    shared.work(float("inf"))
    assert one.got == [data] * 3
    assert two.got == [message]
    assert shared.foreign == 3
    second.close()
    second.close()
    shared.sort(message, 0, ("192.0.2.1", 1))
    assert shared.foreign == 4
    shared.transport.close()
    await shared.lost.wait()
    assert first.is_closing()


async def test_a_response_is_for_who_asked_wherever_it_comes_from() -> None:
    shared = await open_shared("127.0.0.1", 0)
    one = Slow(0)
    member = attach(shared, "one", one)
    asked = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    member.sendto(bytes(asked), ("127.0.0.1", 9))
    answer = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id)
    shared.sort(bytes(answer), 0, ("192.0.2.1", 3478))
    shared.sort(bytes(answer), 0, ("192.0.2.1", 3478))
    stray = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE)
    shared.sort(bytes(stray), 0, ("192.0.2.1", 3478))
    shared.work(float("inf"))
    assert one.got == [bytes(answer)]
    assert shared.foreign == 2
    shared.transport.close()
    await shared.lost.wait()
