"""Bytes that may be in flight."""

from icefloe.peer.rtp.congestion.congestion_window import CongestionWindow


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
