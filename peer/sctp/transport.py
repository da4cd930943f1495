"""SCTP transport of data channels: the asyncio shell around an :mod:`~.association`.

It provides the clock and one timer. All packets received in one iteration of the event loop are
answered at its end: one SACK for many packets, one packet for many small messages.
"""

import asyncio
import os
import time
from collections.abc import Callable
from logging import Logger

from icefloe.logs import get_logger

from .admission import MOST_CHANNELS
from .association import Association
from .congestion import Controller
from .congestion.model import PathModel
from .data_channels import DataChannels
from .dcep import Protocol
from .inbound import Arrival
from .interfaces import Channel, Host, Link
from .outbound import Message
from .states import Closed, Established, Event, Settings

logger: Logger = get_logger(__name__)

TIMER_RESOLUTION = 0.001
"""Minimum delay of the timer, in seconds. Timers of event loops are no finer, and may fire
early."""

DELIVERY_SLICE = 0.005
"""Seconds spent on delivering messages in one iteration of the event loop. One packet may complete
about ten thousand messages."""


class DataChannelTransport:
    """The SCTP association of one connection, driven by the event loop.

    Args:
        host: Creates the channels that the remote peer opens.
        controller: Class of the congestion controller.
        port: Local SCTP port.
        most: Maximum number of channels that the remote peer may have open.

    Attributes:
        channels: The data channels.
        max_message: Bytes of a message that the remote peer takes; 0 for no limit.
        on_state: Called with the state and the reason, which may be empty, when it has changed.
        started_at: Time of the event loop at which the association was started.
        packets_received: Packets that came.
        reason: The reason of the state ``closed``, if the remote peer or the network gave one.
    """

    def __init__(
        self,
        host: Host,
        *,
        controller: type[Controller] = PathModel,
        port: int = 5000,
        most: int = MOST_CHANNELS,
    ) -> None:
        self._host = host
        self._controller = controller
        self._port = port
        self._association: Association | None = None
        self._link: Link | None = None
        self._is_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._limit = float("inf")
        self.channels: DataChannels = DataChannels(host, self._schedule, most)
        self.max_message = 0
        self.on_state: Callable[[str, str], None] = lambda state, reason: None
        self.started_at: float | None = None
        self.packets_received: int = 0
        self.reason: str = ""
        self._delivery_time = 0.0  # seconds spent on delivery in this iteration of the loop

    # --- the association

    @property
    def association(self) -> Association | None:
        """The association; ``None`` until it is started."""
        return self._association

    @property
    def state(self) -> str:
        """State of the association: ``new``, ``connecting``, ``connected`` or ``closed``."""
        return self.channels.state

    @property
    def is_behind(self) -> bool:
        """True if arrived messages are left for later iterations of the event loop."""
        return self._association is not None and self._association.events.has_messages

    @property
    def wakes_at(self) -> float:
        """Time of the next processing, by ``time.monotonic()``; infinity if there is none.

        It is never later than the association's ``deadline``.
        """
        return 0.0 if self._is_scheduled else self._timer_at

    def start(self, remote_port: int, link: Link) -> None:
        """Start the association over a link. No-op if it was started before."""
        if self.state != "new":
            return
        self._link = link
        self.channels.state = "connecting"
        self._association = self.channels.association = Association(
            Settings(
                tag=int.from_bytes(os.urandom(4), "big") or 1,
                tsn=int.from_bytes(os.urandom(4), "big"),
                secret=os.urandom(16),
                local_port=self._port,
                remote_port=remote_port,
                controller=self._controller,
            )
        )
        self.started_at = asyncio.get_running_loop().time()
        self.on_state("connecting", "")
        self._association.connect(time.monotonic())
        self._schedule()

    def stop(self) -> None:
        """Abort the association and close all channels. Idempotent.

        Messages that were not delivered yet are lost, see :attr:`is_behind`.
        """
        if self._association is not None and self.state != "closed":
            self._association.abort()
            self._flush()
        self._end()

    def send(self, channel: Channel, message: str | bytes) -> None:
        """Queue a message; see :meth:`send_encoded`."""
        is_text = isinstance(message, str)
        data = message.encode() if isinstance(message, str) else message
        self.send_encoded(channel, data, is_text=is_text)

    def send_encoded(self, channel: Channel, data: bytes, *, is_text: bool) -> None:
        """Queue a message.

        Args:
            channel: An open channel.
            data: The message; a text in UTF-8.
            is_text: True for a text.

        Raises:
            ValueError: The message is larger than :attr:`max_message`.
        """
        if data:
            protocol = Protocol.STRING if is_text else Protocol.BINARY
        else:  # sent as one byte (RFC 8831 section 6.6)
            protocol = Protocol.STRING_EMPTY if is_text else Protocol.BINARY_EMPTY
            data = b"\0"
        limit = self.max_message
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

    def receive(self, packet: bytes) -> None:
        """Process a packet, and deliver the messages that it completes.

        If there are too many, the rest is delivered in later iterations of the event loop.
        """
        association = self._association
        if association is None or self.state == "closed":
            return
        self.packets_received += 1
        association.receive(packet, time.monotonic())
        try:
            if association.events:
                # Deliver before answering, so that a reply of the application shares a packet with
                # the SACK.
                self._deliver(association)
        finally:
            self._schedule()

    @property
    def progress(self) -> tuple[int, int, bool]:
        """Bytes sent and acknowledged, and whether more waits; see :attr:`Sender.progress`."""
        sender = None if self._association is None else self._association.sender
        return (0, 0, False) if sender is None else sender.progress

    def limit(self, rate: float) -> None:
        """Send so many bytes of user data per second at most; infinity is no limit.

        The congestion control goes on beside it, and may say less.
        """
        self._limit = rate
        if self._association is not None and self.state != "closed":
            self._schedule()

    def path_changed(self, *, was_lost: bool) -> None:
        """Adapt to a new network path; see :meth:`Association.path_changed`."""
        if self._association is not None:
            self._association.path_changed(time.monotonic(), was_lost=was_lost)
            self._schedule()

    def hold(self, size: int) -> None:
        """Add to the bytes that the application has not read yet; they reduce the receive window.

        Args:
            size: Bytes; negative when they are read.
        """
        if self._association is not None:
            self._association.hold(size)
            if size < 0:
                self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_scheduled = False
        self._delivery_time = 0.0
        association = self._association
        if association is None or self.state == "closed":
            return
        try:
            if association.events:
                self._deliver(association)
            if self.channels.has_pending:
                if association.has_pending_resets:
                    self._transmit(association)  # earlier resets leave before the new OPENs
                self.channels.open_pending(association)
        finally:
            self._send(association)

    def _send(self, association: Association) -> None:
        self._transmit(association)
        self.channels.account(association)
        self._arm(association)
        if association.events:
            self._schedule()  # a handler raised, more has arrived, or the time was used up

    def _deliver(self, association: Association) -> None:
        now = began = time.monotonic()
        until = now + DELIVERY_SLICE - self._delivery_time
        try:
            while now < until and (event := association.poll_event()) is not None:
                self._take_event(event)
                now = time.monotonic()
        finally:
            self._delivery_time += time.monotonic() - began

    def _transmit(self, association: Association) -> None:
        link = self._link
        if link is None:
            return
        if association.sender is not None:
            association.sender.limit = self._limit
        if packets := association.take_datagrams(time.monotonic()):
            try:
                link.send_all(packets)
            except ConnectionError as error:
                logger.debug("%d packets were not sent: %s", len(packets), error)
        if (probe := association.take_probe()) is not None:
            try:
                if not link.send_probe(probe):
                    association.probe_refused(time.monotonic())
            except ConnectionError as error:
                logger.debug("a path MTU probe was not sent: %s", error)

    def _arm(self, association: Association) -> None:
        deadline = association.deadline
        if deadline >= self._timer_at:
            return  # the timer fires earlier and is set again then
        if self._timer is not None:
            self._timer.cancel()
        delay = max(deadline - time.monotonic(), TIMER_RESOLUTION)
        self._timer_at = deadline
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        association = self._association
        if association is None or self.state == "closed":
            return
        now = time.monotonic()
        if now >= association.deadline:
            association.handle_timeout(now)
            self._flush()
        else:
            self._arm(association)

    def _take_event(self, event: Event) -> None:
        if isinstance(event, Arrival):
            self.channels.take(event)
        elif isinstance(event, Closed):
            logger.debug("the SCTP association is closed: %s", event.reason)
            self.reason = event.reason
            self._end()
        else:
            self.channels.take_event(event)
            if isinstance(event, Established):
                self.on_state("connected", "")

    def _end(self) -> None:
        if self.state == "closed":
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.channels.end()
        self.on_state("closed", self.reason)
        self._host.ended()
