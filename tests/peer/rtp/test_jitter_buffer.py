"""Sound through loss, jitter, silence and wraps, in virtual time."""

import random
from array import array
from collections.abc import Callable
from itertools import pairwise

import pytest

from icefloe.peer.rtp.receive.jitter_buffer import JitterBuffer, Wait
from tests.helpers.listening import MS, RATE, SIZE, Heard, Listener, Sent, ToneDecoder, talk

PATH = 50 * MS
"""The least delay of a packet."""


def between(heard: list[Heard], start: float, end: float) -> list[Heard]:
    return [h for h in heard if start <= h.at < end]


def longest_silence(heard: list[Heard]) -> float:
    longest = current = 0
    for h in heard:
        for sample in h.samples:
            current = current + 1 if sample == 0 else 0
            longest = max(longest, current)
    return longest / RATE


def losing(*numbers: int) -> Callable[[int], float | None]:
    return lambda number: None if number in numbers else 0.0


def test_a_steady_stream_is_heard_whole_and_soon() -> None:
    listener = Listener()
    heard = listener.listen(talk(300))
    assert listener.hearing.stats.concealedSamples == 0
    assert longest_silence(heard) < 1 * MS
    assert all(h.delay < PATH + 40 * MS for h in between(heard, 3, 9))


def test_each_frame_begins_where_the_last_one_ended() -> None:
    heard = Listener().listen(talk(300, losing(50, 51, 90)))
    for before, after in pairwise(heard):
        assert after.frame.pts == (before.frame.pts or 0) + before.frame.samples
        assert round(after.at - before.at, 3) == 20 * MS


def test_one_lost_packet_costs_its_own_length_and_no_delay() -> None:
    listener = Listener()
    heard = listener.listen(talk(400, losing(200)))
    before = between(heard, 3.0, 4.0)[-1].delay
    assert longest_silence(heard) <= 21 * MS
    assert listener.hearing.stats.concealedSamples == SIZE
    assert listener.hearing.stats.concealmentEvents == 1
    for h in between(heard, 4.2, 8.0):
        assert abs(h.delay - before) < 20 * MS


def test_what_the_next_packet_repeats_is_heard_in_place_of_a_lost_one() -> None:
    listener = Listener()

    def path(number: int) -> float | None:
        # A delay is needed, within which the next packet can come.
        return None if number == 200 else 45 * MS if number % 4 == 3 else 0.0

    heard = listener.listen(talk(400, path, b"fec"))
    stats = listener.hearing.stats
    assert longest_silence(between(heard, 1, 8)) < 1 * MS
    assert stats.concealmentEvents == 0
    assert stats.fecPacketsReceived > 390


@pytest.mark.parametrize("part", [0.01, 0.05, 0.2])
def test_loss_at_random_leaves_the_delay_alone(part: float) -> None:
    lost = random.Random(7)
    listener = Listener()
    heard = listener.listen(talk(1500, lambda n: None if lost.random() < part else 0.0))
    assert all(h.delay < PATH + 60 * MS for h in between(heard, 3, 30))
    share = listener.hearing.stats.concealedSamples / (1500 * SIZE)
    assert share == pytest.approx(part, rel=0.5)


def test_a_burst_of_loss_is_over_when_it_is_over() -> None:
    listener = Listener()
    heard = listener.listen(talk(500, losing(*range(200, 215))))
    before = between(heard, 3.0, 4.0)[-1].delay
    assert longest_silence(heard) == pytest.approx(300 * MS, abs=21 * MS)
    assert all(abs(h.delay - before) < 20 * MS for h in between(heard, 4.4, 10))


class Humming(ToneDecoder):
    """Makes up a hum that does not end by itself."""

    def conceal(self, timestamps: int) -> "array[int]":
        return array("h", [5000]) * timestamps


def test_what_is_made_up_fades_when_nothing_comes_for_long() -> None:
    listener = Listener(decoder=Humming)
    heard = listener.listen(talk(300, losing(*range(100, 150))))
    made_up = between(heard, 2.1, 3.0)
    assert max(made_up[0].samples) == 5000
    loudness = [max(map(abs, h.samples)) for h in made_up]
    assert loudness == sorted(loudness, reverse=True)
    assert loudness[12:] == [0] * len(loudness[12:])
    steps = [abs(b - a) for h in made_up for a, b in pairwise(h.samples)]
    assert max(steps) < 40
    stats = listener.hearing.stats
    assert 0 < stats.silentConcealedSamples < stats.concealedSamples


def test_the_delay_rises_with_jitter_and_comes_down_again() -> None:
    late = random.Random(3)
    listener = Listener()
    heard = listener.listen(
        talk(6000, lambda n: late.uniform(0, 100 * MS) if 300 <= n < 700 else 0.0)
    )
    shaken = between(heard, 10, 14)
    assert all(h.delay > PATH + 60 * MS for h in shaken)
    assert longest_silence(shaken) < 41 * MS
    # It may come again: for a minute the delay is kept.
    assert all(h.delay > PATH + 60 * MS for h in between(heard, 24, 40))
    calm = between(heard, 90, 120)
    assert all(h.delay < PATH + 45 * MS for h in calm)
    stats = listener.hearing.stats
    assert stats.removedSamplesForAcceleration > 50 * MS * RATE


def test_packets_held_up_and_let_go_at_once_are_caught_up_with() -> None:
    listener = Listener()
    heard = listener.listen(talk(800, lambda n: (250 - n) * 20 * MS if 200 <= n < 250 else 0.0))
    assert all(h.delay < PATH + 60 * MS for h in between(heard, 13, 16))


def test_a_delay_beyond_reason_is_cut_off() -> None:
    listener = Listener()
    heard = listener.listen(talk(800, lambda n: (320 - n) * 20 * MS if 200 <= n < 320 else 0.0))
    assert listener.hearing.stats.packetsDiscarded > 0
    assert all(h.delay < PATH + 60 * MS for h in between(heard, 13, 16))


def test_packets_that_change_their_order_are_heard_in_order() -> None:
    listener = Listener()
    late = random.Random(5)
    heard = listener.listen(talk(600, lambda n: late.choice((0.0, 0.0, 45 * MS))))
    assert longest_silence(between(heard, 3, 12)) < 1 * MS
    assert listener.hearing.stats.concealedSamples < 5 * SIZE


def test_packets_that_come_twice_or_too_late_are_discarded() -> None:
    listener = Listener()
    sent = talk(300, losing(100))
    sent.append(Sent(100, 2.0, 2.5, b" 100"))
    sent.append(Sent(200, 4.0, 4.051, b" 200"))
    listener.listen(sent)
    assert listener.hearing.stats.packetsDiscarded == 2


def test_silence_is_not_loss() -> None:
    # DTX: a packet that says so, and one each 0.4 s then; the sequence has no gap.
    listener = Listener()
    sent = [Sent(n, n * 20 * MS, n * 20 * MS + PATH, b" %d" % n) for n in range(100)]
    sent += [Sent(100 + k, 2 + k * 0.4, 2 + k * 0.4 + PATH, b"silence") for k in range(10)]
    sent += [Sent(110 + k, 6 + k * 20 * MS, 6 + k * 20 * MS + PATH, b" 0") for k in range(100)]
    heard = listener.listen(sent)
    stats = listener.hearing.stats
    assert (stats.concealedSamples, stats.concealmentEvents) == (0, 0)
    assert all(h.is_silent for h in between(heard, 2.2, 5.9))
    assert all(h.delay < PATH + 45 * MS for h in between(heard, 6.2, 8))
    assert len(between(heard, 1, 7)) == 300


def test_who_says_nothing_for_long_is_waited_for_and_time_goes_on() -> None:
    listener = Listener()
    sent = talk(100)
    sent += [Sent(100 + k, 60 + k * 20 * MS, 60 + k * 20 * MS + PATH, b" 0") for k in range(100)]
    heard = listener.listen(sent)
    assert not between(heard, 8, 60)
    after = between(heard, 60, 62)
    assert all(h.delay < PATH + 60 * MS for h in after)
    first, last = heard[0], after[-1]
    passed = ((last.frame.pts or 0) - (first.frame.pts or 0)) / RATE
    assert passed == pytest.approx(last.at - first.at, abs=21 * MS)


def test_a_sender_that_begins_anew_is_heard_at_once() -> None:
    listener = Listener()
    sent = talk(100)
    sent += [Sent(40000 + k, 500 + k * 20 * MS, 2 + k * 20 * MS + PATH, b" 0") for k in range(100)]
    heard = listener.listen(sent, until=4)
    assert longest_silence(between(heard, 0.2, 4)) < 81 * MS
    assert len(between(heard, 0.2, 4)) >= 188


def test_playing_waits_for_the_first_packets() -> None:
    playout = JitterBuffer(RATE)
    assert playout.next(0.0) == Wait()
    assert playout.is_idle


def test_what_is_kept_is_bounded() -> None:
    playout = JitterBuffer(RATE)
    for number in range(5000):
        playout.put(0.0, number % 65536, number * SIZE, SIZE, b"x")
    assert playout.discarded >= 5000 - 256


def test_a_clock_that_is_off_does_not_add_up() -> None:
    listener = Listener()
    # The sender's clock is slow by one in a thousand: each packet comes 20 microseconds later.
    heard = listener.listen(talk(3000, lambda n: n * 0.02 * MS))
    last = heard[-1]
    assert last.delay < PATH + 3000 * 0.02 * MS + 45 * MS
    assert longest_silence(between(heard, 1, 60)) < 41 * MS
