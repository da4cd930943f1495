"""Replicas that apply the same log are equal, and go on from a snapshot as from the beginning."""

import os
import random
import subprocess
import sys
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from icefloe.signaling import Limits
from icefloe.signaling.cluster.commands import (
    MAX_COMMAND_BYTES,
    MAX_ENTRY_COMMANDS,
    Command,
    Connected,
    Disconnected,
    Entry,
    InvalidEntry,
    Joining,
    NodeAlive,
    NodeLeft,
    NodeStarted,
    Received,
    decode_body,
    encode_body,
    encode_command,
    global_number,
    joining,
    local_number,
    node_of,
)
from icefloe.signaling.cluster.replica import (
    DEAD_SECONDS,
    MAX_GAP_SECONDS,
    MAX_NODES,
    InvalidSnapshot,
    Replica,
)
from icefloe.signaling.configuration import Admission
from icefloe.signaling.effects import Seated, Send
from icefloe.signaling.messages import Join
from tests.signaling.cluster.made_logs import Maker, new_replica

MINUTE = 60_000


class Log:
    """A log of two nodes by hand."""

    def __init__(self) -> None:
        self.replica = Replica(Limits())
        self.milliseconds = 0
        self.next: Counter[int] = Counter()

    def write(self, node: int, *commands: Command, after: int = 1) -> None:
        """Write an entry so many milliseconds after the one before."""
        self.milliseconds += after
        first = self.next[node] + 1
        self.next[node] += len(commands)
        entry = Entry(self.replica.position + 1, self.milliseconds, node, first, commands)
        self.replica.apply(entry)

    def join(self, node: int, number: int, name: str) -> None:
        join = Join(room="lobby", name=name)
        self.write(
            node, Connected(number, "192.0.2.1"), joining(number, join, Admission(), bytes(32))
        )

    @property
    def away(self) -> int:
        return self.replica.rooms.away


@pytest.fixture
def log() -> Log:
    log = Log()
    log.write(1, NodeStarted(b"a" * 32))
    log.write(2, NodeStarted(b"b" * 32))
    return log


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 120), st.integers(0, 120))
def test_a_replica_from_a_snapshot_goes_on_like_the_one_that_it_was_taken_from(
    seed: int, before: int, after: int
) -> None:
    maker = Maker(random.Random(seed))
    for _ in range(before):
        maker.entry()
    other = new_replica()
    snapshot = maker.replica.take()
    other.put(snapshot)
    assert other.take() == snapshot
    maker.effects.clear()
    effects = []
    for _ in range(after):
        other.apply(maker.entry())
        effects += other.rooms.take_effects()
    assert effects == maker.effects
    assert other.take() == maker.replica.take()
    assert other.rooms.kept_bytes == maker.replica.rooms.kept_bytes
    assert other.rooms.deadline == maker.replica.rooms.deadline


def test_logs_reach_most_of_what_rooms_do() -> None:
    seen: Counter[str] = Counter()
    for seed in range(30):
        maker = Maker(random.Random(seed))
        for _ in range(150):
            maker.entry()
        seen.update(maker.replica.rooms.refused)
        seen.update(f"routed {kind}" for kind in maker.replica.rooms.routed)
        seen.update(type(effect).__name__ for effect in maker.effects)
        text = repr(maker.effects)
        seen.update(w for w in ("peer-back", "peer-left", "rights", "room-locked") if w in text)
    expected = """name-taken room-full room-locked removed resume-failed not-joined already-joined
        peer-unavailable not-allowed token-expired unauthorized Send Close Seated peer-back
        peer-left rights"""
    assert set(expected.split()) <= set(seen), seen


def test_a_snapshot_takes_the_place_of_another_state() -> None:
    makers = [Maker(random.Random(seed)) for seed in (1, 2)]
    for maker in makers:
        for _ in range(100):
            maker.entry()
    snapshot = makers[0].replica.take()
    makers[1].replica.put(snapshot)
    assert makers[1].replica.take() == snapshot
    assert makers[1].replica.rooms.kept_bytes == makers[0].replica.rooms.kept_bytes


def test_replicas_are_equal_whatever_the_order_in_which_their_interpreters_hash() -> None:
    def run(hash_seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        command = [sys.executable, "-m", "tests.signaling.cluster.made_logs", "7", "400"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    first, second = run("1"), run("2")
    assert first == second
    assert len(first) == 64


def test_a_node_that_writes_nothing_is_taken_for_dead(log: Log) -> None:
    log.join(1, 1, "alice")
    log.join(2, 1, "bob")
    for _ in range(3):
        log.write(1, NodeAlive(), after=1000)
    assert (list(log.replica.nodes), log.away) == ([1, 2], 0)
    log.write(1, NodeAlive(), after=1000)
    assert (list(log.replica.nodes), log.away) == ([1], 1)
    # What it writes after all is too late, until it begins anew.
    log.write(2, Connected(9, ""))
    assert log.replica.rooms.connections() == [global_number(1, 1)]


def test_a_gap_in_the_log_kills_nobody_and_ends_no_deadline(log: Log) -> None:
    log.join(1, 1, "alice")
    log.join(2, 1, "bob")
    log.write(1, Disconnected(1))
    log.write(1, NodeAlive(), after=60 * MINUTE)
    assert (list(log.replica.nodes), log.away) == ([1, 2], 1)
    assert log.replica.now < 2 * MAX_GAP_SECONDS + 1
    assert DEAD_SECONDS > MAX_GAP_SECONDS


def test_a_clock_that_is_set_back_stops_the_time_once(log: Log) -> None:
    now = log.replica.now
    log.write(1, NodeAlive(), after=-60 * MINUTE)
    assert log.replica.now == now
    log.write(1, NodeAlive(), after=1000)
    assert log.replica.now == now + 1


def test_a_node_that_leaves_is_gone_at_once(log: Log) -> None:
    log.join(1, 1, "alice")
    log.write(1, NodeLeft(), Connected(2, ""))
    assert (list(log.replica.nodes), log.away) == ([2], 1)
    assert log.replica.rooms.connections() == []


def test_commands_that_are_written_again_are_applied_once(log: Log) -> None:
    log.join(1, 1, "alice")
    log.join(2, 1, "bob")
    bob = next(iter(log.replica.rooms._seats.rooms["lobby"].seats.values()))
    frame = b'{"type":"message","to":"%s","data":1}' % bob.id.encode()
    log.write(2, Received(1, frame))
    log.next[2] -= 1
    log.write(2, Received(1, frame), NodeAlive())
    assert log.replica.rooms.routed == {"message": 1}
    assert log.replica.nodes[2].applied == 5


def test_a_node_of_which_commands_are_missing_is_to_begin_anew(log: Log) -> None:
    log.join(2, 1, "bob")
    log.next[2] += 1
    log.write(2, NodeAlive())
    assert (list(log.replica.nodes), log.away) == ([1], 1)


def test_a_connection_is_the_one_of_its_node(log: Log) -> None:
    log.join(1, 1, "alice")
    log.join(2, 1, "bob")
    effects = log.replica.rooms.take_effects()
    assert [e.connection for e in effects if isinstance(e, Seated)] == [
        global_number(1, 1),
        global_number(2, 1),
    ]
    assert {(node_of(e.connection), local_number(e.connection)) for e in effects} == {
        (1, 1),
        (2, 1),
    }
    # Alice is told of bob, who is on the other node.
    assert [type(e) for e in effects if node_of(e.connection) == 1] == [Seated, Send, Send]


def test_the_ids_of_seats_come_from_the_seed(log: Log) -> None:
    secrets = set()
    for seed in (b"1" * 32, b"2" * 32):
        replica = new_replica()
        commands: tuple[Command, ...] = (
            NodeStarted(seed),
            Connected(1, ""),
            joining(1, JOIN, Admission(), bytes(32)),
        )
        for first, command in enumerate(commands, 1):
            replica.apply(Entry(first, first, 5, first, (command,)))
        [seat] = replica.rooms._seats.rooms["lobby"].seats.values()
        assert (len(seat.id), len(seat.token)) == (12, 32)
        secrets |= {seat.id, seat.token}
    assert len(secrets) == 4


JOIN = Join(room="lobby", name="alice", token="a.secret.token")


def test_a_token_is_not_written_to_the_log() -> None:
    command = joining(1, JOIN, Admission(), bytes(32))
    assert b"secret" not in encode_command(command)
    assert "lobby" not in repr(command)


def test_there_are_only_so_many_nodes(log: Log) -> None:
    for node in range(10, 10 + MAX_NODES):
        log.write(node, NodeStarted(bytes(32)))
    assert len(log.replica.nodes) == MAX_NODES


def test_a_command_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidEntry, match="bytes"):
        encode_command(Received(1, b"x" * MAX_COMMAND_BYTES))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x91" * 5000,
        msgspec.msgpack.encode([[99]]),
        msgspec.msgpack.encode([[3, "one", ""]]),
        encode_body([encode_command(NodeAlive())] * (MAX_ENTRY_COMMANDS + 1)),
        b"\x00" * (3 * 1024 * 1024),
    ],
)
def test_what_is_no_entry_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEntry):
        decode_body(body)


def test_a_frame_that_no_node_would_write_does_nothing(log: Log) -> None:
    log.join(1, 1, "alice")
    log.replica.rooms.take_effects()
    log.write(1, Received(1, b"{}"), Joining(1, b"[", None, None, b""))
    assert log.replica.rooms.take_effects() == []


@pytest.mark.parametrize("snapshot", [b"", b"\x93\x01", msgspec.msgpack.encode([2] * 7)])
def test_what_is_no_snapshot_is_refused_and_changes_nothing(log: Log, snapshot: bytes) -> None:
    before = log.replica.take()
    with pytest.raises(InvalidSnapshot):
        log.replica.put(snapshot)
    assert log.replica.take() == before


def test_a_snapshot_of_another_version_is_refused(log: Log) -> None:
    state = msgspec.msgpack.decode(log.replica.take())
    state[0] += 1
    with pytest.raises(InvalidSnapshot, match="version"):
        log.replica.put(msgspec.msgpack.encode(state))
