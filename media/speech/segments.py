"""Speech segmentation: onset, hangover and pre-roll around the decisions of a detector. No I/O.

Segmentation must not start on a cough and must not end on a pause for breath. So a segment starts
once enough frames of a short span were speech, and ends after a pause. The pre-roll includes audio
from before the start, because the first consonant is often too faint to be detected.
"""

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import InvalidParameter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16000
"""Sample rate, in hertz."""
FRAME_SAMPLES = 320
"""Samples of a frame, the unit of detection: 20 ms."""

_FRAME_SECONDS = FRAME_SAMPLES / SAMPLE_RATE
_ONSET_SPAN = 2.0
"""Span within which ``minimum`` of speech starts a segment, as a multiple of ``minimum``."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Event at the start of speech; a voice bot stops talking at this event.

    Attributes:
        start: Start of the speech without pre-roll, in seconds of media time.
    """

    start: float


@dataclass(frozen=True, slots=True)
class SpeechSegment:
    """A segment of speech.

    Attributes:
        start: Media time of the first sample, pre-roll included, in seconds.
        end: Media time of the end of the samples, in seconds.
        samples: Shape ``(n,)``, ``int16``, mono, 16 kHz.
        complete: Whether the segment ended with a pause. If not, it was cut at the maximum length
            and the next segment continues it, or the track has ended.
    """

    start: float
    end: float
    samples: "NDArray[np.int16]"
    complete: bool


SpeechEvent = SpeechStarted | SpeechSegment


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechLimits:
    """Segmentation of speech; all values in seconds.

    Raises:
        InvalidParameter: A value is out of range.
    """

    minimum: float = 0.06
    """Speech within a span of twice this length that starts a segment, 0.02 to 2."""
    pause: float = 0.6
    """Pause that ends a segment, 0.02 to 10."""
    before: float = 0.3
    """Pre-roll: audio from before the start of speech, 0 to 5."""
    after: float = 0.2
    """Part of the pause that is kept at the end of a segment, 0 to ``pause``."""
    longest: float = 30.0
    """Maximum length of a segment, which is cut there, 1 to 600."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("minimum", _FRAME_SECONDS, 2.0),
            ("pause", _FRAME_SECONDS, 10.0),
            ("before", 0.0, 5.0),
            ("after", 0.0, self.pause),
            ("longest", 1.0, 600.0),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidParameter(name, value, f"give {least:g} to {most:g} seconds")


class Segmenter:
    """Segmentation of the speech of one track.

    Args:
        limits: Lengths of pauses, pre-roll and segments.
    """

    def __init__(self, limits: SpeechLimits) -> None:
        self._minimum = round(limits.minimum / _FRAME_SECONDS)
        self._pause = round(limits.pause / _FRAME_SECONDS)
        self._before = round(limits.before / _FRAME_SECONDS)
        self._after = round(limits.after / _FRAME_SECONDS)
        self._longest = round(limits.longest / _FRAME_SECONDS)
        span = round(limits.minimum * _ONSET_SPAN / _FRAME_SECONDS)
        self._recent: deque[bool] = deque(maxlen=span)
        self._kept: deque[tuple[float, NDArray[np.int16]]] = deque(maxlen=self._before + span)
        self._segment: list[tuple[float, NDArray[np.int16]]] = []
        self._speaking = False
        self._quiet = 0

    @property
    def is_speaking(self) -> bool:
        """True while a segment has started and not ended."""
        return self._speaking

    def push(
        self, time: float, samples: "NDArray[np.int16]", *, is_speech: bool
    ) -> list[SpeechEvent]:
        """Add the next frame of audio.

        Args:
            time: Media time of its first sample, in seconds.
            samples: :data:`FRAME_SAMPLES` samples.
            is_speech: Decision of the detector for this frame.

        Returns:
            Events that follow from this frame.
        """
        if not self._speaking:
            return self._detect_onset(time, samples, is_speech=is_speech)
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
        """End a started segment, at the end of the track or at a gap, and return its event."""
        left = self._segment if self._speaking else []
        self._speaking, self._segment = False, []
        self._recent.clear()
        self._kept.clear()
        return [_joined(left, complete=False)] if left else []

    def _detect_onset(
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


def _joined(frames: "list[tuple[float, NDArray[np.int16]]]", *, complete: bool) -> SpeechSegment:
    import numpy as np

    end = frames[-1][0] + len(frames[-1][1]) / SAMPLE_RATE
    samples = np.concatenate([samples for _, samples in frames])
    return SpeechSegment(frames[0][0], end, samples, complete)
