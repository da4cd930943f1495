"""Channel numbers: RFC 8656 section 12, with the time given."""

import pytest

from icefloe.peer.ice.turn.channels import (
    CHANNEL_LIFETIME,
    FIRST_CHANNEL,
    HOLD_OFF,
    LAST_CHANNEL,
    PERMISSION_LIFETIME,
    QUARANTINE,
    REBIND_AFTER,
    Bindings,
    NoChannelLeft,
)

A, B = ("198.51.100.1", 1), ("198.51.100.2", 2)


def bound(bindings: Bindings, peer: tuple[str, int], now: float) -> int:
    number = bindings.begin(peer, now)
    bindings.succeed(peer)
    return number


def test_a_peer_is_ready_once_its_binding_is_answered() -> None:
    bindings = Bindings()
    assert bindings.may_begin(A, 0)
    assert bindings.begin(A, 0) == FIRST_CHANNEL
    assert bindings.is_pending(A)
    assert not bindings.may_begin(A, 0)
    assert bindings.ready == {}
    bindings.succeed(A)
    assert bindings.ready == {A: FIRST_CHANNEL}
    assert bindings.peer_of(FIRST_CHANNEL) == A
    assert bindings.peer_of(FIRST_CHANNEL + 1) is None
    assert bound(bindings, B, 0) == FIRST_CHANNEL + 1


def test_a_permission_is_for_the_address_whatever_the_port() -> None:
    bindings = Bindings()
    bindings.begin(A, 0)
    assert bindings.has_permission(A[0])
    assert not bindings.has_permission(B[0])


def test_a_refused_binding_is_held_off_and_keeps_its_number() -> None:
    bindings = Bindings()
    number = bindings.begin(A, 0)
    bindings.fail(A, 0)
    assert not bindings.may_begin(A, HOLD_OFF / 2)
    assert bindings.may_begin(A, HOLD_OFF)
    assert bindings.begin(A, HOLD_OFF) == number


def test_a_channel_in_use_is_due_well_before_its_permission_ends() -> None:
    bindings = Bindings()
    bound(bindings, A, 0)
    bindings.mark_used(A)
    assert bindings.deadline == REBIND_AFTER
    assert REBIND_AFTER < PERMISSION_LIFETIME - 60
    assert bindings.due(REBIND_AFTER - 1) == []
    assert bindings.due(REBIND_AFTER) == [A]
    bindings.begin(A, REBIND_AFTER)
    assert A in bindings.ready, "it can be sent to while it is bound again"
    assert bindings.due(REBIND_AFTER) == [], "it is under way"
    bindings.succeed(A)
    assert bindings.deadline == 2 * REBIND_AFTER


def test_what_is_received_is_use() -> None:
    bindings = Bindings()
    number = bound(bindings, A, 0)
    bindings.peer_of(number)
    assert bindings.due(REBIND_AFTER) == [A]


def test_an_idle_channel_is_let_go_and_can_be_bound_again_with_its_number() -> None:
    bindings = Bindings()
    number = bound(bindings, A, 0)
    assert bindings.due(REBIND_AFTER) == []
    assert bindings.ready == {}
    assert bindings.deadline == float("inf")
    assert bindings.peer_of(number) == A, "what still comes is known"
    assert bindings.begin(A, REBIND_AFTER + 1) == number


def test_a_number_stands_for_another_peer_only_after_its_quarantine() -> None:
    bindings = Bindings()
    peers = [("198.51.100.1", port) for port in range(LAST_CHANNEL - FIRST_CHANNEL + 1)]
    assert [bound(bindings, peer, 0) for peer in peers] == list(
        range(FIRST_CHANNEL, LAST_CHANNEL + 1)
    )
    with pytest.raises(NoChannelLeft):
        bindings.begin(B, 1)
    assert bindings.due(REBIND_AFTER) == []
    end = CHANNEL_LIFETIME + QUARANTINE
    with pytest.raises(NoChannelLeft):
        bindings.begin(B, end - 1)
    assert FIRST_CHANNEL <= bindings.begin(B, end) <= LAST_CHANNEL
    assert not bindings.has_permission("198.51.100.1")
