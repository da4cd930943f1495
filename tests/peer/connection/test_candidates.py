"""ICE candidates in every form that browsers hand around, and in many that nobody should."""

import re
import string
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import aiortc
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from hypothesis import example, given, strategies as st

from icefloe.peer import PeerConnection
from icefloe.peer.connection.candidates import (
    RTCIceCandidate,
    RTCIceCandidatePair,
    describe,
    local_candidate,
)
from icefloe.peer.connection.remote_candidates import (
    END_OF_CANDIDATES,
    RemoteCandidate,
    parse_candidate,
    parse_remote,
)
from icefloe.peer.errors import InvalidCandidate, UnknownSection
from tests.helpers.pairs import closing, make, opened

CHROME_HOST = (
    "candidate:842163049 1 udp 2122260223 192.168.1.2 53022 typ host "
    "generation 0 ufrag Ab3d network-id 1 network-cost 10"
)
CHROME_MDNS = (
    "candidate:1510613869 1 udp 2113937151 8b3c6f0e-5a5d-4f0c-9d8e-2f1f0b7f3c11.local 53022 "
    "typ host generation 0 ufrag Ab3d network-cost 999"
)
CHROME_SRFLX = (
    "candidate:2162486046 1 udp 1677729535 203.0.113.7 53022 typ srflx "
    "raddr 192.168.1.2 rport 53022 generation 0 ufrag Ab3d network-cost 999"
)
CHROME_RELAY = (
    "candidate:3745641921 1 udp 33562367 198.51.100.4 61000 typ relay "
    "raddr 203.0.113.7 rport 53022 generation 0 ufrag Ab3d"
)
CHROME_TCP = (
    "candidate:1302982778 1 tcp 1518280447 192.168.1.2 9 typ host tcptype active "
    "generation 0 ufrag Ab3d network-id 1"
)
CHROME_IPV6 = (
    "candidate:559267639 1 udp 2122202367 2001:db8::1 51000 typ host generation 0 ufrag Ab3d"
)
FIREFOX_HOST = "candidate:0 1 UDP 2122252543 192.168.1.2 41000 typ host"
FIREFOX_SRFLX = "candidate:1 1 UDP 1686052863 203.0.113.7 41000 typ srflx raddr 0.0.0.0 rport 0"
FIREFOX_TCP = "candidate:4 1 TCP 2105524479 192.168.1.2 9 typ host tcptype active"

VALID = [
    CHROME_HOST,
    CHROME_MDNS,
    CHROME_SRFLX,
    CHROME_RELAY,
    CHROME_TCP,
    CHROME_IPV6,
    FIREFOX_HOST,
    FIREFOX_SRFLX,
    FIREFOX_TCP,
]


def init(text: object = CHROME_HOST, **fields: object) -> dict[str, Any]:
    return {"candidate": text, "sdpMid": "0", "sdpMLineIndex": 0} | fields


# --- the attribute


@pytest.mark.parametrize(
    ("attribute", "protocol", "ip", "port", "kind", "related", "tcptype"),
    [
        (CHROME_HOST, "udp", "192.168.1.2", 53022, "host", (None, None), None),
        (CHROME_SRFLX, "udp", "203.0.113.7", 53022, "srflx", ("192.168.1.2", 53022), None),
        (CHROME_RELAY, "udp", "198.51.100.4", 61000, "relay", ("203.0.113.7", 53022), None),
        (CHROME_TCP, "tcp", "192.168.1.2", 9, "host", (None, None), "active"),
        (CHROME_IPV6, "udp", "2001:db8::1", 51000, "host", (None, None), None),
        (FIREFOX_SRFLX, "udp", "203.0.113.7", 41000, "srflx", ("0.0.0.0", 0), None),
        (FIREFOX_TCP, "tcp", "192.168.1.2", 9, "host", (None, None), "active"),
    ],
)
def test_the_fields_of_an_attribute(
    attribute: str,
    protocol: str,
    ip: str,
    port: int,
    kind: str,
    related: tuple[str | None, int | None],
    tcptype: str | None,
) -> None:
    found = parse_candidate(attribute)
    assert (found.protocol.lower(), found.ip, found.port) == (protocol, ip, port)
    assert (found.component, found.type, found.tcpType) == (1, kind, tcptype)
    assert (found.relatedAddress, found.relatedPort) == related


@pytest.mark.parametrize("attribute", [FIREFOX_HOST, FIREFOX_TCP])
def test_firefoxs_upper_case_protocol_becomes_the_one_of_the_specification(attribute: str) -> None:
    # W3C webrtc-pc 4.8.1.3, RTCIceProtocol: "udp" or "tcp".
    assert parse_candidate(attribute).protocol in ("udp", "tcp")


def test_an_mdns_name_is_kept_as_it_is() -> None:
    assert parse_candidate(CHROME_MDNS).ip == "8b3c6f0e-5a5d-4f0c-9d8e-2f1f0b7f3c11.local"


@pytest.mark.parametrize("before", ["", "candidate:", "a=candidate:", "  a=candidate:"])
@pytest.mark.parametrize("after", ["", "\r\n"])
def test_an_attribute_is_read_with_or_without_what_surrounds_it(before: str, after: str) -> None:
    bare = CHROME_SRFLX.removeprefix("candidate:")
    assert parse_candidate(before + bare + after) == parse_candidate(CHROME_SRFLX)


MALFORMED = [
    "",
    " ",
    "candidate:",
    "candidate",
    "garbage",
    "candidate:1 1 udp 1 192.0.2.1 5000",
    "candidate:1 1 udp 1 192.0.2.1 5000 typ",
    "candidate:1 1 udp 1 192.0.2.1 5000 type host",
    "candidate:1 1 udp 1 192.0.2.1 5000 host typ",
    "candidate:1 1 udp 1 192.0.2.1 5000 typ host raddr",
    "candidate:1 1 udp 1 192.0.2.1 5000 typ srflx raddr 192.0.2.9 rport x",
    "candidate:1 1 udp 1 192.0.2.1 x typ host",
    "candidate:1 1 udp x 192.0.2.1 5000 typ host",
    "candidate:1 x udp 1 192.0.2.1 5000 typ host",
    "candidate:1 1 udp 1 192.0.2.1 -1 typ host",
    "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
    "candidate:1 0 udp 1 192.0.2.1 5000 typ host",
    "candidate:1 257 udp 1 192.0.2.1 5000 typ host",
    "candidate:1 1 udp 1 192.0.2.1 5.5 typ host",
    f"candidate:1 1 udp 1 192.0.2.1 {'9' * 5000} typ host",
]

OUT_OF_RANGE = [
    "candidate:1 1 udp -1 192.0.2.1 5000 typ host",
    f"candidate:1 1 udp {2**32} 192.0.2.1 5000 typ host",
    f"candidate:1 1 udp {'9' * 4000} 192.0.2.1 5000 typ host",
    "candidate:1 1 udp 1 192.0.2.1 5000 typ srflx raddr 192.0.2.9 rport -1",
    "candidate:1 1 udp 1 192.0.2.1 5000 typ srflx raddr 192.0.2.9 rport 65536",
]
"""RFC 8839 section 5.1 gives a priority ten digits, and RFC 8445 section 5.1.2 31 bits of them;
browsers take 32."""


@pytest.mark.parametrize("attribute", MALFORMED + OUT_OF_RANGE)
def test_a_malformed_attribute_is_refused(attribute: str) -> None:
    with pytest.raises(InvalidCandidate) as caught:
        parse_candidate(attribute)
    assert caught.value.candidate == attribute


# --- what addIceCandidate takes


@pytest.mark.parametrize(
    "given_",
    [
        None,
        {},
        {"candidate": ""},
        {"candidate": None},
        {"candidate": "", "sdpMid": None, "sdpMLineIndex": None},
        {"candidate": "", "usernameFragment": ""},
    ],
)
def test_the_end_of_all_candidates(given_: Mapping[str, Any] | None) -> None:
    remote = parse_remote(given_)
    assert remote == END_OF_CANDIDATES
    assert remote.is_for_all


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        (init(""), RemoteCandidate(None, "0", 0)),
        (init(None), RemoteCandidate(None, "0", 0)),
        ({"candidate": "", "sdpMid": "1"}, RemoteCandidate(None, "1")),
        ({"candidate": "", "sdpMid": ""}, RemoteCandidate(None, "")),
        ({"sdpMLineIndex": 0}, RemoteCandidate(None, None, 0)),
        (
            {"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "9f1c"},
            RemoteCandidate(None, "0", 0, "9f1c"),
        ),
    ],
)
def test_the_end_of_one_sections_candidates(
    given_: Mapping[str, Any], expected: RemoteCandidate
) -> None:
    remote = parse_remote(given_)
    assert remote == expected
    assert not remote.is_for_all


def test_the_end_of_a_generations_candidates_is_for_all_its_sections() -> None:
    remote = parse_remote({"candidate": "", "usernameFragment": "9f1c"})
    assert (remote.usernameFragment, remote.is_for_all) == ("9f1c", True)


@pytest.mark.parametrize(
    ("fields", "mid", "index"),
    [
        ({"sdpMid": "audio", "sdpMLineIndex": 1}, "audio", 1),
        ({"sdpMid": "audio"}, "audio", None),
        ({"sdpMid": "audio", "sdpMLineIndex": None}, "audio", None),
        ({"sdpMLineIndex": 0}, None, 0),
        ({"sdpMid": None, "sdpMLineIndex": 65535}, None, 65535),
    ],
)
@pytest.mark.parametrize("text", VALID)
def test_a_candidate_names_its_section_by_mid_or_index_or_both(
    text: str, fields: dict[str, Any], mid: str | None, index: int | None
) -> None:
    remote = parse_remote({"candidate": text} | fields)
    assert (remote.sdpMid, remote.sdpMLineIndex) == (mid, index)
    assert remote.candidate == parse_candidate(text)


@pytest.mark.parametrize(
    ("text", "field", "expected"),
    [
        (CHROME_HOST, None, "Ab3d"),
        (CHROME_HOST, "", "Ab3d"),
        (CHROME_HOST, "9f1c", "9f1c"),
        (CHROME_SRFLX, None, "Ab3d"),
        (CHROME_TCP, None, "Ab3d"),
        (f"a={CHROME_HOST}", None, "Ab3d"),
        (FIREFOX_HOST, "9f1c", "9f1c"),
        (FIREFOX_HOST, None, None),
        (f"{FIREFOX_HOST} generation ufrag", "9f1c", "9f1c"),
        (f"{FIREFOX_HOST} generation ufrag", None, None),
    ],
)
def test_the_generation_is_taken_from_the_field_and_else_from_the_attribute(
    text: str, field: str | None, expected: str | None
) -> None:
    assert parse_remote(init(text, usernameFragment=field)).usernameFragment == expected


def test_members_that_are_not_known_are_ignored() -> None:
    assert parse_remote(init(foundation=3, extra=[1])) == parse_remote(init())


@pytest.mark.parametrize("cls", [aiortc.RTCIceCandidate, RTCIceCandidate])
def test_candidate_objects_are_taken_as_they_are(cls: type[aiortc.RTCIceCandidate]) -> None:
    candidate = cls(1, "1", "192.0.2.1", 5000, 1, "udp", "host", sdpMid="0", sdpMLineIndex=2)
    remote = parse_remote(candidate)
    assert remote.candidate is candidate
    assert (remote.sdpMid, remote.sdpMLineIndex, remote.usernameFragment) == ("0", 2, None)


def test_a_candidate_object_says_its_generation() -> None:
    candidate = local_candidate(parse_candidate(CHROME_HOST), mid="0", index=0, fragment="Ab3d")
    assert parse_remote(candidate).usernameFragment == "Ab3d"


@pytest.mark.parametrize(
    "given_",
    [
        {"candidate": CHROME_HOST},
        {"candidate": CHROME_HOST, "sdpMid": None, "sdpMLineIndex": None},
        {"candidate": CHROME_HOST, "usernameFragment": "Ab3d"},
        aiortc.RTCIceCandidate(1, "1", "192.0.2.1", 5000, 1, "udp", "host"),
    ],
)
def test_a_candidate_that_names_no_section_is_refused(given_: Any) -> None:
    with pytest.raises(InvalidCandidate, match="either sdpMid or sdpMLineIndex"):
        parse_remote(given_)


WRONG_TYPES = [
    CHROME_HOST,
    b"candidate",
    0,
    False,
    [],
    [CHROME_HOST],
    object(),
    {"candidate": 5},
    {"candidate": False},
    {"candidate": {"candidate": CHROME_HOST}},
    {"candidate": CHROME_HOST.encode(), "sdpMid": "0"},
    init(sdpMid=0),
    init(sdpMid=True),
    init(sdpMLineIndex="0"),
    init(sdpMLineIndex=True),
    init(sdpMLineIndex=0.0),
    init(sdpMLineIndex=float("nan")),
    init(usernameFragment=7),
    init(usernameFragment=["Ab3d"]),
    init("", sdpMLineIndex=False),
]


@pytest.mark.parametrize("given_", WRONG_TYPES)
def test_what_is_of_the_wrong_type_is_refused(given_: Any) -> None:
    with pytest.raises(InvalidCandidate) as caught:
        parse_remote(given_)
    assert caught.value.candidate is given_


@pytest.mark.parametrize("index", [-1, 65536, 10**30])
def test_an_index_that_is_no_unsigned_short_is_refused(index: int) -> None:
    # W3C webrtc-pc 4.8.1.2: sdpMLineIndex is an unsigned short. No section will ever match these,
    # so that the candidate would wait for ever.
    with pytest.raises(InvalidCandidate):
        parse_remote({"candidate": CHROME_HOST, "sdpMLineIndex": index})


# --- local candidates


@pytest.mark.parametrize("text", VALID)
def test_a_local_candidate_comes_back_from_its_json(text: str) -> None:
    gathered = parse_candidate(text)
    event = local_candidate(gathered, mid="0", index=0, fragment="Ab3d")
    sent = event.toJSON()
    assert sent == {
        "candidate": event.candidate,
        "sdpMid": "0",
        "sdpMLineIndex": 0,
        "usernameFragment": "Ab3d",
    }
    assert parse_remote(sent) == RemoteCandidate(gathered, "0", 0, "Ab3d")


def test_the_candidate_attribute_of_an_event_is_the_browsers_form() -> None:
    event = local_candidate(parse_candidate(CHROME_SRFLX), mid=None, index=None, fragment="Ab3d")
    assert event.candidate == CHROME_SRFLX.partition(" generation")[0]


def test_a_gathered_candidate_is_not_changed_by_its_event() -> None:
    gathered = parse_candidate(CHROME_HOST)
    local_candidate(gathered, mid="0", index=0, fragment="Ab3d")
    assert (gathered.sdpMid, gathered.sdpMLineIndex) == (None, None)


TOKEN = st.text(string.ascii_letters + string.digits + "+/", min_size=1, max_size=32)
PORT = st.integers(0, 65535)
ADDRESS = st.one_of(st.ip_addresses().map(str), st.uuids().map(lambda name: f"{name}.local"))
CANDIDATE = st.builds(
    RTCIceCandidate,
    component=st.integers(1, 256),
    foundation=TOKEN,
    ip=ADDRESS,
    port=PORT,
    priority=st.integers(1, 2**31 - 1),
    protocol=st.sampled_from(["udp", "tcp"]),
    type=st.sampled_from(["host", "srflx", "prflx", "relay"]),
    relatedAddress=st.none() | ADDRESS,
    relatedPort=st.none() | PORT,
    sdpMid=TOKEN,
    sdpMLineIndex=PORT,
    tcpType=st.sampled_from([None, "active", "passive", "so"]),
    usernameFragment=TOKEN,
)


@given(CANDIDATE)
def test_every_candidate_comes_back_from_its_json(candidate: RTCIceCandidate) -> None:
    remote = parse_remote(candidate.toJSON())
    assert remote.candidate is not None
    assert remote == RemoteCandidate(
        parse_candidate(candidate.candidate),
        candidate.sdpMid,
        candidate.sdpMLineIndex,
        candidate.usernameFragment,
    )
    back = local_candidate(
        remote.candidate,
        mid=remote.sdpMid,
        index=remote.sdpMLineIndex,
        fragment=str(remote.usernameFragment),
    )
    assert back == candidate


# --- whatever comes in: it is read, or refused with InvalidCandidate


def read(given_: Any) -> None:
    try:
        remote = parse_remote(given_)
    except InvalidCandidate:
        return
    if remote.candidate is None:
        return
    assert remote.sdpMid is not None or remote.sdpMLineIndex is not None
    assert 0 <= remote.candidate.port <= 65535
    written = local_candidate(
        remote.candidate, mid=remote.sdpMid, index=remote.sdpMLineIndex, fragment="Ab3d"
    )
    assert parse_candidate(written.candidate) == remote.candidate


@given(st.text())
@example("1 1 udp 1 192.0.2.1 5000 typ host\r\na=setup:active x")
@example("1 1 udp 1 192.0.2.1 5000 typ host raddr raddr rport 0")
def test_any_text_is_read_or_refused(text: str) -> None:
    read(init(text))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    bits = draw(st.sampled_from(VALID)).split(" ")
    odd = st.one_of(
        st.sampled_from(["", "typ", "raddr", "rport", "tcptype", "ufrag", "-1", "1_0", "٣", "1e3"]),
        st.integers().map(str),
        st.text(),
    )
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(bits)))
        match draw(st.sampled_from(["insert", "replace", "remove", "cut"])):
            case "insert":
                bits.insert(at, draw(odd))
            case "replace":
                bits[at : at + 1] = [draw(odd)]
            case "remove":
                del bits[at : at + 1]
            case "cut":
                del bits[at:]
    return " ".join(bits)


@given(mutated())
def test_a_damaged_attribute_is_read_or_refused(text: str) -> None:
    read(init(text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
NAMES = ["candidate", "sdpMid", "sdpMLineIndex", "usernameFragment"]


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), JSON | st.sampled_from(VALID)))
def test_any_dictionary_is_read_or_refused(given_: dict[str, Any]) -> None:
    read(given_)


@given(JSON)
def test_any_value_is_read_or_refused(given_: Any) -> None:
    read(given_)


# --- for people


@pytest.mark.parametrize(
    ("text", "described"),
    [
        (CHROME_SRFLX, "srflx/udp 203.0.113.7:53022"),
        (CHROME_IPV6, "host/udp [2001:db8::1]:51000"),
        (FIREFOX_TCP, "host/tcp 192.168.1.2:9"),
    ],
)
def test_a_candidate_is_described_in_a_few_words(text: str, described: str) -> None:
    assert describe(parse_candidate(text)) == described


def pair(local: str, remote: str, rtt: float | None = None) -> RTCIceCandidatePair:
    one, other = (
        local_candidate(parse_candidate(text), mid=None, index=None, fragment="Ab3d")
        for text in (local, remote)
    )
    return RTCIceCandidatePair(one, other, rtt)


def test_a_relayed_pair_names_its_server_and_how_it_is_reached() -> None:
    local = local_candidate(
        parse_candidate(CHROME_RELAY),
        mid=None,
        index=None,
        fragment="Ab3d",
        url="turns:turn.example.org",
        relay_protocol="tls",
    )
    remote = local_candidate(
        parse_candidate(CHROME_SRFLX), mid=None, index=None, fragment="Ab3d", url="stun:a.example"
    )
    assert str(RTCIceCandidatePair(local, remote, 0.02)) == (
        "relay/tls (turns:turn.example.org) -> srflx/udp, rtt 20 ms, relayed"
    )


@pytest.mark.parametrize(
    ("local", "remote", "rtt", "relayed", "text"),
    [
        (CHROME_HOST, CHROME_SRFLX, 0.0124, False, "host/udp -> srflx/udp, rtt 12 ms, direct"),
        (CHROME_HOST, FIREFOX_HOST, None, False, "host/udp -> host/udp, direct"),
        (CHROME_RELAY, CHROME_HOST, 0.1, True, "relay/udp -> host/udp, rtt 100 ms, relayed"),
        (CHROME_HOST, CHROME_RELAY, 0, True, "host/udp -> relay/udp, rtt 0 ms, relayed"),
    ],
)
def test_a_pair_tells_its_path(
    local: str, remote: str, rtt: float | None, relayed: bool, text: str
) -> None:
    found = pair(local, remote, rtt)
    assert found.relayed is relayed
    assert str(found) == text


@pytest.mark.parametrize(
    "fields",
    [
        (1, "1", None, 5000, 1, "udp", "host"),
        (1, "1", "192.0.2.1", "5000", 1, "udp", "host"),
        ("1", "1", "192.0.2.1", 5000, 1, "udp", "host"),
        (1, "1", "192.0.2.1", 5000, "1", "udp", "host"),
        (1, "1", "192.0.2.1", 5000, 1, None, "host"),
    ],
)
def test_an_object_whose_fields_have_other_types_is_refused(fields: tuple[Any, ...]) -> None:
    candidate = aiortc.RTCIceCandidate(*fields)
    candidate.sdpMid = "0"
    with pytest.raises(InvalidCandidate, match="do not make a candidate"):
        parse_remote(candidate)


# --- a connection that is told of them


STRANGE: list[Any] = [
    init("end-of-candidates"),
    init("garbage"),
    init("candidate:" + "x" * 100_000),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ host", sdpMid="no such section"),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ host", sdpMid=None, sdpMLineIndex=9),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ host", sdpMid="", sdpMLineIndex=None),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ host", sdpMid=None, sdpMLineIndex=-1),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ host", sdpMid=None, sdpMLineIndex=None),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ strange"),
    init("candidate:1 1 quic 1 192.0.2.1 5000 typ host"),
    init("candidate:1 1 tcp 1 192.0.2.1 5000 typ host tcptype strange"),
    init("candidate:1 1 tcp 1 192.0.2.1 5000 typ host"),
    init("candidate:1 2 udp 1 192.0.2.1 5000 typ host"),
    init("candidate:1 1 udp 1 192.0.2.1 0 typ host"),
    init("candidate:1 1 udp 1 999.0.2.1 5000 typ host"),
    init("candidate:1 1 udp 1 0.0.0.0 5000 typ host"),
    init("candidate:1 1 udp 1 255.255.255.255 5000 typ host"),
    init("candidate:1 1 udp 1 224.0.0.251 5353 typ host"),
    init("candidate:1 1 udp 1 fe80::1%eth0 5000 typ host"),
    init("candidate:1 1 udp 1 :: 5000 typ host"),
    init("candidate:1 1 udp 1 ::ffff:192.0.2.1 5000 typ host"),
    init("candidate:1 1 udp 1 \ud83d.local 5000 typ host"),
    init(f"candidate:1 1 udp 1 {'a' * 300}.local 5000 typ host"),
    init("candidate:1 1 udp 1 ..local 5000 typ host"),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ host ufrag"),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ host x-unknown 1 x-other"),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ host x-unknown 1 x-other 2"),
    init("candidate:1 1 udp 1 192.0.2.1 5000 typ srflx raddr x rport 0"),
    aiortc.RTCIceCandidate(1, "1", None, 5000, 1, "udp", "host", sdpMid="0"),  # type: ignore[arg-type]
    aiortc.RTCIceCandidate(1, "1", "192.0.2.1", "5000", 1, "udp", "host", sdpMid="0"),  # type: ignore[arg-type]
    aiortc.RTCIceCandidate(1, "1", "192.0.2.1", 5000, -1, "udp", "host", sdpMid="0"),
    aiortc.RTCIceCandidate(1, "1", "192.0.2.1", 5000, 1, None, "host", sdpMid="0"),  # type: ignore[arg-type]
    *WRONG_TYPES,
]


@pytest.mark.parametrize("when", ["before the description", "after it", "when it is connected"])
async def test_no_candidate_breaks_a_connection(when: str) -> None:
    a, b = make("icefloe"), make("icefloe")
    channel = a.createDataChannel("x")

    async def tell() -> None:
        for candidate in STRANGE:
            with suppress(InvalidCandidate):
                await a.addIceCandidate(candidate)

    async with closing(a, b):
        await a.setLocalDescription(await a.createOffer())
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription(await b.createAnswer())
        if when == "before the description":
            await tell()
        await a.setRemoteDescription(b.localDescription)
        if when == "after it":
            await tell()
        await opened(channel)
        if when == "when it is connected":
            await tell()
        assert a.connectionState == "connected"


@pytest.mark.parametrize(
    "named",
    [
        {"sdpMid": "", "sdpMLineIndex": 0},
        {"sdpMid": None, "sdpMLineIndex": 0},
        {"sdpMLineIndex": 0},
        {"sdpMid": "0"},
        {"sdpMid": "0", "sdpMLineIndex": -1},
        {"sdpMid": "0", "sdpMLineIndex": 7},
    ],
    ids=str,
)
@pytest.mark.parametrize("form", ["{}", "a={}", "  {} \r\n"])
async def test_a_section_is_found_however_it_is_named(named: dict[str, Any], form: str) -> None:
    a, b = PeerConnection(), PeerConnection()
    channel = a.createDataChannel("x")
    candidates: list[str] = []

    async def tell(source: RTCPeerConnection, sink: RTCPeerConnection) -> None:
        text = source.localDescription.sdp
        candidates.extend(re.findall("a=(candidate:.*)\r\n", text))
        bare = re.sub("a=(candidate|end-of-candidates).*\r\n", "", text)
        kind = source.localDescription.type
        await sink.setRemoteDescription(RTCSessionDescription(bare, kind))

    async with closing(a, b):
        await a.setLocalDescription(await a.createOffer())
        await tell(a, b)
        mine = candidates[:]
        await b.setLocalDescription(await b.createAnswer())
        await tell(b, a)
        for candidate in mine:
            await b.addIceCandidate({"candidate": form.format(candidate), **named})
        await opened(channel)


async def test_a_candidate_for_a_section_that_there_is_not_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    a, b = PeerConnection(), PeerConnection()
    channel = a.createDataChannel("x")
    told: list[UnknownSection] = []
    b.on("remotecandidateerror", told.append)
    async with closing(a, b):
        await a.setLocalDescription(await a.createOffer())
        await b.setRemoteDescription(a.localDescription)
        for candidate in (init(FIREFOX_HOST, sdpMid="7"), {"candidate": "", "sdpMLineIndex": 3}):
            await b.addIceCandidate(candidate)
        assert [(error.sdpMid, error.sdpMLineIndex) for error in told] == [("7", 0), (None, 3)]
        assert told[0].candidate == init(FIREFOX_HOST, sdpMid="7")
        assert len([r for r in caplog.records if "no media section" in r.message]) == 2
        await b.setLocalDescription(await b.createAnswer())
        await a.setRemoteDescription(b.localDescription)
        await opened(channel)
