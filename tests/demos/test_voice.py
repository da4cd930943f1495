"""The voice bot, and somebody who talks with it: both speak with espeak-ng."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from aiortc import MediaStreamTrack
from av import AudioFrame

from icefloe.demos.voice import Espeak, Reply, Say, Sound, VoiceMissing, take_part
from icefloe.media import AudioQueue, SpeechSegment
from icefloe.peer import join
from icefloe.signaling import SignalingServer
from tests.demos.rooms import running
from tests.helpers.calls import eventually

ESPEAK = pytest.mark.system("espeak-ng")
LOUD = 500
TEXT = "Good morning, can you hear me? This is a question about the weather."


@dataclass
class Person:
    """Somebody in a call with the bot."""

    mouth: AudioQueue
    ear: MediaStreamTrack

    async def says(self, text: str) -> None:
        """Say something to its end."""
        sound = await Espeak()(text)
        assert await (await self.mouth.push(sound.pcm, sound.rate)).wait()

    async def hears(self, *, loud: bool, within: int) -> None:
        """Listen until there is a sound, or silence, in one of so many frames of 20 ms."""
        for _ in range(within):
            frame = await self.ear.recv()
            assert isinstance(frame, AudioFrame)
            if (int(np.abs(frame.to_ndarray()).max()) > LOUD) is loud:
                return
        pytest.fail(f"{within} frames without {'a sound' if loud else 'silence'}")


@asynccontextmanager
async def talking(
    server: SignalingServer, reply: Reply, say: Say | None = None
) -> AsyncIterator[Person]:
    bot = take_part(server.url, reply=reply, say=say)
    async with running(bot), join(server.url, room="lobby", name="alice") as room:
        peer = await room.peer("voice")
        mouth = AudioQueue()
        peer.add_track(mouth)
        ear = await anext(aiter(peer.tracks()))
        try:
            yield Person(mouth, ear)
        finally:
            mouth.stop()
            ear.stop()


@ESPEAK
async def test_it_answers_aloud_what_was_said(server: SignalingServer) -> None:
    heard: list[SpeechSegment] = []

    async def reply(segment: SpeechSegment) -> str:
        heard.append(segment)
        return "Yes, I can."

    async with talking(server, reply) as alice:
        await alice.hears(loud=False, within=1)
        await alice.says(TEXT)
        await alice.hears(loud=True, within=1000)
        await alice.hears(loud=False, within=1000)
    said = sum(segment.end - segment.start for segment in heard)
    assert 2 < said < 8


@ESPEAK
async def test_it_stops_talking_when_it_is_interrupted(server: SignalingServer) -> None:
    def tone(seconds: int) -> Sound:
        at = np.arange(seconds * 16000) / 16000
        return Sound((8000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16).tobytes(), 16000)

    answers = ["a long answer"]

    async def reply(segment: SpeechSegment) -> str:
        return answers.pop() if answers else ""

    async def say(text: str) -> Sound:
        return await asyncio.to_thread(tone, 60)

    async with talking(server, reply, say) as alice:
        await alice.says("Please tell me all about it")
        await alice.hears(loud=True, within=1000)
        async with asyncio.TaskGroup() as group:
            group.create_task(alice.says("No, do stop it, I have heard enough"))
            # Uninterrupted it would be loud for 3000 frames.
            await alice.hears(loud=False, within=1000)


@ESPEAK
async def test_what_is_said_is_all_there() -> None:
    sound = await Espeak()(TEXT)
    assert 3 < len(sound.pcm) / 2 / sound.rate < 8


@ESPEAK
async def test_a_language_that_it_does_not_know_is_told() -> None:
    with pytest.raises(VoiceMissing, match="voice does not exist"):
        await Espeak("xx")(TEXT)


def test_a_voice_that_is_not_installed_is_told() -> None:
    with pytest.raises(VoiceMissing, match="apt install no-such-voice"):
        Espeak(program="no-such-voice")


async def test_a_voice_that_is_cancelled_leaves_no_process(tmp_path: Path) -> None:
    script, number = tmp_path / "hangs", tmp_path / "number"
    script.write_text(
        f"#!/bin/sh\necho $$ > {number}.new\nmv {number}.new {number}\nexec sleep 60\n"
    )
    script.chmod(0o755)
    saying = asyncio.create_task(Espeak(program=str(script))(TEXT))
    await eventually(number.exists)
    saying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await saying
    with pytest.raises(ProcessLookupError):
        os.kill(int(number.read_text()), 0)
