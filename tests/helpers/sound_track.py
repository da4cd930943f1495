"""A track of sound whose frames are whatever a test makes of them."""

import asyncio
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from tests.encoding.sounds import frame_of, tone

Kind = tuple[str, str, int, float]
"""Sample format, layout, rate, and seconds of a frame."""


class SoundTrack(MediaStreamTrack):
    """A tone that goes on while the format and the length of its frames change.

    Args:
        kinds: The format and length of the frame of a number; or what to give instead.
        timed: Whether frames tell their time.
        length: Seconds after which it ends.
    """

    kind = "audio"

    def __init__(
        self, kinds: Callable[[int], Any], *, timed: bool = True, length: float = 1e9
    ) -> None:
        super().__init__()
        self.kinds, self.timed, self.length = kinds, timed, length
        self.number, self.at = 0, Fraction(0)
        self.enabled = True
        self._began: float | None = None

    async def recv(self) -> Any:
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + float(self.at) - time.monotonic()))
        if self.readyState != "live" or self.at >= self.length:
            self.stop()
            raise MediaStreamError
        made = self.kinds(self.number)
        self.number += 1
        if not isinstance(made, tuple):
            self.at += Fraction(1, 50)
            return made
        form, layout, rate, seconds = made
        samples = round(seconds * rate)
        frame = frame_of(tone(self.at, samples, rate), form, layout, rate)
        if self.timed:
            frame.pts, frame.time_base = round(self.at * rate), Fraction(1, rate)
        self.at += Fraction(samples, rate)
        return frame


def same(form: str, layout: str, rate: int, seconds: float) -> Callable[[int], Kind]:
    """Return a function that has all frames be of one kind."""
    return lambda _: (form, layout, rate, seconds)


CHANGING = (
    ("s16", "mono", 48000, 0.02),
    ("fltp", "stereo", 44100, 0.06),
    ("s16", "5.1", 16000, 0.01),
    ("u8", "mono", 8000, 0.3),
    ("s32p", "stereo", 96000, 0.0025),
    ("dbl", "7.1", 192000, 0.04),
    ("s64p", "7.1", 24000, 0.5),
)


def changing(number: int) -> Kind:
    """Return another kind every few frames."""
    return CHANGING[number // 4 % len(CHANGING)]
