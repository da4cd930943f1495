"""Audio mixer: the sum of any number of tracks on one timeline, in 48 kHz stereo; for a thread.

Nothing here waits or reads a clock. Positions are samples since the start of the timeline.
"""

import numpy as np
from av import AudioFrame
from numpy.typing import NDArray

from icefloe.encoding import SoundConverter, SoundFormat

SAMPLE_RATE = 48000
CHANNELS = 2

_GAP_THRESHOLD = SAMPLE_RATE * 18 // 1000
"""Samples. A frame whose position differs by more than this from the end of the previous one is
placed at its own position. The threshold is less than a lost packet of 20 ms, and more than a
jitter buffer inserts or removes at once."""

_DRIFT_THRESHOLD = SAMPLE_RATE // 500
_STRETCH_DIVISOR = 200
"""A frame that is off by more than ``_DRIFT_THRESHOLD`` samples, 2 ms, is time-stretched by at most
one part in ``_STRETCH_DIVISOR``, which is inaudible."""

_MAX_AHEAD = 10 * SAMPLE_RATE
"""Maximum position after ``start`` at which a frame may begin: wrong timestamps must not make the
buffer grow."""


class Mixer:
    """An audio mixer that sums audio on a timeline and returns it in order."""

    def __init__(self) -> None:
        self._start = 0
        self._buffer: NDArray[np.int32] = np.zeros((SAMPLE_RATE, CHANNELS), np.int32)
        self.lost: int = 0
        """Number of samples that were dropped: too late, or too far ahead."""
        self.end: int = 0
        """Position of the end of all audio that was added."""

    @property
    def start(self) -> int:
        """Position up to which the audio was taken."""
        return self._start

    def add(self, position: int, samples: NDArray[np.int16]) -> None:
        """Add samples of shape ``(n, 2)``; those before ``start`` are dropped and counted."""
        late_samples = min(len(samples), max(0, self._start - position))
        samples = samples[late_samples:]
        begin = position + late_samples - self._start
        end = begin + len(samples)
        self.lost += late_samples
        if begin > _MAX_AHEAD:
            self.lost += len(samples)
            return
        if end > len(self._buffer):
            grown = np.zeros((max(end, 2 * len(self._buffer)), CHANNELS), np.int32)
            grown[: len(self._buffer)] = self._buffer
            self._buffer = grown
        self._buffer[begin:end] += samples
        self.end = max(self.end, self._start + end)

    def take(self, until: int) -> NDArray[np.int16]:
        """Take the audio from ``start`` to a position, with silence where there is none.

        Returns:
            Samples of shape ``(n, 2)``; the sum is clipped at full scale.
        """
        count = max(0, until - self._start)
        mixed = np.zeros((count, CHANNELS), np.int16)
        available = min(count, len(self._buffer))
        np.clip(self._buffer[:available], -32768, 32767, out=mixed[:available], casting="unsafe")
        self._buffer[: len(self._buffer) - available] = self._buffer[available:]
        self._buffer[len(self._buffer) - available :] = 0
        self._start += count
        return mixed


class MixerInput:
    """One input of a mixer; hides the jitter and clock drift of its track."""

    def __init__(self, mixer: Mixer) -> None:
        self._mixer = mixer
        self._converter = SoundConverter(SoundFormat(SAMPLE_RATE, "stereo"))
        self.end: int | None = None
        """Expected position of the next frame; ``None`` before the first."""

    def push(self, frame: AudioFrame, at: float) -> None:
        """Add a frame at a position of ``at`` seconds.

        Raises:
            UnusableSound: The frame cannot be used; the input is unchanged.
        """
        held = self._converter.held
        samples = np.frombuffer(self._converter.convert(frame), np.int16).reshape(-1, CHANNELS)
        begin = round((at - held) * SAMPLE_RATE)
        if len(samples):
            self._place(begin, samples)

    def _place(self, begin: int, samples: NDArray[np.int16]) -> None:
        end = begin if self.end is None else self.end
        offset = begin - end
        if offset > _GAP_THRESHOLD:
            end = begin
        elif offset < -_GAP_THRESHOLD:
            # Drop the part that overlaps the previous frame.
            self._mixer.lost += min(-offset, len(samples))
            samples = samples[-offset:]
        elif abs(offset) > _DRIFT_THRESHOLD:
            limit = max(1, len(samples) // _STRETCH_DIVISOR)
            samples = _stretched(samples, max(-limit, min(limit, offset)))
        self._mixer.add(end, samples)
        self.end = end + len(samples)


def _stretched(samples: NDArray[np.int16], by: int) -> NDArray[np.int16]:
    """Return the audio resampled to ``by`` more samples, or fewer if negative."""
    count = len(samples)
    at = np.linspace(0, count - 1, count + by)
    grid = np.arange(count)
    stretched = np.empty((count + by, CHANNELS), np.int16)
    for channel in range(CHANNELS):
        stretched[:, channel] = np.rint(np.interp(at, grid, samples[:, channel]))
    return stretched
