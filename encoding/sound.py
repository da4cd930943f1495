"""Sound of any format turned into one format, without a gap where it changes. No I/O.

A frame may have any sample format, any layout that can be mixed down, any rate and any length, and
the next one others: programs replace tracks, devices are plugged in, decoders change their mind.
FFmpeg's resampler takes one format and refuses the next. Here each format has a resampler of its
own; what the one before held back comes first, and not a sample is lost or put in between.
"""

import math
from array import array
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from av import AudioFrame, AudioLayout, AudioResampler
from av.error import FFmpegError

from .errors import UnusableSound

LOWEST_RATE, HIGHEST_RATE = 4000, 384_000
"""Samples a second of what is taken."""

LONGEST = 60.0
"""Seconds of a frame at most."""

MOST_PLANES = 8
"""Channels of planar sound at most; PyAV reads past the end of the list of more planes."""

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
"""What so many channels are taken for where the frame does not say, or says what cannot be."""

_TYPES = {"s16": ("h", 2), "s32": ("i", 4)}
_PROBE = 16
"""Samples of the frame by which it is tried whether a layout can be mixed down."""


@dataclass(frozen=True, slots=True)
class SoundFormat:
    """The format that sound is turned into: samples of all channels, interleaved.

    Attributes:
        rate: Samples of a channel a second.
        layout: FFmpeg's name for the channels, such as ``mono`` or ``stereo``.
        type: ``s16`` or ``s32``. What is mixed down to either is not too loud for it, which FFmpeg
            does not see to for samples of floating point.
    """

    rate: int
    layout: str = "stereo"
    type: Literal["s16", "s32"] = "s16"

    @property
    def channels(self) -> int:
        """How many there are.

        Raises:
            ValueError: FFmpeg knows no such layout.
        """
        return AudioLayout(self.layout).nb_channels

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * _TYPES[self.type][1]


def check_sound(frame: object) -> AudioFrame:
    """Return what a track of audio gave, if it is sound that can be used.

    Raises:
        UnusableSound: It is no ``AudioFrame``, or has no samples, an impossible sample rate, more
            than :data:`LONGEST` seconds, or channels of which nobody knows where they belong.
    """
    if not isinstance(frame, AudioFrame):
        reason = "a track of audio gives av.AudioFrame, or av.Packet where it is encoded"
        raise UnusableSound(type(frame).__name__, reason)
    rate = frame.sample_rate
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        told = f"its sample rate is {rate} Hz" if rate else "it has no sample rate"
        wanted = f"set frame.sample_rate to {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        raise UnusableSound(_describe(frame), f"{told}; {wanted}")
    if not frame.samples or not frame.planes:
        raise UnusableSound(_describe(frame), "it has no samples; leave it out")
    if frame.samples > LONGEST * rate:
        raise UnusableSound(_describe(frame), f"it is longer than {LONGEST:g} s; cut it up")
    _layout_of(frame)
    return frame


def duration_of(frame: object) -> float:
    """Return how long sound is, in seconds; 0 for what is none, or cannot be used."""
    if not isinstance(frame, AudioFrame) or frame.sample_rate <= 0:
        return 0.0
    return frame.samples / frame.sample_rate


def audio_level(samples: memoryview) -> int:
    """Return how many decibels below full scale sound is (RFC 6464, RFC 6465 appendix A).

    Args:
        samples: ``s16``, of any number of channels, as bytes.

    Returns:
        0 for the loudest sound, 127 for silence.
    """
    values = samples.cast("B").cast("h")
    energy = math.hypot(*values) if values else 0.0
    if not energy:
        return 127
    return min(127, max(0, round(-20 * math.log10(energy / math.sqrt(len(values)) / 32767))))


class SoundConverter:
    """Turns the sound of one track into one format; for one thread at a time.

    One channel goes into both of two, as loud as it was. More than two are mixed down as FFmpeg
    does, none of them so loud that the sum is cut off.

    Args:
        target: What it is turned into.

    Raises:
        ValueError: There is no such layout.
    """

    def __init__(self, target: SoundFormat) -> None:
        self.target = target
        self._sample_bytes = target.sample_bytes
        self._resampler: AudioResampler | None = None
        self._source: tuple[str, str, int] | None = None
        self._is_doubled = False
        self._taken = self._given = 0
        """Samples of the source since its format is this one, and those that came of them."""
        self._rest = 0.0
        """The part of a sample that the formats before left over."""

    @property
    def held(self) -> float:
        """How many seconds went in and did not come out."""
        if self._source is None:
            return 0.0
        return self._taken / self._source[2] - self._given / self.target.rate

    def convert(self, frame: object) -> bytes:
        """Return what comes out for a frame, which is not changed; the last of it may come later.

        Args:
            frame: Sound of any format.

        Raises:
            UnusableSound: It cannot be used; it is as if it had not been given.
        """
        usable = check_sound(frame)
        source = (usable.format.name, _layout_of(usable), usable.sample_rate)
        before = b""
        if self._resampler is None or source != self._source:
            is_doubled = source[1] == "mono" and self.target.layout == "stereo"
            layout = "mono" if is_doubled else self.target.layout
            resampler = AudioResampler(self.target.type, layout, self.target.rate)
            parts = _resampled(resampler, usable, source[1])
            before = self.finish()
            self._resampler, self._source, self._is_doubled = resampler, source, is_doubled
        else:
            parts = _resampled(self._resampler, usable, source[1])
        self._taken += usable.samples
        return before + self._give(parts)

    def finish(self) -> bytes:
        """Return what was held back. The next frame may have another format."""
        if self._resampler is None or self._source is None:
            return b""
        wanted = self._rest + self._taken * self.target.rate / self._source[2]
        left = max(0, round(wanted) - self._given)
        self._rest = wanted - self._given - left
        rest = self._give(self._resampler.resample(None))
        self._resampler = self._source = None
        self._taken = self._given = 0
        # A resampler gives a few samples more or less than it took, and of very few none at all.
        return rest[: left * self._sample_bytes].ljust(left * self._sample_bytes, b"\0")

    def _give(self, parts: list[AudioFrame]) -> bytes:
        self._given += sum(part.samples for part in parts)
        code, size = _TYPES[self.target.type]
        size = size if self._is_doubled else self._sample_bytes
        # A plane can be longer than its samples.
        data = b"".join(bytes(part.planes[0])[: part.samples * size] for part in parts)
        return _doubled(data, code) if self._is_doubled else data


def _resampled(resampler: AudioResampler, frame: AudioFrame, layout: str) -> list[AudioFrame]:
    try:
        return resampler.resample(_copy(frame, layout))
    except (FFmpegError, ValueError, MemoryError) as error:
        raise UnusableSound(_describe(frame), f"FFmpeg refuses it: {error}") from error


def _copy(frame: AudioFrame, layout: str) -> AudioFrame:
    """Copy a frame without its time: others may hold it, and a resampler fills up gaps."""
    if frame.pts is None and frame.layout.name == layout:
        return frame
    copy = AudioFrame(frame.format.name, layout, frame.samples)
    copy.sample_rate = frame.sample_rate
    # With eight channels or more PyAV tells of planes that there are not.
    planes = frame.layout.nb_channels if frame.format.is_planar else 1
    for plane, original in zip(copy.planes[:planes], frame.planes[:planes], strict=True):
        plane.update(bytes(original)[: plane.buffer_size].ljust(plane.buffer_size, b"\0"))
    return copy


def _layout_of(frame: AudioFrame) -> str:
    """Return the name of a layout that FFmpeg can mix down.

    Raises:
        UnusableSound: It can mix down none of so many channels.
    """
    name, channels = frame.layout.name, frame.layout.nb_channels
    layout = _mixable(name, channels)
    if layout is None or (channels > MOST_PLANES and frame.format.is_planar):
        reason = f"nobody knows where its {channels} channels belong; give 8 at most"
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
            probe = AudioFrame("s16", layout, _PROBE)
            probe.sample_rate = 48000
            AudioResampler("s16", "stereo", 48000).resample(probe)
        except (FFmpegError, ValueError):
            continue
        return layout
    return None


def _doubled(data: bytes, code: str) -> bytes:
    one = array(code, data)
    both = array(code, bytes(2 * len(data)))
    both[::2] = one
    both[1::2] = one
    return both.tobytes()


def _describe(frame: AudioFrame) -> str:
    samples, rate = frame.samples, frame.sample_rate
    return f"{frame.format.name} {frame.layout.name}, {samples} samples at {rate} Hz"
