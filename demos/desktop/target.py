"""Where input goes: what a system has to offer, and which one is used here.

There is one for X11. Another system takes a class with the methods of :class:`InputTarget`, and a
line in :func:`open_target`.
"""

import os
import sys
from collections.abc import Mapping
from typing import Protocol

from icefloe.text import PrintableError


class InputUnavailable(PrintableError):
    """Input cannot be given to this machine.

    Attributes:
        reason: Why not, and what to do.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"This machine cannot be controlled: {reason}")


class InputTarget(Protocol):
    """A machine whose pointer and keyboard can be used.

    All methods may block for as long as the system takes, are called from one thread, and raise
    :class:`InputUnavailable` when the system does not take input any more.
    """

    def move(self, x: float, y: float) -> None:
        """Put the pointer there.

        Args:
            x: From the left of the screen that is shown, 0 to 1.
            y: From its top, 0 to 1.
        """

    def button(self, button: int, down: bool) -> None:
        """Press or release a button, numbered as ``MouseEvent.button`` is."""

    def wheel(self, x: int, y: int) -> None:
        """Turn the wheel by so many notches to the right and down."""

    def press(self, code: str, text: str) -> None:
        """Press a key.

        Args:
            code: Its place, as ``KeyboardEvent.code``.
            text: The character that it is to give, whatever this machine has at that place; empty
                for a key without one.
        """

    def release(self, code: str) -> None:
        """Release the key that was pressed under this code."""

    def type(self, text: str) -> None:
        """Press and release what gives these characters; ``\\n`` is Enter and ``\\t`` is Tab."""

    def close(self) -> None:
        """Give back what was taken of the system; closing twice does no harm."""


def open_target(
    display: str | None = None,
    *,
    platform: str = sys.platform,
    environment: Mapping[str, str] = os.environ,
) -> InputTarget:
    """Open what takes input on this machine.

    Args:
        display: The X server, as ``:0``; that of the environment if ``None``.
        platform: As ``sys.platform``.
        environment: Where the display and the kind of session are looked up.

    Raises:
        InputUnavailable: There is nothing for this system yet, or it refuses.
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
