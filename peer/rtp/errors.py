"""The errors of sending and receiving RTP."""

from icefloe.text import printable, quoted

from .._util.errors import PeerError


class InvalidParameters(PeerError, ValueError):
    """Parameters of a sender make no sense (W3C webrtc-pc, setParameters).

    Attributes:
        field: The name of the field.
        value: What was given for it.
    """

    def __init__(self, field: str, value: object, demand: str) -> None:
        self.field = field
        self.value = value
        super().__init__(f"{field}={quoted(value)} is refused: {demand}")


class TrackNotSent(PeerError):
    """Something that a track gave was not sent, or the track broke.

    It comes with the event ``senderror`` of the connection. The sender goes on with the next frame,
    unless the track has broken; ``framesRefused`` of ``outbound-rtp`` counts. The error of the
    track or of its frame is the ``__cause__``.

    Attributes:
        track: The track.
        reason: What is wrong with it.
    """

    def __init__(self, track: object, reason: str) -> None:
        self.track = track
        self.reason = reason
        name = f"{getattr(track, 'kind', '')} track {printable(getattr(track, 'id', ''))}"
        super().__init__(f"something of {name} was not sent: {printable(reason)}")


class NotForwardable(PeerError, ValueError):
    """What was to be forwarded is no track that a peer connection of icefloe receives.

    Attributes:
        track: It.
    """

    def __init__(self, track: object) -> None:
        self.track = track
        super().__init__(
            f"{quoted(track)} is not received by a peer connection of icefloe; forward the track "
            "of its `track` event itself, and send other tracks as they are"
        )
