"""Input for an X server, by its extension XTEST; through xcffib, which needs libxcb alone."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import xcffib
import xcffib.xproto
import xcffib.xtest

from icefloe.logs import get_logger

from .layout import CODES, Layout, Place, keysym
from .target import InputUnavailable

logger = get_logger(__name__)

_KEY, _KEY_UP, _BUTTON, _BUTTON_UP, _MOTION = 2, 3, 4, 5, 6
"""Types of events (X protocol, appendix B)."""

_BUTTONS = (1, 2, 3, 8, 9)
"""The buttons of X, by ``MouseEvent.button``."""

_WHEEL_UP, _WHEEL_DOWN, _WHEEL_LEFT, _WHEEL_RIGHT = 4, 5, 6, 7

_SHIFT, _LOCK, _GROUP_BIT = 1 << 0, 1 << 1, 13
"""Of the modifiers: XKB puts the group into the bits from 13 on."""

SETTLING = 0.1
"""Seconds between a key and a change of what keys give, and the other way round.

Nobody tells when programs have taken a change in: Xlib asks for it at the next key, and Chromium
some time after. With 0.02 s Chromium lost one of 72 characters on a busy machine, with 0.05 s none.
It is waited once for each character that the layout lacks, or for a text full of them.
"""

_TYPED = {"\n": "Enter", "\t": "Tab"}

_COLUMNS = 4
"""A character that a key is lent gives whatever Shift and the group are."""


class X11Target:
    """The pointer and the keyboard of an X server; see :class:`.target.InputTarget`.

    Characters that the layout lacks are put onto keys without a use, some 20, and when all are
    taken onto that which was used longest ago: a program that is slow to notice may show the newer
    one instead. :meth:`close` clears them again.

    Args:
        display: The server, as ``:0``.

    Raises:
        InputUnavailable: It cannot be reached, or takes no input of programs.
    """

    def __init__(self, display: str) -> None:
        self._display = display
        try:
            self._x = xcffib.connect(display=display)
        except xcffib.XcffibException as error:
            reason = f"the X server {display} cannot be reached. Is it there, and may you use it?"
            raise InputUnavailable(reason) from error
        self._pressed: dict[str, int] = {}
        self._lent: OrderedDict[int, str] = OrderedDict()
        self._last_key = self._last_change = 0.0
        self._closed = False
        try:
            setup: Any = self._x.get_setup()
            self._core: Any = self._x.core
            screen = setup.roots[self._x.pref_screen]
            self._keycodes = setup.min_keycode, setup.max_keycode
            self._root = screen.root
            self._width, self._height = screen.width_in_pixels, screen.height_in_pixels
            self._test = self._x(xcffib.xtest.key)
            self._test.GetVersion(2, 2).reply()
            self._layout = self._read_layout()
        except (xcffib.XcffibException, InputUnavailable) as error:
            self._x.disconnect()
            reason = f"the X server {display} has no extension XTEST, by which programs give input"
            raise InputUnavailable(reason) from error

    # --- the pointer

    def move(self, x: float, y: float) -> None:
        """Put the pointer there."""
        left = min(int(x * self._width), self._width - 1)
        top = min(int(y * self._height), self._height - 1)
        self._send(_MOTION, 0, left, top)
        self._flush()

    def button(self, button: int, down: bool) -> None:
        """Press or release a button."""
        self._send(_BUTTON if down else _BUTTON_UP, _BUTTONS[button])
        self._flush()

    def wheel(self, x: int, y: int) -> None:
        """Turn the wheel, which X has as buttons."""
        for steps, backward, forward in (
            (x, _WHEEL_LEFT, _WHEEL_RIGHT),
            (y, _WHEEL_UP, _WHEEL_DOWN),
        ):
            for _ in range(abs(steps)):
                button = forward if steps > 0 else backward
                self._send(_BUTTON, button)
                self._send(_BUTTON_UP, button)
        self._flush()

    # --- the keyboard

    def press(self, code: str, text: str) -> None:
        """Press the key that gives the character, or the one at this place."""
        place = self._place(text, code) if text else _at(code)
        if place is not None:
            self._down(place)
            self._pressed[code] = place.keycode
            self._flush()

    def release(self, code: str) -> None:
        """Release what was pressed under this code."""
        keycode = self._pressed.pop(code, None)
        if keycode is not None:
            self._send(_KEY_UP, keycode)
            self._flush()

    def type(self, text: str) -> None:
        """Press and release what gives these characters."""
        while text:
            count = self._prepare(text)
            for each in text[:count]:
                code = _TYPED.get(each)
                place = _at(code) if code else self._place(each)
                if place is not None:
                    self._down(place)
                    self._send(_KEY_UP, place.keycode)
            self._flush()
            text = text[count:]

    def close(self) -> None:
        """Take characters off the keys that they were put onto, and disconnect."""
        if self._closed:
            return
        self._closed = True
        try:
            for keycode in self._lent:
                self._put(keycode, 0)
            # The answer to anything says that the server has done what was before it.
            self._core.GetInputFocus().reply()
        except xcffib.XcffibException as error:
            logger.debug("the X server %s is gone already: %s", self._display, error)
        finally:
            self._x.disconnect()

    def _place(self, text: str, code: str = "") -> Place | None:
        """Find the key for a character, and lend it one if there is none."""
        self._notice()
        with self._asking():
            mask = self._core.QueryPointer(self._root).reply().mask
        if mask & _LOCK:
            # Caps Lock is that of whoever types: their characters have it in them.
            self._down(Place(CODES["CapsLock"]))
            self._send(_KEY_UP, CODES["CapsLock"])
        group, shift = mask >> _GROUP_BIT & 3, bool(mask & _SHIFT)
        place = self._layout.find(text, code, group=group, shift=shift) or self._lend(text)
        if place is not None and place.keycode in self._lent:
            self._lent.move_to_end(place.keycode)
            self._settle(self._last_change)
        return place

    def _prepare(self, text: str) -> int:
        """Lend keys to what the layout lacks, in one change; return for how many characters."""
        self._notice()
        most = len(self._layout.unused) + len(self._lent)
        needed: dict[str, Place | None] = {}
        count = 0
        for each in text:
            place = self._layout.find(each)
            if each not in _TYPED and (place is None or place.keycode in self._lent):
                if each not in needed and len(needed) == most > 0:
                    break
                needed[each] = place
            count += 1
        for place in needed.values():
            if place is not None:
                self._lent.move_to_end(place.keycode)
        for each, place in needed.items():
            if place is None:
                self._lend(each)
        return count

    def _lend(self, text: str) -> Place | None:
        if self._layout.unused:
            keycode = self._layout.unused[-1]
        else:
            down = self._pressed.values()
            keycode = next((each for each in self._lent if each not in down), 0)
        if not keycode:
            return None
        self._settle(self._last_key)
        with self._asking():
            self._put(keycode, keysym(text))
        self._lent[keycode] = text
        self._last_change = time.monotonic()
        self._layout = self._read_layout()
        return Place(keycode)

    def _settle(self, since: float) -> None:
        time.sleep(max(since + SETTLING - time.monotonic(), 0))

    def _put(self, keycode: int, symbol: int) -> None:
        self._core.ChangeKeyboardMapping(1, keycode, _COLUMNS, [symbol] * _COLUMNS)

    def _read_layout(self) -> Layout:
        first, last = self._keycodes
        with self._asking():
            reply = self._core.GetKeyboardMapping(first, last - first + 1).reply()
        return Layout(first, reply.keysyms_per_keycode, list(reply.keysyms))

    def _notice(self) -> None:
        """Take in what the server says by itself: that somebody changed the layout."""
        changed = False
        with self._asking():
            while (event := self._x.poll_for_event()) is not None:
                changed = changed or isinstance(event, xcffib.xproto.MappingNotifyEvent)
        if changed:
            self._layout = self._read_layout()

    # --- what is sent

    def _down(self, place: Place) -> None:
        shift = CODES["ShiftLeft"]
        if place.shift:
            self._send(_KEY, shift)
        self._send(_KEY, place.keycode)
        if place.shift:
            self._send(_KEY_UP, shift)

    def _send(self, kind: int, detail: int, left: int = 0, top: int = 0) -> None:
        if kind in (_KEY, _KEY_UP):
            self._last_key = time.monotonic()
        with self._asking():
            self._test.FakeInput(kind, detail, 0, self._root, left, top, 0)

    def _flush(self) -> None:
        with self._asking():
            self._x.flush()
            self._x.invalid()
        self._notice()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        try:
            yield
        except xcffib.XcffibException as error:
            reason = f"the X server {self._display} has gone, or refuses"
            raise InputUnavailable(reason) from error


def _at(code: str) -> Place | None:
    keycode = CODES.get(code)
    return Place(keycode) if keycode is not None else None
