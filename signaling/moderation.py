"""Moderation of rooms: who is kept out of one, and who may moderate it. No I/O."""

from typing import Generic, TypeVar

from .configuration import Admission
from .errors import ErrorCode
from .messages import CloseRoom, HandOver, Lock, Remove, ToModerate
from .rights import Right
from .seats import Room, Seat

MAX_REMOVED = 10_000
"""Tokens of removed participants that are refused; the first to expire is forgotten first."""

MAX_CLOSED = 1_000
"""Closed rooms that are remembered; the one that was closed first is forgotten first."""

CLOSED_SECONDS = 60.0
"""Seconds after its closing during which a room is entered by moderators only. Participants that
were away at the time would otherwise open it again when they come back."""

_Key = TypeVar("_Key")


class ExpiringSet(Generic[_Key]):
    """A set whose entries expire, with a largest size.

    Args:
        capacity: The largest number of entries.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._until: dict[_Key, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, key: _Key, until: float, now: float) -> None:
        """Add an entry; if the set is full, the entry that expires first makes room.

        Args:
            key: The entry.
            until: The time at which it expires.
            now: Seconds on a monotonic clock.
        """
        if len(self._until) >= self._capacity:
            self._until = {kept: end for kept, end in self._until.items() if end > now}
        if len(self._until) >= self._capacity:
            del self._until[min(self._until, key=self._until.__getitem__)]
        self._until[key] = until

    def has(self, key: _Key, now: float) -> bool:
        """Return whether an entry is there and has not expired."""
        return self._until.get(key, float("-inf")) > now

    def discard(self, key: _Key) -> None:
        """Remove an entry, if it is there."""
        self._until.pop(key, None)


class Moderation:
    """Remembers whose tokens are refused and which rooms were closed, and checks rights."""

    def __init__(self) -> None:
        self._removed: ExpiringSet[tuple[str, str]] = ExpiringSet(MAX_REMOVED)
        self._closed: ExpiringSet[str] = ExpiringSet(MAX_CLOSED)

    def entry_refusal(
        self, name: str, room: Room | None, admission: Admission, now: float
    ) -> tuple[ErrorCode, str] | None:
        """Return why a client may not enter a room, or ``None`` if it may.

        Args:
            name: The name of the room.
            room: The room, if there is one.
            admission: What the client was given.
            now: Seconds on a monotonic clock.
        """
        if admission.token_id and self._removed.has((name, admission.token_id), now):
            return ErrorCode.REMOVED, "The holder of this token was removed from the room."
        if Right.MODERATE in (admission.rights or ()):
            return None
        if self._closed.has(name, now):
            return ErrorCode.ROOM_CLOSED, "The room was closed a moment ago."
        if room is not None and room.is_locked:
            return ErrorCode.ROOM_LOCKED, "The room is locked."
        return None

    def entered(self, name: str, admission: Admission) -> None:
        """Open a room again that was closed, if it is a moderator that has entered it."""
        if Right.MODERATE in (admission.rights or ()):
            self._closed.discard(name)

    def request_refusal(self, seat: Seat, message: ToModerate) -> tuple[ErrorCode, str] | None:
        """Return why a participant may not do what it asks for, or ``None`` if it may."""
        if Right.MODERATE not in seat.rights:
            return ErrorCode.NOT_ALLOWED, "Only moderators of the room may do this."
        match message:
            case Remove(to=to) | HandOver(to=to) if to == seat.id:
                return ErrorCode.PEER_UNAVAILABLE, "This is your own id."
            case Remove(to=to) | HandOver(to=to) if to not in seat.room.seats:
                return ErrorCode.PEER_UNAVAILABLE, "Nobody in the room has this id."
            case Remove() | HandOver() | Lock() | CloseRoom():
                return None

    def removed(self, seat: Seat, now: float) -> None:
        """Refuse the token of a participant from now on, in this room and until it expires."""
        if seat.token_id and seat.token_until > now:
            self._removed.add((seat.room.name, seat.token_id), seat.token_until, now)

    def closed(self, room: Room, now: float) -> None:
        """Keep participants out of a room that was closed, for a while."""
        self._closed.add(room.name, now + CLOSED_SECONDS, now)
