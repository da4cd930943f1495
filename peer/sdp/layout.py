"""Layout of media sections: maps between aiortc's descriptions and the signalled ones. No I/O.

A media section keeps its index for the whole session (RFC 3264 section 8). Sections that aiortc
cannot use are hidden from it: each has a slot here, and signalled descriptions contain it as a
rejected section.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from .text import join, mids, sections_of

_READABLE = re.compile(r"[A-Z/]+")
_TRANSPORT_ATTRIBUTES = ("a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:", "a=setup:")


@dataclass(frozen=True, slots=True)
class Slot:
    """A media section of the session.

    Attributes:
        kind: The media type of the ``m=`` line.
        mid: The mid; generated locally if the remote peer gave none.
        named: True if the remote peer knows the mid.
        protocol: The protocol to answer; empty for the one that aiortc writes.
        formats: The formats to answer, for data channels; empty for those that aiortc writes.
        rejected_lines: The lines of the rejected section, for a hidden section; else empty.
        remote_lines: The lines of the remote description, for a hidden section; else empty.
        bundle_mid: For a hidden section in a BUNDLE group, the mid of a section of the group that
            aiortc uses; else empty.
    """

    kind: str
    mid: str
    named: bool = True
    protocol: str = ""
    formats: str = ""
    rejected_lines: tuple[str, ...] = ()
    remote_lines: tuple[str, ...] = ()
    bundle_mid: str = ""

    @property
    def used(self) -> bool:
        """True if aiortc uses the section, false if it is hidden from it."""
        return not self.rejected_lines


@dataclass(frozen=True, slots=True)
class Layout:
    """The media sections of a session, in the order of its descriptions."""

    slots: tuple[Slot, ...] = ()

    def mids(self) -> list[str]:
        """Return the mids of the sections that aiortc uses, in its order."""
        return [slot.mid for slot in self.slots if slot.used]

    def target(self, mid: str | None, index: int | None) -> str | None:
        """Return the mid of aiortc's section that a remote candidate belongs to.

        Args:
            mid: The candidate's ``sdpMid``.
            index: The candidate's ``sdpMLineIndex``, used if ``mid`` is ``None``.

        Returns:
            For a hidden section, the mid of another section of its BUNDLE group, or an empty string
            if there is none. ``None`` if there is no such section.
        """
        if mid is not None:
            slot = next((slot for slot in self.slots if slot.mid == mid), None)
        else:
            slot = self.slots[index] if index is not None and index < len(self.slots) else None
        if slot is None:
            return None
        return slot.mid if slot.used else slot.bundle_mid

    def places(self) -> dict[str, int]:
        """Return the places in descriptions of the sections that are used, by mid."""
        return {slot.mid: index for index, slot in enumerate(self.slots) if slot.used}

    def extended(self, text: str) -> "Layout":
        """Return the layout with the sections that a local description adds."""
        added = sections_of(text)[1 + len(self.slots) :]
        new = mids(text)[len(self.slots) :]
        kinds = [section[0][2:].split()[0] for section in added]
        return Layout((*self.slots, *map(Slot, kinds, new)))

    def without(self, mid: str, *, remote_lines: Iterable[str] = ()) -> "Layout":
        """Return the layout with a section hidden that aiortc no longer uses.

        Args:
            mid: The section's mid.
            remote_lines: Its lines in the remote description.
        """
        return Layout(
            tuple(
                replace(
                    slot,
                    rejected_lines=rejected_section(slot, ()),
                    remote_lines=tuple(remote_lines),
                )
                if slot.mid == mid and slot.used
                else slot
                for slot in self.slots
            )
        )

    def with_unused_sections(self, text: str, *, answer: bool, remote: bool = False) -> str:
        """Return one of aiortc's descriptions with the hidden sections added.

        Args:
            text: The description that aiortc wrote.
            answer: True for an answer, which has no mids for sections without one in the offer.
            remote: True for a remote description, which gets the remote lines of hidden sections.
        """
        session, *media = sections_of(text)
        hide_mids = answer or remote
        written, rest = [], iter(media)
        transport = _transport_lines(media)
        for slot in self.slots:
            if not slot.used:
                written.append(
                    list(slot.remote_lines)
                    if remote and slot.remote_lines
                    else [*slot.rejected_lines, *transport]
                )
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

    def without_unused_sections(self, text: str) -> str:
        """Return a local description without the hidden sections, as aiortc requires it.

        The inverse of :meth:`with_unused_sections`.
        """
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
    """Return a protocol that aiortc can parse: the given one if possible."""
    return protocol if _READABLE.fullmatch(protocol) else "UDP/TLS/RTP/SAVPF"


def rejected_section(slot: Slot, format_lines: Iterable[str]) -> tuple[str, ...]:
    """Return the lines of a rejected section (RFC 3264 section 6).

    Args:
        slot: The section.
        format_lines: The lines of its codecs, for peers that look for codecs even in rejected
            sections.
    """
    channels = slot.kind == "application"
    protocol = slot.protocol or ("UDP/DTLS/SCTP" if channels else "UDP/TLS/RTP/SAVPF")
    formats = slot.formats or ("webrtc-datachannel" if channels else "0")
    lines = [f"m={slot.kind} 0 {protocol} {formats}", "c=IN IP4 0.0.0.0"]
    if slot.kind in ("audio", "video"):
        lines += ["a=inactive", "a=rtcp:9 IN IP4 0.0.0.0", "a=rtcp-mux"]
    if slot.named:
        lines.append(f"a=mid:{slot.mid}")
    return (*lines, *format_lines)


def _transport_lines(media: list[list[str]]) -> list[str]:
    # aiortc and other stacks require transport attributes even in rejected sections.
    source = next((x for x in media if any(y.startswith("a=ice-ufrag:") for y in x)), [])
    return [line for line in source if line.startswith(_TRANSPORT_ATTRIBUTES)]


def _as_offered(section: list[str], slot: Slot) -> list[str]:
    """Return a section with the protocol and formats of the offer (RFC 3264 section 6)."""
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
    # The grammar does not allow an empty group (RFC 5888 section 5).
    return " ".join(["a=group:BUNDLE", *items]) if items else ""
