"""The receiving half of an association: takes DATA, and says by SACKs what has arrived."""

from collections import deque

from .inbound import MAX_AHEAD, MAX_MESSAGE, OVERHEAD, Arrival, Inbound, Tsns
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

PROMPT = 0.001
"""Seconds by which a SACK waits that was asked for at once: an answer that comes may carry it."""

SACK_DELAY = 0.02
"""Seconds by which a SACK for one packet waits for another or for data (RFC 9260: at most 0.2)."""

PER_SACK = 2
"""Packets with data after which one is due (RFC 9260 section 6.2)."""

BULK = 1000
"""Bytes of a chunk that is likely a part of much."""

EXTRA_RATE, EXTRA_BURST = 1000.0, 32.0
"""SACKs a second, and at once, for single packets of a sender whose window counts SACKs.

Most stacks let their congestion window grow by a packet for each SACK while it is small, at the
beginning and after a loss. Once there are many packets these are too few to cost anything.
"""

REOPENING = 65536
"""Bytes of room of which the other side is told unasked, where there was less before; half of what
there may be, if that is less (RFC 9293 section 3.8.6.2.2: no silly windows)."""

UNFINISHED = 4
"""Times the limit that messages of which parts are missing may take, while the application has read
all that it was given: what is held for them then is all that keeps them from becoming whole."""

FLOOR = 256 * 1024
"""Bytes that are offered for them all the same, where the limit is reached."""

SLACK = 64 * 1024
"""Bytes beyond the limit that are taken where they fill a gap: what follows is given out then."""


class Receiver:
    """Takes what the other side sends.

    Args:
        limit: Bytes that may be here before the application has read them, the memory that each
            fragment takes beside its data included.
        offered: Bytes that the other side was offered in the INIT.
        max_message: Bytes that a message may have.

    Attributes:
        unread: Bytes that the application has and has not read.
        is_due: Whether a SACK is to be sent.
        deadline: When one will be.
    """

    def __init__(self, limit: int, offered: int, max_message: int = MAX_MESSAGE) -> None:
        self._limit = limit
        # One message must be let in whole, whatever its size.
        self._most = max(limit * UNFINISHED, 2 * max_message)
        # Those of the window: else one packet could complete four times as many. There may be twice
        # as many where they fill a gap, which no more than MAX_AHEAD can.
        self._most_pieces = max(limit, 2 * max_message) // OVERHEAD
        self._offered = offered
        self._tsns: Tsns | None = None
        self._is_over = False
        self._inbound = Inbound(max_message)
        self._packets = 0  # with data, since the last SACK
        self._has_bulk = False
        self._extra = EXTRA_BURST
        self._extra_at = 0.0
        self.unread = 0
        self.is_due = False
        self.deadline = float("inf")

    def begin(self, tsn: int) -> None:
        """Expect data from this TSN on."""
        self._tsns = Tsns(tsn - 1)

    def end(self) -> None:
        """Expect none any more, and let go of what never became whole."""
        self._is_over = True
        self._inbound.give_up()
        self.deadline = float("inf")

    @property
    def arrived(self) -> deque[Arrival]:
        """Messages that have arrived; whoever drives this takes them."""
        return self._inbound.arrived

    @property
    def completed(self) -> int:
        """How many messages ever arrived."""
        return self._inbound.completed

    @property
    def skipped(self) -> dict[int, int]:
        """Messages that the other side gave up, by stream; whoever drives this clears it."""
        return self._inbound.skipped

    @property
    def window(self) -> int:
        """Bytes that the other side may send."""
        cost, not_read = self._inbound.cost, self._not_read()
        if self._inbound.pieces >= self._most_pieces:
            return 0
        room = self._limit - cost - not_read
        if not not_read:
            floor = min(FLOOR, self._limit)
            room = max(room, min(floor, self._most - cost))
        return max(room, 0)

    def _not_read(self) -> int:
        inbound = self._inbound
        return self.unread + inbound.given_out if inbound.arrived else self.unread

    @property
    def cumulative(self) -> int:
        """The TSN, counted on, up to which all has arrived; -1 before the beginning."""
        return self._tsns.cumulative if self._tsns is not None else -1

    # --- what arrives

    def receive(
        self, packet: bytes, kind: int, flags: int, position: int, following: int, now: float
    ) -> None:
        """Take a DATA or I-DATA chunk.

        Args:
            packet: The packet that it is in.
            kind: Its type.
            flags: Its flags.
            position: Where it begins.
            following: Where it ends.
            now: The time.

        Raises:
            Fatal: It has no data, or a message is too long.
        """
        tsns = self._tsns
        if tsns is None or self._is_over:
            return
        if flags & IMMEDIATE:
            self.deadline = min(self.deadline, now + PROMPT)
        if kind == Kind.DATA:
            told, stream, number, protocol = data_fields.unpack_from(packet, position + 4)
            data = packet[position + DATA_HEADER : following]
        else:
            told, stream, _, number, protocol = i_data_fields.unpack_from(packet, position + 4)
            data = packet[position + I_DATA_HEADER : following]
        if not data:
            reason = "the other side sent a DATA chunk without data"
            raise Fatal(Cause.NO_USER_DATA, reason, told.to_bytes(4, "big"))
        if len(data) >= BULK:
            self._has_bulk = True
        tsn = unwrap(told, tsns.cumulative)
        if tsn > tsns.cumulative and not self._has_room(tsn, len(data)):
            self.is_due = True
            return  # RFC 9260 section 6.2: it is beyond the window that was offered
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
        not_read = self._not_read()
        cost = inbound.cost + not_read + size
        fills = tsn < tsns.highest
        if inbound.pieces >= self._most_pieces * (2 if fills else 1):
            return False
        if not not_read:
            return cost <= self._most
        if tsn > tsns.highest:
            return cost <= self._limit
        # What was offered was offered without the overhead of fragments, which the other side
        # does not know.
        return inbound.size + not_read + size <= self._limit + SLACK and cost <= self._most

    def packet_ends(self, now: float, *, counts: bool) -> None:
        """Note that a packet with data was taken.

        Args:
            now: The time.
            counts: Whether the other side's window grows with the number of SACKs.
        """
        tsns = self._tsns
        if tsns is None or self._is_over:
            return
        self._packets += 1
        is_enough = self._packets >= PER_SACK or (
            counts and self._has_bulk and self._takes_extra(now)
        )
        if is_enough or tsns.ranges or tsns.duplicates:
            self.is_due = True
        else:
            self.deadline = min(self.deadline, now + SACK_DELAY)

    def _takes_extra(self, now: float) -> bool:
        grown = self._extra + (now - self._extra_at) * EXTRA_RATE
        self._extra = min(grown, EXTRA_BURST)
        self._extra_at = now
        if self._extra < 1:
            return False
        self._extra -= 1
        return True

    def skip(self, body: bytes) -> None:
        """Take a FORWARD TSN.

        Raises:
            Malformed: It is cut off.
        """
        tsn, streams = decode_forward_tsn(body)
        if (cumulative := self._skip_to(tsn)) is not None:
            self._inbound.skip(cumulative, streams)

    def skip_interleaved(self, body: bytes) -> None:
        """Take an I-FORWARD-TSN.

        Raises:
            Malformed: It is cut off.
        """
        tsn, skipped = decode_i_forward_tsn(body)
        if self._skip_to(tsn) is not None:
            self._inbound.skip_interleaved(skipped)

    def _skip_to(self, tsn: int) -> int | None:
        if self._tsns is None or self._is_over:
            return None
        self.is_due = True
        cumulative = unwrap(tsn, self._tsns.cumulative)
        return cumulative if self._tsns.skip_to(cumulative) else None

    def reset(self, stream: int) -> None:
        """Number a stream's messages from 0 again."""
        self._inbound.reset(stream)

    # --- SACKs

    def acknowledge(self, now: float) -> None:
        """Have a SACK sent soon, whatever arrived."""
        if self._tsns is not None and not self._is_over:
            self.deadline = min(self.deadline, now)

    def tick(self, now: float) -> None:
        """Note that a SACK has waited long enough."""
        if now >= self.deadline:
            self.is_due = True

    def sack(self) -> bytes | None:
        """Return a SACK chunk, if one is to be sent now."""
        tsns = self._tsns
        if tsns is None or self._is_over:
            return None
        window = self.window
        # RFC 9260 section 6.2: the other side must hear of it when there is room again.
        much = min(REOPENING, self._limit // 2)
        reopened = self._offered < much <= window - self._offered
        if not self.is_due and not reopened:
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
