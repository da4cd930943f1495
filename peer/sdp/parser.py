"""SDP parser: untrusted descriptions to media sections (RFC 8866, RFC 9429). No I/O.

Stacks differ in the details. Everything that RFC 8866 allows is accepted, everything that browsers
ignore is ignored, and the rest raises an error with the line number.
"""

import ipaddress
from dataclasses import dataclass, field, replace
from itertools import islice

from .errors import InvalidDescription
from .lines import SECTIONS, Block, number_of, split
from .media import codec_lines, extension_lines, read_formats, stream_lines
from .steps import A_SECTION, Steps, at_once
from .transport import Transport, bundle_transport, read_transport

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_CHANNEL_PROTOCOLS = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP")
_CHANNELS = "webrtc-datachannel"
_SCTP_PORT = 5000
_MAX_GROUPS = 32
"""Maximum number of ``a=group`` lines; further ones are ignored."""
_MAX_MID_LENGTH = 255
"""Maximum length of a mid in characters, the limit of the header extension (RFC 9143 section
15)."""
MAX_CANDIDATES = 256
"""Maximum number of candidates of a media section; further ones are ignored."""
MAX_TOTAL_CANDIDATES = 1024
"""Maximum number of candidates of a description; further ones are ignored."""


@dataclass(frozen=True, slots=True)
class SectionCandidates:
    """The candidates of a media section.

    Attributes:
        candidates: Candidate attributes, without ``a=``.
        complete: True if the section or the session level has ``a=end-of-candidates``.
    """

    candidates: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Section:
    """A parsed media section.

    Attributes:
        kind: The media type of the ``m=`` line: ``audio``, ``video``, ``application`` or another.
        port: The port of the ``m=`` line.
        protocol: The protocol in upper case, such as ``UDP/TLS/RTP/SAVPF``.
        formats: The formats of the ``m=`` line.
        number: Line number of the ``m=`` line.
        mid: The mid; empty if there is none.
        direction: The direction, by default ``sendrecv`` (RFC 8866 section 6.7).
        rejected: True if the port is 0 without ``bundle-only`` (RFC 3264 section 6).
        bundled: True if the section is in the first ``BUNDLE`` group.
        transport: ICE and DTLS parameters.
        addresses: The ``c=`` and ``a=rtcp`` lines, which have no effect (RFC 9429 section 5.8).
        codecs: The lines of each payload type with a codec.
        extensions: The ``extmap`` lines.
        streams: The ``msid`` and SSRC lines.
        sctp_lines: The SCTP lines of a section of data channels.
        candidates: The candidates.
        problem: The reason why the section cannot be used; empty if it can.
        lines: All printable lines as received.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    number: int
    mid: str
    direction: str
    rejected: bool
    bundled: bool
    transport: Transport
    addresses: tuple[str, str]
    codecs: dict[int, list[str]]
    extensions: list[str]
    streams: list[str]
    sctp_lines: list[str]
    candidates: SectionCandidates
    problem: str
    lines: tuple[str, ...] = field(repr=False)

    @property
    def is_media(self) -> bool:
        """True for audio and video."""
        return self.kind in ("audio", "video")

    @property
    def usable(self) -> bool:
        """True if the section is not rejected and has no problem."""
        return not self.rejected and not self.problem

    @property
    def weight(self) -> int:
        """The work of applying the section, in lines of a description."""
        return A_SECTION + len(self.lines) + sum(map(len, self.codecs.values()))


@dataclass(frozen=True, slots=True)
class Description:
    """A parsed description.

    Attributes:
        origin: The value of the ``o=`` line.
        ice_lite: True if the remote peer is an ICE-lite implementation (RFC 8445 section 2.5).
        bundle: The mids of the first ``BUNDLE`` group, in order.
        sections: The media sections.
        by_aiortc: True if plain aiortc probably wrote the description: no other stack has
            fingerprints of three hash functions and no ``ice-options``.
    """

    origin: str
    ice_lite: bool
    bundle: tuple[str, ...]
    sections: tuple[Section, ...]
    by_aiortc: bool


def read(text: object, *, answer: bool = False) -> Description:
    """Parse a description at once; see :func:`reading`."""
    return at_once(reading(text, answer=answer))


def reading(text: object, *, answer: bool = False, most: int = SECTIONS) -> Steps[Description]:
    """Parse a description, one media section after the other.

    Args:
        text: The untrusted description; any object.
        answer: True for an answer, whose default DTLS role is ``active``.
        most: Maximum number of media sections.

    Raises:
        InvalidDescription: The description is malformed, or a usable section lacks ICE credentials
            or a fingerprint.
    """
    session, blocks = yield from split(text, most)
    mids = _mids(blocks)
    bundle = _bundle(session, mids)
    bundled = frozenset(bundle)
    all_complete = session.has("end-of-candidates")
    sections = []
    for block, mid in zip(blocks, mids, strict=True):
        sections.append(
            _section(session, block, mid, all_complete=all_complete, bundled=mid in bundled)
        )
        yield A_SECTION + len(block.lines)
    sections = _with_candidates(sections, MAX_TOTAL_CANDIDATES)
    sections = _with_shared_transport(sections, bundle)
    sections = [_with_role(section, answer=answer) for section in sections]
    for section in sections:
        _check_transport(section)
    origin = next((x.text[2:] for x in session.lines if x.text.startswith("o=")), "")
    known = origin if origin.isprintable() and len(origin.split()) == 6 else ""
    return Description(
        origin=known or "- 0 0 IN IP4 0.0.0.0",
        ice_lite=session.has("ice-lite") or any(block.has("ice-lite") for block in blocks),
        bundle=bundle,
        sections=tuple(sections),
        by_aiortc=bool(blocks) and all(map(_is_by_aiortc, blocks)),
    )


def _is_by_aiortc(block: Block) -> bool:
    hashes = {attribute.value.partition(" ")[0] for attribute in block.all("fingerprint")}
    return len(hashes) == 3 and not block.has("ice-options")


def _mids(blocks: list[Block]) -> list[str]:
    mids: list[str] = []
    seen: set[str] = set()
    for block in blocks:
        attribute = block.first("mid")
        mid = attribute.value if attribute is not None else ""
        if attribute is not None and mid:
            if " " in mid or len(mid) > _MAX_MID_LENGTH:
                raise InvalidDescription(f"the mid {mid[:40]!r} is invalid", attribute.number)
            if mid in seen:
                raise InvalidDescription(f"two sections have the mid {mid!r}", attribute.number)
        mids.append(mid)
        seen.add(mid)
    return mids


def _bundle(session: Block, mids: list[str]) -> tuple[str, ...]:
    known_mids = set(mids)
    for attribute in islice(session.all("group"), _MAX_GROUPS):
        semantics, *items = attribute.value.split(maxsplit=2 * SECTIONS) or [""]
        known = tuple(dict.fromkeys(item for item in items if item in known_mids))
        if semantics.upper() == "BUNDLE" and known:
            return known
    return ()


def _section(
    session: Block, block: Block, mid: str, *, all_complete: bool, bundled: bool
) -> Section:
    number = block.lines[0].number
    kind, port, protocol, formats = _media_line(block.lines[0].text, number)
    rejected = port == 0 and not block.has("bundle-only")
    if not formats:
        if not rejected:
            raise InvalidDescription("the m= line must have at least one format", number)
        formats = (_CHANNELS if kind == "application" else "0",)
    is_media = kind in ("audio", "video")
    problem = "rejected" if rejected else _problem(kind, protocol, formats, session, block)
    payload_types: list[int] = []
    if is_media and not rejected:
        payload_types = read_formats(kind, formats, number)
    codecs = codec_lines(kind, payload_types, block)
    if not problem and is_media and not codecs:
        problem = "no codec has a valid rtpmap"
    try:
        transport = read_transport(session, block)
    except InvalidDescription:
        if not problem:
            raise
        transport = Transport()
    candidates = islice(block.all("candidate"), MAX_CANDIDATES)
    return Section(
        kind=kind,
        port=port,
        protocol=protocol,
        formats=formats,
        number=number,
        mid=mid,
        direction=_direction(block) or _direction(session) or "sendrecv",
        rejected=rejected,
        bundled=bundled,
        transport=transport,
        addresses=_addresses(block),
        codecs=codecs,
        extensions=extension_lines(session, block) if is_media else [],
        streams=stream_lines(block) if is_media else [],
        sctp_lines=[] if problem or is_media else _sctp_lines(protocol, formats, block),
        candidates=SectionCandidates(
            tuple(f"candidate:{a.value}" for a in candidates),
            all_complete or block.has("end-of-candidates"),
        ),
        problem=problem,
        lines=tuple(line.text for line in block.lines if line.text.isprintable()),
    )


def _media_line(text: str, number: int) -> tuple[str, int, str, tuple[str, ...]]:
    kind, *rest = text[2:].split() or [""]
    # RFC 8866 section 5.14: a number of ports may follow, which means nothing where ICE names them.
    first, slash, count = rest[0].partition("/") if rest else ("", "", "")
    port = number_of(first, 0, 65535)
    if slash and not number_of(count, 1, 65535):
        port = None
    if port is None or len(rest) < 2 or not text.isprintable() or not text.isascii():
        raise InvalidDescription(
            "the m= line must have a media type, a port, a protocol and formats", number
        )
    return kind, port, rest[1].upper(), tuple(rest[2:])


def _addresses(block: Block) -> tuple[str, str]:
    connection = next((x.text[2:] for x in block.lines if x.text.startswith("c=")), "")
    port, _, address = block.value("rtcp").partition(" ")
    known = number_of(port, 0, 65535)
    return (
        f"c={_address(connection)}",
        f"a=rtcp:{known if known is not None else 9} {_address(address)}",
    )


def _address(text: str) -> str:
    """Return a connection address; a host name or a malformed address becomes ``0.0.0.0``."""
    match text.split():
        case ["IN", "IP4" | "IP6" as version, address]:
            try:
                if ipaddress.ip_address(address).version == int(version[2]):
                    return f"IN {version} {address}"
            except ValueError:
                pass
    return "IN IP4 0.0.0.0"


def _direction(block: Block) -> str:
    return next((a.name for a in block.attributes if a.name in _DIRECTIONS), "")


def _problem(
    kind: str, protocol: str, formats: tuple[str, ...], session: Block, block: Block
) -> str:
    if kind == "application":
        return _channels_problem(protocol, formats, block)
    if kind not in ("audio", "video"):
        return f"the media type {kind} is not supported"
    if "RTP/" not in protocol:
        return f"the protocol {protocol} is not supported"
    if not block.has("fingerprint") and not session.has("fingerprint"):
        if block.has("crypto"):
            return "keys are exchanged in the description (SDES), which WebRTC forbids"
        if "TLS" not in protocol:
            return "the media is not encrypted"
    if not block.has("rtcp-mux") and not block.has("rtcp-mux-only"):
        return "rtcp-mux is missing"
    return ""


def _channels_problem(protocol: str, formats: tuple[str, ...], block: Block) -> str:
    if protocol not in _CHANNEL_PROTOCOLS:
        return f"the protocol {protocol} is not supported"
    named = {formats[0], *(word for a in block.all("sctpmap") for word in a.value.split()[1:2])}
    if _CHANNELS not in named and not formats[0].isdigit():
        return f"the application protocol {formats[0]} is not supported, only {_CHANNELS}"
    port = _sctp_port(protocol, formats, block)
    return "" if port is not None else "the SCTP port is invalid"


def _sctp_port(protocol: str, formats: tuple[str, ...], block: Block) -> int | None:
    if protocol == "DTLS/SCTP" and formats[0].isdigit():
        return number_of(formats[0], 1, 65535)
    attribute = block.first("sctp-port")
    return number_of(attribute.value, 1, 65535) if attribute is not None else _SCTP_PORT


def _sctp_lines(protocol: str, formats: tuple[str, ...], block: Block) -> list[str]:
    port = _sctp_port(protocol, formats, block)
    legacy = protocol == "DTLS/SCTP" and formats[0].isdigit()
    streams = number_of(block.value("sctpmap").rpartition(" ")[2], 0, 65535) or ""
    known = f"a=sctpmap:{port} {_CHANNELS} {streams}".rstrip()
    lines = [known if legacy else f"a=sctp-port:{port}"]
    size = number_of(block.value("max-message-size"), 0, 2**64)
    return [*lines, f"a=max-message-size:{size}"] if size is not None else lines


def _with_candidates(sections: list[Section], limit: int) -> list[Section]:
    """Return the sections with the first ``limit`` candidates of the description."""
    limited = []
    for section in sections:
        kept = section.candidates.candidates[:limit]
        limit -= len(kept)
        if len(kept) < len(section.candidates.candidates):
            section = replace(section, candidates=replace(section.candidates, candidates=kept))
        limited.append(section)
    return limited


def _with_shared_transport(sections: list[Section], bundle: tuple[str, ...]) -> list[Section]:
    """Apply the tagged section's transport to its whole bundle (RFC 9143 section 7.1.3)."""
    members = {section.mid: section for section in sections if section.bundled}
    ordered = [members[mid] for mid in bundle if not members[mid].rejected]
    transport = bundle_transport(section.transport for section in ordered)
    if not transport.is_usable:
        return sections
    return [
        replace(section, transport=transport) if section.bundled and section.usable else section
        for section in sections
    ]


def _with_role(section: Section, *, answer: bool) -> Section:
    """Return a section with a default DTLS role if it has none (RFC 5763 section 5)."""
    transport = section.transport
    if transport.setup:
        return section
    setup = "active" if answer else "actpass"
    return replace(section, transport=replace(transport, setup=setup))


def _check_transport(section: Section) -> None:
    if not section.usable or section.transport.is_usable:
        return
    if section.transport.ufrag and section.transport.password:
        raise InvalidDescription(f"the {section.kind} section has no fingerprint", section.number)
    # aiortc's message, which programs may match.
    raise InvalidDescription("ICE username fragment or password is missing")
