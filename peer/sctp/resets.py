"""Stream resets: how a data channel closes (RFC 6525, RFC 8831 section 6.7).

A request says up to which TSN the streams' data goes, and is carried out once that has arrived. One
request is under way at a time.
"""

from collections.abc import Callable
from enum import IntEnum
from itertools import islice
from struct import Struct, error as StructError

from .packet import Kind, Malformed, Parameter, chunk, encode_parameters, unwrap

MAX_STREAMS = 128
"""Streams in one request, so that it fits a packet."""

MAX_REPLIES = 64
"""Answers that wait for the next flush; the other side asks again where there was none."""

_request = Struct("!LLL")
_response = Struct("!LL")
_stream = Struct("!H")


class Result(IntEnum):
    """What became of a request (RFC 6525 section 4.4)."""

    NOTHING_TO_DO = 0
    PERFORMED = 1
    DENIED = 2
    BAD_SEQUENCE_NUMBER = 5
    IN_PROGRESS = 6


class Resets:
    """Requests of both sides.

    Args:
        tsn: This side's first TSN, with which its requests are numbered.
        peer_tsn: The other side's.

    Attributes:
        outgoing: RE-CONFIG chunks that are to be sent; whoever drives this takes them.
        reset_here: Streams that the other side has reset, since last taken.
        reset_there: Streams whose reset from here it has carried out, since last taken.
        refused: Streams whose reset from here it has refused, since last taken.
    """

    def __init__(self, tsn: int, peer_tsn: int) -> None:
        self.outgoing: list[bytes] = []
        self.reset_here: list[int] = []
        self.reset_there: list[int] = []
        self.refused: list[int] = []
        self._queue: dict[int, None] = {}
        self._number = tsn
        self._peer_number = peer_tsn - 1
        self._request: tuple[int, list[int], bytes] | None = None
        self._deferred: tuple[int, int, list[int]] | None = None
        self._last_result = Result.NOTHING_TO_DO
        self._failures = 0
        self._is_waiting = False
        self.deadline = float("inf")

    def want(self, stream: int) -> None:
        """Have a stream reset once its messages are out."""
        if stream not in self._queue and (self._request is None or stream not in self._request[1]):
            self._queue[stream] = None

    @property
    def wanted(self) -> bool:
        """Whether streams are to be reset that were not asked for yet, and can be now."""
        return bool(self._queue) and self._request is None

    def request(
        self, last_tsn: int, is_busy: Callable[[int], bool], now: float, rto: float
    ) -> None:
        """Ask for the reset of the streams of which nothing waits to be sent any more."""
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

    def tick(self, now: float, rto: float, most: float) -> None:
        """Ask again if there was no answer (RFC 6525 section 5.1.1)."""
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

    def receive(self, kind: int, content: bytes, cumulative: int, now: float, rto: float) -> None:
        """Take a parameter of a RE-CONFIG chunk.

        Args:
            kind: Its type.
            content: Its content.
            cumulative: The TSN, counted on, up to which all has arrived here.
            now: The time.
            rto: The retransmission time-out, in seconds.

        Raises:
            Malformed: It is cut off.
        """
        try:
            if kind == Parameter.OUTGOING_RESET_REQUEST:
                number, _, last_tsn = _request.unpack_from(content)
                streams = [found for (found,) in _stream.iter_unpack(content[12:])]
                self._take_request(number, last_tsn, streams, cumulative)
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
        """Whether a request is the one that is next; answers one that was carried out again."""
        if unwrap(number, self._peer_number) == self._peer_number + 1:
            return True
        repeated = unwrap(number, self._peer_number) == self._peer_number
        self._answer(number, self._last_result if repeated else Result.BAD_SEQUENCE_NUMBER)
        return False

    def _answer_at_once(self, number: int, result: Result) -> None:
        if self._is_next(number):
            self._peer_number += 1
            self._answer(number, result)

    def _take_request(
        self, number: int, last_tsn: int, streams: list[int], cumulative: int
    ) -> None:
        if self._is_next(number):
            self._peer_number += 1
            self._deferred = number, unwrap(last_tsn, cumulative), streams
            self._last_result = Result.IN_PROGRESS
            if not self.arrived(cumulative):
                self._answer(number, Result.IN_PROGRESS)

    def arrived(self, cumulative: int) -> bool:
        """Carry out the other side's request, if all that it waits for has arrived."""
        if self._deferred is None or self._deferred[1] > cumulative:
            return False
        number, _, streams = self._deferred
        self._deferred = None
        self.reset_here += streams
        self._answer(number, Result.PERFORMED)
        return True

    def _answer(self, number: int, result: Result) -> None:
        self._last_result = result
        if len(self.outgoing) < MAX_REPLIES:
            self.outgoing.append(_encode(Parameter.RESET_RESPONSE, _response.pack(number, result)))

    def used_anew(self, stream: int) -> None:
        """Note that the other side begins a stream again, whose reset was asked for here.

        It may do that only once it has carried out the request, with all its streams, so that
        this says what its answer does, which was lost or is late.
        """
        if self._request is not None and stream in self._request[1]:
            self._done(performed=True)

    def path_changed(self, now: float) -> None:
        """Ask again at once, if there was no answer."""
        if self._request is not None:
            self._failures = 0
            self.deadline = now

    def _done(self, *, performed: bool) -> None:
        if self._request is not None:
            (self.reset_there if performed else self.refused).extend(self._request[1])
            self._request = None
            self.deadline = float("inf")

    def _take_response(self, number: int, result: int, now: float, rto: float) -> None:
        if self._request is None or number != self._request[0]:
            return
        if result == Result.IN_PROGRESS:
            # RFC 6525 section 5.2.7 H2: it is asked for again, which is no failure.
            self._is_waiting = True
            self.deadline = now + rto
            return
        self._done(performed=result in (Result.NOTHING_TO_DO, Result.PERFORMED))


def _stream_number(content: bytes) -> int:
    return int.from_bytes(content[:4], "big")


def _encode(kind: Parameter, content: bytes) -> bytes:
    return chunk(Kind.RE_CONFIG, 0, encode_parameters([(kind, content)]))
