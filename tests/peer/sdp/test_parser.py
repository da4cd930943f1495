"""Descriptions read line by line, and the form in which aiortc is shown them."""

from typing import Any

import pytest
from aiortc import RTCBundlePolicy
from aiortc.exceptions import OperationError
from aiortc.sdp import MediaDescription, SessionDescription
from hypothesis import given, strategies as st

from icefloe.peer import InvalidDescription
from icefloe.peer.sdp import (
    LIMIT,
    SECTIONS,
    Layout,
    Offered,
    Plan,
    Slot,
    fragments,
    fragments_by_mid,
    mids,
    plan_answer,
    plan_offer,
    read,
    without_end,
)
from icefloe.peer.sdp.lines import MAX_LINES
from icefloe.peer.sdp.steps import at_once
from tests.helpers.work import lines_run

SHA = "sha-256 " + ":".join(["5B"] * 32)
OTHER = "sha-256 " + ":".join(["A7"] * 32)
TRANSPORT = f"a=ice-ufrag:Ab3d\na=ice-pwd:{'p' * 24}\na=fingerprint:{SHA}\na=setup:actpass\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\na=mid:0\na=rtcp-mux\na=rtpmap:111 opus/48000/2\n"
VIDEO = "m=video 9 UDP/TLS/RTP/SAVPF 96\na=mid:1\na=rtcp-mux\na=rtpmap:96 VP8/90000\n"
DATA = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=mid:2\na=sctp-port:5000\n"


def session(*sections: str, says: str = "", transport: str = TRANSPORT) -> str:
    """Put a description together, with a transport in each section."""
    return f"v=0\no=- 1 1 IN IP4 0.0.0.0\ns=-\nt=0 0\n{says}" + "".join(
        section + transport for section in sections
    )


def planned(text: str, *, layout: Layout | None = None, **known: Any) -> Plan:
    """Plan an offer for a connection that takes every codec."""
    offered = Offered(
        layout=layout or Layout(),
        known=known.get("known", {}),
        used_mids=known.get("used_mids", ()),
        common=known.get("common", lambda section, mid: True),
    )
    return at_once(plan_offer(read(text), offered))


def shown(text: str, **known: Any) -> list[MediaDescription]:
    """Return the media sections that aiortc makes of an offer."""
    return list(SessionDescription.parse(planned(text, **known).text).media)


def audio(*lines: str, formats: str = "111 0") -> MediaDescription:
    """Return what aiortc makes of a section of audio with these lines beside."""
    section = AUDIO.replace("111 0", formats) + "".join(f"{line}\n" for line in lines)
    (media,) = shown(session(section))
    return media


# --- lines


@pytest.mark.parametrize("end", ["\n", "\r\n", " \r\n", "\t\n", "\n\n", "\r\n\r\n"])
def test_line_ends_blanks_and_empty_lines_mean_nothing(end: str) -> None:
    text = session(AUDIO, DATA)
    assert planned(text.replace("\n", end)).text == planned(text).text


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("v=0\nx", 2),
        ("v=0\n\n=x", 3),
        ("s=-\nv=0", 1),
        ("v=0\nm=audio", 2),
        ("v=0\nm=audio x y z", 2),
    ],
)
def test_an_error_names_the_line(text: str, line: int) -> None:
    with pytest.raises(InvalidDescription) as caught:
        read(text)
    assert caught.value.sdpLineNumber == line
    assert f"line {line}" in str(caught.value)


def test_there_is_a_limit_to_everything() -> None:
    read("v=0\n" + "a=x\n" * 1000)
    for text in (
        "v=0\n" + "s" * LIMIT,
        "v=0\n" + "a=x\n" * 1025,
        "v=0\n" + "b=x\n" * (MAX_LINES + 1),
        "v=0\n" + ("m=text 0 X 0\n" + "s=\n" * 4000) * 5,
        "v=0\n" + "m=text 0 X 0\n" * (SECTIONS + 1),
    ):
        with pytest.raises(InvalidDescription, match=r"at most|more than"):
            read(text)
    many = "".join(f"a=ssrc:{n} cname:x\na=candidate:{n}\n" for n in range(450))
    (media,) = shown(session(AUDIO + many))
    assert len(media.ssrc) == 32
    assert len(planned(session(AUDIO + many)).candidates[0].candidates) == 256


def test_parameters_of_a_codec_without_end_are_no_work() -> None:
    lines = f"a=fmtp:96 {'a=1;' * 100_000}\n" + "a=fmtp:96 b=1\n" * 1000
    assert lines_run(lambda: read(session(VIDEO + lines))) < 200_000


@pytest.mark.parametrize("separator", "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x00\ud800")
def test_a_separator_that_is_no_line_end_makes_no_line(separator: str) -> None:
    # aiortc splits at each of them.
    line = f"a=msid:one{separator}m=video 0 x{separator}a=candidate:1\n"
    plan = planned(session(AUDIO + line, says=f"s=x{separator}m=video 9 X 0\n"))
    (media,) = SessionDescription.parse(plan.text).media
    assert media.msid is None
    assert plan.candidates[0].candidates == ()


@pytest.mark.parametrize("port", ["9/1", "9/2"])
def test_a_number_of_ports_means_nothing(port: str) -> None:
    text = session(AUDIO)
    assert planned(text.replace("audio 9 ", f"audio {port} ")).text == planned(text).text


def test_a_format_that_occurs_again_means_nothing() -> None:
    text = session(AUDIO)
    assert planned(text.replace(" 111 0\n", " 111 0 111\n")).text == planned(text).text


# --- what aiortc makes of a section


@pytest.mark.parametrize(
    ("says", "line", "direction"),
    [
        ("", "", "sendrecv"),
        ("a=recvonly\n", "", "recvonly"),
        ("a=recvonly\n", "a=sendonly\n", "sendonly"),
        ("", "a=INACTIVE\n", "inactive"),
    ],
)
def test_a_direction(says: str, line: str, direction: str) -> None:
    (media,) = shown(session(AUDIO + line, says=says))
    assert media.direction == direction


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("a=extmap:7 urn:x vad=on", {7: "urn:x"}),
        ("a=extmap:7/recvonly urn:x", {7: "urn:x"}),
        ("a=extmap:7/inactive urn:x", {}),
        ("a=extmap:0 urn:x", {}),
        ("a=extmap:255 urn:x", {255: "urn:x"}),
        ("a=extmap:4096 urn:x", {}),
        ("a=extmap:x urn:x", {}),
        ("a=extmap:7", {}),
        ("a=extmap", {}),
        ("a=extmap:7 urn:x\na=extmap:7 urn:y", {7: "urn:x"}),
        ("a=extmap:7 urn:x\na=extmap:8 urn:x", {7: "urn:x"}),
    ],
)
def test_header_extensions(line: str, ids: dict[int, str]) -> None:
    assert {x.id: x.uri for x in audio(line).rtp.headerExtensions} == ids


def test_a_header_extension_of_the_session_is_one_of_every_section() -> None:
    text = session(AUDIO, VIDEO + "a=extmap:3 urn:y\n", says="a=extmap:3 urn:x\n")
    first, second = shown(text)
    assert [(x.id, x.uri) for x in first.rtp.headerExtensions] == [(3, "urn:x")]
    assert [(x.id, x.uri) for x in second.rtp.headerExtensions] == [(3, "urn:y")]


@pytest.mark.parametrize(
    ("lines", "ssrcs"),
    [
        (["a=ssrc:1 recvonly"], []),
        (["a=ssrc:1"], []),
        (["a=ssrc:x cname:y"], []),
        (["a=ssrc:4294967296 cname:y"], []),
        (["a=ssrc:1 cname:y"], [1]),
        (["a=ssrc:1 cname:y", "a=ssrc:2 cname:y", "a=ssrc-group:FID 2 1"], [2, 1]),
        (["a=ssrc:1 cname:y", "a=ssrc-group:FID 1 7"], [1]),
        (
            ["a=ssrc:1 cname:y", "a=ssrc-group:FID 1 1", "a=ssrc-group:SIM 1 x", "a=ssrc-group:"],
            [1],
        ),
    ],
)
def test_streams_come_before_what_repairs_them(lines: list[str], ssrcs: list[int]) -> None:
    assert [stream.ssrc for stream in audio(*lines).ssrc] == ssrcs


@pytest.mark.parametrize(
    ("line", "track"),
    [
        ("a=msid:s t", "t"),
        ("a=msid:- t", "t"),
        ("a=msid:-", None),
        ("a=msid:s t u", "t"),
        ("", None),
    ],
)
def test_a_track_has_the_id_that_it_was_given(line: str, track: str | None) -> None:
    description = SessionDescription.parse(planned(session(AUDIO + line + "\n")).text)
    assert description.webrtc_track_id(description.media[0]) == track


@pytest.mark.parametrize(
    ("formats", "lines", "codecs"),
    [
        ("0 8 9 18", [], ["PCMU/8000", "PCMA/8000", "G722/8000"]),
        ("18 0", ["a=fmtp:18 annexb=no"], ["PCMU/8000"]),
        ("0", ["a=rtpmap:0 other/16000"], ["other/16000"]),
        ("98 0", ["a=rtpmap:98 opus"], ["PCMU/8000"]),
        ("98 0", ["a=rtpmap:98 opus/x/2"], ["PCMU/8000"]),
        ("98 0", ["a=rtpmap:98 opus/48000/x"], ["PCMU/8000"]),
        ("98 0", ["a=rtpmap:98"], ["PCMU/8000"]),
        ("98", ["a=rtpmap:98  OPUS / 48000 / 2 "], ["OPUS/48000/2"]),
        (
            "98 0 72",
            ["a=rtpmap:98 opus/48000/2", "a=rtpmap:72 x/8000"],
            ["opus/48000/2", "PCMU/8000"],
        ),
    ],
)
def test_codecs(formats: str, lines: list[str], codecs: list[str]) -> None:
    found = audio(*lines, formats=formats).rtp.codecs
    assert [str(codec) for codec in found] == codecs


@pytest.mark.parametrize(
    ("fmtp", "parameters"),
    [
        ("stereo=1; useinbandfec=1 ;x=y", {"stereo": 1, "useinbandfec": 1, "x": "y"}),
        ("stereo=yes;useinbandfec", {}),
        ("stereo=" + "9" * 5000, {}),
        ("0-15", {"0-15": None}),
        (";;=;a=;", {"a": ""}),
        ("Stereo=1;X=1", {"stereo": 1, "X": "1"}),
        ("packetization-mode;profile-level-id=42e01f", {"profile-level-id": "42e01f"}),
    ],
)
def test_parameters_of_a_codec(fmtp: str, parameters: dict[str, Any]) -> None:
    media = audio(f"a=fmtp:111 {fmtp}", "a=fmtp", "a=fmtp:x y", "a=fmtp:5 y")
    assert media.rtp.codecs[0].parameters == parameters


def test_feedback_of_a_codec() -> None:
    media = audio("a=rtcp-fb:111 nack  pli ", "a=rtcp-fb:* ccm fir", "a=rtcp-fb:111", "a=rtcp-fb")
    found = [(feedback.type, feedback.parameter) for feedback in media.rtp.codecs[0].rtcpFeedback]
    assert found == [("nack", "pli"), ("ccm", "fir")]


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("c=IN IP4 192.0.2.1", "192.0.2.1"),
        ("c=IN IP6 2001:db8::1", "2001:db8::1"),
        ("c=IN IP4 2001:db8::1", "0.0.0.0"),
        ("c=IN IP4 192.0.2.1/127", "0.0.0.0"),
        ("c=ATM x y", "0.0.0.0"),
    ],
)
def test_addresses_are_shown(line: str, host: str) -> None:
    assert audio(line).host == host


@pytest.mark.parametrize(
    "line",
    [
        "c=IN IP4 a1b2.local",
        "c=",
        "a=rtcp:9 IN IP4 host.example",
        "a=rtcp:x",
        "b=AS:64",
        "k=prompt",
    ],
)
def test_addresses_and_bandwidths_mean_nothing(line: str) -> None:
    assert str(audio(line)) == str(audio())


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ("a=max-message-size:0", 0),
        ("a=max-message-size:1073741823", 1073741823),
        ("a=max-message-size:-1", None),
        ("a=max-message-size", None),
    ],
)
def test_the_size_of_messages(line: str, size: int | None) -> None:
    (media,) = shown(session(DATA + line + "\n"))
    known = media.sctpCapabilities
    assert (known.maxMessageSize if known else None) == size


# --- the transport


def test_the_sections_transport_counts_before_the_sessions() -> None:
    says = f"a=ice-ufrag:session\na=ice-pwd:{'s' * 24}\na=fingerprint:{OTHER}\na=setup:active\n"
    (own,) = shown(session(AUDIO, says=says))
    assert own.ice is not None
    assert own.dtls is not None
    assert own.ice.usernameFragment == "Ab3d"
    assert [f"{f.algorithm} {f.value}" for f in own.dtls.fingerprints] == [SHA]
    (sessions,) = shown(session(AUDIO, says=says, transport=""))
    assert sessions.ice is not None
    assert sessions.dtls is not None
    assert (sessions.ice.usernameFragment, sessions.dtls.role) == ("session", "client")


def test_the_strongest_hash_counts() -> None:
    strong = "SHA-512 " + ":".join(["5b"] * 64)
    lines = f"a=fingerprint:{strong}\na=fingerprint:sha-1 {':'.join(['11'] * 20)}\n"
    (media,) = shown(session(AUDIO + lines))
    assert media.dtls is not None
    assert [f"{f.algorithm} {f.value}" for f in media.dtls.fingerprints] == [
        "sha-512 " + ":".join(["5B"] * 64)
    ]


def test_what_only_the_tagged_section_says_holds_for_its_bundle() -> None:
    text = session(AUDIO + TRANSPORT, VIDEO, DATA, says="a=group:BUNDLE 0 1 2\n", transport="")
    assert len({str((m.ice, m.dtls)) for m in shown(text)}) == 1
    with pytest.raises(InvalidDescription, match="ICE username fragment or password is missing"):
        read(session(AUDIO + TRANSPORT, VIDEO, transport=""))


@pytest.mark.parametrize(("answer", "role"), [(False, "actpass"), (True, "active")])
def test_a_role_that_is_not_told(answer: bool, role: str) -> None:
    text = session(AUDIO, transport=TRANSPORT.replace("a=setup:actpass\n", ""))
    assert read(text, answer=answer).sections[0].transport.setup == role


# --- groups and mids


@pytest.mark.parametrize(
    ("group", "bundle"),
    [
        ("", ()),
        ("a=group:BUNDLE\n", ()),
        ("a=group:BUNDLE \n", ()),
        ("a=group\n", ()),
        ("a=group:LS 0 1\n", ()),
        ("a=group:BUNDLE 1 0 7 0\n", ("1", "0")),
        ("a=group:LS 0\na=group:bundle 0 1\n", ("0", "1")),
    ],
)
def test_the_bundle(group: str, bundle: tuple[str, ...]) -> None:
    assert read(session(AUDIO, VIDEO, says=group)).bundle == bundle


@pytest.mark.parametrize("line", ["", "a=mid:\n", "a=mid\n"])
def test_a_section_without_a_mid_is_given_one(line: str) -> None:
    text = session(AUDIO.replace("a=mid:0\n", line), VIDEO.replace("a=mid:1", "a=mid:0"))
    plan = planned(text, used_mids={"1"})
    assert [slot.mid for slot in plan.layout.slots] == ["2", "0"]
    again = planned(text, layout=plan.layout, known={"2": "audio", "0": "video"})
    assert again.layout == plan.layout
    assert "a=mid:2" not in plan.layout.with_unused_sections(plan.text, answer=True)
    assert "a=mid:2" in plan.layout.with_unused_sections(plan.text, answer=False)


@pytest.mark.parametrize(
    ("group", "second", "policy"),
    [
        ("a=group:BUNDLE 0 1\n", VIDEO, None),
        ("", VIDEO, RTCBundlePolicy.BALANCED),
        ("", AUDIO.replace("mid:0", "mid:1"), RTCBundlePolicy.BALANCED),
        ("", AUDIO.replace("mid:0", "mid:1").replace(" 9 ", " 7 "), RTCBundlePolicy.MAX_COMPAT),
        ("a=group:BUNDLE 0\n", VIDEO, RTCBundlePolicy.BALANCED),
        ("", "m=text 9 X 0\na=mid:1\n", None),
    ],
)
def test_what_is_not_bundled_has_transports_of_its_own(
    group: str, second: str, policy: RTCBundlePolicy | None
) -> None:
    assert planned(session(AUDIO, second, says=group)).policy is policy


# --- sections that are not used

UNUSABLE = {
    "text": "m=text 9 UDP/TLS/RTP/SAVPF 98\na=rtpmap:98 t140/1000\n",
    "image": "m=image 9 udptl t38\n",
    "BFCP": "m=application 9 TCP/TLS/BFCP *\na=setup:holdconn\n",
    "UDPTL": "m=application 9 UDP/TLS/UDPTL t38\n",
    "SCTP of something else": "m=application 9 UDP/DTLS/SCTP bfcp\n",
    "SCTP without a port": "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\na=sctp-port:0\n",
    "a port of SCTP that is none": "m=application 9 DTLS/SCTP 70000\n",
    "an unknown protocol": "m=audio 9 MSRP 0\na=rtcp-mux\n",
    "no codec": "m=audio 9 UDP/TLS/RTP/SAVPF 18\na=rtcp-mux\n",
    "two ports": "m=audio 9 UDP/TLS/RTP/SAVPF 0\n",
    "port 0": "m=video 0 UDP/TLS/RTP/SAVPF 300 x\n",
}


@pytest.mark.parametrize("section", UNUSABLE.values(), ids=UNUSABLE)
def test_a_section_that_cannot_be_used_is_not_shown(section: str) -> None:
    text = session(section + "a=mid:x\n", DATA, says="a=group:BUNDLE x 2\n")
    plan = planned(text)
    (data,) = SessionDescription.parse(plan.text).media
    assert data.kind == "application"
    assert "a=group:BUNDLE 2\r" in plan.text
    assert plan.rejected == frozenset()
    out = plan.layout.with_unused_sections(plan.text, answer=True)
    first = section.split()
    assert f"{first[0]} 0 {first[2].upper()} {section.splitlines()[0].split(' ', 3)[3]}\r" in out
    assert mids(out) == ["x", "2"]
    assert mids(plan.layout.without_unused_sections(out)) == ["2"]


@pytest.mark.parametrize("kind", ["application", "audio", "video", "text"])
@pytest.mark.parametrize("protocol", ["DTLS/SCTP", "UDP/DTLS/SCTP", "UDP/TLS/RTP/SAVPF"])
def test_a_rejected_section_may_have_no_format(kind: str, protocol: str) -> None:
    section = f"m={kind} 0 {protocol}\na=mid:x\na=sctpmap: x\na=sctpmap:5000 \n"
    plan = planned(session(section, DATA))
    (data,) = SessionDescription.parse(plan.text).media
    assert data.kind == "application"
    out = plan.layout.with_unused_sections(plan.text, answer=True)
    default = "webrtc-datachannel" if kind == "application" else "0"
    assert f"m={kind} 0 {protocol} {default}\r" in out
    with pytest.raises(InvalidDescription, match="format"):
        read(session(section + "a=bundle-only\n", DATA))


@pytest.mark.parametrize("value", [" ", "5000 ", " 5000", "5000", "x y z", " webrtc-datachannel"])
def test_an_sctpmap_that_says_nothing_means_nothing(value: str) -> None:
    legacy = f"m=application 9 DTLS/SCTP 5000\na=mid:2\na=sctpmap:{value}\n"
    (data,) = shown(session(legacy))
    assert data.sctp_port == 5000 or data.sctpmap


@pytest.mark.parametrize(
    "section",
    [
        "m=audio 9 RTP/SAVP 0\na=rtcp-mux\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\n",
        "m=audio 9 RTP/AVP 0\na=rtcp-mux\n",
    ],
)
def test_a_section_without_dtls_is_not_used(section: str) -> None:
    plan = planned(session(section, DATA + TRANSPORT, transport=""))
    assert [slot.used for slot in plan.layout.slots] == [False, True]


def test_a_second_section_of_data_channels_is_not_used() -> None:
    plan = planned(session(DATA, DATA.replace("mid:2", "mid:3")))
    assert [slot.used for slot in plan.layout.slots] == [True, False]
    # The one that is there is the one that stays.
    plan = planned(session(DATA.replace("mid:2", "mid:3"), DATA), known={"2": "application"})
    assert [slot.used for slot in plan.layout.slots] == [False, True]


def test_candidates_of_a_section_that_is_not_used_are_those_of_its_bundle() -> None:
    text = session(
        "m=text 9 X 0\na=mid:x\na=candidate:1\n", DATA, VIDEO, says="a=group:BUNDLE x 2\n"
    )
    plan = planned(text)
    assert [found.candidates for found in plan.candidates] == [("candidate:1",), ()]
    layout = plan.layout
    assert [layout.target(None, index) for index in range(4)] == ["2", "2", "1", None]
    assert [layout.target(mid, 0) for mid in ("x", "2", "1", "y")] == ["2", "2", "1", None]
    alone = planned(session("m=text 9 X 0\na=mid:x\n", DATA)).layout
    assert [alone.target("x", None), alone.target(None, 0)] == ["", ""]


def test_a_section_that_was_used_is_shown_as_rejected() -> None:
    refused = "m=audio 0 UDP/TLS/RTP/SAVPF 0\na=mid:0\na=setup:active\n"
    plan = planned(session(VIDEO, refused), known={"0": "audio", "1": "video"})
    assert plan.rejected == {1}
    accepted, rejected = SessionDescription.parse(plan.text).media
    assert (rejected.direction, rejected.rtcp_mux, rejected.port) == ("inactive", True, 0)
    # What it says of the transport means nothing, least of all its role.
    assert (rejected.ice, rejected.dtls) == (accepted.ice, accepted.dtls)


@pytest.mark.parametrize("setup", ["active", "passive"])
def test_rejected_sections_alone_are_shown_with_a_transport(setup: str) -> None:
    text = session("m=audio 0 X 0\na=mid:0\n", "m=video 0 X 0\n", transport="")
    layout = Layout((Slot("audio", "0"), Slot("video", "1")))
    offered = Offered(layout, {"0": "audio", "1": "video"}, (), lambda *_: True, role=setup)
    plan = at_once(plan_answer(read(text, answer=True), offered))
    assert plan.rejected == {0, 1}
    for media in SessionDescription.parse(plan.text).media:
        assert media.dtls is not None
        assert media.dtls.role == {"active": "client", "passive": "server"}[setup]


def test_what_an_answer_does_not_bundle_has_no_transport_here() -> None:
    layout = Layout((Slot("audio", "0"), Slot("video", "1")))
    known = {"0": "audio", "1": "video"}
    other = TRANSPORT.replace("Ab3d", "other").replace("actpass", "active")
    text = session(AUDIO + other, VIDEO + other.replace("other", "third"), transport="")
    one = Offered(layout, known, (), lambda *_: True, one_transport=True)
    assert at_once(plan_answer(read(text, answer=True), one)).rejected == {1}
    several = Offered(layout, known, (), lambda *_: True)
    assert at_once(plan_answer(read(text, answer=True), several)).rejected == frozenset()


def test_an_answer_without_a_common_codec() -> None:
    text = session(AUDIO).replace("actpass", "active")
    offered = Offered(Layout((Slot("audio", "0"),)), {"0": "audio"}, (), lambda *_: False)
    with pytest.raises(OperationError, match="Failed to set remote audio description send"):
        at_once(plan_answer(read(text, answer=True), offered))


# --- what is looked up in our own


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (session(AUDIO, VIDEO), {"0": "Ab3d", "1": "Ab3d"}),
        (session(AUDIO, says="a=ice-ufrag:session \n", transport=""), {"0": "session"}),
        ("v=0\n", {}),
    ],
)
def test_the_generations_of_a_description(text: str, expected: dict[str, str]) -> None:
    assert fragments_by_mid(text) == expected
    assert fragments(text) == set(expected.values())


def test_the_end_of_candidates_is_taken_out() -> None:
    text = session(AUDIO + "a=end-of-candidates\n", says="a=end-of-candidates\n")
    assert without_end(text) == session(AUDIO).replace("\n", "\r\n")
    (found,) = planned(text).candidates
    assert found.complete


@given(st.lists(st.sampled_from([AUDIO, VIDEO, DATA, *UNUSABLE.values()]), max_size=6))
def test_every_section_keeps_its_place(kinds: list[str]) -> None:
    named = [
        "\n".join(x for x in kind.splitlines() if not x.startswith("a=mid:")) + f"\na=mid:m{n}\n"
        for n, kind in enumerate(kinds)
    ]
    plan = planned(session(*named))
    out = plan.layout.with_unused_sections(plan.text, answer=True)
    assert mids(out) == [f"m{n}" for n in range(len(kinds))]
    used = [slot.mid for slot in plan.layout.slots if slot.used]
    assert mids(plan.text) == used == plan.layout.mids()
    assert mids(plan.layout.without_unused_sections(out)) == used
    assert plan.layout.extended(out) == plan.layout
