"""Congestion control of a transport: senders, pacer and estimate over a link in virtual time."""

import pytest

from icefloe.peer.rtp.congestion.ccfb import Arrival, CongestionFeedback, StreamReport
from icefloe.peer.rtp.send.congestion_control import FEEDBACK_TIMEOUT, CongestionControl
from icefloe.peer.rtp.send.send_stamp import NO_STAMP
from tests.peer.rtp.congestion.link import Link
from tests.peer.rtp.simulated_transport import Media, Transport, gaps


def test_a_call_begins_low_and_soon_uses_its_link() -> None:
    picture, sound = Media("video", 3_800_000), Media("audio", 64_000)
    call = Transport(Link(2.5e6, delay=0.025), sound, picture)
    call.world.run(0.5)
    assert call.rate(0, 0.2) < 800_000
    call.world.run(10)
    assert call.control.available_bitrate is not None
    assert call.rate(5, 10) > 0.85 * 2.5e6
    assert call.link.percentile(0.95, 5, 10) < 0.1
    assert gaps(sound.arrivals, 0) < 0.1


def test_sound_has_no_gap_and_the_queue_is_gone_soon_after_a_sharp_drop() -> None:
    picture, sound = Media("video", 3_800_000), Media("audio", 64_000)
    call = Transport(Link([(0, 2.5e6), (10, 0.5e6)], delay=0.025), sound, picture)
    call.world.run(9.9)
    before = picture.skipped
    call.world.run(11)
    assert call.control.estimator.target_bitrate < 600_000
    assert picture.skipped > before  # late frames are dropped before the encoder
    call.world.run(20)
    assert gaps(sound.arrivals, 1) < 0.35  # the queue of the link was full for a moment
    assert gaps(sound.arrivals, 12) < 0.1
    assert call.link.percentile(0.95, 12, 20) < 0.12
    assert 0.8 * 0.5e6 < call.rate(14, 20) <= 0.52e6


def test_a_narrow_link_carries_sound_and_a_picture() -> None:
    picture, sound = Media("video", 3_800_000), Media("audio", 16_000)
    call = Transport(Link(100_000, delay=0.025), sound, picture)
    call.world.run(30)
    assert gaps(sound.arrivals, 5) < 0.15
    assert gaps(picture.arrivals, 5) < 0.5
    # One packet of full size takes a tenth of a second.
    assert call.link.percentile(0.95, 10, 30) < 0.25


def test_streams_share_by_weight() -> None:
    heavy, light = Media("video", 3_800_000, weight=3.0), Media("video", 3_800_000)
    call = Transport(Link(2e6, delay=0.025), heavy, light)
    call.world.run(8)
    assert heavy.bitrate is not None and light.bitrate is not None
    assert heavy.bitrate == pytest.approx(3 * light.bitrate, rel=0.01)
    call.control.remove(1)
    call.world.run(12)
    assert light.bitrate > 1.4e6


def test_probes_are_padded_where_there_is_too_little_media() -> None:
    picture = Media("video", 3_800_000)
    picture.video.frame = lambda now, target: 200  # type: ignore[method-assign]  # a still picture
    call = Transport(Link(5e6, delay=0.025), picture)
    call.world.run(6)
    assert picture.padded > 0
    assert call.control.estimator.target_bitrate > 2e6
    assert call.rate(1, 6) < 1e6


def test_without_feedback_each_stream_is_left_to_itself() -> None:
    picture = Media("video", 1_000_000)
    call = Transport(Link(5e6), picture, reports=False)
    call.world.run(FEEDBACK_TIMEOUT - 0.1)
    assert picture.bitrate is not None and picture.bitrate < 400_000
    call.world.run(FEEDBACK_TIMEOUT + 0.2)
    assert picture.bitrate is None and call.control.available_bitrate is None
    call.world.run(6)
    assert 0.8e6 < call.rate(3, 6) < 1.3e6


def test_a_peer_without_the_extension_is_served_as_ever() -> None:
    picture = Media("video", 1_000_000, stamp=NO_STAMP)
    call = Transport(Link(5e6), picture)
    call.reports = False
    call.world.run(3)
    assert picture.bitrate is None and not call.control.is_managed(3.0)
    assert 0.8e6 < call.rate(1, 3) < 1.3e6


def test_feedback_that_is_negotiated_away_is_expected_no_more() -> None:
    control = CongestionControl(0.0)
    sound = Media("audio", 64_000, stamp=NO_STAMP)
    number = control.add(sound, 0.0)
    assert not control.is_managed(0.0)
    control.use_stream_feedback(enabled=True)
    assert control.is_managed(0.0)
    packet = b"\x80\x60\0\7" + bytes(4) + b"\0\0\0\1" + bytes(100)
    control.put(number, [packet], 0.0, again=False)
    assert control.take_packets(0.0, 0) == [packet]
    told = CongestionFeedback(9, 0, (StreamReport(1, 7, (Arrival(0.0),)),))
    control.on_stream_feedback(told, 0.1)
    control.handle_timeout(0.1)
    assert control.available_bitrate is not None and sound.bitrate is not None
    control.use_stream_feedback(enabled=False)
    control.handle_timeout(0.2)
    assert control.available_bitrate is None and sound.bitrate is None
    control.on_stream_feedback(told, 0.3)
    assert control.available_bitrate is None


def test_nothing_but_sound_is_sent_while_the_window_is_full() -> None:
    picture, sound = Media("video", 3_800_000), Media("audio", 64_000)
    call = Transport(Link(2.5e6, delay=0.025), sound, picture)
    call.world.run(5)
    call.link.loss = 1.0  # no feedback comes any more
    call.world.run(5.4)
    in_flight = call.control.estimator.bytes_in_flight
    assert in_flight > call.control.estimator.congestion_window - 3000
    assert call.rate(5.3, 5.4) < 300_000
    assert sound.send_delay == 0


def test_clearing_drops_what_waits() -> None:
    picture = Media("video", 3_800_000)
    control = CongestionControl(0.0)
    number = control.add(picture, 0.0)
    control.put(number, [bytes(1000)] * 100, 0.0, again=False)
    control.put(99, [bytes(1000)], 0.0, again=False)  # one that is not there
    control.clear()
    assert control.take_packets(1.0, 0) == []


def test_audio_is_passed_as_if_it_were_put_and_taken() -> None:
    sent = []
    for passes in (False, True):
        control = CongestionControl(0.0)
        number = control.add(Media("audio", 64_000), 0.0)
        for step in range(5):
            now, packets = step * 0.02, [bytes([step]) * 100]
            if passes:
                left = control.pass_audio(number, packets, now, step << 32)
                assert left is not None
            else:
                control.put(number, packets, now, again=False)
                left = control.take_packets(now, step << 32)
            sent.append(left)
        assert control.estimator.bytes_in_flight > 500
    assert sent[:5] == sent[5:]
    assert len({packet for left in sent for packet in left}) == 5


def test_audio_is_not_passed_by_what_else_may_leave() -> None:
    control = CongestionControl(0.0)
    sound, picture = Media("audio", 64_000), Media("video", 1_000_000)
    first, second = control.add(sound, 0.0), control.add(picture, 0.0)
    assert control.pass_audio(second, [bytes(100)], 0.0, 0) is None
    assert control.pass_audio(99, [bytes(100)], 0.0, 0) is None
    control.put(second, [bytes(1000)], 0.0, again=False)
    assert control.pass_audio(first, [bytes(100)], 0.0, 0) is None
    assert len(control.take_packets(0.0, 0)) == 1
    assert control.pass_audio(first, [bytes(100)], 0.0, 0) is not None
