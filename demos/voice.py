"""This demonstrates a voice bot: it hears when somebody has spoken, answers aloud, and stops
talking when it is interrupted.

::

    apt install espeak-ng             # the voice; NumPy is the extra icefloe[numpy]
    icefloe serve                     # in one terminal
    python -m icefloe.demos.voice     # in another; then open the page, and say something

It is a skeleton. Two parts are to be replaced: ``reply``, where a recognizer and something that
knows an answer belong, and ``say``, the voice. Neither needs to know of the other, or of WebRTC.
"""

import asyncio
import io
import shutil
import wave
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Annotated, TypeAlias

import typer
from aiortc import MediaStreamTrack

from icefloe.media import AudioQueue, SpeechSegment, SpeechStarted, speech
from icefloe.peer import PeerConfiguration, RemotePeer, join
from icefloe.text import PrintableError

from ._attending import LOCAL, Name, RoomName, Server, run, tell


@dataclass(frozen=True, slots=True)
class Sound:
    """What a voice made.

    Attributes:
        pcm: Samples of ``int16``, mono.
        rate: Samples a second.
    """

    pcm: bytes
    rate: int


Reply: TypeAlias = Callable[[SpeechSegment], Awaitable[str]]
"""Takes what somebody said, and returns what to answer, or an empty string; it is cancelled when
they go on."""

Say: TypeAlias = Callable[[str], Awaitable[Sound]]
"""Turns a text into sound; it is cancelled when nobody is to hear it any more."""


# --- the parts to replace


async def reply(segment: SpeechSegment) -> str:
    """Answer, without having understood a word: here your recognizer begins."""
    seconds = segment.end - segment.start
    return f"I have heard you speak for {seconds:.1f} seconds. What did you say?"


class VoiceMissing(PrintableError):
    """The program that is the voice is not installed, or does not work.

    Attributes:
        program: Its name.
        reason: What happened.
    """

    def __init__(self, program: str, reason: str) -> None:
        self.program = program
        self.reason = reason
        super().__init__(
            f"{program} cannot be used: {reason}. Install it, with `apt install {program}` on "
            "Debian and Ubuntu, or give the bot another voice"
        )


class Espeak:
    """The voice of eSpeak NG: offline, in a hundred languages, and in no way human.

    Args:
        language: As ``en`` or ``pt-br``; ``espeak-ng --voices`` lists them.
        program: The program.

    Raises:
        VoiceMissing: It is not installed.
    """

    def __init__(self, language: str = "en", program: str = "espeak-ng") -> None:
        self._program = program
        self._command = (program, "-v", language, "--stdin", "--stdout")
        if shutil.which(program) is None:
            raise VoiceMissing(program, "it is not installed")

    async def __call__(self, text: str) -> Sound:
        """Speak a text; it takes some 20 ms, in a process of its own.

        Raises:
            VoiceMissing: The program failed, as with a language that it does not know.

        Cancellation: safe; the program is killed.
        """
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe
        )
        try:
            told, complaint = await program.communicate(text.encode())
        finally:
            with suppress(ProcessLookupError):
                program.kill()
            await program.wait()
        if program.returncode != 0 or not told:
            reason = complaint.decode(errors="replace").strip() or f"exit code {program.returncode}"
            raise VoiceMissing(self._program, reason)
        with wave.open(io.BytesIO(told)) as file:
            # Written to a pipe, the header does not know the length: there is less than it says.
            return Sound(file.readframes(file.getnframes()), file.getframerate())


# --- the bot


async def take_part(
    url: str,
    *,
    room: str = "lobby",
    name: str = "voice",
    reply: Reply = reply,
    say: Say | None = None,
    configuration: PeerConfiguration | None = None,
) -> None:
    """Talk with everybody in a room, each by itself, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The own name in it.
        reply: What to answer.
        say: The voice; eSpeak NG if ``None``.
        configuration: For the peer connections.

    Raises:
        VoiceMissing: eSpeak NG is not installed.
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: leaves the room, and nothing behind.
    """
    talk = partial(converse, reply=reply, say=say or Espeak())
    async with join(url, room=room, name=name, configuration=configuration) as joined:
        hint = "Open {page} and join: say something, and a voice answers when you pause."
        tell(url, room, joined, hint)
        await joined.attend(talk)


async def converse(peer: RemotePeer, reply: Reply, say: Say) -> None:
    """Talk with one participant, until it leaves.

    Cancellation: safe.
    """
    # Silence is sent all the time, so that an answer begins at once and nothing is negotiated.
    answer = AudioQueue()
    peer.add_track(answer)
    try:
        async with asyncio.TaskGroup() as group:
            async for track in peer.tracks():
                if track.kind == "audio":
                    group.create_task(_listen(track, answer, reply, say), name=f"hear {peer.name}")
    finally:
        answer.stop()


async def _listen(track: MediaStreamTrack, answer: AudioQueue, reply: Reply, say: Say) -> None:
    answering: asyncio.Task[None] | None = None
    async with speech(track) as events, asyncio.TaskGroup() as group:
        async for event in events:
            # Whatever is noticed makes the answer of before obsolete: what was to be said next is
            # not made, and what waits in the queue is not heard, from the next 20 ms on.
            if answering is not None:
                answering.cancel()
            answer.clear()
            match event:
                case SpeechStarted():
                    pass  # listen
                case SpeechSegment():
                    answering = group.create_task(_answer(event, answer, reply, say))
        if answering is not None:
            answering.cancel()


async def _answer(segment: SpeechSegment, answer: AudioQueue, reply: Reply, say: Say) -> None:
    if text := await reply(segment):
        # Long answers are better said by the sentence: the first is heard while others are made.
        sound = await say(text)
        await answer.push(sound.pcm, sound.rate)


def main(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "voice",
    language: Annotated[str, typer.Option(help="What the voice speaks, as en or pt-br.")] = "en",
) -> None:
    """Answer aloud to everybody in a room, and stop when interrupted."""
    try:
        say = Espeak(language)
    except VoiceMissing as error:
        raise SystemExit(str(error)) from None
    run(take_part(server, room=room, name=name, say=say))


if __name__ == "__main__":
    typer.run(main)
