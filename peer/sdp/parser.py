"""Descriptions as they come from outside, read into what they mean. No I/O.

Every stack writes them a little differently. What RFC 8866 allows is understood, what browsers pass
over is passed over, and what neither can be made sense of is an error that names the line.
"""

import ipaddress
from dataclasses import dataclass, field, replace
from itertools import islice

from .errors import InvalidDescription
from .lines import SECTIONS, Block, number_of, split
from .media import codec_lines, extension_lines, read_formats, stream_lines
from .steps import A_SECTION, Steps, at_once
from .transport import Transport, read_transport, shared

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_CHANNEL_PROTOCOLS = ("UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP")
_CHANNELS = "webrtc-datachannel"
_SCTP_PORT = 5000
_GROUPS = 32
"""Groups of media sections that are read."""
_MID = 255
"""Characters of a mid at most: more has no room in the header extension (RFC 9143 section 15)."""
CANDIDATES = 256
"""Candidates of one media section that are read."""
ALL_CANDIDATES = 1024
"""Candidates of a whole description that are read."""


@dataclass(frozen=True, slots=True)
class SectionCandidates:
    """The candidates that came with one media section.

    Attributes:
        candidates: Candidate attributes, without ``a=``.
        complete: Whether the section says that these are all.
    """

    candidates: tuple[str, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class Section:
    """One media section.

    Attributes:
        kind: ``audio``, ``video``, ``application``, or what else the ``m=`` line says.
        port: The port of the ``m=`` line.
        protocol: Such as ``UDP/TLS/RTP/SAVPF``.
        formats: The rest of the ``m=`` line.
        number: The number of that line.
        mid: Its identification; empty if it has none.
        direction: ``sendrecv`` where neither it nor the session says anything (RFC 8866 6.7).
        rejected: Whether port 0 rejects it (RFC 3264 section 6).
        bundled: Whether it is in the first ``BUNDLE`` group.
        transport: Of ICE and DTLS.
        addresses: Its ``c=`` and ``a=rtcp`` lines, which mean nothing (RFC 9429 section 5.8).
        codecs: The lines of each payload type that names a codec.
        extensions: The lines of its header extensions.
        streams: The lines of its streams.
        sctp_lines: What is said of SCTP.
        candidates: Its candidates.
        problem: Why it cannot be used; empty if it can.
        lines: All its lines as they came, as far as they can be printed.
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
        """Whether it is of audio or video."""
        return self.kind in ("audio", "video")

    @property
    def usable(self) -> bool:
        """Whether it is offered, and nothing speaks against taking it."""
        return not self.rejected and not self.problem

    @property
    def weight(self) -> int:
        """How many lines of a description are as much work as it is."""
        return A_SECTION + len(self.lines) + sum(map(len, self.codecs.values()))


@dataclass(frozen=True, slots=True)
class Description:
    """A whole description.

    Attributes:
        origin: The value of its ``o=`` line.
        ice_lite: Whether the other side is an ICE-lite agent (RFC 8445 section 2.5).
        bundle: The mids of the first ``BUNDLE`` group, in its order.
        sections: The media sections.
        by_aiortc: Whether plain aiortc wrote it, as far as can be told: it is the one stack that
            does not trickle and tells the certificate's fingerprint by three hashes.
    """

    origin: str
    ice_lite: bool
    bundle: tuple[str, ...]
    sections: tuple[Section, ...]
    by_aiortc: bool


def read(text: object, *, answer: bool = False) -> Description:
    """Read a description; see :func:`reading`."""
    return at_once(reading(text, answer=answer))


def reading(text: object, *, answer: bool = False, most: int = SECTIONS) -> Steps[Description]:
    """Read a description, one media section after the other.

    Args:
        text: What came; nothing is assumed of it.
        answer: Whether it is an answer, which says who is the client of DTLS.
        most: How many media sections it may have.

    Raises:
        InvalidDescription: It is malformed, or lacks what a media section cannot do without.
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
    sections = _with_candidates(sections, ALL_CANDIDATES)
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
            if " " in mid or len(mid) > _MID:
                raise InvalidDescription(f"mid cannot be {mid[:40]!r}", attribute.number)
            if mid in seen:
                raise InvalidDescription(f"two sections have the mid {mid!r}", attribute.number)
        mids.append(mid)
        seen.add(mid)
    return mids


def _bundle(session: Block, mids: list[str]) -> tuple[str, ...]:
    there_are = set(mids)
    for attribute in islice(session.all("group"), _GROUPS):
        semantics, *items = attribute.value.split(maxsplit=2 * SECTIONS) or [""]
        known = tuple(dict.fromkeys(item for item in items if item in there_are))
        if semantics.upper() == "BUNDLE" and known:
            return known
    return ()


def _section(
    session: Block, block: Block, mid: str, *, all_complete: bool, bundled: bool
) -> Section:
    number = block.lines[0].number
    kind, port, protocol, formats = _media_line(block.lines[0].text, number)
    rejected = port == 0 and not block.has("bundle-only")
    is_media = kind in ("audio", "video")
    problem = "it is rejected" if rejected else _problem(kind, protocol, formats, session, block)
    payload_types: list[int] = []
    if is_media and not rejected:
        payload_types = read_formats(kind, formats, number)
    codecs = codec_lines(kind, payload_types, block)
    if not problem and is_media and not codecs:
        problem = "it names no codec"
    try:
        transport = read_transport(session, block)
    except InvalidDescription:
        if not problem:
            raise
        transport = Transport()
    candidates = islice(block.all("candidate"), CANDIDATES)
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
    port = number_of(rest[0], 0, 65535) if rest else None
    if port is None or len(rest) < 2 or not text.isprintable() or not text.isascii():
        raise InvalidDescription("an m= line has a kind, a port, a protocol and formats", number)
    if port and len(rest) < 3:
        raise InvalidDescription("an m= line has a format at least", number)
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
    """Return what is an address; a name or anything else stands for none."""
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
        return f"sections of {kind} are not known"
    if "RTP/" not in protocol:
        return f"{protocol} is not known"
    if not block.has("fingerprint") and not session.has("fingerprint"):
        if block.has("crypto"):
            return "its keys are exchanged in the open (SDES), which WebRTC forbids"
        if "TLS" not in protocol:
            return "it is not encrypted"
    if not block.has("rtcp-mux") and not block.has("rtcp-mux-only"):
        return "it does not take RTP and RTCP on one port"
    return ""


def _channels_problem(protocol: str, formats: tuple[str, ...], block: Block) -> str:
    if protocol not in _CHANNEL_PROTOCOLS:
        return f"{protocol} is not known"
    named = {formats[0], *(a.value.split()[1] for a in block.all("sctpmap") if " " in a.value)}
    if _CHANNELS not in named and not formats[0].isdigit():
        return f"it is of {formats[0]}, and not of data channels"
    port = _sctp_port(protocol, formats, block)
    return "" if port is not None else "its port of SCTP is none"


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


def _with_candidates(sections: list[Section], left: int) -> list[Section]:
    """Keep so many candidates, the first ones."""
    kept = []
    for section in sections:
        some = section.candidates.candidates[:left]
        left -= len(some)
        if len(some) < len(section.candidates.candidates):
            section = replace(section, candidates=replace(section.candidates, candidates=some))
        kept.append(section)
    return kept


def _with_shared_transport(sections: list[Section], bundle: tuple[str, ...]) -> list[Section]:
    """Give all sections of a bundle the transport of the tagged one (RFC 9143 section 7.1.3)."""
    members = {section.mid: section for section in sections if section.bundled}
    ordered = [members[mid] for mid in bundle if not members[mid].rejected]
    transport = shared(section.transport for section in ordered)
    if not transport.is_usable:
        return sections
    return [
        replace(section, transport=transport) if section.bundled and section.usable else section
        for section in sections
    ]


def _with_role(section: Section, *, answer: bool) -> Section:
    """Say who is the client of DTLS where the section does not (RFC 5763 section 5)."""
    transport = section.transport
    if transport.setup:
        return section
    setup = "active" if answer else "actpass"
    return replace(section, transport=replace(transport, setup=setup))


def _check_transport(section: Section) -> None:
    if not section.usable or section.transport.is_usable:
        return
    # In aiortc's words, as programs may look for them.
    if section.transport.ufrag and section.transport.password:
        raise InvalidDescription(
            f"the section of {section.kind} has no fingerprint", section.number
        )
    raise InvalidDescription("ICE username fragment or password is missing")
