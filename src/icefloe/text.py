"""Foreign text, made fit to be shown: in a terminal, a log, an error, or a file name.

Names, reasons and paths that another machine wrote can hold anything: escape sequences that clear
the screen or retitle the window, line breaks that forge a line of a log, marks that turn the
reading direction around so that ``exe.gpj`` reads as ``jpg.exe``. Everything that strangers wrote
goes through :func:`printable` before a person sees it.
"""

import unicodedata

LIMIT = 200
"""Characters that are shown at most by default."""

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


def _visible(character: str) -> str:
    if character.isprintable() or character in _KEPT:
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
