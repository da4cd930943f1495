"""Who is in control, and what that one holds down: no I/O, and the time is given.

Two things must never happen: that somebody types who may not, and that a key stays down because
its sender has gone. :class:`Control` sees to the one, :class:`Hands` to the other.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from .messages import Button, Event, Key, Move, Text, Wheel
from .target import InputTarget

IDLE = 30.0
"""Seconds without input after which somebody else may take control."""

LEASE = 2.0
"""Seconds after which a sender who is silent holds nothing down any more.

A page says each half second that it is there; one that is frozen, or whose network is, does not,
and an X server would repeat its last key meanwhile.
"""

KEYS_MOST = 16
"""Keys that may be down at the same time: more than fingers, less than nonsense."""

_Who = TypeVar("_Who")


@dataclass(slots=True)
class Control(Generic[_Who]):
    """Lets one at a time take control, of those who may.

    Attributes:
        possible: Whether anybody may.
        allowed: Names of those who may; ``None`` for everybody.
        holder: Who has it.
    """

    possible: bool
    allowed: frozenset[str] | None = None
    holder: _Who | None = None
    _used: float = 0.0

    def may(self, name: str) -> bool:
        """Tell whether somebody of this name may ever take control."""
        return self.possible and (self.allowed is None or name in self.allowed)

    def take(self, who: _Who, name: str, now: float) -> bool:
        """Ask for control; it is given if it is free, or its holder has done nothing for long.

        Args:
            who: Who asks.
            name: Under which name.
            now: Seconds, by any clock that does not jump.

        Returns:
            Whether ``who`` has it now.
        """
        if not self.may(name):
            return False
        if self.holder is None or now - self._used >= IDLE:
            self.holder = who
        if self.holder == who:
            self._used = now
        return self.holder == who

    def use(self, who: _Who, now: float) -> bool:
        """Note that somebody does something; tell whether they may."""
        if self.holder is None or self.holder != who:
            return False
        self._used = now
        return True

    def release(self, who: _Who) -> bool:
        """Take control back from somebody; tell whether they had it."""
        had = self.holder is not None and self.holder == who
        if had:
            self.holder = None
        return had


@dataclass(slots=True)
class Hands:
    """Does what somebody in control does, and knows what is held down by it.

    What comes twice is done once, and what was not pressed is not released: a page that was
    reloaded, or lost control in between, begins in the middle.

    Attributes:
        target: Where input goes.
    """

    target: InputTarget
    _keys: dict[str, None] = field(default_factory=dict)
    _buttons: dict[int, None] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether anything is down."""
        return bool(self._keys or self._buttons)

    def do(self, event: Event) -> None:
        """Do one thing.

        Raises:
            InputUnavailable: The system does not take input any more.
        """
        match event:
            case Move(x=x, y=y):
                self.target.move(x, y)
            case Button(button=button, down=down, x=x, y=y):
                self.target.move(x, y)
                if down != (button in self._buttons):
                    self.target.button(button, down)
                    _note(self._buttons, button, down)
            case Wheel(x=x, y=y):
                self.target.wheel(x, y)
            case Key(code=code, text=text, down=True):
                if code not in self._keys and len(self._keys) < KEYS_MOST:
                    self.target.press(code, text)
                    self._keys[code] = None
            case Key(code=code):
                if code in self._keys:
                    self.target.release(code)
                    del self._keys[code]
            case Text(text=text):
                self.target.type("".join(c for c in text if c.isprintable() or c in "\n\t"))

    def let_go(self) -> None:
        """Release whatever is down, the keys pressed last first.

        Raises:
            InputUnavailable: The system does not take input any more.
        """
        while self._keys:
            self.target.release(self._keys.popitem()[0])
        while self._buttons:
            self.target.button(self._buttons.popitem()[0], False)


def _note(held: dict[int, None], button: int, down: bool) -> None:
    if down:
        held[button] = None
    else:
        del held[button]


def coalesce(events: Iterable[Event]) -> list[Event]:
    """Leave out the places at which the pointer is not any more.

    Of moves that follow each other the newest counts, and a button says itself where it is.
    """
    kept: list[Event] = []
    for event in events:
        if kept and isinstance(kept[-1], Move) and isinstance(event, Move | Button):
            kept[-1] = event
        else:
            kept.append(event)
    return kept
