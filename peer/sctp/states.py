"""What an association is made with, where it is, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from .congestion import Controller
from .congestion.model import Model
from .inbound import MAX_MESSAGE
from .path_mtu import SIZES

INITIAL_WINDOW = 1024 * 1024
"""Bytes that the INIT offers to take: what other stacks begin slow start by."""

WINDOW = 8 * 1024 * 1024
"""Bytes that SACKs offer to take: 80 MB/s at a round trip of 100 ms."""


class State(StrEnum):
    """RFC 9260 section 4, less what begins a shutdown: here one side aborts."""

    CLOSED = "closed"
    COOKIE_WAIT = "cookie-wait"
    COOKIE_ECHOED = "cookie-echoed"
    ESTABLISHED = "established"
    SHUTDOWN_RECEIVED = "shutdown-received"
    SHUTDOWN_ACK_SENT = "shutdown-ack-sent"


@dataclass(frozen=True, slots=True)
class Established:
    """Data can be sent, on streams below this number."""

    streams: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The association is over.

    Attributes:
        reason: Who closed it and why.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class StreamsReset:
    """The other side will send nothing more on these streams.

    Attributes:
        streams: Their identifiers.
        after: How many messages, of all that ever arrived, came before.
    """

    streams: tuple[int, ...]
    after: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class ResetDone:
    """The reset of these streams, which was asked for here, is over.

    Attributes:
        streams: Their identifiers.
        performed: Whether the other side has carried it out; it may refuse to.
    """

    streams: tuple[int, ...]
    performed: bool


Event = Established | Closed | StreamsReset | ResetDone


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How an association is made.

    Attributes:
        tag: This side's verification tag, random and not 0.
        tsn: Its first TSN, random.
        secret: What its cookies are signed with.
        local_port: Its SCTP port.
        remote_port: The other side's.
        window: Bytes that it takes before the application has them.
        max_message: Bytes of a message that it takes at most.
        interleaves: Whether it offers I-DATA.
        controller: Makes the congestion controller, for so many bytes of user data a packet.
        sizes: Packet sizes to try, in bytes, the largest first.
    """

    tag: int
    tsn: int
    secret: bytes = field(repr=False)
    local_port: int = 5000
    remote_port: int = 5000
    window: int = WINDOW
    max_message: int = MAX_MESSAGE
    interleaves: bool = True
    controller: Callable[[int], Controller] = Model
    sizes: tuple[int, ...] = SIZES
