"""The asyncio side: the screen to everybody in a room, and the input of one of them back."""

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
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

from .._attending import tell
from .consent import QUIET, Consent, ask_on_terminal, everybody
from .control import LEASE, Control, Hands, coalesce
from .messages import LABEL, PROTOCOL, Alive, Event, FromViewer, Release, State, Take
from .target import InputTarget, InputUnavailable, open_target

logger = get_logger(__name__)

BATCH = 64
"""Messages that are taken at once, so that moves that pile up become one."""

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
    """Share the screen with everybody in a room, until cancelled or the screen goes away.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The own name in it.
        display: The screen, such as ``:0``; that of the environment if ``None``.
        rate: Pictures a second.
        control: Whether others may use mouse and keyboard, one at a time.
        allowed: The names of those who may ask for it; everybody in the room if there are none.
        consent: Asks whether somebody may, once for each connection, when they first want to.
        configuration: For the peer connections.

    Raises:
        DeviceUnavailable: The screen cannot be shown, or has gone.
        InputUnavailable: There is to be control, and this machine takes no input of programs.
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: leaves the room, releases what others hold down, and leaves nothing behind.
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
    """Open what takes input, which may wait for an X server, and close it in the end."""
    opening = asyncio.create_task(asyncio.to_thread(open_target, display))
    try:
        # A thread cannot be cancelled: what it opens is closed all the same.
        await asyncio.wait((opening,))
        yield opening.result()
    finally:
        await asyncio.wait((opening,))
        if opening.exception() is None:
            await asyncio.to_thread(opening.result().close)


async def _until(gone: asyncio.Event, sharing: Coroutine[Any, Any, None]) -> None:
    """Share until it fails, or there is nothing to share any more."""
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
    """Show a picture to everybody in a room, and do what one of them does; see :func:`take_part`.

    Args:
        url: The signaling server.
        track: The picture; it is not stopped.
        room: The room.
        name: The own name in it.
        target: Where input goes; nobody is in control if it is ``None``.
        allowed: The names of those who may ask for it; everybody if there are none.
        consent: Asks whether somebody may, once for each connection, when they first want to.
        configuration: For the peer connections.
    """
    # Text is to be legible: rather fewer pictures than blurred ones (W3C mst-content-hint).
    fanout = EncodedFanout(track, content_hint="detail", stop_source=False)

    async def serve_viewer(peer: RemotePeer) -> None:
        picture = fanout.subscribe()
        try:
            # Before there is a connection, so that the picture is in the first description: no
            # offer of this side can meet one of the page, which adds its camera then.
            peer.add_track(picture)
            with suppress(ChannelClosed):  # by a program that only looks
                # Of two who share their desktops with each other, each has a channel for its own.
                channel = await peer.open_channel(LABEL, protocol=PROTOCOL, shared=False)
                await desk.serve(peer.name, channel)
            await peer.ended()
        finally:
            picture.stop()

    try:
        async with (
            Desk.open(target, allowed, consent) as desk,
            join(url, room=room, name=name, configuration=configuration) as joined,
        ):
            if target is not None:
                who = " or ".join(allowed) or "anybody"
                how = "can use this machine now" if consent is everybody else "may ask to use it"
                logger.warning("%s in room %r %s", who, room, how)
            tell(url, room, joined, "Open {page} and join: you see this screen.")
            await joined.attend(serve_viewer)
    finally:
        fanout.close()


@dataclass(slots=True, eq=False)
class Viewer:
    """Somebody who looks.

    Attributes:
        name: Their name in the room.
        channel: The channel for input.
        may: Whether the user of this machine lets them; ``None`` before that was asked.
        question: The question whether they may, while it is open.
    """

    name: str
    channel: DataChannel
    may: bool | None = None
    question: asyncio.Task[None] | None = None

    def tell(self, state: State) -> None:
        """Tell how it is with control; who is gone is told nothing."""
        with suppress(ChannelClosed):
            self.channel.try_send(msgspec.json.encode(state).decode())


class Desk:
    """Takes the input of all who look, and does that of the one who is in control.

    What an X server does takes a fraction of a millisecond, but for as long as it likes: a thread
    waits for it. Nothing piles up meanwhile, because no more is read of the channel.

    Made by :meth:`open`.
    """

    def __init__(self, hands: Hands | None, allowed: Collection[str], consent: Consent) -> None:
        self._hands = hands
        self._consent = consent
        self._is_asking = False
        self._quiet_until = 0.0
        self._control: Control[Viewer] = Control(hands is not None, frozenset(allowed) or None)
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
        """Have a desk until the end of the block; then nothing is held down any more.

        Args:
            target: Where input goes; nobody is in control if it is ``None``.
            allowed: The names of those who may ask for it; everybody if there are none.
            consent: Asks whether somebody may.
        """
        desk = cls(Hands(target) if target is not None else None, allowed, consent)
        try:
            yield desk
        finally:
            await asyncio.to_thread(desk._thread.shutdown)

    async def serve(self, name: str, channel: DataChannel) -> None:
        """Take the input of somebody until their channel is closed.

        Args:
            name: Their name in the room.
            channel: The channel that was opened for it.

        Cancellation: safe; what is held down is released.
        """
        viewer = Viewer(name, channel, may=True if self._consent is everybody else None)
        self._viewers.append(viewer)
        viewer.tell(self._state(viewer))
        async with asyncio.TaskGroup() as group:
            try:
                while True:
                    await self._take(viewer, await self._batch(viewer), group)
            except ChannelClosed:
                logger.debug("%s does not look any more", name)
            except InvalidMessage as error:
                logger.warning("what %s sent is no input, so that is closed: %s", name, error)
            except InputUnavailable as error:
                logger.warning("%s", error)
            finally:
                if viewer.question is not None:
                    viewer.question.cancel()
                self._viewers.remove(viewer)
                self._release(viewer)
                channel.close()

    async def _batch(self, viewer: Viewer) -> list[FromViewer]:
        """Wait for what comes, and take what is there as well; silence lets go of what is down."""
        holding = viewer is self._control.holder and self._hands is not None and self._hands.holds
        try:
            async with asyncio.timeout(LEASE if holding else None):
                batch = [_read(viewer.channel, await viewer.channel.receive())]
        except TimeoutError:
            self._let_go()
            return []
        while len(batch) < BATCH and (message := viewer.channel.try_receive()) is not None:
            batch.append(_read(viewer.channel, message))
        return batch

    async def _take(
        self, viewer: Viewer, batch: list[FromViewer], group: asyncio.TaskGroup
    ) -> None:
        events: list[Event] = []
        for message in batch:
            match message:
                case Take() if viewer.may or not self._control.may(viewer.name):
                    self._give(viewer)
                case Take():
                    self._ask(viewer, group)
                case Release():
                    await self._do(events)
                    events = []
                    self._release(viewer)
                case Alive():
                    pass
                case _:
                    if self._control.use(viewer, _now()):
                        events.append(message)
        await self._do(events)

    def _ask(self, viewer: Viewer, group: asyncio.TaskGroup) -> None:
        """Have the user of this machine asked, about one at a time and about each just once."""
        if viewer.question is not None:
            return  # the answer is on its way
        if viewer.may is False or self._is_asking or _now() < self._quiet_until:
            viewer.tell(self._state(viewer))
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
            self._give(viewer)
        else:
            self._quiet_until = _now() + QUIET
            logger.warning("%s was refused control", viewer.name)
            viewer.tell(self._state(viewer))

    def _give(self, viewer: Viewer) -> None:
        before = self._control.holder
        if self._control.take(viewer, viewer.name, _now()) and viewer is not before:
            self._let_go()
            logger.warning("%s is in control", viewer.name)
            self._tell_all()
        else:
            viewer.tell(self._state(viewer))

    def _release(self, viewer: Viewer) -> None:
        if self._control.release(viewer):
            self._let_go()
            logger.warning("%s is not in control any more", viewer.name)
            self._tell_all()

    async def _do(self, events: list[Event]) -> None:
        if not events or self._hands is None:
            return
        loop = asyncio.get_running_loop()
        over = threading.Event()
        try:
            await loop.run_in_executor(self._thread, _do_all, self._hands, coalesce(events), over)
        finally:
            over.set()

    def _let_go(self) -> None:
        """Release what is down, after all that is under way and before what comes."""
        if self._hands is not None:
            self._thread.submit(_let_go, self._hands)

    def _tell_all(self) -> None:
        for viewer in self._viewers:
            viewer.tell(self._state(viewer))

    def _state(self, viewer: Viewer) -> State:
        holder = self._control.holder
        if viewer.may is False or not self._control.may(viewer.name):
            return State("none")
        if holder is None:
            return State("free")
        return State("yours") if holder is viewer else State("taken", holder.name)


def _read(channel: DataChannel, message: str | bytes) -> FromViewer:
    try:
        return _DECODER.decode(message)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidMessage(channel.label, message, str(error)) from error


def _do_all(hands: Hands, events: list[Event], over: threading.Event) -> None:
    for event in events:
        # Who has gone is not to go on typing.
        if not over.is_set():
            hands.do(event)


def _let_go(hands: Hands) -> None:
    try:
        hands.let_go()
    except InputUnavailable as error:
        logger.warning("what is held down stays so: %s", error)


def _now() -> float:
    return asyncio.get_running_loop().time()
