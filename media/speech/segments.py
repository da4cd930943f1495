"""Where speech begins and ends, from pieces of sound of which each is speech or not. No I/O.

A cough is not a word and a pause for breath no end: speech begins once enough of a short span was
speech, and ends after a while without any. What was just before the beginning belongs to it, for
the first consonant is faint.
"""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidParameter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RATE = 16000
"""Samples a second."""
PIECE = 320
"""Samples that are told apart at a time: 20 ms."""

_SECONDS = PIECE / RATE
_SPAN = 2.0
"""The span that ``minimum`` is looked for in, as a multiple of it."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody has begun to speak: the moment to stop talking oneself.

    Attributes:
        start: When the speech began, in seconds of the track's time; the pre-roll is before it.
    """

    start: float


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """What somebody has said.

    Attributes:
        start: When the samples begin, in seconds of the track's time; before the first word.
        end: When they end.
        samples: Shape ``(n,)``, ``int16``, mono, 16000 a second.
        complete: Whether a pause follows. If not, it was cut at the greatest length and goes on in
            the next segment, or the track has ended.
    """

    start: float
    end: float
    samples: "NDArray[np.int16]"
    complete: bool


SpeechEvent = SpeechStarted | SpeechSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechLimits:
    """How speech is cut into segments; all in seconds."""

    minimum: float = 0.06
    """How much must be speech, of twice that time, for a segment to begin."""
    pause: float = 0.6
    """How long nobody speaks until a segment ends."""
    before: float = 0.3
    """How much of what was before the beginning a segment has."""
    after: float = 0.2
    """How much of the pause after the end; at most ``pause``."""
    longest: float = 30.0
    """After how long a segment is cut."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("minimum", _SECONDS, 2.0),
            ("pause", _SECONDS, 10.0),
            ("before", 0.0, 5.0),
            ("after", 0.0, self.pause),
            ("longest", 1.0, 600.0),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidParameter(name, value, f"give {least:g} to {most:g} seconds")


class Segmenter:
    """Cuts the sound of one track.

    Args:
        limits: The lengths that count.
    """

    def __init__(self, limits: SpeechLimits) -> None:
        self._minimum = round(limits.minimum / _SECONDS)
        self._pause = round(limits.pause / _SECONDS)
        self._before = round(limits.before / _SECONDS)
        self._after = round(limits.after / _SECONDS)
        self._longest = round(limits.longest / _SECONDS)
        span = round(limits.minimum * _SPAN / _SECONDS)
        self._recent: deque[bool] = deque(maxlen=span)
        self._kept: deque[tuple[float, NDArray[np.int16]]] = deque(maxlen=self._before + span)
        self._segment: list[tuple[float, NDArray[np.int16]]] = []
        self._speaking = False
        self._quiet = 0

    @property
    def is_speaking(self) -> bool:
        """Whether a segment has begun and not ended."""
        return self._speaking

    def push(
        self, time: float, samples: "NDArray[np.int16]", *, is_speech: bool
    ) -> list[SpeechEvent]:
        """Take the next piece of sound.

        Args:
            time: When it begins, in seconds of the track's time.
            samples: :data:`PIECE` samples.
            is_speech: Whether it sounds like speech.

        Returns:
            What is known now.
        """
        if not self._speaking:
            return self._wait(time, samples, is_speech=is_speech)
        self._segment.append((time, samples))
        self._quiet = 0 if is_speech else self._quiet + 1
        if self._quiet >= self._pause:
            cut = self._quiet - self._after
            kept = self._segment[: len(self._segment) - cut]
            self._kept.extend(self._segment[len(kept) :])
            self._speaking = False
            self._recent.clear()
            return [_joined(kept, complete=True)]
        if len(self._segment) >= self._longest:
            kept, self._segment = self._segment, []
            return [_joined(kept, complete=False)]
        return []

    def finish(self) -> list[SpeechEvent]:
        """Return what had begun when the track ended, or where its sound has a gap."""
        left = self._segment if self._speaking else []
        self._speaking, self._segment = False, []
        self._recent.clear()
        self._kept.clear()
        return [_joined(left, complete=False)] if left else []

    def _wait(
        self, time: float, samples: "NDArray[np.int16]", *, is_speech: bool
    ) -> list[SpeechEvent]:
        self._recent.append(is_speech)
        self._kept.append((time, samples))
        if not is_speech or sum(self._recent) < self._minimum:
            return []
        began = len(self._recent) - list(self._recent).index(True)
        self._segment = list(self._kept)[-(began + self._before) :]
        start = self._kept[-began][0]
        self._kept.clear()
        self._speaking, self._quiet = True, 0
        return [SpeechStarted(start)]


def _joined(pieces: "list[tuple[float, NDArray[np.int16]]]", *, complete: bool) -> SpeechSegment:
    import numpy as np

    end = pieces[-1][0] + len(pieces[-1][1]) / RATE
    samples = np.concatenate([samples for _, samples in pieces])
    return SpeechSegment(pieces[0][0], end, samples, complete)
