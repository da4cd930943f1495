"""The engine in virtual time: a path that falls silent, comes back, or is replaced by another."""

from itertools import pairwise
from typing import cast

import pytest

from icefloe.peer.ice.checks.checklist import MAX_PAIRS
from icefloe.peer.ice.checks.liveness import (
    ACTIVE_PROBE_INTERVAL,
    BACKUP_PROBE_INTERVAL,
    CONSENT_TIMEOUT,
    SILENT_PROBE_INTERVAL,
    SilenceLimits,
)
from icefloe.peer.ice.checks.state import IceState, Settings
from icefloe.peer.ice.configuration import CONSENT_INTERVAL
from tests.helpers.network import Network, Socket
from tests.helpers.side import Side, agree, call, home_call, port_restricted, settled

LIMITS = SilenceLimits()
LONGEST_PERIOD = 1.2 * CONSENT_INTERVAL
"""Seconds between two checks of an idle path at most."""
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


def talk(
    network: Network, one: Side, other: Side, every: float = 0.02, *, both: bool = True
) -> None:
    """Have both sides send media without a pause, or only the first."""

    def send(source: Side, target: Side) -> None:
        pair = source.checks.path(network.now)
        socket, receiver = _ends(source, target)
        if pair is not None:
            source.checks.note_sent(pair, 1, 1200, network.now)
            if not network.conditions.is_cut(socket, receiver):
                public = network.public(socket, pair.remote.address)
                assert public is not None
                target.checks.receive_data(receiver, public, 1200, network.now)
        network.at(every, lambda: send(source, target))

    send(one, other)
    if both:
        send(other, one)


def _ends(source: Side, target: Side) -> tuple[Socket, Socket]:
    """Return the sockets between which data of one side goes to the other."""
    pair = source.checks.selected
    socket = source.sockets[0] if pair is None else cast("Socket", pair.local.base)
    back = target.checks.selected
    return socket, target.sockets[0] if back is None else cast("Socket", back.local.base)


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
        latest = LIMITS.disconnected + 0.05 if busy else LONGEST_PERIOD + LIMITS.disconnected
        assert LIMITS.disconnected - SILENT_PROBE_INTERVAL - 0.1 <= noticed <= latest
        failed = side.when(FAILED, after=cut_at) - cut_at
        assert failed == pytest.approx(noticed + LIMITS.failed, abs=0.01)


def test_an_idle_path_is_lost_as_soon_as_one_in_use_if_it_is_checked_as_often() -> None:
    network = Network()
    settings = Settings(limits=SilenceLimits(consent=SILENT_PROBE_INTERVAL))
    left, right = call(network, settings=settings)
    network.run(35.0)
    cut_at = network.now
    network.conditions.is_cut = everything
    network.run(3.0)
    for side in (left, right):
        assert side.when(LOST, after=cut_at) - cut_at <= LIMITS.disconnected + 0.6


def test_what_is_sent_over_an_idle_path_tells_soon_that_it_is_lost() -> None:
    network, left, right = between_public()
    network.run(20.0)
    cut_at = network.now
    network.conditions.is_cut = everything
    left.checks.note_sent(settled(left), 1, 100, network.now)
    assert network.run(3.0, lambda: not left.is_connected)
    assert network.now - cut_at <= LIMITS.disconnected + 0.05
    assert network.run(LONGEST_PERIOD + 2.0, lambda: not right.is_connected)


def test_an_answer_to_what_is_sent_over_an_idle_path_ends_the_suspicion() -> None:
    network, left, right = between_public()
    network.run(20.0)
    for _ in range(30):
        left.checks.note_sent(settled(left), 1, 100, network.now)
        socket, receiver = _ends(right, left)
        network.run(0.2)
        left.checks.receive_data(receiver, socket.address, 100, network.now)
        network.run(0.9)
    assert LOST not in left.states() + right.states()
    assert per_minute(network, left) <= 60 / (0.8 * CONSENT_INTERVAL)


@pytest.mark.parametrize("delay", [0.3, 0.8, 1.5])
def test_a_long_way_is_not_taken_for_silence(delay: float) -> None:
    network, left, right = between_public()
    network.conditions.delay = delay
    # The first answer that comes so late is the one that tells of the delay.
    network.run(30.0)
    begun = network.now
    network.run(300.0)
    assert left.states(after=begun) == right.states(after=begun) == []


@pytest.mark.parametrize("seconds", [10.0, 20.0, 40.0, 600.0])
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
    first = ACTIVE_PROBE_INTERVAL if busy else LONGEST_PERIOD
    heard = LIMITS.disconnected + 0.1 + (0.0 if busy else LONGEST_PERIOD)
    assert right.when(LOST, after=cut_at) - cut_at <= heard
    assert left.when(LOST, after=cut_at) - cut_at <= first + 5 * SILENT_PROBE_INTERVAL + 3.0
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
    talk(network, right, left, both=False)
    slept_at = network.now
    left.sleep(seconds)
    network.run(seconds + 30.0)
    assert right.states(after=slept_at) == [LOST, CONNECTED]


@pytest.mark.parametrize("run", range(20))  # the times of probes are random
def test_a_backup_pair_takes_over_without_a_word(run: int) -> None:
    network = Network()
    left, right = home_call(network, turn=True)
    network.run(30.0)
    talk(network, left, right)
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
    # The side whose check comes first looks for another way, and the other follows.
    assert network.run(10.0, lambda: not (left.is_connected and right.is_connected))
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
    often = Settings(limits=SilenceLimits(consent=SILENT_PROBE_INTERVAL))
    left, right = call(network, nat, settings=often)
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


def test_an_idle_path_is_probed_every_four_to_six_seconds() -> None:
    # RFC 7675 section 5.1
    network, left, right = between_public()
    network.run(10.0)
    before = len(network.sent)
    network.run(600.0)
    for side in (left, right):
        times = [at for at, socket, _ in network.sent[before:] if socket.owner == side.name]
        gaps = [later - at for at, later in pairwise(times)]
        assert min(gaps) >= 4.0
        assert max(gaps) <= LONGEST_PERIOD
        assert max(gaps) - min(gaps) > 0.5
        assert len(times) == pytest.approx(600 / CONSENT_INTERVAL, abs=15)


def test_a_backup_pair_is_probed_every_fifteen_seconds() -> None:
    network = Network()
    left, right = home_call(network, turn=True)
    network.run(60.0)
    backups = sum(pair.is_relayed for pair in left.checks.list.valid)
    assert backups > 0
    for side in (left, right):
        sent = per_minute(network, side, relayed=True)
        assert sent == pytest.approx(backups * 60 / BACKUP_PROBE_INTERVAL, abs=2 * backups)


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
