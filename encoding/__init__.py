"""Video and audio encoding and RTP packetization, shared by ``icefloe.media`` and ``icefloe.peer``.

Those two packages do not import each other. An encoded frame is an ``av.Packet`` whose ``opaque``
is an :class:`Encoded`; aiortc's own sender accepts it too.
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
