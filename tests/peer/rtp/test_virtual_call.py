"""Video adapts to the link, with the real encoder, on links in virtual time."""

import pytest

from tests.peer.rtp.virtual_call import CASES, Call, Figures, measure


def figures_of(name: str, codec: str = "VP8") -> list[Figures]:
    steps = CASES[name]
    call = Call(steps, codec)
    call.run(sum(seconds for _, seconds in steps))
    return measure(call, steps)


@pytest.mark.parametrize(("codec", "wait", "freeze"), [("VP8", 0.1, 0.5), ("H264", 0.15, 0.6)])
def test_the_link_is_used_and_its_queue_stays_short(codec: str, wait: float, freeze: float) -> None:
    steps = figures_of("1, 2.5, 0.6, 1 Mbit/s", codec)
    for figures in steps:
        assert figures.use >= 0.85
        assert figures.wait <= wait
        assert figures.freeze <= freeze
        assert figures.arrived >= 0.99 * figures.sent
    assert steps[1].filled <= 5
    assert steps[1].size == (1280, 720)


def test_a_cut_to_a_fifth_freezes_for_less_than_a_second() -> None:
    wide, narrow = figures_of("2.5, then 0.5 Mbit/s")
    assert wide.filled <= 2
    assert narrow.freeze <= 0.8
    assert narrow.use >= 0.85
    assert narrow.wait <= 0.1
    assert narrow.arrived >= 0.99 * narrow.sent
    assert narrow.sent >= 25 * 9


def test_on_100_kbit_s_the_picture_still_moves() -> None:
    [figures] = figures_of("100 kbit/s")
    assert figures.sent >= 5 * 14
    assert figures.freeze <= 0.5
    assert figures.arrived >= 0.99 * figures.sent
