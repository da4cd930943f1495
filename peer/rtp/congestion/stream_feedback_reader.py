"""Reads feedback of RFC 8888 by the packets that were sent. Does no I/O.

Whatever the feedback says, the cost of reading it is bounded by its size and by what was sent.
"""

from ..serial_numbers import Unwrapper
from .ccfb import CongestionFeedback, StreamReport
from .packets import PacketResult
from .sent_history import MAX_PACKETS

_NTP_SECOND = 1 << 16
"""Units of a second in the middle 32 bits of an NTP timestamp."""


class StreamFeedbackReader:
    """Reader of the feedback of one peer, which tells packets by SSRC and RTP sequence number."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, int], int] = {}
        """Number in the history by SSRC and sequence number, the oldest first."""
        self._timestamp = Unwrapper(32)

    def on_sent(self, packet: bytes, number: int) -> None:
        """Note the number of an RTP packet in the history."""
        key = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big")
        numbers = self._numbers
        numbers.pop(key, None)
        numbers[key] = number
        if len(numbers) > MAX_PACKETS:
            del numbers[next(iter(numbers))]

    def read(self, feedback: CongestionFeedback) -> list[PacketResult]:
        """Return a result for each packet that feedback tells about, in the order of the numbers.

        A packet that did not arrive is lost once a later one of its stream has. Of one whose time
        of arrival is not told nothing is returned.

        Args:
            feedback: What the other side has sent, parsed. It may be a repetition or forged.
        """
        told_at = self._timestamp.unwrap(feedback.timestamp) / _NTP_SECOND
        results = [each for stream in feedback.streams for each in self._read(stream, told_at)]
        results.sort(key=_number)
        return results

    def _read(self, stream: StreamReport, told_at: float) -> list[PacketResult]:
        results: list[PacketResult] = []
        end = 0
        for index, arrival in enumerate(stream.arrivals):
            number = self._numbers.get((stream.ssrc, stream.begin + index & 0xFFFF))
            if arrival is not None:
                end = len(results)
            if number is None:
                continue
            if arrival is None:
                results.append(PacketResult(number, None))
            elif arrival.age is not None:
                results.append(PacketResult(number, told_at - arrival.age))
                end = len(results)
        return results[:end]


def _number(result: PacketResult) -> int:
    return result.number
