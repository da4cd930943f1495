"""Voice activity detector (VAD) that uses energy, pitch and their changes. No I/O.

Noise may be loud but has no pitch; a tone has a pitch but does not change. Speech is louder than
the background noise, mostly voiced, and changes within a fifth of a second. A decision takes about
50 microseconds for 20 ms of audio. Music that changes like speech, and chords with beating tones,
are taken for speech; if that matters, give ``speech()`` a trained detector.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from .segments import FRAME_SAMPLES, SAMPLE_RATE

_SPEECH_MARGIN = 9.0
"""Minimum level of speech above the noise floor, in dB."""
_MIN_LEVEL = -55.0
"""Minimum level of speech, in dB relative to full scale."""
_NOISE_FLOOR_FRAMES = 75
"""Frames, 1.5 s, over which the minimum level is the noise floor."""
_DECISION_FRAMES = 8
"""Frames, 160 ms, over which a decision is made."""
_VOICED_CORRELATION = 0.4
"""Minimum normalized autocorrelation of voiced speech at the pitch period; noise reaches 0.3."""
_EMPHASIS = 0.9
_LEVEL_RANGE = 3.0
"""Minimum range of the level of speech over the decision frames, in dB."""
_PITCH_RANGE = 0.04
"""Minimum relative range of the pitch of speech over the same; one of the two must be reached."""
_HIGH_PITCH, _LOW_PITCH = 400, 70
"""Pitch range of voices, in hertz."""
_DECIMATION = 4
"""Decimation before the pitch search: the energy of voices is at low frequencies."""


class EnergyDetector:
    """Voice activity detector with memory of the previous frames."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=_NOISE_FLOOR_FRAMES)
        self._before = np.zeros(FRAME_SAMPLES // _DECIMATION)
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=_DECISION_FRAMES)
        self._loud_frames = 0
        self._speech = False

    def is_speech(self, samples: NDArray[np.int16]) -> bool:
        """Return whether the next frame is speech.

        Args:
            samples: :data:`~icefloe.media.speech.segments.FRAME_SAMPLES` samples, mono.
        """
        sound = samples.astype(np.float64) / 32768
        level = 10 * math.log10(float(np.mean(sound * sound)) + 1e-12)
        low = sound.reshape(-1, _DECIMATION).mean(axis=1)
        both = np.concatenate((self._before, low))
        self._before = low
        floor = max(min(self._levels, default=_MIN_LEVEL), _MIN_LEVEL - _SPEECH_MARGIN)
        self._levels.append(level)
        if level < max(floor + _SPEECH_MARGIN, _MIN_LEVEL):
            self._loud_frames = 0
            self._recent.clear()
            # The end of a syllable needs no hangover here: the segmenter counts the pause.
            self._speech = False
            return False
        self._loud_frames += 1
        # The first loud frame is only partly loud, which looks like a change of level.
        if self._loud_frames > 1:
            self._recent.append((level, *_pitch(both)))
        if len(self._recent) < _DECISION_FRAMES // 2:
            return self._speech
        self._speech = self._is_voiced_and_changing()
        return self._speech

    def _is_voiced_and_changing(self) -> bool:
        levels = [level for level, _, _ in self._recent]
        pitches = [
            pitch for _, correlation, pitch in self._recent if correlation >= _VOICED_CORRELATION
        ]
        if len(pitches) < len(self._recent) / 3:
            # A long unvoiced consonant does not end a word.
            return self._speech and len(pitches) > 0
        pitch_change = max(pitches) / min(pitches) - 1
        return max(levels) - min(levels) >= _LEVEL_RANGE or _PITCH_RANGE <= pitch_change < 0.8


def _pitch(sound: NDArray[np.float64]) -> tuple[float, float]:
    """Return the normalized autocorrelation at the pitch period, up to 1, and the pitch in Hz."""
    rate = SAMPLE_RATE // _DECIMATION
    shortest, longest = rate // _HIGH_PITCH, rate // _LOW_PITCH
    # Pre-emphasis: rumble at low frequencies would correlate at every lag.
    sound = sound[1:] - _EMPHASIS * sound[:-1]
    head = sound[longest:]
    energy = float(head @ head)
    if energy <= 0:
        return 0.0, 0.0
    lags = np.lib.stride_tricks.sliding_window_view(sound, len(head))[::-1][shortest : longest + 1]
    energies = np.einsum("ij,ij->i", lags, lags)
    correlations = (lags @ head) / np.sqrt(energy * energies + 1e-12)
    best = int(np.argmax(correlations))
    if 0 < best < len(correlations) - 1:
        left, middle, right = correlations[best - 1 : best + 2]
        curvature = left - 2 * middle + right
        offset = 0.5 * float(left - right) / float(curvature) if curvature else 0.0
    else:
        offset = 0.0
    return float(correlations[best]), rate / (shortest + best + offset)
