"""Feedback about packets, and REMB, into a bandwidth estimator."""

import math
from collections.abc import Sequence
from struct import iter_unpack, pack, unpack_from

from icefloe.peer.rtp.congestion.estimator import BandwidthEstimator, PacketResult
from tests.fuzz.target import Target, join, split, stateless

_PACKETS = 20
"""Packets that are sent before each feedback."""

_RESULT = ">Hd"
"""Number of a packet, and its arrival; one that is no number stands for a lost packet."""


def _take(data: bytes) -> None:
    estimator = BandwidthEstimator(0.0)
    now = 0.0
    sent = 1
    for part in split(data):
        for _ in range(_PACKETS):
            sent = estimator.on_sent(1200, now).number + 1
            now += 0.005
        for cluster in estimator.take_probes(now):
            for _ in range(cluster.min_packets):
                sent = estimator.on_sent(1200, now, cluster.id).number + 1
                now += 9600 / cluster.bitrate
        if part[:1] == b"\0":
            results = part[1 : 1 + (len(part) - 1) // 10 * 10]
            estimator.on_feedback(
                [
                    PacketResult(number % sent, None if math.isnan(at) else at)
                    for number, at in iter_unpack(_RESULT, results)
                ],
                now,
            )
        elif len(part) >= 9:
            (value,) = unpack_from(">d", part, 1)
            estimator.on_remb(value, now)
        if estimator.deadline <= now:
            estimator.handle_timeout(now)
        assert 30_000 <= estimator.target_bitrate <= 20_000_000
        assert math.isfinite(estimator.queue_delay)
        assert 0 <= estimator.loss <= 1
        assert estimator.congestion_window > 0 <= estimator.bytes_in_flight


def _feedback(first: int, delay: float) -> bytes:
    results = (pack(_RESULT, n, 700 + n * 0.005 + delay) for n in range(first, first + _PACKETS))
    return b"\0" + b"".join(results)


def seeds() -> Sequence[bytes]:
    """Return feedback of a path that is free, that is full, and that loses packets."""
    free = [_feedback(n * _PACKETS, 0.05) for n in range(30)]
    full = [_feedback(n * _PACKETS, 0.05 + n * 0.02) for n in range(30)]
    lossy = [
        b"\0" + b"".join(pack(_RESULT, n, math.nan if n % 3 else 5 + n * 0.005) for n in range(600))
    ] * 4
    others = [b"\1" + pack(">d", 1e6), b"\2" + pack(">d", 0.3), _feedback(0, 1e9)]
    return [join(free), join(full), join(lossy), join(others)]


TARGET = Target(
    name="bandwidth-estimator",
    seeds=seeds,
    tokens=(pack(">d", math.inf), pack(">d", math.nan), pack(">d", 1e300), pack(">d", -1.0)),
    documented=(),
    start=lambda: stateless(_take),
)
