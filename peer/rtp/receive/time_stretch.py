"""Audio played a little faster or slower at its own pitch: one period is left out, or repeated.

A sound that is voiced repeats itself each 2.5 to 15 ms. Where two such periods are alike, one fades
into the other, and nothing but the length changes. Where nothing repeats, nothing is done, unless
it is so quiet that no one hears a difference. This is WSOLA (Verhelst and Roelands, 1993) with a
single step.
"""

from array import array
from collections.abc import Sequence
from math import sqrt
from operator import mul
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Samples: TypeAlias = array[int]
else:
    Samples = array  # which takes no parameters before Python 3.12
"""Signed samples of 16 bits, those of several channels interleaved."""

SHORTEST, LONGEST = 0.0025, 0.015
"""The periods that are looked for, in seconds."""

_ALIKE = 0.9
_QUIET = 100.0
"""The root mean square of what is taken for silence: 50 dB below full scale."""
_COARSE_RATE = 4000


def needed(rate: int) -> int:
    """Return how many samples of one channel it takes to find the longest periods."""
    return 2 * round(LONGEST * rate)


def period(mono: Samples, rate: int) -> int | None:
    """Return the period after which a sound is most like itself.

    Args:
        mono: Samples; with fewer than :func:`needed` only shorter periods are found.
        rate: Samples a second.

    Returns:
        A number of samples, or ``None`` if it is not alike after any.
    """
    longest, shortest = min(round(LONGEST * rate), len(mono) // 2), round(SHORTEST * rate)
    if longest <= shortest:
        return None
    head = mono[: 2 * longest]
    if sqrt(sum(map(mul, head, head)) / len(head)) < _QUIET:
        return longest
    factor = max(1, rate // _COARSE_RATE)
    coarse = [sum(head[i : i + factor]) for i in range(0, len(head) - factor + 1, factor)]
    window = longest // factor

    def fitness(lag: int) -> tuple[float, int]:
        # Of several periods that do as well, all of them at once.
        return round(_likeness(coarse, lag, min(window, len(coarse) - lag)), 1), lag

    about = max(range(max(1, shortest // factor), window + 1), key=fitness)
    around = range(max(shortest, (about - 1) * factor), min(longest, (about + 1) * factor) + 1)
    length = max(shortest, longest // 3)
    best = max(around, key=lambda lag: _likeness(head, lag, length))
    return best if _likeness(head, best, best) >= _ALIKE else None


def _likeness(sound: Sequence[int], lag: int, length: int) -> float:
    """Return the normalized correlation of a sound with itself, later by ``lag``."""
    first, later = sound[:length], sound[lag : lag + length]
    energy = sum(map(mul, first, first)) * sum(map(mul, later, later))
    return sum(map(mul, first, later)) / sqrt(energy) if energy else 0.0


def accelerate(samples: Samples, channels: int, rate: int) -> Samples | None:
    """Leave out one period near the beginning.

    Args:
        samples: Interleaved samples; :func:`needed` of each channel are looked at.
        channels: How many channels they have.
        rate: Samples of a channel a second.

    Returns:
        Fewer samples, or ``None`` if they are not alike anywhere.
    """
    found = period(_mono(samples, channels), rate)
    if found is None:
        return None
    size = found * channels
    return fade(samples[:size], samples[size : 2 * size], channels) + samples[2 * size :]


def decelerate(samples: Samples, channels: int, rate: int) -> Samples | None:
    """Repeat one period near the beginning; otherwise as :func:`accelerate`."""
    found = period(_mono(samples, channels), rate)
    if found is None:
        return None
    size = found * channels
    again = fade(samples[size : 2 * size], samples[:size], channels)
    return samples[:size] + again + samples[size:]


def fade(out: Samples, into: Samples, channels: int) -> Samples:
    """Fade from one sound to another of the same length."""
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
    # The first channel stands for all: what is in none but another is rare, and merely less smooth.
    return samples[::channels]
