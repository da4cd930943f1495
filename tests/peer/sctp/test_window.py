"""The receive window: a receiver that does not read stops the sender, and nothing is lost."""

import itertools

from icefloe.peer.sctp.inbound import Arrival
from icefloe.peer.sctp.packet import Kind, chunks
from icefloe.peer.sctp.states import WINDOW
from tests.helpers.sctp import Link, Side, World, bulk


def holding(side: Side) -> list[int]:
    """Have a side keep what arrives unread; returns the sizes."""
    held: list[int] = []

    def hold(arrival: Arrival) -> None:
        held.append(len(arrival.data))
        side.association.hold(len(arrival.data))

    side.on_message = hold
    return held


def test_a_receiver_that_does_not_read_stops_the_sender() -> None:
    world = World(1)
    a, b = world.pair(Link(delay=0.01))
    b.keep = False
    held = holding(b)
    world.connect(a, b)
    bulk(world, a, size=10_000)
    world.run(20)
    assert WINDOW - 20_000 <= sum(held) <= WINDOW
    before = a.packets_sent
    world.run(20)
    assert a.packets_sent - before < 50  # it asks for room now and then
    arrived = b.bytes_arrived
    # It reads: everything goes on, at once.
    b.association.hold(-sum(held))
    b.on_message = None
    world.touch(b)
    world.run(0.5)
    assert b.bytes_arrived > arrived + 1_000_000


def test_room_that_was_told_in_a_lost_sack_is_found_all_the_same() -> None:
    world = World(2)
    back = Link(delay=0.01)
    a, b = world.pair(Link(delay=0.01), back)
    b.keep = False
    held = holding(b)
    world.connect(a, b)
    bulk(world, a, size=10_000)
    world.run(20)
    back.is_cut = True
    b.association.hold(-sum(held))
    b.on_message = None
    world.touch(b)
    world.run(0.05)
    back.is_cut = False
    arrived = b.bytes_arrived
    assert world.run(5, lambda: b.bytes_arrived > arrived + 1_000_000)


def test_a_side_without_room_is_asked_by_one_chunk_ever_less_often() -> None:
    world = World(4)
    a, b = world.pair(Link(delay=0.01), b={"window": 100_000})
    held = holding(b)
    world.connect(a, b)
    for number in range(40):
        world.send(a, bytes([number]) * 5000)
    asked: list[tuple[float, bytes]] = []

    def note(packet: bytes) -> None:
        asked.extend((world.now, body) for kind, _, body in chunks(packet) if kind == Kind.I_DATA)

    a.on_packet = note
    world.run(5)
    sender = a.association.sender
    assert sender is not None and b.association.window < 1400
    world.run(30)
    # RFC 9260 section 6.1 A: one chunk, however often.
    late = [body[:4] for at, body in asked if at > world.now - 30]
    assert len(late) > 10 and set(late) == {asked[-1][1][:4]}
    asked = [(at, body) for at, body in asked if body[:4] == late[-1]]
    assert sender.recovery.flight == len(asked[0][1]) - 16
    waits = [later[0] - earlier[0] for earlier, later in itertools.pairwise(asked)]
    assert all(later > earlier - 1e-6 for earlier, later in itertools.pairwise(waits))
    assert waits[0] < 1.0 < waits[-1] < 2
    assert a.association.deadline <= world.now + waits[-1]
    # There is room, and the SACK that says so is lost.
    sack: list[bytes] = []
    b.on_packet = sack.append
    link, _ = world.ways[b.name]
    link.is_cut = True
    b.association.hold(-sum(held))
    b.on_message = None
    world.touch(b)
    world.run(0)
    assert len(sack) == 1
    link.is_cut = False
    assert world.run(waits[-1] + 1, lambda: len(b.messages) == 40)
    assert sender.is_done or world.run(1, lambda: sender.is_done)
    assert [m.data[0] for m in b.messages] == list(range(40))


def test_room_is_told_of_at_once_also_where_there_is_little() -> None:
    world = World(5)
    a, b = world.pair(Link(delay=0.01), b={"window": 40_000})
    held = holding(b)
    world.connect(a, b)
    for _ in range(20):
        world.send(a, bytes(5000))
    world.run(30)
    arrived = len(b.messages)
    b.association.hold(-5000)  # too little to tell
    held.pop()
    told: list[bytes] = []
    b.on_packet = told.append
    world.touch(b)
    world.run(0)
    assert told == []
    b.association.hold(-sum(held))
    b.on_message = None
    world.touch(b)
    world.run(0)
    assert len(told) == 1
    assert world.run(0.5, lambda: len(b.messages) > arrived + 3)


def test_a_window_that_is_smaller_than_a_message_lets_it_in() -> None:
    world = World(3)
    a, b = world.pair(Link(delay=0.01), b={"window": 70_000})
    world.connect(a, b)
    world.send(a, bytes(200_000))
    world.send(a, b"after it")
    assert world.run(30, lambda: len(b.messages) == 2)
