"""The errors of ``icefloe.peer``.

::

    PeerError
    ├── IncompatibleVersions (also ImportError)
    ├── InvalidConfiguration (also ValueError)
    ├── InvalidServerUrl (also ValueError)
    ├── UdpPortUnavailable (also OSError)
    ├── UdpMuxUnusable (also RuntimeError)
    ├── TcpPortUnavailable (also OSError)
    ├── TcpMuxUnusable (also RuntimeError)
    ├── FragmentInUse (also ValueError)
    ├── InvalidCandidate (also ValueError)
    │   └── UnknownSection
    ├── InvalidDescription (also ValueError)
    ├── DescriptionTooLarge (also ValueError)
    ├── InvalidModification (also ValueError)
    ├── InvalidParameters (also ValueError)
    ├── NotForwardable (also ValueError)
    ├── TrackNotSent
    ├── ConnectFailed
    ├── PeerLeft
    ├── PeerNotHere (also LookupError)
    ├── PairingError
    └── ChannelError
        ├── ChannelClosed
        ├── ChannelMisused (also RuntimeError)
        ├── InvalidChannel (also TypeError and ValueError)
        │   └── ChannelUnavailable (also OperationError)
        ├── InvalidMessage (also ValueError)
        ├── MessageTooLarge (also ValueError)
        ├── ReceiveOverflow
        ├── RequestFailed
        └── RequestTimeout (also TimeoutError)

The errors of the W3C operations themselves (``InvalidStateError`` and its like) are aiortc's, so
that code written for aiortc catches what it always caught.
"""

from dataclasses import dataclass
from enum import StrEnum

from icefloe.text import printable, quoted

from ._util.errors import PeerError as PeerError, short
from .diagnosis.verdict import ConnectPhase as ConnectPhase, Verdict
from .ice.errors import (
    FragmentInUse as FragmentInUse,
    InvalidServerUrl as InvalidServerUrl,
    TcpMuxUnusable as TcpMuxUnusable,
    TcpPortUnavailable as TcpPortUnavailable,
    UdpMuxUnusable as UdpMuxUnusable,
    UdpPortUnavailable as UdpPortUnavailable,
)
from .rtp.errors import (
    InvalidParameters as InvalidParameters,
    NotForwardable as NotForwardable,
    TrackNotSent as TrackNotSent,
)
from .sctp.errors import (
    ChannelError as ChannelError,
    ChannelUnavailable as ChannelUnavailable,
    InvalidChannel as InvalidChannel,
)
from .sdp.errors import InvalidDescription as InvalidDescription


class IncompatibleVersions(PeerError, ImportError):
    """The installed aiortc or aioice lacks a name that icefloe builds on.

    Attributes:
        missing: The names that were not found, as ``module.Class.name``.
    """

    def __init__(self, missing: list[str], versions: str) -> None:
        self.missing = missing
        super().__init__(
            f"{versions} lack what icefloe builds on: {', '.join(missing)}. "
            "Install the versions that icefloe asks for: pip install --upgrade icefloe"
        )


class InvalidConfiguration(PeerError, ValueError):
    """A field of a ``PeerConfiguration`` has a value that makes no sense.

    Attributes:
        field: Name of the field.
        value: What it was given.
    """

    def __init__(self, field: str, value: object, problem: str) -> None:
        self.field = field
        self.value = value
        super().__init__(f"{field}={quoted(value)}: {problem}")


class InvalidCandidate(PeerError, ValueError):
    """A remote candidate cannot be read, or names no media section.

    Attributes:
        candidate: What was given.
    """

    def __init__(self, candidate: object, reason: str) -> None:
        self.candidate = candidate
        super().__init__(f"{short(candidate, 300)} is not an ICE candidate: {printable(reason)}")


class UnknownSection(InvalidCandidate):
    """A remote candidate names a media section that the remote peer has not described.

    Attributes:
        sdpMid: The mid that it names.
        sdpMLineIndex: The index that it names, where there is no mid.
    """

    def __init__(self, candidate: object, mid: str | None, index: int | None) -> None:
        self.sdpMid: str | None = mid
        self.sdpMLineIndex: int | None = index
        named = f"the mid {quoted(mid)}" if mid is not None else f"the index {index}"
        super().__init__(candidate, f"the remote description has no media section with {named}")


class DescriptionTooLarge(PeerError, ValueError):
    """A local offer or answer is too large for signaling or for the remote peer; it is rolled back.

    The connection is as it was before; what made the description so large is not negotiated until
    something of it is changed.

    Attributes:
        kind: ``offer`` or ``answer``.
        size: Its bytes.
    """

    def __init__(self, kind: str, size: int, reason: str) -> None:
        self.kind = kind
        self.size = size
        super().__init__(
            f"the {kind} of {size} bytes cannot be sent: {printable(reason).rstrip('.')}. "
            "Stop some transceivers, or prefer fewer codecs (setCodecPreferences)"
        )


class InvalidModification(PeerError, ValueError):
    """Something of a configuration cannot be changed any more (W3C webrtc-pc, setConfiguration).

    Attributes:
        field: The name of the field.
    """

    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(
            f"{field} of a peer connection cannot be changed; give it when the connection is made"
        )


_ADVICE = {
    ConnectPhase.SIGNALING: (
        "It never answered the offer: is it still in the room, and does it negotiate?"
    ),
    ConnectPhase.GATHERING: "This machine has no usable network address and no relay gave one.",
    ConnectPhase.TURN: "No TURN server gave a relay that reaches the other side.",
    ConnectPhase.CHECKS: (
        "No pair of addresses answered. Give both sides a TURN server in iceServers."
    ),
    ConnectPhase.DTLS: "The path works; a middlebox or a wrong fingerprint stopped the encryption.",
    ConnectPhase.SCTP: "DTLS works; the association of the data channels did not come about.",
    ConnectPhase.MEDIA: "The connection works; sound or pictures do not flow.",
    ConnectPhase.CONSENT: "The connection worked, and was lost.",
}


_RELAY_ONLY = {
    ConnectPhase.GATHERING: (
        "No TURN server gave a relay, and iceTransportPolicy allows nothing else."
    ),
    ConnectPhase.CHECKS: (
        "The relay did not reach the other side: does it allow its addresses as peers?"
    ),
}


@dataclass(frozen=True, slots=True)
class ConnectEvidence:
    """The facts known when a connection failed.

    Attributes:
        seconds: How long it had been trying.
        local: Local candidates, as ``type/protocol address:port``.
        remote: Remote candidates, likewise.
        server_errors: What STUN and TURN servers answered, as ``url: code text``.
        relay_only: Whether ``iceTransportPolicy`` allows relays alone.
    """

    seconds: float
    local: tuple[str, ...] = ()
    remote: tuple[str, ...] = ()
    server_errors: tuple[str, ...] = ()
    relay_only: bool = False


class ConnectFailed(PeerError):
    """The connection to a peer could not be established.

    Attributes:
        peer: The name of the peer.
        phase: Where it stopped: ``signaling``, ``gathering``, ``connectivity-checks`` or ``dtls``.
        evidence: What was known then.
        verdict: The cause, with more evidence and what to do; its phase may be a finer one.
    """

    def __init__(
        self,
        peer: str,
        phase: ConnectPhase,
        evidence: ConnectEvidence,
        verdict: Verdict | None = None,
    ) -> None:
        self.peer = peer
        self.phase = phase
        self.evidence = evidence
        self.verdict = verdict
        details = [f"{len(evidence.local)} local and {len(evidence.remote)} remote candidates"]
        details += map(printable, evidence.server_errors)
        advice = _RELAY_ONLY if evidence.relay_only and phase in _RELAY_ONLY else _ADVICE
        text = f"No connection to {quoted(peer)} after {evidence.seconds:.1f} s, stopped at {phase}"
        if verdict is None:
            super().__init__(f"{text}. {advice[phase]} ({'; '.join(details)})")
            return
        details = [*dict.fromkeys([*details, *map(printable, verdict.evidence.details)])]
        super().__init__(
            f"{text}: {verdict.cause}. {verdict.advice} ({'; '.join(details)}) "
            f"See {verdict.reference}"
        )


class PeerLeft(PeerError):
    """The peer is not in the room any more.

    Attributes:
        peer: The name of the peer.
        reason: ``left``, ``timeout`` or ``removed``; ``bye`` if it ended this connection only.
        verdict: What was wrong with the connection at its end, if anything was.
    """

    def __init__(self, peer: str, reason: str, verdict: Verdict | None = None) -> None:
        self.peer = peer
        self.reason = reason
        self.verdict = verdict
        why = f": {verdict.cause}. See {verdict.reference}" if verdict is not None else ""
        super().__init__(f"{quoted(peer)} is gone ({printable(reason, 64)}){why}")


class PeerNotHere(PeerError, LookupError):
    """Nobody of this name is in the room.

    Attributes:
        peer: The name waited for.
        timeout: Seconds waited; ``None`` if the room was left.
    """

    def __init__(self, peer: str, timeout: float | None) -> None:
        self.peer = peer
        self.timeout = timeout
        waited = f"within {timeout:g} s" if timeout is not None else "before the room was left"
        super().__init__(f"{quoted(peer)} did not come {waited}; is it the right room?")


class PairingError(PeerError):
    """The base class of the errors of pairing by a code."""


class ClosedBy(StrEnum):
    """The side that closed a channel."""

    US = "us"
    """This side: ``close()`` was called."""

    THEM = "them"
    """The remote peer closed the channel; the connection stands."""

    CONNECTION = "connection"
    """The connection is over, and all of its channels with it."""


_CLOSED = {
    ClosedBy.US: "was closed by this side",
    ClosedBy.THEM: "was closed by the other side",
    ClosedBy.CONNECTION: "is closed, because its connection is over",
}


class ChannelClosed(ChannelError):
    """The channel is closed, so nothing can be sent over it.

    Attributes:
        by: Who closed it.
    """

    def __init__(self, label: str, by: ClosedBy = ClosedBy.CONNECTION) -> None:
        self.by = by
        super().__init__(label, f"channel {quoted(label)} {_CLOSED[by]}")


class ChannelMisused(ChannelError, RuntimeError):
    """The channel is used in two ways that exclude each other."""


class InvalidMessage(ChannelError, ValueError):
    """A message cannot be sent, or is not of the type that was asked for.

    The channel is as good as before; the next message may be sent, or read.

    Attributes:
        message: It.
        reason: What is wrong with it.
    """

    def __init__(self, label: str, message: str | bytes, reason: str) -> None:
        self.message = message
        self.reason = reason
        super().__init__(
            label,
            f"a message on channel {quoted(label)} is not what it should be: {printable(reason)}",
        )


class RequestFailed(ChannelError):
    """The remote peer did not do what it was asked for.

    A handler raises it to refuse; any other error in a handler arrives as one with the code
    ``error`` and the name of that error's class.

    Attributes:
        code: A word for programs: ``error``, ``unserved`` if nobody serves requests there,
            ``overloaded`` if too many run already, or what the handler gave.
        reason: A sentence.
    """

    def __init__(self, code: str, reason: str, label: str = "") -> None:
        self.code = code
        self.reason = reason
        super().__init__(
            label, f"the request failed ({printable(code, 64)}): {printable(reason, 500)}"
        )


class RequestTimeout(ChannelError, TimeoutError):
    """No reply came in time; the remote peer is told that it need not go on.

    Attributes:
        timeout: Seconds waited.
    """

    def __init__(self, label: str, timeout: float) -> None:
        self.timeout = timeout
        super().__init__(label, f"no reply on channel {quoted(label)} within {timeout:g} s")


class MessageTooLarge(ChannelError, ValueError):
    """The message is larger than the remote peer takes (RFC 8841, ``a=max-message-size``).

    Attributes:
        size: Size of the message in bytes.
        limit: The remote peer's limit in bytes.
    """

    def __init__(self, label: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            label,
            f"a message of {size} bytes is over the {limit} bytes that the other side of "
            f"channel {quoted(label)} takes; send it in parts",
        )


class ReceiveOverflow(ChannelError):
    """Messages came faster than they were read, and the channel was closed over it.

    Attributes:
        limit: How many bytes may wait to be read.
    """

    def __init__(self, label: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            label,
            f"over {limit} bytes wait to be read from channel {quoted(label)}; "
            "read faster, or raise receive_buffer",
        )
