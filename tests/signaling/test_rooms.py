"""Rooms: who is where, and who hears what."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from icefloe.signaling import (
    Admission,
    Bye,
    Candidate,
    ClientMessage,
    CloseCode,
    CloseRoom,
    Description,
    HandOver,
    IceServer,
    Join,
    Leave,
    Limits,
    Lock,
    Message,
    Remove,
    Report,
    ReportPath,
    SessionDescription,
)
from icefloe.signaling.codec import decode_client, encode_client
from icefloe.signaling.effects import Close, Send
from icefloe.signaling.outbox import BYTES_KEPT, MESSAGES_KEPT, UNCONFIRMED_SECONDS
from icefloe.signaling.rooms import _TABLE, Rooms, State

ADMITTED = Admission()
CONNECTIONS = itertools.count(1)


class House:
    """Rooms, what each connection was sent, and how each was closed."""

    def __init__(self, **limits: Any) -> None:
        ids, tokens = itertools.count(1), itertools.count(1)
        self.rooms = Rooms(
            Limits(**limits), new_id=lambda: f"p{next(ids)}", new_token=lambda: f"t{next(tokens)}"
        )
        self.now = 0.0
        self.sent: dict[int, list[dict[str, Any]]] = {}
        self.closed: dict[int, CloseCode] = {}
        self.joined: dict[int, dict[str, Any]] = {}

    def do(self) -> None:
        for effect in self.rooms.take_effects():
            match effect:
                case Send():
                    assert effect.connection not in self.closed
                    for message in map(json.loads, effect.payloads):
                        self.sent[effect.connection].append(message)
                        if message["type"] == "joined":
                            self.joined[effect.connection] = message
                case Close():
                    assert effect.connection not in self.closed
                    self.closed[effect.connection] = effect.code

    def connect(self) -> int:
        connection = next(CONNECTIONS)
        self.sent[connection] = []
        self.rooms.connect(connection, self.now)
        return connection

    def say(self, connection: int, message: ClientMessage) -> list[dict[str, Any]]:
        """Send a message as over the wire; return what its sender got back."""
        before = len(self.sent[connection])
        admission = ADMITTED if isinstance(message, Join) else None
        received = decode_client(encode_client(message))
        self.rooms.receive(connection, received, self.now, admission)
        self.do()
        return self.sent[connection][before:]

    def join(self, name: str, room: str = "lobby", **more: Any) -> int:
        connection = self.connect()
        [joined, *_] = self.say(connection, Join(room=room, name=name, **more))
        assert joined["type"] == "joined", joined
        return connection

    def lose(self, connection: int) -> None:
        self.rooms.disconnect(connection, self.now)
        self.do()

    def tick(self, seconds: float) -> None:
        self.now += seconds
        self.rooms.handle_timeout(self.now)
        self.do()

    def id(self, connection: int) -> str:
        return str(self.joined[connection]["id"])

    def secret(self, connection: int) -> str:
        return str(self.joined[connection]["resume"])

    def heard(self, connection: int) -> list[dict[str, Any]]:
        """Return what the connection was sent since the last call."""
        heard, self.sent[connection] = self.sent[connection], []
        return heard


def code(answer: list[dict[str, Any]]) -> str:
    [error] = answer
    assert error["type"] == "error"
    assert error["message"].endswith(".")
    return str(error["code"])


@pytest.fixture
def house() -> House:
    return House()


# ---- joining and leaving -----------------------------------------------------------------------


def test_whoever_joins_learns_who_is_there_in_the_order_of_arrival(house: House) -> None:
    alice, bob, carol = house.join("alice"), house.join("bob"), house.join("carol")
    [joined] = house.sent[carol]
    assert joined["peers"] == [
        {"id": house.id(alice), "name": "alice", "away": False},
        {"id": house.id(bob), "name": "bob", "away": False},
    ]
    assert house.heard(bob)[1:] == [
        {"type": "peer-joined", "peer": {"id": house.id(carol), "name": "carol", "away": False}}
    ]


def test_whoever_joins_is_given_the_servers(house: House) -> None:
    connection = house.connect()
    admission = Admission(ice_servers=(IceServer("turn:t", "u", "c"),), expires=77)
    join = Join(room="lobby", name="bob")
    house.rooms.receive(connection, join, 0.0, admission)
    house.do()
    [joined] = house.sent[connection]
    assert joined["iceServers"] == [{"urls": "turn:t", "username": "u", "credential": "c"}]
    assert joined["expires"] == 77
    assert "ack" not in joined


def test_nothing_crosses_rooms(house: House) -> None:
    alice, mallory = house.join("alice"), house.join("mallory", room="other")
    house.heard(alice)
    answer = house.say(mallory, Message(house.id(alice), "hello"))
    assert code(answer) == "peer-unavailable"
    house.lose(mallory)
    house.tick(31)
    assert house.heard(alice) == []


def test_who_leaves_is_told_goodbye_and_the_others_that_it_left(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    house.heard(alice)
    bobs_id = house.id(bob)
    house.say(bob, Leave())
    assert house.closed == {bob: CloseCode.NORMAL}
    assert house.heard(alice) == [{"type": "peer-left", "id": bobs_id, "reason": "left"}]
    house.lose(bob)
    assert house.heard(alice) == []
    house.join("bob")  # the name is free


def test_a_name_is_taken_once_in_a_room(house: House) -> None:
    house.join("alice")
    connection = house.connect()
    assert code(house.say(connection, Join(room="lobby", name="alice"))) == "name-taken"
    [joined] = house.say(connection, Join(room="lobby", name="alice 2"))
    assert joined["type"] == "joined"
    house.join("alice", room="other")


def test_a_room_has_a_limit(house: House) -> None:
    house = House(members=2)
    house.join("alice")
    bob = house.join("bob")
    connection = house.connect()
    assert code(house.say(connection, Join(room="lobby", name="carol", ref=3))) == "room-full"
    assert house.sent[connection][0]["ref"] == 3
    house.say(bob, Leave())
    assert house.say(connection, Join(room="lobby", name="carol"))[0]["type"] == "joined"


def test_rooms_have_a_limit_and_are_gone_when_empty() -> None:
    house = House(rooms=1)
    alice = house.join("alice")
    connection = house.connect()
    assert code(house.say(connection, Join(room="other", name="bob"))) == "room-full"
    house.say(alice, Leave())
    assert house.rooms.rooms == 0
    assert house.say(connection, Join(room="other", name="bob"))[0]["type"] == "joined"


def test_who_is_not_admitted_may_try_again(house: House) -> None:
    connection = house.connect()
    join = Join(room="lobby", name="bob", ref="j")
    house.rooms.receive(connection, join, 0.0, None)
    house.do()
    assert code(house.heard(connection)) == "unauthorized"
    assert house.say(connection, join)[0]["type"] == "joined"


def test_who_does_not_join_in_time_is_sent_away() -> None:
    house = House(join_seconds=10)
    early = house.connect()
    house.tick(5)
    late = house.connect()
    joins = house.join("alice")
    assert house.rooms.deadline == 10
    house.tick(5)
    assert house.closed == {early: CloseCode.POLICY}
    house.tick(5)
    assert house.closed == {early: CloseCode.POLICY, late: CloseCode.POLICY}
    house.tick(1000)
    assert joins not in house.closed
    assert house.rooms.deadline == float("inf")


# ---- every state and message -------------------------------------------------------------------

MESSAGES: list[ClientMessage] = [
    Join(room="lobby", name="bob", ref="r"),
    Description("p1", SessionDescription("offer", "v=0"), "r"),
    Candidate("p1", None, "r"),
    Message("p1", 1, "r"),
    Bye("p1", "r"),
    Leave("r"),
    Remove("p1", "r"),
    Lock(True, "r"),
    CloseRoom("r"),
    HandOver("p1", "r"),
    Report(path=ReportPath.HOST, ref="r"),
]


def test_the_table_is_complete() -> None:
    assert set(_TABLE) == {(state, type(message)) for state in State for message in MESSAGES}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_before_joining_only_join_and_leave_are_acted_upon(
    house: House, message: ClientMessage
) -> None:
    alice = house.join("alice")
    house.heard(alice)
    connection = house.connect()
    answer = house.say(connection, message)
    match message:
        case Join():
            assert answer[0]["type"] == "joined"
        case Leave():
            assert house.closed == {connection: CloseCode.NORMAL}
        case _:
            assert code(answer) == "not-joined"
            assert answer[0]["ref"] == "r"
            assert house.heard(alice) == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_once_joined_everything_but_join_is_acted_upon(
    house: House, message: ClientMessage
) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    house.heard(alice)
    answer = house.say(bob, message)
    heard = house.heard(alice)
    match message:
        case Join():
            assert code(answer) == "already-joined"
            assert answer[0]["ref"] == "r"
        case Leave():
            assert house.closed == {bob: CloseCode.NORMAL}
            assert [m["type"] for m in heard] == ["peer-left"]
        case Remove() | Lock() | CloseRoom() | HandOver():
            assert code(answer) == "not-allowed"
            assert heard == []
        case Report():  # these rooms want none
            assert (answer, heard) == ([], [])
            assert not house.rooms.reports.paths["host"]
        case _:
            sent = json.loads(encode_client(message))
            del sent["to"], sent["ref"]
            assert heard == [sent | {"from": house.id(bob), "seq": 1}]
            assert answer == []


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_a_connection_that_is_over_is_not_heard(house: House, message: ClientMessage) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    house.say(bob, Leave())
    house.heard(alice)
    assert house.say(bob, message) == []
    assert house.heard(alice) == []
    assert house.say(house.connect(), Join(room="lobby", name="bob"))[0]["type"] == "joined"


# ---- routing -----------------------------------------------------------------------------------


def test_nobody_can_speak_in_the_name_of_another(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    house.heard(alice)
    forged = decode_client(
        json.dumps({"type": "message", "to": house.id(alice), "from": "p99", "data": 1})
    )
    house.rooms.receive(bob, forged, 0.0)
    house.do()
    assert house.heard(alice)[0]["from"] == house.id(bob)


def test_nobody_can_send_to_itself_or_to_nobody(house: House) -> None:
    alice = house.join("alice")
    for to in (house.id(alice), "p99"):
        answer = house.say(alice, Bye(to, ref="b"))
        assert code(answer) == "peer-unavailable"
        assert answer[0]["ref"] == "b"
    assert house.rooms.refused["peer-unavailable"] == 2


def test_messages_are_numbered_for_each_receiver(house: House) -> None:
    alice, bob, carol = house.join("alice"), house.join("bob"), house.join("carol")
    for connection in (alice, bob):
        house.heard(connection)
    house_ids = {"alice": "p1", "bob": "p2"}
    house.say(carol, Bye(house_ids["alice"]))
    house.say(bob, Bye(house_ids["alice"]))
    house.say(carol, Bye(house_ids["bob"]))
    assert [m["seq"] for m in house.heard(alice)] == [1, 2]
    assert [m["seq"] for m in house.heard(bob)] == [1]


def test_what_a_client_sends_twice_is_handed_on_once(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    to = house.id(alice)
    house.heard(alice)
    for seq in (1, 2, 2, 1, 3):
        house.say(bob, Message(to, seq, seq=seq))
    house.say(bob, Message(to, "unnumbered"))
    assert [m["data"] for m in house.heard(alice)] == [1, 2, 3, "unnumbered"]


# ---- away and back -----------------------------------------------------------------------------


def test_whoever_is_lost_is_away_and_after_a_while_gone() -> None:
    house = House(away_seconds=30)
    alice, bob = house.join("alice"), house.join("bob")
    bobs_id = house.id(bob)
    house.heard(alice)
    house.lose(bob)
    assert house.heard(alice) == [{"type": "peer-away", "id": bobs_id}]
    carol = house.join("carol")
    assert house.heard(carol)[0]["peers"][1] == {"id": bobs_id, "name": "bob", "away": True}
    assert (house.rooms.seats, house.rooms.away) == (3, 1)
    house.heard(alice)
    house.tick(29.9)
    assert house.heard(alice) == []
    assert house.rooms.deadline == 30
    house.tick(0.1)
    assert house.heard(alice) == [{"type": "peer-left", "id": bobs_id, "reason": "timeout"}]
    assert (house.rooms.seats, house.rooms.away) == (2, 0)


def test_the_name_of_who_is_away_is_kept(house: House) -> None:
    house.join("alice")
    house.lose(house.join("bob"))
    assert code(house.say(house.connect(), Join(room="lobby", name="bob"))) == "name-taken"


def test_a_seat_is_resumed_with_its_id_and_what_waited(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    secret, alices_id, bobs_id = house.secret(bob), house.id(alice), house.id(bob)
    house.say(alice, Message(bobs_id, "read"))
    house.say(alice, Message(bobs_id, "lost with the socket"))
    house.lose(bob)
    house.say(alice, Message(bobs_id, "waits"))
    house.heard(alice)
    bob = house.join("bob", resume=secret, ack=1)
    [joined, *waited] = house.heard(bob)
    assert joined["id"] == bobs_id
    assert joined["peers"] == [{"id": alices_id, "name": "alice", "away": False}]
    assert joined["ack"] == 0
    assert [(m["seq"], m["data"]) for m in waited] == [(2, "lost with the socket"), (3, "waits")]
    assert house.heard(alice) == [{"type": "peer-back", "id": bobs_id}]
    house.say(alice, Message(bobs_id, "after"))
    assert [m["seq"] for m in house.heard(bob)] == [4]


def test_a_client_that_does_not_count_gets_what_came_since_it_was_away(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    secret, bobs_id = house.secret(bob), house.id(bob)
    house.say(alice, Message(bobs_id, "perhaps read"))
    house.lose(bob)
    house.say(alice, Message(bobs_id, "waits"))
    bob = house.join("bob", resume=secret)
    assert [m.get("data") for m in house.heard(bob)] == [None, "waits"]


def test_the_server_says_what_arrived_from_whoever_resumes(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    to, secret = house.id(alice), house.secret(bob)
    house.say(bob, Message(to, 1, seq=1))
    house.say(bob, Message(to, 2, seq=2))
    house.lose(bob)
    bob = house.join("bob", resume=secret, ack=0)
    assert house.heard(bob)[0]["ack"] == 2
    house.heard(alice)
    house.say(bob, Message(to, 2, seq=2))
    house.say(bob, Message(to, 3, seq=3))
    assert [m["data"] for m in house.heard(alice) if m["type"] == "message"] == [3]


@pytest.mark.parametrize(
    ("room", "name", "secret"),
    [("lobby", "bob", "wrong"), ("other", "bob", None), ("lobby", "carol", None)],
)
def test_a_seat_is_resumed_only_with_its_own_words(
    house: House, room: str, name: str, secret: str | None
) -> None:
    bob = house.join("bob")
    right = house.secret(bob)
    house.lose(bob)
    connection = house.connect()
    join = Join(room=room, name=name, resume=secret or right)
    assert code(house.say(connection, join)) == "resume-failed"
    assert house.say(connection, Join(room="lobby", name="bob", resume=right))[0]["id"] == "p1"


def test_a_seat_that_is_gone_cannot_be_resumed(house: House) -> None:
    bob = house.join("bob")
    secret = house.secret(bob)
    house.lose(bob)
    house.tick(31)
    connection = house.connect()
    assert code(house.say(connection, Join(room="lobby", name="bob", resume=secret))) == (
        "resume-failed"
    )
    [joined] = house.say(connection, Join(room="lobby", name="bob"))
    assert joined["id"] == "p2"


def test_a_seat_is_taken_over_from_a_socket_that_is_not_known_to_be_dead(house: House) -> None:
    alice, old = house.join("alice"), house.join("bob")
    secret, bobs_id = house.secret(old), house.id(old)
    house.heard(alice)
    new = house.join("bob", resume=secret, ack=0)
    assert house.closed == {old: CloseCode.TAKEN_OVER}
    assert house.say(old, Bye(house.id(new))) == []
    house.lose(old)
    assert house.heard(alice) == []  # it was never away
    house.say(alice, Message(bobs_id, 1))
    assert house.heard(new)[-1]["data"] == 1


def test_the_secret_changes_with_each_use(house: House) -> None:
    bob = house.join("bob")
    secrets = [house.secret(bob)]
    for _ in range(3):
        house.lose(bob)
        bob = house.join("bob", resume=secrets[-1])
        secrets.append(house.secret(bob))
        house.say(bob, Bye("p99"))  # it has heard its new secret
    assert len(set(secrets)) == 4
    house.lose(bob)
    for old in secrets[:-1]:
        answer = house.say(house.connect(), Join(room="lobby", name="bob", resume=old))
        assert code(answer) == "resume-failed"
    house.join("bob", resume=secrets[-1])


def test_a_secret_that_was_lost_on_the_way_does_not_lock_the_client_out(house: House) -> None:
    bob = house.join("bob")
    secret = house.secret(bob)
    for _ in range(3):
        house.lose(bob)
        bob = house.join("bob", resume=secret)  # again, for it never reads the new one
    newest = house.secret(bob)
    house.lose(bob)
    bob = house.join("bob", resume=newest)
    house.lose(bob)
    house.join("bob", resume=newest)


def test_more_than_can_wait_is_refused_to_the_sender(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    secret, bobs_id = house.secret(bob), house.id(bob)
    house.lose(bob)
    for number in range(MESSAGES_KEPT):
        assert house.say(alice, Message(bobs_id, number)) == []
    answer = house.say(alice, Message(bobs_id, "too much", ref="r"))
    assert code(answer) == "peer-unavailable"
    assert answer[0]["ref"] == "r"
    bob = house.join("bob", resume=secret, ack=0)
    assert [m["data"] for m in house.heard(bob)[1:]] == list(range(MESSAGES_KEPT))
    house.say(alice, Message(bobs_id, "again"))
    assert house.heard(bob)[0]["seq"] == MESSAGES_KEPT + 1


def test_what_waits_is_limited_in_bytes_too(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    bobs_id = house.id(bob)
    house.lose(bob)
    large = "x" * 60000
    accepted = sum(house.say(alice, Message(bobs_id, large)) == [] for _ in range(30))
    assert accepted == BYTES_KEPT // (60000 + len(house.id(alice)) + 45)


def test_a_seat_that_misses_too_much_is_given_up(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    secret, bobs_id = house.secret(bob), house.id(bob)
    for number in range(MESSAGES_KEPT + 1):
        house.say(alice, Message(bobs_id, number))
    house.lose(bob)
    house.heard(alice)
    connection = house.connect()
    join = Join(room="lobby", name="bob", resume=secret, ack=0)
    assert code(house.say(connection, join)) == "resume-failed"
    assert house.heard(alice) == [{"type": "peer-left", "id": bobs_id, "reason": "removed"}]
    assert house.say(connection, Join(room="lobby", name="bob"))[0]["type"] == "joined"
    assert house.rooms.away == 0


def test_what_must_have_arrived_is_swept(house: House) -> None:
    alice, bob = house.join("alice"), house.join("bob")
    secret, bobs_id = house.secret(bob), house.id(bob)
    assert house.rooms.deadline == float("inf")
    house.say(alice, Message(bobs_id, "old"))
    assert house.rooms.deadline == UNCONFIRMED_SECONDS
    house.tick(UNCONFIRMED_SECONDS)
    assert house.rooms.deadline == float("inf")
    house.lose(bob)
    connection = house.connect()
    join = Join(room="lobby", name="bob", resume=secret, ack=0)
    assert code(house.say(connection, join)) == "resume-failed"


def test_limits_must_make_sense() -> None:
    for wrong in ({"members": 0}, {"rooms": 0}, {"away_seconds": 0}, {"join_seconds": -1}):
        with pytest.raises(ValueError, match="must be"):
            Limits(**wrong)  # type: ignore[arg-type]


# ---- anything in any order ---------------------------------------------------------------------


class Anything(RuleBasedStateMachine):
    """Clients that do anything in any order; what was sent to each arrives in order, once."""

    NAMES = ("alice", "bob", "carol", "dave")

    def __init__(self) -> None:
        super().__init__()
        self.house = House(members=3, rooms=2)
        self.numbers = itertools.count(1)
        self.connections: dict[str, int] = {}  # of those who joined
        self.known: dict[str, dict[str, Any]] = {}  # their last `joined`
        self.expected: dict[str, list[int]] = {}  # by id
        self.arrived: dict[str, list[int]] = {}
        self.seq: dict[str, int] = {}

    def read(self) -> None:
        for connection, messages in self.house.sent.items():
            owner = next((n for n, c in self.connections.items() if c == connection), None)
            for message in messages:
                if message["type"] == "message" and owner:
                    id = self.known[owner]["id"]
                    self.arrived.setdefault(id, []).append(message["data"])
                    self.seq[id] = message["seq"]
            messages.clear()

    @rule(name=st.sampled_from(NAMES), room=st.sampled_from("ab"), resume=st.booleans())
    def join(self, name: str, room: str, resume: bool) -> None:
        if name in self.connections and not resume:
            return
        self.read()
        connection = self.house.connect()
        before = self.known.get(name) if resume else None
        if before is not None:
            join = Join(
                room=before["room"],
                name=name,
                resume=before["resume"],
                ack=self.seq.get(before["id"], 0),
            )
        else:
            join = Join(room=room, name=name)
        answer = self.house.say(connection, join)
        if answer[0]["type"] == "joined":
            self.known[name] = {**answer[0], "room": join.room}
            self.connections[name] = connection
            if before is not None:
                assert answer[0]["id"] == before["id"]

    @rule(sender=st.sampled_from(NAMES), to=st.sampled_from(NAMES))
    def send(self, sender: str, to: str) -> None:
        if sender not in self.connections or to not in self.known:
            return
        number, id = next(self.numbers), self.known[to]["id"]
        refused = self.house.rooms.refused.total()
        routed = self.house.rooms.routed.total()
        self.house.say(self.connections[sender], Message(id, number))
        if self.house.rooms.routed.total() > routed:
            self.expected.setdefault(id, []).append(number)
        else:
            assert (
                self.house.rooms.refused.total() > refused
                or self.connections[sender] in self.house.closed
                or not self.is_open(sender)
            )

    def is_open(self, name: str) -> bool:
        return self.connections[name] in self.house.rooms._seat_by_connection

    @rule(name=st.sampled_from(NAMES), leave=st.booleans())
    def go(self, name: str, leave: bool) -> None:
        if name in self.connections:
            self.read()
            connection = self.connections.pop(name)
            if leave:
                self.house.say(connection, Leave())
            self.house.lose(connection)

    @precondition(lambda self: self.connections)
    @rule(seconds=st.floats(0, 40))
    def wait(self, seconds: float) -> None:
        self.house.tick(seconds)

    @invariant()
    def each_arrives_in_order_and_once(self) -> None:
        self.read()
        for id, numbers in self.arrived.items():
            assert numbers == self.expected[id][: len(numbers)]

    @invariant()
    def nothing_is_left_over(self) -> None:
        rooms = self.house.rooms
        by_name = rooms._seats.rooms
        seats = [seat for room in by_name.values() for seat in room.seats.values()]
        assert all(room.seats for room in by_name.values())
        assert all(len(room.seats) <= 3 for room in by_name.values())
        assert len(seats) == len(rooms._seat_by_connection) + len(rooms._away)
        assert set(rooms._seats._tokens.values()) == set(seats)
        assert len(rooms._seats._tokens) <= 2 * len(seats)

    def teardown(self) -> None:
        for name in list(self.connections):
            self.go(name, leave=False)
        self.house.tick(100)
        rooms = self.house.rooms
        assert not rooms._seats.rooms and not rooms._seats._tokens
        assert not rooms._away and not rooms._seat_by_connection
        if rooms.deadline < float("inf"):
            self.house.tick(100)
        assert rooms.deadline == float("inf")


Anything.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnything = Anything.TestCase
