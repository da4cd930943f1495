"""This demonstrates a remote desktop: the screen goes out as video, mouse and keys come back.

::

    icefloe serve                                   # in one terminal
    python -m icefloe.demos.desktop                 # in another: others see this screen
    python -m icefloe.demos.desktop --control       # and may use it, with icefloe[desktop]

Before somebody may, it is asked for on the terminal (:mod:`.consent`).

The screen is encoded once, however many look (:mod:`.sharing`). Whoever presses *Control* on the
page sends what mouse and keyboard do over an ordered, reliable data channel (:mod:`.messages`);
who may, and what is held down, is decided without any I/O (:mod:`.control`). What comes out at the
end is an :class:`.target.InputTarget`, of which there is one for X11 (:mod:`.x11`).
"""

from .consent import Consent, ask_on_terminal, everybody
from .sharing import show, take_part
from .target import InputTarget, InputUnavailable

__all__ = [
    "Consent",
    "InputTarget",
    "InputUnavailable",
    "ask_on_terminal",
    "everybody",
    "show",
    "take_part",
]
