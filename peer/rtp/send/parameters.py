"""What an application may say about how a track is sent (W3C webrtc-pc 5.2)."""

from dataclasses import dataclass, field, replace

from ..errors import InvalidParameters


@dataclass(slots=True, kw_only=True)
class RTCRtpEncodingParameters:
    """Limits of what a sender sends; ``RTCRtpEncodingParameters`` of W3C webrtc-pc 5.2.7."""

    active: bool = True
    """Whether anything is sent at all; the track is read on, and what it gives is dropped."""
    maxBitrate: int | None = None
    """Bits a second at most, of the encoded media; ``None`` is what the picture's size is worth."""
    maxFramerate: float | None = None
    """Pictures a second at most; what comes encoded is not thinned."""
    scaleResolutionDownBy: float = 1.0
    """By how much width and height are divided, 1 or more."""


@dataclass(slots=True, kw_only=True)
class RTCRtpSendParameters:
    """What ``getParameters()`` gives and ``setParameters()`` takes: one encoding, no simulcast."""

    encodings: list[RTCRtpEncodingParameters] = field(
        default_factory=lambda: [RTCRtpEncodingParameters()]
    )


def checked(parameters: RTCRtpSendParameters) -> RTCRtpEncodingParameters:
    """Return a copy of the one encoding.

    Raises:
        InvalidParameters: There is not exactly one, or one of its values makes no sense.
    """
    if len(parameters.encodings) != 1:
        raise InvalidParameters("encodings", parameters.encodings, "there is one, no more, no less")
    encoding = parameters.encodings[0]
    scale, rate, bits = encoding.scaleResolutionDownBy, encoding.maxFramerate, encoding.maxBitrate
    if not scale >= 1:
        raise InvalidParameters("scaleResolutionDownBy", scale, "give 1 or more")
    if rate is not None and not rate > 0:
        raise InvalidParameters("maxFramerate", rate, "more than 0; to pause, set active to False")
    if bits is not None and not bits > 0:
        raise InvalidParameters("maxBitrate", bits, "more than 0; to pause, set active to False")
    return replace(encoding)
