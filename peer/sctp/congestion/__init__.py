"""Congestion control as a strategy: how much may be on its way, and how fast it goes out.

A :class:`Controller` is told what was sent and what became of it, and answers with two numbers. It
does no I/O and knows no clock; sizes are bytes of user data, times are seconds.
"""

from typing import Protocol


class Ack:
    """What one SACK said, for a controller.

    Attributes:
        now: When it came.
        acked: Bytes that it acknowledged for the first time.
        lost: Bytes that are taken as lost because of it.
        flight: Bytes that are still on their way.
        prior_flight: Bytes that were on their way before it.
        rtt: Round trip of the latest chunk acknowledged; ``None`` if that can't be told.
        delivered: Bytes acknowledged since the association began.
        prior_delivered: What that was when the latest chunk acknowledged was sent.
        rate: Bytes a second at which they arrived meanwhile; ``None`` if that can't be told.
        app_limited: Whether there was too little to send for the rate to mean anything.
        in_recovery: Whether what was lost belongs to a loss that was reacted to before
            (RFC 9260 section 7.2.4: once a window).
    """

    __slots__ = (
        "acked",
        "app_limited",
        "delivered",
        "flight",
        "in_recovery",
        "lost",
        "now",
        "prior_delivered",
        "prior_flight",
        "rate",
        "rtt",
    )

    def __init__(self, now: float, prior_flight: int) -> None:
        self.now = now
        self.prior_flight = prior_flight
        self.acked = self.lost = self.flight = 0
        self.delivered = self.prior_delivered = 0
        self.rtt: float | None = None
        self.rate: float | None = None
        self.app_limited = False
        self.in_recovery = False


class Controller(Protocol):
    """Decides how much may be on its way; one that is made anew knows nothing of the path.

    Args:
        segment: The user data that fits a packet, in bytes.

    Attributes:
        window: Bytes that may be on their way.
        pacing_rate: Bytes a second at which they go out; infinite is without pacing.
    """

    window: int
    pacing_rate: float

    def __init__(self, segment: int) -> None: ...

    def set_segment(self, size: int) -> None:
        """Note the user data that fits a packet, in bytes."""

    def acknowledged(self, ack: Ack) -> None:
        """Learn from a SACK."""

    def timed_out(self, now: float) -> None:
        """React to a retransmission time-out (RFC 9260 section 7.2.3)."""

    def idle(self, now: float, flight: int) -> None:
        """Note that sending begins again after a pause."""
