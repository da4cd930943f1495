"""Timestamps of tracks that give 30 pictures or 50 frames of sound a second."""

import random
from collections.abc import Callable, Mapping
from fractions import Fraction

RATE = 90000
BASE = Fraction(1, RATE)
LARGE = 2**63 - 1
_SAMPLE = Fraction(1, 48000)

Told = tuple[int | None, Fraction | None]
"""``pts`` and ``time_base``."""

PICTURES: "Mapping[str, Callable[[int], Told]]" = {
    "no pts": lambda n: (None, BASE),
    "no time base": lambda n: (n * 3000, None),
    "neither": lambda n: (None, None),
    "a time base of zero": lambda n: (n * 3000, Fraction(0)),
    "a negative time base": lambda n: (n * 3000, Fraction(-1, RATE)),
    "a time base of an hour": lambda n: (n, Fraction(3600)),
    "seconds": lambda n: (n // 30, Fraction(1)),
    "tenths": lambda n: (n // 3, Fraction(1, 10)),
    "always 0": lambda n: (0, BASE),
    "always the largest": lambda n: (LARGE, BASE),
    "always the least": lambda n: (-LARGE, BASE),
    "the largest, in minutes": lambda n: (LARGE - n, Fraction(60)),
    "backwards": lambda n: (-n * 3000, BASE),
    "to and fro": lambda n: (n % 2 * 90000, BASE),
    "anew each second": lambda n: (n % 30 * 3000, BASE),
    "anew each fifth of a second": lambda n: (n % 6 * 3000, BASE),
    "a leap of a day each second": lambda n: (n * 3000 + n // 30 * 86400 * RATE, BASE),
    "a leap of a day once": lambda n: (n * 3000 + (n > 90) * 86400 * RATE, BASE),
    "a leap back once": lambda n: (n * 3000 - (n > 90) * 86400 * RATE, BASE),
    "a leap of a second each second": lambda n: (n * 3000 + n // 30 * RATE, BASE),
    "a hundredth of the rate": lambda n: (n * 30, BASE),
    "a hundred times the rate": lambda n: (n * 300_000, BASE),
    "two thirds of the rate": lambda n: (n * 2000, BASE),
    "half as much again": lambda n: (n * 4500, BASE),
    "a tenth faster": lambda n: (n * 3300, BASE),
    "a twentieth slower": lambda n: (n * 2850, BASE),
    "every second one without": lambda n: (n * 3000 if n % 2 else None, BASE),
    "at random": lambda n: (random.Random(n).randrange(-LARGE, LARGE), BASE),
    "one of another time base": lambda n: (n * 3000, BASE) if n % 50 else (n, Fraction(1, 30)),
    "in order of decoding": lambda n: ((n - n % 3 + (3, 1, 2)[n % 3]) * 3000, BASE),
}

SOUND: "Mapping[str, Callable[[int], Told]]" = {
    "what makes sense": lambda n: (n * 960, _SAMPLE),
    "far off": lambda n: (2**62 + n * 960, _SAMPLE),
    "milliseconds": lambda n: (n * 20 + n % 3, Fraction(1, 1000)),
    "tenths": lambda n: (n // 5, Fraction(1, 10)),
    "seconds": lambda n: (n // 50, Fraction(1)),
    "a wall clock": lambda n: (round(n * 20 + random.Random(n).gauss(0, 8)), Fraction(1, 1000)),
    "no pts": lambda n: (None, _SAMPLE),
    "no time base": lambda n: (n * 960, None),
    "a time base of zero": lambda n: (n * 960, Fraction(0)),
    "always 0": lambda n: (0, _SAMPLE),
    "backwards": lambda n: (-n * 960, _SAMPLE),
    "anew each second": lambda n: (n % 50 * 960, _SAMPLE),
    "a leap of a day": lambda n: (n * 960 + n // 100 * 86400 * 48000, _SAMPLE),
    "a leap of ten seconds": lambda n: (n * 960 + n // 100 * 480_000, _SAMPLE),
    "pictures": lambda n: (n, Fraction(1, 30)),
    "a third of the rate": lambda n: (n * 320, _SAMPLE),
    "a rate that is a little off": lambda n: (round(n * 960 * 1.002), _SAMPLE),
    "at random": lambda n: (random.Random(n).randrange(-LARGE, LARGE), _SAMPLE),
}
