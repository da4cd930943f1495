"""Stream resets, by which data channels are closed (RFC 6525, RFC 8831 section 6.7).

A request contains the last TSN of the streams' data, and is performed once that has arrived. Each
peer has one request pending at a time. Does no I/O.
"""

from collections.abc import Callable
from enum import IntEnum
from itertools import islice
from struct import Struct, error as StructError

from .event_queue import EventQueue
from .outbound import SendQueue
from .packet import Kind, Malformed, Parameter, chunk, encode_parameters, unwrap
from .receiving import Receiver
from .states import ResetDone, StreamsReset

MAX_STREAMS = 128
"""Maximum streams in one request, so that it fits into a packet."""

MAX_REPLIES = 64
"""Maximum responses queued for the next flush. The remote peer repeats unanswered requests."""

_request = Struct("!LLL")
_response = Struct("!LL")
_stream = Struct("!H")


class Result(IntEnum):
    """Result of a request (RFC 6525 section 4.4)."""

    NOTHING_TO_DO = 0
    PERFORMED = 1
    DENIED = 2
    BAD_SEQUENCE_NUMBER = 5
    IN_PROGRESS = 6


class StreamResets:
    """Stream reset requests of both peers.

    Args:
        tsn: Our initial TSN, which is also the number of our first request.
        peer_tsn: The initial TSN of the remote peer, likewise.
        receiver: Restarts the numbering of streams that the remote peer resets.
        queue: Restarts the numbering of streams whose reset the remote peer performs.
        events: Receives :class:`.StreamsReset` and :class:`.ResetDone`.

    Attributes:
        outgoing: RE-CONFIG chunks to send; the caller removes them.
        deadline: Time of the next :meth:`handle_timeout`.
    """

    def __init__(
        self,
        tsn: int,
        peer_tsn: int,
        *,
        receiver: Receiver,
        queue: SendQueue,
        events: EventQueue,
    ) -> None:
        self._receiver = receiver
        self._send_queue = queue
        self._events = events
        self.outgoing: list[bytes] = []
        self._queue: dict[int, None] = {}
        self._number = tsn
        self._peer_number = peer_tsn - 1
        self._request: tuple[int, list[int], bytes] | None = None
        self._deferred: tuple[int, int, list[int]] | None = None
        self._last_result = Result.NOTHING_TO_DO
        self._failures = 0
        self._is_waiting = False
        self.deadline: float = float("inf")

    def add(self, stream: int) -> None:
        """Reset a stream once its queued messages were sent."""
        if stream not in self._queue and (self._request is None or stream not in self._request[1]):
            self._queue[stream] = None

    @property
    def has_queued(self) -> bool:
        """True if streams are to be reset and no request is pending."""
        return bool(self._queue) and self._request is None

    def request(
        self, last_tsn: int, is_busy: Callable[[int], bool], now: float, rto: float
    ) -> None:
        """Request the reset of the streams that have no queued messages.

        Args:
            last_tsn: The last TSN that was used.
            is_busy: Returns whether a stream has queued messages.
            now: The time.
            rto: The retransmission time-out, in seconds.
        """
        if self._request is not None or not self._queue:
            return
        ready = (stream for stream in self._queue if not is_busy(stream))
        streams = list(islice(ready, MAX_STREAMS))
        if not streams:
            return
        for stream in streams:
            del self._queue[stream]
        number = self._number & 0xFFFFFFFF
        content = _request.pack(number, self._peer_number & 0xFFFFFFFF, last_tsn & 0xFFFFFFFF)
        content += b"".join(map(_stream.pack, streams))
        encoded = _encode(Parameter.OUTGOING_RESET_REQUEST, content)
        self._request = number, streams, encoded
        self._number += 1
        self._failures = 0
        self.outgoing.append(encoded)
        self.deadline = now + rto

    def handle_timeout(self, now: float, rto: float, most: float) -> None:
        """Repeat an unanswered request (RFC 6525 section 5.1.1).

        Args:
            now: The time.
            rto: The retransmission time-out, in seconds.
            most: Its maximum.
        """
        if now < self.deadline:
            return
        if self._request is None:
            self.deadline = float("inf")
            return
        if not self._is_waiting:
            self._failures = min(self._failures + 1, 16)
        self._is_waiting = False
        self.outgoing.append(self._request[2])
        self.deadline = now + min(rto * 2.0**self._failures, most)

    def receive(self, kind: int, content: bytes, now: float, rto: float) -> None:
        """Process a parameter of a RE-CONFIG chunk.

        Args:
            kind: Its type.
            content: Its content.
            now: The time.
            rto: The retransmission time-out, in seconds.

        Raises:
            Malformed: It is truncated.
        """
        try:
            if kind == Parameter.OUTGOING_RESET_REQUEST:
                number, _, last_tsn = _request.unpack_from(content)
                streams = [found for (found,) in _stream.iter_unpack(content[12:])]
                self._take_request(number, last_tsn, streams)
            elif kind == Parameter.RESET_RESPONSE:
                number, result = _response.unpack_from(content)
                self._take_response(number, result, now, rto)
            elif kind == Parameter.ADD_OUTGOING_STREAMS:
                self._answer_at_once(_stream_number(content), Result.PERFORMED)
            elif kind == Parameter.INCOMING_RESET_REQUEST:
                self._answer_at_once(_stream_number(content), Result.DENIED)
        except StructError as error:
            raise Malformed(str(error)) from error

    def _is_next(self, number: int) -> bool:
        """Return whether a request is the next one; answer a repeated one again."""
        if unwrap(number, self._peer_number) == self._peer_number + 1:
            return True
        repeated = unwrap(number, self._peer_number) == self._peer_number
        self._answer(number, self._last_result if repeated else Result.BAD_SEQUENCE_NUMBER)
        return False

    def _answer_at_once(self, number: int, result: Result) -> None:
        if self._is_next(number):
            self._peer_number += 1
            self._answer(number, result)

    def _take_request(self, number: int, last_tsn: int, streams: list[int]) -> None:
        if self._is_next(number):
            self._peer_number += 1
            self._deferred = number, unwrap(last_tsn, self._receiver.cumulative), streams
            self._last_result = Result.IN_PROGRESS
            self.on_data()
            if self._deferred is not None:
                self._answer(number, Result.IN_PROGRESS)

    def on_data(self) -> None:
        """Perform the remote peer's request if all data before it has arrived."""
        if self._deferred is None or self._deferred[1] > self._receiver.cumulative:
            return
        number, _, streams = self._deferred
        self._deferred = None
        self._answer(number, Result.PERFORMED)
        for stream in streams:
            self._receiver.reset(stream)
        if streams:
            self._events.append(StreamsReset(tuple(streams), after=self._receiver.completed))

    def _answer(self, number: int, result: Result) -> None:
        self._last_result = result
        if len(self.outgoing) < MAX_REPLIES:
            self.outgoing.append(_encode(Parameter.RESET_RESPONSE, _response.pack(number, result)))

    def stream_reused(self, stream: int) -> None:
        """Note that the remote peer reuses a stream.

        It may do so only after performing our request, so this replaces its response, which was
        lost or is late.
        """
        if self._request is not None and stream in self._request[1]:
            self._done(performed=True)

    def path_changed(self, now: float) -> None:
        """Repeat an unanswered request at the next :meth:`handle_timeout`."""
        if self._request is not None:
            self._failures = 0
            self.deadline = now

    def _done(self, *, performed: bool) -> None:
        if self._request is None:
            return
        streams = tuple(self._request[1])
        self._request = None
        self.deadline = float("inf")
        if performed:
            for stream in streams:
                self._send_queue.clear(stream)
        self._events.append(ResetDone(streams, performed=performed))

    def _take_response(self, number: int, result: int, now: float, rto: float) -> None:
        if self._request is None or number != self._request[0]:
            return
        if result == Result.IN_PROGRESS:
            # RFC 6525 section 5.2.7 H2: repeat the request; this is no failure.
            self._is_waiting = True
            self.deadline = now + rto
            return
        self._done(performed=result in (Result.NOTHING_TO_DO, Result.PERFORMED))


def _stream_number(content: bytes) -> int:
    return int.from_bytes(content[:4], "big")


def _encode(kind: Parameter, content: bytes) -> bytes:
    return chunk(Kind.RE_CONFIG, 0, encode_parameters([(kind, content)]))
