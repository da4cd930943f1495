"""This demonstrates a remote desktop: the screen goes out as video, mouse and keys come back.

::

    icefloe serve                                   # in one terminal
    python -m icefloe.demos.desktop                 # in another: others see this screen
    python -m icefloe.demos.desktop --control       # and may use it, with icefloe[desktop]

The screen is encoded once, however many look (:mod:`.sharing`). Whoever presses *Control* on the
page sends what mouse and keyboard do over an ordered, reliable data channel (:mod:`.messages`);
who may, and what is held down, is decided without any I/O (:mod:`.control`). What comes out at the
end is an :class:`.target.InputTarget`, of which there is one for X11 (:mod:`.x11`).
"""

from .sharing import show, take_part
from .target import InputTarget, InputUnavailable

__all__ = ["InputTarget", "InputUnavailable", "show", "take_part"]
