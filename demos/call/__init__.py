"""Demo of a video call between browsers and a Python program.

The program uses only the public API: :func:`~icefloe.peer.join` for the connections, and
:mod:`icefloe.media` for the media that it sends.
"""

from .participant import take_part

__all__ = ["take_part"]
