"""Demo of a voice bot with speech detection: it answers aloud, and stops when it is interrupted.

::

    apt install espeak-ng             # the voice
    icefloe serve                     # in one terminal
    python -m icefloe.demos.voice     # in another; then open the page, and say something

It is a skeleton with two parts to replace: ``reply``, for a speech recognizer and the logic of the
bot, and ``say``, for speech synthesis. Both are independent of each other and of WebRTC.
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

from ._attending import (
    LOCAL,
    ExternalAddresses,
    Name,
    RoomName,
    Server,
    TcpPort,
    UdpPort,
    announce,
    over_ports,
    own_token,
    run,
)


@dataclass(frozen=True, slots=True)
class Sound:
    """Synthesized speech.

    Attributes:
        pcm: Samples of ``int16``, mono.
        rate: Samples per second.
    """

    pcm: bytes
    rate: int


Reply: TypeAlias = Callable[[SpeechSegment], Awaitable[str]]
"""Takes a segment of speech and returns the answer, or an empty string for none. It is cancelled
when the speaker continues."""

Say: TypeAlias = Callable[[str], Awaitable[Sound]]
"""Synthesizes a text. It is cancelled when the answer is obsolete."""


# --- the parts to replace


async def reply(segment: SpeechSegment) -> str:
    """Return an answer that only depends on the length of the segment; replace this function."""
    seconds = segment.end - segment.start
    return f"I have heard you speak for {seconds:.1f} seconds. What did you say?"


class VoiceMissing(PrintableError):
    """The program for speech synthesis is not installed, or does not work.

    Attributes:
        program: The name of the program.
        reason: The reason why it cannot be used.
    """

    def __init__(self, program: str, reason: str) -> None:
        self.program = program
        self.reason = reason
        super().__init__(
            f"{program} cannot be used: {reason}. Install it, with `apt install {program}` on "
            "Debian and Ubuntu, or give the bot another voice"
        )


class Espeak:
    """Speech synthesis with eSpeak NG, which works offline and has about a hundred languages.

    Args:
        language: The language, as ``en`` or ``pt-br``; ``espeak-ng --voices`` lists all.
        program: The name of the program.

    Raises:
        VoiceMissing: The program is not installed.
    """

    def __init__(self, language: str = "en", program: str = "espeak-ng") -> None:
        self._program = program
        self._command = (program, "-v", language, "--stdin", "--stdout")
        if shutil.which(program) is None:
            raise VoiceMissing(program, "it is not installed")

    async def __call__(self, text: str) -> Sound:
        """Synthesize a text; this takes about 20 ms in a separate process.

        Raises:
            VoiceMissing: The program failed, for example because it does not have the language.

        Cancellation: safe; the program is killed.
        """
        pipe = asyncio.subprocess.PIPE
        program = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, stderr=pipe
        )
        try:
            output, errors = await program.communicate(text.encode())
        finally:
            with suppress(ProcessLookupError):
                program.kill()
            await program.wait()
        if program.returncode != 0 or not output:
            reason = errors.decode(errors="replace").strip() or f"exit code {program.returncode}"
            raise VoiceMissing(self._program, reason)
        with wave.open(io.BytesIO(output)) as file:
            # In the output to a pipe, the length in the header is larger than the real one.
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
    """Talk with each participant of a room separately, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The name of the bot in the room.
        reply: Returns the answer to a segment of speech.
        say: Synthesizes the answer; eSpeak NG if ``None``.
        configuration: The configuration of the peer connections.

    Raises:
        VoiceMissing: eSpeak NG is not installed.
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: safe; the bot leaves the room and closes all connections.
    """
    talk = partial(converse, reply=reply, say=say or Espeak())
    async with join(
        url, room=room, name=name, token=own_token(), configuration=configuration
    ) as joined:
        hint = "Open {page} and join: say something, and a voice answers when you pause."
        announce(url, room, joined, hint)
        await joined.attend(talk)


async def converse(peer: RemotePeer, reply: Reply, say: Say) -> None:
    """Talk with one participant, until it leaves.

    Cancellation: safe.
    """
    # The track sends silence between answers, so an answer needs no renegotiation.
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
            # Any new speech makes the current answer obsolete: its synthesis is cancelled, and the
            # queued audio is dropped, so the bot is silent within 20 ms.
            if answering is not None:
                answering.cancel()
            answer.clear()
            match event:
                case SpeechStarted():
                    pass
                case SpeechSegment():
                    answering = group.create_task(_answer(event, answer, reply, say))
        if answering is not None:
            answering.cancel()


async def _answer(segment: SpeechSegment, answer: AudioQueue, reply: Reply, say: Say) -> None:
    if text := await reply(segment):
        # Split long answers into sentences, so that the first plays while others are synthesized.
        sound = await say(text)
        await answer.push(sound.pcm, sound.rate)


def main(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "voice",
    language: Annotated[str, typer.Option(help="What the voice speaks, as en or pt-br.")] = "en",
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Answer aloud to everybody in a room, and stop when interrupted."""
    try:
        say = Espeak(language)
    except VoiceMissing as error:
        raise SystemExit(str(error)) from None
    run(
        over_ports(
            udp_port,
            tcp_port,
            external_address,
            lambda configuration: take_part(
                server, room=room, name=name, say=say, configuration=configuration
            ),
        )
    )


if __name__ == "__main__":
    typer.run(main)
