"""What the association's shell needs of the channels above it, and of the transport below."""

from typing import Protocol

from . import dcep


class Channel(Protocol):
    """What is needed of a data channel."""

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
        """Give the application a message that came."""

    def assign(self, id: int) -> None:
        """Give it its stream identifier."""

    def ends(self) -> None:
        """Tell the application that the other side closes it, and nothing more comes."""

    def change(self, state: str) -> None:
        """Change its state."""

    def refuse(self, error: Exception) -> None:
        """Note why it cannot be opened, before it is closed."""

    def buffered(self, amount: int) -> None:
        """Add to its ``bufferedAmount``, in bytes."""

    def sent(self, size: int) -> None:
        """Count a message that has left the buffer."""

    def received(self, size: int) -> None:
        """Count a message that came."""

    def abandoned(self, size: int) -> None:
        """Count a message that was given up."""

    def skipped(self, count: int) -> None:
        """Count messages that the other side gave up."""


class Host(Protocol):
    """What lies below and above."""

    @property
    def is_server(self) -> bool:
        """Whether this is the DTLS server, whose stream identifiers are odd (RFC 8832)."""

    def transmit(self, packets: list[bytes]) -> None:
        """Send packets.

        Raises:
            ConnectionError: There is nothing to send over any more.
        """

    def transmit_probe(self, packet: bytes) -> bool:
        """Send a packet that is not to be fragmented on its way.

        Returns:
            ``False`` if it is too large for this machine's network.

        Raises:
            ConnectionError: There is nothing to send over any more.
        """

    def accept(self, opened: dcep.Open, id: int) -> Channel:
        """Make a channel that the other side has opened."""

    def announce(self, channel: Channel) -> None:
        """Tell the application of it."""

    def ended(self) -> None:
        """Note that there will be no channels any more."""
