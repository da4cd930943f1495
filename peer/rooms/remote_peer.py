# Longer than 400 lines: one public class, half of it docstrings.
"""``RemotePeer``: another participant of a room, and the connection to it."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from logging import Logger
from pathlib import Path

from aiortc import (
    InvalidAccessError,
    MediaStreamTrack,
    RTCDataChannel,
    RTCRtpSender,
)

from icefloe._util.token_bucket import TokenBucket
from icefloe.logs import get_logger
from icefloe.signaling import Report
from icefloe.text import printable

from .._aiortc.sender import Sender
from .._util.peer_logger import named
from ..configuration import PeerConfiguration
from ..connection.connection import PeerConnection
from ..connection.data_channel import SEND_BUFFER, DataChannel, check_buffers
from ..connection.negotiator import Negotiator, Signaler
from ..connection.receive_buffer import RECEIVE_BUFFER
from ..diagnosis.verdict import Verdict
from ..errors import ConnectFailed, DescriptionTooLarge, PeerError, PeerLeft
from ..files.errors import TransferError
from ..files.outgoing import FilesToSend
from ..files.progress import OnProgress
from ..files.protocol import PROTOCOL as TRANSFER
from ..files.receive_session import FileOffer
from ..files.send_session import send_sources
from ..ice.server_urls import RTCPeerConnectionIceErrorEvent
from .arrivals import Arrivals
from .channel_labels import Kind, Labels
from .connect_failure import connect_failed
from .connect_report import ConnectWatch

logger: Logger = get_logger(__name__)

SERVER_ERRORS = 32
"""Latest reports of STUN and TURN servers that are kept for the diagnosis of a failure."""

_GONE = frozenset({"left", "timeout", "removed"})
"""Reasons of an end that say that the participant is not in the room any more."""


class RemotePeer:
    """Another participant of a room, and the peer connection to it.

    Tracks and channels may be added at any time, by both sides and at the same moment: offers that
    cross are sorted out (W3C webrtc-pc 10.7). A room makes these, runs and closes them.

    Attributes:
        id: Its id in the room.
        name: Its name in the room.
        polite: Whether *this* side is the polite one, which was in the room first.
        away: Whether it has lost its signaling connection and may be back; the call goes on.
        may_send: Whether it has the right to send audio and video: its tracks are refused if not.
        connection: The peer connection, for everything that is not wrapped here.
    """

    def __init__(
        self,
        *,
        id: str,
        name: str,
        polite: bool,
        signaler: Signaler,
        configuration: PeerConfiguration | None = None,
        connect_timeout: float = 30.0,
        restarts: TokenBucket | None = None,
        may_send: bool = True,
        report: Callable[[Report], object] = lambda _: None,
        is_signaling: Callable[[], bool] = lambda: True,
    ) -> None:
        self.id = id
        self.name = name
        self.polite = polite
        self.away = False
        self.may_send = may_send
        with named(name):
            self.connection: PeerConnection = PeerConnection(configuration)
        self._watch = ConnectWatch(self.connection, report)
        if restarts is not None:
            self.connection.limit_restarts(restarts)
        self._negotiator = Negotiator(
            self.connection,
            polite=polite,
            signaler=signaler,
            on_error=self._on_negotiation_error,
        )
        self._connect_timeout = connect_timeout
        self._channels: Arrivals[DataChannel] = Arrivals()
        self._tracks: Arrivals[MediaStreamTrack] = Arrivals()
        self._transfers: Arrivals[DataChannel] = Arrivals()
        self._warnings: Arrivals[Verdict] = Arrivals()
        self._labels = Labels()
        self._live: set[DataChannel] = set()
        loop = asyncio.get_running_loop()
        self._started_at = loop.time()
        self._connected: asyncio.Future[None] = loop.create_future()
        self._was_connected = False
        self._ended = asyncio.Event()
        self._reason = ""
        self._verdict: Verdict | None = None
        self.connection.history.signaling = lambda: (
            not is_signaling(),
            self._reason if self._reason in _GONE else "",
        )
        self._server_errors: deque[str] = deque(maxlen=SERVER_ERRORS)
        self.connection.on("icecandidateerror", self._on_server_error)
        self.connection.on("warning", self._on_warning)
        self.connection.on("connectionstatechange", self._on_connection_state)
        self.connection.on("datachannel", self._on_channel)
        self.connection.on("track", self._on_track)

    def __repr__(self) -> str:
        return f"<RemotePeer {self.name!r} {self.id} {self.connection.connectionState}>"

    # --- media and data

    def add_track(self, track: MediaStreamTrack) -> Sender:
        """Send a track; may be called at any time.

        Returns:
            The sender: an ``RTCRtpSender`` with ``getParameters()`` and ``setParameters()``.

        Raises:
            PeerLeft: The peer is gone.
        """
        self._assert_here()
        return self.connection.addTrack(track)

    def remove_track(self, sender: RTCRtpSender) -> None:
        """Stop sending what :meth:`add_track` added; the track itself goes on.

        Raises:
            PeerLeft: The peer is gone.
        """
        self._assert_here()
        self.connection.removeTrack(sender)

    def replace_track(self, sender: RTCRtpSender, track: MediaStreamTrack | None) -> None:
        """Send another track in the place of one, from now on; nothing is negotiated.

        Args:
            sender: What :meth:`add_track` returned.
            track: One of the same kind; ``None`` sends nothing, which mutes the track at the other
                side after a while, until another one takes its place.

        Raises:
            InvalidAccessError: The sender is of another peer.
            PeerLeft: The peer is gone.
            TypeError: The track is of the other kind.
        """
        self._assert_here()
        if sender not in self.connection.getSenders():
            raise InvalidAccessError(f"the sender is not one of those of {printable(self.name)}")
        sender.replaceTrack(track)

    async def open_channel(
        self,
        label: str,
        *,
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time: int | None = None,
        protocol: str = "",
        negotiated: bool = False,
        id: int | None = None,
        send_buffer: int = SEND_BUFFER,
        receive_buffer: int = RECEIVE_BUFFER,
        shared: bool = True,
    ) -> DataChannel:
        """Open a data channel, or take the one that there is, and wait until it can be used.

        A label is one channel, whoever opens it, in whatever order and how often, as long as
        protocol and reliability are the same too. Each side gets all that the other one sends, and
        each sender's messages stay in order. :meth:`channels` gives the same one.

        Args:
            label: Its name, in any language, of at most 65,535 bytes in UTF-8.
            ordered: Whether messages arrive in order.
            max_retransmits: Retransmissions before a message is given up, 0 to 65,535.
            max_packet_life_time: Milliseconds before a message is given up, likewise; not both.
            protocol: The subprotocol, in any language; as long as a label.
            negotiated: Whether the other side opens a channel of the same ``id`` by itself, so that
                none is announced.
            id: Its number, 0 to 65534; given by the transport unless ``negotiated``.
            send_buffer: Bytes that may wait before ``send()`` waits.
            receive_buffer: Bytes that may wait to be read; a reliable channel stops the sender
                before that, see :class:`DataChannel`.
            shared: ``False`` opens another one in any case, which the remote peer finds in
                :meth:`channels`; there, too, the label is then opened with ``False`` or not at all.
                A channel that is ``negotiated`` or has an ``id`` is never shared.

        Raises:
            ConnectFailed: There is no connection to the peer.
            PeerLeft: The peer is gone.
            ChannelClosed: The remote peer closed it at once.
            InvalidChannel: It cannot be so, or as ChannelUnavailable, there is no stream for it;
                a ``ValueError``.
            ValueError: A buffer is no number of bytes.

        Cancellation: safe; the channel is then closed, if this call has opened it.
        """
        self._assert_here()
        check_buffers(send_buffer, receive_buffer)  # before there is a channel
        shared = shared and not negotiated and id is None and protocol != TRANSFER
        kind = Kind(label, protocol, ordered, max_retransmits, max_packet_life_time)
        channel = self._labels.find(kind) if shared else None
        if channel is not None:
            await self._until_open(channel)
            channel.set_buffers(send_buffer=send_buffer, receive_buffer=receive_buffer)
            return channel
        raw = self._create(kind, negotiated=negotiated, id=id)
        channel = self._wrap(raw, send_buffer=send_buffer, receive_buffer=receive_buffer)
        if shared:
            self._share(kind, channel)
        return await self._until_open(channel, created=True)

    def _create(self, kind: Kind, *, negotiated: bool, id: int | None) -> RTCDataChannel:
        return self.connection.createDataChannel(
            kind.label,
            ordered=kind.ordered,
            maxRetransmits=kind.max_retransmits,
            maxPacketLifeTime=kind.max_packet_life_time,
            protocol=kind.protocol,
            negotiated=negotiated,
            id=id,
        )

    def _share(self, kind: Kind, channel: DataChannel) -> None:
        self._labels.opened(kind, channel)
        self._tell_unlike(kind)

    async def _until_open(self, channel: DataChannel, *, created: bool = False) -> DataChannel:
        """Return a channel once it can be used; if that fails, close what was created for it."""
        try:
            await self.connected()
            await channel.opened()
        except BaseException:
            if created:
                channel.close()
            raise
        return channel

    def channels(self) -> AsyncIterator[DataChannel]:
        """Iterate over the data channels that the remote peer opens, until the peer is gone.

        One that this side opens as well is the same object that :meth:`open_channel` returns. A
        message is for whoever reads it first.
        """
        return self._channels.__aiter__()

    def tracks(self) -> AsyncIterator[MediaStreamTrack]:
        """Iterate over the tracks that the remote peer sends, until the peer is gone."""
        return self._tracks.__aiter__()

    def warnings(self) -> AsyncIterator[Verdict]:
        """Iterate over what is found to be wrong with the connection, until the peer is gone.

        While connecting each comes as soon as it shows, and other paths are tried on; the log has
        them as well. :meth:`PeerConnection.diagnose` tells the same at any time.
        """
        return self._warnings.__aiter__()

    # --- files

    async def send_file(self, path: Path | str, *, on_progress: OnProgress | None = None) -> int:
        """Send a file, or a folder with all that is in it; see :meth:`send_files`."""
        return await self.send_files([path], on_progress=on_progress)

    async def send_files(
        self,
        files: Iterable[Path | str] | FilesToSend,
        *,
        on_progress: OnProgress | None = None,
        on_closed: Callable[[], None] | None = None,
        stop_is_final: bool = True,
    ) -> int:
        """Offer files and folders, and send them if the remote peer accepts.

        What the remote peer has from an earlier attempt is not sent again. Links inside of folders
        are left out.

        Args:
            files: Paths of files and folders, or what :meth:`FilesToSend.find` has found.
            on_progress: Called with a :class:`TransferProgress` whenever more is acknowledged.
            on_closed: Called when the remote peer takes no more. A read of the stream that waits
                should then end, since the error is raised only after it.
            stop_is_final: Whether a cancellation ends the transfer for the receiver. Otherwise the
                receiver takes it for a broken connection, and may wait for this side to come back.

        Returns:
            Bytes that were sent.

        Raises:
            TransferDeclined: The remote peer does not want them.
            TransferFailed: One of the paths cannot be sent, and nothing was offered; or it cannot
                be completed, and both sides know why.
            TransferBroken: The connection ended in the middle; send again to go on.
            ConnectFailed: As :meth:`open_channel`; so are PeerLeft and ChannelClosed.

        Cancellation: safe; the remote peer is told, and keeps what it has.
        """
        if not isinstance(files, FilesToSend):
            files = await FilesToSend.find(files)
            for path in files.left_out:
                logger.warning("%s is not sent: it is a link, or no file", path)
        channel = await self.open_channel("files", protocol=TRANSFER)
        return await send_sources(
            channel,
            files.sources,
            stream=files.stream,
            on_progress=on_progress,
            on_closed=on_closed,
            stop_is_final=stop_is_final,
        )

    async def files(self) -> AsyncIterator[FileOffer]:
        """Iterate over the files that the remote peer offers, until the peer is gone.

        An offer that cannot be read is logged and left out; the remote peer is told why. Who has to
        know of it as well takes :meth:`next_files`.
        """
        while True:
            try:
                yield await self.next_files()
            except PeerLeft:
                return
            except TransferError as error:
                logger.warning("%s: ignored an offer of files: %s", self.name, error)

    async def next_files(self) -> FileOffer:
        """Wait for the next files that the remote peer offers.

        Raises:
            TransferFailed: What came is no offer; the remote peer is told.
            TransferBroken: The connection ended before the offer was complete.
            PeerLeft: The peer is gone.

        Cancellation: safe; an offer of which a part has come is lost.
        """
        channel = await self._transfers.take()
        if channel is None:
            raise self._left()
        return await FileOffer.read(channel)

    # --- the connection

    async def connected(self) -> None:
        """Wait until the connection works.

        Raises:
            ConnectFailed: It could not be established, or not within the room's
                ``connect_timeout``; it says where it stopped, and what to do.
            PeerLeft: The peer left before.

        Cancellation: safe.
        """
        left = self._connect_timeout - self._seconds()
        await asyncio.wait((self._connected,), timeout=max(left, 0))
        if not self._connected.done():
            raise self._failure()
        await self._connected

    async def negotiated(self) -> None:
        """Wait until the remote peer has agreed to the tracks and channels that were added here.

        Raises:
            DescriptionTooLarge: They are too many for one description; nothing is changed, and the
                call goes on as it was.
            PeerError, ValueError, InvalidStateError: They cannot be negotiated.
            PeerLeft: The connection is over.

        Cancellation: safe.
        """
        await self._negotiator.settled()
        if self._ended.is_set():
            raise self._left()

    async def ended(self) -> str:
        """Wait until the connection is over; return why.

        Returns:
            ``left``, ``timeout`` or ``removed`` as signaling says it; ``bye`` or ``closed`` if the
            other side ended it; ``hung-up``, ``rejoined`` or ``room-closed``; ``failed`` if it
            never came about. A connection that was there and is lost does not end while the other
            side is in the room: it comes back when there is a path again.

        Cancellation: safe.
        """
        await self._ended.wait()
        return self._reason

    def hang_up(self) -> None:
        """End the connection with this peer, who stays in the room and may call again."""
        self.end("hung-up")

    @property
    def has_ended(self) -> bool:
        """True once the connection is over."""
        return self._ended.is_set()

    @property
    def path(self) -> str | None:
        """The path in words; ``None`` before it is known.

        For example ``host/udp -> srflx/udp, rtt 12 ms, direct``.
        """
        pair = self.connection.selected_candidate_pair
        return str(pair) if pair is not None else None

    # --- what the room does

    async def run(self) -> None:
        """Negotiate until :meth:`end`, then close the connection.

        An error that nothing is known to do about is logged, and ends it as ``failed``.

        Cancellation: closes the connection, within its bounds.
        """
        with named(self.name):
            try:
                async with asyncio.TaskGroup() as group:
                    negotiating = group.create_task(
                        self._negotiator.run(), name=f"peer {self.name}"
                    )
                    await self._ended.wait()
                    negotiating.cancel()
            except Exception:
                # Without negotiation the connection could never be restarted.
                logger.exception("%s: negotiating has ended", self.name)
                self._fail(self._failure())
                self.end("failed")
            finally:
                self.end("room-closed")
                self._negotiator.close()  # it was not begun if the end came before
                logger.info("%s: the call is over: %s", self.name, self._reason)
                await self._close()

    def start(self) -> None:
        """Make the first offer, as the newcomer does; there is a section for data in any case."""
        self.connection.negotiate_data_channels()

    @property
    def negotiator(self) -> Negotiator:
        """The negotiation with this peer, which takes what signaling brings."""
        return self._negotiator

    def go_on(self, id: str, signaler: Signaler, *, may_send: bool) -> None:
        """Go on with the same connection: both participants have new seats.

        Args:
            id: The new id of the participant.
            signaler: Sends to it.
            may_send: Whether it has the right to send audio and video.
        """
        self.id = id
        self.away = False
        self.may_send = may_send
        self._negotiator.go_on(signaler)

    def end(self, reason: str) -> None:
        """End the connection with a reason; :meth:`run` then returns."""
        if self._ended.is_set():
            return
        verdict = self.connection.diagnose()
        if verdict.is_failure:
            self._verdict = verdict
        self._reason = reason
        self._ended.set()
        self._fail(self._left())

    # --- what the connection tells

    def _on_server_error(self, event: RTCPeerConnectionIceErrorEvent) -> None:
        self._server_errors.append(f"{event.url}: {event.errorCode} {printable(event.errorText)}")

    def _on_warning(self, verdict: Verdict) -> None:
        logger.warning("%s: %s: %s", self.name, verdict.cause, verdict.advice)
        self._warnings.put(verdict)

    def _on_connection_state(self) -> None:
        state = self.connection.connectionState
        if state == "connected":
            logger.info("%s: connected by %s", self.name, self.path)
            self._was_connected = True
            if not self._connected.done():
                self._connected.set_result(None)
        elif state == "failed" and not self._was_connected:
            self._fail(self._failure())
            self.end("failed")
        elif state == "failed":
            # The participant is still in the room: the call goes on when there is a path again.
            logger.warning("%s: cannot be reached any more; waiting for a path", self.name)
        elif state == "disconnected":
            logger.info("%s: disconnected; looking for another path", self.name)
        elif state == "closed":
            self.end("closed")

    def _on_channel(self, channel: RTCDataChannel) -> None:
        kind = Kind.of(channel)
        if (own := self._labels.take_half(kind)) is not None:
            own.join(channel)
            channel.on("close", lambda: self._forget(own))
            wrapped = own
        else:
            wrapped = self._wrap(channel)
            if kind.protocol != TRANSFER:
                self._labels.arrived(kind, wrapped)
                self._tell_unlike(kind)
        arrivals = self._transfers if wrapped.protocol == TRANSFER else self._channels
        if not arrivals.put(wrapped):
            logger.warning("%s: closed channel %r: nobody takes them", self.name, wrapped.label)
            wrapped.close()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if not self.may_send:
            logger.warning("%s: refused a track: its token does not let it send media", self.name)
            track.stop()  # nothing of it is decoded
        elif not self._tracks.put(track):
            logger.warning("%s: ignored a track: nobody takes them", self.name)

    def _on_negotiation_error(self, error: Exception) -> None:
        logger.warning("%s: negotiating failed: %s", self.name, error)
        unanswered = isinstance(error, DescriptionTooLarge) and error.kind == "answer"
        if unanswered and self._connected.done():
            # Nothing can take an answer back, and the remote peer would wait for it for ever.
            self.end("failed")
        if not self._connected.done():
            failure = self._failure()
            failure.__cause__ = error
            self._fail(failure)
            self.end("failed")

    def _wrap(self, channel: RTCDataChannel, **buffers: int) -> DataChannel:
        wrapped = DataChannel(
            channel, max_message_size=lambda: self.connection.max_message_size, **buffers
        )
        self._live.add(wrapped)
        channel.on("close", lambda: self._forget(wrapped))
        return wrapped

    def _forget(self, channel: DataChannel) -> None:
        if channel.closed:
            self._live.discard(channel)
            self._labels.forget(channel)

    def _tell_unlike(self, kind: Kind) -> None:
        if (other := self._labels.unlike(kind)) is not None:
            logger.info("%s: these are two channels, not one: %s and %s", self.name, kind, other)

    # --- the end

    def _seconds(self) -> float:
        return asyncio.get_running_loop().time() - self._started_at

    def _failure(self) -> ConnectFailed:
        return connect_failed(
            self.name,
            self.connection,
            seconds=self._seconds(),
            server_errors=list(self._server_errors),
        )

    def _left(self) -> PeerLeft:
        return PeerLeft(self.name, self._reason, self._verdict)

    def _fail(self, error: PeerError) -> None:
        if not self._connected.done():
            if isinstance(error, ConnectFailed):
                self._watch.failed(error.phase)
            self._connected.set_exception(error)
            self._connected.exception()  # it is no fault if nobody waits for it

    def _assert_here(self) -> None:
        if self._ended.is_set():
            raise self._left()

    async def _close(self) -> None:
        try:
            await self.connection.close()
        finally:
            for channel in list(self._live):
                channel.abandon()
            self._live.clear()
            self._channels.end()
            self._transfers.end()
            self._tracks.end()
            self._warnings.end()
