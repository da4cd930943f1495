"""Keys and the characters that they give."""

import pytest

from icefloe.demos.desktop.layout import CODES, Layout, Place, character, keysym

FIRST = 20
US = [
    *(ord("-"), ord("_"), 0x6C1, 0x6E1),  # 20, Minus: а and А in the second group
    *(ord("z"), ord("Z"), 0, 0),  # 21, Equal
    *(0, 0, 0, 0),  # 22, Backspace: no use
    *(0x20AC, 0, 0, 0),  # 23, Tab: €
    *(ord("y"), ord("Y"), 0, 0),  # 24, KeyQ
    *(ord("z"), ord("Z"), 0, 0),  # 25, KeyW
]


@pytest.fixture
def layout() -> Layout:
    return Layout(FIRST, 4, US)


@pytest.mark.parametrize(
    ("text", "code", "group", "shift", "place"),
    [
        ("z", "", 0, False, Place(21)),
        ("z", "KeyW", 0, False, Place(25)),  # at its own place, if it is there as well
        ("z", "KeyQ", 0, False, Place(21)),
        ("Z", "KeyW", 0, False, Place(25, shift=True)),
        ("Z", "KeyW", 0, True, Place(25)),
        ("z", "KeyW", 0, True, None),  # Shift is down: that key gives another one
        ("€", "", 0, False, Place(23)),
        ("а", "Minus", 1, False, Place(20)),
        ("А", "Minus", 1, True, Place(20)),
        ("а", "Minus", 0, False, None),
        ("z", "", 2, False, None),
        ("ü", "BracketLeft", 0, False, None),
    ],
)
def test_the_key_that_gives_it(
    layout: Layout, text: str, code: str, group: int, shift: bool, place: Place | None
) -> None:
    assert layout.find(text, code, group=group, shift=shift) == place


def test_keys_without_a_use(layout: Layout) -> None:
    assert layout.unused == (22,)


@pytest.mark.parametrize(
    ("symbol", "text"),
    [
        (0x61, "a"),
        (0xFC, "ü"),
        (0x01000000 | 0x1F600, "😀"),
        (0x1B9, "š"),
        (0x6CA, "й"),
        (0x6A4, "є"),
        (0x7E1, "α"),
        (0xCE0, "א"),
        (0xDA1, "ก"),
        (0x20AC, "€"),
        (0x7B1, ""),  # an accent in Greek, of a numbering of its own
        (0xFF0D, ""),  # Return
        (0xFE51, ""),  # dead_acute
        (0x01FFFFFF, ""),
        (0x07F, ""),
        (0, ""),
    ],
)
def test_the_character_of_a_keysym(symbol: int, text: str) -> None:
    assert character(symbol) == text


@pytest.mark.parametrize("text", ["a", "~", "ü", "ÿ", "€", "Ж", "😀"])
def test_each_character_has_a_keysym(text: str) -> None:
    assert character(keysym(text)) == text


def test_no_two_places_are_the_same_key() -> None:
    assert len(set(CODES.values())) == len(CODES) > 110
    assert (CODES["KeyQ"], CODES["KeyA"], CODES["KeyZ"]) == (24, 38, 52)
    assert (CODES["Space"], CODES["ArrowUp"], CODES["MetaLeft"]) == (65, 111, 133)
    assert (CODES["Delete"], CODES["F12"], CODES["NumpadEnter"]) == (119, 96, 104)
