"""Audio resampling and mixdown that survives changes of the input format. No I/O.

The sample format, layout, rate and length may change from frame to frame, when a track is replaced
or a device plugged in. FFmpeg's resampler accepts one input format only. So each input format gets
its own resampler. When the format changes, the previous resampler is flushed first, so that no
sample is lost or inserted.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from av import AudioFrame, AudioLayout
from av.audio.plane import AudioPlane
from av.error import FFmpegError

from .errors import UnusableSound
from .resampler import Resampler

MIN_RATE, MAX_RATE = 4000, 384_000
"""Minimum and maximum sample rate of the input, in hertz."""

MAX_SECONDS = 60.0
"""Maximum length of a frame, in seconds."""

MAX_PLANES = 8
"""Maximum channels of planar audio; with more planes PyAV reads past the end of its list."""

LAYOUTS = {
    1: "mono",
    2: "stereo",
    3: "2.1",
    4: "quad",
    5: "5.0",
    6: "5.1",
    7: "6.1",
    8: "7.1",
}
"""Default layout by number of channels, for frames without a valid layout."""

_TYPES = {"s16": ("h", 2), "s32": ("i", 4)}
_PROBE_SAMPLES = 16
"""Samples of the frame that tests whether FFmpeg can mix a layout down."""


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """An output format of the converter, with interleaved channels.

    Attributes:
        rate: Sample rate, in hertz.
        layout: FFmpeg's name of the channel layout, such as ``mono`` or ``stereo``.
        type: ``s16`` or ``s32``. FFmpeg normalizes a mixdown to integer samples so that it does not
            clip; it does not for floating-point samples.
    """

    rate: int
    layout: str = "stereo"
    type: Literal["s16", "s32"] = "s16"

    @property
    def channels(self) -> int:
        """Number of channels.

        Raises:
            ValueError: FFmpeg does not know the layout.
        """
        return AudioLayout(self.layout).nb_channels

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample across all channels."""
        return self.channels * _TYPES[self.type][1]


def check_sound(frame: object) -> AudioFrame:
    """Return an object that a track delivered, if it is a usable audio frame.

    Raises:
        UnusableSound: It is no ``AudioFrame``, or has no samples, a sample rate out of range, more
            than :data:`MAX_SECONDS` seconds, or a channel layout that cannot be mixed down.
    """
    if not isinstance(frame, AudioFrame):
        reason = "an audio track must give av.AudioFrame, or av.Packet if it is encoded"
        raise UnusableSound(type(frame).__name__, reason)
    rate = frame.sample_rate
    if not MIN_RATE <= rate <= MAX_RATE:
        problem = f"its sample rate is {rate} Hz" if rate else "it has no sample rate"
        wanted = f"set frame.sample_rate to {MIN_RATE} to {MAX_RATE} Hz"
        raise UnusableSound(_describe(frame), f"{problem}; {wanted}")
    if not frame.samples or not planes_of(frame):
        raise UnusableSound(_describe(frame), "it has no samples; do not send it")
    if frame.samples > MAX_SECONDS * rate:
        raise UnusableSound(_describe(frame), f"it is longer than {MAX_SECONDS:g} s; split it")
    _layout_of(frame)
    return frame


def planes_of(frame: AudioFrame) -> list[AudioPlane]:
    """Return the planes of an audio frame: one, or one for each channel if its format is planar.

    With eight planar channels ``frame.planes`` of PyAV 18 has one too many, and that of PyAV 19
    raises ``ValueError``.
    """
    channels = frame.layout.nb_channels if frame.format.is_planar else 1
    if channels < MAX_PLANES:
        return list(frame.planes[:channels])
    return [AudioPlane(frame, index) for index in range(MAX_PLANES)]


def duration_of(frame: object) -> float:
    """Return the length of an audio frame, in seconds; 0 for anything else or without a rate."""
    if not isinstance(frame, AudioFrame) or frame.sample_rate <= 0:
        return 0.0
    return frame.samples / frame.sample_rate


def audio_level(samples: memoryview) -> int:
    """Return the audio level in decibels below full scale (RFC 6464, RFC 6465 appendix A).

    Args:
        samples: Bytes of ``s16`` samples, of any number of channels.

    Returns:
        0 for full scale, 127 for silence.
    """
    values = np.frombuffer(samples, np.int16).astype(np.float32)
    energy = float(values.dot(values))
    if not energy:
        return 127
    return min(127, max(0, round(-10 * math.log10(energy / len(values) / 32767**2))))


class SoundConverter:
    """Converter of the audio of one track to one format; used by one thread at a time.

    Mono is copied to both channels of stereo at the same level. FFmpeg mixes down more than two
    channels, normalized so that the sum does not clip.

    Args:
        target: Output format.

    Raises:
        ValueError: FFmpeg does not know the layout.
    """

    def __init__(self, target: SoundFormat) -> None:
        self.target = target
        self._sample_bytes = target.sample_bytes
        self._resampler: Resampler | None = None
        self._source: tuple[str, str, int] | None = None
        self._is_doubled = False
        self._taken = self._given = 0
        """Samples in and out since the input format changed last."""
        self._rest = 0.0
        """Fraction of a sample left over from previous input formats."""

    @property
    def held(self) -> float:
        """Seconds of audio that the resampler holds back."""
        if self._source is None:
            return 0.0
        return self._taken / self._source[2] - self._given / self.target.rate

    def convert(self, frame: object) -> bytes:
        """Convert a frame, which is not changed; the resampler may hold back its last samples.

        Args:
            frame: Audio of any format.

        Returns:
            Interleaved samples in the output format.

        Raises:
            UnusableSound: The frame cannot be used; the converter is unchanged.
        """
        usable = check_sound(frame)
        source = (usable.format.name, _layout_of(usable), usable.sample_rate)
        is_alike = (source[0], source[2]) == (self.target.type, self.target.rate)
        if is_alike and source[1] in (self.target.layout, "mono"):
            return self._pass(usable, source[1])
        before = b""
        if self._resampler is None or source != self._source:
            is_doubled = source[1] == "mono" and self.target.layout == "stereo"
            layout = "mono" if is_doubled else self.target.layout
            resampler = Resampler(self.target.type, layout, self.target.rate)
            parts = _resampled(resampler, usable, source[1])
            before = self.finish()
            self._resampler, self._source, self._is_doubled = resampler, source, is_doubled
        else:
            parts = _resampled(self._resampler, usable, source[1])
        self._taken += usable.samples
        return before + self._give(parts)

    def is_prepared(self, frame: AudioFrame) -> bool:
        """Return whether a frame needs no resampler, or the one that there is.

        A new one takes a millisecond, and starts threads.
        """
        name, layout, rate = frame.format.name, frame.layout.name, frame.sample_rate
        if (name, rate) == (self.target.type, self.target.rate):
            return self._source is None and layout in (self.target.layout, "mono")
        return (name, layout, rate) == self._source

    @property
    def is_doubled(self) -> bool:
        """True if the latest frame was mono that was copied to both channels."""
        return self._is_doubled

    def _pass(self, frame: AudioFrame, layout: str) -> bytes:
        """Return a frame that needs no resampling, after what was held back of those before."""
        before = self.finish()
        self._is_doubled = layout == "mono" and self.target.layout == "stereo"
        code, size = _TYPES[self.target.type]
        channels = 1 if layout == "mono" else self.target.channels
        data = bytes(memoryview(frame.planes[0])[: frame.samples * channels * size])
        return before + (_doubled(data, code) if self._is_doubled else data)

    def finish(self) -> bytes:
        """Flush the resampler and return the rest; :meth:`convert` may be called again."""
        if self._resampler is None or self._source is None:
            return b""
        wanted = self._rest + self._taken * self.target.rate / self._source[2]
        left = max(0, round(wanted) - self._given)
        self._rest = wanted - self._given - left
        rest = self._give(self._resampler.resample(None))
        self._resampler = self._source = None
        self._taken = self._given = 0
        # A resampler returns a few samples too many or too few, and none for very short input.
        return rest[: left * self._sample_bytes].ljust(left * self._sample_bytes, b"\0")

    def _give(self, parts: list[AudioFrame]) -> bytes:
        self._given += sum(part.samples for part in parts)
        code, size = _TYPES[self.target.type]
        size = size if self._is_doubled else self._sample_bytes
        # A plane can be longer than its samples.
        data = b"".join(bytes(part.planes[0])[: part.samples * size] for part in parts)
        return _doubled(data, code) if self._is_doubled else data


def _resampled(resampler: Resampler, frame: AudioFrame, layout: str) -> list[AudioFrame]:
    try:
        return resampler.resample(_copy(frame, layout))
    except (FFmpegError, ValueError, MemoryError) as error:
        raise UnusableSound(_describe(frame), f"FFmpeg rejects it: {error}") from error


def _copy(frame: AudioFrame, layout: str) -> AudioFrame:
    """Copy a frame without its timestamp, by which a resampler would insert silence in gaps."""
    if frame.pts is None and frame.layout.name == layout:
        return frame
    copy = AudioFrame(frame.format.name, layout, frame.samples)
    copy.sample_rate = frame.sample_rate
    for plane, original in zip(planes_of(copy), planes_of(frame), strict=True):
        plane.update(bytes(original)[: plane.buffer_size].ljust(plane.buffer_size, b"\0"))
    return copy


def _layout_of(frame: AudioFrame) -> str:
    """Return the name of a layout of the frame's channels that FFmpeg can mix down.

    Raises:
        UnusableSound: FFmpeg cannot mix down so many channels.
    """
    name, channels = frame.layout.name, frame.layout.nb_channels
    layout = _mixable(name, channels)
    if layout is None or (channels > MAX_PLANES and frame.format.is_planar):
        reason = f"its {channels} channels have no known layout; give 8 channels at most"
        raise UnusableSound(_describe(frame), reason)
    return layout


@lru_cache(64)
def _mixable(name: str, channels: int) -> str | None:
    if channels <= 2:
        return LAYOUTS.get(channels)  # also those such as "2 channels (FL+LFE)"
    for layout in (name, LAYOUTS.get(channels)):
        if layout is None:
            continue
        try:
            probe = AudioFrame("s16", layout, _PROBE_SAMPLES)
            probe.sample_rate = 48000
            Resampler("s16", "stereo", 48000).resample(probe)
        except (FFmpegError, ValueError):
            continue
        return layout
    return None


def _doubled(data: bytes, code: str) -> bytes:
    return np.frombuffer(data, code).repeat(2).tobytes()


def _describe(frame: AudioFrame) -> str:
    samples, rate = frame.samples, frame.sample_rate
    return f"{frame.format.name} {frame.layout.name}, {samples} samples at {rate} Hz"
