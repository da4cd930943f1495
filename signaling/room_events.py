"""Events of rooms, for whoever keeps an account of them. No I/O."""

from dataclasses import dataclass
from enum import StrEnum


class RoomEventType(StrEnum):
    """The kind of an event, as webhooks name it."""

    ROOM_OPENED = "room.opened"
    """The first participant has joined."""

    ROOM_CLOSED = "room.closed"
    """The last participant is gone, or a moderator has closed the room."""

    PARTICIPANT_JOINED = "participant.joined"
    """A participant has a new seat; one that resumes its seat does not join again."""

    PARTICIPANT_LEFT = "participant.left"
    """A participant is gone for good."""


CLOSED = "closed"
"""The reason of a participant that is gone since a moderator has closed the room. The other reasons
are those of :class:`.messages.LeftReason`."""


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """Something that has happened in a room.

    Attributes:
        type: The kind.
        room: The name of the room.
        participant: The id of the participant; empty for an event of the room.
        name: Its name; likewise.
        reason: The reason why it is gone, if it is.
    """

    type: RoomEventType
    room: str
    participant: str = ""
    name: str = ""
    reason: str = ""
