"""icefloe: a WebRTC peer-connection stack for Python.

Three packages, each of which can be used alone:

* :mod:`icefloe.peer`: the peer connection, rooms, data channels.
* :mod:`icefloe.signaling`: the WebSocket signaling server and client.
* :mod:`icefloe.media`: sources and transforms for audio and video.

This module imports nothing, so that ``icefloe.signaling`` starts without loading a codec.
"""

__version__ = "0.1.0"
