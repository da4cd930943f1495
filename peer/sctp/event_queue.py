"""Queue of an association's events, messages among them, in the order of their handling. No I/O."""

from collections import deque

from .inbound import Arrival
from .states import Established, Event, Notice, ResetDone, StreamsReset


class EventQueue:
    """The events that were not polled yet.

    Args:
        arrived: Complete messages in order of delivery, which the reassembly queue adds.
    """

    __slots__ = ("_arrived", "_notices", "_polled")

    def __init__(self, arrived: deque[Arrival]) -> None:
        self._arrived = arrived
        self._notices: deque[Notice] = deque()
        self._polled = 0  # messages polled, of all that ever arrived

    def __bool__(self) -> bool:
        return bool(self._arrived or self._notices)

    @property
    def has_messages(self) -> bool:
        """True if there are messages."""
        return bool(self._arrived)

    def append(self, notice: Notice) -> None:
        """Add an event that is not a message."""
        self._notices.append(notice)

    def poll(self) -> Event | None:
        """Remove and return the next event; ``None`` if there is none."""
        arrived, notices = self._arrived, self._notices
        if notices and (not arrived or self._precedes_messages(notices[0])):
            return notices.popleft()
        if not arrived:
            return None
        self._polled += 1
        return arrived.popleft()

    def _precedes_messages(self, notice: Notice) -> bool:
        match notice:
            case Established():
                return True
            case StreamsReset(after=after):
                return after <= self._polled
            case _:
                return False

    def poll_reset(self) -> StreamsReset | ResetDone | None:
        """Remove and return the next notice if it is about resets, ahead of the messages."""
        if self._notices and isinstance(notice := self._notices[0], StreamsReset | ResetDone):
            self._notices.popleft()
            return notice
        return None
