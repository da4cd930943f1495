"""The media sections of a session in the order of its descriptions, and those aiortc never sees.

A section stays at its place for as long as a session lasts (RFC 3264 section 8). aiortc knows no
section that it cannot use: such a one has a slot here, and is put into what leaves the house as a
rejected one. No I/O.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .text import join, mids, sections_of

_READABLE = re.compile(r"[A-Z/]+")
_BORROWED = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of one media section.

    Attributes:
        kind: Its kind, as the ``m=`` line says.
        mid: Its identification; one of our own making where the other side gave none.
        named: Whether the other side knows it by that mid.
        protocol: What to answer as its protocol; empty where aiortc's own will do.
        formats: What to answer as its formats, of a section of data channels; likewise.
        rejected: How to write it as a rejected one; empty for a section that is used.
        seen: Its lines in the remote description, of one that is not used.
        stand_in: Of one that is not used and in a bundle: the mid of one that is.
    """

    kind: str
    mid: str
    named: bool = True
    protocol: str = ""
    formats: str = ""
    rejected: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    stand_in: str = ""

    @property
    def used(self) -> bool:
        """Whether aiortc knows it."""
        return not self.rejected


@dataclass(frozen=True, slots=True)
class Layout:
    """The slots of a session."""

    slots: tuple[Slot, ...] = ()

    def mids(self) -> list[str]:
        """Return the mids of the sections that are used, in aiortc's order."""
        return [slot.mid for slot in self.slots if slot.used]

    def target(self, mid: str | None, index: int | None) -> str | None:
        """Return the mid of the section of aiortc's that a candidate is for.

        Args:
            mid: The section that it names.
            index: The same by its place, where it names none.

        Returns:
            That of another one of the bundle where the section itself is not used; empty where
            there is none; ``None`` if there is no such section.
        """
        if mid is not None:
            slot = next((slot for slot in self.slots if slot.mid == mid), None)
        else:
            slot = self.slots[index] if index is not None and index < len(self.slots) else None
        if slot is None:
            return None
        return slot.mid if slot.used else slot.stand_in

    def places(self) -> dict[str, int]:
        """Return the places in descriptions of the sections that are used, by mid."""
        return {slot.mid: index for index, slot in enumerate(self.slots) if slot.used}

    def extended(self, text: str) -> "Layout":
        """Return it with the sections that a local description adds."""
        added = sections_of(text)[1 + len(self.slots) :]
        new = mids(text)[len(self.slots) :]
        kinds = [section[0][2:].split()[0] for section in added]
        return Layout((*self.slots, *map(Slot, kinds, new)))

    def without(self, mid: str, *, seen: Iterable[str] = ()) -> "Layout":
        """Return it with a section that is not used any more."""
        return Layout(
            tuple(
                replace(slot, rejected=refusal(slot, ()), seen=tuple(seen))
                if slot.mid == mid and slot.used
                else slot
                for slot in self.slots
            )
        )

    def outward(self, text: str, *, answer: bool, remote: bool = False) -> str:
        """Return a description of aiortc's as it leaves the house, with every section.

        Args:
            text: What aiortc wrote.
            answer: Whether it is an answer, which gives no mids where the offer had none.
            remote: Whether it is the other side's description that is shown.
        """
        session, *media = sections_of(text)
        hide_mids = answer or remote
        written, rest = [], iter(media)
        lent = _lent(media)
        for slot in self.slots:
            if not slot.used:
                written.append(list(slot.seen) if remote and slot.seen else [*slot.rejected, *lent])
                continue
            section = next(rest, None)
            if section is None:
                break
            written.append(_as_offered(section, slot) if answer and not remote else section)
            if hide_mids and not slot.named:
                written[-1] = [line for line in written[-1] if line != f"a=mid:{slot.mid}"]
        written += rest
        hidden = {slot.mid for slot in self.slots if hide_mids and not slot.named}
        session = [kept for line in session if (kept := _group(line, hidden))]
        return join([session, *written])

    def inward(self, text: str) -> str:
        """Return a local description as aiortc is to have it: the reverse of :meth:`outward`."""
        session, *media = sections_of(text)
        kept = []
        for index, section in enumerate(media):
            slot = self.slots[index] if index < len(self.slots) else None
            if slot is not None and not slot.used:
                continue
            if slot is not None and not slot.named and f"a=mid:{slot.mid}" not in section:
                section = [section[0], f"a=mid:{slot.mid}", *section[1:]]
            kind, port, protocol, *formats = section[0].split(" ")
            media_line = " ".join([kind, port, readable_protocol(protocol), *formats])
            kept.append([media_line, *section[1:]])
        return join([session, *kept])


def readable_protocol(protocol: str) -> str:
    """Return the protocol of a media line, or one that aiortc can read in the place of others."""
    return protocol if _READABLE.fullmatch(protocol) else "UDP/TLS/RTP/SAVPF"


def refusal(slot: Slot, said: Iterable[str]) -> tuple[str, ...]:
    """Write a section as a rejected one (RFC 3264 section 6).

    Args:
        slot: What it is.
        said: The lines that name its formats: a peer that looks for codecs also in what is rejected
            finds its own.
    """
    channels = slot.kind == "application"
    protocol = slot.protocol or ("UDP/DTLS/SCTP" if channels else "UDP/TLS/RTP/SAVPF")
    formats = slot.formats or ("webrtc-datachannel" if channels else "0")
    lines = [f"m={slot.kind} 0 {protocol} {formats}", "c=IN IP4 0.0.0.0"]
    if slot.kind in ("audio", "video"):
        lines += ["a=inactive", "a=rtcp:9 IN IP4 0.0.0.0", "a=rtcp-mux"]
    if slot.named:
        lines.append(f"a=mid:{slot.mid}")
    return (*lines, *said)


def _lent(media: list[list[str]]) -> list[str]:
    # aiortc, and others that look at every section alike, want them in a rejected one as well.
    lender = next((x for x in media if any(y.startswith("a=ice-ufrag:") for y in x)), [])
    return [line for line in lender if line.startswith(_BORROWED)]


def _as_offered(section: list[str], slot: Slot) -> list[str]:
    """Answer with the protocol that was offered (RFC 3264 section 6)."""
    if not slot.protocol:
        return section
    kind, port, _, *formats = section[0].split()
    if slot.formats:
        formats = [slot.formats]
    return [" ".join([kind, port, slot.protocol, *formats]), *section[1:]]


def _group(line: str, hidden: set[str]) -> str:
    if not line.startswith("a=group:BUNDLE"):
        return line
    items = [item for item in line.split()[1:] if item not in hidden]
    # A group of nothing is not in the grammar (RFC 5888 section 5).
    return " ".join(["a=group:BUNDLE", *items]) if items else ""
