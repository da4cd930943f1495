"""Congestion control interface: the congestion window and the pacing rate.

A :class:`Controller` is informed about transmissions and SACKs. It does no I/O and has no clock;
sizes are bytes of user data, times are seconds.
"""

from typing import Protocol


class Ack:
    """The effect of one SACK.

    Attributes:
        now: Time of its arrival.
        acked: Bytes newly acknowledged.
        lost: Bytes newly marked as lost.
        flight: Bytes in flight after it.
        prior_flight: Bytes in flight before it.
        rtt: Round-trip time of the latest acknowledged chunk; ``None`` if unknown.
        delivered: Bytes acknowledged since the association began.
        prior_delivered: The value of ``delivered`` when the latest acknowledged chunk was sent.
        rate: Delivery rate in bytes per second; ``None`` if unknown.
        app_limited: Whether there was too little data to send for a meaningful rate.
        in_recovery: Whether the loss belongs to a window for which the controller has already
            reacted (RFC 9260 section 7.2.4).
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
        self.now: float = now
        self.prior_flight: int = prior_flight
        self.acked: int = 0
        self.lost: int = 0
        self.flight: int = 0
        self.delivered: int = 0
        self.prior_delivered: int = 0
        self.rtt: float | None = None
        self.rate: float | None = None
        self.app_limited: bool = False
        self.in_recovery: bool = False


class Controller(Protocol):
    """Congestion controller of one network path; a new one knows nothing about the path.

    Args:
        segment: Bytes of user data per packet.

    Attributes:
        window: Maximum bytes in flight.
        pacing_rate: Bytes per second; infinity disables pacing.
    """

    window: int
    pacing_rate: float

    def __init__(self, segment: int) -> None: ...

    def set_segment(self, size: int) -> None:
        """Set the bytes of user data per packet."""

    def acknowledged(self, ack: Ack) -> None:
        """Process a SACK."""

    def timed_out(self, now: float) -> None:
        """Process a retransmission time-out (RFC 9260 section 7.2.3)."""

    def idle(self, now: float, flight: int) -> None:
        """Note that sending resumes after a pause."""
