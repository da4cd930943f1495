"""Root class of the errors of ``icefloe.peer``."""

from icefloe.text import PrintableError


class PeerError(PrintableError):
    """Root class of every error that ``icefloe.peer`` defines."""


def short(value: object, most: int = 80) -> str:
    """Return ``repr(value)`` cut to a length that fits into an error message.

    ``repr()`` also escapes lone surrogates, which could not be printed.

    Args:
        value: The value to show.
        most: Maximum length of the result, in characters.
    """
    shown = repr(value[:most] if isinstance(value, str | bytes) else value)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"
