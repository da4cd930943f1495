"""The sending half of an association: fills packets as the windows and the pacing allow."""

from collections import deque

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

MAX_SKIPPED = 120
"""Streams named in a FORWARD TSN, so that it fits a packet."""

EXPIRY_CHECK = 0.05
"""Seconds between two looks at what waits for messages that have expired."""

BLACK_HOLE = 2
"""Time-outs in a row by which large packets are taken to be lost for their size."""


MAX_ASKING = 2
"""Doublings of the time after which a side without room is asked again: 1.6 s at the least RTO. It
tells of room unasked; this is for when that is lost."""


class _Filling:
    """The packets that are being filled: one chunk after the other, and the next where one is full.

    Args:
        header: The packets' header.
        most: Bytes of chunks that a packet may have.
        control: Chunks that go first.
        outgoing: Takes the packets that are full.

    Attributes:
        parts: What is in the packet so far.
        room: Bytes that still fit.
        credit: Bytes that may still go out by the pacing.
    """

    __slots__ = ("_header", "_outgoing", "credit", "most", "parts", "room")

    def __init__(
        self, header: Header, most: int, control: list[bytes], outgoing: deque[bytes]
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
        """Begin another packet if so many bytes do not fit this one."""
        if size > self.room and self.room < self.most:
            self.end_packet()

    def end_packet(self) -> None:
        """Begin another packet, unless this one is empty."""
        if self.parts:
            self._outgoing.append(self._header.seal(b"".join(self.parts)))
            self.parts, self.room = [], self.most


class Sender:
    """Sends what waits in a queue.

    Args:
        queue: What waits.
        path: The packet size.
        controller: The congestion control.
        tsn: This side's first TSN.
        window: Bytes that the other side takes.
        forwards: Whether it understands FORWARD TSN.
        interleaves: Whether I-DATA is used.

    Attributes:
        finished: Messages whose last byte has left the queue; whoever drives this takes them.
        abandoned: Messages that were given up, likewise.
        recovery: What is not acknowledged.
        controller: The congestion control.
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
        self.controller = controller
        self.recovery = Recovery(tsn, gives_up=forwards)
        self._pacer = Pacer()
        self._window = window  # the other side's, as last told
        self._forwards = forwards
        self._interleaves = interleaves
        self._chunk_header = I_DATA_HEADER if interleaves else DATA_HEADER
        self._paced_until = float("inf")
        self._expiry_at = float("inf")
        self._immediate_at = 0.0
        self._skip_told = self.recovery.advanced
        self._skip_told_at = 0.0
        self._probing: Fragment | None = None
        self.finished: list[Message] = []
        self.abandoned: list[Message] = []
        self.size_changed()

    def size_changed(self) -> None:
        """Note that packets may have another size."""
        self._full = (self._path.size - HEADER - self._chunk_header) & ~3
        self.controller.set_segment(self._full)

    # --- numbers

    @property
    def rto(self) -> float:
        """The retransmission time-out, in seconds."""
        return self.recovery.round_trip.rto

    @property
    def last_tsn(self) -> int:
        """The last TSN that was used."""
        return self.recovery.next_tsn - 1

    @property
    def is_done(self) -> bool:
        """Whether nothing waits, and all that was sent is acknowledged."""
        return not self._queue and not self.recovery.has_unacknowledged

    @property
    def deadline(self) -> float:
        """When :meth:`tick` has something to do."""
        return min(self.recovery.deadline, self._paced_until, self._expiry_at)

    # --- what happens

    def acknowledged(
        self, tsn: int, window: int, gaps: list[tuple[int, int]], duplicates: int, now: float
    ) -> None:
        """Take a SACK, see :meth:`Recovery.acknowledge`.

        Raises:
            Fatal: The other side takes back again and again what it acknowledged.
        """
        recovery = self.recovery
        ack = recovery.acknowledge(unwrap(tsn, recovery.cumulative), gaps, duplicates, now)
        if ack is None:
            return
        was_closed = self._window < self._full
        self._window = window
        self._queue.peer_window = max(self._queue.peer_window, window)
        if was_closed and window >= self._full and recovery.flight:
            recovery.lose_all(now)  # it was sent to ask for room, and there was none
        if ack.lost:
            self._pacer.lost(now)
        elif ack.rtt is not None:
            self._pacer.arrived(now, ack.rtt)
        if ack.acked or ack.lost:
            self.controller.acknowledged(ack)
            self._arm_probe(now)
        self._take_given_up()

    def path_changed(self, now: float) -> None:
        """Send again all that is not acknowledged, at once, as on a path that is not known."""
        self.recovery.timeouts = 0
        self.recovery.lose_all(now)
        self.forget_path()
        self._take_given_up()

    def forget_path(self) -> None:
        """Learn anew what the path has to offer: there is another one."""
        self.controller = type(self.controller)(self._full)
        self._pacer = Pacer()

    def tick(self, now: float) -> None:
        """Do what is due; :meth:`flush` sends it."""
        self._paced_until = float("inf")
        recovery = self.recovery
        if now >= recovery.deadline:
            self._probing = recovery.probe(now)
            if self._probing is None:
                _, timed_out = recovery.tick(now)
                if timed_out:
                    self._on_timeout(now)
                elif recovery.advanced > recovery.cumulative:
                    self._skip_told = recovery.cumulative
        if now >= self._expiry_at:
            self._expiry_at = float("inf")
            self._queue.expire(now)
        self._take_given_up()

    def _on_timeout(self, now: float) -> None:
        if self._window < self._full:
            # RFC 9260 sections 6.1 and 6.3.3: no congestion, the other side has no room, and is
            # asked for some by one chunk, ever less often.
            self.recovery.timeouts = min(self.recovery.timeouts, MAX_ASKING)
            return
        self.controller.timed_out(now)
        self._skip_told = self.recovery.cumulative
        if self.recovery.timeouts >= BLACK_HOLE and self._path.lost(now):
            self.size_changed()

    def _arm_probe(self, now: float) -> None:
        if self._window >= self._full or self.recovery.flight > self._full:
            self.recovery.arm_probe(now)
        # Else it asks for room itself, and was not lost.

    def _take_given_up(self) -> None:
        if self.recovery.gave_up:
            self.abandoned += self.recovery.gave_up
            self.recovery.gave_up = []

    # --- packets

    def flush(
        self, header: Header, control: list[bytes], outgoing: deque[bytes], now: float
    ) -> None:
        """Fill packets.

        Args:
            header: The packets' header.
            control: Chunks that go first; emptied.
            outgoing: Takes the packets.
            now: The time.
        """
        recovery, queue, controller = self.recovery, self._queue, self.controller
        if self._forwards and recovery.advanced > recovery.cumulative:
            self._maybe_skip(control, now)
        if not recovery.flight and (queue or recovery.has_unacknowledged):
            controller.idle(now, 0)
        pacer = self._pacer
        pacer.rate = controller.pacing_rate
        self._paced_until = float("inf")
        filling = _Filling(header, self._path.size - HEADER, control, outgoing)
        control.clear()
        filling.credit = pacer.credit(now)
        sent = False
        while (fragment := self._next(filling, now)) is not None:
            recovery.sent(fragment, now)
            pacer.spend(fragment.size)
            filling.credit -= fragment.size
            self._encode(fragment, filling.parts, now)
            filling.room -= (fragment.size + self._chunk_header + 3) & ~3
            if filling.room <= self._chunk_header:
                filling.end_packet()
            sent = True
        filling.end_packet()
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

    def _next(self, filling: "_Filling", now: float) -> Fragment | None:
        """Return the chunk that may go out now, with room for it; ``None`` if none may."""
        recovery, queue = self.recovery, self._queue
        fragment = self._probing or recovery.next_lost()
        if fragment is None and not queue:
            return None
        flight = recovery.flight
        if self._probing is None:
            if flight and flight + self._full > self.controller.window:
                return None
            if filling.credit <= 0:
                self._paced_until = self._pacer.ready_at(now)
                return None
        self._probing = None
        if fragment is not None:
            filling.make_room(fragment.size + self._chunk_header)
            return fragment
        if (flight and flight + self._full > self._window) or recovery.is_full:
            return None
        fragment = queue.take(filling.room - self._chunk_header, self._full, now)
        if fragment is None and queue and filling.room < filling.most:
            filling.end_packet()
            fragment = queue.take(filling.room - self._chunk_header, self._full, now)
        if fragment is not None and fragment.flags & LAST:
            self.finished.append(fragment.message)
        return fragment

    def _encode(self, fragment: Fragment, parts: list[bytes], now: float) -> None:
        message, flags, size = fragment.message, fragment.flags, fragment.size
        if not self._queue and flags & LAST and now - self._immediate_at > 0.005:
            # Nothing follows that would make the other side acknowledge it (RFC 7053).
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

    def _maybe_skip(self, control: list[bytes], now: float) -> None:
        """Tell the other side what to skip (RFC 3758 section 3.5, C3 to C5)."""
        recovery = self.recovery
        wait = recovery.round_trip.smoothed or 0.0
        if recovery.advanced == self._skip_told and now < self._skip_told_at + wait:
            return
        self._skip_told, self._skip_told_at = recovery.advanced, now
        recovery.told_to_skip(now)
        skipped = list(recovery.skipped().items())[:MAX_SKIPPED]
        tsn = recovery.advanced & 0xFFFFFFFF
        if self._interleaves:
            told = [(stream, unordered, n & 0xFFFFFFFF) for (stream, unordered), n in skipped]
            control.append(encode_i_forward_tsn(tsn, told))
        else:
            ordered = [(stream, n & 0xFFFF) for (stream, unordered), n in skipped if not unordered]
            control.append(encode_forward_tsn(tsn, ordered))
