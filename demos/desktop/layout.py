"""Keyboard layout of an X server: finds the key that gives a character. No I/O.

The physical key is not enough: the key for ``ü`` of the viewer is ``[`` on a machine with a US
layout. So the key that gives the character is searched, first at the same physical position, then
elsewhere. A character that the layout lacks is mapped to an unused key (:mod:`.x11`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

_KEYS = {
    9: "Escape Digit1 Digit2 Digit3 Digit4 Digit5 Digit6 Digit7 Digit8 Digit9 Digit0 Minus Equal"
    " Backspace Tab KeyQ KeyW KeyE KeyR KeyT KeyY KeyU KeyI KeyO KeyP BracketLeft BracketRight"
    " Enter ControlLeft KeyA KeyS KeyD KeyF KeyG KeyH KeyJ KeyK KeyL Semicolon Quote Backquote"
    " ShiftLeft Backslash KeyZ KeyX KeyC KeyV KeyB KeyN KeyM Comma Period Slash ShiftRight"
    " NumpadMultiply AltLeft Space CapsLock F1 F2 F3 F4 F5 F6 F7 F8 F9 F10 NumLock ScrollLock"
    " Numpad7 Numpad8 Numpad9 NumpadSubtract Numpad4 Numpad5 Numpad6 NumpadAdd Numpad1 Numpad2"
    " Numpad3 Numpad0 NumpadDecimal",
    94: "IntlBackslash F11 F12 IntlRo",
    100: "Convert KanaMode NonConvert",
    104: "NumpadEnter ControlRight NumpadDivide PrintScreen AltRight",
    110: "Home ArrowUp PageUp ArrowLeft ArrowRight End ArrowDown PageDown Insert Delete",
    125: "NumpadEqual",
    127: "Pause",
    129: "NumpadComma Lang1 Lang2 IntlYen MetaLeft MetaRight ContextMenu",
    191: "F13 F14 F15 F16 F17 F18 F19 F20 F21 F22 F23 F24",
}

CODES = {
    code: first + offset
    for first, codes in _KEYS.items()
    for offset, code in enumerate(codes.split())
}
"""The X keycode of each physical key: on Linux the keycode of the kernel plus 8."""

_PAGES = {
    0x01: "iso8859-2",
    0x02: "iso8859-3",
    0x03: "iso8859-4",
    0x05: "iso8859-6",
    0x06: "koi8-u",
    0x07: "iso8859-7",
    0x0C: "iso8859-8",
    0x0D: "tis-620",
    0x13: "iso8859-15",
}
"""The character sets of legacy keysyms, by the high byte (X protocol, appendix A)."""

_EURO = 0x20AC
_UNICODE = 0x01000000


def keysym(character: str) -> int:
    """Return the keysym of a character: a Latin-1 or a Unicode keysym."""
    number = ord(character)
    return number if 0x20 <= number < 0x7F or 0xA0 <= number < 0x100 else _UNICODE | number


def character(symbol: int) -> str:
    """Return the character of a keysym; empty if it has none, or is a dead accent."""
    if symbol == _EURO:
        return "€"
    if symbol >= _UNICODE:
        return chr(symbol - _UNICODE) if symbol - _UNICODE < 0x110000 else ""
    page, low = divmod(symbol, 0x100)
    if page == 0:
        return chr(symbol) if keysym(chr(symbol)) == symbol else ""
    # Accented Greek letters have other codes in the keysyms than in ISO 8859-7.
    if page not in _PAGES or low < (0xC1 if page == 0x07 else 0xA1):
        return ""
    return bytes([low]).decode(_PAGES[page], errors="ignore")


@dataclass(frozen=True, slots=True)
class Place:
    """A key that gives a character.

    Attributes:
        keycode: The X keycode of the key.
        shift: Whether Shift has to be pressed in addition to the keys that are down.
    """

    keycode: int
    shift: bool = False


class Layout:
    """The characters of all keys of a keyboard.

    Args:
        first: The lowest keycode.
        width: The number of keysyms per key, in the order of the core protocol: first group without
            and with Shift, then second group.
        symbols: The keysyms of all keys.
    """

    def __init__(self, first: int, width: int, symbols: Sequence[int]) -> None:
        rows = {
            first + at // width: tuple(symbols[at : at + width])
            for at in range(0, len(symbols), width)
        }
        self.unused: tuple[int, ...] = tuple(code for code, row in rows.items() if not any(row))
        """Keycodes without any keysym."""
        self._columns: list[dict[int, str]] = [
            {code: character(row[column]) for code, row in rows.items() if column < width}
            for column in range(4)
        ]
        self._places: list[dict[str, int]] = []
        for column in self._columns:
            places: dict[str, int] = {}
            for code, text in column.items():
                places.setdefault(text, code)
            self._places.append(places)

    def find(
        self, text: str, code: str = "", *, group: int = 0, shift: bool = False
    ) -> Place | None:
        """Return the key that gives a character in the current state of the keyboard.

        Args:
            text: The character.
            code: The preferred physical key.
            group: The active group, 0 or 1.
            shift: Whether Shift is down.

        Returns:
            The key; ``None`` if there is none, or only one for which Shift would have to be
            released.
        """
        if group not in (0, 1):
            return None
        preferred = CODES.get(code)
        for shifted in (shift,) if shift else (False, True):
            column = 2 * group + shifted
            if preferred is not None and self._columns[column].get(preferred) == text:
                return Place(preferred, shifted and not shift)
            if text in self._places[column]:
                return Place(self._places[column][text], shifted and not shift)
        return None
