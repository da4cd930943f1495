"""Feedback for congestion control in descriptions, beyond aiortc's capabilities.

Both sides number their packets by a header extension and report which of them arrived, and when
(draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3). aiortc knows neither; its tables are
shared by all connections of a program, so they are left as they are.

Where the other side wants the feedback of RFC 8888 alone it gets that. It is not offered beside the
other kind: which one a stack would take of two is its own choice, and the answer is to have one.
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from aiortc.codecs import HEADER_EXTENSIONS, is_rtx
from aiortc.rtcrtpparameters import (
    RTCRtcpFeedback,
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
)
from aiortc.sdp import MediaDescription

from ..rtp.congestion.header_extension import URI

_FEEDBACK = RTCRtcpFeedback(type="transport-cc")
_BY_STREAM = RTCRtcpFeedback(type="ack", parameter="ccfb")
_BY_STREAM_LINE = re.compile(r"a=rtcp-fb:\d+ ack ccfb\r\n")
_SECTION = re.compile(r"(?=^m=)", re.MULTILINE)
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


def agrees_on_stream_feedback(sections: Iterable[MediaDescription]) -> bool:
    """Return whether the other side wants the feedback of RFC 8888, and no transport-wide one.

    In a bundle it is for all sections or none: a payload type means the same in all of them (RFC
    8859), and this feedback is for all payload types (RFC 8888 section 6).

    Args:
        sections: The media sections of its description.
    """
    wanted = False
    for media in sections:
        feedback = [each for codec in media.rtp.codecs for each in codec.rtcpFeedback]
        if media.kind == "application" or (not media.port and not feedback):
            continue  # a rejected section says nothing
        numbers = any(extension.uri == URI for extension in media.rtp.headerExtensions)
        if _BY_STREAM not in feedback or (numbers and _FEEDBACK in feedback):
            return False
        wanted = True
    return wanted


def with_stream_feedback(codecs: Iterable[RTCRtpCodecParameters]) -> list[RTCRtpCodecParameters]:
    """Return copies of codecs with the feedback of RFC 8888, and without the transport-wide one."""
    both = _FEEDBACK, _BY_STREAM
    return [
        replace(codec, rtcpFeedback=[*(x for x in codec.rtcpFeedback if x not in both), _BY_STREAM])
        for codec in codecs
    ]


def has_stream_feedback(codecs: Iterable[RTCRtpCodecParameters]) -> bool:
    """Return whether codecs have the feedback of RFC 8888."""
    return any(_BY_STREAM in codec.rtcpFeedback for codec in codecs)


def without_stream_feedback(codecs: Iterable[RTCRtpCodecParameters]) -> list[RTCRtpCodecParameters]:
    """Return codecs without the feedback of RFC 8888, which aiortc copies with those for RTX."""
    return [
        replace(codec, rtcpFeedback=[x for x in codec.rtcpFeedback if x != _BY_STREAM])
        if _BY_STREAM in codec.rtcpFeedback
        else codec
        for codec in codecs
    ]


def with_wildcards(description: str) -> str:
    """Return a description in which the feedback of RFC 8888 is for all payload types."""
    if not _BY_STREAM_LINE.search(description):
        return description
    return "".join(map(_with_wildcard, _SECTION.split(description)))


def _with_wildcard(section: str) -> str:
    found = _BY_STREAM_LINE.search(section)
    if found is None:
        return section
    before, after = section[: found.start()], section[found.end() :]
    return f"{before}a=rtcp-fb:* ack ccfb\r\n{_BY_STREAM_LINE.sub('', after)}"
