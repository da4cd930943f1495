"""Reads transport-wide feedback by the packets that were sent. Does no I/O.

Whatever the feedback says, the cost of reading it is bounded by its size and by what was sent.
"""

from ..serial_numbers import Unwrapper
from .packets import PacketResult
from .sent_history import SentHistory
from .transport_feedback import REFERENCE_TICKS, TICKS_PER_SECOND, TransportFeedback


class TransportFeedbackReader:
    """Reader of the transport-wide feedback of one peer.

    Args:
        history: What was sent; it is only looked at.
    """

    def __init__(self, history: SentHistory) -> None:
        self._history = history
        self._reference = Unwrapper(24)

    def read(self, feedback: TransportFeedback) -> list[PacketResult]:
        """Return a result for each packet that feedback tells about, in the order of the numbers.

        A packet in flight that it covers without having received it is lost once a later one was
        received.

        Args:
            feedback: What the other side has sent, parsed. It may be a repetition or forged.
        """
        latest = self._history.latest
        # The latest packet with that number: no later one has been sent.
        first = latest - ((latest - feedback.base) & 0xFFFF)
        reference = self._reference.unwrap(feedback.reference_time)
        reached = reference * REFERENCE_TICKS / TICKS_PER_SECOND
        received = {
            first + offset: reached + arrival
            for offset, arrival in feedback.received
            if first + offset <= latest
        }
        self._history.unknown += len(feedback.received) - len(received)
        results = [PacketResult(number, at) for number, at in received.items()]
        last = max((number for number in received if number in self._history), default=None)
        if last is not None:
            results += [
                PacketResult(number, None)
                for number in self._history.in_flight_before(last)
                if number >= first and number not in received
            ]
            results.sort(key=_number)
        return results


def _number(result: PacketResult) -> int:
    return result.number
