"""Demo of a remote desktop: the screen is sent as video, mouse and keyboard input come back.

::

    icefloe serve                                   # in one terminal
    python -m icefloe.demos.desktop                 # in another: others see this screen
    python -m icefloe.demos.desktop --control       # and may use it, with icefloe[desktop]

The user of this machine is asked on the terminal before a viewer gets control (:mod:`.consent`).

The screen is encoded once for all viewers (:mod:`.sharing`). A viewer who presses *Control* on the
page sends mouse and keyboard events over an ordered, reliable data channel (:mod:`.messages`).
Access control, and the tracking of pressed keys, need no I/O (:mod:`.control`). Input goes to an
:class:`.target.InputTarget`; there is one for X11 (:mod:`.x11`).
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
