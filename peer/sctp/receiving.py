"""Receiving half of an association: accepts DATA within the receive window, and sends SACKs."""

from collections import deque

from .inbound import MAX_MESSAGE, OVERHEAD, Arrival, Inbound
from .packet import (
    DATA_HEADER,
    I_DATA_HEADER,
    IMMEDIATE,
    Cause,
    Fatal,
    Kind,
    data_fields,
    decode_forward_tsn,
    decode_i_forward_tsn,
    encode_sack,
    i_data_fields,
    unwrap,
)
from .received_tsns import MAX_AHEAD, Tsns

IMMEDIATE_DELAY = 0.001
"""Delay in seconds of a SACK requested by the I bit: a reply of the application may carry it."""

SACK_DELAY = 0.02
"""Delay in seconds of a SACK for a single packet (RFC 9260: at most 0.2)."""

PACKETS_PER_SACK = 2
"""Packets with data after which a SACK is due (RFC 9260 section 6.2)."""

BULK_CHUNK = 1000
"""Bytes of a chunk that indicate bulk data."""

EXTRA_SACK_RATE, EXTRA_SACK_BURST = 1000.0, 32.0
"""Additional SACKs per second, and in a burst, for single packets of a sender that counts SACKs.

The congestion window of most implementations grows by one packet per SACK while it is small, in
slow start and after a loss. At high packet rates the additional SACKs are too few to matter."""

WINDOW_UPDATE = 65536
"""Minimum bytes of a window that is announced unasked after a smaller one; half of the maximum
window if that is less. This avoids the silly window syndrome (RFC 9293 section 3.8.6.2.2)."""

INCOMPLETE_WINDOWS = 4
"""Factor by which incomplete messages may exceed the limit, while the application has read
everything that was delivered: only the limit would keep them from being completed."""

MIN_WINDOW = 256 * 1024
"""Minimum receive window in bytes for completing them when the limit is reached."""

GAP_ALLOWANCE = 64 * 1024
"""Bytes beyond the limit that are accepted if they fill a gap, because data can then be
delivered."""


class Receiver:
    """Receives data.

    Args:
        limit: Maximum bytes buffered until the application has read them, including the overhead of
            fragments.
        offered: Receive window of the INIT, in bytes.
        max_message: Maximum bytes of a message.

    Attributes:
        unread: Bytes delivered to the application and not read yet.
        is_due: Whether to send a SACK.
        is_over: Whether receiving was ended for good.
        deadline: Time of the delayed SACK.
    """

    def __init__(self, limit: int, offered: int, max_message: int = MAX_MESSAGE) -> None:
        self._limit = limit
        # A message of the maximum size must always fit.
        self._max_cost = max(limit * INCOMPLETE_WINDOWS, 2 * max_message)
        # As many as the window allows: otherwise one packet could complete four times as many. Gaps
        # may be filled up to twice that number, limited by MAX_AHEAD.
        self._max_pieces = max(limit, 2 * max_message) // OVERHEAD
        self._offered = offered
        self._tsns: Tsns | None = None
        self.is_over: bool = False
        self._inbound = Inbound(max_message)
        self._packets = 0  # packets with data since the last SACK
        self._has_bulk = False
        self._extra = EXTRA_SACK_BURST
        self._extra_at = 0.0
        self.unread = 0
        self.is_due: bool = False
        self.deadline: float = float("inf")

    def begin(self, tsn: int) -> None:
        """Expect data from a TSN on."""
        self._tsns = Tsns(tsn - 1)

    def end(self) -> None:
        """Stop receiving, and drop incomplete messages."""
        self.is_over = True
        self._inbound.discard()
        self.deadline = float("inf")

    @property
    def arrived(self) -> deque[Arrival]:
        """Complete messages; the caller removes them."""
        return self._inbound.arrived

    @property
    def completed(self) -> int:
        """Number of complete messages ever received."""
        return self._inbound.completed

    def take_skipped(self) -> dict[int, int]:
        """Return the messages that the remote peer abandoned since the last call, by stream."""
        taken, self._inbound.skipped = self._inbound.skipped, {}
        return taken

    @property
    def window(self) -> int:
        """The current receive window, in bytes."""
        cost, unread_bytes = self._inbound.cost, self._unread_bytes()
        if self._inbound.pieces >= self._max_pieces:
            return 0
        room = self._limit - cost - unread_bytes
        if not unread_bytes:
            floor = min(MIN_WINDOW, self._limit)
            room = max(room, min(floor, self._max_cost - cost))
        return max(room, 0)

    def _unread_bytes(self) -> int:
        inbound = self._inbound
        return self.unread + inbound.delivered_bytes if inbound.arrived else self.unread

    @property
    def cumulative(self) -> int:
        """The cumulative TSN, unwrapped; -1 before :meth:`begin`."""
        return self._tsns.cumulative if self._tsns is not None else -1

    # --- what arrives

    def receive(
        self, packet: bytes, kind: int, flags: int, position: int, following: int, now: float
    ) -> None:
        """Process a DATA or I-DATA chunk.

        Args:
            packet: The packet.
            kind: Type of the chunk.
            flags: Its flags.
            position: Its offset.
            following: Offset of its end.
            now: The time.

        Raises:
            Fatal: It has no data, or its message is too long.
        """
        tsns = self._tsns
        if tsns is None or self.is_over:
            return
        if flags & IMMEDIATE:
            self.deadline = min(self.deadline, now + IMMEDIATE_DELAY)
        if kind == Kind.DATA:
            wire_tsn, stream, number, protocol = data_fields.unpack_from(packet, position + 4)
            data = packet[position + DATA_HEADER : following]
        else:
            wire_tsn, stream, _, number, protocol = i_data_fields.unpack_from(packet, position + 4)
            data = packet[position + I_DATA_HEADER : following]
        if not data:
            reason = "the remote peer sent a DATA chunk without data"
            raise Fatal(Cause.NO_USER_DATA, reason, wire_tsn.to_bytes(4, "big"))
        if len(data) >= BULK_CHUNK:
            self._has_bulk = True
        tsn = unwrap(wire_tsn, tsns.cumulative)
        if tsn > tsns.cumulative and not self._has_room(tsn, len(data)):
            self.is_due = True
            return  # RFC 9260 section 6.2: outside the receive window
        if not tsns.add(tsn):
            return
        if kind == Kind.DATA:
            self._inbound.add(tsn, flags, stream, number, protocol, data)
        else:
            self._inbound.add_interleaved(flags, stream, number, protocol, data)

    def _has_room(self, tsn: int, size: int) -> bool:
        tsns, inbound = self._tsns, self._inbound
        if tsns is None or tsn > tsns.cumulative + MAX_AHEAD:
            return False
        unread_bytes = self._unread_bytes()
        cost = inbound.cost + unread_bytes + size
        fills = tsn < tsns.highest
        if inbound.pieces >= self._max_pieces * (2 if fills else 1):
            return False
        if not unread_bytes:
            return cost <= self._max_cost
        if tsn > tsns.highest:
            return cost <= self._limit
        # The window was announced without the overhead of fragments, unknown to the remote peer.
        return (
            inbound.size + unread_bytes + size <= self._limit + GAP_ALLOWANCE
            and cost <= self._max_cost
        )

    def packet_ends(self, now: float, *, counts_sacks: bool) -> None:
        """Note the end of a packet with data.

        Args:
            now: The time.
            counts_sacks: Whether the congestion window of the remote peer grows with the number of
                SACKs.
        """
        tsns = self._tsns
        if tsns is None or self.is_over:
            return
        self._packets += 1
        is_sack_due = self._packets >= PACKETS_PER_SACK or (
            counts_sacks and self._has_bulk and self._may_send_extra(now)
        )
        if is_sack_due or tsns.ranges or tsns.duplicates:
            self.is_due = True
        else:
            self.deadline = min(self.deadline, now + SACK_DELAY)

    def _may_send_extra(self, now: float) -> bool:
        grown = self._extra + (now - self._extra_at) * EXTRA_SACK_RATE
        self._extra = min(grown, EXTRA_SACK_BURST)
        self._extra_at = now
        if self._extra < 1:
            return False
        self._extra -= 1
        return True

    def skip(self, body: bytes) -> None:
        """Process a FORWARD TSN.

        Raises:
            Malformed: It is truncated.
        """
        tsn, streams = decode_forward_tsn(body)
        if (cumulative := self._skip_to(tsn)) is not None:
            self._inbound.skip(cumulative, streams)

    def skip_interleaved(self, body: bytes) -> None:
        """Process an I-FORWARD-TSN.

        Raises:
            Malformed: It is truncated.
        """
        tsn, skipped = decode_i_forward_tsn(body)
        if self._skip_to(tsn) is not None:
            self._inbound.skip_interleaved(skipped)

    def _skip_to(self, tsn: int) -> int | None:
        if self._tsns is None or self.is_over:
            return None
        self.is_due = True
        cumulative = unwrap(tsn, self._tsns.cumulative)
        return cumulative if self._tsns.skip_to(cumulative) else None

    def reset(self, stream: int) -> None:
        """Restart the message numbers of a stream at 0."""
        self._inbound.reset(stream)

    # --- SACKs

    def acknowledge(self, now: float) -> None:
        """Send a SACK soon, even if nothing has arrived."""
        if self._tsns is not None and not self.is_over:
            self.deadline = min(self.deadline, now)

    def handle_timeout(self, now: float) -> None:
        """Process the timer of the delayed SACK."""
        if now >= self.deadline:
            self.is_due = True

    def sack(self) -> bytes | None:
        """Return a SACK chunk if one is due, or if the window has is_reopened."""
        tsns = self._tsns
        if tsns is None or self.is_over:
            return None
        window = self.window
        # RFC 9260 section 6.2: announce a is_reopened window.
        min_update = min(WINDOW_UPDATE, self._limit // 2)
        is_reopened = self._offered < min_update <= window - self._offered
        if not self.is_due and not is_reopened:
            return None
        encoded = encode_sack(
            tsns.cumulative & 0xFFFFFFFF,
            window,
            tsns.gaps() if tsns.ranges else (),
            [tsn & 0xFFFFFFFF for tsn in tsns.duplicates],
        )
        tsns.duplicates.clear()
        self._offered = window
        self._packets = 0
        self._has_bulk = False
        self.is_due = False
        self.deadline = float("inf")
        return encoded
