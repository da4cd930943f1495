"""Errors of session descriptions."""

from icefloe.text import printable

from .._util.errors import PeerError


class InvalidDescription(PeerError, ValueError):
    """A description is malformed, or does not fit the previous negotiation.

    The description has had no effect: the state of the connection is unchanged. W3C webrtc-pc
    defines ``RTCError`` with ``sdp-syntax-error``, and ``InvalidAccessError``, for these cases.

    Attributes:
        reason: The fault.
        sdpLineNumber: Number of the faulty line, from 1; ``None`` if no single line is faulty.
    """

    def __init__(self, reason: str, sdpLineNumber: int | None = None) -> None:
        self.reason = reason
        self.sdpLineNumber = sdpLineNumber
        where = f" (line {sdpLineNumber} of the description)" if sdpLineNumber is not None else ""
        super().__init__(printable(reason, 500) + where)
