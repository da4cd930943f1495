"""Interfaces of the SCTP transport to the data channels above it and the transport below it."""

from typing import Protocol

from . import dcep


class Channel(Protocol):
    """Interface of a data channel."""

    @property
    def id(self) -> int | None: ...
    @property
    def label(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def ordered(self) -> bool: ...
    @property
    def maxRetransmits(self) -> int | None: ...
    @property
    def maxPacketLifeTime(self) -> int | None: ...
    @property
    def negotiated(self) -> bool: ...
    @property
    def readyState(self) -> str: ...
    def deliver(self, message: str | bytes) -> None:
        """Deliver a received message to the application."""

    def assign(self, id: int) -> None:
        """Set the stream identifier."""

    def ends(self) -> None:
        """Tell the application that the remote peer closes the channel."""

    def change(self, state: str) -> None:
        """Set the ready state."""

    def refuse(self, error: Exception) -> None:
        """Note the reason why the channel cannot be opened, before it is closed."""

    def buffered(self, amount: int) -> None:
        """Add to ``bufferedAmount``, in bytes."""

    def sent(self, size: int) -> None:
        """Count a sent message of ``size`` bytes."""

    def received(self, size: int) -> None:
        """Count a received message of ``size`` bytes."""

    def abandoned(self, size: int) -> None:
        """Count an abandoned message of ``size`` bytes."""

    def skipped(self, count: int) -> None:
        """Count messages that the remote peer abandoned."""


class Link(Protocol):
    """Interface of the DTLS transport, which packets are sent over."""

    def send_all(self, packets: list[bytes]) -> None:
        """Send packets.

        Raises:
            ConnectionError: The DTLS transport is closed.
        """

    def send_probe(self, packet: bytes) -> bool:
        """Send a packet without IP fragmentation.

        Returns:
            ``False`` if it exceeds the MTU of the local interface.

        Raises:
            ConnectionError: The DTLS transport is closed.
        """


class Host(Protocol):
    """Interface of the owner of the SCTP transport."""

    @property
    def is_server(self) -> bool:
        """True if this is the DTLS server, which uses odd stream identifiers (RFC 8832)."""

    def accept(self, opened: dcep.Open, id: int) -> Channel:
        """Create a channel that the remote peer has opened."""

    def announce(self, channel: Channel) -> None:
        """Tell the application about the new channel."""

    def ended(self) -> None:
        """Note that the association is closed."""
