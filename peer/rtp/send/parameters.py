"""Sender parameters of ``getParameters()`` and ``setParameters()`` (W3C webrtc-pc 5.2)."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ..errors import InvalidParameters
from .allocation import PRIORITY_WEIGHTS
from .video_adaptation import DegradationPreference


@dataclass(slots=True, kw_only=True)
class RTCRtpEncodingParameters:
    """Limits of an outgoing stream; ``RTCRtpEncodingParameters`` of W3C webrtc-pc 5.2.7."""

    active: bool = True
    """True if media is sent. Otherwise the track is still read, and its frames are dropped."""
    maxBitrate: int | None = None
    """Maximum bits per second of the encoded media; ``None`` for a default by the frame size."""
    maxFramerate: float | None = None
    """Maximum frames per second; does not apply to encoded tracks."""
    scaleResolutionDownBy: float = 1.0
    """Divisor of width and height, 1 or more."""
    priority: str = "low"
    """Share of the bandwidth relative to other senders of the connection: ``"very-low"``,
    ``"low"``, ``"medium"`` or ``"high"`` (W3C webrtc-priority 4.1); each has twice the share of the
    one before."""


@dataclass(slots=True, kw_only=True)
class RTCRtpSendParameters:
    """Parameters of a sender: exactly one encoding, because simulcast is not supported."""

    encodings: list[RTCRtpEncodingParameters] = field(
        default_factory=lambda: [RTCRtpEncodingParameters()]
    )
    degradationPreference: str | None = None
    """``"maintain-framerate"``, ``"maintain-resolution"`` or ``"balanced"`` (W3C mst-content-hint
    5.1): what to keep of a picture that does not fit the link. With ``None`` the ``contentHint`` of
    the track decides; without one it is ``"balanced"``."""


def checked(parameters: RTCRtpSendParameters) -> RTCRtpEncodingParameters:
    """Validate parameters and return a copy of their only encoding.

    Raises:
        InvalidParameters: There is not exactly one encoding, or one of its values is invalid.
    """
    if len(parameters.encodings) != 1:
        raise InvalidParameters("encodings", parameters.encodings, "give exactly one encoding")
    encoding = parameters.encodings[0]
    scale, rate, bits = encoding.scaleResolutionDownBy, encoding.maxFramerate, encoding.maxBitrate
    if not scale >= 1:
        raise InvalidParameters("scaleResolutionDownBy", scale, "give 1 or more")
    if rate is not None and not rate > 0:
        raise InvalidParameters("maxFramerate", rate, "give more than 0, or set active to False")
    if bits is not None and not bits > 0:
        raise InvalidParameters("maxBitrate", bits, "give more than 0, or set active to False")
    if encoding.priority not in PRIORITY_WEIGHTS:
        raise InvalidParameters("priority", encoding.priority, f"give {_named(PRIORITY_WEIGHTS)}")
    known, preference = tuple(DegradationPreference), parameters.degradationPreference
    if preference is not None and preference not in known:
        raise InvalidParameters("degradationPreference", preference, f"give {_named(known)}")
    return replace(encoding)


def _named(values: Iterable[str]) -> str:
    return " or ".join(repr(str(value)) for value in values)
