"""What is put right in descriptions as text, on what Chrome and Firefox write."""

import pytest
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import SessionDescription
from hypothesis import given, strategies as st

from icefloe.peer.sdp import (
    SectionCandidates,
    complete_rejected,
    fragments,
    mids,
    split_candidates,
)

SHA = "sha-256 " + ":".join(["5B"] * 32)

CHROME_OFFER = f"""\
v=0
o=- 5498186869896684180 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1 2
a=extmap-allow-mixed
a=msid-semantic: WMS 6f5a
m=audio 53022 UDP/TLS/RTP/SAVPF 111 63 9 0 8 13 110 126
c=IN IP4 203.0.113.7
a=rtcp:9 IN IP4 0.0.0.0
a=candidate:842163049 1 udp 2122260223 192.168.1.2 53022 typ host generation 0 network-id 1
a=candidate:2162486046 1 udp 1686052607 203.0.113.7 53022 typ srflx raddr 192.168.1.2 rport 53022
a=ice-ufrag:Ab3d
a=ice-pwd:wG8jL2mXb7aQ4sT9vK1pZ5rE
a=ice-options:trickle
a=fingerprint:{SHA}
a=setup:actpass
a=mid:0
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=sendrecv
a=msid:6f5a 2c41
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:111 opus/48000/2
a=rtcp-fb:111 transport-cc
a=fmtp:111 minptime=10;useinbandfec=1
a=rtpmap:63 red/48000/2
a=fmtp:63 111/111
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:13 CN/8000
a=rtpmap:110 telephone-event/48000
a=rtpmap:126 telephone-event/8000
a=ssrc:2364654374 cname:1IhTkFxvfCvKJbYO
a=ssrc:2364654374 msid:6f5a 2c41
m=video 0 UDP/TLS/RTP/SAVPF 96 97
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Ab3d
a=ice-pwd:wG8jL2mXb7aQ4sT9vK1pZ5rE
a=ice-options:trickle
a=fingerprint:{SHA}
a=setup:actpass
a=mid:1
a=bundle-only
a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid
a=recvonly
a=rtcp-mux
a=rtcp-rsize
a=rtpmap:96 VP8/90000
a=rtcp-fb:96 goog-remb
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtpmap:97 rtx/90000
a=fmtp:97 apt=96
m=application 9 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=candidate:842163049 1 udp 2122260223 192.168.1.2 53024 typ host generation 0 network-id 1
a=end-of-candidates
a=ice-ufrag:Ab3d
a=ice-pwd:wG8jL2mXb7aQ4sT9vK1pZ5rE
a=ice-options:trickle
a=fingerprint:{SHA}
a=setup:actpass
a=mid:2
a=sctp-port:5000
a=max-message-size:262144
"""

CHROME_ANSWER = f"""\
v=0
o=- 4611731400430051336 2 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0
a=msid-semantic: WMS
m=audio 9 UDP/TLS/RTP/SAVPF 96
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Zx9w
a=ice-pwd:c0ffeec0ffeec0ffeec0ffee
a=ice-options:trickle
a=fingerprint:{SHA}
a=setup:active
a=mid:0
a=recvonly
a=rtcp-mux
a=rtpmap:96 opus/48000/2
m=video 0 UDP/TLS/RTP/SAVPF 0
c=IN IP4 0.0.0.0
a=rtcp:9 IN IP4 0.0.0.0
a=ice-ufrag:Zx9w
a=ice-pwd:c0ffeec0ffeec0ffeec0ffee
a=ice-options:trickle
a=fingerprint:{SHA}
a=setup:active
a=mid:1
a=recvonly
a=rtcp-mux
a=rtcp-rsize
"""
"""Rejects a section none of whose codecs Chrome has; as Chromium 156 writes it."""

FIREFOX_OFFER = f"""\
v=0
o=mozilla...THIS_IS_SDPARTA-99.0 7137 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:{SHA}
a=group:BUNDLE 0 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 41000 UDP/TLS/RTP/SAVPF 109 9 0 8 101
c=IN IP4 203.0.113.7
a=candidate:0 1 UDP 2122252543 192.168.1.2 41000 typ host
a=candidate:4 1 TCP 2105524479 192.168.1.2 9 typ host tcptype active
a=candidate:1 1 UDP 1686052863 203.0.113.7 41000 typ srflx raddr 192.168.1.2 rport 41000
a=sendrecv
a=end-of-candidates
a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level
a=extmap:3 urn:ietf:params:rtp-hdrext:sdes:mid
a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1
a=ice-pwd:0123456789abcdef0123456789abcdef
a=ice-ufrag:9f1c2d3e
a=mid:0
a=msid:{{a1b2}} {{c3d4}}
a=rtcp:41001 IN IP4 203.0.113.7
a=rtcp-mux
a=rtpmap:109 opus/48000/2
a=rtpmap:9 G722/8000/1
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000/1
a=setup:actpass
a=ssrc:3142716537 cname:{{e5f6}}
m=application 0 UDP/DTLS/SCTP webrtc-datachannel
c=IN IP4 0.0.0.0
a=bundle-only
a=sendrecv
a=ice-pwd:0123456789abcdef0123456789abcdef
a=ice-ufrag:9f1c2d3e
a=mid:1
a=setup:actpass
a=sctp-port:5000
a=max-message-size:1073741823
"""

FIREFOX_ANSWER = f"""\
v=0
o=mozilla...THIS_IS_SDPARTA-99.0 2211 0 IN IP4 0.0.0.0
s=-
t=0 0
a=fingerprint:{SHA}
a=group:BUNDLE 1
a=ice-options:trickle
a=msid-semantic:WMS *
m=audio 0 UDP/TLS/RTP/SAVPF 0
c=IN IP4 0.0.0.0
a=inactive
a=mid:0
a=rtpmap:0 PCMU/8000
m=video 9 UDP/TLS/RTP/SAVPF 97
c=IN IP4 0.0.0.0
a=recvonly
a=ice-pwd:fedcba9876543210fedcba9876543210
a=ice-ufrag:7a7b7c7d
a=mid:1
a=rtcp-mux
a=rtpmap:97 VP8/90000
a=setup:active
"""
"""Rejects its first section, which keeps no more than that; the fingerprint is the session's."""

DESCRIPTIONS = {
    "Chrome offer": CHROME_OFFER,
    "Chrome answer": CHROME_ANSWER,
    "Firefox offer": FIREFOX_OFFER,
    "Firefox answer": FIREFOX_ANSWER,
}
ALL = pytest.mark.parametrize("text", DESCRIPTIONS.values(), ids=DESCRIPTIONS)
REJECTING = pytest.mark.parametrize(
    ("text", "index"), [(CHROME_ANSWER, 1), (FIREFOX_ANSWER, 0)], ids=["Chrome", "Firefox"]
)
LINE_ENDS = pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])


def is_of_candidates(line: str) -> bool:
    return line.startswith("a=candidate:") or line == "a=end-of-candidates"


def written(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def sections(text: str) -> list[list[str]]:
    """Split a description that ends its lines with CRLF."""
    return [part.split("\r\n")[:-1] for part in text.replace("\r\nm=", "\r\n\0m=").split("\0")]


# --- candidates


@ALL
@LINE_ENDS
def test_taking_the_candidates_out_changes_nothing_else(text: str, end: str) -> None:
    without, _ = split_candidates(text.replace("\n", end))
    assert without == written([x for x in text.splitlines() if not is_of_candidates(x)])


@LINE_ENDS
def test_each_section_has_its_own_candidates(end: str) -> None:
    audio, video, application = split_candidates(CHROME_OFFER.replace("\n", end))[1]
    assert audio == SectionCandidates(
        (
            "candidate:842163049 1 udp 2122260223 192.168.1.2 53022 typ host "
            "generation 0 network-id 1",
            "candidate:2162486046 1 udp 1686052607 203.0.113.7 53022 typ srflx "
            "raddr 192.168.1.2 rport 53022",
        ),
        complete=False,
    )
    assert video == SectionCandidates((), complete=False)
    assert (len(application.candidates), application.complete) == (1, True)


@LINE_ENDS
def test_the_end_of_candidates_of_the_session_holds_for_every_section(end: str) -> None:
    text = CHROME_OFFER.replace("t=0 0\n", "t=0 0\na=end-of-candidates\n").replace("\n", end)
    without, found = split_candidates(text)
    assert [section.complete for section in found] == [True, True, True]
    assert "end-of-candidates" not in without


@pytest.mark.parametrize("text", ["", "v=0\r\ns=-\r\n"])
def test_a_description_without_sections_has_no_candidates(text: str) -> None:
    assert split_candidates(text) == (text, [])


def test_taking_the_candidates_out_twice_finds_none() -> None:
    once, _ = split_candidates(CHROME_OFFER)
    assert split_candidates(once) == (once, [SectionCandidates((), False)] * 3)


@pytest.mark.parametrize("separator", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")
def test_a_separator_that_is_no_line_end_stays_inside_its_line(separator: str) -> None:
    name = f"s=one{separator}a=end-of-candidates"
    track = f"a=msid:one{separator}m=video 0 x{separator}a=candidate:1"
    lines = ["v=0", name, "m=audio 9 UDP/TLS/RTP/SAVPF 0", track, "a=candidate:2"]
    without, found = split_candidates(written(lines))
    assert without == written(lines[:-1])
    assert found == [SectionCandidates(("candidate:2",), complete=False)]
    assert complete_rejected(without) == (without, set())


LINE = st.one_of(
    st.sampled_from([x for text in DESCRIPTIONS.values() for x in text.splitlines()]),
    st.sampled_from(["a=candidate:1", "a=end-of-candidates", "m=", "a=candidates", "a=end-of"]),
    st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), min_size=1),
)


@given(st.lists(LINE), st.lists(LINE), st.sampled_from(["\n", "\r\n"]))
def test_no_line_is_lost_or_moved(session: list[str], media: list[str], end: str) -> None:
    # Candidates belong into media sections; what stands before the first is no candidate.
    lines = [x for x in session if not is_of_candidates(x) and not x.startswith("m=")]
    lines += ["m=audio 9 RTP/AVP 0", *media]
    without, found = split_candidates("".join(f"{line}{end}" for line in lines))
    assert without == written([x for x in lines if not is_of_candidates(x)])
    taken = [f"a={candidate}" for section in found for candidate in section.candidates]
    assert taken == [x for x in lines if x.startswith("a=candidate:")]
    assert len(found) == sum(x.startswith("m=") for x in lines)
    assert any(section.complete for section in found) is ("a=end-of-candidates" in lines)


# --- username fragments


@LINE_ENDS
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CHROME_OFFER, {"Ab3d"}),
        (FIREFOX_OFFER, {"9f1c2d3e"}),
        (CHROME_OFFER.replace("a=ice-ufrag:Ab3d", "a=ice-ufrag:one", 1), {"one", "Ab3d"}),
        ("v=0\na=ice-ufrag:session \nm=audio 9 x 0\n", {"session"}),
        ("v=0\n", set()),
    ],
)
def test_the_generations_of_a_description(text: str, expected: set[str], end: str) -> None:
    assert fragments(text.replace("\n", end)) == expected


# --- rejected sections


@LINE_ENDS
@pytest.mark.parametrize("text", [CHROME_OFFER, FIREFOX_OFFER], ids=["Chrome", "Firefox"])
def test_a_bundle_only_section_is_not_a_rejected_one(text: str, end: str) -> None:
    assert complete_rejected(text.replace("\n", end)) == (written(text.splitlines()), set())


@LINE_ENDS
@REJECTING
def test_a_rejected_section_is_one_that_aiortc_takes(text: str, index: int, end: str) -> None:
    completed, rejected = complete_rejected(text.replace("\n", end))
    assert rejected == {index}
    before = SessionDescription.parse(text)
    after = SessionDescription.parse(completed)
    refused, accepted = after.media[index], after.media[1 - index]
    assert (refused.direction, refused.rtcp_mux, refused.port) == ("inactive", True, 0)
    assert refused.ice == accepted.ice
    assert refused.dtls == accepted.dtls
    assert refused.rtp.muxId == before.media[index].rtp.muxId


@REJECTING
def test_a_rejected_section_has_a_codec_that_aiortc_knows(text: str, index: int) -> None:
    # RFC 3264 section 6: the formats of a rejected section mean nothing, and Chrome lists "0".
    refused = SessionDescription.parse(complete_rejected(text)[0]).media[index]
    assert find_common_codecs(CODECS[refused.kind], refused.rtp.codecs)


DIRECTIONS = {"a=sendrecv", "a=sendonly", "a=recvonly", "a=inactive"}


@LINE_ENDS
@REJECTING
def test_only_the_rejected_section_is_completed(text: str, index: int, end: str) -> None:
    completed, _ = complete_rejected(text.replace("\n", end))
    before, after = sections(written(text.splitlines())), sections(completed)
    del before[index + 1], after[index + 1]  # the session comes first
    assert after == before


@ALL
def test_completing_twice_changes_nothing_more(text: str) -> None:
    completed, rejected = complete_rejected(text)
    again, rejected_again = complete_rejected(completed)
    assert rejected_again == rejected
    assert list(map(sorted, sections(again))) == list(map(sorted, sections(completed)))


def test_a_rejected_section_is_inactive_once() -> None:
    own = CHROME_OFFER.replace("a=bundle-only\n", "")
    completed, rejected = complete_rejected(own)
    assert rejected == {1}
    refused = sections(completed)[2]
    assert [line for line in refused if line in DIRECTIONS] == ["a=inactive"]


def test_attributes_of_the_session_are_not_given_to_a_rejected_section() -> None:
    completed, _ = complete_rejected(FIREFOX_ANSWER)
    session, refused, _ = sections(completed)
    assert f"a=fingerprint:{SHA}" in session
    assert not any(line.startswith("a=fingerprint:") for line in refused)
    assert "a=ice-ufrag:7a7b7c7d" in refused


def test_every_rejected_section_counts() -> None:
    refused = "m=video 0 UDP/TLS/RTP/SAVPF 97\na=mid:{}\na=rtpmap:97 VP8/90000\n"
    text = CHROME_ANSWER + refused.format(2) + refused.format(3)
    completed, rejected = complete_rejected(text)
    assert rejected == {1, 2, 3}
    assert completed.count("a=ice-ufrag:Zx9w\r\n") == 4


@pytest.mark.parametrize(
    ("line", "rejected"),
    [
        ("m=audio 0 UDP/TLS/RTP/SAVPF 0", {0}),
        ("m=audio 9 UDP/TLS/RTP/SAVPF 0", set()),
        ("m=audio 10 UDP/TLS/RTP/SAVPF 0", set()),
        ("m=audio", set()),
        ("m=", set()),
    ],
)
def test_port_zero_rejects(line: str, rejected: set[int]) -> None:
    assert complete_rejected(f"v=0\r\n{line}\r\n")[1] == rejected


def test_what_a_rejected_section_says_of_the_transport_is_not_heard() -> None:
    # Chrome writes its own DTLS role into sections that it rejects; taken at its word it would turn
    # the role of the whole bundle around.
    text = (
        "v=0\r\n"
        "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=setup:passive\r\na=ice-ufrag:used\r\n"
        "m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\na=setup:active\r\na=ice-ufrag:idle\r\n"
    )
    completed, rejected = complete_rejected(text)
    assert rejected == {1}
    assert completed.count("a=setup:passive") == 2
    assert completed.count("a=ice-ufrag:used") == 2
    assert "a=setup:active" not in completed


def test_mids_are_read_section_by_section() -> None:
    text = "v=0\na=mid:none\nm=audio 9 X 0\na=mid:a\nm=video 0 X 0\nm=video 9 X 0\na=mid:2\n"
    assert mids(text) == ["a", "", "2"]
