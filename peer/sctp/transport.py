"""Data channels over an association: the asyncio shell of :mod:`~.association`.

It has the clock, one timer and the channels. All that comes in during one turn of the event loop is
answered at its end: one SACK for many packets, one packet for many small messages.
"""

import asyncio
import os
import time

from icefloe.logs import get_logger

from . import dcep, options
from .admission import MOST_CHANNELS, Admission
from .association import Association
from .congestion import Controller
from .congestion.model import Model
from .errors import ChannelUnavailable
from .inbound import Arrival
from .interfaces import Channel, Host
from .outbound import Message
from .packet import Malformed
from .states import Closed, Established, Event, ResetDone, Settings, StreamsReset
from .streams import Streams

logger = get_logger(__name__)

TIMER_STEP = 0.001
"""Seconds: timers of event loops are no finer, and early ones are waited for again."""

HAND_OUT = 0.005
"""Seconds after which the event loop has a turn before more messages are handed out: one packet may
complete some ten thousand."""


class Channels:
    """The data channels of one connection.

    Args:
        host: What lies below and above.
        controller: Makes the congestion control.
        port: This side's SCTP port.
        most: Channels that the other side may have open at a time.
    """

    def __init__(
        self,
        host: Host,
        *,
        controller: type[Controller] = Model,
        port: int = 5000,
        most: int = MOST_CHANNELS,
    ) -> None:
        self._host = host
        self._controller = controller
        self._port = port
        self._loop = asyncio.get_event_loop()
        self._association: Association | None = None
        self._is_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._admission = Admission(most)
        self._streams = Streams(self._admission)
        self._malformed = 0
        self._taken = 0  # messages, of all that arrived
        self._spent = 0.0  # seconds in which messages were handed out in this turn of the loop
        self._unopened: list[Channel] = []  # their OPENs wait for the association
        self.state = "new"
        """``new``, ``connecting``, ``connected`` or ``closed``."""

    # --- the association

    @property
    def association(self) -> Association | None:
        """The association, once it is begun."""
        return self._association

    @property
    def streams(self) -> int:
        """Channels that there may be at a time; 0 until the other side has told."""
        return self._association.streams if self._association is not None else 0

    @property
    def refused(self) -> int:
        """How many channels of the other side were refused."""
        return self._admission.refused

    @property
    def is_behind(self) -> bool:
        """Whether messages have arrived that are handed out in later turns of the loop."""
        return self._association is not None and bool(self._association.arrived)

    @property
    def wakes_at(self) -> float:
        """When it looks at the association again, by ``time.monotonic()``; never is infinite.

        That is not after the association's ``deadline``.
        """
        return 0.0 if self._is_scheduled else self._timer_at

    def start(self, remote_port: int) -> None:
        """Begin the association; a second call does nothing."""
        if self.state != "new":
            return
        self.state = "connecting"
        self._association = Association(
            Settings(
                tag=int.from_bytes(os.urandom(4), "big") or 1,
                tsn=int.from_bytes(os.urandom(4), "big"),
                secret=os.urandom(16),
                local_port=self._port,
                remote_port=remote_port,
                controller=self._controller,
            )
        )
        self._association.connect(time.monotonic())
        self._schedule()

    def stop(self) -> None:
        """Abort the association and close all channels; idempotent.

        What was not handed out yet is lost, see :attr:`is_behind`.
        """
        if self._association is not None and self.state != "closed":
            self._association.abort()
            self._flush()
        self._end()

    def receive(self, packet: bytes) -> None:
        """Take a packet, and hand out what it completes: at once, or if that is much, soon."""
        association = self._association
        if association is None or self.state == "closed":
            return
        association.receive(packet, time.monotonic())
        try:
            if association.arrived or association.events:
                # Whoever waits for a message is woken before the answer is made, so that its own
                # shares a packet with the SACK.
                self._hand_out(association)
        finally:
            self._schedule()

    def path_changed(self, *, was_lost: bool) -> None:
        """Make the most of another path; see :meth:`Association.path_changed`."""
        if self._association is not None:
            self._association.path_changed(time.monotonic(), was_lost=was_lost)
            self._schedule()

    def hold(self, size: int) -> None:
        """Note that the application has so many bytes that it has not read yet, or fewer again.

        The other side is offered as much less to send.

        Args:
            size: Bytes; less than 0 when they are read.
        """
        if self._association is not None:
            self._association.hold(size)
            if size < 0:
                self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        self._spent = 0.0
        association = self._association
        if association is None or self.state == "closed":
            return
        try:
            if association.arrived or association.events:
                self._hand_out(association)
            if self._unopened:
                if association.is_closing_streams:
                    association.flush(time.monotonic())  # what was closed before is told before
                self._open_all(association)
        finally:
            self._send(association)

    def _send(self, association: Association) -> None:
        association.flush(time.monotonic())
        self._transmit(association)
        self._account(association)
        self._arm(association)
        if association.arrived or association.events:
            self._schedule()  # a handler raised, more has come, or it was too much for one turn

    def _hand_out(self, association: Association) -> None:
        events, arrived = association.events, association.arrived
        now = time.monotonic()
        until = now + HAND_OUT - self._spent
        began = now
        try:
            while (arrived or events) and now < until:
                if events and (not arrived or self._comes_first(events[0])):
                    self._take_event(events.popleft())
                else:
                    self._taken += 1
                    self._take(arrived.popleft())
                now = time.monotonic()
        finally:
            self._spent += time.monotonic() - began

    def _comes_first(self, event: Event) -> bool:
        """Whether an event comes before the next message."""
        match event:
            case Established():
                return True
            case StreamsReset(after=after):
                return after <= self._taken
            case _:
                return False

    def _transmit(self, association: Association) -> None:
        if association.outgoing:
            packets = list(association.outgoing)
            association.outgoing.clear()
            try:
                self._host.transmit(packets)
            except ConnectionError as error:
                logger.debug("%d packets not sent: %s", len(packets), error)
        if association.probe is not None:
            probe, association.probe = association.probe, None
            try:
                if not self._host.transmit_probe(probe):
                    association.probe_refused(time.monotonic())
            except ConnectionError as error:
                logger.debug("a probe of the packet size not sent: %s", error)

    def _account(self, association: Association) -> None:
        sender, freed = association.sender, association.queue.freed
        if sender is not None:
            for message in sender.finished:
                channel = self._streams.get(message.stream)
                if channel is not None and message.protocol != dcep.Protocol.DCEP:
                    channel.sent(_size(message))
            sender.finished.clear()
            for message in sender.abandoned:
                channel = self._streams.get(message.stream)
                if channel is not None:
                    channel.abandoned(_size(message))
            sender.abandoned.clear()
        if association.skipped:
            for stream, count in association.skipped.items():
                channel = self._streams.get(stream)
                if channel is not None:
                    channel.skipped(count)
            association.skipped.clear()
        if freed:
            taken = list(freed.items())
            freed.clear()
            for stream, size in taken:
                channel = self._streams.get(stream)
                if channel is not None:
                    channel.buffered(-size)

    def _arm(self, association: Association) -> None:
        deadline = association.deadline
        if deadline >= self._timer_at:
            return  # it fires before, and looks again
        if self._timer is not None:
            self._timer.cancel()
        delay = max(deadline - time.monotonic(), TIMER_STEP)
        self._timer_at = deadline
        self._timer = self._loop.call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        association = self._association
        if association is None or self.state == "closed":
            return
        now = time.monotonic()
        if now >= association.deadline:
            association.tick(now)
            self._flush()
        else:
            self._arm(association)

    # --- channels

    def open(self, channel: Channel) -> None:
        """Open a channel: its OPEN is sent as soon as there is an association.

        Raises:
            InvalidChannel: It cannot be; as ChannelUnavailable, there is no stream for it.
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
        self._schedule()

    def add_negotiated(self, channel: Channel) -> None:
        """Add a channel that both sides know of.

        Raises:
            InvalidChannel: It cannot be; as ChannelUnavailable, there is no stream for it.
        """
        self._admit(channel)
        if self.state == "closed":
            self._close_soon(channel)
            return
        self._streams.register(channel)
        if self.state == "connected":
            channel.change("open")

    def _close_soon(self, channel: Channel) -> None:
        # Not at once: whoever creates it has yet to listen.
        logger.warning("the data channel %.80r is closed: the association is over", channel.label)
        self._loop.call_soon(channel.change, "closed")

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
        # RFC 8832 section 6: the DTLS client's are even, the server's odd.
        first = 1 if self._host.is_server else 0
        return self._streams.assign(channel, range(first, self.streams, 2))

    def _open_all(self, association: Association) -> None:
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
        """Close a channel for which there turns out to be no stream."""
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

    def send(self, channel: Channel, message: str | bytes, limit: int) -> None:
        """Queue a message.

        Args:
            channel: An open channel.
            message: What to send.
            limit: The largest message that the other side takes, in bytes; 0 is no limit.

        Raises:
            ValueError: It is larger than that.
        """
        protocol, data = dcep.encode(message)
        if limit and len(data) > limit:
            raise ValueError(
                f"Cannot send message of {len(data)} bytes, the remote party "
                f"only supports messages up to {limit} bytes"
            )
        association, id = self._association, channel.id
        if association is None or id is None:
            return
        lifetime = channel.maxPacketLifeTime
        channel.buffered(len(data))
        association.send(
            Message(
                id,
                protocol,
                data,
                ordered=channel.ordered,
                max_retransmits=channel.maxRetransmits,
                expires=time.monotonic() + lifetime / 1000 if lifetime is not None else None,
            )
        )
        self._schedule()

    def send_raw(self, stream: int, protocol: int, data: bytes) -> None:
        """Queue a message on a stream, with whatever payload protocol."""
        if self._association is not None:
            self._association.send(Message(stream, protocol, data))
            self._schedule()

    def close(self, channel: Channel) -> None:
        """Close a channel once what was sent is out (W3C webrtc-pc 6.2.4)."""
        if channel.readyState in ("closing", "closed"):
            return
        channel.change("closing")
        if channel in self._unopened:
            self._unopened.remove(channel)
        elif channel.id is not None and self.state == "connected":
            association = self._association
            if association is not None and association.reset(channel.id):
                self._schedule()
                return
        if channel.id is not None:
            self._streams.release(channel.id)
        channel.change("closed")

    def _take_event(self, event: Event) -> None:
        match event:
            case Established(streams):
                self.state = "connected"
                self._begin_channels(streams)
            case Closed(reason):
                logger.debug("the SCTP association is over: %s", reason)
                self._end()
            case StreamsReset(streams):
                for id in streams:
                    if (closing := self._streams.get(id)) is not None:
                        self._streams.reset_here.add(id)
                        self.close(closing)
                        closing.ends()
                        self._free_if_reset(id)
            case ResetDone(streams, performed):
                for id in streams:
                    if id not in self._streams:
                        continue  # an OPEN that could not be read
                    self._streams.reset_there.add(id)
                    if not performed:
                        self._streams.reset_here.add(id)
                    self._free_if_reset(id)

    def _free_if_reset(self, id: int) -> None:
        channel = self._streams.free_if_reset(id)
        if channel is not None:
            channel.change("closed")

    def _is_free(self, id: int) -> bool:
        """Whether an identifier is, now that the other side opens a channel with it again.

        It may do that once both directions are reset (RFC 8831 section 6.7), which this side knows
        later: its answer may be lost, or wait for its turn after the messages.
        """
        association = self._association
        if association is None or id not in self._streams.reset_here:
            return False
        association.used_anew(id)
        events = association.events
        while id in self._streams and events and not isinstance(events[0], Closed):
            self._take_event(events.popleft())
        return id not in self._streams

    def _take(self, arrival: Arrival) -> None:
        channel = self._streams.get(arrival.stream)
        try:
            if arrival.protocol == dcep.Protocol.DCEP:
                self._take_dcep(arrival, channel)
            elif channel is not None:
                message = dcep.decode(arrival.protocol, arrival.data)
                channel.received(len(arrival.data) if message else 0)
                channel.deliver(message)
        except Malformed as error:
            # It breaks RFC 8831 or 8832: that must not end the association.
            self._malformed += 1
            if _is_told(self._malformed):
                logger.warning(
                    "dropped a malformed data channel message, number %d: %s",
                    self._malformed,
                    error,
                )

    def _take_dcep(self, arrival: Arrival, channel: Channel | None) -> None:
        message, id = arrival.data, arrival.stream
        if dcep.is_open(message):
            if channel is not None and not self._is_free(id):
                raise Malformed(f"an OPEN for the channel {id}, which there is")
            opened = self._read_open(message, id)
            if not self._is_admitted(id, opened):
                return
            channel = self._host.accept(opened, id)
            self._streams.put(id, channel)
            self.send_raw(id, dcep.Protocol.DCEP, dcep.ACK)
            self._host.announce(channel)
        elif message == dcep.ACK:
            if channel is None:
                raise Malformed(f"an ACK for the channel {id}, which there is not")
            if channel.readyState == "connecting":
                channel.change("open")
        else:
            raise Malformed("a DCEP message of an unknown type")

    def _is_admitted(self, id: int, opened: dcep.Open) -> bool:
        """Return whether a channel may be; one that may not is closed (RFC 8832 section 6)."""
        size = len(opened.label.encode()) + len(opened.protocol.encode())
        reason = self._admission.refusal(
            id, size, own_are_odd=self._host.is_server, streams=self.streams
        )
        if reason is None:
            return True
        if self._admission.refused == 1:  # one is enough of a flood: the statistics count them
            logger.warning("a data channel of the other side is refused: %s", reason)
        if self._association is not None:
            self._association.reset(id)
        return False

    def _read_open(self, message: bytes, id: int) -> dcep.Open:
        association = self._association
        try:
            return dcep.Open.decode(message)
        except Malformed:
            if association is not None:
                # RFC 8832 section 6: it is closed, so that the other side does not wait for it.
                association.reset(id)
            raise

    def _end(self) -> None:
        if self.state == "closed":
            return
        self.state = "closed"
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for channel in [*self._streams.all(), *self._unopened]:
            channel.change("closed")
        self._streams = Streams(self._admission)
        self._unopened.clear()
        self._host.ended()


def _is_told(count: int) -> bool:
    """Whether the log has this one of many: the first, the tenth, the hundredth and so on."""
    return str(count).strip("0") == "1"


def _size(message: Message) -> int:
    """Return the bytes of a message as the application counts them."""
    return 0 if message.protocol in dcep.EMPTY else len(message.data)
