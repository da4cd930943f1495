"""The simulation itself: what a link carries, and that TCP behaves like TCP."""

import pytest

from tests.peer.rtp.congestion.link import Link, Tcp, Video, World


def test_a_link_transmits_at_its_rate() -> None:
    link = Link(1e6, queue=10.0, delay=0.05)
    arrivals = [link.send(0.0, 1250) for _ in range(10)]
    assert arrivals[0] == pytest.approx(0.06)
    assert arrivals[-1] == pytest.approx(0.15)


def test_its_rate_may_change_while_packets_wait() -> None:
    link = Link([(0.0, 1e6), (0.05, 0.5e6)], queue=10.0, delay=0.0)
    arrivals = [link.send(0.0, 1250) for _ in range(10)]
    assert arrivals[4] == pytest.approx(0.05)
    assert arrivals[5] == pytest.approx(0.07)


def test_a_full_queue_drops() -> None:
    link = Link(1e6, queue=0.1)
    arrivals = [link.send(0.0, 1250) for _ in range(30)]
    assert arrivals.count(None) == 19
    assert link.drops == 19


def test_jitter_does_not_reorder() -> None:
    link = Link(10e6, jitter=0.1)
    arrivals = [link.send(n * 0.01, 1250) for n in range(500)]
    assert arrivals == sorted(arrivals, key=lambda at: at or 0.0)


def test_frames_have_the_target_on_average() -> None:
    video = Video(1)
    sizes = [video.frame(n / 30, 1e6) for n in range(3000)]
    assert sum(sizes) * 8 / 100 == pytest.approx(1e6, rel=0.03)
    assert max(sizes) > 4 * sum(sizes) / len(sizes)


def test_tcp_fills_the_link_and_its_queue() -> None:
    world, link = World(), Link(2e6)
    tcp = Tcp(world, link, Link(10e6))
    world.run(40)
    assert tcp.rate(5, 40) > 0.95 * 2e6
    assert link.percentile(0.5, 10, 40) > 0.1
    assert 0 < link.drops < 500


def test_two_tcp_flows_share() -> None:
    world, link = World(), Link(2e6)
    tcps = [Tcp(world, link, Link(10e6), start=5.0 * n) for n in range(2)]
    world.run(100)
    rates = [tcp.rate(40, 100) for tcp in tcps]
    assert sum(rates) > 0.95 * 2e6
    assert min(rates) > 0.6 * max(rates)
