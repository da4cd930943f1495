"""Injects input into an X server with the XTEST extension, through xcffib."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from logging import Logger
from typing import Any

import xcffib
import xcffib.xproto
import xcffib.xtest

from icefloe.logs import get_logger

from .layout import CODES, Layout, Place, keysym
from .target import InputUnavailable

logger: Logger = get_logger(__name__)

_KEY, _KEY_UP, _BUTTON, _BUTTON_UP, _MOTION = 2, 3, 4, 5, 6
"""Event types (X protocol, appendix B)."""

_BUTTONS = (1, 2, 3, 8, 9)
"""X button numbers, indexed by ``MouseEvent.button``."""

_WHEEL_UP, _WHEEL_DOWN, _WHEEL_LEFT, _WHEEL_RIGHT = 4, 5, 6, 7

_SHIFT, _LOCK, _GROUP_BIT = 1 << 0, 1 << 1, 13
"""Bits of the modifier mask; XKB puts the group into the bits from 13 on."""

SETTLE_SECONDS = 0.1
"""Seconds between a key event and a change of the keyboard mapping, and vice versa.

X clients do not report when they have read a new mapping: Xlib reads it at the next key, and
Chromium some time later. With 0.02 s Chromium lost one of 72 characters on a busy machine, with
0.05 s none. The pause occurs once for a pressed key, or for a text, with characters that the layout
lacks.
"""

_CONTROL_KEYS = {"\n": "Enter", "\t": "Tab"}

_COLUMNS = 4
"""Keysyms of a remapped key: the same character for each state of Shift and the group."""


class X11Target:
    """The pointer and the keyboard of an X server; see :class:`.target.InputTarget`.

    Characters that the layout lacks are mapped to unused keys, of which there are about 20. When
    all are in use, the least recently used one is remapped; a program that reads the new mapping
    too late may then show a wrong character. :meth:`close` removes the mappings.

    Args:
        display: The X server, as ``:0``.

    Raises:
        InputUnavailable: The server cannot be reached, or has no XTEST extension.
    """

    def __init__(self, display: str) -> None:
        self._display = display
        try:
            self._x = xcffib.connect(display=display)
        except xcffib.XcffibException as error:
            reason = f"the X server {display} cannot be reached. Is it there, and may you use it?"
            raise InputUnavailable(reason) from error
        self._pressed: dict[str, int] = {}
        self._remapped: OrderedDict[int, str] = OrderedDict()
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
        """Move the pointer."""
        left = min(int(x * self._width), self._width - 1)
        top = min(int(y * self._height), self._height - 1)
        self._send(_MOTION, 0, left, top)
        self._flush()

    def button(self, button: int, down: bool) -> None:
        """Press or release a mouse button."""
        self._send(_BUTTON if down else _BUTTON_UP, _BUTTONS[button])
        self._flush()

    def wheel(self, x: int, y: int) -> None:
        """Turn the wheel; in X each notch is a click of a button."""
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
        """Press the key that gives the character, or the physical key if there is no character."""
        place = self._place(text, code) if text else _at(code)
        if place is not None:
            self._press_key(place)
            self._pressed[code] = place.keycode
            self._flush()

    def release(self, code: str) -> None:
        """Release the key that was pressed with this code."""
        keycode = self._pressed.pop(code, None)
        if keycode is not None:
            self._send(_KEY_UP, keycode)
            self._flush()

    def type(self, text: str) -> None:
        """Type characters."""
        while text:
            count = self._prepare(text)
            for each in text[:count]:
                code = _CONTROL_KEYS.get(each)
                place = _at(code) if code else self._place(each)
                if place is not None:
                    self._press_key(place)
                    self._send(_KEY_UP, place.keycode)
            self._flush()
            text = text[count:]

    def close(self) -> None:
        """Remove the mappings of unused keys and disconnect. Further calls have no effect."""
        if self._closed:
            return
        self._closed = True
        try:
            for keycode in self._remapped:
                self._set_keysym(keycode, 0)
            # A reply to any request means that the server has processed all requests before it.
            self._core.GetInputFocus().reply()
        except xcffib.XcffibException as error:
            logger.debug("the X server %s has closed the connection: %s", self._display, error)
        finally:
            self._x.disconnect()

    def _place(self, text: str, code: str = "") -> Place | None:
        """Return the key for a character; map the character to an unused key if there is none."""
        self._process_events()
        with self._x_errors():
            mask = self._core.QueryPointer(self._root).reply().mask
        if mask & _LOCK:
            # Caps Lock of the viewer is already part of the characters, so that of this machine is
            # switched off.
            self._press_key(Place(CODES["CapsLock"]))
            self._send(_KEY_UP, CODES["CapsLock"])
        group, shift = mask >> _GROUP_BIT & 3, bool(mask & _SHIFT)
        place = self._layout.find(text, code, group=group, shift=shift) or self._remap(text)
        if place is not None and place.keycode in self._remapped:
            self._remapped.move_to_end(place.keycode)
            self._settle(self._last_change)
        return place

    def _prepare(self, text: str) -> int:
        """Map the characters that the layout lacks to unused keys, before a text is typed.

        Returns:
            The number of characters of the text that can now be typed without remapping.
        """
        self._process_events()
        available = len(self._layout.unused) + len(self._remapped)
        needed: dict[str, Place | None] = {}
        count = 0
        for each in text:
            place = self._layout.find(each)
            if each not in _CONTROL_KEYS and (place is None or place.keycode in self._remapped):
                if each not in needed and len(needed) == available > 0:
                    break
                needed[each] = place
            count += 1
        for place in needed.values():
            if place is not None:
                self._remapped.move_to_end(place.keycode)
        for each, place in needed.items():
            if place is None:
                self._remap(each)
        return count

    def _remap(self, text: str) -> Place | None:
        """Map a character to an unused key, or to the least recently used one of those mapped."""
        if self._layout.unused:
            keycode = self._layout.unused[-1]
        else:
            down = self._pressed.values()
            keycode = next((each for each in self._remapped if each not in down), 0)
        if not keycode:
            return None
        self._settle(self._last_key)
        with self._x_errors():
            self._set_keysym(keycode, keysym(text))
        self._remapped[keycode] = text
        self._last_change = time.monotonic()
        self._layout = self._read_layout()
        return Place(keycode)

    def _settle(self, since: float) -> None:
        time.sleep(max(since + SETTLE_SECONDS - time.monotonic(), 0))

    def _set_keysym(self, keycode: int, symbol: int) -> None:
        self._core.ChangeKeyboardMapping(1, keycode, _COLUMNS, [symbol] * _COLUMNS)

    def _read_layout(self) -> Layout:
        first, last = self._keycodes
        with self._x_errors():
            reply = self._core.GetKeyboardMapping(first, last - first + 1).reply()
        return Layout(first, reply.keysyms_per_keycode, list(reply.keysyms))

    def _process_events(self) -> None:
        """Read the events of the server; read the layout again if it was changed."""
        changed = False
        with self._x_errors():
            while (event := self._x.poll_for_event()) is not None:
                changed = changed or isinstance(event, xcffib.xproto.MappingNotifyEvent)
        if changed:
            self._layout = self._read_layout()

    # --- requests

    def _press_key(self, place: Place) -> None:
        shift = CODES["ShiftLeft"]
        if place.shift:
            self._send(_KEY, shift)
        self._send(_KEY, place.keycode)
        if place.shift:
            self._send(_KEY_UP, shift)

    def _send(self, kind: int, detail: int, left: int = 0, top: int = 0) -> None:
        if kind in (_KEY, _KEY_UP):
            self._last_key = time.monotonic()
        with self._x_errors():
            self._test.FakeInput(kind, detail, 0, self._root, left, top, 0)

    def _flush(self) -> None:
        with self._x_errors():
            self._x.flush()
            self._x.invalid()
        self._process_events()

    @contextmanager
    def _x_errors(self) -> Iterator[None]:
        """Turn errors of the X connection into ``InputUnavailable``."""
        try:
            yield
        except xcffib.XcffibException as error:
            reason = f"the X server {self._display} has gone, or refuses"
            raise InputUnavailable(reason) from error


def _at(code: str) -> Place | None:
    keycode = CODES.get(code)
    return Place(keycode) if keycode is not None else None
