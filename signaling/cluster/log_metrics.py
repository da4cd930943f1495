"""Metrics of a log in Redis. No I/O."""

from dataclasses import dataclass

from ..command_log import LogMetric


@dataclass(slots=True)
class LogCounts:
    """Counters of a log.

    Attributes:
        outages: Times that Redis was away.
        entries: Entries read.
        restores: Times that the state of another node was taken over.
        snapshots: Snapshots written.
        cut_off: Connections closed because too many commands waited.
    """

    outages: int = 0
    entries: int = 0
    restores: int = 0
    snapshots: int = 0
    cut_off: int = 0


def log_metrics(counts: LogCounts, *, is_up: bool, nodes: int, pending: int) -> list[LogMetric]:
    """Return the metrics.

    Args:
        counts: The counters.
        is_up: Whether Redis answers, and the other nodes know of this one.
        nodes: Nodes that are alive.
        pending: Commands that are not applied.
    """
    gauges = (
        ("up", "Whether Redis answers and the other servers know of this one.", int(is_up)),
        ("nodes", "Servers that are alive.", nodes),
        ("pending", "Commands that are not applied yet.", pending),
    )
    counters = (
        ("outages", "Times that Redis was away.", counts.outages),
        ("entries", "Entries of the log read.", counts.entries),
        ("restores", "Times that this server took over another's state.", counts.restores),
        ("snapshots", "Snapshots written.", counts.snapshots),
        ("cut_off", "Connections closed as too much waited for Redis.", counts.cut_off),
    )
    return [
        *(LogMetric(f"redis_{name}", help, value) for name, help, value in gauges),
        *(LogMetric(f"redis_{name}", help, value, counts=True) for name, help, value in counters),
    ]
