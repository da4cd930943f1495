"""Escaping of untrusted text for terminals, logs and errors, and safe file names.

Names, reasons and paths from another machine can contain anything: escape sequences that clear the
screen or change the title of the window, line breaks that forge a line of a log, bidirectional
formatting characters that make ``exe.gpj`` read as ``jpg.exe``. All untrusted text goes through
:func:`printable` before it is shown, and through :func:`file_name` before it names a file. Errors
do that through their base class (:class:`PrintableError`), log records through their logger
(:mod:`icefloe.logs`).
"""

import os
import re
import sys
import unicodedata
from hashlib import blake2b

LIMIT = 200
"""The largest number of characters shown by default."""

MAX_SENTENCE = 2000
"""The largest number of characters shown of an error, or of an argument of a log record."""

LONGEST_NAME = 255
"""The largest number of UTF-8 bytes in a file name on common file systems."""

_JOINERS = frozenset("\u200c\u200d")
"""Zero-width joiners: many scripts and emoji need them, and they do not affect other characters."""


def printable(text: object, limit: int = LIMIT) -> str:
    r"""Return untrusted text on one line, with unprintable characters escaped.

    Control characters, escape sequences, bidirectional formatting characters, line and paragraph
    separators, lone surrogates, private and unassigned characters become ``\x1b``, ``\u202e`` and
    so on, as in Python literals; a backslash is not escaped.

    Args:
        text: The text; any other object is converted to text.
        limit: The largest number of characters shown; the rest is replaced by ``…``.
    """
    whole = text if isinstance(text, str) else str(text)
    # Cut first, so that the cost does not grow with the length of the text.
    shown = whole[:limit]
    if not shown.isprintable():
        shown = "".join(map(_visible, shown))
    return shown + "…" if len(whole) > limit else shown


def quoted(text: object, limit: int = LIMIT) -> str:
    """Return untrusted text as a Python literal, with quotes, cut after ``limit`` characters."""
    # Cut first, so that the cost does not grow with the length of the text.
    short = text[: limit + 1] if isinstance(text, str | bytes | bytearray) else text
    shown = repr(short)
    return shown if len(shown) <= limit + 2 else f"{shown[:limit]}…"


_USER = re.compile(r"(?s)^([A-Za-z][A-Za-z0-9+.-]*:(?://)?)[^?#]*@")
_VALUE = re.compile(r"(?s)([?&](?!transport=)[^=&#]*=)[^&#]+")


def public_url(url: str) -> str:
    """Return a URL without parts that may be secret: user, password, query values and fragment.

    The query value ``transport`` of a TURN server is kept. Text that is not a URL, such as the path
    of a file, is returned unchanged.
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", url):
        return url
    url, _, fragment = url.partition("#")
    shown = _VALUE.sub(r"\1…", _USER.sub(r"\1…@", url))
    return f"{shown}#…" if fragment else shown


class PrintableError(Exception):
    """The base class of all errors of icefloe; its message is printable and on one line.

    Errors often include text from another machine and are shown on terminals. The attributes of an
    error keep that text unescaped.
    """

    def __str__(self) -> str:
        return printable(super().__str__(), MAX_SENTENCE)

    def __repr__(self) -> str:
        return printable(super().__repr__(), MAX_SENTENCE)


_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|:|$)")
_WINDOWS_FORBIDDEN = re.compile(r'[<>:"|?*]')
_FORBIDDEN = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Unicode categories: controls, surrogates, private and unassigned characters, separators."""

_BIDI_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Bidirectional formatting characters, with which a name may seem to end in another suffix."""


def file_name(
    text: str,
    *,
    longest: int = LONGEST_NAME,
    windows: bool = sys.platform == "win32",
) -> str:
    """Return a safe file name made from untrusted text.

    The function is deterministic and idempotent. A name that is too long gets a hash before its
    suffix, so that two names with the same beginning stay different.

    Args:
        text: The text.
        longest: The largest number of UTF-8 bytes of the name, at least 64.
        windows: Whether characters that Windows forbids are replaced.

    Returns:
        A name in Unicode normalization form NFC that is a single path component on every system:
        not empty, ``.`` or ``..``, without separators, control characters or bidirectional
        formatting characters, and not a device name of Windows.
    """
    name = unicodedata.normalize("NFC", text)
    kept = (c if unicodedata.category(c) not in _FORBIDDEN else "_" for c in name)
    name = _BIDI_CONTROLS.sub("_", "".join(kept)).replace("/", "_").replace("\\", "_")
    name = _encodable(name)
    if windows:
        name = _WINDOWS_FORBIDDEN.sub("_", name)
    if not name or name[-1] in ". ":
        name = name[:-1] + "_"  # Windows drops a dot or space at the end
    if _DEVICE.match(name):
        name = f"_{name}"
    return shortened(name, longest)


def _encodable(name: str) -> str:
    """Replace the characters that the encoding of file names does not have, as with LC_ALL=C."""
    encoding = sys.getfilesystemencoding()
    try:
        name.encode(encoding)
    except UnicodeEncodeError:
        return "".join(c if c.encode(encoding, "ignore") else "_" for c in name)
    return name


def shortened(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a file name cut to a number of UTF-8 bytes, with a hash of the name if it was cut.

    Args:
        name: The file name.
        longest: The largest number of bytes.
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
    if character.isprintable() or character in _JOINERS:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
