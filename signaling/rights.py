"""Rights of a participant: to join, to send media, to moderate the room. No I/O."""

from collections.abc import Iterable
from enum import StrEnum


class Right(StrEnum):
    """A right that a join token or ``admit`` gives to a participant."""

    JOIN = "join"
    """It may enter the room."""

    SEND = "send"
    """It may send audio and video. The other participants refuse the tracks of one that may not."""

    MODERATE = "moderate"
    """It may remove participants, lock and close the room, and hand this right over."""


GUEST_RIGHTS: frozenset[Right] = frozenset({Right.JOIN, Right.SEND})
"""The rights of a participant of whom nothing else is said."""


def shown_rights(rights: Iterable[Right]) -> tuple[str, ...] | None:
    """Return the rights as messages name them; ``None`` for those of :data:`GUEST_RIGHTS`.

    A participant in the room has the right to be there, so ``join`` is not named.
    """
    shown = tuple(sorted(set(rights) - {Right.JOIN}))
    return None if shown == (Right.SEND,) else shown
