"""Foreign text, made fit to be shown: in a terminal, a log, an error, or a file name.

Names, reasons and paths that another machine wrote can hold anything: escape sequences that clear
the screen or retitle the window, line breaks that forge a line of a log, marks that turn the
reading direction around so that ``exe.gpj`` reads as ``jpg.exe``. Everything that strangers wrote
goes through :func:`printable` before a person sees it, and through :func:`file_name` before it
names a file. Errors do so by their root (:class:`PrintableError`), and records of the log by their
logger (:mod:`icefloe.logs`).
"""

import os
import re
import sys
import unicodedata
from hashlib import blake2b

LIMIT = 200
"""Characters that are shown at most by default."""

SENTENCE = 2000
"""Characters of an error or of an argument of the log that are shown at most."""

LONGEST_NAME = 255
"""Bytes of a file name in UTF-8 that file systems take."""

_KEPT = frozenset("\u200c\u200d")
"""Joiners, which many scripts and emoji need, and which change nothing around them."""


def printable(text: object, limit: int = LIMIT) -> str:
    """Return foreign text on one line, with whatever is not shown as itself escaped.

    Control characters, escape sequences, marks of the reading direction, line and paragraph
    separators, lone surrogates, private and unassigned characters become ``\\x1b``, ``\\u202e`` and
    the like, as Python writes them; a backslash stays one.

    Args:
        text: What somebody wrote; anything else is turned into text first.
        limit: Characters of it that are shown at most; what follows becomes ``…``.
    """
    whole = text if isinstance(text, str) else str(text)
    # Cut before escaping: the cost must not grow with what was sent.
    shown = whole[:limit]
    if not shown.isprintable():
        shown = "".join(map(_visible, shown))
    return shown + "…" if len(whole) > limit else shown


def quoted(text: object, limit: int = LIMIT) -> str:
    """Return foreign text as Python writes it, with quotes; cut after so many characters."""
    # What is cut off anyhow is not worth escaping.
    short = text[: limit + 1] if isinstance(text, str | bytes | bytearray) else text
    shown = repr(short)
    return shown if len(shown) <= limit + 2 else f"{shown[:limit]}…"


_USER = re.compile(r"(?s)^([A-Za-z][A-Za-z0-9+.-]*:(?://)?)[^?#]*@")
_VALUE = re.compile(r"(?s)([?&](?!transport=)[^=&#]*=)[^&#]+")


def public_url(url: str) -> str:
    """Return a URL without what may be a secret: user and password, query values and fragment.

    What is no URL, such as the path of a file, stays as it is. The ``transport`` of a TURN server
    stays as well.
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
        return url
    url, _, fragment = url.partition("#")
    shown = _VALUE.sub(r"\1…", _USER.sub(r"\1…@", url))
    return f"{shown}#…" if fragment else shown


class PrintableError(Exception):
    """The root of the roots of icefloe's errors: its sentence is on one line, and printable.

    What another machine wrote often ends up in an error, and that on a terminal. The attributes of
    an error keep it as it came.
    """

    def __str__(self) -> str:
        return printable(super().__str__(), SENTENCE)

    def __repr__(self) -> str:
        return printable(super().__repr__(), SENTENCE)


_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|:|$)")
_WINDOWS_ONLY = re.compile(r'[<>:"|?*]')
_UNTOLD = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, surrogates, unassigned, line breaks
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of writing, so that ``exe.txt`` may end in ``.exe``."""


def file_name(
    text: str,
    *,
    longest: int = LONGEST_NAME,
    windows: bool = sys.platform == "win32",
) -> str:
    """Return the name of a file that is made of foreign text.

    The same text gives the same name every time, and a name that came out of it gives itself. What
    is too long ends in a mark of its hash, before its suffix, so that two that begin alike differ.

    Args:
        text: What somebody wrote.
        longest: Bytes in UTF-8 that the name may have, from 64.
        windows: Whether characters that Windows forbids are replaced.

    Returns:
        A name in Unicode's form NFC that is one part of a path on every system: neither empty nor
        ``.`` nor ``..``; without separators, control characters, or those that turn the direction
        of writing; no device of Windows.
    """
    name = unicodedata.normalize("NFC", text)
    told = (c if unicodedata.category(c) not in _UNTOLD else "_" for c in name)
    name = _TURNING.sub("_", "".join(told)).replace("/", "_").replace("\\", "_")
    name = _encodable(name)
    if windows:
        name = _WINDOWS_ONLY.sub("_", name)
    if not name or name[-1] in ". ":
        name = name[:-1] + "_"  # Windows drops them
    if _DEVICE.match(name):
        name = f"_{name}"
    return shortened(name, longest)


def _encodable(name: str) -> str:
    """Return a name without characters that names of files cannot have here, as with LC_ALL=C."""
    encoding = sys.getfilesystemencoding()
    try:
        name.encode(encoding)
    except UnicodeEncodeError:
        return "".join(c if c.encode(encoding, "ignore") else "_" for c in name)
    return name


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Return the name of a file in so many bytes of UTF-8, with a mark of its hash if it was cut.

    Args:
        name: The name.
        longest: Bytes that it may have.
    """
    if len(name.encode()) <= longest:
        return name
    stem, suffix = os.path.splitext(name)
    if len(suffix.encode()) > 32:
        stem, suffix = name, ""
    mark = "~" + blake2b(name.encode(), digest_size=4).hexdigest()
    room = longest - len((mark + suffix).encode())
    stem = stem.encode()[:room].decode(errors="ignore").rstrip(". ")
    return unicodedata.normalize("NFC", stem + mark + suffix)


def _visible(character: str) -> str:
    if character.isprintable() or character in _KEPT:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
