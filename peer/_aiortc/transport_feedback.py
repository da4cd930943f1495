"""Transport-wide feedback in descriptions, beyond aiortc's capabilities.

Both sides number their packets by a header extension and report which of them arrived, and when
(draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3). aiortc knows neither; its tables are
shared by all connections of a program, so they are left as they are.
"""

from collections.abc import Iterable
from dataclasses import replace

from aiortc.codecs import HEADER_EXTENSIONS, is_rtx
from aiortc.rtcrtpparameters import (
    RTCRtcpFeedback,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
)

from ..rtp.congestion.header_extension import URI

_FEEDBACK = RTCRtcpFeedback(type="transport-cc")
_CONSTANT = frozenset({"g722", "pcmu", "pcma"})
"""Codecs of a constant bit rate, which have no use for an estimate."""
_ID = 4
"""An id that aiortc gives to no other extension."""


def header_extensions(kind: str) -> list[RTCRtpHeaderExtensionParameters]:
    """Return the header extensions that this side knows.

    Args:
        kind: ``"audio"`` or ``"video"``.
    """
    return [*HEADER_EXTENSIONS[kind], RTCRtpHeaderExtensionParameters(id=_ID, uri=URI)]


def with_transport_feedback(
    codecs: Iterable[RTCRtpCodecParameters],
    remote: Iterable[RTCRtpCodecParameters] | None = None,
) -> list[RTCRtpCodecParameters]:
    """Return copies of codecs for which this side sends transport-wide feedback.

    Args:
        codecs: The codecs; RTX and those of a constant bit rate stay as they are.
        remote: The codecs of the other side: only for those that it wants feedback for. ``None``
            stands for all.
    """
    wanted = (
        None
        if remote is None
        else {codec.payloadType for codec in remote if _FEEDBACK in codec.rtcpFeedback}
    )
    return [
        codec
        if is_rtx(codec)
        or codec.name.lower() in _CONSTANT
        or _FEEDBACK in codec.rtcpFeedback
        or (wanted is not None and codec.payloadType not in wanted)
        else replace(codec, rtcpFeedback=[*codec.rtcpFeedback, _FEEDBACK])
        for codec in codecs
    ]
