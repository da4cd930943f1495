"""PCM audio of applications: validation, and conversion to 48 kHz ``s16``."""

from dataclasses import dataclass
from fractions import Fraction

from av import AudioFrame

from icefloe.encoding import SoundConverter, SoundFormat
from icefloe.encoding.sound import LAYOUTS

from .._util.buffer import ArrayData, flat, view_of
from ..errors import InvalidParameter

SAMPLE_RATE = 48000
"""Output sample rate in hertz, the RTP clock rate of Opus (RFC 7587)."""

FRAME_SAMPLES = SAMPLE_RATE // 50
"""Samples of a frame of 20 ms."""

_FORMATS = {"int16": ("s16", 2), "float32": ("flt", 4)}
_DTYPES = {"h": "int16", "f": "float32"}
_MIN_RATE, _MAX_RATE = 4000, 384_000


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """Format of PCM audio with interleaved channels.

    Attributes:
        rate: Sample rate, in hertz.
        channels: 1 to 8.
        dtype: ``int16``, or ``float32`` from -1 to 1.
    """

    rate: int
    channels: int
    dtype: str

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample across all channels."""
        return self.channels * _FORMATS[self.dtype][1]


def read_pcm(
    pcm: ArrayData, rate: int, channels: int | None, dtype: str | None
) -> tuple[memoryview, PcmFormat]:
    """Determine and check the format of a buffer.

    Args:
        pcm: The buffer.
        rate: Sample rate, in hertz, 4000 to 384000.
        channels: 1 to 8; that of the array, or 1, if ``None``.
        dtype: ``int16`` or ``float32``; that of the array, or ``int16``, if ``None``.

    Returns:
        The bytes, a whole number of samples, and the format.

    Raises:
        InvalidParameter: The format is not supported, or contradicts ``channels`` or ``dtype``.
    """
    view, shape = view_of(pcm, "pcm")
    own = _DTYPES.get(view.format.lstrip("<=@"))
    if own is None and view.format not in ("B", "b", "c"):
        raise InvalidParameter("pcm", view.format, "give int16, float32 or bytes")
    if len(shape) > 2:
        raise InvalidParameter("pcm", shape, "give (samples,) or (samples, channels)")
    if len(shape) == 2 and own is not None:
        if channels not in (None, shape[1]):
            raise InvalidParameter("channels", channels, f"the array has {shape[1]}")
        channels = shape[1]
    if own is not None and dtype not in (None, own):
        raise InvalidParameter("dtype", dtype, f"the array has {own}")
    if not _MIN_RATE <= rate <= _MAX_RATE or rate != int(rate):
        raise InvalidParameter("rate", rate, f"give {_MIN_RATE} to {_MAX_RATE} Hz")
    layout = PcmFormat(int(rate), channels or 1, own or dtype or "int16")
    if layout.channels not in LAYOUTS:
        raise InvalidParameter("channels", layout.channels, "give 1 to 8")
    if layout.dtype not in _FORMATS:
        raise InvalidParameter("dtype", layout.dtype, 'give "int16" or "float32"')
    data = flat(view)
    if len(data) % layout.sample_bytes:
        raise InvalidParameter(
            "pcm", len(data), f"give whole samples: a multiple of {layout.sample_bytes} bytes"
        )
    return data, layout


def to_frame(data: memoryview, layout: PcmFormat) -> AudioFrame:
    """Return PCM audio of one sample or more as a frame without a timestamp."""
    samples = len(data) // layout.sample_bytes
    frame = AudioFrame(_FORMATS[layout.dtype][0], LAYOUTS[layout.channels], samples)
    frame.planes[0].update(data)  # type: ignore[arg-type]
    frame.sample_rate = layout.rate
    frame.time_base = Fraction(1, layout.rate)
    return frame


class PcmConverter:
    """Converter of PCM audio of one format to 48 kHz ``s16``, without clicks between chunks."""

    def __init__(self, layout: PcmFormat, channels: int) -> None:
        self._layout = layout
        self._converter = SoundConverter(SoundFormat(SAMPLE_RATE, LAYOUTS[channels]))

    def convert(self, data: memoryview) -> bytes:
        """Convert a chunk; the resampler holds back up to half a millisecond."""
        if not data:
            return b""
        return self._converter.convert(to_frame(data, self._layout))

    def finish(self) -> bytes:
        """Flush the resampler and return the rest."""
        return self._converter.finish()
