"""The interface for injecting input into a desktop, and the choice of its implementation.

There is an implementation for X11. Another system needs a class with the methods of
:class:`InputTarget`, and a line in :func:`open_target`.
"""

import os
import sys
from collections.abc import Mapping
from typing import Protocol

from icefloe.text import PrintableError


class InputUnavailable(PrintableError):
    """Input cannot be injected on this machine.

    Attributes:
        reason: The reason, and what to do about it.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"This machine cannot be controlled: {reason}")


class InputTarget(Protocol):
    """Injects pointer and keyboard input.

    The methods may block, are called from one thread, and raise :class:`InputUnavailable` when the
    system does not accept input any more.
    """

    def move(self, x: float, y: float) -> None:
        """Move the pointer.

        Args:
            x: The horizontal position, from 0 (left edge of the screen) to 1.
            y: The vertical position, from 0 (top edge) to 1.
        """

    def button(self, button: int, down: bool) -> None:
        """Press or release a mouse button, numbered as ``MouseEvent.button``."""

    def wheel(self, x: int, y: int) -> None:
        """Turn the wheel by a number of notches to the right (``x``) and down (``y``)."""

    def press(self, code: str, text: str) -> None:
        """Press a key.

        Args:
            code: The physical key, as ``KeyboardEvent.code``.
            text: The character that it must give, whatever the layout of this machine; empty for a
                key without a character.
        """

    def release(self, code: str) -> None:
        """Release the key that was pressed with this code."""

    def type(self, text: str) -> None:
        r"""Type characters; ``\n`` is Enter and ``\t`` is Tab."""

    def close(self) -> None:
        """Restore the layout and disconnect. Further calls have no effect."""


def open_target(
    display: str | None = None,
    *,
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
) -> InputTarget:
    """Open the input target of this machine.

    Args:
        display: The X server, as ``:0``; that of the environment if ``None``.
        platform: The platform, as ``sys.platform``.
        environment: The environment variables with the display and the type of the session.

    Raises:
        InputUnavailable: The system is not supported, or does not accept input.
    """
    if platform in ("darwin", "win32"):
        reason = "there is no InputTarget for it yet, on Linux there is one for X11"
        raise InputUnavailable(f"{reason}. Without --control others can look")
    if display is None and environment.get("XDG_SESSION_TYPE") == "wayland":
        raise InputUnavailable(
            "Wayland lets programs neither see nor use the desktop this way. Log in to a session"
            " of X11 (“on Xorg”), or name the X server to share with --display"
        )
    name = display or environment.get("DISPLAY")
    if not name:
        raise InputUnavailable("DISPLAY is not set. Name the X server with --display, as :0")
    try:
        from .x11 import X11Target
    except ImportError as error:
        missing = "xcffib is not installed. Install it: pip install 'icefloe[desktop]'"
        raise InputUnavailable(missing) from error
    return X11Target(name)
