"""Data channels, and the SCTP transport over icefloe's association."""

import asyncio
from collections.abc import Callable

from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpTransport
from aiortc.rtcsctptransport import RTCSctpCapabilities

from ..diagnosis.facts import SctpFacts
from ..rtp.send.data_share import DataProgress
from ..sctp.admission import MOST_CHANNELS
from ..sctp.congestion import Controller
from ..sctp.congestion.model import PathModel
from ..sctp.dcep import Open
from ..sctp.interfaces import Channel
from ..sctp.transport import DataChannelTransport
from .dtls import DtlsTransport


class CountedChannel(RTCDataChannel):
    """``RTCDataChannel`` that counts its messages, as W3C webrtc-stats has it."""

    messages_sent: int = 0
    bytes_sent: int = 0
    messages_received: int = 0
    bytes_received: int = 0
    messages_abandoned: int = 0
    """Messages of an unreliable channel that were given up."""

    messages_skipped: int = 0
    """Messages of an ordered one that the remote peer gave up and that never came."""

    refusal: Exception | None = None
    """The error, if the channel could not be opened once the remote peer was known."""

    reader: Callable[[str | bytes], None] | None = None
    """Takes each message before those who listen: to emit costs as much as all that a small message
    needs beside."""

    def deliver(self, message: str | bytes) -> None:
        """Deliver a message to the application."""
        reader = self.reader
        if reader is not None:
            reader(message)
            if not self.listeners("message"):
                return
        self.emit("message", message)

    def sent(self, size: int) -> None:
        """Count a message that has left the buffer."""
        self.messages_sent += 1
        self.bytes_sent += size

    def received(self, size: int) -> None:
        """Count a message that came."""
        self.messages_received += 1
        self.bytes_received += size

    def abandoned(self, size: int) -> None:
        """Count a message that was given up."""
        self.messages_abandoned += 1

    def skipped(self, count: int) -> None:
        """Count messages that the remote peer gave up."""
        self.messages_skipped += count

    def assign(self, id: int) -> None:
        """Set the stream identifier."""
        self._setId(id)

    def ends(self) -> None:
        """Tell that the remote peer closes it (W3C webrtc-pc 6.2, the event ``closing``)."""
        self.emit("closing")

    def change(self, state: str) -> None:
        """Change its state."""
        self._setReadyState(state)

    def refuse(self, error: Exception) -> None:
        """Record why it cannot be opened."""
        self.refusal = error

    def buffered(self, amount: int) -> None:
        """Add to :attr:`bufferedAmount`, in bytes."""
        self._addBufferedAmount(amount)

    def _setReadyState(self, state: str) -> None:
        before = self.readyState
        if state != before and isinstance(self.transport, SctpTransport):
            self.transport.channel_changes(self, before, state)
        super()._setReadyState(state)
        if state == "closed":
            self.reader = None  # as listeners are let go of


class SctpTransport(RTCSctpTransport):
    """``RTCSctpTransport`` over icefloe's association; aiortc's is never begun."""

    channels: dict[CountedChannel, None]
    """Those that are not closed, in the order in which they were made."""
    channels_opened: int
    """Count of channels that were ever open."""
    channels_closed: int
    """Count of those that are open no more."""
    shell: DataChannelTransport
    """The asyncio shell of the association."""
    controller: type[Controller] = PathModel
    """Makes the congestion control."""

    def begin(self, most: int = MOST_CHANNELS) -> None:
        """Take the place of aiortc's.

        Args:
            most: Channels that the remote peer may have open at a time.
        """
        self.channels = {}
        self.channels_opened = self.channels_closed = 0
        self.shell = DataChannelTransport(
            self, controller=self.controller, port=self.port, most=most
        )
        self.shell.max_message = self._remote_max_message_size

    def channel_changes(self, channel: CountedChannel, before: str, after: str) -> None:
        """Count a channel that enters or leaves ``open``."""
        if after == "open":
            self.channels_opened += 1
        elif before == "open":
            self.channels_closed += 1
        if after == "closed":
            self.channels.pop(channel, None)

    def _with(self, channel: RTCDataChannel, add: Callable[[Channel], None]) -> None:
        channel.__class__ = CountedChannel
        assert isinstance(channel, CountedChannel)
        add(channel)
        self.channels[channel] = None

    def facts(self, now: float, since: float) -> SctpFacts:
        """Return what is known of the association.

        Args:
            now: The time of the event loop.
            since: When data channels were negotiated, likewise.
        """
        shell = self.shell
        began = max(since, shell.started_at) if shell.started_at is not None else since
        return SctpFacts(shell.state, now - began, shell.packets_received, shell.reason)

    # What aiortc calls.

    @property
    def state(self) -> str:
        return self.shell.state

    @property
    def maxChannels(self) -> int | None:
        return self.shell.channels.streams or None

    async def start(self, remoteCaps: RTCSctpCapabilities | None, remotePort: int) -> None:
        if self.state == "new":
            if remoteCaps is not None:
                self._remote_max_message_size = remoteCaps.maxMessageSize
            self.shell.max_message = self._remote_max_message_size
            assert isinstance(self.transport, DtlsTransport)
            self.transport._register_data_receiver(self)
            self.transport.take_data = self.shell.receive
            self.shell.start(remotePort, self.transport)
            # Media of the same transport shares its capacity with the data channels.
            self.transport.begin_sharing(self._progress, self.shell.limit)

    async def stop(self) -> None:
        assert isinstance(self.transport, DtlsTransport)
        self.transport._unregister_data_receiver(self)
        self.transport.take_data = None
        self.transport.end_sharing()
        try:
            while self.shell.is_behind:  # noqa: ASYNC110 - each turn hands out more
                await asyncio.sleep(0)
        finally:
            self.shell.stop()

    def _progress(self) -> DataProgress:
        return DataProgress(*self.shell.progress)

    async def _handle_data(self, data: bytes) -> None:
        self.shell.receive(data)

    def _data_channel_add_negotiated(self, channel: RTCDataChannel) -> None:
        self._with(channel, self.shell.channels.add_negotiated)

    def _data_channel_open(self, channel: RTCDataChannel) -> None:
        self._with(channel, self.shell.channels.open)

    def _data_channel_close(self, channel: RTCDataChannel) -> None:
        assert isinstance(channel, CountedChannel)
        self.shell.channels.close(channel)

    def _data_channel_send(self, channel: RTCDataChannel, data: bytes | str) -> None:
        assert isinstance(channel, CountedChannel)
        self.shell.send(channel, data)

    @property
    def outlet(self) -> DataChannelTransport:
        """Takes the messages of channels, with their texts encoded already."""
        return self.shell

    def hold(self, size: int) -> None:
        """Record that so many bytes wait to be read: the remote peer is offered as much less."""
        self.shell.hold(size)

    def release(self, size: int) -> None:
        """Record that so many bytes have been read."""
        self.shell.hold(-size)

    # What the channels call.

    def accept(self, opened: Open, id: int) -> CountedChannel:
        """Make a channel that the remote peer has opened."""
        parameters = RTCDataChannelParameters(
            label=opened.label,
            ordered=opened.ordered,
            maxPacketLifeTime=opened.max_packet_life_time,
            maxRetransmits=opened.max_retransmits,
            protocol=opened.protocol,
            id=id,
        )
        channel = CountedChannel(self, parameters, False)
        self.channels[channel] = None
        channel.change("open")
        return channel

    def announce(self, channel: Channel) -> None:
        """Tell the application of it."""
        self.emit("datachannel", channel)

    def ended(self) -> None:
        """Let go of whoever listens: there will be no further event."""
        self.remove_all_listeners()
