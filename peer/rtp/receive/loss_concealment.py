"""Audio made up where none came: the last period again and again, fading.

It is for codecs that do not make anything up themselves. ITU-T G.711 appendix I describes the same
idea at length.
"""

from array import array

from .time_stretch import LONGEST, SHORTEST, Samples, fade, needed, period

_HOLD = 0.02
_FADE = 0.06
"""Seconds for which it is held, and within which it fades to silence then."""


class Concealment:
    """Makes up what is missing in one stream.

    Args:
        rate: Samples of a channel a second.
        channels: How many channels there are.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate = rate
        self._channels = channels
        self._past: Samples = array("h")
        self._period: Samples = array("h")
        self._made = 0

    def heard(self, samples: Samples) -> Samples:
        """Take what was decoded, and return it so that it joins what was made up before it."""
        if self._made:
            length = min(round(SHORTEST * self._rate) * self._channels, len(samples))
            made_up = self.make_up(length // self._channels)
            samples = fade(made_up, samples[:length], self._channels) + samples[length:]
        self._made = 0
        keep = 2 * needed(self._rate) * self._channels
        self._past = (self._past + samples)[-keep:]
        return samples

    def make_up(self, count: int) -> Samples:
        """Return so many samples of each channel."""
        if not self._made:
            self._period = self._last_period()
        if not self._period:
            return array("h", bytes(2 * count * self._channels))
        start = self._made * self._channels
        size = len(self._period)
        self._made += count
        return array(
            "h",
            [
                int(self._period[i % size] * self._loudness(i // self._channels))
                for i in range(start, start + count * self._channels)
            ],
        )

    def _last_period(self) -> Samples:
        wanted = needed(self._rate)
        if len(self._past) < wanted * self._channels:
            return array("h")
        tail = self._past[-wanted * self._channels :: self._channels]
        # Looked at backwards, the end is where the period counts.
        found = period(tail[::-1], self._rate) or round(LONGEST * self._rate)
        return self._past[-found * self._channels :]

    def _loudness(self, sample: int) -> float:
        beyond = sample / self._rate - _HOLD
        return min(1.0, max(0.0, 1 - beyond / _FADE))
