"""Names from the other side stay in the folder, whatever they are."""

import ntpath
import sys
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.files.errors import UnsafeName
from icefloe.peer.files.file_names import MAX_NAME_BYTES, arrange, part_name, safe_name
from icefloe.peer.files.protocol import Entry

anything = st.text(min_size=1, max_size=300)
awkward = st.sampled_from(
    [
        "a",
        "A",
        "ä",
        "a\u0308",
        "..",
        ".",
        "",
        "con",
        "a.",
        "b ",
        "x/y",
        "..\\z",
        "C:",
        "\0",
        "e\u202etxt",
    ]
)


@given(anything, st.booleans())
def test_a_safe_name_is_one_part_of_a_path_everywhere(name: str, windows: bool) -> None:
    try:
        safe = safe_name(name, windows=windows)
    except UnsafeName:
        assert name in (".", "..")
        return
    assert safe not in ("", ".", "..")
    assert len(safe.encode()) <= MAX_NAME_BYTES
    assert PurePosixPath(safe).parts == (safe,)
    assert not set(safe) & {"/", "\\", "\0", "\n", "\u202e"}
    assert unicodedata.normalize("NFC", safe) == safe
    assert safe_name(safe, windows=windows) == safe
    if windows:
        assert PureWindowsPath(safe).parts == (safe,)
        if sys.version_info >= (3, 13):
            assert not ntpath.isreserved(safe)
        else:
            assert not PureWindowsPath(safe).is_reserved()


@given(
    st.lists(st.lists(awkward | anything, min_size=1, max_size=4).map("/".join), max_size=12),
    st.booleans(),
    st.data(),
)
def test_arranged_names_are_inside_and_differ(
    paths: list[str], case_sensitive: bool, data: st.DataObject
) -> None:
    entries = [Entry(path, folder=data.draw(st.booleans())) for path in paths if path]
    try:
        places = arrange(entries, case_sensitive=case_sensitive, windows=True)
    except UnsafeName:
        return
    assert places == arrange(entries, case_sensitive=case_sensitive, windows=True)
    assert len(places) == len(entries)
    files = [place for place, entry in zip(places, entries, strict=True) if not entry.folder]
    keys = files if case_sensitive else [tuple(p.casefold() for p in place) for place in files]
    assert len(set(keys)) == len(files)
    for place in places:
        assert all(part not in ("", ".", "..") and "/" not in part for part in place)
        assert not any(file == place[: len(file)] for file in files if file != place)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("report.pdf", "report.pdf"),
        ("a\u0308.txt", "ä.txt"),
        ("a\nb", "a_b"),
        ("con", "_con"),
        ("LPT1.txt", "_LPT1.txt"),
        ("console", "console"),
        ("invoice\u202efdp.exe", "invoice_fdp.exe"),
        ("trailing. ", "trailing._"),
        ("a:b", "a:b"),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name, windows=False) == safe


def test_a_long_name_keeps_its_suffix() -> None:
    one, two = safe_name("日" * 200 + "1.tar"), safe_name("日" * 200 + "2.tar")
    assert one != two
    assert one.endswith(".tar")
    assert len(part_name(one, Entry("x")).encode()) <= 255


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../b", "a/./b", "a//b", "a/", "c:\\x", "a\\..\\b", "x/" * 70]
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(UnsafeName):
        arrange([Entry(path)])


def test_collisions_of_case_are_told_apart_where_it_matters() -> None:
    entries = [Entry("Makefile"), Entry("makefile"), Entry("d", folder=True), Entry("D/x")]
    assert arrange(entries) == [("Makefile",), ("makefile",), ("d",), ("D", "x")]
    assert arrange(entries, case_sensitive=False) == [
        ("Makefile",),
        ("makefile (2)",),
        ("d",),
        ("D (2)", "x"),
    ]
