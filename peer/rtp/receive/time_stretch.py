"""Time stretching of audio without pitch change: one pitch period is removed or repeated.

Voiced sound is periodic with 2.5 to 15 ms. Two similar adjacent periods are cross-faded, so only
the duration changes. Where no period is found, nothing is done, unless the audio is so quiet that
no difference is audible. This is WSOLA (Verhelst and Roelands, 1993) with a single step.
"""

from array import array
from collections.abc import Sequence
from math import sqrt
from operator import mul
from typing import TYPE_CHECKING, TypeAlias

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


def find_period(mono: Samples, rate: int) -> int | None:
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
    head = mono[: 2 * longest]
    if sqrt(sum(map(mul, head, head)) / len(head)) < _SILENCE_RMS:
        return longest
    factor = max(1, rate // _COARSE_RATE)
    coarse = [sum(head[i : i + factor]) for i in range(0, len(head) - factor + 1, factor)]
    window = longest // factor

    def fitness(lag: int) -> tuple[float, int]:
        # Of several equally good lags, prefer the longest: several periods at once.
        return round(_correlation(coarse, lag, min(window, len(coarse) - lag)), 1), lag

    about = max(range(max(1, shortest // factor), window + 1), key=fitness)
    around = range(max(shortest, (about - 1) * factor), min(longest, (about + 1) * factor) + 1)
    length = max(shortest, longest // 3)
    best = max(around, key=lambda lag: _correlation(head, lag, length))
    return best if _correlation(head, best, best) >= _MIN_CORRELATION else None


def _correlation(sound: Sequence[int], lag: int, length: int) -> float:
    """Return the normalized autocorrelation of ``length`` samples at a lag."""
    first, later = sound[:length], sound[lag : lag + length]
    energy = sum(map(mul, first, first)) * sum(map(mul, later, later))
    return sum(map(mul, first, later)) / sqrt(energy) if energy else 0.0


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
    frames = len(out) // channels or 1
    mixed = array("h", bytes(2 * len(out)))
    for channel in range(channels):
        mixed[channel::channels] = array(
            "h",
            [
                (a * (frames - i) + b * i) // frames
                for i, (a, b) in enumerate(
                    zip(out[channel::channels], into[channel::channels], strict=True)
                )
            ],
        )
    return mixed


def _mono(samples: Samples, channels: int) -> Samples:
    # Search the first channel only. Sound in another channel alone is rare, and only less smooth.
    return samples[::channels]
