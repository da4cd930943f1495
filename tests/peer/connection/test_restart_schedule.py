"""ICE restarts that a connection asks for by itself."""

import pytest

from icefloe.peer.connection.restart_schedule import COURTESY, PAUSES, STABLE, RestartSchedule

NOW = 1000.0
NEVER = float("inf")


def test_without_trouble_nothing_is_due() -> None:
    assert RestartSchedule().due == NEVER


def test_the_first_restart_comes_at_once() -> None:
    recovery = RestartSchedule()
    recovery.trouble(NOW)
    assert recovery.due == NOW


def test_the_controlled_side_leaves_the_other_the_first_word() -> None:
    recovery = RestartSchedule()
    recovery.trouble(NOW, courteous=True)
    assert recovery.due == NOW + COURTESY
    recovery.restarted(NOW + COURTESY / 2, still_in_trouble=False)  # the other side did it
    assert recovery.due == NEVER


def test_trouble_that_does_not_wait_overrules_courtesy() -> None:
    recovery = RestartSchedule()
    recovery.trouble(NOW, courteous=True)
    recovery.trouble(NOW)
    assert recovery.due == NOW


def test_while_the_trouble_lasts_the_pauses_grow() -> None:
    recovery = RestartSchedule()
    now = NOW
    recovery.trouble(now)
    pauses = []
    for _ in range(len(PAUSES) + 2):
        last, now = now, recovery.due
        pauses.append(now - last)
        recovery.restarted(now, still_in_trouble=True)
    assert pauses == [*PAUSES, PAUSES[-1], PAUSES[-1]]


def test_trouble_told_of_often_changes_nothing() -> None:
    recovery = RestartSchedule()
    recovery.trouble(NOW)
    recovery.restarted(NOW, still_in_trouble=True)
    due = recovery.due
    for moment in range(10):
        recovery.trouble(NOW + moment / 100)
    assert recovery.due == due


def test_a_path_that_works_needs_no_restart() -> None:
    recovery = RestartSchedule()
    recovery.trouble(NOW)
    recovery.healthy(NOW + 0.1)
    assert recovery.due == NEVER


@pytest.mark.parametrize(
    ("worked", "pause"), [(STABLE - 0.1, PAUSES[3]), (STABLE, PAUSES[0])], ids=["short", "long"]
)
def test_pauses_begin_anew_only_after_a_path_that_lasted(worked: float, pause: float) -> None:
    recovery = RestartSchedule()
    for _ in range(3):
        recovery.trouble(NOW)
        recovery.restarted(NOW, still_in_trouble=True)
    recovery.healthy(NOW + 1.0)
    recovery.healthy(NOW + 2.0)  # being told again does not make it younger
    again = NOW + 1.0 + worked
    recovery.trouble(again)
    assert recovery.due == max(again, NOW + pause)


def test_a_path_that_flaps_is_not_restarted_at_every_turn() -> None:
    recovery = RestartSchedule()
    restarts = []
    now = NOW
    while now < NOW + 600.0:  # two seconds of silence in every four
        recovery.trouble(now)
        if recovery.due <= now + 2.0:
            restarts.append(recovery.due)
            recovery.restarted(recovery.due, still_in_trouble=False)
        recovery.healthy(now + 2.0)
        now += 4.0
    assert len(restarts) <= len(PAUSES) + 600.0 / PAUSES[-1]
