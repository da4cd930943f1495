"""``Timeline``: what happened to a connection, and when; bounded."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from .events import TimelineEvent
from .json_values import event_name, plain
from .redaction import Redactor

DEFAULT_EVENTS = 1000
"""Events that are kept of a connection by default: 0.5 MB at most, usually some 20 kB."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """An event and its time.

    Attributes:
        at: Time of the monotonic clock (of the event loop), in seconds.
        wall: Time of the wall clock, in seconds since 1970; it may have been set meanwhile.
        event: The event.
    """

    at: float
    wall: float
    event: TimelineEvent


class Timeline:
    """The events of a connection, the oldest first.

    Of more than the limit, the first half and the latest half are kept: how a connection came about
    is of use hours later. What is dropped is counted.

    Args:
        limit: Events to keep; 0 keeps none.
        clock: Returns the time of the monotonic clock.

    Attributes:
        dropped: Events that were dropped.
    """

    def __init__(
        self, limit: int = DEFAULT_EVENTS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._room = limit - limit // 2
        self._first: list[TimelineEntry] = []
        self._latest: deque[TimelineEntry] = deque(maxlen=limit // 2)
        self.dropped: int = 0

    def record(self, event: TimelineEvent) -> None:
        """Add an event that happens now."""
        entry = TimelineEntry(self._clock(), time.time(), event)
        if len(self._first) < self._room:
            self._first.append(entry)
            return
        latest = self._latest
        self.dropped += len(latest) == latest.maxlen
        latest.append(entry)

    def __iter__(self) -> Iterator[TimelineEntry]:
        """Iterate over what is kept now; what is added meanwhile is not among it."""
        return iter(self.entries)

    def __len__(self) -> int:
        """Return the number of entries that are kept."""
        return len(self._first) + len(self._latest)

    @property
    def entries(self) -> list[TimelineEntry]:
        """The entries that are kept, as a new list."""
        return [*self._first, *self._latest]

    def to_json_lines(self, redactor: Redactor | None = None) -> str:
        """Return the entries as JSON, one on a line.

        Each is an object with ``at`` (seconds since the first entry), ``time`` (ISO 8601, UTC),
        ``event`` (the name of the type, as ``pair-changed``) and the fields of the event. Where
        entries were dropped, the last line has ``dropped`` with their number.

        Args:
            redactor: Replaces addresses and host names; none are by default.
        """
        entries = self.entries
        began = entries[0].at if entries else 0.0
        lines = [_line(entry, began, redactor) for entry in entries]
        if self.dropped:
            lines.append(json.dumps({"event": "dropped", "dropped": self.dropped}))
        return "".join(f"{line}\n" for line in lines)

    def to_rtcstats(
        self, redactor: Redactor | None = None, *, name: str = "PC_0", user_agent: str = "icefloe"
    ) -> str:
        """Return a dump that viewers of RTCStats and of chrome://webrtc-internals load.

        The format is RTCStats' version 3, which Chromium's page writes as well. Descriptions are in
        it without their contents. Events that the viewers do not know begin with ``icefloe.``.

        Args:
            redactor: Replaces addresses and host names; none are by default.
            name: The name of the connection.
            user_agent: The name of the program.
        """
        from .rtcstats import dump

        return dump(self.entries, redactor, name=name, user_agent=user_agent)


def _line(entry: TimelineEntry, began: float, redactor: Redactor | None) -> str:
    value: dict[str, Any] = {
        "at": round(entry.at - began, 6),
        "time": datetime.fromtimestamp(entry.wall, UTC).isoformat(timespec="milliseconds"),
        "event": event_name(type(entry.event)),
    }
    told = plain(entry.event)
    value.update(redactor.value(told) if redactor is not None else told)
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"))
