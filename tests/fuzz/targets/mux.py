"""Datagrams at a port that connections share, singly and in batches, from anybody.

The first byte of a packet says where it comes from, and what size the datagrams of a batch have.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aioice import stun

from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.mux.shared_socket import SharedSocket, Sharing

from ..target import Run, Target, event_loop, join, split

SOURCES = (("198.51.100.2", 2000), ("192.0.2.66", 666), ("203.0.113.5", 5), ("2001:db8::1", 1))
SIZES = (0, 20, 100, 1)
ASKED = b"\x07" * 12


class Wire(asyncio.DatagramTransport):
    """Sends nothing."""

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Drop it."""


class Member(asyncio.DatagramProtocol):
    """Counts what it gets."""

    count = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Count it."""
        self.count += 1


class Port:
    """A shared port with two members, of which the first two sources are the peers."""

    def __init__(self) -> None:
        self.shared = SharedSocket()
        self.shared.connection_made(Wire({"sockname": ("192.0.2.1", 7000)}))
        self.members = [Member(), Member()]
        for number, member in enumerate(self.members):
            sharing = Sharing(f"member{number}", member, lambda: None, lambda host: None)
            self.shared.attach(member, sharing)  # type: ignore[arg-type]
            transport: Any = self.shared.table.find_fragment(f"member{number}".encode())
            self.shared.table.claim(SOURCES[number], transport, 0.0)
            self.transport = transport

    def packet(self, packet: bytes) -> None:
        """Take a packet; each datagram of it is somebody's or nobody's."""
        flags, data = packet[0], packet[1:]
        size = SIZES[flags >> 2 & 3]
        self.shared.table.expect(ASKED, self.transport)
        before = self._seen()
        self.shared.sort(data, size, SOURCES[flags & 3])
        self.shared.work(float("inf"))
        count = -(-len(data) // size) if 0 < size < len(data) else 1
        assert self._seen() - before == count

    def _seen(self) -> int:
        return self.shared.foreign + sum(member.count for member in self.members)


@contextmanager
def start() -> Iterator[Run]:
    """Set up a port; nothing that comes changes it, since nothing is authenticated there."""

    async def made() -> Port:
        return Port()

    with event_loop() as run_in_loop:
        port: Any = run_in_loop(made())

        def run(data: bytes) -> None:
            for packet in split(data):
                if packet:
                    port.packet(packet)

        yield run


def seeds() -> list[bytes]:
    """Make checks for a member and for nobody, a response, and data of a peer."""
    role = binding.Role(True, 1)
    checks = [
        binding.request(binding.Credentials("peer", "", to, "secret"), role, local_preference=1)[1]
        for to in ("member0", "member1", "nobody")
    ]
    answer = bytes(stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, ASKED))
    data = b"\x16\xfe\xfd" + bytes(97)
    packets = [bytes([number]) + one for one in (*checks, answer, data) for number in range(4)]
    packets += [b"\x04" + data * 3, b"\x06" + data * 3, b"\x08" + data * 3, b"\x05" + answer * 3]
    return [*(join([packet]) for packet in packets), join(packets)]


TARGET = Target(
    name="mux",
    seeds=seeds,
    tokens=(
        b"\x21\x12\xa4\x42",
        b"\x00\x06\x00\x0cmember0:peer",
        b"\x00\x06\x02\x01",
        b"\x00\x00\x00\x00",
        b"\x80\x22\xff\xff",
        b"\x00\x01",
        b"\x01\x01",
        b"\x01\x11",
        ASKED,
    ),
    documented=(),
    start=start,
)
