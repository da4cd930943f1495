"""The root of the errors of ``icefloe.peer``."""

from icefloe.text import PrintableError


class PeerError(PrintableError):
    """The root of every error that ``icefloe.peer`` defines."""


def short(value: object, most: int = 80) -> str:
    """Return a value as an error message may have it; ``repr()`` escapes half a surrogate pair."""
    shown = repr(value[:most] if isinstance(value, str | bytes) else value)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
