"""Detection of hardware H.264 encoders.

FFmpeg lists many encoders for which there is no device. So each is tested by encoding a picture.
The test takes up to a second; it runs once per process, in the thread that encodes.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from fractions import Fraction
from logging import Logger
from types import MappingProxyType

import av
from av import VideoFrame

from icefloe.logs import get_logger

FORBIDDEN_BY = "ICEFLOE_NO_HARDWARE_ENCODER"
"""Environment variable that disables hardware encoders unless it is unset, empty or 0."""

OPTIONS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "h264_nvenc": {
            "preset": "p4",
            "tune": "ull",
            "delay": "0",
            "zerolatency": "1",
            "bf": "0",
            "forced-idr": "1",
        },
        "h264_qsv": {"preset": "veryfast", "async_depth": "1", "bf": "0", "forced_idr": "1"},
        "h264_vaapi": {"async_depth": "1", "bf": "0"},
        "h264_v4l2m2m": {},
    }
)
"""Encoders in order of preference, with the options that make each of them low-latency."""

PIXEL_FORMATS = MappingProxyType({"h264_qsv": "nv12", "h264_vaapi": "nv12"})
"""Input pixel formats of encoders that do not take ``yuv420p``."""

logger: Logger = get_logger(__name__)

_lock = threading.Lock()
_found: dict[Sequence[str], str | None] = {}
_forbidden = False


def forbid_hardware(forbidden: bool = True) -> None:
    """Disable hardware for encoders that are opened from now on, or allow it again.

    Args:
        forbidden: Whether hardware is disabled.
    """
    global _forbidden
    _forbidden = forbidden


def hardware_encoder(names: Sequence[str] = tuple(OPTIONS)) -> str | None:
    """Return the name of the first encoder that works; ``None`` if none works or is allowed.

    The first call blocks for up to a second: call it in a thread.

    Args:
        names: FFmpeg's names of encoders, in order of preference.
    """
    if _forbidden or os.environ.get(FORBIDDEN_BY, "0") not in ("", "0"):
        return None
    with _lock:
        key = tuple(names)
        if key not in _found:
            _found[key] = next((name for name in names if works(name)), None)
            logger.info("encoder.hardware name=%s", _found[key])
        return _found[key]


def works(name: str) -> bool:
    """Return whether an encoder opens on this machine and encodes a test picture."""
    format = PIXEL_FORMATS.get(name, "yuv420p")
    frame = VideoFrame(320, 240, format)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.pts, frame.time_base = 0, Fraction(1, 90000)
    try:
        context = av.CodecContext.create(name, "w")
        if not isinstance(context, av.VideoCodecContext):
            return False
        context.width, context.height, context.pix_fmt = 320, 240, format
        context.time_base, context.framerate = Fraction(1, 90000), Fraction(30)
        context.bit_rate = 500_000
        context.options = dict(OPTIONS.get(name, {}))
        return bool(context.encode(frame) or context.encode(None))
    except (av.FFmpegError, ValueError, OSError) as error:
        logger.debug("encoder.absent name=%s reason=%s", name, error)
        return False
