"""The receive window: a receiver that does not read stops the sender, and nothing is lost."""

from icefloe.peer.sctp.inbound import Arrival
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
    world.run(5)
    assert b.bytes_arrived > arrived + 1_000_000


def test_a_window_that_is_smaller_than_a_message_lets_it_in() -> None:
    world = World(3)
    a, b = world.pair(Link(delay=0.01), b={"window": 70_000})
    world.connect(a, b)
    world.send(a, bytes(200_000))
    world.send(a, b"after it")
    assert world.run(30, lambda: len(b.messages) == 2)
