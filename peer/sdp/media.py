"""Codecs, header extensions and SSRCs of media sections (RFC 8866, 3551, 8285, 5576).

The result is normalised for aiortc: lines that it cannot parse are left out. No I/O.
"""

from collections.abc import Iterable
from itertools import chain, islice

from aiortc.rtp import FORBIDDEN_PAYLOAD_TYPES

from .errors import InvalidDescription
from .lines import Block, number_of

_STATIC = {"audio": {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000"}}
"""Static payload types of supported codecs, which need no ``rtpmap`` (RFC 3551 section 6)."""

_NUMERIC_PARAMETERS = frozenset(
    {"apt", "max-fr", "max-fs", "maxplaybackrate", "minptime", "stereo", "useinbandfec"}
)
"""``fmtp`` parameters that aiortc parses as numbers."""

_PARAMETERS_WITH_VALUE = _NUMERIC_PARAMETERS | {
    "packetization-mode",
    "profile-level-id",
    "level-asymmetry-allowed",
}
"""``fmtp`` parameters that require a value."""

_SSRC_ATTRIBUTES = frozenset({"cname", "msid", "mslabel", "label"})
_MAX_PARAMETERS = 64
"""Maximum number of ``fmtp`` parameters of a payload type; further ones are ignored."""

_MAX_FEEDBACK = 12
"""Maximum number of ``rtcp-fb`` types of a payload type, and of the wildcard, each of which becomes
a line for every payload type."""

_MAX_FEEDBACK_LINES = 512
"""Maximum number of ``rtcp-fb`` lines of a section; aiortc compares each with all payload types."""

_MAX_SSRCS = 32
"""Maximum number of SSRCs in a section."""

_MAX_EXTENSION_LINES = 32
"""Maximum number of header extensions parsed for a section, including those on the session
level."""

_EXTENSION_IDS = range(1, 256)
"""Valid IDs of header extensions. Greater ones are placeholders in offers with more extensions than
IDs (RFC 8285 section 5)."""


def read_formats(kind: str, formats: Iterable[str], number: int) -> list[int]:
    """Parse the payload types of an ``m=`` line.

    Payload types that collide with RTCP packet types are left out, and so is one that occurs again,
    as browsers do it.

    Args:
        kind: ``audio`` or ``video``, for error messages.
        formats: The formats of the ``m=`` line.
        number: Number of the ``m=`` line.

    Raises:
        InvalidDescription: A format is not a payload type.
    """
    found: dict[int, None] = {}
    for text in formats:
        payload_type = number_of(text, 0, 127)
        if payload_type is None:
            raise InvalidDescription(f"{text[:40]!r} is not a payload type of {kind}", number)
        found[payload_type] = None
    return [payload_type for payload_type in found if payload_type not in FORBIDDEN_PAYLOAD_TYPES]


def codec_lines(kind: str, formats: Iterable[int], section: Block) -> dict[int, list[str]]:
    """Return the ``rtpmap``, ``rtcp-fb`` and ``fmtp`` lines by payload type.

    Payload types without a valid codec are left out.
    """
    maps = dict(_STATIC.get(kind, {}))
    feedback: dict[str, list[str]] = {}
    parameters: dict[int, list[str]] = {}
    for attribute in section.attributes:
        first, _, rest = attribute.value.partition(" ")
        rest = " ".join(rest.split())
        payload_type = number_of(first, 0, 127)
        if attribute.name == "rtpmap" and payload_type is not None:
            if (name := _codec(kind, rest)) is not None:
                maps[payload_type] = name
            else:
                maps.pop(payload_type, None)
        elif attribute.name == "rtcp-fb" and rest and (payload_type is not None or first == "*"):
            known = feedback.setdefault(first, [])
            if len(known) < _MAX_FEEDBACK:
                known.append(rest)
        elif attribute.name == "fmtp" and payload_type is not None:
            known = parameters.setdefault(payload_type, [])
            known.extend(_parameters(rest, _MAX_PARAMETERS - len(known)))
    lines: dict[int, list[str]] = {}
    left = _MAX_FEEDBACK_LINES
    for n in formats:
        if n not in maps:
            continue
        lines[n] = [f"a=rtpmap:{n} {maps[n]}"]
        every = dict.fromkeys([*feedback.get(str(n), []), *feedback.get("*", [])])
        wanted = list(every)[:left]
        left -= len(wanted)
        lines[n] += [f"a=rtcp-fb:{n} {feedback_type}" for feedback_type in wanted]
        if found := parameters.get(n):
            lines[n].append(f"a=fmtp:{n} {';'.join(found)}")
    return lines


def _codec(kind: str, text: str) -> str | None:
    name, *numbers = (part.strip() for part in text.split("/"))
    rate = number_of(numbers[0], 1, 2**31) if numbers else None
    if not name or " " in name or rate is None:
        return None
    if kind != "audio" or len(numbers) < 2:
        return f"{name}/{rate}"
    channels = number_of(numbers[1], 1, 255)
    return f"{name}/{rate}/{channels}" if channels is not None else None


def _parameters(text: str, limit: int) -> list[str]:
    found = []
    for part in text.split(";", limit)[:limit]:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        known = name.lower() if name.lower() in _PARAMETERS_WITH_VALUE else name
        if not name or (known in _PARAMETERS_WITH_VALUE and not value):
            continue
        if known in _NUMERIC_PARAMETERS and number_of(value, 0, 2**31) is None:
            continue
        found.append(f"{known}={value}" if equals else name)
    return found


def extension_lines(session: Block, section: Block) -> list[str]:
    """Return the ``extmap`` lines of a section.

    Those on the session level apply to all sections (RFC 8285 section 5).
    """
    by_id: dict[int, str] = {}
    uris: set[str] = set()
    given = chain(section.all("extmap"), session.all("extmap"))
    for attribute in islice(given, _MAX_EXTENSION_LINES):
        id, _, rest = attribute.value.partition(" ")
        id, _, direction = id.partition("/")
        number = number_of(id, _EXTENSION_IDS.start, _EXTENSION_IDS.stop - 1)
        uri = rest.split()[:1]  # the rest are the extension's attributes
        if number is None or not uri or direction == "inactive" or uri[0] in uris:
            continue
        if number not in by_id:
            by_id[number] = uri[0]
            uris.add(uri[0])
    return [f"a=extmap:{number} {uri}" for number, uri in by_id.items()]


def stream_lines(section: Block) -> list[str]:
    """Return the ``msid``, ``ssrc-group`` and ``ssrc`` lines of a section.

    The SSRC of a media stream precedes the SSRC of its retransmissions (FID group).
    """
    sources: dict[int, list[str]] = {}
    for attribute in section.all("ssrc"):
        first, _, rest = attribute.value.partition(" ")
        name, colon, value = rest.strip().partition(":")
        ssrc = number_of(first, 0, 2**32 - 1)
        if ssrc is None or name not in _SSRC_ATTRIBUTES or not colon:
            continue
        if ssrc in sources or len(sources) < _MAX_SSRCS:
            sources.setdefault(ssrc, []).append(f"a=ssrc:{ssrc} {name}:{value.strip()}")
    lines = []
    if msid := section.value("msid").split():
        lines.append(f"a=msid:{' '.join(msid[:2])}")
    pairs = [pair for a in section.all("ssrc-group") if (pair := _fid_pair(a.value))]
    lines += [f"a=ssrc-group:FID {media} {repair}" for media, repair in pairs]
    order = dict.fromkeys([ssrc for pair in pairs for ssrc in pair] + list(sources))
    return lines + [line for ssrc in order for line in sources.get(ssrc, ())]


def _fid_pair(group: str) -> tuple[int, int] | None:
    semantics, *items = group.split(maxsplit=3) or [""]
    match [number_of(item, 0, 2**32 - 1) for item in items]:
        case [int(media), int(repair)] if semantics == "FID" and media != repair:
            return media, repair
    return None
