"""Errors of sending and forwarding RTP."""

from icefloe.text import printable, quoted

from .._util.errors import PeerError


class InvalidParameters(PeerError, ValueError):
    """``setParameters()`` got an invalid value (W3C webrtc-pc 5.2).

    Attributes:
        field: The name of the field.
        value: The rejected value.
    """

    def __init__(self, field: str, value: object, demand: str) -> None:
        self.field = field
        self.value = value
        super().__init__(f"{field}={quoted(value)} is refused: {demand}")


class TrackNotSent(PeerError):
    """A frame or packet of a local track could not be sent, or the track failed.

    The connection emits it with the event ``senderror``. The sender continues with the next frame
    unless the track failed; ``frames_refused`` of ``outbound-rtp`` counts the frames. The original
    exception is the ``__cause__``.

    Attributes:
        track: The track.
        reason: A description of the problem.
    """

    def __init__(self, track: object, reason: str) -> None:
        self.track = track
        self.reason = reason
        name = f"{getattr(track, 'kind', '')} track {printable(getattr(track, 'id', ''))}"
        super().__init__(f"media of {name} was not sent: {printable(reason)}")


class NotForwardable(PeerError, ValueError):
    """``forward()`` was called with an object that is not a remote track of an icefloe connection.

    Attributes:
        track: The rejected object.
    """

    def __init__(self, track: object) -> None:
        self.track = track
        super().__init__(
            f"{quoted(track)} is not received by a peer connection of icefloe; forward the track "
            "of its `track` event itself, and send other tracks as they are"
        )
