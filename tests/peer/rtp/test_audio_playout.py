"""Playout of a track where the clock, or the whole machine, is late."""

import time

from aiortc.rtp import RtpPacket

from icefloe.peer.rtp.receive.audio_playout import AudioPlayout
from icefloe.peer.rtp.receive.audio_receiver import AudioReceiver
from icefloe.peer.rtp.receive.capture_time import CaptureTimes
from icefloe.peer.rtp.receive.remote_track import AnyFrame, FrameQueue
from tests.helpers.listening import CODEC, SIZE, ToneDecoder


class Played:
    """A track that is played by hand: its clock's thread does not run."""

    def __init__(self) -> None:
        self.frames: FrameQueue[AnyFrame] = FrameQueue(50, 5, 100)
        self.playout = AudioPlayout(
            self.frames, AudioReceiver(CaptureTimes(), lambda codec: ToneDecoder())
        )
        self.number = 0

    def receive(self, count: int, arrived: float) -> None:
        for _ in range(count):
            packet = RtpPacket(
                payload_type=100,
                sequence_number=self.number,
                timestamp=self.number * SIZE,
                ssrc=1,
                payload=b" %d" % self.number,
            )
            self.playout._packets.append((arrived, CODEC, packet))
            self.number += 1
            arrived += 0.02


async def test_a_clock_that_is_late_makes_nothing_up() -> None:
    played, now = Played(), time.monotonic()
    played.receive(10, now - 0.4)
    for step in range(17):
        played.playout.play(now - 0.4 + step * 0.02)
    stats = played.playout.stats
    assert stats.totalSamplesReceived >= 8 * SIZE
    assert stats.concealedSamples == 0
    assert len(played.frames) * SIZE == stats.totalSamplesReceived
    played.playout.close()
    assert await played.playout.closed(5)


async def test_a_clock_in_time_makes_up_what_is_missing() -> None:
    played, now = Played(), time.monotonic()
    played.receive(10, now - 0.2)
    for step in range(10):
        played.playout.play(now - 0.2 + step * 0.02)
    stats = played.playout.stats
    before = stats.totalSamplesReceived
    while stats.totalSamplesReceived < before + 10 * SIZE:
        played.playout.play(time.monotonic())
    assert stats.concealedSamples > 0
    played.playout.close()
    assert await played.playout.closed(5)
