"""Foreign text is shown on one line, and does nothing to where it is shown."""

import unicodedata

import pytest
from hypothesis import example, given, strategies as st

from icefloe.text import LIMIT, LONGEST_NAME, file_name, printable, quoted


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


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("it's", '"it\'s"'),
        ("a\nb\x1b\u202e", r"'a\nb\x1b\u202e'"),
        (b"\x00a", r"b'\x00a'"),
        (None, "None"),
        (7, "7"),
    ],
)
def test_quoted_text_is_as_python_writes_it(foreign: object, shown: str) -> None:
    assert quoted(foreign) == shown


def test_quoted_text_is_cut() -> None:
    assert quoted("x" * LIMIT) == f"'{'x' * LIMIT}'"
    for foreign in ("x" * 10_000_000, b"x" * 10_000_000, ["x" * 1000]):
        assert len(quoted(foreign)) == LIMIT + 1
        assert quoted(foreign).endswith("x…")


@pytest.mark.parametrize(
    ("foreign", "name"),
    [
        ("alice", "alice"),
        ("", "_"),
        (".", "_"),
        ("..", "._"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("a\\b", "a_b"),
        ("CON", "_CON"),
        ("com1.mkv", "_com1.mkv"),
        ("a. ", "a._"),
        ("\x00\x1b[2J\r\n\u2028", "__[2J___"),
        ("jpg\u202eexe\u061c", "jpg_exe_"),
        ("\ud83d", "_"),
        ('<a>:"|?*', "_a______"),
        ("e\u0301", "é"),
    ],
)
def test_file_names(foreign: str, name: str) -> None:
    assert file_name(foreign, windows=True) == name


@given(st.text(alphabet=st.characters(), max_size=600), st.integers(64, LONGEST_NAME))
@example("\U00020000" * 64, 120)
@example("\u0958" * 85, LONGEST_NAME)  # grows when it is normalized
def test_a_file_name_is_one_part_of_a_path_of_so_many_bytes(foreign: str, longest: int) -> None:
    name = file_name(foreign, longest=longest, windows=True)
    assert 1 <= len(name.encode()) <= longest
    assert name not in (".", "..")
    assert not {"/", "\\", "\0", "\n", ":"} & set(name)
    assert name[-1] not in ". "
    assert file_name(name, longest=longest, windows=True) == name
    assert {unicodedata.category(c) for c in name}.isdisjoint({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


def test_long_names_that_begin_alike_differ() -> None:
    one, two = file_name("日" * 200 + "1.mkv"), file_name("日" * 200 + "2.mkv")
    assert one != two
    assert one.endswith(".mkv")
    assert len(one.encode()) <= LONGEST_NAME
