"""This demonstrates a video call between browsers and a Python program.

The program takes part in a room over the public API alone: :func:`~icefloe.peer.join` for the
connections, :mod:`icefloe.media` for what it sends.
"""

from .participant import take_part

__all__ = ["take_part"]
