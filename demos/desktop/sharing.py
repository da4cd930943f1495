# Longer than 400 lines: sharing, its viewers and their input; consent and control have modules.
"""Shares the screen with a room, and passes the input of the viewer in control to the desktop."""

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from logging import Logger
from typing import Any, Self

import msgspec
from aiortc import MediaStreamTrack

from icefloe.logs import get_logger
from icefloe.media import DeviceUnavailable, EncodedFanout, Screen
from icefloe.peer import (
    ChannelClosed,
    DataChannel,
    InvalidMessage,
    PeerConfiguration,
    RemotePeer,
    join,
)

from .._attending import announce, own_token
from .consent import REFUSAL_PAUSE, Consent, ask_on_terminal, everybody
from .control import SILENCE_TIMEOUT, Control, InputTracker, coalesce
from .messages import LABEL, PROTOCOL, Alive, Event, FromViewer, Release, State, Take
from .target import InputTarget, InputUnavailable, open_target

logger: Logger = get_logger(__name__)

BATCH = 64
"""Messages processed together, so that queued pointer moves are merged into one."""

_DECODER: msgspec.json.Decoder[FromViewer] = msgspec.json.Decoder(FromViewer)


async def take_part(
    url: str,
    *,
    room: str = "lobby",
    name: str = "desktop",
    display: str | None = None,
    rate: float = 15.0,
    control: bool = False,
    allowed: Collection[str] = (),
    consent: Consent = ask_on_terminal,
    configuration: PeerConfiguration | None = None,
) -> None:
    """Share the screen with all participants of a room, until cancelled or the screen is gone.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The name of the desktop in the room.
        display: The screen, such as ``:0``; that of the environment if ``None``.
        rate: Frames per second.
        control: Whether viewers may use mouse and keyboard, one at a time.
        allowed: The names of the viewers that may ask for control; all viewers if empty.
        consent: Asks whether a viewer may have control, when it first wants it, once for each
            connection.
        configuration: The configuration of the peer connections.

    Raises:
        DeviceUnavailable: The screen cannot be captured, or is gone.
        InputUnavailable: ``control`` is set, but input cannot be injected on this machine.
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: safe; the desktop leaves the room, closes all connections, and releases all keys
    that viewers hold down.
    """
    async with AsyncExitStack() as opened:
        target = await opened.enter_async_context(_target(display)) if control else None
        screen = await opened.enter_async_context(await Screen.open(display, rate=rate))
        if screen.video is None:
            raise DeviceUnavailable(screen.path, "it gives no picture", {})
        gone = asyncio.Event()
        screen.video.add_listener("ended", gone.set)
        sharing = show(
            url,
            screen.video,
            room=room,
            name=name,
            target=target,
            allowed=allowed,
            consent=consent,
            configuration=configuration,
        )
        await _until(gone, sharing)
        there = await Screen.available()
        raise DeviceUnavailable(screen.path, "it has gone", there) from screen.error


@asynccontextmanager
async def _target(display: str | None) -> AsyncIterator[InputTarget]:
    """Open the input target in a thread, since that may block, and close it at the end."""
    opening = asyncio.create_task(asyncio.to_thread(open_target, display))
    try:
        # A thread cannot be cancelled, so the target that it opens is always waited for and closed.
        await asyncio.wait((opening,))
        yield opening.result()
    finally:
        await asyncio.wait((opening,))
        if opening.exception() is None:
            await asyncio.to_thread(opening.result().close)


async def _until(gone: asyncio.Event, sharing: Coroutine[Any, Any, None]) -> None:
    """Run the sharing until it ends or the screen is gone."""
    tasks = asyncio.ensure_future(sharing), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    if not tasks[0].cancelled():
        tasks[0].result()


async def show(
    url: str,
    track: MediaStreamTrack,
    *,
    room: str = "lobby",
    name: str = "desktop",
    target: InputTarget | None = None,
    allowed: Collection[str] = (),
    consent: Consent = ask_on_terminal,
    configuration: PeerConfiguration | None = None,
) -> None:
    """Share a video track with a room, and apply the input of one viewer; see :func:`take_part`.

    Args:
        url: The signaling server.
        track: The video track; it is not stopped.
        room: The room.
        name: The name of the desktop in the room.
        target: The target of the input; no viewer can have control if it is ``None``.
        allowed: The names of the viewers that may ask for control; all viewers if empty.
        consent: Asks whether a viewer may have control, when it first wants it, once for each
            connection.
        configuration: The configuration of the peer connections.
    """
    # Legible text is more important than the frame rate (W3C mst-content-hint).
    fanout = EncodedFanout(track, content_hint="detail", stop_source=False)

    async def serve_viewer(peer: RemotePeer) -> None:
        picture = fanout.subscribe()
        try:
            # Added before the connection is made, so that the track is part of the first offer. A
            # later offer could collide with that of the page, which adds its camera then.
            peer.add_track(picture)
            with suppress(ChannelClosed):  # closed by a viewer that does not support input
                # Not shared: two desktops that share with each other need one channel each.
                channel = await peer.open_channel(LABEL, protocol=PROTOCOL, shared=False)
                await receiver.serve(peer.name, channel)
            await peer.ended()
        finally:
            picture.stop()

    try:
        async with (
            InputReceiver.open(target, allowed, consent) as receiver,
            join(
                url, room=room, name=name, token=own_token(), configuration=configuration
            ) as joined,
        ):
            if target is not None:
                who = " or ".join(allowed) or "anybody"
                how = "can use this machine now" if consent is everybody else "may ask to use it"
                logger.warning("%s in room %r %s", who, room, how)
            announce(url, room, joined, "Open {page} and join: you see this screen.")
            await joined.attend(serve_viewer)
    finally:
        fanout.close()


@dataclass(slots=True, eq=False)
class Viewer:
    """A viewer of the screen.

    Attributes:
        name: Its name in the room.
        channel: Its channel for input.
        may: Whether the user of this machine has allowed it to take control; ``None`` before the
            user has answered.
        question: The task that asks the user, while there is no answer.
    """

    name: str
    channel: DataChannel
    may: bool | None = None
    question: asyncio.Task[None] | None = None

    def send_state(self, state: State) -> None:
        """Send the viewer the state of control, unless its channel is closed."""
        with suppress(ChannelClosed):
            self.channel.try_send(msgspec.json.encode(state).decode())


class InputReceiver:
    """Receives the input of all viewers, and applies that of the viewer in control.

    Requests to an X server usually take a fraction of a millisecond, but may block, so they run in
    a thread. Meanwhile no further messages are read from the channel, so no queue builds up.

    Made by :meth:`open`.
    """

    def __init__(
        self, tracker: InputTracker | None, allowed: Collection[str], consent: Consent
    ) -> None:
        self._tracker = tracker
        self._consent = consent
        self._is_asking = False
        self._no_questions_until = 0.0
        self._control: Control[Viewer] = Control(tracker is not None, frozenset(allowed) or None)
        self._viewers: list[Viewer] = []
        self._thread = ThreadPoolExecutor(1, "icefloe-input")

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        target: InputTarget | None,
        allowed: Collection[str],
        consent: Consent = ask_on_terminal,
    ) -> AsyncIterator[Self]:
        """Receive input until the end of the block; at its end all keys are released.

        Args:
            target: The target of the input; no viewer can have control if it is ``None``.
            allowed: The names of the viewers that may ask for control; all viewers if empty.
            consent: Asks whether a viewer may have control.
        """
        receiver = cls(InputTracker(target) if target is not None else None, allowed, consent)
        try:
            yield receiver
        finally:
            await asyncio.to_thread(receiver._thread.shutdown)

    async def serve(self, name: str, channel: DataChannel) -> None:
        """Receive the input of a viewer until its channel is closed.

        Args:
            name: The name of the viewer in the room.
            channel: The input channel of the viewer.

        Cancellation: safe; the keys that the viewer holds down are released.
        """
        viewer = Viewer(name, channel, may=True if self._consent is everybody else None)
        self._viewers.append(viewer)
        viewer.send_state(self._state(viewer))
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    await self._process(viewer, await self._batch(viewer), group)
            except ChannelClosed:
                logger.debug("%s has closed its input channel", name)
            except InvalidMessage as error:
                logger.warning("closing the input of %s after an invalid message: %s", name, error)
            except InputUnavailable as error:
                logger.warning("%s", error)
            finally:
                if viewer.question is not None:
                    viewer.question.cancel()
                self._viewers.remove(viewer)
                self._release_control(viewer)
                channel.close()

    async def _batch(self, viewer: Viewer) -> list[FromViewer]:
        """Return the messages that have arrived, at least one.

        If the viewer holds keys down and is silent for too long, release the keys and return none.
        """
        is_holder = viewer is self._control.holder
        holds_keys = is_holder and self._tracker is not None and self._tracker.has_pressed
        try:
            async with asyncio.timeout(SILENCE_TIMEOUT if holds_keys else None):
                batch = [_decode(viewer.channel, await viewer.channel.receive())]
        except TimeoutError:
            self._release_keys()
            return []
        while len(batch) < BATCH and (message := viewer.channel.try_receive()) is not None:
            batch.append(_decode(viewer.channel, message))
        return batch

    async def _process(
        self, viewer: Viewer, batch: list[FromViewer], group: asyncio.TaskGroup
    ) -> None:
        events: list[Event] = []
        for message in batch:
            match message:
                case Take() if viewer.may or not self._control.may(viewer.name):
                    self._give_control(viewer)
                case Take():
                    self._ask(viewer, group)
                case Release():
                    await self._apply(events)
                    events = []
                    self._release_control(viewer)
                case Alive():
                    pass
                case _:
                    if self._control.use(viewer, _now()):
                        events.append(message)
        await self._apply(events)

    def _ask(self, viewer: Viewer, group: asyncio.TaskGroup) -> None:
        """Ask the user of this machine, about one viewer at a time and about each only once."""
        if viewer.question is not None:
            return  # the user has not answered yet
        if viewer.may is False or self._is_asking or _now() < self._no_questions_until:
            viewer.send_state(self._state(viewer))
            return
        self._is_asking = True
        viewer.question = group.create_task(self._question(viewer), name="desktop consent")

    async def _question(self, viewer: Viewer) -> None:
        try:
            viewer.may = await self._consent(viewer.name)
        finally:
            self._is_asking = False
            viewer.question = None
        if viewer.may:
            self._give_control(viewer)
        else:
            self._no_questions_until = _now() + REFUSAL_PAUSE
            logger.warning("%s was refused control", viewer.name)
            viewer.send_state(self._state(viewer))

    def _give_control(self, viewer: Viewer) -> None:
        before = self._control.holder
        if self._control.take(viewer, viewer.name, _now()) and viewer is not before:
            self._release_keys()
            logger.warning("%s is in control", viewer.name)
            self._send_states()
        else:
            viewer.send_state(self._state(viewer))

    def _release_control(self, viewer: Viewer) -> None:
        if self._control.release(viewer):
            self._release_keys()
            logger.warning("%s is not in control any more", viewer.name)
            self._send_states()

    async def _apply(self, events: list[Event]) -> None:
        if not events or self._tracker is None:
            return
        loop = asyncio.get_running_loop()
        cancelled = threading.Event()
        try:
            await loop.run_in_executor(
                self._thread, _apply_all, self._tracker, coalesce(events), cancelled
            )
        finally:
            cancelled.set()

    def _release_keys(self) -> None:
        """Release all keys and buttons in the thread, after the events that are being applied."""
        if self._tracker is not None:
            self._thread.submit(_release_all, self._tracker)

    def _send_states(self) -> None:
        for viewer in self._viewers:
            viewer.send_state(self._state(viewer))

    def _state(self, viewer: Viewer) -> State:
        holder = self._control.holder
        if viewer.may is False or not self._control.may(viewer.name):
            return State("none")
        if holder is None:
            return State("free")
        return State("yours") if holder is viewer else State("taken", holder.name)


def _decode(channel: DataChannel, message: str | bytes) -> FromViewer:
    try:
        return _DECODER.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidMessage(channel.label, message, str(error)) from error


def _apply_all(tracker: InputTracker, events: list[Event], cancelled: threading.Event) -> None:
    for event in events:
        # The rest of the events of a viewer that has gone is dropped.
        if not cancelled.is_set():
            tracker.apply(event)


def _release_all(tracker: InputTracker) -> None:
    try:
        tracker.release_all()
    except InputUnavailable as error:
        logger.warning("pressed keys could not be released: %s", error)


def _now() -> float:
    return asyncio.get_running_loop().time()
