"""The errors of descriptions."""

from icefloe.text import printable

from .._util.errors import PeerError


class InvalidDescription(PeerError, ValueError):
    """A description cannot be read, or does not fit what was negotiated before.

    It changed nothing: the connection is in the state in which it was. W3C webrtc-pc has
    ``RTCError`` with ``sdp-syntax-error`` and ``InvalidAccessError`` for it.

    Attributes:
        reason: What is wrong with it.
        sdpLineNumber: The line, from 1; ``None`` if it is not about one line.
    """

    def __init__(self, reason: str, sdpLineNumber: int | None = None) -> None:
        self.reason = reason
        self.sdpLineNumber = sdpLineNumber
        where = f" (line {sdpLineNumber} of the description)" if sdpLineNumber is not None else ""
        super().__init__(printable(reason, 500) + where)
