"""A node does what fits the log that it finds in Redis."""

import pytest

from icefloe.signaling.cluster.epochs import Epoch, Head, Step, next_step

FIRST, OTHER, SECOND = Epoch(0, "a"), Epoch(0, "b"), Epoch(1, "c")


@pytest.mark.parametrize(
    ("head", "epoch", "position", "diverged", "step"),
    [
        # A node that has just started.
        (Head(), None, 0, False, Step.FOUND),
        (Head(FIRST, 7), None, 0, False, Step.LOAD),
        # Nothing is there any more.
        (Head(), FIRST, 7, False, Step.ELECT),
        # The log that it knows, which others may have written on.
        (Head(FIRST, 7), FIRST, 7, False, Step.FOLLOW),
        (Head(FIRST, 9), FIRST, 7, False, Step.FOLLOW),
        # It is older than what the node has applied.
        (Head(FIRST, 6), FIRST, 7, False, Step.ELECT),
        (Head(FIRST, 6), FIRST, 7, True, Step.ELECT),
        # Entries that the node had not read are gone, or it went on otherwise.
        (Head(FIRST, 9), FIRST, 7, True, Step.LOAD),
        # Another node has begun an epoch.
        (Head(SECOND, 9, FIRST, 7), FIRST, 7, False, Step.SWITCH),
        (Head(SECOND, 9, FIRST, 7), FIRST, 7, True, Step.LOAD),
        (Head(SECOND, 9, FIRST, 8), FIRST, 7, False, Step.LOAD),
        (Head(SECOND, 6, FIRST, 6), FIRST, 7, False, Step.LOAD),
        # A node that knew nothing has begun one in an empty Redis.
        (Head(OTHER, 2), FIRST, 7, False, Step.ELECT),
        (Head(OTHER, 9), FIRST, 7, False, Step.LOAD),
        # Data of the epoch before.
        (Head(FIRST, 5), SECOND, 7, False, Step.ELECT),
    ],
)
def test_the_next_step_follows_from_the_head(
    head: Head, epoch: Epoch | None, position: int, diverged: bool, step: Step
) -> None:
    assert next_step(head, epoch, position, diverged=diverged) is step


def test_an_epoch_is_later_than_all_that_are_known() -> None:
    assert Epoch.after(None).number == 0
    assert Epoch.after(SECOND, FIRST).number == 2
    assert Epoch.after(None).mark != Epoch.after(None).mark


def test_an_epoch_is_read_as_it_was_written() -> None:
    assert Epoch.parse(str(SECOND)) == SECOND


@pytest.mark.parametrize("text", ["", "1", "-a", "1-", "x-a", "²-a", "9" * 16 + "-a"])
def test_what_is_no_epoch_is_none(text: str) -> None:
    assert Epoch.parse(text) is None
