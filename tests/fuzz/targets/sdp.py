"""The reading of descriptions: grammar, meaning, and the plan that is made of it.

The first byte says what a description is: an offer to a connection that is new, or to one that has
negotiated a section of each kind, or an answer.
"""

from collections.abc import Callable

from aiortc.exceptions import OperationError

from icefloe.peer import InvalidDescription
from icefloe.peer.sdp import (
    Layout,
    Offered,
    Section,
    Slot,
    fragments,
    mids,
    plan_answer,
    plan_offer,
    read,
    without_end,
)
from icefloe.peer.sdp.steps import at_once

from ..target import Target, stateless
from ._descriptions import TOKENS, written

LAYOUT = Layout((Slot("audio", "0"), Slot("video", "1"), Slot("application", "2")))
KNOWN = {"0": "audio", "1": "video", "2": "application"}
LOCAL = (
    "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1 2\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=ice-ufrag:x\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n"
)


def common(section: Section, mid: str) -> bool:
    """Tell whether a section has a codec that is known here."""
    names = ("opus", "PCMU", "VP8", "H264")
    return any(
        name in line for lines in section.codecs.values() for line in lines for name in names
    )


def offered(layout: Layout, known: dict[str, str]) -> Offered:
    """Return what a connection knows that has negotiated these sections."""
    return Offered(layout, known, {slot.mid for slot in layout.slots}, common, one_transport=True)


NEW, NEGOTIATED = offered(Layout(), {}), offered(LAYOUT, KNOWN)
WAYS: dict[int, tuple[bool, Offered]] = {
    ord("n"): (False, NEW),
    ord("o"): (False, NEGOTIATED),
    ord("a"): (True, NEGOTIATED),
}


def run(data: bytes) -> None:
    """Read a description, and do with the plan what a connection does."""
    answer, known = WAYS.get(data[0] if data else 0, WAYS[ord("n")])
    description = read(data[1:].decode(errors="replace"), answer=answer)
    make: Callable[..., object] = repr
    for section in description.sections:
        make(section.transport)
    plan = at_once((plan_answer if answer else plan_offer)(description, known))
    fragments(plan.text)
    mids(plan.text)
    without_end(plan.text)
    plan.layout.with_unused_sections(plan.text, answer=False, remote=True)
    if answer:
        plan.layout.without_unused_sections(LOCAL)
        return
    plan.layout.with_unused_sections(plan.text, answer=True)
    plan.layout.target("0", None)
    plan.layout.target(None, 1)


TARGET = Target(
    name="sdp",
    seeds=lambda: [
        *(way + text for text in written("offer") for way in (b"n", b"o")),
        *(b"a" + text for text in written("answer")),
    ],
    tokens=TOKENS,
    documented=(InvalidDescription, OperationError),
    start=lambda: stateless(run),
)
