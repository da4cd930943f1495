"""Acceptance of remote media sections, and the remote description for aiortc. No I/O.

A section that cannot be used is rejected in the answer, and the others work (RFC 3264 section 6).
Rejected sections are hidden from aiortc, except those of media that it has used before.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count

from aiortc import RTCBundlePolicy
from aiortc.codecs import CODECS
from aiortc.exceptions import OperationError
from aiortc.sdp import parameters_to_sdp

from .errors import InvalidDescription
from .layout import Layout, Slot, readable_protocol, rejected_section
from .parser import Description, Section, SectionCandidates
from .steps import Steps
from .transport import Transport

_PLACEHOLDER_TRANSPORT = Transport(
    ufrag="none",
    password="none" * 6,
    fingerprints=("sha-256 " + ":".join(["00"] * 32),),
)
"""Transport of rejected sections if there is no other; it is never started."""


MAX_TRANSPORTS = 32
"""Maximum number of transports that an offer creates: each gathers candidates on own sockets."""


@dataclass(frozen=True, slots=True)
class Offered:
    """The state of a connection when a remote description arrives.

    Attributes:
        layout: The negotiated sections.
        known: The kind of each section for which aiortc has a transceiver or data channels, by mid;
            ``stopped`` for a stopped transceiver.
        used_mids: Mids that must not be generated for new sections.
        common: Returns whether an audio or video section has a codec that both peers support.
        fallback_transport: Transport of rejected sections if no section is accepted.
        role: The remote peer's DTLS role, ``active`` or ``passive``; empty before the handshake.
        one_transport: True if all local sections share one transport.
    """

    layout: Layout
    known: Mapping[str, str]
    used_mids: Collection[str]
    common: Callable[[Section, str], bool]
    fallback_transport: Transport | None = None
    role: str = ""
    one_transport: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan for applying a remote description.

    Attributes:
        session: The session level, in the form that aiortc requires.
        sections: The text of each media section that aiortc is shown, likewise.
        fragments: The ICE username fragment of each of these, by mid.
        layout: All sections of the description.
        rejected: The indexes, among aiortc's sections, of the rejected ones.
        candidates: The candidates of each of aiortc's sections.
        policy: The bundle policy if several transports are needed; ``None`` for a single one.
        drops: The mid of the data-channel section that is no longer used; else ``None``.
        by_aiortc: True if plain aiortc probably wrote the description.
    """

    session: str
    sections: tuple[str, ...]
    fragments: Mapping[str, str]
    layout: Layout
    rejected: frozenset[int]
    candidates: tuple[SectionCandidates, ...]
    policy: RTCBundlePolicy | None
    drops: str | None
    by_aiortc: bool

    @property
    def text(self) -> str:
        """The description as aiortc reads it."""
        return self.session + "".join(self.sections)


@dataclass(slots=True)
class _Row:
    section: Section
    slot: Slot
    reject: bool = False
    hidden: bool = False


def plan_offer(description: Description, offered: Offered) -> Steps[Plan]:
    """Plan how to apply an offer, one media section after the other.

    Raises:
        InvalidDescription: The offer lacks negotiated sections, or changes their mid or kind.
    """
    _check_places(description, offered)
    rows: list[_Row] = []
    taken = {*offered.used_mids, *(s.mid for s in description.sections)}
    data = next((mid for mid, kind in offered.known.items() if kind == "application"), None)
    unused = (mid for n in count() if (mid := str(n)) not in taken)
    for index, section in enumerate(description.sections):
        mid, named = _mid_of(section, index, offered.layout, unused)
        taken.add(mid)
        problem = section.problem
        if not problem and section.is_media and not offered.common(section, mid):
            problem = "there is no codec that both sides know"
        if not problem and section.kind == "application":
            if data not in (None, mid):
                problem = "there is another section of data channels"
            else:
                data = mid
        reject = bool(problem)
        slot = _slot(section, mid, named=named)
        known = offered.known.get(mid)
        hidden = reject and (known is None or section.kind == "application")
        rows.append(_Row(section, slot, reject, hidden))
        yield section.weight
    return (yield from _plan(description, rows, offered, answer=False))


def plan_answer(description: Description, offered: Offered) -> Steps[Plan]:
    """Plan how to apply an answer, one media section after the other.

    Raises:
        InvalidDescription: The sections do not match the offer, or an accepted section is unusable.
        OperationError: A section has no codec that both peers support.
    """
    slots = offered.layout.slots
    if len(description.sections) != len(slots):
        raise InvalidDescription("Media sections in answer do not match offer")
    rows: list[_Row] = []
    first = next((s.transport for s in description.sections if s.bundled and s.usable), None)
    for section, slot in zip(description.sections, slots, strict=True):
        if section.kind != slot.kind or section.mid not in ("", slot.mid):
            raise InvalidDescription("Media sections in answer do not match offer")
        reject = section.rejected or not slot.used
        if not reject and section.problem:
            raise InvalidDescription(
                f"the answer accepts an unusable section: {section.problem}", section.number
            )
        if not reject and section.transport.setup == "actpass":
            raise InvalidDescription(
                "DTLS setup attribute must be 'active' or 'passive' for an answer"
            )
        if not reject and section.is_media and not offered.common(section, slot.mid):
            raise OperationError(
                f"Failed to set remote {section.kind} description send parameters: "
                "there is no codec that both sides know"
            )
        if not reject and offered.one_transport and not section.bundled:
            # The section is outside the bundle, and there is no second transport for it.
            first = first or section.transport
            reject = section.transport.ufrag != first.ufrag
        hidden = reject and (not slot.used or slot.mid not in offered.known or not section.is_media)
        rows.append(_Row(section, slot, reject, hidden))
        yield section.weight
    return (yield from _plan(description, rows, offered, answer=True))


def _check_places(description: Description, offered: Offered) -> None:
    slots = offered.layout.slots
    if len(description.sections) < len(slots):
        raise InvalidDescription(
            f"the description has {len(description.sections)} media sections, "
            f"fewer than the {len(slots)} negotiated before"
        )
    for section, slot in zip(description.sections, slots, strict=False):
        live = slot.used and slot.mid in offered.known and offered.known[slot.mid] != "stopped"
        if live and not section.rejected and section.mid not in ("", slot.mid) and slot.named:
            raise InvalidDescription(
                f"the section's mid changes from {slot.mid!r} to {section.mid!r}", section.number
            )
        if live and not section.rejected and section.kind != slot.kind:
            raise InvalidDescription(
                f"the section's media type changes from {slot.kind} to {section.kind}",
                section.number,
            )


def _mid_of(
    section: Section, index: int, layout: Layout, unused: Iterator[str]
) -> tuple[str, bool]:
    if section.mid:
        return section.mid, True
    if index < len(layout.slots) and layout.slots[index].kind == section.kind:
        return layout.slots[index].mid, False
    return next(unused), False


def _slot(section: Section, mid: str, *, named: bool) -> Slot:
    protocol = section.protocol
    formats = ""
    if section.kind == "application" and protocol == "DTLS/SCTP" and section.formats[0].isdigit():
        protocol = ""  # aiortc answers with the offered protocol
    elif not section.is_media:
        formats = " ".join(section.formats)
    return Slot(section.kind, mid, named, protocol, formats)


def _plan(
    description: Description, rows: list[_Row], offered: Offered, *, answer: bool
) -> Steps[Plan]:
    accepted = [row for row in rows if not row.reject]
    bundle = _bundle(description, rows)
    placeholder = _placeholder_transport(accepted, offered, answer=answer)
    bundle_mid = bundle[0] if bundle else ""
    slots: list[Slot] = []
    written: list[str] = []
    fragments: dict[str, str] = {}
    candidates: list[SectionCandidates] = []
    rejected: set[int] = set()
    drops = None
    policy = _policy(accepted, bundle)
    if policy is RTCBundlePolicy.MAX_COMPAT:
        _check_transports(accepted, bundle, offered)
    for row in rows:
        if row.hidden:
            slots.append(_hidden(row, bundle_mid))
            if offered.known.get(row.slot.mid) == "application":
                drops = row.slot.mid
            continue
        if row.reject:
            rejected.add(len(written))
            fragments[row.slot.mid] = placeholder.ufrag
            written.append(_joined(_rejected_lines(row, placeholder)))
        else:
            fragments[row.slot.mid] = row.section.transport.ufrag
            written.append(_joined(_lines(row)))
        yield row.section.weight
        slots.append(row.slot)
        candidates.append(row.section.candidates)
    group = bundle + [r.slot.mid for r in rows if bundle and r.reject and not r.hidden]
    lines = ["v=0", f"o={description.origin}", "s=-", "t=0 0"]
    if description.ice_lite:
        lines.append("a=ice-lite")
    if group:
        lines.append(f"a=group:BUNDLE {' '.join(group)}")
    lines.append("a=msid-semantic:WMS *")
    return Plan(
        session=_joined(lines),
        sections=tuple(written),
        fragments=fragments,
        layout=Layout(tuple(slots)),
        rejected=frozenset(rejected),
        candidates=_bundled_candidates(rows, bundle, candidates),
        policy=policy,
        drops=drops,
        by_aiortc=description.by_aiortc,
    )


def _bundle(description: Description, rows: list[_Row]) -> list[str]:
    """Return the mids of the accepted sections of the bundle."""
    by_mid = {row.section.mid: row for row in rows if row.section.bundled}
    return [by_mid[mid].slot.mid for mid in description.bundle if not by_mid[mid].reject]


def _policy(accepted: list[_Row], bundle: list[str]) -> RTCBundlePolicy | None:
    """Return the bundle policy for aiortc; ``None`` if a single transport is enough."""
    inside = frozenset(bundle)
    outside = [row.section for row in accepted if row.slot.mid not in inside]
    if not outside or len(accepted) == 1:
        return None
    # With the balanced policy aiortc shares a transport among the sections of a kind.
    by_kind: dict[str, set[tuple[str, int]]] = {}
    for section in outside:
        by_kind.setdefault(section.kind, set()).add((section.transport.ufrag, section.port))
    shares = all(len(transports) == 1 for transports in by_kind.values())
    return RTCBundlePolicy.BALANCED if shares else RTCBundlePolicy.MAX_COMPAT


def _check_transports(accepted: list[_Row], bundle: list[str], offered: Offered) -> None:
    there_are = {*bundle, *offered.known}
    new = [row.section for row in accepted if row.slot.mid not in there_are]
    if len(new) > MAX_TRANSPORTS:
        raise InvalidDescription(
            f"the offer has {len(new)} new sections outside of a bundle; "
            f"at most {MAX_TRANSPORTS} are allowed",
            new[MAX_TRANSPORTS].number,
        )


def _placeholder_transport(accepted: list[_Row], offered: Offered, *, answer: bool) -> Transport:
    """Return the transport to write into rejected sections, which aiortc requires there.

    Its DTLS role must be the right one: aiortc takes the role from the last section.
    """
    known = (
        accepted[0].section.transport
        if accepted
        else offered.fallback_transport or _PLACEHOLDER_TRANSPORT
    )
    if answer and known.setup not in ("active", "passive"):
        return replace(known, setup=offered.role or "active")
    return known


def _hidden(row: _Row, bundle_mid: str) -> Slot:
    section, slot = row.section, row.slot
    if not slot.used:
        return replace(slot, remote_lines=section.lines)
    formats = slot.formats or " ".join(section.formats)
    format_lines = [line for lines in section.codecs.values() for line in lines]
    known = replace(slot, protocol=slot.protocol or section.protocol, formats=formats)
    bundled = bundle_mid if section.bundled and not section.rejected else ""
    return replace(
        slot,
        rejected_lines=rejected_section(known, format_lines),
        remote_lines=section.lines,
        bundle_mid=bundled,
    )


def _bundled_candidates(
    rows: list[_Row], bundle: list[str], candidates: list[SectionCandidates]
) -> tuple[SectionCandidates, ...]:
    """Return the candidates of aiortc's sections.

    Candidates of hidden sections are moved to the first section of their bundle.
    """
    if not bundle:
        return tuple(candidates)
    index = [row.slot.mid for row in rows if not row.hidden].index(bundle[0])
    for row in rows:
        if row.hidden and row.section.bundled and not row.section.rejected:
            was, more = candidates[index], row.section.candidates
            candidates[index] = SectionCandidates(
                (*was.candidates, *more.candidates), was.complete or more.complete
            )
    return tuple(candidates)


def _lines(row: _Row) -> list[str]:
    section, slot = row.section, row.slot
    connection, rtcp = section.addresses
    head = [connection, f"a=mid:{slot.mid}"]
    if section.is_media:
        media = _media_line(section.kind, section.port, section.protocol, list(section.codecs))
        head += [f"a={section.direction}", *section.extensions, *section.streams]
        head += [rtcp, "a=rtcp-mux"]
        head += [line for lines in section.codecs.values() for line in lines]
    elif section.sctp_lines[0].startswith("a=sctpmap:"):
        media = f"m=application {section.port} DTLS/SCTP {section.formats[0]}"
        head += section.sctp_lines
    else:
        media = f"m=application {section.port} UDP/DTLS/SCTP webrtc-datachannel"
        head += section.sctp_lines
    return [media, *head, *section.transport.lines()]


def _rejected_lines(row: _Row, placeholder: Transport) -> list[str]:
    """Return the lines of a rejected section.

    aiortc requires codecs and a transport even there; their values have no effect.
    """
    kind = row.section.kind
    numbers, lines = [], []
    for codec in CODECS[kind]:
        numbers.append(codec.payloadType or 0)
        lines.append(f"a=rtpmap:{codec.payloadType} {codec}")
        if codec.parameters:
            lines.append(f"a=fmtp:{codec.payloadType} {parameters_to_sdp(codec.parameters)}")
    head = ["c=IN IP4 0.0.0.0", f"a=mid:{row.slot.mid}", "a=inactive"]
    head += ["a=rtcp:9 IN IP4 0.0.0.0", "a=rtcp-mux"]
    media = _media_line(kind, 0, row.section.protocol, numbers)
    return [media, *head, *lines, *placeholder.lines()]


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def _media_line(kind: str, port: int, protocol: str, numbers: list[int]) -> str:
    return f"m={kind} {port} {readable_protocol(protocol)} {' '.join(map(str, numbers))}"
