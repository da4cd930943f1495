"""libopus by ctypes: what FFmpeg's wrapper does not offer, at a third of its cost.

FFmpeg's decoder has neither in-band FEC nor concealment. Its encoder takes another bit rate only
when it is opened anew, and PyAV puts a filter graph before it, with a thread for each processor.
libopus comes with PyAV: its wheels bundle it, and elsewhere FFmpeg is linked with it.
"""

import ctypes
import ctypes.util
from functools import cache
from logging import Logger
from pathlib import Path

import av

from icefloe.logs import get_logger

RATE = 48000
CHANNELS = 2

_APPLICATION_VOIP = 2048
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC = 4002, 4010, 4012
_SET_PACKET_LOSS, _SET_FORCE_CHANNELS = 4014, 4022
_AUTO, _MONO = -1000, 1
_COMPLEXITY = 9
"""0 to 10; that of libwebrtc."""
_MAX_PACKET = 1276
"""Bytes of the longest frame with its header (RFC 6716 section 3.2.1)."""

logger: Logger = get_logger(__name__)


@cache
def library() -> ctypes.CDLL | None:
    """Load libopus; return ``None`` if there is none."""
    package = Path(av.__file__).parent
    places = (package.parent / "av.libs", package / ".dylibs", package)
    bundled = [str(path) for place in places for path in sorted(place.glob("*opus*"))]
    for name in (*bundled, ctypes.util.find_library("opus")):
        if name is None or "opusenc" in name or "opusfile" in name:
            continue
        try:
            found = ctypes.CDLL(name)
            return _declare(found)
        except (OSError, AttributeError) as error:
            logger.debug("opus.library.refused name=%s error=%s", name, error)
    logger.info("libopus was not found: lost audio is concealed without FEC")
    return None


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """Declare the functions that are used.

    Raises:
        AttributeError: A function is missing.
    """
    state, number = ctypes.c_void_p, ctypes.c_int
    for kind in ("decoder", "encoder"):
        getattr(library, f"opus_{kind}_create").restype = state
        destroy = getattr(library, f"opus_{kind}_destroy")
        destroy.argtypes, destroy.restype = [state], None
    error = ctypes.POINTER(number)
    library.opus_decoder_create.argtypes = [ctypes.c_int32, number, error]
    library.opus_encoder_create.argtypes = [ctypes.c_int32, number, number, error]
    library.opus_decode.restype = library.opus_encode.restype = number
    library.opus_decode.argtypes = [
        state,
        ctypes.c_char_p,
        ctypes.c_int32,
        ctypes.c_void_p,
        number,
        number,
    ]
    library.opus_encode.argtypes = [
        state,
        ctypes.c_char_p,
        number,
        ctypes.c_void_p,
        ctypes.c_int32,
    ]
    library.opus_encoder_ctl.restype = number
    # A variadic function: the declared arguments are those that are always there.
    library.opus_encoder_ctl.argtypes = [state, number]
    if hasattr(library, "opus_packet_has_lbrr"):  # since libopus 1.5
        library.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, ctypes.c_int32]
        library.opus_packet_has_lbrr.restype = number
    return library


class OpusEncoder:
    """Opus encoder for 48 kHz stereo. Not thread-safe.

    Raises:
        OSError: libopus is missing or fails; see :func:`library`.
    """

    def __init__(self) -> None:
        found = library()
        if found is None:
            raise OSError("libopus was not found; install PyAV's wheel, or libopus of the system")
        self._library = found
        error = ctypes.c_int()
        self._encoder = found.opus_encoder_create(
            RATE, CHANNELS, _APPLICATION_VOIP, ctypes.byref(error)
        )
        if not self._encoder:
            raise OSError(error.value, "libopus could not create an encoder")
        self._packet = ctypes.create_string_buffer(_MAX_PACKET)
        self._settings: dict[int, int] = {}
        self._set(_SET_COMPLEXITY, _COMPLEXITY)

    def __del__(self) -> None:
        if encoder := getattr(self, "_encoder", None):
            self._library.opus_encoder_destroy(encoder)

    def encode(self, samples: bytes, *, bitrate: int, loss: float, mono: bool) -> bytes:
        """Return a packet.

        Args:
            samples: Interleaved 16-bit samples of 20 ms.
            bitrate: Bits per second.
            loss: The expected packet loss, 0 to 1; above 0 it adds in-band FEC.
            mono: Whether both channels are the same, so that one is encoded.

        Raises:
            OSError: libopus refuses it.
        """
        self._set(_SET_BITRATE, bitrate)
        self._set(_SET_PACKET_LOSS, round(loss * 100))
        self._set(_SET_INBAND_FEC, int(loss > 0))
        self._set(_SET_FORCE_CHANNELS, _MONO if mono else _AUTO)
        size = self._library.opus_encode(
            self._encoder, samples, len(samples) // (2 * CHANNELS), self._packet, _MAX_PACKET
        )
        if size < 0:
            raise OSError(size, "libopus could not encode a packet")
        return self._packet.raw[:size]

    def _set(self, setting: int, value: int) -> None:
        if self._settings.get(setting) == value:
            return
        if error := self._library.opus_encoder_ctl(self._encoder, setting, ctypes.c_int(value)):
            raise OSError(error, "libopus refuses a setting")
        self._settings[setting] = value
