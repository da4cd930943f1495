"""Sound on its way to packets: encoded in the event loop, which others have their part of."""

import asyncio
from fractions import Fraction
from typing import Any

import pytest
from aiortc import AudioStreamTrack, MediaStreamTrack
from av import AudioFrame
from av.packet import Packet

from icefloe.peer.rtp.send import audio_sender
from icefloe.peer.rtp.send.audio_sender import AudioSender
from icefloe.peer.rtp.send.sender_encoder import SenderEncoder
from tests.helpers.turns import Turns

FRAMES = 10


def frame(number: int) -> AudioFrame:
    made = AudioFrame("s16", "mono", 960)
    made.planes[0].update(bytes(2 * 960))
    made.sample_rate, made.pts, made.time_base = 48000, number * 960, Fraction(1, 48000)
    return made


async def turns_of_a_track_that_is_ready() -> tuple[int, int]:
    """Send frames one after the other; return the turns the loop took, and the packets."""
    encoder, sent = SenderEncoder("audio"), 0
    encoder.codec = "opus"

    def count(track: MediaStreamTrack, packet: "Packet[Any]") -> None:
        nonlocal sent
        sent += 1

    sender, track = AudioSender(encoder, lambda: True, count), AudioStreamTrack()
    await sender.send(frame(0), track)  # which makes the encoder
    with Turns() as turns:
        await asyncio.sleep(0)
        before = turns.number
        for number in range(FRAMES):
            await sender.send(frame(number + 1), track)
        return turns.number - before, sent


async def test_a_track_that_has_its_frames_ready_leaves_room_for_others() -> None:
    turns, sent = await turns_of_a_track_that_is_ready()
    assert turns >= FRAMES - 1
    assert sent == FRAMES + 1


async def test_a_track_that_waits_by_itself_takes_no_turn_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audio_sender, "_READY_BELOW", 0.0)
    turns, sent = await turns_of_a_track_that_is_ready()
    assert turns == 0
    assert sent == FRAMES + 1
