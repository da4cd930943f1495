"""Tells speech from noise and tones by its energy, its pitch, and how both go up and down. No I/O.

Noise may be loud and has no pitch; a tone has a pitch and stays as it is. Speech is louder than
what is around it, much of it is voiced, and it is never the same for a fifth of a second. This
takes some 50 microseconds for 20 ms of sound. Music that changes as speech does, and chords whose
tones beat, are taken for speech: where that matters, give ``speech()`` a detector that was trained.
"""

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from .segments import PIECE, RATE

_LOUDER = 9.0
"""dB by which speech is above what is around it."""
_QUIETEST = -55.0
"""dB of full scale below which nothing is speech."""
_WINDOW = 75
"""Pieces, 1.5 s, of which the quietest tells how loud it is around."""
_JUDGED = 8
"""Pieces, 160 ms, within which speech must be voiced and change."""
_VOICED = 0.4
"""The likeness of a sound to itself, a period later; noise comes to 0.3."""
_EMPHASIS = 0.9
_CHANGE = 3.0
"""dB between the loudest and the quietest of them, or ..."""
_GLIDE = 0.04
"""... the part by which its pitch moves."""
_HIGHEST, _LOWEST = 400, 70
"""The pitch of voices, in Hz."""
_DECIMATE = 4
"""Pitch is looked for at a quarter of the rate: voices have their energy there."""


class EnergyDetector:
    """Tells whether 20 ms of sound are speech, from these and those before."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=_WINDOW)
        self._before = np.zeros(PIECE // _DECIMATE)
        self._judged: deque[tuple[float, float, float]] = deque(maxlen=_JUDGED)
        self._loud = 0
        self._speech = False

    def is_speech(self, samples: NDArray[np.int16]) -> bool:
        """Take the next piece of the sound.

        Args:
            samples: :data:`~icefloe.media.speech.segments.PIECE` samples, mono.
        """
        sound = samples.astype(np.float64) / 32768
        level = 10 * math.log10(float(np.mean(sound * sound)) + 1e-12)
        low = sound.reshape(-1, _DECIMATE).mean(axis=1)
        both = np.concatenate((self._before, low))
        self._before = low
        floor = max(min(self._levels, default=_QUIETEST), _QUIETEST - _LOUDER)
        self._levels.append(level)
        if level < max(floor + _LOUDER, _QUIETEST):
            self._loud = 0
            self._judged.clear()
            # A syllable's end is part of it; the pause itself is counted by who cuts.
            self._speech = False
            return False
        self._loud += 1
        if self._loud > 1:  # the first piece is loud in part only, which looks like a change
            self._judged.append((level, *_pitch(both)))
        if len(self._judged) < _JUDGED // 2:
            return self._speech
        self._speech = self._is_lively()
        return self._speech

    def _is_lively(self) -> bool:
        levels = [level for level, _, _ in self._judged]
        pitches = [pitch for _, likeness, pitch in self._judged if likeness >= _VOICED]
        if len(pitches) < len(self._judged) / 3:
            # A long consonant within a word is no end of it.
            return self._speech and len(pitches) > 0
        moves = max(pitches) / min(pitches) - 1
        return max(levels) - min(levels) >= _CHANGE or _GLIDE <= moves < 0.8


def _pitch(sound: NDArray[np.float64]) -> tuple[float, float]:
    """Return how periodic a sound is, from 0 to 1, and at what pitch, in Hz."""
    rate = RATE // _DECIMATE
    shortest, longest = rate // _HIGHEST, rate // _LOWEST
    # Where the lowest frequencies are the loudest, as in rumble, everything is like itself.
    sound = sound[1:] - _EMPHASIS * sound[:-1]
    head = sound[longest:]
    energy = float(head @ head)
    if energy <= 0:
        return 0.0, 0.0
    lags = np.lib.stride_tricks.sliding_window_view(sound, len(head))[::-1][shortest : longest + 1]
    energies = np.einsum("ij,ij->i", lags, lags)
    alike = (lags @ head) / np.sqrt(energy * energies + 1e-12)
    best = int(np.argmax(alike))
    if 0 < best < len(alike) - 1:
        left, middle, right = alike[best - 1 : best + 2]
        bend = left - 2 * middle + right
        offset = 0.5 * float(left - right) / float(bend) if bend else 0.0
    else:
        offset = 0.0
    return float(alike[best]), rate / (shortest + best + offset)
