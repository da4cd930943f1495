"""A seat from the client's side."""

import pytest
from msgspec import UNSET

from icefloe.signaling import (
    Joined,
    LeftReason,
    PeerAway,
    PeerBack,
    PeerBye,
    PeerGone,
    PeerInfo,
    PeerJoined,
    PeerMessage,
    Rejoined,
    membership,
)
from icefloe.signaling.membership import Membership, Roster

ALICE, BOB, CAROL = (PeerInfo(name[0], name) for name in ("alice", "bob", "carol"))


def away(peer: PeerInfo) -> PeerInfo:
    return PeerInfo(peer.id, peer.name, away=True)


def test_the_roster_follows_what_happens() -> None:
    roster = Roster([ALICE])
    assert roster.apply(PeerJoined(BOB))
    assert roster.apply(PeerAway(ALICE.id))
    assert roster.peers == [away(ALICE), BOB]
    assert roster.apply(PeerBack(ALICE.id))
    assert roster.apply(PeerGone(BOB.id, "left"))
    assert roster.peers == [ALICE]
    assert roster.apply(Rejoined(Joined("x", [CAROL], "s"), 0))
    assert roster.peers == [CAROL]


def test_what_is_known_is_no_news() -> None:
    roster = Roster([ALICE, away(BOB)])
    assert not roster.apply(PeerJoined(ALICE))
    assert not roster.apply(PeerAway(BOB.id))
    assert not roster.apply(PeerBack(ALICE.id))
    assert not roster.apply(PeerBack(CAROL.id))
    assert not roster.apply(PeerGone(CAROL.id, "left"))
    assert roster.peers == [ALICE, away(BOB)]


def test_a_roster_has_room_for_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "MAX_PEERS", 2)
    roster = Roster([ALICE, BOB, CAROL])
    assert roster.peers == [ALICE, BOB]
    assert not roster.apply(PeerJoined(CAROL))
    assert roster.changes_to([ALICE, BOB, CAROL]) == []
    assert roster.apply(PeerGone(BOB.id, "left"))
    assert roster.apply(PeerJoined(CAROL))
    assert roster.apply(Rejoined(Joined("x", [CAROL, BOB, ALICE], "s"), 0))
    assert roster.peers == [CAROL, BOB]


def test_what_was_missed_in_the_room_is_told_after_a_resume() -> None:
    dave = PeerInfo("d", "dave", away=True)
    seat = Membership(Joined("me", [ALICE, BOB, CAROL, away(dave)], "s1"))
    erin = PeerInfo("e", "erin")
    joined = Joined("me", [away(BOB), CAROL, PeerInfo("d", "dave"), erin], "s2", ack=0)
    assert seat.resume(joined, 0.0) == (
        [PeerGone(ALICE.id, LeftReason.LEFT), PeerAway(BOB.id), PeerBack("d"), PeerJoined(erin)],
        [],
    )
    assert seat.joined.resume == "s2"
    assert seat.resume(joined, 0.0) == ([], [])


def test_what_arrives_twice_is_heard_once() -> None:
    seat = Membership(Joined("me", [ALICE], "s"))
    assert seat.receive(PeerMessage(ALICE.id, "one", 1))
    assert seat.receive(PeerBye(ALICE.id, 2))
    assert not seat.receive(PeerMessage(ALICE.id, "one", 1))
    assert not seat.receive(PeerBye(ALICE.id, 2))
    assert seat.received == 2
    assert seat.receive(PeerMessage(ALICE.id, "three", 3))


def test_a_server_that_does_not_number_is_heard_all_the_same() -> None:
    seat = Membership(Joined("me", [ALICE], "s"))
    assert seat.receive(PeerMessage(ALICE.id, "one"))
    assert seat.receive(PeerMessage(ALICE.id, "one"))
    seat.outbox.record_sent(b"1", 0.0)
    seat.outbox.enqueue(b"2")
    assert seat.resume(Joined("me", [ALICE], "s", ack=UNSET), 0.0) == ([], [b"2"])


def test_what_the_server_lacks_is_sent_again() -> None:
    seat = Membership(Joined("me", [], "s"))
    seat.outbox.record_sent(b"1", 0.0)
    seat.outbox.record_sent(b"2", 0.0)
    seat.outbox.enqueue(b"3")
    assert seat.resume(Joined("me", [], "s", ack=1), 0.0) == ([], [b"2", b"3"])


def test_a_gap_is_told() -> None:
    seat = Membership(Joined("me", [ALICE], "s1"))
    for _ in range(300):
        seat.outbox.record_sent(b"x", 0.0)
    assert seat.resume(Joined("me", [], "s2", ack=10), 0.0) is None
    assert seat.joined.resume == "s1"
