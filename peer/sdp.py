"""SDP as text: what has to be put right before aiortc reads it, and after it wrote it.

Plain functions from text to text. aiortc attaches the candidates of the last media section of a
bundle to the transport, where browsers put them into the first; takes a rejected section for an
accepted one; and stumbles over sections without ICE or DTLS attributes, as rejected ones are.
"""

import re
from dataclasses import dataclass

from aiortc.codecs import CODECS
from aiortc.sdp import parameters_to_sdp

_CANDIDATE = "a=candidate:"
_END = "a=end-of-candidates"
_DIRECTION = re.compile(r"a=(sendrecv|sendonly|recvonly|inactive)")
_FORMATS = ("a=rtpmap:", "a=fmtp:", "a=rtcp-fb:")
_TRANSPORT = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")

TRICKLE = "trickle"
"""The ``ice-options`` token of RFC 8838 section 4.1."""


@dataclass(frozen=True, slots=True)
class SectionCandidates:
    """The candidates that came with one media section.

    Attributes:
        candidates: Candidate attributes, without ``a=``.
        complete: Whether the section says that these are all.
    """

    candidates: tuple[str, ...]
    complete: bool


def _lines(text: str) -> list[str]:
    # Not splitlines(), which also splits at separators that an attribute may contain.
    return text.replace("\r\n", "\n").split("\n")


def _sections(text: str) -> list[list[str]]:
    """Split into lines, the session's first and then a list for each media section."""
    sections: list[list[str]] = [[]]
    for line in _lines(text):
        if line.startswith("m="):
            sections.append([])
        if line:
            sections[-1].append(line)
    return sections


def _join(sections: list[list[str]]) -> str:
    return "".join(f"{line}\r\n" for section in sections for line in section)


def split_candidates(text: str) -> tuple[str, list[SectionCandidates]]:
    """Take the candidates out of a description.

    Returns:
        The description without them, and what each media section had. ``end-of-candidates`` on
        the session level holds for all sections (RFC 8840 section 4.2).
    """
    session, *media = _sections(text)
    all_complete = _END in session
    kept = [[line for line in session if line != _END]]
    found = []
    for section in media:
        candidates = tuple(line[2:] for line in section if line.startswith(_CANDIDATE))
        found.append(SectionCandidates(candidates, all_complete or _END in section))
        kept.append([x for x in section if not x.startswith(_CANDIDATE) and x != _END])
    return _join(kept), found


def without_end(text: str) -> str:
    """Take out that the candidates in a description are all."""
    return _join([[line for line in section if line != _END] for section in _sections(text)])


def _value(section: list[str], attribute: str, default: str = "") -> str:
    prefix = f"a={attribute}:"
    found = next((line for line in section if line.startswith(prefix)), prefix + default)
    return found[len(prefix) :].strip()


def mids(text: str) -> list[str]:
    """Return the mid of each media section; empty where it has none."""
    return [_value(section, "mid") for section in _sections(text)[1:]]


def fragments(text: str) -> set[str]:
    """Return the ICE username fragments in a description."""
    return set(fragments_by_mid(text).values())


def fragments_by_mid(text: str) -> dict[str, str]:
    """Return the ICE username fragment of each media section that has one.

    One on the session level holds for all sections that have none (RFC 8839 section 5.4).
    """
    session, *media = _sections(text)
    default = _value(session, "ice-ufrag")
    found = {_value(section, "mid"): _value(section, "ice-ufrag", default) for section in media}
    return {mid: fragment for mid, fragment in found.items() if fragment}


def _with_known_codecs(section: list[str]) -> list[str]:
    """Give a rejected section aiortc's own codecs; what it lists means nothing (RFC 3264 6)."""
    kind, port, profile, *_ = section[0].removeprefix("m=").split()
    codecs = CODECS.get(kind)
    if not codecs:
        return section
    kept = [x for x in section[1:] if not x.startswith(_FORMATS)]
    for codec in codecs:
        kept.append(f"a=rtpmap:{codec.payloadType} {codec}")
        if codec.parameters:
            kept.append(f"a=fmtp:{codec.payloadType} {parameters_to_sdp(codec.parameters)}")
    return [f"m={kind} {port} {profile} " + " ".join(str(c.payloadType) for c in codecs), *kept]


def complete_rejected(text: str, *, donor: str = "") -> tuple[str, set[int]]:
    """Give rejected media sections what aiortc insists on, and make them inactive.

    A section is rejected by port zero (RFC 3264 section 6), unless it says ``bundle-only``
    (RFC 9143 section 6).

    Args:
        text: The description.
        donor: The description in force before; it lends its transport where every section is
            rejected.

    Returns:
        The description, and the indices of its rejected sections.
    """
    session, *media = _sections(text)
    rejected = {
        index
        for index, section in enumerate(media)
        if section[0].split()[1:2] == ["0"] and "a=bundle-only" not in section
    }
    lending = media + _sections(donor)[1:]
    lender = next((s for i, s in enumerate(lending) if i not in rejected), [])
    for index in rejected:
        section = [x for x in media[index] if not _DIRECTION.fullmatch(x)]
        section.append("a=inactive")
        if "a=rtcp-mux" not in section:
            section.append("a=rtcp-mux")
        if not any(line.startswith("a=rtcp:") for line in section):
            section.append("a=rtcp:9 IN IP4 0.0.0.0")
        for attribute in _TRANSPORT:
            # What a rejected section says of its transport means nothing, least of all its role.
            lent = [line for line in lender if line.startswith(attribute)]
            if lent:
                section = [line for line in section if not line.startswith(attribute)] + lent
        media[index] = _with_known_codecs(section)
    return _join([session, *media]), rejected
