"""Data channels of an association: opening, closing and delivery (RFC 8832, RFC 8831)."""

import asyncio
from collections.abc import Callable
from logging import Logger

from icefloe.logs import get_logger

from . import dcep, options
from .admission import MOST_CHANNELS, Admission
from .association import Association
from .errors import ChannelUnavailable
from .inbound import Arrival
from .interfaces import Channel, Host
from .outbound import Message
from .packet import Malformed
from .states import Established, ResetDone, StreamsReset
from .streams import Streams

logger: Logger = get_logger(__name__)


class DataChannels:
    """The data channels of one connection.

    Args:
        host: Creates the channels that the remote peer opens.
        wake: Called after something was queued in the association.
        most: Maximum number of channels that the remote peer may have open.

    Attributes:
        association: The association; ``None`` until it is started.
        state: State of the association: ``new``, ``connecting``, ``connected`` or ``closed``.
    """

    def __init__(self, host: Host, wake: Callable[[], None], most: int = MOST_CHANNELS) -> None:
        self.association: Association | None = None
        self.state: str = "new"
        self._host = host
        self._wake = wake
        self._admission = Admission(most)
        self._streams = Streams(self._admission)
        self._malformed = 0
        self._unopened: list[Channel] = []
        """Channels whose DATA_CHANNEL_OPEN was not sent yet."""

    @property
    def streams(self) -> int:
        """Number of streams in each direction; 0 until the association is established."""
        return self.association.streams if self.association is not None else 0

    @property
    def refused(self) -> int:
        """Number of channels of the remote peer that were refused."""
        return self._admission.refused

    @property
    def has_pending(self) -> bool:
        """True if channels wait to be opened."""
        return bool(self._unopened)

    def open(self, channel: Channel) -> None:
        """Open a channel. Its DATA_CHANNEL_OPEN is sent once the association is established.

        Raises:
            InvalidChannel: An option is invalid; as ChannelUnavailable, there is no free stream.
        """
        self._admit(channel)
        if self.state == "closed":
            self._close_soon(channel)
            return
        if channel.id is not None:
            self._streams.register(channel)
        elif self.state == "connected" and self._assign(channel) is None:
            raise ChannelUnavailable(channel.label, "id", None, "no stream is left")
        self._unopened.append(channel)
        self._wake()

    def add_negotiated(self, channel: Channel) -> None:
        """Add a channel that the application has negotiated with the remote peer.

        Raises:
            InvalidChannel: An option is invalid; as ChannelUnavailable, there is no free stream.
        """
        self._admit(channel)
        if self.state == "closed":
            self._close_soon(channel)
            return
        self._streams.register(channel)
        if self.state == "connected":
            channel.change("open")

    def _close_soon(self, channel: Channel) -> None:
        # Not at once: the application cannot have added its listeners yet.
        logger.warning("the data channel %.80r is closed: the association is closed", channel.label)
        asyncio.get_running_loop().call_soon(channel.change, "closed")

    def _admit(self, channel: Channel) -> None:
        options.check(
            channel.label,
            max_packet_life_time=channel.maxPacketLifeTime,
            max_retransmits=channel.maxRetransmits,
            protocol=channel.protocol,
            negotiated=channel.negotiated,
            id=channel.id,
        )
        if channel.id is not None:
            used = channel.id in self._streams
            options.check_id(channel.label, channel.id, streams=self.streams, is_used=used)

    def _assign(self, channel: Channel) -> int | None:
        # RFC 8832 section 6: the DTLS client uses even identifiers, the server odd ones.
        first = 1 if self._host.is_server else 0
        return self._streams.assign(channel, range(first, self.streams, 2))

    def open_pending(self, association: Association) -> None:
        """Send the DATA_CHANNEL_OPEN of waiting channels, if the association is established."""
        if self.state != "connected":
            return
        while self._unopened:
            channel = self._unopened.pop(0)
            id = channel.id if channel.id is not None else self._assign(channel)
            if id is None:
                self._fail(
                    ChannelUnavailable(channel.label, "id", None, "no stream is left"), channel
                )
                continue
            opened = dcep.Open(
                channel.label,
                channel.protocol,
                channel.ordered,
                channel.maxRetransmits,
                channel.maxPacketLifeTime,
            )
            association.send(Message(id, dcep.Protocol.DCEP, opened.encode()))

    def _fail(self, error: ChannelUnavailable, channel: Channel) -> None:
        """Close a channel for which no stream is available."""
        logger.warning("the data channel %.80r is closed: %s", channel.label, error)
        if channel.id is not None:
            self._streams.release(channel.id)
        if channel in self._unopened:
            self._unopened.remove(channel)
        channel.refuse(error)
        channel.change("closed")

    def _begin_channels(self, streams: int) -> None:
        for channel in self._streams.all():
            try:
                options.check_id(channel.label, channel.id or 0, streams=streams, is_used=False)
            except ChannelUnavailable as error:
                self._fail(error, channel)
                continue
            if channel.negotiated and channel.readyState == "connecting":
                channel.change("open")

    def send_raw(self, stream: int, protocol: int, data: bytes) -> None:
        """Queue a message with a given payload protocol identifier."""
        if self.association is not None:
            self.association.send(Message(stream, protocol, data))
            self._wake()

    def close(self, channel: Channel) -> None:
        """Close a channel after its queued messages were sent (W3C webrtc-pc 6.2.4)."""
        if channel.readyState in ("closing", "closed"):
            return
        channel.change("closing")
        if channel in self._unopened:
            self._unopened.remove(channel)
        elif channel.id is not None and self.state == "connected":
            association = self.association
            if association is not None and association.reset(channel.id):
                self._wake()
                return
        if channel.id is not None:
            self._streams.release(channel.id)
        channel.change("closed")

    def take_event(self, event: Established | StreamsReset | ResetDone) -> None:
        """Process an event of the association."""
        match event:
            case Established(streams):
                self.state = "connected"
                self._begin_channels(streams)
            case StreamsReset(streams):
                for id in streams:
                    if (closing := self._streams.get(id)) is not None:
                        self._streams.reset_incoming.add(id)
                        self.close(closing)
                        closing.ends()
                        self._free_if_reset(id)
            case ResetDone(streams, performed):
                for id in streams:
                    if id not in self._streams:
                        continue  # the stream of a malformed OPEN
                    self._streams.reset_outgoing.add(id)
                    if not performed:
                        self._streams.reset_incoming.add(id)
                    self._free_if_reset(id)

    def _free_if_reset(self, id: int) -> None:
        channel = self._streams.free_if_reset(id)
        if channel is not None:
            channel.change("closed")

    def _is_free(self, id: int) -> bool:
        """Return whether a stream is free for a new channel that the remote peer opens on it.

        The remote peer may reuse the stream once both directions are reset (RFC 8831 section 6.7).
        We may learn that later: its response can be lost, or queued behind messages.
        """
        association = self.association
        if association is None or id not in self._streams.reset_incoming:
            return False
        association.stream_reused(id)
        while id in self._streams and (event := association.events.poll_reset()) is not None:
            self.take_event(event)
        return id not in self._streams

    def take(self, arrival: Arrival) -> None:
        """Deliver a message to its channel."""
        channel = self._streams.get(arrival.stream)
        try:
            if arrival.protocol == dcep.Protocol.DCEP:
                self._take_dcep(arrival, channel)
            elif channel is not None:
                message = dcep.decode(arrival.protocol, arrival.data)
                channel.received(len(arrival.data) if message else 0)
                channel.deliver(message)
        except Malformed as error:
            # A violation of RFC 8831 or 8832 must not end the association.
            self._malformed += 1
            if _is_logged(self._malformed):
                logger.warning(
                    "dropped malformed data channel message number %d: %s",
                    self._malformed,
                    error,
                )

    def _take_dcep(self, arrival: Arrival, channel: Channel | None) -> None:
        message, id = arrival.data, arrival.stream
        if dcep.is_open(message):
            if channel is not None and not self._is_free(id):
                raise Malformed(f"a DATA_CHANNEL_OPEN for the existing channel {id}")
            opened = self._read_open(message, id)
            if not self._is_admitted(id, opened):
                return
            channel = self._host.accept(opened, id)
            self._streams.put(id, channel)
            self.send_raw(id, dcep.Protocol.DCEP, dcep.ACK)
            self._host.announce(channel)
        elif message == dcep.ACK:
            if channel is None:
                raise Malformed(f"a DATA_CHANNEL_ACK for the unknown channel {id}")
            if channel.readyState == "connecting":
                channel.change("open")
        else:
            raise Malformed("a DCEP message of an unknown type")

    def _is_admitted(self, id: int, opened: dcep.Open) -> bool:
        """Return whether a channel is admitted; reset its stream if not (RFC 8832 section 6)."""
        size = len(opened.label.encode()) + len(opened.protocol.encode())
        reason = self._admission.refusal(
            id, size, own_are_odd=self._host.is_server, streams=self.streams
        )
        if reason is None:
            return True
        if self._admission.refused == 1:  # log once; the statistics count the others
            logger.warning("a data channel of the remote peer is refused: %s", reason)
        if self.association is not None:
            self.association.reset(id)
        return False

    def _read_open(self, message: bytes, id: int) -> dcep.Open:
        association = self.association
        try:
            return dcep.Open.decode(message)
        except Malformed:
            if association is not None:
                # RFC 8832 section 6: reset the stream, so that the remote peer does not wait.
                association.reset(id)
            raise

    def account(self, association: Association) -> None:
        """Update the counters of the channels from those of the association."""
        if (changes := association.poll_changes()) is None:
            return
        for message in changes.sent:
            channel = self._streams.get(message.stream)
            if channel is not None and message.protocol != dcep.Protocol.DCEP:
                channel.sent(_size(message))
        for message in changes.abandoned:
            channel = self._streams.get(message.stream)
            if channel is not None:
                channel.abandoned(_size(message))
        for stream, count in changes.skipped.items():
            channel = self._streams.get(stream)
            if channel is not None:
                channel.skipped(count)
        for stream, size in changes.freed.items():
            channel = self._streams.get(stream)
            if channel is not None:
                channel.buffered(-size)

    def end(self) -> None:
        """Close all channels. Idempotent."""
        self.state = "closed"
        for channel in [*self._streams.all(), *self._unopened]:
            channel.change("closed")
        self._streams = Streams(self._admission)
        self._unopened.clear()


def _is_logged(count: int) -> bool:
    """Return whether to log the ``count``-th event: the first, tenth, hundredth and so on."""
    return str(count).strip("0") == "1"


def _size(message: Message) -> int:
    """Return the size of a message in bytes as the application sees it."""
    return 0 if message.protocol in dcep.EMPTY else len(message.data)
