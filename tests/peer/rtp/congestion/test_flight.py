"""Packets in flight, and how many may be."""

from icefloe.peer.rtp.congestion.congestion_window import CongestionWindow
from icefloe.peer.rtp.congestion.in_flight import MAX_LOST, MAX_PACKETS, InFlight
from icefloe.peer.rtp.congestion.packets import SentPacket


def packet(number: int, sent_at: float | None = None) -> SentPacket:
    return SentPacket(number, number * 0.01 if sent_at is None else sent_at, 1000, None)


def test_a_result_takes_a_packet_out_once() -> None:
    flight = InFlight()
    for number in range(3):
        flight.add(packet(number))
    assert flight.bytes == 3000
    assert flight.received(1) == (packet(1), False)
    assert flight.received(1) == (None, True)
    assert flight.lost(1) is None
    assert flight.lost(2) == packet(2)
    assert flight.lost(2) is None
    assert flight.lost(77) is None
    assert flight.bytes == 1000
    assert flight.oldest == packet(0)


def test_a_lost_packet_may_come_late() -> None:
    flight = InFlight()
    flight.add(packet(1))
    flight.lost(1)
    assert flight.received(1) == (packet(1), True)
    assert flight.received(1) == (None, True)
    assert flight.bytes == 0


def test_a_number_that_was_used_is_ignored() -> None:
    flight = InFlight()
    flight.add(packet(5))
    flight.add(packet(5))
    flight.add(packet(4))
    assert flight.bytes == 1000


def test_packets_whose_feedback_was_lost_are_forgotten() -> None:
    flight = InFlight()
    for number in range(200):
        flight.add(packet(number))
    assert flight.skip(100) == [packet(number) for number in range(100)]
    assert flight.skip(50) == []
    assert flight.skip(10**6) == []
    assert flight.oldest == packet(100)
    assert flight.bytes == 100 * 1000
    assert len(flight) == 100


def test_there_is_an_end_to_what_is_remembered() -> None:
    flight = InFlight()
    for number in range(MAX_PACKETS + 50):
        flight.add(packet(number))
    assert len(flight) == MAX_PACKETS
    assert flight.bytes == 1000 * MAX_PACKETS
    for number in range(MAX_PACKETS + 50):
        flight.lost(number)
    assert len(flight._lost) == MAX_LOST


def test_the_window_holds_a_round_trip_and_a_short_queue() -> None:
    window = CongestionWindow()
    for n in range(50):
        window.add(0.2, 0.1, n * 0.05)
    carried = 1e6 * 0.15 / 8
    assert carried < window.size(1e6) < 2.5 * carried
    assert window.factor(40_000, 40_000) == 1.0
    assert window.factor(40_000, 50_000) == 0.8
    assert window.factor(40_000, 10**9) == 0.5
    assert window.size(1e6, 0.3) > window.size(1e6) + 30_000


def test_the_window_never_stops_everything() -> None:
    window = CongestionWindow()
    window.add(0.0, 5.0, 0.0)
    assert window.size(30e3) >= 5_000
    window.add(1e9, 0.0, 1.0)
    assert window.size(1e6) < 1e6
