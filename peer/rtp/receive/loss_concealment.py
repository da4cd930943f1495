"""Packet-loss concealment by pitch repetition: the last period is repeated and faded out.

It serves codecs without concealment of their own. ITU-T G.711 appendix I describes the method in
detail.
"""

from array import array

import numpy as np

from .time_stretch import MAX_PERIOD, MIN_PERIOD, Samples, cross_fade, find_period, samples_needed

_HOLD = 0.02
"""Seconds of concealment at full gain."""
_FADE = 0.06
"""Seconds of the fade-out that follows."""


class LossConcealment:
    """Concealment for one stream.

    Args:
        rate: Samples per second and channel.
        channels: Number of channels.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate = rate
        self._channels = channels
        self._past: Samples = array("h")
        self._period: Samples = array("h")
        self._concealed = 0

    def join(self, samples: Samples) -> Samples:
        """Return decoded samples, cross-faded with the concealment before them if there was any."""
        if self._concealed:
            length = min(round(MIN_PERIOD * self._rate) * self._channels, len(samples))
            concealed = self.conceal(length // self._channels)
            samples = cross_fade(concealed, samples[:length], self._channels) + samples[length:]
        self._concealed = 0
        keep = 2 * samples_needed(self._rate) * self._channels
        self._past = (self._past + samples)[-keep:]
        return samples

    def conceal(self, count: int) -> Samples:
        """Return ``count`` concealed samples per channel, interleaved."""
        if not self._concealed:
            self._period = self._last_period()
        if not self._period:
            return array("h", bytes(2 * count * self._channels))
        start = self._concealed
        self._concealed += count
        period = np.frombuffer(self._period, np.int16).reshape(-1, self._channels)
        position = np.arange(start, start + count)
        beyond = position / self._rate - _HOLD
        gain = np.clip(1 - beyond / _FADE, 0.0, 1.0)[:, np.newaxis]
        return array("h", (period[position % len(period)] * gain).astype(np.int16).tobytes())

    def _last_period(self) -> Samples:
        wanted = samples_needed(self._rate)
        if len(self._past) < wanted * self._channels:
            return array("h")
        tail = np.frombuffer(self._past, np.int16)[-wanted * self._channels :: self._channels]
        # Reversed, so that the period is matched at the end.
        found = find_period(tail[::-1], self._rate) or round(MAX_PERIOD * self._rate)
        return self._past[-found * self._channels :]
