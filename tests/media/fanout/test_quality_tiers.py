"""Tiers by feedback, in virtual time."""

from icefloe.media.fanout.quality_tiers import TierChooser

RATES = [2_000_000, 500_000, 125_000]


def report(chooser: TierChooser, now: float, bitrate: int | None, loss: float = 0.0) -> int:
    """Report once, of a picture that has all the bits that its tier may have."""
    sent = RATES[chooser.tier]
    return chooser.feedback(now, RATES, sent=sent, bitrate=bitrate, loss=loss)


def after(
    chooser: TierChooser, start: float, seconds: float, bitrate: int | None, loss: float = 0.0
) -> list[tuple[float, int]]:
    """Report each half second; return when the tier changed, and to what."""
    changes = []
    tier = chooser.tier
    for step in range(int(seconds * 2)):
        now = start + step / 2
        if report(chooser, now, bitrate, loss) != tier:
            tier = chooser.tier
            changes.append((now - start, tier))
    return changes


def test_who_says_nothing_bad_keeps_the_best() -> None:
    assert after(TierChooser(), 0, 60, None) == []
    assert after(TierChooser(), 0, 60, 1_800_000) == []


def test_far_too_little_is_believed_at_once_and_a_little_after_a_second() -> None:
    assert after(TierChooser(), 0, 5, 450_000) == [(0, 1)]
    assert after(TierChooser(), 0, 5, 1_500_000) == [(1, 1)]
    assert after(TierChooser(), 0, 5, 50_000) == [(0, 1), (0.5, 2)]


def test_much_loss_leads_down_and_a_single_report_does_not() -> None:
    chooser = TierChooser()
    report(chooser, 0, None, 0.3)
    report(chooser, 0.5, None)
    assert after(chooser, 1, 0.5, None, loss=0.3) == []
    assert after(chooser, 1.5, 5, None, loss=0.3) == [(0.5, 1), (2.0, 2)]


def test_it_comes_up_again_without_an_estimate_of_the_whole() -> None:
    # What receives 500 kbit/s estimates half as much again, and never two million.
    chooser = TierChooser()
    after(chooser, 0, 1, 300_000)
    assert chooser.tier == 1
    assert after(chooser, 10, 4.5, 750_000) == [(4, 0)]


def test_a_try_that_fails_makes_the_next_one_later() -> None:
    chooser = TierChooser()
    after(chooser, 0, 1, 450_000)
    assert chooser.tier == 1
    now, waits = 1.0, []
    for _ in range(6):
        began = now
        while report(chooser, now, 700_000) == 1:
            now += 0.5
        waits.append(now - began)
        after(chooser, now, 1, 450_000)  # which is all there is on the better one
        assert chooser.tier == 1
        now += 1
    assert waits == [4, 8, 16, 32, 64, 64]


def test_there_is_nothing_below_the_last_and_fewer_tiers_are_fine() -> None:
    chooser = TierChooser()
    after(chooser, 0, 10, 10_000)
    assert chooser.tier == 2
    assert chooser.feedback(20, RATES[:1], sent=1, bitrate=10_000, loss=0.5) == 0


def test_a_picture_at_rest_needs_little_and_keeps_its_size() -> None:
    chooser = TierChooser()
    for second in range(60):
        assert chooser.feedback(second, RATES, sent=110_000, bitrate=120_000, loss=0.0) == 0
    assert chooser.feedback(60, RATES, sent=1_900_000, bitrate=120_000, loss=0.0) == 1
    # Of the new tier nothing is known at first.
    assert chooser.feedback(60.1, RATES, sent=None, bitrate=120_000, loss=0.0) == 1
