"""Access control of the desktop, and tracking of pressed keys and buttons. No I/O.

Time is passed in. Two things must never happen: input from a viewer that is not in control, and a
key that stays down because its sender is gone. :class:`Control` prevents the first,
:class:`InputTracker` the second.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .messages import Button, Event, Key, Move, Text, Wheel
from .target import InputTarget

IDLE_SECONDS = 30.0
"""Seconds without input after which another viewer may take control."""

SILENCE_TIMEOUT = 2.0
"""Seconds without a message from the viewer in control after which its keys are released.

A page sends a keep-alive every half second. A page that is frozen or has lost its network does not,
and the X server would repeat its last key in the meantime.
"""

MAX_KEYS = 16
"""Keys that may be down at the same time; more than a person has fingers."""

_Viewer = TypeVar("_Viewer")


@dataclass(slots=True)
class Control(Generic[_Viewer]):
    """Gives control to one viewer at a time.

    Attributes:
        possible: Whether any viewer may have control.
        allowed: The names of the viewers that may have control; ``None`` for all.
        holder: The viewer in control.
    """

    possible: bool
    allowed: frozenset[str] | None = None
    holder: _Viewer | None = None
    _used: float = 0.0

    def may(self, name: str) -> bool:
        """Return whether a viewer with this name may have control."""
        return self.possible and (self.allowed is None or name in self.allowed)

    def take(self, viewer: _Viewer, name: str, now: float) -> bool:
        """Give control to a viewer if it is free, or if its holder has been idle for too long.

        Args:
            viewer: The viewer.
            name: Its name.
            now: Seconds on a monotonic clock.

        Returns:
            Whether the viewer has control now.
        """
        if not self.may(name):
            return False
        if self.holder is None or now - self._used >= IDLE_SECONDS:
            self.holder = viewer
        if self.holder == viewer:
            self._used = now
        return self.holder == viewer

    def use(self, viewer: _Viewer, now: float) -> bool:
        """Return whether a viewer is in control; if so, it is not idle."""
        if self.holder is None or self.holder != viewer:
            return False
        self._used = now
        return True

    def release(self, viewer: _Viewer) -> bool:
        """Take control away from a viewer; return whether it was in control."""
        was_holder = self.holder is not None and self.holder == viewer
        if was_holder:
            self.holder = None
        return was_holder


@dataclass(slots=True)
class InputTracker:
    """Applies input events to a target, and keeps track of the keys and buttons that are down.

    Repeated presses, and releases of keys that are not down, are ignored: they occur when a page
    was reloaded, or lost control in between.

    Attributes:
        target: The target of the input.
    """

    target: InputTarget
    _keys: dict[str, None] = field(default_factory=dict)
    _buttons: dict[int, None] = field(default_factory=dict)

    @property
    def has_pressed(self) -> bool:
        """True if any key or button is down."""
        return bool(self._keys or self._buttons)

    def apply(self, event: Event) -> None:
        """Apply an event to the target.

        Raises:
            InputUnavailable: The target does not accept input any more.
        """
        match event:
            case Move(x=x, y=y):
                self.target.move(x, y)
            case Button(button=button, down=down, x=x, y=y):
                self.target.move(x, y)
                if down != (button in self._buttons):
                    self.target.button(button, down)
                    _set_down(self._buttons, button, down)
            case Wheel(x=x, y=y):
                self.target.wheel(x, y)
            case Key(code=code, text=text, down=True):
                if code not in self._keys and len(self._keys) < MAX_KEYS:
                    self.target.press(code, text)
                    self._keys[code] = None
            case Key(code=code):
                if code in self._keys:
                    self.target.release(code)
                    del self._keys[code]
            case Text(text=text):
                self.target.type("".join(c for c in text if c.isprintable() or c in "\n\t"))

    def release_all(self) -> None:
        """Release all keys and buttons, in the reverse order of pressing.

        Raises:
            InputUnavailable: The target does not accept input any more.
        """
        while self._keys:
            self.target.release(self._keys.popitem()[0])
        while self._buttons:
            self.target.button(self._buttons.popitem()[0], False)


def _set_down(held: dict[int, None], button: int, down: bool) -> None:
    if down:
        held[button] = None
    else:
        del held[button]


def coalesce(events: Iterable[Event]) -> list[Event]:
    """Return the events without obsolete pointer moves.

    A move is obsolete if another move or a button event follows it, since both have a position.
    """
    kept: list[Event] = []
    for event in events:
        if kept and isinstance(kept[-1], Move) and isinstance(event, Move | Button):
            kept[-1] = event
        else:
            kept.append(event)
    return kept
