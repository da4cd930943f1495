"""Sound played faster, slower, or made up: what it sounds like, by its spectrum."""

import cmath
import math
from array import array
from collections.abc import Callable
from itertools import pairwise

import pytest

from icefloe.peer.rtp.receive.loss_concealment import LossConcealment
from icefloe.peer.rtp.receive.time_stretch import Samples, accelerate, decelerate, samples_needed

RATE = 48000


def tone(frequency: float, count: int, *, channels: int = 1, level: float = 8000) -> Samples:
    turn = 2 * math.pi * frequency / RATE
    return array(
        "h", [round(level * math.sin(turn * i)) for i in range(count) for _ in range(channels)]
    )


def loudest_elsewhere(samples: Samples, frequency: float) -> float:
    """Return the strongest part of a tone that is not the tone, in dB below it."""
    count = len(samples)
    window = [0.5 - 0.5 * math.cos(2 * math.pi * i / count) for i in range(count)]
    spectrum = [
        abs(x) for x in _fft([complex(s * w) for s, w in zip(samples, window, strict=True)])
    ]
    here = round(frequency * count / RATE)
    main = max(spectrum[here - 2 : here + 3])
    rest = spectrum[: max(here - 8, 0)] + spectrum[here + 9 : count // 2]
    return 20 * math.log10(max(rest) / main)


def _fft(values: list[complex]) -> list[complex]:
    if len(values) == 1:
        return values
    even, odd = _fft(values[::2]), _fft(values[1::2])
    half = len(even)
    turned = [cmath.exp(-2j * math.pi * k / len(values)) * odd[k] for k in range(half)]
    return [e + t for e, t in zip(even, turned, strict=True)] + [
        e - t for e, t in zip(even, turned, strict=True)
    ]


@pytest.mark.parametrize("frequency", [110, 223, 440, 1000, 2500])
@pytest.mark.parametrize("change", [accelerate, decelerate])
def test_a_tone_that_is_stretched_stays_a_tone(
    frequency: float, change: Callable[[Samples, int, int], Samples | None]
) -> None:
    size = 8192
    before = tone(frequency, 2 * size)
    start = size // 2
    changed = change(before[start : start + samples_needed(RATE)], 1, RATE)
    assert changed is not None
    assert len(changed) != samples_needed(RATE)
    whole = before[:start] + changed + before[start + samples_needed(RATE) :]
    assert loudest_elsewhere(whole[:size], frequency) < -30


def test_both_channels_are_stretched_alike() -> None:
    both = tone(440, samples_needed(RATE), channels=2)
    changed = accelerate(both, 2, RATE)
    assert changed is not None
    assert changed[::2] == changed[1::2]
    assert changed[::2] == accelerate(both[::2], 1, RATE)


def test_what_does_not_repeat_is_left_alone() -> None:
    # A tone that rises by an octave in 30 ms is like itself nowhere.
    count = samples_needed(RATE)
    rising = [
        8000 * math.sin(2 * math.pi * (60 * i / RATE + (i / RATE) ** 3 * 3e6)) for i in range(count)
    ]
    click = array("h", [30000 if i == count // 3 else 0 for i in range(count)])
    assert accelerate(array("h", map(round, rising)), 1, RATE) is None
    assert accelerate(click, 1, RATE) is None


def test_silence_is_shortened_as_much_as_can_be() -> None:
    changed = accelerate(array("h", bytes(2 * samples_needed(RATE))), 1, RATE)
    assert changed is not None
    assert len(changed) == samples_needed(RATE) // 2


def test_too_little_is_left_alone() -> None:
    assert accelerate(tone(440, 100), 1, RATE) is None
    assert accelerate(array("h"), 1, RATE) is None


@pytest.mark.parametrize("frequency", [223, 440, 1000])
def test_what_is_made_up_goes_on_as_it_was_and_fades(frequency: float) -> None:
    concealment = LossConcealment(RATE, 1)
    sound = tone(frequency, 9600)
    concealment.join(sound)
    made_up = concealment.conceal(960)
    size = 4096
    around = (sound + made_up)[-size:]
    assert loudest_elsewhere(around, frequency) < -30
    assert max(made_up) > 7000
    later = [max(concealment.conceal(960)) for _ in range(4)]
    assert later[0] > later[1] > later[2]
    assert later[-1] == 0
    joined = concealment.join(sound)
    assert max(abs(b - a) for a, b in pairwise(joined)) < 1400


def test_nothing_is_made_up_of_nothing() -> None:
    assert not any(LossConcealment(8000, 1).conceal(160))
    assert len(LossConcealment(8000, 2).conceal(160)) == 320
