"""The epochs of the log: what a node does that finds another log in Redis than it knows. No I/O.

A Redis that lost its data has no log, or an older one. The nodes then agree on the most advanced
replica, which begins the log anew, in the next epoch. Positions go on through the epochs.
"""

import secrets
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


@dataclass(frozen=True, slots=True)
class Epoch:
    """An epoch of the log.

    Attributes:
        number: Its number, one more than that of the epoch before.
        mark: Random letters, which no other epoch has.
    """

    number: int
    mark: str

    @classmethod
    def after(cls, *epochs: "Epoch | None") -> Self:
        """Return the epoch after these."""
        number = max((epoch.number for epoch in epochs if epoch is not None), default=-1) + 1
        return cls(number, secrets.token_hex(8))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the epoch that a text names; ``None`` if it names none."""
        number, _, mark = text.partition("-")
        if not (number.isascii() and number.isdigit() and len(number) <= 15 and mark):
            return None
        return cls(int(number), mark)

    def __str__(self) -> str:
        return f"{self.number}-{self.mark}"


@dataclass(frozen=True, slots=True)
class Head:
    """The state of the log in Redis.

    Attributes:
        epoch: Its epoch; ``None`` if there is no log.
        position: The number of its last entry.
        parent: The epoch before.
        start: The position at which this epoch began.
        rules: The limits that all nodes have to have alike.
    """

    epoch: Epoch | None = None
    position: int = 0
    parent: Epoch | None = None
    start: int = 0
    rules: bytes = b""


class Step(StrEnum):
    """The next step of a node that has looked at the log."""

    FOUND = "found"
    """Begin the first epoch."""

    FOLLOW = "follow"
    """Read on."""

    SWITCH = "switch"
    """Read on in the new epoch, which began with the state that the node has."""

    LOAD = "load"
    """Take over the state from the snapshot."""

    ELECT = "elect"
    """Agree with the other nodes on the most advanced replica."""


def next_step(head: Head, epoch: Epoch | None, position: int, *, diverged: bool) -> Step:
    """Return what a node is to do.

    Args:
        head: The log in Redis.
        epoch: The epoch that the node knows; ``None`` if it has just started.
        position: The last entry that it has applied.
        diverged: Whether it has read an entry that does not follow that one.
    """
    if epoch is None:
        return Step.FOUND if head.epoch is None else Step.LOAD
    if head.epoch is None:
        return Step.ELECT
    if head.epoch == epoch:
        if head.position < position:
            return Step.ELECT
        return Step.LOAD if diverged else Step.FOLLOW
    if head.epoch.number <= epoch.number and head.position < position:
        return Step.ELECT
    is_same = not diverged and head.parent == epoch and head.start == position
    return Step.SWITCH if is_same else Step.LOAD
