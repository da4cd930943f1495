"""The timeline: bounds, JSON, pseudonyms, and the dump for viewers of RTCStats."""

import dataclasses
import ipaddress
import json
import typing
from itertools import count

import pytest
from hypothesis import given, strategies as st

import icefloe.peer
from icefloe.peer.diagnosis.events import (
    CandidateReceived,
    CandidateSent,
    ConnectionClosed,
    DescriptionApplied,
    StateChanged,
    TimelineEvent,
    WarningGiven,
)
from icefloe.peer.diagnosis.json_values import event_name
from icefloe.peer.diagnosis.redaction import Redactor
from icefloe.peer.diagnosis.timeline import Timeline
from icefloe.peer.ice.events import (
    GenerationBegan,
    PairChanged,
    RemoteNameUnresolved,
    ServerAsked,
    TimerLate,
)
from icefloe.peer.ice.facts import CandidateFacts, PairFacts, ServerFacts, ServerProblem

EVENTS: tuple[type, ...] = typing.get_args(TimelineEvent)
HOST = CandidateFacts("host", "udp", "192.168.1.5", 4000)
SEEN = CandidateFacts("srflx", "udp", "203.0.113.7", 4001, ("192.168.1.5", 4000))
NAMED = CandidateFacts("host", "udp", "1b2c-3d.local", 4002)
V6 = CandidateFacts("host", "udp", "2001:4860:4860::8888", 4003)
REFUSED = ServerFacts(
    "turn:relay.example:3478?transport=udp",
    True,
    0.5,
    ServerProblem.REFUSED,
    401,
    "not from 203.0.113.7",
)
SOME: list[TimelineEvent] = [
    GenerationBegan(False),
    DescriptionApplied("local", "offer", 900, ("audio 0", "application 1"), 2),
    CandidateSent(HOST, "0"),
    CandidateSent(None),
    DescriptionApplied("remote", "answer", 900, ("audio 0 rejected", "application 1"), 2),
    CandidateReceived(SEEN, "0"),
    CandidateReceived(NAMED, "0"),
    CandidateReceived(V6, "0"),
    RemoteNameUnresolved("1b2c-3d.local"),
    ServerAsked(REFUSED),
    PairChanged(PairFacts(HOST, SEEN, "failed", 7, 0, 0)),
    StateChanged("connection", "failed"),
    StateChanged("dtls", "closed"),
    WarningGiven("turn-allocation", "turn-credentials-wrong"),
    ConnectionClosed("us"),
]


def filled(limit: int = 1000) -> Timeline:
    ticks = count(10)
    timeline = Timeline(limit, lambda: float(next(ticks)))
    for event in SOME:
        timeline.record(event)
    return timeline


# --- bounds


@given(st.integers(0, 12), st.integers(0, 40))
def test_the_first_and_the_latest_are_kept_and_the_rest_is_counted(limit: int, events: int) -> None:
    timeline = Timeline(limit, lambda: 0.0)
    for number in range(events):
        timeline.record(TimerLate(float(number)))
    kept = [typing.cast(TimerLate, entry.event).seconds for entry in timeline]
    assert len(timeline) == len(kept) == min(limit, events)
    assert timeline.dropped == events - len(kept)
    if events > limit:
        first, latest = limit - limit // 2, limit // 2
        assert kept == [*range(first), *range(events - latest, events)]
    else:
        assert kept == list(range(events))


def test_iterating_does_not_see_what_is_added_meanwhile() -> None:
    timeline = filled()
    for _ in timeline:
        timeline.record(TimerLate(1.0))
    assert len(timeline) == 2 * len(SOME)


def test_every_event_is_frozen_slotted_public_and_has_a_name_of_its_own() -> None:
    assert len({event_name(event) for event in EVENTS}) == len(EVENTS) >= 20
    for kind in EVENTS:
        assert getattr(icefloe.peer, kind.__name__) is kind
        assert dataclasses.is_dataclass(kind) and "__slots__" in vars(kind)
    for event in SOME:
        assert not hasattr(event, "__dict__")
        assert isinstance(hash(event), int)  # it would have none if it were not frozen


# --- JSON


def test_each_line_is_an_object_with_times_and_the_fields_of_the_event() -> None:
    lines = [json.loads(line) for line in filled().to_json_lines().splitlines()]
    assert len(lines) == len(SOME)
    assert [line["at"] for line in lines] == list(range(len(SOME)))
    assert lines[1] == {
        "at": 1.0,
        "time": lines[1]["time"],
        "event": "description-applied",
        "side": "local",
        "kind": "offer",
        "size": 900,
        "sections": ["audio 0", "application 1"],
        "count": 2,
    }
    assert lines[1]["time"].endswith("+00:00")
    assert lines[10]["pair"]["remote"]["address"] == "203.0.113.7"
    assert Timeline(0).to_json_lines() == ""


def test_the_last_line_tells_how_many_events_were_dropped() -> None:
    *_, last = filled(4).to_json_lines().splitlines()
    assert json.loads(last) == {"event": "dropped", "dropped": len(SOME) - 4}


def test_no_line_is_broken_by_what_another_machine_wrote() -> None:
    timeline = Timeline()
    timeline.record(RemoteNameUnresolved('a"\n\x1b[2J\u2028\u202e'))
    (line,) = timeline.to_json_lines().split("\n")[:-1]
    assert line.isprintable() and line.isascii()


# --- pseudonyms


def test_a_trace_without_addresses_still_shows_what_belongs_together() -> None:
    text = filled().to_json_lines(Redactor())
    for secret in ("192.168.1.5", "203.0.113.7", "1b2c", "2001:4860", "relay.example"):
        assert secret not in text
    for pseudonym in ("private-v4-1", "mdns-1", "public-v6-1", "turn:host-1:3478?transport=udp"):
        assert pseudonym in text
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[5]["candidate"]["related"][0] == lines[2]["candidate"]["address"]
    assert lines[10]["pair"]["local"]["address"] == "private-v4-1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1", "loopback-v4-1"),
        ("::1", "loopback-v6-1"),
        ("[2606:4700::1111]:80", "[public-v6-1]:80"),
        ("fe80::1%eth0", "link-local-v6-1"),
        ("100.64.3.4", "shared-v4-1"),
        ("0.0.0.0", "other-v4-1"),
        (
            "from 10.0.0.1 and 10.0.0.2, 10.0.0.1",
            "from private-v4-1 and private-v4-2, private-v4-1",
        ),
        ("turns:[fd00::1]:443", "turns:private-v6-1:443"),
        ("stun:stun.example", "stun:host-1"),
        ("FE80::1 fe80::1", "link-local-v6-1 link-local-v6-1"),
        ("::ffff:8.8.8.8", "public-v6-1"),
        ("version 1.2.3, 999.1.1.1, 12:34:56 and aa:bb:cc", None),
        ("12:34:56.789", None),
    ],
)
def test_addresses_in_a_text_get_a_pseudonym_of_their_kind(text: str, expected: str | None) -> None:
    assert Redactor().text(text) == (text if expected is None else expected)


@given(
    st.ip_addresses() | st.ip_addresses(v=4), st.sampled_from(["{}", "at {} x", "[{}]:9", "({})"])
)
def test_no_address_is_left_in_a_text(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, form: str
) -> None:
    redactor = Redactor()
    redacted = redactor.text(form.format(address))
    assert str(address) not in redacted.replace("-v", "")
    assert redactor.address(str(address)) in redacted


# --- the dump


def test_a_dump_has_the_format_that_viewers_of_rtcstats_load() -> None:
    """The rules of "RTCStats dump file format", version 3."""
    magic, metadata, *rest = filled().to_rtcstats(name="PC_7", user_agent="test").splitlines()
    assert magic == "RTCStatsDump"
    told = json.loads(metadata)
    assert told["fileFormat"] == 3 and told["userAgent"] == "test"
    events = [json.loads(line) for line in rest]
    assert all(len(event) == 4 and event[1] == "PC_7" for event in events)
    assert events[0][0] == "create" and events[0][3] == told["startTime"] > 1.6e12
    assert [event[3] for event in events[2:]] == [1000] * (len(SOME) - 1)
    calls = {name: value for name, _, value, _ in events}
    assert calls["setLocalDescription"]["type"] == "offer"
    assert "m=audio 0 " in calls["setRemoteDescription"]["sdp"]
    assert "m=audio 9 " in calls["setLocalDescription"]["sdp"]
    assert calls["onconnectionstatechange"] == "failed"
    assert calls["onicecandidate"] is None
    assert calls["onicecandidateerror"]["errorCode"] == 401
    assert calls["icefloe.pair-changed"]["pair"]["checks_sent"] == 7
    assert calls["icefloe.state-changed"]["of"] == "dtls"
    sent = next(value for name, _, value, _ in events if name == "addIceCandidate")
    assert sent["candidate"].split()[4:8] == ["203.0.113.7", "4001", "typ", "srflx"]


def test_a_dump_can_be_empty_and_without_addresses() -> None:
    assert len(Timeline(0).to_rtcstats().splitlines()) == 3
    assert "203.0.113.7" not in filled().to_rtcstats(Redactor())
