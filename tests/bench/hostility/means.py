"""A hostile peer's means: a connection that stands, and ways past all that would hold it back."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import DtlsTransport, SctpTransport, Sender, agent_of
from icefloe.peer.ice.checks.binding import Credentials
from icefloe.peer.sctp.association import Association
from tests.bench.hostility.link import Peer

Attack = Callable[["Means"], Awaitable[None]]

ATTACKS: dict[str, Attack] = {}
"""All of them, by name; filled by the modules beside this one."""


def attack(function: Attack) -> Attack:
    """Enter an attack under its name, with blanks."""
    ATTACKS[function.__name__.strip("_").replace("_", " ")] = function
    return function


@dataclass(slots=True)
class Means:
    """The means of an attack.

    Attributes:
        peer: A connection that stands, with pictures, sound and the channel ``data``.
        until: When to stop, on the monotonic clock.
        sent: Packets or messages that the attack sent.
    """

    peer: Peer
    until: float
    sent: int = 0
    _pause: float = field(default=0.0, repr=False)

    @property
    def connection(self) -> PeerConnection:
        """The connection."""
        return self.peer.connection

    @property
    def sctp(self) -> SctpTransport:
        """Its transport of data."""
        sctp = self.connection.sctp
        assert isinstance(sctp, SctpTransport)
        return sctp

    @property
    def dtls(self) -> DtlsTransport:
        """Its transport of everything."""
        dtls = self.sctp.transport
        assert isinstance(dtls, DtlsTransport)
        return dtls

    @property
    def association(self) -> Association:
        """Its association."""
        association = self.sctp.shell.association
        assert association is not None
        return association

    def sender(self, kind: str) -> Sender:
        """Return who sends a kind of media."""
        sender = next(s for s in self.connection.getSenders() if s.kind == kind)
        assert isinstance(sender, Sender)
        return sender

    @property
    def credentials(self) -> Credentials:
        """Those of its checks."""
        generation = agent_of(self.dtls.transport).generation
        assert generation is not None
        credentials: Credentials = generation.checks.credentials
        return credentials

    @property
    def address(self) -> tuple[str, int]:
        """The address of the victim."""
        pair = agent_of(self.dtls.transport).selected_pair
        assert pair is not None
        return pair.remote.address[0], pair.remote.address[1]

    def go_deaf(self) -> None:
        """Take no data any more, so that nothing is acknowledged."""
        self.dtls.take_data = lambda packet: None

    def chunks(self, *packets: bytes) -> None:
        """Send packets of these chunks."""
        if self.dtls.state == "connected":
            seal = self.association._handshake.header.seal
            self.dtls.send_all([seal(packet) for packet in packets])
            self.sent += len(packets)

    def media(self, *packets: bytes) -> None:
        """Send RTP packets as they are."""
        if self.dtls.state == "connected":
            self.dtls.send_media(list(packets))
            self.sent += len(packets)

    def control(self, packet: bytes) -> None:
        """Send RTCP as it is."""
        if self.dtls.state == "connected":
            self.dtls.send_control(packet)
            self.sent += 1

    def datagrams(self, *datagrams: bytes) -> None:
        """Send datagrams over the path."""
        path = agent_of(self.dtls.transport).path
        if path is not None:
            path.send_all(list(datagrams))
        self.sent += len(datagrams)

    async def told(self) -> None:
        """Wait until signaling has taken what was said, or until it is time to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self.until - time.monotonic())):
                await self.peer.lines.drain()

    async def goes_on(self) -> bool:
        """Let the loop turn once; return whether there is time left."""
        await asyncio.sleep(self._pause)
        return time.monotonic() < self.until


def changed(sdp: str, name: str, value: str) -> str:
    """Return a description in which an attribute has another value."""
    return re.sub(rf"a={name}:.*", f"a={name}:{value}", sdp)
