"""The cost of a description: its lines, and what one line of it becomes in each section."""

import pytest
from aiortc.rtp import FORBIDDEN_PAYLOAD_TYPES

from icefloe.peer import InvalidDescription
from icefloe.peer.sdp import Layout, Offered, plan_offer, read
from icefloe.peer.sdp.lines import MAX_LINES, split
from icefloe.peer.sdp.media import codec_lines
from icefloe.peer.sdp.plan import MAX_TRANSPORTS
from icefloe.peer.sdp.steps import at_once

TRANSPORT = f"a=ice-ufrag:Ab3d\na=ice-pwd:{'p' * 24}\na=setup:actpass\n"
SHA = f"a=fingerprint:sha-256 {':'.join(['5B'] * 32)}\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 0\na=rtcp-mux\n"


def session(*sections: str, says: str = SHA) -> str:
    """Put a description together, with a transport that holds for all sections."""
    return f"v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n{says}{TRANSPORT}{''.join(sections)}"


def test_as_many_lines_as_there_may_be() -> None:
    assert len(at_once(split("v=0\n" + "b=x\n" * (MAX_LINES - 1)))[0].lines) == MAX_LINES


def test_what_the_session_says_is_bounded_in_each_section() -> None:
    hashes = "".join(f"a=fingerprint:sha-256 {':'.join([f'{n:02X}'] * 32)}\n" for n in range(200))
    says = "".join(f"a=extmap:{n} urn:{n}\n" for n in range(1, 200)) + hashes
    says += "a=ice-options:" + " x" * 100_000 + "\n"
    description = read(session(AUDIO * 100, says=says))
    for section in description.sections:
        assert len(section.extensions) <= 32
        assert len(section.transport.fingerprints) <= 8
        assert len(section.transport.options) <= 255


def test_a_wildcard_makes_few_lines_of_each_payload_type() -> None:
    numbers = [n for n in range(128) if n not in FORBIDDEN_PAYLOAD_TYPES]
    formats = " ".join(map(str, numbers))
    lines = "".join(f"a=rtpmap:{n} x/8000\n" for n in numbers)
    lines += "".join(f"a=rtcp-fb:* x{n}\na=rtcp-fb:{numbers[0]} y{n}\n" for n in range(400))
    codecs = codec_lines(
        "audio", numbers, at_once(split(f"v=0\nm=audio 9 x {formats}\n{lines}"))[1][0]
    )
    assert max(map(len, codecs.values())) <= 1 + 2 * 12


def test_the_feedback_of_a_section_is_bounded() -> None:
    numbers = [n for n in range(128) if n not in FORBIDDEN_PAYLOAD_TYPES]
    lines = "".join(f"a=rtpmap:{n} x/8000\n" for n in numbers)
    lines += "".join(f"a=rtcp-fb:* x{n}\n" for n in range(12))
    text = f"v=0\nm=audio 9 x {' '.join(map(str, numbers))}\n{lines}"
    codecs = codec_lines("audio", numbers, at_once(split(text))[1][0])
    assert list(codecs) == numbers
    feedback = [line for known in codecs.values() for line in known if "a=rtcp-fb:" in line]
    assert len(feedback) == 512


def test_transports_of_their_own_are_bounded() -> None:
    def plan(count: int) -> None:
        sections = (AUDIO.replace("audio 9", f"audio {9000 + n}") for n in range(count))
        offered = Offered(Layout(), {}, (), lambda *_: True)
        at_once(plan_offer(read(session(*sections)), offered))

    plan(MAX_TRANSPORTS)
    with pytest.raises(InvalidDescription, match="outside of a bundle"):
        plan(MAX_TRANSPORTS + 1)


def test_parameters_and_groups_without_end() -> None:
    text = session(AUDIO + "a=fmtp:0 " + "x;" * 100_000 + "\na=ssrc-group:FID" + " 1" * 100_000)
    (section,) = read(text).sections
    assert max(len(line) for lines in section.codecs.values() for line in lines) < 1000
    assert not any("ssrc-group" in line for line in section.streams)
    many = " ".join(map(str, range(50_000)))
    assert read(session(AUDIO + "a=mid:0\n", says=f"{SHA}a=group:BUNDLE {many}\n")).bundle == ("0",)


def test_the_candidates_of_a_description_are_bounded() -> None:
    section = AUDIO + "a=candidate:1 1 udp 1 192.0.2.1 5 typ host\n" * 300
    found = [len(s.candidates.candidates) for s in read(session(section * 6)).sections]
    assert found == [256, 256, 256, 256, 0, 0]
