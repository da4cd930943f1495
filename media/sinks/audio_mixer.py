"""Sound of any number of tracks added up on one timeline, in 48 kHz stereo; for a thread.

Nothing here waits or reads a clock. Positions are samples since the start of the timeline.
"""

import numpy as np
from av import AudioFrame
from numpy.typing import NDArray

from icefloe.encoding import SoundConverter, SoundFormat

SAMPLE_RATE = 48000
CHANNELS = 2

_GAP = SAMPLE_RATE * 18 // 1000
"""A frame that belongs further than this from the end of the one before is put where it belongs: it
is less than a lost packet of 20 ms, and more than a jitter buffer cuts out or puts in at once."""

_DRIFT = SAMPLE_RATE // 500
_STRETCH = 200
"""One that is off by more than 2 ms is stretched by up to a two-hundredth, which is not heard."""

_AHEAD = 10 * SAMPLE_RATE
"""How far ahead of what was taken sound may begin: wrong times must not make the mixer grow."""


class Mixer:
    """Adds up sound, and gives out what is complete."""

    def __init__(self) -> None:
        self._start = 0
        self._buffer: NDArray[np.int32] = np.zeros((SAMPLE_RATE, CHANNELS), np.int32)
        self.lost = 0
        """How many samples came too late, or belonged too far ahead."""
        self.heard = 0
        """The position of the end of what was added."""

    @property
    def start(self) -> int:
        """The position up to which everything was taken."""
        return self._start

    def add(self, position: int, samples: NDArray[np.int16]) -> None:
        """Add samples of shape ``(n, 2)``; what lies before ``start`` is lost and counted."""
        late = min(len(samples), max(0, self._start - position))
        samples = samples[late:]
        begin = position + late - self._start
        end = begin + len(samples)
        self.lost += late
        if begin > _AHEAD:
            self.lost += len(samples)
            return
        if end > len(self._buffer):
            grown = np.zeros((max(end, 2 * len(self._buffer)), CHANNELS), np.int32)
            grown[: len(self._buffer)] = self._buffer
            self._buffer = grown
        self._buffer[begin:end] += samples
        self.heard = max(self.heard, self._start + end)

    def take(self, until: int) -> NDArray[np.int16]:
        """Take all from ``start`` to a position, silence where there was nothing.

        The sum is cut off at full scale.
        """
        count = max(0, until - self._start)
        mixed = np.zeros((count, CHANNELS), np.int16)
        there = min(count, len(self._buffer))
        np.clip(self._buffer[:there], -32768, 32767, out=mixed[:there], casting="unsafe")
        self._buffer[: len(self._buffer) - there] = self._buffer[there:]
        self._buffer[len(self._buffer) - there :] = 0
        self._start += count
        return mixed


class Voice:
    """The sound of one track on its way into a mixer, without clicks from jitter and drift."""

    def __init__(self, mixer: Mixer) -> None:
        self._mixer = mixer
        self._converter = SoundConverter(SoundFormat(SAMPLE_RATE, "stereo"))
        self.end: int | None = None
        """The position at which the next frame is expected; None before the first."""

    def push(self, frame: AudioFrame, at: float) -> None:
        """Add a frame that belongs ``at`` seconds.

        Raises:
            UnusableSound: It cannot be used; it is as if it had not been given.
        """
        held = self._converter.held
        samples = np.frombuffer(self._converter.convert(frame), np.int16).reshape(-1, CHANNELS)
        begin = round((at - held) * SAMPLE_RATE)
        if len(samples):
            self._place(begin, samples)

    def _place(self, begin: int, samples: NDArray[np.int16]) -> None:
        end = begin if self.end is None else self.end
        off = begin - end
        if off > _GAP:
            end = begin
        elif off < -_GAP:
            # It overlaps what was heard already, and that part is left out.
            self._mixer.lost += min(-off, len(samples))
            samples = samples[-off:]
        elif abs(off) > _DRIFT:
            most = max(1, len(samples) // _STRETCH)
            samples = _stretched(samples, max(-most, min(most, off)))
        self._mixer.add(end, samples)
        self.end = end + len(samples)


def _stretched(samples: NDArray[np.int16], by: int) -> NDArray[np.int16]:
    """Make sound longer by so many samples, or shorter if negative."""
    count = len(samples)
    at = np.linspace(0, count - 1, count + by)
    grid = np.arange(count)
    stretched = np.empty((count + by, CHANNELS), np.int16)
    for channel in range(CHANNELS):
        stretched[:, channel] = np.rint(np.interp(at, grid, samples[:, channel]))
    return stretched
