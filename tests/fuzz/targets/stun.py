"""Datagrams at the socket of ICE: checks, answers and whatever else, from anybody.

The first byte of a packet says what somebody does to the rest of it who can: sign it with one of
the passwords, give it the id of the latest check, send it from here or there, wait before.
"""

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aioice import stun

from icefloe.peer.ice.candidate_socket import IceSocket
from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.connectivity import Checks
from tests.helpers.puppet import BASE, Puppet

from ..target import Run, Target, event_loop, join, split
from ._signing import resigned

PEER = ("198.51.100.2", 2000)
SOURCES = (PEER, ("192.0.2.66", 666), ("203.0.113.5", 5), ("2001:db8::1", 1))
PASSWORDS = (b"", b"here-password", b"there-password", b"")
PAUSES = (0.0, 0.02, 0.5, 30.0)
ANSWERS = 0x40
"""Of the first byte: whether the packet gets the id of the latest check."""


class Side:
    """A side that has a path, as it was each time: its socket, and its check list."""

    def __init__(self, kept: bytes) -> None:
        self._kept = kept
        self.socket = IceSocket(self)
        self.reset()

    def reset(self) -> None:
        """Go back to where it began."""
        self.checks: Checks = pickle.loads(self._kept)
        self.now = 1005.0
        self.asked = b""
        self._take()

    def packet(self, packet: bytes) -> bool:
        """Take a packet; return whether it could change anything."""
        flags, data = packet[0], packet[1:]
        if pause := PAUSES[flags >> 4 & 3]:
            self.now += pause
            self.checks.handle_timeout(self.now)
            self._take()
        if flags & ANSWERS and self.asked:
            data = data[:8] + self.asked + data[20:]
        if password := PASSWORDS[flags >> 2 & 3]:
            data = resigned(data, password)
        self.socket.datagram_received(data, SOURCES[flags & 3])
        self._take()
        return bool(password or pause)

    def _take(self) -> None:
        for item in self.checks.take_datagrams():
            if item.message[:2] == b"\x00\x01":
                self.asked = item.message[8:20]

    # --- what the socket tells

    def stun_received(self, message: stun.Message, source: tuple[str, int], base: object) -> None:
        self.checks.receive(message, source, BASE, self.now)

    def packet_received(self, data: bytes, source: tuple[str, int], base: object) -> None:
        self.checks.receive_data(BASE, source, len(data), self.now)

    def socket_lost(self, base: object) -> None:
        raise AssertionError("nobody closes it")


def kept(*, controlling: bool) -> bytes:
    """Make a check list that has a path, to be put back."""
    puppet = Puppet(controlling=controlling)
    puppet.offer(PEER, answers=True)
    puppet.check(PEER, nominate=not controlling)
    puppet.wait(5.0)
    return pickle.dumps(puppet.checks)


@contextmanager
def start() -> Iterator[Run]:
    """Set up a side in each role; the first byte of the first packet says which one it is."""

    async def made() -> list[Side]:
        return [Side(kept(controlling=True)), Side(kept(controlling=False))]

    with event_loop() as run_in_loop:
        sides: Any = run_in_loop(made())

        def run(data: bytes) -> None:
            packets = [packet for packet in split(data) if packet]
            if not packets:
                return
            side: Side = sides[packets[0][0] >> 7]
            changes = [side.packet(packet) for packet in packets]
            if any(changes):
                side.reset()

        yield run


def seeds() -> list[bytes]:
    """Make what the other side sends, and what others do."""
    puppet = Puppet(controlling=True)
    there, mapped = puppet.credentials, ("203.0.113.9", 9)
    packets = []
    for controlling in (True, False):
        role = binding.Role(controlling, 2**63)
        for nominate in (True, False):
            _, check = binding.request(there, role, local_preference=65535, use_candidate=nominate)
            packets += [b"\x04" + check, b"\x05" + check, b"\x01" + check]
    request = puppet.request()
    packets += [
        b"\x48" + binding.success(request, mapped, there),
        b"\x49" + binding.success(request, mapped, there),
        b"\x48" + binding.error(request, binding.ROLE_CONFLICT, there),
        b"\x48" + binding.error(request, binding.UNAUTHENTICATED, there),
        b"\x00" + bytes(stun.Message(stun.Method.BINDING, stun.Class.INDICATION)),
        b"\x00\x16\xfe\xfd" + bytes(40),
        b"\x00\x80\x60" + bytes(40),
    ]
    sequences = [join([packet]) for packet in packets]
    sequences += [join([bytes([packet[0] | 0x80]) + packet[1:]]) for packet in packets]
    sequences += [join(packets[at : at + 4]) for at in range(len(packets) - 3)]
    return [*sequences, join([bytes([p[0] | 0xA0]) + p[1:] for p in packets])]


TARGET = Target(
    name="stun",
    seeds=seeds,
    tokens=(
        b"\x21\x12\xa4\x42",
        b"\x00\x06\x00\x0ahere:there\x00\x00",
        b"\x00\x24\x00\x04",
        b"\x00\x25\x00\x00",
        b"\x80\x29\x00\x08",
        b"\x80\x2a\x00\x08",
        b"\x00\x08\x00\x14" + bytes(20),
        b"\x80\x28\x00\x04",
        b"\x00\x20\x00\x08\x00\x01",
        b"\x00\x20\x00\x14\x00\x02",
        b"\x00\x09\x00\x04\x00\x00\x04\x57",
        b"\x00\x01",
        b"\x01\x01",
        b"\x01\x11",
        b"\x00\x11",
        b"\x00\x03",
    ),
    documented=(),
    start=start,
)
