"""Media and data channels of one connection share a link: how much each gets, and how soon."""

import pytest

from icefloe.peer.rtp.send.allocation import Demand, allocate, for_data, is_lacking
from icefloe.peer.rtp.send.data_share import LEAST_DATA_BITRATE, DataProgress, DataShare
from icefloe.peer.sctp.congestion.model import PathModel
from tests.peer.rtp.congestion.link import Link
from tests.peer.rtp.simulated_call import Call
from tests.peer.rtp.simulated_transport import Media, gaps

RATE = 2.5e6
"""Bits per second of the link; video could use 2 Mbit/s of them."""


def link(rate: float | list[tuple[float, float]] = RATE, *, loss: float = 0.0) -> Link:
    return Link(rate, delay=0.025, loss=loss)


def picture() -> Media:
    return Media("video", 2e6)


def check_fair(call: Call, start: float, end: float, rate: float = RATE) -> None:
    assert call.rate(start, end) > rate / 3
    assert call.data_rate(start, end) > rate / 3
    assert call.rate(start, end) + call.data_rate(start, end) > 0.85 * rate
    assert call.link.percentile(0.95, start, end) < 0.15


def silence(call: Call) -> None:
    """Have the video of a call stop, without a word of it to anybody."""
    video = call.media[-1]
    video.packets = lambda now, index: []  # type: ignore[method-assign]


@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_a_transfer_beside_a_call_takes_half_and_gives_it_back(loss: float) -> None:
    call = Call(link(loss=loss), picture())
    call.world.run(6)
    assert call.rate(3, 6) > 1.8e6
    call.channels.send_without_end()
    call.world.run(10)
    check_fair(call, 7, 10)
    call.world.run(30)
    check_fair(call, 10, 30)
    call.channels.stop()
    call.world.run(40)
    assert call.rate(33, 40) > 0.9 * 2e6
    assert call.data_rate(35, 40) == 0


def test_a_call_beside_a_transfer_takes_half_and_gives_it_back() -> None:
    call = Call(link())
    call.channels.send_without_end()
    call.world.run(10)
    alone = call.data_rate(5, 10)
    assert alone > 0.9 * RATE
    call.join(picture())
    call.world.run(12)
    check_fair(call, 11, 12)
    call.world.run(30)
    check_fair(call, 12, 30)
    silence(call)
    call.world.run(40)
    assert call.data_rate(32, 33) > 0.9 * alone
    assert call.data_rate(33, 40) > 0.95 * alone


def test_a_picture_that_comes_back_takes_half_at_once() -> None:
    video = picture()
    call = Call(link(), video)
    call.channels.send_without_end()
    call.world.run(10)
    packets = video.packets
    silence(call)
    call.world.run(20)
    assert call.data_rate(13, 20) > 0.9 * RATE
    video.packets = packets  # type: ignore[method-assign]
    call.world.run(23)
    check_fair(call, 21, 23)


def test_sound_keeps_its_rate_and_has_no_gap() -> None:
    sound = Media("audio", 64_000)
    call = Call(link(1e6), sound, picture())
    call.world.run(6)
    call.channels.send_without_end()
    call.world.run(30)
    assert sound.bitrate == 64_000
    assert gaps(sound.arrivals, 1) < 0.3
    assert call.data_rate(8, 30) > 0.35e6
    assert call.link.percentile(0.95, 8, 30) < 0.15


def test_a_transfer_beside_sound_alone_takes_the_rest() -> None:
    call = Call(link(), Media("audio", 64_000))
    call.world.run(3)
    call.channels.send_without_end()
    call.world.run(30)
    assert call.data_rate(10, 30) > 0.8 * RATE
    assert call.link.percentile(0.95, 10, 30) < 0.08


def test_a_fast_link_has_enough_for_both() -> None:
    call = Call(link(20e6), picture())
    call.world.run(4)
    call.channels.send_without_end()
    call.world.run(10)
    assert call.rate(6, 10) > 0.95 * 2e6
    assert call.data_rate(6, 10) > 0.85 * 18e6


def test_both_follow_a_link_that_changes() -> None:
    call = Call(link([(0, 1e6), (20, 4e6), (40, 1e6)]), picture())
    call.channels.send_without_end()
    call.world.run(60)
    check_fair(call, 10, 20, 1e6)
    check_fair(call, 25, 40, 4e6)
    check_fair(call, 45, 60, 1e6)


def test_a_little_data_leaves_the_rest_to_media() -> None:
    call = Call(link(), Media("video", 4e6))
    call.every(0.1, 2000)
    call.world.run(20)
    assert call.data_rate(5, 20) == pytest.approx(2000 * 8 * 10, rel=0.1)
    assert call.rate(5, 20) > 0.85 * (RATE - 160_000)
    assert call.link.percentile(0.95, 5, 20) < 0.15


def test_without_media_a_transfer_is_left_to_its_own_congestion_control() -> None:
    rates = []
    for shares in (True, False):
        call = Call(link(10e6))
        call.is_shared = shares
        call.channels.send_without_end()
        call.world.run(10)
        rates.append(call.data_rate(2, 10))
        sender = call.channels.sender.sender
        assert sender is not None and isinstance(sender.controller, PathModel)
        assert sender.limit == float("inf")
    assert rates[0] == rates[1] > 0.9 * 10e6


# --- the parts


def measured(sent: float, media: float, *, waits: bool = True) -> DataShare:
    """Return a share after a second in which so many bits per second of user data were sent."""
    share = DataShare()
    for n in range(51):
        size = int(sent / 8 * n * 0.02)
        share.update(int(media / 8 * n * 0.02), DataProgress(size, size, waits), 5 + n * 0.02)
    return share


def test_what_is_sent_is_measured_with_its_headers() -> None:
    share = measured(1e6, 0)
    assert share.sent() == pytest.approx(1.08e6, rel=0.01)
    assert share.delivered() == pytest.approx(share.sent())
    assert share.delivered(recent=True) == pytest.approx(share.sent())
    assert share.demand() > 1.5e6
    assert 1.2e6 < measured(1e6, 0, waits=False).demand() < 1.5e6
    assert measured(0, 0, waits=False).demand() == 0
    assert DataShare().sent() == DataShare().demand() == 0


def test_a_pause_of_the_measurement_begins_it_anew() -> None:
    share = measured(1e6, 0)
    share.update(0, DataProgress(10**9, 10**9, waits=True), 60.0)
    assert not share.is_known
    assert share.sent() == 0


def test_a_total_that_becomes_less_counts_as_none() -> None:
    share = measured(1e6, 1e6)
    share.update(0, DataProgress(0, 0, waits=True), 6.02)
    assert share.sent() == share.delivered(recent=True) == 0


@pytest.mark.parametrize(
    ("media", "lacks", "limit"),
    [
        (1e6, True, pytest.approx(1.15e6, rel=0.01)),  # what media leaves, with some room
        (2e6, True, 1e6),
        (2e6, False, float("inf")),
        (0, True, float("inf")),
    ],
)
def test_data_is_limited_while_media_is_sent_and_lacks_something(
    media: float, lacks: bool, limit: float
) -> None:
    share = measured(1e6, media)
    share.divide(2.5e6, 1e6, lacks=lacks)
    assert share.limit == limit


def test_there_is_always_something_for_data() -> None:
    share = measured(1e6, 1e6)
    share.divide(30_000, 0, lacks=True)
    assert share.limit == LEAST_DATA_BITRATE


SOUND, VIDEO = Demand("audio", 64_000), Demand("video", 2e6)


@pytest.mark.parametrize(
    ("demands", "wanted", "given"),
    [
        ([VIDEO], 1e9, 1.25e6),
        ([VIDEO], 0.5e6, 0.5e6),
        ([Demand("video", 0.5e6)], 1e9, 2.5e6 - 0.53e6),
        ([Demand("video", 0)], 1e9, 2.5e6),
        ([SOUND, VIDEO], 1e9, (2.5e6 - SOUND.on_the_wire) / 2),
    ],
)
def test_data_gets_half_of_what_sound_leaves_or_what_video_cannot_use(
    demands: list[Demand], wanted: float, given: float
) -> None:
    assert for_data(2.5e6, demands, wanted) == pytest.approx(given)
    media = sum(
        Demand(demand.kind, bits).on_the_wire
        for demand, bits in zip(demands, allocate(2.5e6, demands, given), strict=True)
    )
    assert media + given <= 2.5e6 + 10


@pytest.mark.parametrize(
    ("estimate", "demands", "lacks"),
    [
        (2.5e6, [VIDEO], True),
        (4.3e6, [VIDEO], False),
        (2.5e6, [SOUND], False),
        (0.15e6, [SOUND], True),
        (0.15e6, [], False),
    ],
)
def test_media_lacks_what_it_could_use(estimate: float, demands: list[Demand], lacks: bool) -> None:
    assert is_lacking(estimate, demands) is lacks
