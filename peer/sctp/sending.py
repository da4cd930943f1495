"""Sending half of an association: fills packets within the windows and the pacing rate."""

from .._util.pacer import Pacer
from .congestion import Controller
from .loss_recovery import Recovery
from .outbound import Fragment, Message, SendQueue
from .packet import (
    DATA_HEADER,
    HEADER,
    I_DATA_HEADER,
    IMMEDIATE,
    LAST,
    Header,
    Kind,
    data_header,
    encode_forward_tsn,
    encode_i_forward_tsn,
    i_data_header,
    padding,
    unwrap,
)
from .path_mtu import PathMtu

MAX_SKIPPED_STREAMS = 120
"""Maximum streams named in a FORWARD TSN, so that it fits into a packet."""

EXPIRY_CHECK = 0.05
"""Seconds between two checks of the queue for expired messages."""

BLACK_HOLE_TIMEOUTS = 2
"""Consecutive time-outs after which large packets are assumed to be lost for their size (black
hole)."""


MAX_PROBE_BACKOFF = 2
"""Maximum doublings of the time-out for zero window probes: 1.6 s at the minimum RTO. The remote
peer announces a reopened window; probes are needed if that SACK is lost."""


class _PacketBuilder:
    """Packs chunks into packets.

    Args:
        header: The packets' header.
        most: Maximum bytes of chunks in a packet.
        control: Control chunks to send first.
        outgoing: Receives complete packets.

    Attributes:
        parts: Contents of the current packet.
        room: Bytes left in it.
        credit: Bytes that the pacer allows.
    """

    __slots__ = ("_header", "_outgoing", "credit", "most", "parts", "room")

    def __init__(
        self, header: Header, most: int, control: list[bytes], outgoing: list[bytes]
    ) -> None:
        self._header = header
        self._outgoing = outgoing
        self.most = most
        self.parts: list[bytes] = []
        self.room = most
        self.credit = 0.0
        for each in control:
            self.make_room(len(each))
            self.parts.append(each)
            self.room -= len(each)

    def make_room(self, size: int) -> None:
        """Start another packet if ``size`` bytes do not fit into this one."""
        if size > self.room and self.room < self.most:
            self.end_packet()

    def end_packet(self) -> None:
        """Start another packet unless this one is empty."""
        if self.parts:
            self._outgoing.append(self._header.seal(b"".join(self.parts)))
            self.parts, self.room = [], self.most


class Sender:
    """Sends the messages of a queue.

    Args:
        queue: The queued messages.
        path: Path MTU discovery.
        controller: The congestion controller.
        tsn: Our initial TSN.
        window: Initial receive window of the remote peer, in bytes.
        forwards: Whether the remote peer supports FORWARD TSN.
        interleaves: Whether I-DATA is used.

    Attributes:
        finished: Messages that have left the queue, until :meth:`take_done`.
        abandoned: Abandoned messages, likewise.
        recovery: Loss recovery.
        controller: The congestion controller.
        limit: Bytes per second that are sent at most, whatever the controller says.
    """

    def __init__(
        self,
        *,
        queue: SendQueue,
        path: PathMtu,
        controller: Controller,
        tsn: int,
        window: int,
        forwards: bool,
        interleaves: bool,
    ) -> None:
        self._queue = queue
        queue.peer_window = window
        self._path = path
        self.controller: Controller = controller
        self.recovery: Recovery = Recovery(tsn, gives_up=forwards)
        self.limit = float("inf")
        self._pacer = Pacer()
        self._window = window  # receive window of the latest SACK
        self._forwards = forwards
        self._interleaves = interleaves
        self._chunk_header = I_DATA_HEADER if interleaves else DATA_HEADER
        self._paced_until = float("inf")
        self._expiry_at = float("inf")
        self._immediate_at = 0.0
        self._forward_tsn_point = self.recovery.advanced
        self._forward_tsn_sent_at = 0.0
        self._probing: Fragment | None = None
        self.finished: list[Message] = []
        self.abandoned: list[Message] = []
        self.size_changed()

    def size_changed(self) -> None:
        """Apply a changed packet size."""
        self._full = (self._path.size - HEADER - self._chunk_header) & ~3
        self.controller.set_segment(self._full)

    # --- numbers

    @property
    def rto(self) -> float:
        """The retransmission time-out, in seconds."""
        return self.recovery.round_trip.rto

    @property
    def last_tsn(self) -> int:
        """The last TSN that was used, unwrapped."""
        return self.recovery.next_tsn - 1

    @property
    def is_done(self) -> bool:
        """True if the queue is empty and everything is acknowledged."""
        return not self._queue and not self.recovery.has_unacknowledged

    @property
    def progress(self) -> tuple[int, int, bool]:
        """Bytes of user data sent and acknowledged in total, and whether more waits to be sent.

        What was lost and is to be sent again does not count as sent.
        """
        delivered = self.recovery.delivered
        waits = bool(self._queue) or self.recovery.next_lost() is not None
        return delivered + self.recovery.flight, delivered, waits

    @property
    def deadline(self) -> float:
        """Time of the next :meth:`handle_timeout`."""
        return min(self.recovery.deadline, self._paced_until, self._expiry_at)

    # --- what happens

    def acknowledged(
        self, tsn: int, window: int, gaps: list[tuple[int, int]], duplicates: int, now: float
    ) -> None:
        """Process a SACK, see :meth:`Recovery.acknowledge`.

        Raises:
            Fatal: The remote peer reneges too often.
        """
        recovery = self.recovery
        ack = recovery.acknowledge(unwrap(tsn, recovery.cumulative), gaps, duplicates, now)
        if ack is None:
            return
        was_closed = self._window < self._full
        self._window = window
        self._queue.peer_window = max(self._queue.peer_window, window)
        if was_closed and window >= self._full and recovery.flight:
            recovery.lose_all(now)  # it was sent as a zero window probe
        if ack.lost:
            self._pacer.lost(now)
        elif ack.rtt is not None:
            self._pacer.arrived(now, ack.rtt)
        if ack.acked or ack.lost:
            self.controller.acknowledged(ack)
            self._arm_probe(now)
        self._collect_abandoned()

    def path_changed(self, now: float) -> None:
        """Retransmit all unacknowledged data at once, over an unknown path."""
        self.recovery.timeouts = 0
        self.recovery.lose_all(now)
        self.forget_path()
        self._collect_abandoned()

    def forget_path(self) -> None:
        """Reset congestion control and pacing for a new path."""
        self.controller = type(self.controller)(self._full)
        self._pacer = Pacer()

    def handle_timeout(self, now: float) -> None:
        """Process the timers that are due; :meth:`flush` sends the packets."""
        self._paced_until = float("inf")
        recovery = self.recovery
        if now >= recovery.deadline:
            self._probing = recovery.probe(now)
            if self._probing is None:
                _, timed_out = recovery.handle_timeout(now)
                if timed_out:
                    self._on_timeout(now)
                elif recovery.advanced > recovery.cumulative:
                    self._forward_tsn_point = recovery.cumulative
        if now >= self._expiry_at:
            self._expiry_at = float("inf")
            self._queue.expire(now)
        self._collect_abandoned()

    def _on_timeout(self, now: float) -> None:
        if self._window < self._full:
            # RFC 9260 sections 6.1 and 6.3.3: a zero window is no congestion. One chunk probes it,
            # at increasing intervals.
            self.recovery.timeouts = min(self.recovery.timeouts, MAX_PROBE_BACKOFF)
            return
        self.controller.timed_out(now)
        self._forward_tsn_point = self.recovery.cumulative
        if self.recovery.timeouts >= BLACK_HOLE_TIMEOUTS and self._path.lost(now):
            self.size_changed()

    def _arm_probe(self, now: float) -> None:
        if self._window >= self._full or self.recovery.flight > self._full:
            self.recovery.arm_probe(now)
        # Otherwise the chunk is a zero window probe itself, and was not lost.

    def _collect_abandoned(self) -> None:
        if self.recovery.newly_abandoned:
            self.abandoned += self.recovery.newly_abandoned
            self.recovery.newly_abandoned = []

    def take_done(self) -> tuple[list[Message], list[Message]]:
        """Return the messages sent, and those abandoned, since the last call."""
        taken = self.finished, self.abandoned
        self.finished, self.abandoned = [], []
        return taken

    # --- packets

    def flush(
        self, header: Header, control: list[bytes], outgoing: list[bytes], now: float
    ) -> None:
        """Fill packets.

        Args:
            header: The packets' header.
            control: Control chunks to send first; cleared.
            outgoing: Receives the packets.
            now: The time.
        """
        recovery, queue, controller = self.recovery, self._queue, self.controller
        if self._forwards and recovery.advanced > recovery.cumulative:
            self._maybe_forward_tsn(control, now)
        if not recovery.flight and (queue or recovery.has_unacknowledged):
            controller.idle(now, 0)
        pacer = self._pacer
        pacer.rate = min(controller.pacing_rate, self.limit)
        self._paced_until = float("inf")
        builder = _PacketBuilder(header, self._path.size - HEADER, control, outgoing)
        control.clear()
        builder.credit = pacer.credit(now)
        sent = False
        while (fragment := self._next(builder, now)) is not None:
            recovery.sent(fragment, now)
            pacer.spend(fragment.size)
            builder.credit -= fragment.size
            self._encode(fragment, builder.parts, now)
            builder.room -= (fragment.size + self._chunk_header + 3) & ~3
            if builder.room <= self._chunk_header:
                builder.end_packet()
            sent = True
        builder.end_packet()
        if sent:
            self._arm_probe(now)
        if not queue:
            if recovery.flight < controller.window and not recovery.next_lost():
                recovery.limited_by_application()
        elif self._expiry_at == float("inf"):
            self._expiry_at = now + EXPIRY_CHECK
        if queue.dropped:
            self.abandoned += queue.dropped
            queue.dropped.clear()

    def _next(self, builder: "_PacketBuilder", now: float) -> Fragment | None:
        """Return the next chunk that may be sent, with room for it in the packet; or ``None``."""
        recovery, queue = self.recovery, self._queue
        fragment = self._probing or recovery.next_lost()
        if fragment is None and not queue:
            return None
        flight = recovery.flight
        if self._probing is None:
            if flight and flight + self._full > self.controller.window:
                return None
            if builder.credit <= 0:
                self._paced_until = self._pacer.ready_at(now)
                return None
        self._probing = None
        if fragment is not None:
            builder.make_room(fragment.size + self._chunk_header)
            return fragment
        if (flight and flight + self._full > self._window) or recovery.is_full:
            return None
        fragment = queue.take(builder.room - self._chunk_header, self._full, now)
        if fragment is None and queue and builder.room < builder.most:
            builder.end_packet()
            fragment = queue.take(builder.room - self._chunk_header, self._full, now)
        if fragment is not None and fragment.flags & LAST:
            self.finished.append(fragment.message)
        return fragment

    def _encode(self, fragment: Fragment, parts: list[bytes], now: float) -> None:
        message, flags, size = fragment.message, fragment.flags, fragment.size
        if not self._queue and flags & LAST and now - self._immediate_at > 0.005:
            # No chunk follows that would trigger a SACK (RFC 7053).
            self._immediate_at = now
            flags |= IMMEDIATE
        if self._interleaves:
            parts.append(
                i_data_header.pack(
                    Kind.I_DATA,
                    flags,
                    I_DATA_HEADER + size,
                    fragment.tsn & 0xFFFFFFFF,
                    message.stream,
                    0,
                    message.number & 0xFFFFFFFF,
                    fragment.index or message.protocol,
                )
            )
        else:
            parts.append(
                data_header.pack(
                    Kind.DATA,
                    flags,
                    DATA_HEADER + size,
                    fragment.tsn & 0xFFFFFFFF,
                    message.stream,
                    message.number & 0xFFFF if message.ordered else 0,
                    message.protocol,
                )
            )
        parts.append(fragment.data)
        if size & 3:
            parts.append(padding(size))

    def _maybe_forward_tsn(self, control: list[bytes], now: float) -> None:
        """Add a FORWARD TSN if one is due (RFC 3758 section 3.5, C3 to C5)."""
        recovery = self.recovery
        wait = recovery.round_trip.smoothed or 0.0
        if recovery.advanced == self._forward_tsn_point and now <= self._forward_tsn_sent_at + wait:
            return
        self._forward_tsn_point, self._forward_tsn_sent_at = recovery.advanced, now
        recovery.forward_tsn_sent(now)
        skipped = list(recovery.skipped().items())[:MAX_SKIPPED_STREAMS]
        tsn = recovery.advanced & 0xFFFFFFFF
        if self._interleaves:
            entries = [(stream, unordered, n & 0xFFFFFFFF) for (stream, unordered), n in skipped]
            control.append(encode_i_forward_tsn(tsn, entries))
        else:
            ordered = [(stream, n & 0xFFFF) for (stream, unordered), n in skipped if not unordered]
            control.append(encode_forward_tsn(tsn, ordered))
