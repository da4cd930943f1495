"""Allocation of a transport's bandwidth estimate to its outgoing streams. Does no I/O.

Audio is served first: it is small, and a call without picture is still a call. Video shares what is
left by priority (RFC 8835 section 4.1), up to what each stream can use. A layer of a simulcast
would be a stream of its own here. Of what audio leaves data channels get half, or what video cannot
use if that is more; video gets what they cannot use.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

DATAGRAM_OVERHEAD = 38
"""Bytes of a datagram beyond the RTP packet: IPv4 20, UDP 8, SRTP 10."""

PACKET_OVERHEAD = DATAGRAM_OVERHEAD + 12 + 12
"""Bytes of a packet beyond its payload: those, the RTP header and the header extensions."""

AUDIO_PACKETS_PER_SECOND = 50
"""Packets of 20 ms (RFC 7587)."""

AUDIO_OVERHEAD = AUDIO_PACKETS_PER_SECOND * PACKET_OVERHEAD * 8
"""Bits per second that one audio stream takes beyond its payload."""

VIDEO_OVERHEAD = 1.06
"""Bits on the wire divided by bits of payload, for video in packets of about 1,000 bytes."""

AUDIO_SHARE = 0.4
"""Fraction of the estimate that all audio may take before its bit rate is lowered."""

LEAST_VIDEO_SHARE = 0.25
"""Fraction of the estimate that video gets, however little audio leaves. While a queue drains the
estimate may be below what audio needs, and pictures that stand still are worse than a short wait.
"""

AUDIO_BITRATES = (96_000, 64_000, 48_000, 32_000, 24_000, 16_000)
"""Bit rates of Opus in bits per second. Stereo music is transparent at the first; the last is good
for speech (RFC 7587 section 3.1.1)."""

DATA_SHARE = 0.5
"""Fraction of what audio leaves that data channels get beside video that could use all of it."""

PRIORITY_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"very-low": 0.5, "low": 1.0, "medium": 2.0, "high": 4.0}
)
"""Weights of W3C's priorities: each has twice the share of the one below it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Bit rate that one stream can use.

    Attributes:
        kind: ``"audio"`` or ``"video"``.
        maximum: Bits per second of payload that the stream can use at most; 0 if it sends nothing.
        weight: Share relative to other streams; see :data:`PRIORITY_WEIGHTS`.
    """

    kind: str
    maximum: float
    weight: float = 1.0

    @property
    def on_the_wire(self) -> float:
        """Bits per second of :attr:`maximum` with all headers."""
        if self.maximum <= 0:
            return 0.0
        if self.kind == "audio":
            return self.maximum + AUDIO_OVERHEAD
        return self.maximum * VIDEO_OVERHEAD


def allocate(estimate: float, demands: Sequence[Demand], data: float = 0.0) -> list[int]:
    """Divide an estimate among streams.

    Args:
        estimate: Bits per second for everything, with all headers.
        demands: What the streams can use.
        data: Bits per second with all headers that data channels get of it; see :func:`for_data`.

    Returns:
        Bits per second of payload for each stream, in the same order. Audio gets at least the
        lowest of :data:`AUDIO_BITRATES`, or its maximum if that is less, whatever the estimate;
        video at least :data:`LEAST_VIDEO_SHARE`.
    """
    given, left = _serve_audio(estimate, demands)
    pictures = [i for i, d in enumerate(demands) if d.kind != "audio" and d.maximum > 0]
    left = max(left - data, 0.0)
    for index, bits in _fill(left / VIDEO_OVERHEAD, pictures, demands).items():
        given[index] = round(bits)
    return given


def for_data(estimate: float, demands: Sequence[Demand], wanted: float) -> float:
    """Return what data channels get of an estimate.

    Args:
        estimate: Bits per second for everything, with all headers.
        demands: What the streams of media can use.
        wanted: Bits per second that data channels can use, with all headers.
    """
    _, left = _serve_audio(estimate, demands)
    pictures = sum(demand.on_the_wire for demand in demands if demand.kind != "audio")
    return min(wanted, max(left * DATA_SHARE, left - pictures))


def is_lacking(estimate: float, demands: Sequence[Demand]) -> bool:
    """Return whether media gets less than it can use beside data that could use all."""
    given, left = _serve_audio(estimate, demands)
    pictures = sum(demand.on_the_wire for demand in demands if demand.kind != "audio")
    sounds = (d.maximum - given[i] for i, d in enumerate(demands) if d.kind == "audio")
    return pictures > left * (1 - DATA_SHARE) or any(missing >= 1 for missing in sounds)


def _serve_audio(estimate: float, demands: Sequence[Demand]) -> tuple[list[int], float]:
    """Return bits per second for each stream, that of audio alone, and what is left of all."""
    given = [0] * len(demands)
    sounds = [i for i, d in enumerate(demands) if d.kind == "audio" and d.maximum > 0]
    left = estimate
    for index in sounds:
        share = estimate * AUDIO_SHARE / len(sounds) - AUDIO_OVERHEAD
        fitting = next((rate for rate in AUDIO_BITRATES if rate <= share), AUDIO_BITRATES[-1])
        given[index] = round(min(fitting, demands[index].maximum))
        left -= given[index] + AUDIO_OVERHEAD
    return given, max(left, estimate * LEAST_VIDEO_SHARE)


def _fill(total: float, indexes: list[int], demands: Sequence[Demand]) -> dict[int, float]:
    """Divide by weight; what a stream cannot use goes to the others."""
    given: dict[int, float] = {}
    waiting = sorted(indexes, key=lambda i: demands[i].maximum / demands[i].weight)
    weights = sum(demands[index].weight for index in waiting)
    for index in waiting:
        demand = demands[index]
        given[index] = min(demand.maximum, total * demand.weight / weights)
        total -= given[index]
        weights -= demand.weight
    return given
