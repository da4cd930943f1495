"""The demo participant: joins a room and sends each peer its own video with an effect."""

import asyncio
import os
import ssl as tls
from collections.abc import Awaitable, Callable
from logging import Logger

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from icefloe.logs import get_logger
from icefloe.media import (
    FileSource,
    LatestFrame,
    SourceError,
    TestPatternTrack,
    ToneTrack,
    TransformTrack,
)
from icefloe.peer import ChannelError, DataChannel, PeerConfiguration, PeerError, RemotePeer, join

from . import chat
from .effects import DEFAULT, effect
from .switch import Switch

logger: Logger = get_logger(__name__)

_SILENCE = -127.0
"""The level of an inaudible tone, in decibels, which serves as silence."""


async def take_part(
    url: str,
    *,
    room: str = "lobby",
    name: str = "python",
    film: str | os.PathLike[str] | None = None,
    token: str | Callable[[], Awaitable[str]] | None = None,
    ssl: tls.SSLContext | None = None,
    configuration: PeerConfiguration | None = None,
) -> None:
    """Take part in a room until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The name of the participant in the room.
        film: The file that ``/play`` plays; without one it plays a test pattern with a tone.
        token: The token that admits, if the server asks for one, or a function that gives one.
        ssl: The TLS context that verifies the certificate of a ``wss://`` server.
        configuration: The configuration of the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: safe; the participant leaves the room and closes all connections.
    """
    async with join(
        url, room=room, name=name, token=token, ssl=ssl, configuration=configuration
    ) as joined:
        await joined.attend(lambda peer: Call(peer, film).run())


class Call:
    """The call with one peer.

    The tracks that are sent switch between sources without renegotiation: the peer's own video with
    an effect, a film, or a test pattern while the peer sends no video.

    Args:
        peer: The connection with the peer.
        film: The file that ``/play`` plays.
    """

    def __init__(self, peer: RemotePeer, film: str | os.PathLike[str] | None = None) -> None:
        self._peer = peer
        self._film_path = film
        self._pattern = TestPatternTrack()
        self._silence = ToneTrack(level=_SILENCE)
        self._tone = ToneTrack()
        self._video = Switch(self._pattern)
        self._audio = Switch(self._silence)
        self._received: list[MediaStreamTrack] = []
        self._picture: TransformTrack | None = None
        self._film: FileSource | None = None
        self._effect = DEFAULT
        self._playing = False
        self._sounding = False
        self._chatting = False
        self._chat: DataChannel | None = None
        self._commands: dict[str, Callable[[str], Awaitable[str]]] = {
            "effect": self._change_effect,
            "play": self._play,
            "tone": self._play_tone,
            "stop": self._stop,
            "stats": self._stats,
            "help": self._help,
        }

    async def run(self) -> None:
        """Run the call until cancelled, which happens when the peer is gone."""
        try:
            self._peer.add_track(self._video)
            self._peer.add_track(self._audio)
            await self._run_tasks()
        finally:
            await self._clean_up()

    async def _run_tasks(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._log_failure())
            group.create_task(self._watch_tracks(group))
            group.create_task(self._watch_channels(group))
            if not self._peer.polite:  # the newcomer opens the chat
                group.create_task(self._open_chat())

    async def _log_failure(self) -> None:
        try:
            await self._peer.connected()
        except PeerError as error:
            logger.warning("%s: %s", self._peer.name, error)

    async def _clean_up(self) -> None:
        fixed = (self._video, self._audio, self._pattern, self._silence, self._tone)
        for track in (*fixed, *self._received):
            track.stop()
        if self._film is not None:
            await self._film.close()

    # --- received tracks

    async def _watch_tracks(self, group: asyncio.TaskGroup) -> None:
        async for track in self._peer.tracks():
            if track.kind == "video":
                group.create_task(self._return_video(track))
            else:
                # The audio is not used, but frames that are not read would accumulate.
                self._received.append(LatestFrame(track))

    async def _return_video(self, track: MediaStreamTrack) -> None:
        picture = TransformTrack(track, None)
        self._received.append(picture)
        try:
            await picture.recv()  # the test pattern is sent until the first frame arrives
        except MediaStreamError:
            return
        if self._picture is not None:
            self._picture.function = None
        self._picture = picture
        self._select_sources()

    # --- sent tracks

    def _select_sources(self) -> None:
        """Select the sources that are sent, by the commands given and the tracks received."""
        video: MediaStreamTrack | None = self._picture
        audio: MediaStreamTrack | None = self._tone if self._sounding else None
        if self._playing:
            video, audio = self._pattern, self._tone
            if self._film is not None:
                video, audio = self._film.video or self._pattern, self._film.audio
        self._video.show(video)
        self._audio.show(audio)
        if self._picture is not None:
            # A picture that is not sent needs no effect.
            self._picture.function = None if self._playing else effect(self._effect)

    # --- the chat

    async def _watch_channels(self, group: asyncio.TaskGroup) -> None:
        async for channel in self._peer.channels():
            if channel is self._chat:
                continue  # this side has opened it
            if channel.label == chat.LABEL and not self._chatting:
                self._chatting = True
                group.create_task(self._serve_chat(channel))
            else:
                channel.close()

    async def _open_chat(self) -> None:
        self._chatting = True
        try:
            channel = self._chat = await self._peer.open_channel(chat.LABEL)
        except PeerError as error:
            logger.info("%s: the chat could not be opened: %s", self._peer.name, error)
            return
        await self._serve_chat(channel)

    async def _serve_chat(self, channel: DataChannel) -> None:
        try:
            await channel.send(chat.greeting(self._peer.name))
            async for message in channel:
                if isinstance(message, bytes):
                    continue
                if chat.is_offer(message):
                    return  # another program like this one: they would answer each other endlessly
                await channel.send(await self._answer(message))
        except ChannelError as error:
            logger.info("%s: the chat has ended: %s", self._peer.name, error)
        finally:
            self._chatting = False

    async def _answer(self, message: str) -> str:
        parsed = chat.parse(message)
        if isinstance(parsed, chat.Reply):
            return parsed.text
        return await self._commands[parsed.command](parsed.choice)

    async def _change_effect(self, name: str) -> str:
        self._effect = name
        self._select_sources()
        return f"Your picture, {'as it is' if name == 'none' else name}."

    async def _play(self, _: str) -> str:
        if self._playing:
            return "It is playing. /stop ends it."
        if self._film_path is not None:
            try:
                self._film = await FileSource.open(self._film_path, loop=True)
            except SourceError as error:
                logger.warning("%s: %s", self._peer.name, error)
                return "The film cannot be played; the log says why."
        self._playing = True
        self._select_sources()
        if self._film is None:
            return (
                "Playing a test pattern with a tone, for I was given no film: start me as "
                "`icefloe demo --play FILE`. /stop ends it."
            )
        return "Playing. /stop ends it."

    async def _play_tone(self, _: str) -> str:
        self._sounding = True
        self._select_sources()
        return "A tone of 440 Hz. /stop ends it."

    async def _stop(self, _: str) -> str:
        self._playing = self._sounding = False
        self._select_sources()
        if self._film is not None:
            await self._film.close()
            self._film = None
        return "Stopped. Here is your picture again."

    async def _stats(self, _: str) -> str:
        return f"Our path: {self._peer.path or 'not known yet'}."

    async def _help(self, _: str) -> str:
        return chat.help_text()
