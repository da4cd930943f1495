"""States, events and settings of an association."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from .congestion import Controller
from .congestion.model import PathModel
from .inbound import MAX_MESSAGE, Arrival
from .outbound import Message
from .path_mtu import SIZES

INITIAL_WINDOW = 1024 * 1024
"""Receive window of the INIT in bytes, with which other implementations start slow start."""

WINDOW = 8 * 1024 * 1024
"""Receive window of SACKs in bytes: 80 MB/s at a round trip of 100 ms."""


class State(StrEnum):
    """States of RFC 9260 section 4, except those of an active shutdown: we always abort."""

    CLOSED = "closed"
    COOKIE_WAIT = "cookie-wait"
    COOKIE_ECHOED = "cookie-echoed"
    ESTABLISHED = "established"
    SHUTDOWN_RECEIVED = "shutdown-received"
    SHUTDOWN_ACK_SENT = "shutdown-ack-sent"


@dataclass(frozen=True, slots=True)
class Established:
    """The association is established.

    Attributes:
        streams: Number of streams in each direction.
    """

    streams: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The association is closed.

    Attributes:
        reason: The reason.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class StreamsReset:
    """The remote peer has reset its direction of these streams.

    Attributes:
        streams: Their identifiers.
        after: Number of messages, of all that ever arrived, that precede the reset.
    """

    streams: tuple[int, ...]
    after: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ResetDone:
    """Our reset of these streams is complete.

    Attributes:
        streams: Their identifiers.
        performed: Whether the remote peer has performed it; it may refuse.
    """

    streams: tuple[int, ...]
    performed: bool


Notice = Established | Closed | StreamsReset | ResetDone
"""An event that is not a message."""

Event = Arrival | Notice


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes of what was queued and what the remote peer gave up, since the last poll.

    Attributes:
        sent: Messages whose last fragment was sent.
        abandoned: Messages that were abandoned.
        skipped: Messages of ordered streams that the remote peer abandoned, by stream.
        freed: Bytes that have left the send queue, by stream.
    """

    sent: list[Message]
    abandoned: list[Message]
    skipped: dict[int, int]
    freed: dict[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of an association.

    Attributes:
        tag: Our verification tag, random and not 0.
        tsn: Our initial TSN, random.
        secret: Key of the state cookies' MAC.
        local_port: Our SCTP port.
        remote_port: SCTP port of the remote peer.
        window: Receive window in bytes, which includes data that the application has not read.
        max_message: Maximum bytes of a received message.
        interleaves: Whether to offer I-DATA.
        controller: Returns the congestion controller for a number of bytes of user data per packet.
        sizes: Packet sizes to probe, in bytes, the largest first.
    """

    tag: int
    tsn: int
    secret: bytes = field(repr=False)
    local_port: int = 5000
    remote_port: int = 5000
    window: int = WINDOW
    max_message: int = MAX_MESSAGE
    interleaves: bool = True
    controller: Callable[[int], Controller] = PathModel
    sizes: tuple[int, ...] = SIZES
