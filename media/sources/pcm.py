"""Raw sound as applications have it, turned into 48 kHz ``s16``."""

from dataclasses import dataclass
from fractions import Fraction

from av import AudioFrame

from icefloe.encoding import SoundConverter, SoundFormat
from icefloe.encoding.sound import LAYOUTS

from .._util.buffer import ArrayData, flat, view_of
from ..errors import InvalidParameter

SAMPLE_RATE = 48000
"""Samples a second of all that comes out, the clock of Opus in RTP (RFC 7587)."""

FRAME_SAMPLES = SAMPLE_RATE // 50
"""Samples of a frame of 20 ms."""

_FORMATS = {"int16": ("s16", 2), "float32": ("flt", 4)}
_DTYPES = {"h": "int16", "f": "float32"}
_MIN_RATE, _MAX_RATE = 4000, 384_000


@dataclass(frozen=True, slots=True)
class PcmFormat:
    """How raw sound is laid out, channels interleaved.

    Attributes:
        rate: Samples a second of each channel.
        channels: 1 to 8.
        dtype: ``int16``, or ``float32`` from -1 to 1.
    """

    rate: int
    channels: int
    dtype: str

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * _FORMATS[self.dtype][1]


def read_pcm(
    pcm: ArrayData, rate: int, channels: int | None, dtype: str | None
) -> tuple[memoryview, PcmFormat]:
    """Find out how a buffer is laid out.

    Returns:
        Its bytes, a whole number of samples, and the layout.

    Raises:
        InvalidParameter: It is none of the layouts above, or contradicts ``channels`` or ``dtype``.
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
        raise InvalidParameter("rate", rate, f"give {_MIN_RATE} to {_MAX_RATE} samples a second")
    layout = PcmFormat(int(rate), channels or 1, own or dtype or "int16")
    if layout.channels not in LAYOUTS:
        raise InvalidParameter("channels", layout.channels, "give 1 to 8")
    if layout.dtype not in _FORMATS:
        raise InvalidParameter("dtype", layout.dtype, 'give "int16" or "float32"')
    data = flat(view)
    if len(data) % layout.sample_bytes:
        raise InvalidParameter(
            "pcm", len(data), f"give a multiple of {layout.sample_bytes} bytes, a whole sample"
        )
    return data, layout


def to_frame(data: memoryview, layout: PcmFormat) -> AudioFrame:
    """Return raw sound as a frame, without a timestamp; there must be a sample at least."""
    samples = len(data) // layout.sample_bytes
    frame = AudioFrame(_FORMATS[layout.dtype][0], LAYOUTS[layout.channels], samples)
    frame.planes[0].update(data)  # type: ignore[arg-type]
    frame.sample_rate = layout.rate
    frame.time_base = Fraction(1, layout.rate)
    return frame


class PcmConverter:
    """Turns sound of one layout into 48 kHz ``s16``, piece after piece without a seam."""

    def __init__(self, layout: PcmFormat, channels: int) -> None:
        self._layout = layout
        self._converter = SoundConverter(SoundFormat(SAMPLE_RATE, LAYOUTS[channels]))

    def convert(self, data: memoryview) -> bytes:
        """Return what comes out for a piece; its last half millisecond may come later."""
        if not data:
            return b""
        return self._converter.convert(to_frame(data, self._layout))

    def finish(self) -> bytes:
        """Return what was held back."""
        return self._converter.finish()
