"""The engine in virtual time: a path that falls silent, comes back, or is replaced by another."""

import pytest

from icefloe.peer.ice.checks.checklist import MAX_PAIRS
from icefloe.peer.ice.checks.liveness import (
    ACTIVE_PROBE_INTERVAL,
    BACKUP_PROBE_INTERVAL,
    CONSENT_TIMEOUT,
    SILENT_PROBE_INTERVAL,
    SilenceLimits,
)
from icefloe.peer.ice.checks.state import IceState
from tests.helpers.network import Network, Socket
from tests.helpers.side import Side, agree, call, home_call, port_restricted, settled

LIMITS = SilenceLimits()
CONNECTED, LOST, FAILED = IceState.COMPLETED, IceState.DISCONNECTED, IceState.FAILED


def everything(source: Socket, target: Socket) -> bool:
    return True


def nothing(source: Socket, target: Socket) -> bool:
    return False


def between_public() -> tuple[Network, Side, Side]:
    """Make a call that has been going on for a while."""
    network = Network()
    left, right = call(network)
    network.run(30.0)
    assert left.is_connected
    assert right.is_connected
    return network, left, right


def talk(network: Network, one: Side, other: Side, every: float = 0.02) -> None:
    """Have both sides send media without a pause."""

    def send(source: Side, target: Side) -> None:
        pair = source.checks.path(network.now)
        receiver = target.sockets[0]
        if pair is not None and not network.conditions.is_cut(source.sockets[0], receiver):
            public = network.public(source.sockets[0], pair.remote.address)
            assert public is not None
            target.checks.receive_data(receiver, public, 1200, network.now)
        network.at(every, lambda: send(source, target))

    send(one, other)
    send(other, one)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_silence_is_noticed_within_the_limit_and_fails_later(busy: bool) -> None:
    network, left, right = between_public()
    if busy:
        talk(network, left, right)
    network.run(5.0)
    cut_at = network.now
    network.conditions.is_cut = everything
    network.run(60.0)
    for side in (left, right):
        assert side.states(after=cut_at) == [LOST, FAILED]
        noticed = side.when(LOST, after=cut_at) - cut_at
        # What was under way when the path was cut does not arrive any more.
        assert (
            LIMITS.disconnected - SILENT_PROBE_INTERVAL - 0.1
            <= noticed
            <= LIMITS.disconnected + 0.05
        )
        failed = side.when(FAILED, after=cut_at) - cut_at
        assert failed == pytest.approx(noticed + LIMITS.failed, abs=0.01)


@pytest.mark.parametrize("seconds", [5.0, 20.0, 40.0, 600.0])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_path_comes_back_as_soon_as_it_works(seconds: float, busy: bool) -> None:
    network, left, right = between_public()
    if busy:
        talk(network, left, right)
    cut_at = network.now
    network.conditions.is_cut = everything
    network.run(seconds)
    back_at = network.now
    network.conditions.is_cut = nothing
    assert network.run(2.0, lambda: left.is_connected and right.is_connected)
    assert network.now - back_at <= 1.0 + 4 * network.conditions.delay
    network.run(60.0)
    expected = [LOST, FAILED, CONNECTED] if seconds > 30 else [LOST, CONNECTED]
    for side in (left, right):
        assert side.states(after=cut_at) == expected
    assert agree(left, right)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
def test_a_path_that_works_one_way_is_disconnected_on_both_sides(busy: bool) -> None:
    network, left, right = between_public()
    if busy:
        talk(network, left, right)
    cut_at = network.now
    network.conditions.is_cut = lambda source, target: source.owner == "left"
    network.run(20.0)
    assert left.states(after=cut_at) == right.states(after=cut_at) == [LOST]
    # The right side hears nothing; the left one hears, and is not answered.
    assert right.when(LOST, after=cut_at) - cut_at <= LIMITS.disconnected + 0.1
    assert (
        left.when(LOST, after=cut_at) - cut_at
        <= ACTIVE_PROBE_INTERVAL + 5 * SILENT_PROBE_INTERVAL + 3.0
    )
    network.conditions.is_cut = nothing
    assert network.run(2.0, lambda: left.is_connected and right.is_connected)


@pytest.mark.parametrize("seconds", [0.5, 1.4, 2.0, 10.0, 29.0])
def test_a_process_that_was_stopped_does_not_blame_the_path(seconds: float) -> None:
    network, left, _ = between_public()
    slept_at = network.now
    left.sleep(seconds)
    network.run(seconds + 30.0)
    assert left.states(after=slept_at) == []
    assert left.is_connected


@pytest.mark.parametrize("seconds", [2.0, 10.0])
def test_the_other_side_notices_a_process_that_was_stopped(seconds: float) -> None:
    network, left, right = between_public()
    slept_at = network.now
    left.sleep(seconds)
    network.run(seconds + 30.0)
    assert right.states(after=slept_at) == [LOST, CONNECTED]


def test_a_backup_pair_takes_over_without_a_word() -> None:
    network = Network()
    left, right = home_call(network, turn=True)
    network.run(30.0)
    cut_at = network.now
    network.conditions.is_cut = lambda source, target: not (source.relayed or target.relayed)
    network.run(30.0)
    for side in (left, right):
        assert side.states(after=cut_at)[-1:] in ([], [CONNECTED])
        assert LOST not in side.states(after=cut_at)
        assert settled(side).is_relayed
        moved = next(m.at for m in side.history if m.at > cut_at and m.selected)
        assert moved - cut_at <= LIMITS.disconnected + 0.1
    assert agree(left, right)


def test_a_backup_that_was_given_up_is_tried_again_when_it_is_needed() -> None:
    network = Network()
    left, right = home_call(network, turn=True)
    network.run(30.0)
    network.conditions.is_cut = through_a_relay
    network.run(2 * CONSENT_TIMEOUT + BACKUP_PROBE_INTERVAL)
    for side in (left, right):
        assert not any(pair.is_relayed for pair in side.checks.list.valid)
    network.conditions.is_cut = lambda source, target: not through_a_relay(source, target)
    assert network.run(10.0, lambda: not left.is_connected)
    assert network.run(10.0, lambda: left.is_connected and right.is_connected)
    network.run(30.0)
    for side in (left, right):
        assert settled(side).is_relayed
    assert agree(left, right)


def through_a_relay(source: Socket, target: Socket) -> bool:
    return source.relayed or target.relayed


def test_a_nat_that_maps_anew_all_the_time_wears_nothing_out() -> None:
    network = Network()
    nat = port_restricted("203.0.113.10")
    left, right = call(network, nat)
    network.run(30.0)
    usual = per_minute(network, right)
    for _ in range(MAX_PAIRS + 20):
        nat.forget()
        assert network.run(3.0, lambda: agree(left, right))
        network.run(40.0)
        assert left.is_connected
        assert right.is_connected
    assert LOST not in left.states() + right.states()
    assert per_minute(network, right) <= usual + 60 / ACTIVE_PROBE_INTERVAL
    assert len(right.checks.list) <= MAX_PAIRS
    assert len(right.checks.list.remotes) <= MAX_PAIRS + len(left.candidates)


def test_nothing_is_sent_without_consent() -> None:
    # RFC 7675 section 5.1
    network, left, right = between_public()
    network.conditions.is_cut = lambda source, target: source.owner == "right"
    pair = settled(left)
    answered_at = pair.answered_at
    assert network.run(60.0, lambda: left.checks.path(network.now) is None)
    assert pair.answered_at - answered_at <= ACTIVE_PROBE_INTERVAL
    assert network.now - pair.answered_at == pytest.approx(CONSENT_TIMEOUT, abs=1.0)
    network.conditions.is_cut = nothing
    network.run(5.0)
    assert left.checks.path(network.now) is pair
    assert right.checks.path(network.now) is not None


def test_what_is_heard_gives_no_consent() -> None:
    network, left, right = between_public()
    talk(network, left, right)
    network.conditions.is_cut = lambda source, target: source.owner == "left"
    network.run(CONSENT_TIMEOUT + 1.0)
    assert left.checks.path(network.now) is None


def per_minute(network: Network, side: Side, *, relayed: bool = False) -> int:
    """Count the requests that a side sends over some of its pairs in a minute."""
    before = len(network.sent)
    network.run(60.0)
    return sum(
        socket.owner == side.name and (socket.relayed or target[0] == "203.0.113.2") is relayed
        for _, socket, target in network.sent[before:]
    )


def test_a_busy_path_is_probed_every_two_and_a_half_seconds() -> None:
    network, left, right = between_public()
    talk(network, left, right)
    network.run(5.0)
    assert per_minute(network, left) in range(23, 25)
    assert per_minute(network, right) in range(23, 25)


def test_an_idle_path_is_probed_twice_a_second_at_most() -> None:
    network, left, right = between_public()
    network.run(5.0)
    probes = [per_minute(network, side) for side in (left, right)]
    assert max(probes) <= 60 / SILENT_PROBE_INTERVAL
    assert min(probes) >= 60 / ACTIVE_PROBE_INTERVAL - 1
    # Silence is what begins after an answer, a round trip after the probe.
    assert sum(probes) >= 60 / (SILENT_PROBE_INTERVAL + 2 * network.conditions.delay) - 1


def test_a_backup_pair_is_probed_every_ten_seconds() -> None:
    network = Network()
    left, right = home_call(network, turn=True)
    network.run(60.0)
    backups = sum(pair.is_relayed for pair in left.checks.list.valid)
    assert backups > 0
    for side in (left, right):
        sent = per_minute(network, side, relayed=True)
        assert sent == pytest.approx(backups * 60 / BACKUP_PROBE_INTERVAL, abs=backups)


def test_a_path_that_failed_is_probed_once_a_second() -> None:
    network, left, _ = between_public()
    network.conditions.is_cut = everything
    network.run(60.0)
    assert per_minute(network, left) in range(59, 62)


def test_suspicion_is_settled_in_one_round_trip() -> None:
    network, left, _ = between_public()
    before = len(network.sent)
    left.checks.probe_path(network.now)
    left.flush()
    assert len(network.sent) == before + 1
    network.run(2 * network.conditions.delay + 0.001)
    assert settled(left).answered_at == pytest.approx(network.now, abs=0.01)
