"""Foreign text is shown on one line, and does nothing to where it is shown."""

import unicodedata

import pytest
from hypothesis import given, strategies as st

from icefloe.text import LIMIT, printable


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("Zoë", "Zoë"),
        ("日本語 👩\u200d🚀 ❤️", "日本語 👩\u200d🚀 ❤️"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\u00a0b\u3000c", "a b c"),
        ("C:\\temp", "C:\\temp"),
        ("\x1b]0;owned\x07\x1b[2J", "\\x1b]0;owned\\x07\\x1b[2J"),
        ("one\r\ntwo\ttabs", "one\\x0d\\x0atwo\\x09tabs"),
        ("\x85\u2028\u2029", "\\x85\\u2028\\u2029"),
        ("jpg\u202eexe", "jpg\\u202eexe"),
        ("\u2066\u2069\u200e\u200f\u061c", "\\u2066\\u2069\\u200e\\u200f\\u061c"),
        ("\ud83d", "\\ud83d"),
        ("\U000e0041\ue000", "\\U000e0041\\ue000"),
        ("\ufeff\u200b\u00ad", "\\ufeff\\u200b\\xad"),
        ("", ""),
    ],
)
def test_what_would_do_something_is_made_visible(foreign: str, shown: str) -> None:
    assert printable(foreign) == shown


def test_long_text_is_cut_and_says_so() -> None:
    assert printable("x" * LIMIT) == "x" * LIMIT
    assert printable("x" * (LIMIT + 1)) == "x" * LIMIT + "…"
    assert printable("\x1b" * 10_000_000, 3) == "\\x1b\\x1b\\x1b…"


def test_what_is_no_text_is_turned_into_it() -> None:
    assert printable(ValueError("a\nb")) == "a\\x0ab"
    assert printable(None) == "None"


@given(st.text(alphabet=st.characters(), max_size=300))
def test_nothing_that_is_shown_controls_anything(foreign: str) -> None:
    shown = printable(foreign)
    forbidden = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert {unicodedata.category(c) for c in shown if c not in "\u200c\u200d"}.isdisjoint(forbidden)
    assert len(shown.splitlines()) <= 1
    shown.encode()
