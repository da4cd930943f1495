"""Moderators remove, lock, close and hand over; nobody else does."""

import itertools
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import rule

from icefloe.signaling import (
    Admission,
    ClientMessage,
    CloseCode,
    CloseRoom,
    HandOver,
    Join,
    Leave,
    Limits,
    Lock,
    Remove,
    Right,
)
from icefloe.signaling.configuration import Refusal
from icefloe.signaling.errors import ErrorCode
from icefloe.signaling.moderation import CLOSED_SECONDS, ExpiringSet
from icefloe.signaling.rooms import Rooms
from tests.signaling.test_rooms import Anything, House, code

HOST = frozenset({Right.JOIN, Right.SEND, Right.MODERATE})
GUEST = frozenset({Right.JOIN, Right.SEND})


class Hosted(House):
    """Rooms in which ``host`` moderates by its token; each token is that of its name."""

    def __init__(
        self,
        *,
        first_moderates: bool = False,
        tokens: bool = True,
        hosts: tuple[str, ...] = ("host", "host-2"),
        **limits: Any,
    ) -> None:
        super().__init__()
        ids, secrets = itertools.count(1), itertools.count(1)
        self.rooms = Rooms(
            Limits(**limits),
            new_id=lambda: f"p{next(ids)}",
            new_token=lambda: f"t{next(secrets)}",
            first_moderates=first_moderates,
        )
        self.tokens = tokens
        self.hosts = hosts

    def say(self, connection: int, message: ClientMessage) -> list[dict[str, Any]]:
        if not isinstance(message, Join):
            return super().say(connection, message)
        before = len(self.sent[connection])
        rights = HOST if message.name in self.hosts else GUEST
        admission = (
            Admission(rights=rights, token_id=message.name, token_seconds=100)
            if self.tokens
            else Admission()
        )
        self.rooms.receive(connection, message, self.now, admission)
        self.do()
        return self.sent[connection][before:]

    def try_to_join(self, name: str, **more: Any) -> str:
        [answer, *_] = self.say(self.connect(), Join(room="lobby", name=name, **more))
        return str(answer.get("code", answer["type"]))


@pytest.fixture
def house() -> Hosted:
    return Hosted()


def test_rights_are_told_where_they_are_not_those_of_a_guest(house: Hosted) -> None:
    host, bob = house.join("host"), house.join("bob")
    assert house.joined[host]["may"] == ["moderate", "send"]
    assert "may" not in house.joined[bob]
    assert house.joined[bob]["peers"][0]["may"] == ["moderate", "send"]
    listener = house.connect()
    silent = Admission(rights=frozenset({Right.JOIN}))
    house.rooms.receive(listener, Join(room="lobby", name="listener"), 0.0, silent)
    house.do()
    assert house.joined[listener]["may"] == []
    assert house.heard(bob)[-1]["peer"]["may"] == []


def test_whoever_is_removed_is_told_and_its_token_refused_until_it_expires(
    house: Hosted,
) -> None:
    host, bob, carol = house.join("host"), house.join("bob"), house.join("carol")
    house.heard(carol)
    secret = house.secret(bob)
    assert house.say(host, Remove(house.id(bob), "r"))[-1] == {"type": "done", "ref": "r"}
    assert house.closed == {bob: CloseCode.REMOVED}
    assert house.heard(carol) == [{"type": "peer-left", "id": house.id(bob), "reason": "removed"}]
    assert house.say(bob, Leave()) == []
    house.lose(bob)
    assert house.try_to_join("bob", resume=secret) == "resume-failed"
    assert house.try_to_join("bob") == "removed"
    house.tick(99.9)
    assert house.try_to_join("bob") == "removed"
    house.tick(0.2)
    assert house.try_to_join("bob") == "joined"


def test_a_removed_token_is_refused_in_that_room_alone(house: Hosted) -> None:
    host, bob = house.join("host"), house.join("bob")
    house.say(host, Remove(house.id(bob)))
    house.join("bob", room="other")


def test_somebody_who_is_away_is_removed(house: Hosted) -> None:
    host, bob = house.join("host"), house.join("bob")
    house.lose(bob)
    assert house.say(host, Remove(house.id(bob)))[-1]["type"] == "done"
    assert house.rooms.seats == 1
    assert house.try_to_join("bob", resume=house.secret(bob)) == "resume-failed"


@pytest.mark.parametrize("message", [Remove("p1"), Lock(True), CloseRoom(), HandOver("p1")])
def test_a_guest_moderates_nothing(house: Hosted, message: ClientMessage) -> None:
    host, bob = house.join("host"), house.join("bob")
    house.heard(host)
    assert code(house.say(bob, message)) == "not-allowed"
    assert house.heard(host) == []
    assert house.rooms.refused["not-allowed"] == 1
    assert house.closed == {}


def test_a_moderator_moderates_its_own_room_alone(house: Hosted) -> None:
    host, bob = house.join("host"), house.join("bob", room="other")
    for message in (Remove(house.id(bob)), HandOver(house.id(bob)), Remove(house.id(host))):
        assert code(house.say(host, message)) == "peer-unavailable"
    house.say(host, CloseRoom())
    assert house.rooms.rooms == 1


def test_a_locked_room_is_entered_by_moderators_and_by_those_who_come_back(
    house: Hosted,
) -> None:
    host, bob = house.join("host"), house.join("bob")
    house.say(host, Lock(True))
    assert house.heard(bob)[-1] == {"type": "room-locked", "locked": True}
    assert house.try_to_join("carol") == "room-locked"
    assert house.try_to_join("host-2") == "joined"
    house.lose(bob)
    assert house.try_to_join("bob", resume=house.secret(bob)) == "joined"
    house.say(host, Lock(False))
    assert house.try_to_join("carol") == "joined"


def test_a_lock_takes_no_seat_from_whoever_is_away(house: Hosted) -> None:
    """A program that starts again would otherwise lose its old seat for nothing."""
    host = house.join("host")
    bob = house.connect()
    house.rooms.disconnect(bob, 0)
    bob = next(itertools.count(10_000))
    house.sent[bob] = []
    house.rooms.connect(bob, house.now, "192.0.2.1")
    house.say(bob, Join(room="lobby", name="bob"))
    house.lose(bob)
    house.say(host, Lock(True))
    again = bob + 1
    house.sent[again] = []
    house.rooms.connect(again, house.now, "192.0.2.1")
    assert code(house.say(again, Join(room="lobby", name="bob"))) == "room-locked"
    assert house.rooms.away == 1


def test_a_lock_while_somebody_waits_for_a_name_takes_no_seat_either(house: Hosted) -> None:
    host = house.join("host")
    connections = iter(range(10_000, 10_010))

    def ask() -> int:
        connection = next(connections)
        house.sent[connection] = []
        house.rooms.connect(connection, house.now, "192.0.2.1")
        house.say(connection, Join(room="lobby", name="bob"))
        return connection

    house.lose(ask())
    again = ask()
    house.say(host, Lock(True))
    house.tick(1)
    assert code(house.heard(again)) == "room-locked"
    assert house.rooms.away == 1


def test_a_moderator_who_is_refused_opens_no_closed_room(house: Hosted) -> None:
    house = Hosted(rooms=2)
    host = house.join("host")
    house.say(host, CloseRoom())
    others = [house.join("bob", room=room) for room in "ab"]
    assert house.try_to_join("host") == "room-full"
    house.say(others[0], Leave())
    assert house.try_to_join("bob") == "room-closed"
    assert house.try_to_join("host") == "joined"


def test_a_closed_room_is_over_for_all_and_stays_so_for_a_while(house: Hosted) -> None:
    host, bob, away = house.join("host"), house.join("bob"), house.join("away")
    house.lose(away)
    house.heard(bob)
    assert house.say(host, CloseRoom(7))[-1] == {"type": "done", "ref": 7}
    assert house.closed == {host: CloseCode.ROOM_CLOSED, bob: CloseCode.ROOM_CLOSED}
    assert house.heard(bob) == []
    assert (house.rooms.rooms, house.rooms.seats, house.rooms.away) == (0, 0, 0)
    assert house.try_to_join("away", resume=house.secret(away)) == "resume-failed"
    assert house.try_to_join("away") == "room-closed"
    house.tick(CLOSED_SECONDS)
    assert house.try_to_join("away") == "joined"


def test_a_moderator_opens_a_closed_room_again(house: Hosted) -> None:
    host = house.join("host")
    house.say(host, CloseRoom())
    assert house.try_to_join("bob") == "room-closed"
    assert house.try_to_join("host") == "joined"
    assert house.try_to_join("bob") == "joined"


def test_the_right_is_handed_on(house: Hosted) -> None:
    host, bob = house.join("host"), house.join("bob")
    house.heard(bob)
    answer = house.say(host, HandOver(house.id(bob), "r"))
    told = [
        {"type": "rights", "id": house.id(bob), "may": ["moderate", "send"]},
        {"type": "rights", "id": house.id(host), "may": ["send"]},
    ]
    assert answer == [*told, {"type": "done", "ref": "r"}]
    assert house.heard(bob) == told
    assert code(house.say(host, Lock(True))) == "not-allowed"
    assert house.say(bob, Remove(house.id(host)))[-1]["type"] == "done"


def test_rights_outlast_a_break(house: Hosted) -> None:
    host, bob = house.join("host"), house.join("bob")
    house.say(host, HandOver(house.id(bob)))
    house.lose(bob)
    again = house.join("bob", resume=house.secret(bob))
    assert house.joined[again]["may"] == ["moderate", "send"]


# ---- without tokens ----------------------------------------------------------------------------


def test_without_tokens_nobody_moderates_unless_it_is_configured() -> None:
    house = Hosted(tokens=False)
    alice = house.join("alice")
    assert code(house.say(alice, Lock(True))) == "not-allowed"


def test_the_first_moderates_and_then_whoever_was_there_longest() -> None:
    house = Hosted(tokens=False, first_moderates=True)
    alice, bob, carol = house.join("alice"), house.join("bob"), house.join("carol")
    assert house.joined[alice]["may"] == ["moderate", "send"]
    house.lose(bob)
    house.heard(carol)
    house.say(alice, Leave())
    assert house.heard(carol)[-1] == {
        "type": "rights",
        "id": house.id(carol),
        "may": ["moderate", "send"],
    }
    assert house.say(carol, Lock(True))[-1]["type"] == "done"


def test_tokens_alone_say_who_moderates() -> None:
    house = Hosted(tokens=True, first_moderates=True)
    bob = house.join("bob")
    assert code(house.say(bob, Lock(True))) == "not-allowed"


# ---- anything ----------------------------------------------------------------------------------


class Moderated(Anything):
    """The same, with moderators that remove, lock, close and hand over at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.house = Hosted(hosts=("alice", "bob"), members=3, rooms=2)

    @rule(
        name=st.sampled_from(Anything.NAMES),
        of=st.sampled_from(Anything.NAMES),
        kind=st.sampled_from([Remove, Lock, CloseRoom, HandOver]),
        locked=st.booleans(),
    )
    def moderate(self, name: str, of: str, kind: type, locked: bool) -> None:
        if name not in self.connections or of not in self.known:
            return
        to = self.known[of]["id"]
        messages: dict[type, ClientMessage] = {
            Remove: Remove(to),
            Lock: Lock(locked),
            CloseRoom: CloseRoom(),
            HandOver: HandOver(to),
        }
        self.house.say(self.connections[name], messages[kind])


Moderated.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestModerated = Moderated.TestCase


# ---- bounds ------------------------------------------------------------------------------------


def test_a_refusal_keeps_its_code(house: Hosted) -> None:
    connection = house.connect()
    refusal = Refusal(ErrorCode.TOKEN_EXPIRED, "The token has expired.")
    house.rooms.receive(connection, Join(room="lobby", name="bob", ref=1), 0.0, refusal)
    house.do()
    assert code(house.sent[connection]) == "token-expired"
    assert house.rooms.refused["token-expired"] == 1


def test_what_expires_is_bounded_and_the_first_to_expire_goes_first() -> None:
    kept: ExpiringSet[int] = ExpiringSet(3)
    for key in range(3):
        kept.add(key, 10.0 + key, now=0)
    kept.add(7, 5.0, now=0)
    assert (len(kept), kept.has(0, 0), kept.has(7, 0)) == (3, False, True)
    kept.add(8, 50.0, now=11.5)
    assert len(kept) == 2
    assert [kept.has(key, 11.5) for key in (1, 2, 7, 8)] == [False, True, False, True]
    kept.discard(8)
    assert not kept.has(8, 0)
