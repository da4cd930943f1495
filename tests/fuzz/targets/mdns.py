"""Messages of multicast DNS, from anybody who can send to the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import dns.message
import dns.name
import dns.rdataset
import dns.rdatatype
import dns.rrset
from aioice import mdns
from dns.flags import AA, QR
from dns.rdata import GenericRdata

from icefloe.peer.ice.gather.multicast_dns import Protocol

from ..target import Run, Target, event_loop

NAME, OWN = "c5a9a1de-3b5c-4d2b-9f0e-1f2e3d4c5b6a.local", "own.local"


class Wire:
    """Takes the answers that are sent."""

    def sendto(self, data: bytes, addr: object) -> None:
        """Take a datagram."""

    def get_extra_info(self, name: str) -> None:
        """Have no socket."""


@contextmanager
def start() -> Iterator[Run]:
    """Set up a socket that knows a name of its own."""
    with event_loop() as run_in_loop:

        async def made() -> Protocol:
            protocol = Protocol()
            protocol.connection_made(cast(Any, Wire()))
            address = GenericRdata(mdns.MDNS_RDCLASS, dns.rdatatype.A, bytes([192, 0, 2, 1]))
            rdataset = dns.rdataset.from_rdata(120, address)
            protocol.zone.replace_rdataset(dns.name.from_text(OWN), rdataset)
            return protocol

        protocol = cast(Protocol, run_in_loop(made()))
        yield lambda data: protocol.datagram_received(data, ("192.0.2.66", 5353))


def answer(kind: int, address: bytes) -> bytes:
    """Write the answer to a question for an address."""
    message = dns.message.QueryMessage(id=0)
    message.flags |= QR | AA
    rdata = GenericRdata(mdns.MDNS_RDCLASS, dns.rdatatype.RdataType.make(kind), address)
    message.answer.append(dns.rrset.from_rdata(dns.name.from_text(NAME), 120, rdata))
    return message.to_wire()


def seeds() -> list[bytes]:
    """Write questions and answers."""
    questions = [
        dns.message.make_query(name, rdtype=kind)
        for name in (OWN, NAME)
        for kind in (dns.rdatatype.A, dns.rdatatype.AAAA, dns.rdatatype.ANY)
    ]
    written = [question.to_wire() for question in questions]
    long = b"\1a" * 126 + b"\0"
    crowd = bytes(4) + b"\0\x20" + bytes(6) + long + bytes([0, 255, 0, 1])
    return [
        *written,
        answer(1, bytes([192, 0, 2, 1])),
        answer(28, bytes(16)),
        crowd + b"\xc0\x0c\0\xff\0\1" * 31,
    ]


TARGET = Target(
    name="mdns",
    seeds=seeds,
    tokens=(
        b"\xc0\x0c",
        b"\xc0\x00",
        b"\x00\x01\x80\x01",
        b"\x00\x1c\x80\x01",
        b"\x00\xff\x00\x01",
        b"\x00\x29\x10\x00",
        b"\x00\xfa\x00\xff",
        b"\x00\x10\x00\x01",
        b"\x00\x21\x00\x01",
        b"\x00\x2f\x80\x01",
        b"\x00\x41\x00\x01",
        b"\x05local\x00",
        b"\x3f",
        b"\x84\x00",
        b"\x28\x00",
    ),
    documented=(),
    start=start,
)
