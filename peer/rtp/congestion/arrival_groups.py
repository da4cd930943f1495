"""Groups of packets that were sent together, and the delays between them.

A pacer sends a few packets at once, and a path may hand them on in bursts. Delays are therefore
compared between groups instead of packets (draft-ietf-rmcat-gcc-02 section 5.1 and 5.2).
"""

from typing import NamedTuple

from .packets import SentPacket

_SENT_TOGETHER = 0.005
"""Seconds within which packets were sent that form a group."""

_ARRIVED_TOGETHER = 0.005
"""Seconds between arrivals, up to which a packet that caught up joins the group."""

_GROUP_TIME = 0.1
"""Seconds of arrivals after which no packet joins because it caught up."""


class GroupDelta(NamedTuple):
    """Difference between two successive groups.

    Attributes:
        sent: Seconds between the last packets when they were sent.
        arrived: Seconds between their arrivals.
        arrived_at: Arrival of the later group.
    """

    sent: float
    arrived: float
    arrived_at: float


class ArrivalGroups:
    """Forms groups of received packets, which come in the order of their arrival."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all groups, such as after a step of the receiver's clock."""
        self._first_sent: float | None = None
        self._last_sent = self._first_arrived = self._last_arrived = 0.0
        self._previous: tuple[float, float] | None = None

    def add(self, packet: SentPacket, received_at: float) -> GroupDelta | None:
        """Add a packet; return the difference of two groups if it completes the second one."""
        sent = packet.sent_at
        if self._first_sent is None:
            self._begin(sent, received_at)
            return None
        if sent < self._first_sent:
            return None  # reordered: its group is complete
        if self._belongs(sent, received_at):
            self._last_sent = max(self._last_sent, sent)
            self._last_arrived = max(self._last_arrived, received_at)
            return None
        delta = None
        if self._previous is not None:
            before_sent, before_arrived = self._previous
            delta = GroupDelta(
                self._last_sent - before_sent,
                self._last_arrived - before_arrived,
                self._last_arrived,
            )
        self._previous = self._last_sent, self._last_arrived
        self._begin(sent, received_at)
        return delta

    def _begin(self, sent: float, received_at: float) -> None:
        self._first_sent = self._last_sent = sent
        self._first_arrived = self._last_arrived = received_at

    def _belongs(self, sent: float, received_at: float) -> bool:
        assert self._first_sent is not None
        if sent - self._first_sent <= _SENT_TOGETHER:
            return True
        gap = received_at - self._last_arrived
        caught_up = gap < sent - self._last_sent
        return (
            caught_up
            and gap <= _ARRIVED_TOGETHER
            and received_at - self._first_arrived < _GROUP_TIME
        )
