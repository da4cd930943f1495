"""What a media section says of codecs, header extensions and streams (RFC 8866, 3551, 8285, 5576).

Lines out of which aiortc could make nothing are left out; the others are written as it reads them.
No I/O.
"""

from collections.abc import Iterable
from itertools import chain, islice

from aiortc.rtp import FORBIDDEN_PAYLOAD_TYPES

from .errors import InvalidDescription
from .lines import Block, number_of

_STATIC = {"audio": {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000"}}
"""Payload types that need no ``rtpmap`` (RFC 3551 section 6), of codecs that are known here."""

_NUMBERS = frozenset(
    {"apt", "max-fr", "max-fs", "maxplaybackrate", "minptime", "stereo", "useinbandfec"}
)
"""Parameters that aiortc makes numbers of."""

_VALUED = _NUMBERS | {"packetization-mode", "profile-level-id", "level-asymmetry-allowed"}
"""Parameters that mean nothing without a value."""

_SSRC_ATTRIBUTES = frozenset({"cname", "msid", "mslabel", "label"})
_PARAMETERS = 64
"""Parameters of one ``fmtp`` line that are read."""

_FEEDBACK = 12
"""Kinds of feedback of one payload type that are read, and of the wildcard: each of these makes a
line for every payload type."""

_FEEDBACK_LINES = 512
"""Lines of feedback of one section at most: aiortc compares each with every payload type."""

_SSRCS = 32
"""Streams that one section announces at most."""

_EXTENSION_LINES = 32
"""Header extensions of a section that are read; those of the session are read for each."""

_EXTENSIONS = range(1, 256)
"""Ids of header extensions; those above are for offers of more than fit (RFC 8285 section 5)."""


def read_formats(kind: str, formats: Iterable[str], number: int) -> list[int]:
    """Read the payload types of an ``m=`` line, without those that RTCP would be taken for.

    Raises:
        InvalidDescription: One is no payload type, or stands there twice.
    """
    found: list[int] = []
    for text in formats:
        payload_type = number_of(text, 0, 127)
        if payload_type is None:
            raise InvalidDescription(f"{text[:40]!r} is no payload type of {kind}", number)
        if payload_type in found:
            raise InvalidDescription(f"payload type {payload_type} stands there twice", number)
        found.append(payload_type)
    return [payload_type for payload_type in found if payload_type not in FORBIDDEN_PAYLOAD_TYPES]


def codec_lines(kind: str, formats: Iterable[int], section: Block) -> dict[int, list[str]]:
    """Return ``rtpmap``, ``rtcp-fb`` and ``fmtp`` of each payload type that names a codec."""
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
            if len(known) < _FEEDBACK:
                known.append(rest)
        elif attribute.name == "fmtp" and payload_type is not None:
            known = parameters.setdefault(payload_type, [])
            known.extend(_parameters(rest, _PARAMETERS - len(known)))
    lines: dict[int, list[str]] = {}
    left = _FEEDBACK_LINES
    for n in formats:
        if n not in maps:
            continue
        lines[n] = [f"a=rtpmap:{n} {maps[n]}"]
        every = dict.fromkeys([*feedback.get(str(n), []), *feedback.get("*", [])])
        wanted = list(every)[:left]
        left -= len(wanted)
        lines[n] += [f"a=rtcp-fb:{n} {what}" for what in wanted]
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


def _parameters(text: str, most: int) -> list[str]:
    found = []
    for part in text.split(";", most)[:most]:
        name, equals, value = (piece.strip() for piece in part.partition("="))
        known = name.lower() if name.lower() in _VALUED else name
        if not name or (known in _VALUED and not value):
            continue
        if known in _NUMBERS and number_of(value, 0, 2**31) is None:
            continue
        found.append(f"{known}={value}" if equals else name)
    return found


def extension_lines(session: Block, section: Block) -> list[str]:
    """Return the header extensions of a section; the session's are of all (RFC 8285 section 5)."""
    by_id: dict[int, str] = {}
    uris: set[str] = set()
    given = chain(section.all("extmap"), session.all("extmap"))
    for attribute in islice(given, _EXTENSION_LINES):
        id, _, rest = attribute.value.partition(" ")
        id, _, direction = id.partition("/")
        number = number_of(id, _EXTENSIONS.start, _EXTENSIONS.stop - 1)
        uri = rest.split()[:1]  # what follows are attributes of the extension's own
        if number is None or not uri or direction == "inactive" or uri[0] in uris:
            continue
        if number not in by_id:
            by_id[number] = uri[0]
            uris.add(uri[0])
    return [f"a=extmap:{number} {uri}" for number, uri in by_id.items()]


def stream_lines(section: Block) -> list[str]:
    """Return ``msid``, ``ssrc-group`` and ``ssrc``, the stream before the one that repairs it."""
    sources: dict[int, list[str]] = {}
    for attribute in section.all("ssrc"):
        first, _, rest = attribute.value.partition(" ")
        name, colon, value = rest.strip().partition(":")
        ssrc = number_of(first, 0, 2**32 - 1)
        if ssrc is None or name not in _SSRC_ATTRIBUTES or not colon:
            continue
        if ssrc in sources or len(sources) < _SSRCS:
            sources.setdefault(ssrc, []).append(f"a=ssrc:{ssrc} {name}:{value.strip()}")
    lines = []
    if msid := section.value("msid").split():
        lines.append(f"a=msid:{' '.join(msid[:2])}")
    pairs = [pair for a in section.all("ssrc-group") if (pair := _repaired(a.value))]
    lines += [f"a=ssrc-group:FID {media} {repair}" for media, repair in pairs]
    order = dict.fromkeys([ssrc for pair in pairs for ssrc in pair] + list(sources))
    return lines + [line for ssrc in order for line in sources.get(ssrc, ())]


def _repaired(group: str) -> tuple[int, int] | None:
    semantics, *items = group.split(maxsplit=3) or [""]
    match [number_of(item, 0, 2**32 - 1) for item in items]:
        case [int(media), int(repair)] if semantics == "FID" and media != repair:
            return media, repair
    return None
