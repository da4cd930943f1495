"""Video adapts to the link, with the real encoder, on links in virtual time."""

from tests.peer.rtp.virtual_call import CASES, Call, Figures, measure


def figures_of(name: str, codec: str = "VP8") -> list[Figures]:
    steps = CASES[name]
    call = Call(steps, codec)
    call.run(sum(seconds for _, seconds in steps))
    return measure(call, steps)


def test_the_link_is_used_and_its_queue_stays_short() -> None:
    steps = figures_of("1, 2.5, 0.6, 1 Mbit/s")
    for figures in steps:
        assert figures.use >= 0.85
        assert figures.wait <= 0.08
        assert figures.freeze <= 0.5
        assert figures.arrived >= 0.99 * figures.sent
    assert steps[1].filled <= 5
    assert steps[1].size == (1280, 720)


def test_h264_adapts_too() -> None:
    """The threads of x264 divide the work anew each time, and so does what it makes of a rate."""
    steps = figures_of("1, 2.5, 0.6, 1 Mbit/s", "H264")
    for figures in steps:
        assert figures.use >= 0.75
        assert figures.wait <= 0.2
        assert figures.freeze <= 1.0
        assert figures.arrived >= 0.97 * figures.sent
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
