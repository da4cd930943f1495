"""icefloe: a WebRTC peer-connection stack for Python.

Three packages, each of which can be used alone:

* :mod:`icefloe.peer`: the peer connection, rooms, data channels.
* :mod:`icefloe.signaling`: the WebSocket signaling server and client.
* :mod:`icefloe.media`: sources, transforms and sinks for audio and video.

This module imports nothing, so that importing ``icefloe.signaling`` loads no codec.
"""

__version__ = "0.1.0"
