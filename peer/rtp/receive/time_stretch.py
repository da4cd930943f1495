"""Time stretching of audio without pitch change: one pitch period is removed or repeated.

Voiced sound is periodic with 2.5 to 15 ms. Two similar adjacent periods are cross-faded, so only
the duration changes. Where no period is found, nothing is done, unless the audio is so quiet that
no difference is audible. This is WSOLA (Verhelst and Roelands, 1993) with a single step.
"""

from array import array
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    Samples: TypeAlias = array[int]
    """Signed 16-bit samples; those of several channels are interleaved."""
else:
    Samples = array  # which takes no parameters before Python 3.12
"""Signed samples of 16 bits, those of several channels interleaved."""

MIN_PERIOD, MAX_PERIOD = 0.0025, 0.015
"""Range of periods searched, in seconds."""

_MIN_CORRELATION = 0.9
"""Minimum normalized correlation of two periods."""
_SILENCE_RMS = 100.0
"""Maximum root mean square of audio that counts as silence: 50 dB below full scale."""
_COARSE_RATE = 4000
"""Sample rate of the coarse search, in Hz."""


def samples_needed(rate: int) -> int:
    """Return how many samples of one channel are needed to find the longest period."""
    return 2 * round(MAX_PERIOD * rate)


def find_period(mono: NDArray[np.int16], rate: int) -> int | None:
    """Return the pitch period of a sound.

    Args:
        mono: Samples of one channel; with fewer than :func:`samples_needed`, only shorter periods
            are found.
        rate: Samples per second.

    Returns:
        The period in samples, or ``None`` if no period is similar enough.
    """
    longest, shortest = min(round(MAX_PERIOD * rate), len(mono) // 2), round(MIN_PERIOD * rate)
    if longest <= shortest:
        return None
    head = mono[: 2 * longest].astype(np.float64)
    if np.dot(head, head) < _SILENCE_RMS**2 * len(head):
        return longest
    factor = max(1, rate // _COARSE_RATE)
    coarse = head[: len(head) // factor * factor].reshape(-1, factor).sum(axis=1)
    window, first = longest // factor, max(1, shortest // factor)
    fitness = np.round(_correlations(coarse, first, window, window), 1)
    # Of several equally good lags, prefer the longest: several periods at once.
    about = window - int(np.argmax(fitness[::-1]))
    lowest, highest = max(shortest, (about - 1) * factor), min(longest, (about + 1) * factor)
    length = max(shortest, longest // 3)
    best = lowest + int(np.argmax(_correlations(head, lowest, highest, length)))
    return best if _correlations(head, best, best, best)[0] >= _MIN_CORRELATION else None


def _correlations(
    sound: NDArray[np.float64], lowest: int, highest: int, length: int
) -> NDArray[np.float64]:
    """Return the normalized autocorrelation of ``length`` samples at each lag of a range."""
    first = sound[:length]
    later = sound[lowest : highest + length]
    products = np.correlate(later, first)
    squares = np.concatenate(((0.0,), np.cumsum(later * later)))
    energy = np.dot(first, first) * (squares[length:] - squares[:-length])
    # A cumulated sum is not exact: what is left of nothing may be slightly less than it.
    return np.where(energy > 1.0, products / np.sqrt(np.maximum(energy, 1.0)), 0.0)


def accelerate(samples: Samples, channels: int, rate: int) -> Samples | None:
    """Remove one period near the beginning.

    Args:
        samples: Interleaved samples; :func:`samples_needed` samples of each channel are searched.
        channels: Number of channels.
        rate: Samples per second and channel.

    Returns:
        Fewer samples, or ``None`` if no period was found.
    """
    found = find_period(_mono(samples, channels), rate)
    if found is None:
        return None
    size = found * channels
    return cross_fade(samples[:size], samples[size : 2 * size], channels) + samples[2 * size :]


def decelerate(samples: Samples, channels: int, rate: int) -> Samples | None:
    """Repeat one period near the beginning; otherwise like :func:`accelerate`."""
    found = find_period(_mono(samples, channels), rate)
    if found is None:
        return None
    size = found * channels
    again = cross_fade(samples[size : 2 * size], samples[:size], channels)
    return samples[:size] + again + samples[size:]


def cross_fade(out: Samples, into: Samples, channels: int) -> Samples:
    """Cross-fade from one sound to another of the same length."""
    frames = len(out) // channels
    if not frames:
        return array("h")
    shape = frames, channels
    before = np.frombuffer(out, np.int16).reshape(shape).astype(np.int32)
    after = np.frombuffer(into, np.int16).reshape(shape).astype(np.int32)
    position = np.arange(frames, dtype=np.int32)[:, np.newaxis]
    mixed = (before * (frames - position) + after * position) // frames
    return array("h", mixed.astype(np.int16).tobytes())


def apply_gain(samples: Samples, first: float, last: float) -> Samples:
    """Change the loudness evenly from one factor to another, each 0 to 1."""
    gain = np.linspace(first, last, len(samples), endpoint=False)
    return array("h", (np.frombuffer(samples, np.int16) * gain).astype(np.int16).tobytes())


def _mono(samples: Samples, channels: int) -> NDArray[np.int16]:
    # Search the first channel only. Sound in another channel alone is rare, and only less smooth.
    return np.frombuffer(samples, np.int16)[::channels]
