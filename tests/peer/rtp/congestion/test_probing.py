"""Probe clusters: when they are sent, at which rate, and what they find."""

import pytest

from icefloe.peer.rtp.congestion.packets import ProbeCluster, SentPacket
from icefloe.peer.rtp.congestion.probe_results import MAX_CLUSTERS, ProbeResult, ProbeResults
from icefloe.peer.rtp.congestion.probes import ProbeController

LONG_AGO = float("-inf")


def begun(demand: float = 2.5e6) -> tuple[ProbeController, ProbeCluster]:
    probes = ProbeController(0.0, 300e3, 20e6)
    probes.set_demand(demand, 300e3, 0.0)
    probes.update(300e3, 0.0, LONG_AGO, is_clear=True)
    (cluster,) = probes.take()
    return probes, cluster


def test_it_begins_at_three_times_the_first_rate() -> None:
    probes, cluster = begun()
    assert cluster.bitrate == 900e3
    assert cluster.min_packets == 5
    assert probes.take() == []
    probes.update(300e3, 0.1, LONG_AGO, is_clear=True)
    assert probes.take() == [], "one at a time"


def test_a_confirmed_rate_is_followed_by_twice_that_up_to_the_demand() -> None:
    probes, cluster = begun()
    rates = []
    rate = 300e3
    while cluster is not None:
        rates.append(cluster.bitrate)
        rate = cluster.bitrate
        probes.finished(cluster.id, rate, rate, 0.2)
        cluster = next(iter(probes.take()), None)  # type: ignore[assignment]
    assert rates == [pytest.approx(each) for each in (0.9e6, 1.8e6, 2.75e6)]
    assert probes.deadline(rate) is None


def test_no_probe_goes_far_beyond_the_demand() -> None:
    _, cluster = begun(demand=500e3)
    assert cluster.bitrate == pytest.approx(550e3)


def test_there_is_none_where_the_estimate_limits_nobody() -> None:
    probes = ProbeController(0.0, 300e3, 20e6)
    probes.set_demand(40e3, 300e3, 0.0)
    for n in range(100):
        probes.update(300e3, n * 1.0, LONG_AGO, is_clear=True)
    assert probes.take() == []
    probes.set_demand(2.5e6, 300e3, 100.0)
    assert probes.deadline(300e3) == pytest.approx(0.0, abs=100.0)
    probes.update(300e3, 100.0, LONG_AGO, is_clear=True)
    assert [cluster.bitrate for cluster in probes.take()] == [900e3]


def test_a_failed_one_is_tried_again_later_at_a_lower_rate() -> None:
    probes, cluster = begun()
    probes.finished(cluster.id, None, 800e3, 0.2)
    due = probes.deadline(800e3)
    assert due is not None
    assert 2.0 <= due <= 2.7
    probes.update(800e3, due, LONG_AGO, is_clear=True)
    (again,) = probes.take()
    assert again.bitrate == pytest.approx(1.2e6)


def test_congestion_puts_it_off() -> None:
    probes, cluster = begun()
    probes.finished(cluster.id, None, 800e3, 0.2)
    probes.update(800e3, 5.0, LONG_AGO, is_clear=False)
    probes.update(800e3, 5.5, 5.2, is_clear=True)
    assert probes.take() == []
    due = probes.deadline(800e3)
    assert due is not None
    assert due > 5.5, "a deadline never stays in the past"
    probes.update(800e3, 6.3, 5.2, is_clear=True)
    assert len(probes.take()) == 1


def test_a_sharp_decrease_is_probed_once() -> None:
    probes, cluster = begun()
    probes.finished(cluster.id, None, 2e6, 0.2)
    probes.fell(2e6, 1.0)
    probes.update(500e3, 2.1, 1.0, is_clear=True)
    (recovery,) = probes.take()
    assert recovery.bitrate == pytest.approx(1.7e6)
    probes.finished(recovery.id, None, 500e3, 2.3)
    due = probes.deadline(500e3)
    assert due is not None
    probes.update(500e3, due, 1.0, is_clear=True)
    assert probes.take()[0].bitrate == pytest.approx(750e3)


def test_a_narrow_link_is_probed_less_often() -> None:
    probes, cluster = begun()
    probes.finished(cluster.id, None, 50e3, 0.2)
    probes.update(50e3, 10.0, LONG_AGO, is_clear=True)
    probes.take()
    open_ = probes.timed_out(20.0)
    assert open_ is not None
    probes.finished(open_, None, 50e3, 11.0)
    assert probes.timed_out(20.0) is None


def result(
    cluster: ProbeCluster,
    capacity: float,
    *,
    size: int = 1250,
    count: int = 5,
    lost: tuple[int, ...] = (),
    rush: float = 1.0,
) -> ProbeResult | None:
    results = ProbeResults()
    results.begin(cluster)
    sent, arrived = 1.0, 500.0
    packets = []
    for number in range(count):
        packet = SentPacket(number, sent, size, cluster.id)
        results.sent(packet)
        arrived = max(arrived, sent + 499.0) + size * 8 / capacity
        packets.append((packet, None if number in lost else 500 + (arrived - 500) / rush))
        sent += size * 8 / cluster.bitrate
    for packet, received_at in packets:
        results.add(packet, received_at)
    taken = results.take()
    if not taken:
        return results.give_up(cluster.id)
    assert taken[0][0] == cluster.id
    return taken[0][1]


CLUSTER = ProbeCluster(7, 2e6, 5, 6000, 0.024)


def test_a_fast_link_confirms_the_rate() -> None:
    found = result(CLUSTER, 10e6)
    assert found is not None
    assert found.bitrate == pytest.approx(2e6)
    assert not found.is_saturated


def test_a_slow_link_shows_its_capacity() -> None:
    found = result(CLUSTER, 1e6)
    assert found is not None
    assert found.bitrate == pytest.approx(0.95e6, rel=0.01)
    assert found.is_saturated


def test_one_loss_is_forgiven_and_more_are_not() -> None:
    assert result(CLUSTER, 10e6, size=1600, lost=(2,)) is not None
    assert result(CLUSTER, 10e6, size=1600, lost=(1, 2)) is None


def test_arrivals_at_once_show_nothing() -> None:
    assert result(CLUSTER, 10e6, rush=10.0) is None
    assert result(CLUSTER, 10e6, rush=1e9) is None


def test_a_cluster_without_enough_packets_shows_nothing() -> None:
    assert result(CLUSTER, 10e6, count=2) is None


def test_clusters_without_a_result_are_forgotten() -> None:
    results = ProbeResults()
    for number in range(100):
        results.begin(ProbeCluster(number, 1e6, 5, 6000, 0.02))
    assert len(results._clusters) == MAX_CLUSTERS
