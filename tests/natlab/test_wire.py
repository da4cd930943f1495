"""Delay, loss and order of a wire's packets, without a wire."""

from tests.natlab.spec import Wire
from tests.natlab.wire import Direction

PACKETS = [bytes([number]) * 100 for number in range(200)]


def send(direction: Direction, every: float = 0.001, start: float = 0.0) -> None:
    for number, packet in enumerate(PACKETS):
        direction.put(packet, start + number * every)


def test_without_anything_packets_arrive_at_once_and_in_order() -> None:
    direction = Direction(Wire(), "up")
    assert direction.due == float("inf")
    send(direction, every=0)
    assert direction.due == 0
    assert direction.arrived(0) == PACKETS
    assert direction.arrived(9) == []


def test_a_delay_is_kept_to() -> None:
    direction = Direction(Wire(delay=0.05), "up")
    send(direction, every=0)
    assert direction.due == 0.05
    assert direction.arrived(0.0499) == []
    assert direction.arrived(0.05) == PACKETS


def test_jitter_reorders_but_loses_nothing() -> None:
    direction = Direction(Wire(delay=0.05, jitter=0.02), "up")
    send(direction)
    arrived = direction.arrived(1)
    assert arrived != PACKETS
    assert sorted(arrived) == PACKETS


def test_the_same_seed_loses_the_same_packets_and_another_others() -> None:
    def lost(seed: int, name: str = "up") -> list[bytes]:
        direction = Direction(Wire(loss=0.2, seed=seed), name)
        send(direction)
        return sorted(set(PACKETS) - set(direction.arrived(1)))

    assert lost(1) == lost(1)
    assert 20 < len(lost(1)) < 60
    assert lost(1) != lost(2)
    assert lost(1) != lost(1, "down")


def test_a_rate_spreads_packets_and_drops_what_would_wait_too_long() -> None:
    # 100 bytes at 8 kbit/s take 0.1 s each; with 0.35 s of queue a burst brings four through.
    direction = Direction(Wire(rate=8000, queue=0.35), "up")
    send(direction, every=0)
    assert [len(direction.arrived(at)) for at in (0.09, 0.11, 0.21, 0.31, 0.41, 9)] == [
        *(0, 1, 1, 1, 1),
        0,
    ]


def test_a_change_holds_for_what_comes_after_it() -> None:
    direction = Direction(Wire(delay=1), "up")
    direction.put(b"slow", 0)
    direction.change(Wire())
    direction.put(b"fast", 0)
    assert direction.arrived(0) == [b"fast"]
    assert direction.arrived(1) == [b"slow"]
