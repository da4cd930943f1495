"""Messages of a STUN or TURN server, to a client that asks for an address or an allocation.

The first byte of an input says how the server is reached; that of each packet what the server,
which knows the password, does to the rest of it: it answers the latest request, signs, or comes
late.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

from aioice import stun
from aioice.turn import make_integrity_key

from icefloe.peer.ice.candidate_socket import IceSocket
from icefloe.peer.ice.gather.server_query import FAILURES, mapped_address
from icefloe.peer.ice.server_urls import Transport
from icefloe.peer.ice.turn.client import RelayTransport
from icefloe.peer.ice.turn.transports import Endpoint, Link, StreamLink, UdpLink

from ..target import Run, Target, join, settled, split
from ._signing import resigned, with_length

SERVER = ("192.0.2.1", 3478)
PEER = ("198.51.100.1", 4000)
USER, PASSWORD, REALM = "user", "secret", "realm"
KEY = make_integrity_key(USER, REALM, PASSWORD)
PAUSES = (0.0, 0.6, 100.0, 700.0)
ANSWERS, SIGNS, LENGTHENS, SENDS = 0x01, 0x02, 0x04, 0x08


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time goes by only when it is told so."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now


class Wire(asyncio.DatagramTransport, asyncio.Transport):
    """The other end of a link or socket: notes the id of the latest request."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = b""
        self._closing = False

    def sendto(self, data: Any, addr: Any = None) -> None:
        self.write(data)

    def write(self, data: Any) -> None:
        if len(data) >= stun.HEADER_LENGTH and data[0] < 0x40:
            self.asked = bytes(data[8:20])

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        """Do nothing: there is no more to be read than the input."""

    def resume_reading(self) -> None:
        """Likewise."""

    def abort(self) -> None:
        self._closing = True

    def close(self) -> None:
        self._closing = True


class Protocol(asyncio.DatagramProtocol):
    """Takes what an allocation brings."""


class Receiver:
    """Takes what a socket brings that no server answered."""

    def stun_received(self, message: object, source: object, base: object) -> None:
        """Take a STUN message."""

    def packet_received(self, data: bytes, source: object, base: object) -> None:
        """Take a datagram."""

    def socket_lost(self, base: object) -> None:
        """Note that it is closed."""


Come = Callable[[bytes], None]


async def serve(
    loop: VirtualLoop, wire: Wire, come: Come, packets: list[bytes], send: Come
) -> None:
    """Have the packets of a server come in."""
    await settled()
    for packet in packets:
        flags, data = packet[0], packet[1:]
        if pause := PAUSES[flags >> 4 & 3]:
            loop.now += pause
            await settled()
        if flags & SENDS:
            send(data)
        if flags & ANSWERS and wire.asked:
            data = data[:8] + wire.asked + data[20:]
        if flags & SIGNS:
            data = resigned(data, KEY)
        elif flags & LENGTHENS:
            data = with_length(data)
        come(data)
        await settled()


async def relay(loop: VirtualLoop, packets: list[bytes], *, stream: bool) -> None:
    """Ask for an allocation, and use it if there is one."""
    wire, links = Wire(), list[Link]()

    async def connect(_: Endpoint, receive: Come, lost: Callable[[Exception | None], None]) -> Link:
        link = StreamLink(receive, lost) if stream else UdpLink(receive, lost)
        link.connection_made(wire)
        links.append(link)
        return link

    def come(data: bytes) -> None:
        for link in links:
            if isinstance(link, StreamLink):
                link.data_received(data)
            elif isinstance(link, UdpLink):
                link.datagram_received(data, SERVER)

    transport = RelayTransport(lifetime=600, close_timeout=1.0, on_lost=lambda reason: None)
    endpoint = Endpoint(*SERVER, Transport.TCP if stream else Transport.UDP, SERVER[0])

    async def use() -> None:
        credentials = (USER, PASSWORD)
        await transport.open(endpoint, lambda: credentials, None, connect=connect)
        transport.start(Protocol())
        transport.sendto(b"first", PEER)

    opening = asyncio.create_task(use())
    await serve(loop, wire, come, packets, lambda data: transport.sendto(data, PEER))
    transport.close()
    loop.now += 2.0
    await settled()
    transport.abort()
    await ended(opening)


async def ask(loop: VirtualLoop, packets: list[bytes]) -> None:
    """Ask a STUN server for the address that it sees."""
    wire, base = Wire(), IceSocket(Receiver())
    base.connection_made(wire)
    asking = asyncio.create_task(mapped_address(base, [SERVER[0]], SERVER[1]))
    await serve(
        loop, wire, lambda data: base.datagram_received(data, SERVER), packets, lambda data: None
    )
    await ended(asking)


async def ended(task: "asyncio.Task[Any]") -> None:
    """End a task if it has not, and take what it may raise."""
    task.cancel()
    try:
        await task
    except FAILURES:
        pass
    except asyncio.CancelledError:
        if not task.cancelled():
            raise


@contextmanager
def start() -> Iterator[Run]:
    """Set up a loop in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)

        def run(data: bytes) -> None:
            packets = [packet for packet in split(data) if packet]
            how: Coroutine[Any, Any, None]
            match packets[0][0] >> 6 if packets else 3:
                case 0:
                    how = relay(loop, packets, stream=False)
                case 1:
                    how = relay(loop, packets, stream=True)
                case _:
                    how = ask(loop, packets)
            runner.run(how)

        yield run


def message(method: stun.Method, kind: stun.Class, **attributes: Any) -> bytes:
    """Make a message of a server."""
    named = {name.replace("_", "-"): value for name, value in attributes.items()}
    return bytes(stun.Message(method, kind, attributes=named))


def seeds() -> list[bytes]:
    """Make what servers say, rightly and wrongly."""
    method, kind = stun.Method, stun.Class
    challenge = message(
        method.ALLOCATE, kind.ERROR, ERROR_CODE=(401, "no"), REALM=REALM, NONCE=b"nonce"
    )
    stale = message(method.ALLOCATE, kind.ERROR, ERROR_CODE=(438, "no"), NONCE=b"next", REALM="r")
    allocated = message(
        method.ALLOCATE,
        kind.RESPONSE,
        XOR_RELAYED_ADDRESS=("198.51.100.7", 40000),
        XOR_MAPPED_ADDRESS=("203.0.113.9", 50000),
        LIFETIME=600,
    )
    bound = message(method.CHANNEL_BIND, kind.RESPONSE)
    refreshed = message(method.REFRESH, kind.RESPONSE, LIFETIME=600)
    refused = message(method.REFRESH, kind.ERROR, ERROR_CODE=(508, "full"))
    gone = message(method.REFRESH, kind.ERROR, ERROR_CODE=(437, "gone"))
    data = message(method.DATA, kind.INDICATION, XOR_PEER_ADDRESS=PEER, DATA=b"data")
    channel = b"\x40\x00\x00\x05hello\x00\x00\x00"
    mapped = message(method.BINDING, kind.RESPONSE, XOR_MAPPED_ADDRESS=("2001:db8::1", 6))
    first = [b"\x01" + challenge, b"\x03" + allocated, b"\x03" + bound]
    stories = [
        [*first, b"\x00" + data, b"\x00" + channel, b"\x2b" + refreshed, b"\x23" + refused],
        [*first, b"\x00" + channel, b"\x29" + stale, b"\x03" + refreshed, b"\x23" + gone],
        [b"\x01" + challenge, b"\x01" + stale, b"\x03" + allocated, b"\x0b" + bound],
        [b"\x01" + allocated, b"\x09" + bound, b"\x04" + data, b"\x30" + data],
        [b"\x01" + message(method.ALLOCATE, kind.ERROR, ERROR_CODE=(486, "quota"))],
    ]
    streams = [[bytes([p[0] | 0x40]) + p[1:] for p in packets] for packets in stories]
    streams += [[b"\x40" + channel[:6], b"\x40" + channel[6:] + data]]
    asked = [[b"\x81" + mapped], [b"\x81" + message(method.BINDING, kind.ERROR), b"\x81" + mapped]]
    return [join(packets) for packets in (*stories, *streams, *asked)]


TARGET = Target(
    name="turn",
    seeds=seeds,
    tokens=(
        b"\x21\x12\xa4\x42",
        b"\x40\x00\x00\x04",
        b"\x4f\xff\xff\xff",
        b"\x00\x0d\x00\x04\x00\x00\x00\x00",
        b"\x00\x0d\x00\x04\xff\xff\xff\xff",
        b"\x00\x0d\x00\x04\x00\x00\x00\x01",
        b"\x00\x09\x00\x04\x00\x00\x04\x01",
        b"\x00\x09\x00\x04\x00\x00\x04\x26",
        b"\x00\x14\x00\x05realm\x00\x00\x00",
        b"\x00\x15\x00\x05nonce\x00\x00\x00",
        b"\x00\x12\x00\x08\x00\x01",
        b"\x00\x16\x00\x14\x00\x02",
        b"\x00\x20\x00\x08\x00\x01",
        b"\x00\x13\x00\x04",
        b"\x80\x28\x00\x04",
        b"\x00\x08\x00\x14",
        b"\x01\x03",
        b"\x01\x13",
        b"\x01\x04",
        b"\x01\x14",
        b"\x01\x09",
        b"\x00\x17",
    ),
    documented=(),
    start=start,
)
