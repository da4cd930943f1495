"""Metrics of the signaling server, in the Prometheus text format (version 0.0.4). No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from .rooms import Rooms

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metric:
    """A counter or gauge and its value.

    Attributes:
        name: The name; that of a counter ends in ``_total``.
        kind: The type of the metric.
        help: The description, in one line.
        value: The value, if the metric has no label.
        label: The name of the label.
        values: The values by label value.
    """

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    value: int | None = None
    label: str = ""
    values: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """Return the lines of this metric."""
        head = [f"# HELP {self.name} {self.help}", f"# TYPE {self.name} {self.kind}"]
        if self.value is not None:
            return [*head, f"{self.name} {self.value}"]
        return [
            *head,
            *(
                f'{self.name}{{{self.label}="{_escape(label)}"}} {value}'
                for label, value in sorted(self.values.items())
            ),
        ]


def server_metrics(
    rooms: Rooms,
    *,
    connections: int,
    connections_total: int,
    stalled: int,
    refused_sockets: int,
    ice_access: Mapping[str, int],
) -> list[Metric]:
    """Return the metrics of a server.

    Args:
        rooms: Its rooms.
        connections: WebSockets that are open.
        connections_total: WebSockets opened since the start.
        stalled: Connections cut off because the client did not read.
        refused_sockets: TCP connections refused because their address had reached its limit.
        ice_access: Participants that were given ICE servers with credentials, by outcome.
    """
    prefix = "icefloe_signaling_"
    return [
        Metric(f"{prefix}connections", "gauge", "Open WebSockets.", connections),
        Metric(f"{prefix}connections_total", "counter", "WebSockets so far.", connections_total),
        Metric(f"{prefix}rooms", "gauge", "Rooms.", rooms.rooms),
        Metric(f"{prefix}seats", "gauge", "Participants.", rooms.seats),
        Metric(f"{prefix}seats_away", "gauge", "Participants away.", rooms.away),
        Metric(
            f"{prefix}stalled_total",
            "counter",
            "Connections cut off because the client did not read.",
            stalled,
        ),
        Metric(
            f"{prefix}kept_bytes",
            "gauge",
            "Bytes of messages kept for participants that are away or whose socket may break.",
            rooms.kept_bytes,
        ),
        Metric(
            f"{prefix}address_refused_total",
            "counter",
            "Refusals because a client address has reached a limit.",
            label="what",
            values={"sockets": refused_sockets, **rooms.refused_by_address},
        ),
        Metric(
            f"{prefix}messages_total",
            "counter",
            "Messages forwarded from peer to peer.",
            label="type",
            values=rooms.routed,
        ),
        Metric(
            f"{prefix}errors_total",
            "counter",
            "Errors sent to clients.",
            label="code",
            values=rooms.refused,
        ),
        Metric(
            f"{prefix}ice_access_total",
            "counter",
            "ICE servers with credentials that expire, for a participant, by outcome.",
            label="outcome",
            values=ice_access,
        ),
    ]


def webhook_metrics(outcomes: Mapping[str, int], waiting: int) -> list[Metric]:
    """Return the metrics of webhooks.

    Args:
        outcomes: Events for the webhooks, by outcome.
        waiting: Events that wait for delivery.
    """
    prefix = "icefloe_signaling_webhooks"
    total = "Events for webhooks, by outcome."
    return [
        Metric(f"{prefix}_total", "counter", total, label="outcome", values=outcomes),
        Metric(f"{prefix}_waiting", "gauge", "Events that wait for delivery.", waiting),
    ]


def render(metrics: list[Metric]) -> str:
    """Return the body of ``/metrics``."""
    return "\n".join(line for metric in metrics for line in metric.lines()) + "\n"


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
