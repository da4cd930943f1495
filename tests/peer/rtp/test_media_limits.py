"""Limits on what a peer can have us spend on media: threads, decoders, repairs, patience."""

import asyncio
import datetime
import threading
import time
from typing import Any

import pytest
from aiortc import clock
from aiortc.rtp import RtcpPsfbPacket, RtcpRtpfbPacket

from icefloe.media import TestPatternTrack, ToneTrack
from icefloe.peer import PeerConfiguration, PeerConnection, RTCOutboundRtpStreamStats
from icefloe.peer._aiortc import Receiver, Sender
from icefloe.peer.rtp.send.rtp_stream import MIN_BUDGET
from tests.helpers.calls import eventually
from tests.helpers.pairs import closing, connected, negotiate
from tests.peer.rtp.test_hostile_media import calling


def decoders() -> int:
    return sum(thread.name.endswith("-decoder") for thread in threading.enumerate())


async def test_media_sections_take_no_threads_before_anything_comes() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        for number in range(40):
            a.addTransceiver("video" if number % 2 else "audio", direction="sendonly")
        await negotiate(a, b)
        await connected(a, b)
        await eventually(lambda: all(r.decoding is not None for r in receivers(b)))
        assert decoders() == 0
    assert all(receiver.decoding is not None for receiver in receivers(b))
    for receiver in receivers(b):
        assert receiver.decoding is not None
        assert await receiver.decoding.closed(5)


def receivers(pc: PeerConnection) -> list[Receiver]:
    return [receiver for receiver in pc.getReceivers() if isinstance(receiver, Receiver)]


async def test_no_more_tracks_are_decoded_than_may_be_and_the_rest_is_counted() -> None:
    a, b = PeerConnection(), PeerConnection(PeerConfiguration(max_decoders=2))
    async with closing(a, b):
        tracks: list[Any] = [ToneTrack() for _ in range(4)]
        for track in tracks:
            a.addTrack(track)
        await negotiate(a, b)
        await connected(a, b)
        await eventually(lambda: sum(r.packets_discarded > 20 for r in receivers(b)) == 2)
        assert decoders() == 0  # the event loop plays two tracks itself
        decoded = [r for r in receivers(b) if not r.packets_discarded]
        assert len(decoded) == 2
        for receiver in decoded:
            await asyncio.wait_for(receiver.track.recv(), 20)
        for track in tracks:
            track.stop()


async def test_setting_the_clock_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    now, date = time.time, clock.current_datetime
    ahead = 0.0
    monkeypatch.setattr(time, "time", lambda: now() + ahead)
    monkeypatch.setattr(
        clock, "current_datetime", lambda: date() + datetime.timedelta(seconds=ahead)
    )
    async with calling() as call:
        await call.goes_on()
        for hours in (1, 30, -40, 0):
            ahead = hours * 3600.0
            await call.goes_on()
        for kind in ("audio", "video"):
            streams = call.receiver(kind)._private["remote_streams"]
            assert streams
            # In units of the clock: an hour would be 160 million.
            assert all(stream.jitter < 900_000 for stream in streams.values())


async def test_requests_for_everything_get_no_more_than_was_sent() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        track = TestPatternTrack()
        sender = b.addTrack(track)
        assert isinstance(sender, Sender)
        a.addTransceiver("video")
        await negotiate(a, b)
        await connected(a, b)
        stream = sender.outgoing.stream
        await eventually(lambda: stream.packets > 100)
        (receiver,) = (r for r in receivers(a) if r.kind == "video")
        while stream.packets < 400:
            lost = [stream.last_number - back & 0xFFFF for back in range(500)]
            for packet in (
                RtcpRtpfbPacket(fmt=1, ssrc=9, media_ssrc=stream.ssrc, lost=lost[::-1]),
                RtcpPsfbPacket(fmt=1, ssrc=9, media_ssrc=stream.ssrc),
            ):
                receiver.transport.send_control(bytes(packet))  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
        assert 0 < stream.retransmitted_octets <= 1.1 * stream.octets + MIN_BUDGET
        report = (await b.getStats()).values()
        (stats,) = (each for each in report if isinstance(each, RTCOutboundRtpStreamStats))
        assert stats.retransmissions_refused == stream.refused_retransmissions > 0
        assert sender.outgoing.requests["pli"] > sender.outgoing.key_frames
        track.stop()
