"""Encoding and packing, for whoever sends: one peer connection, or a fan-out to many.

``icefloe.media`` and ``icefloe.peer`` do not know each other; what both need to encode a picture
and to cut it into RTP payloads is here. An encoded frame is an ``av.Packet`` whose ``opaque`` is an
:class:`Encoded`: aiortc's own sender takes it too.
"""

from .audio import AudioEncoder
from .clock import MediaClock, SoundClock
from .errors import EncodingError, Refusals, UnusablePicture, UnusableSound
from .hardware import forbid_hardware, hardware_encoder
from .packing import Encoded, encoded, is_key_frame, make_packet
from .pictures import PictureConverter, turn_of, upright_size
from .queue import PacketQueue
from .requests import KeyFrameRequests
from .sound import SoundConverter, SoundFormat, check_sound, duration_of
from .video import VideoEncoder, default_bitrate, largest_bitrate

__all__ = [
    "AudioEncoder",
    "Encoded",
    "EncodingError",
    "KeyFrameRequests",
    "MediaClock",
    "PacketQueue",
    "PictureConverter",
    "Refusals",
    "SoundClock",
    "SoundConverter",
    "SoundFormat",
    "UnusablePicture",
    "UnusableSound",
    "VideoEncoder",
    "check_sound",
    "default_bitrate",
    "duration_of",
    "encoded",
    "forbid_hardware",
    "hardware_encoder",
    "is_key_frame",
    "largest_bitrate",
    "make_packet",
    "turn_of",
    "upright_size",
]
