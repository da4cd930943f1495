"""Metrics of the signaling server, in the Prometheus text format (version 0.0.4).

The server counts in plain numbers. They become metrics when they are read, so that counting costs
nothing, and several servers of one process have nothing in common.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from icefloe._server_limits import SERVER_LIMITS

from .command_log import LogMetric
from .configuration import ServerConfiguration
from .histogram import Histogram
from .rooms import Rooms

_PREFIX = "icefloe_signaling_"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The numbers of a server at one moment.

    Attributes:
        configuration: Its settings.
        rooms: Its rooms.
        connections: WebSockets that are open.
        connections_total: WebSockets opened since the start.
        stalled: Connections cut off because the client did not read.
        received: Messages from clients, by type.
        ice_access: Participants that were given ICE servers with credentials, by outcome.
        loop_delay: The delay of the event loop, in seconds.
        is_draining: Whether the server sends its clients away.
        refused_sockets: TCP connections refused because their address had reached its limit.
        most_sockets: TCP connections of the address that has most of them.
        queued_bytes: Bytes that wait in sockets, by queue.
        queued_messages: Messages that wait, by queue.
        log: Numbers of the log that several servers share.
        webhooks: Events for webhooks, by outcome.
        webhooks_waiting: Events that wait for delivery.
    """

    configuration: ServerConfiguration
    rooms: Rooms
    connections: int
    connections_total: int
    stalled: int
    received: Mapping[str, int]
    ice_access: Mapping[str, int]
    loop_delay: Histogram
    is_draining: bool = False
    refused_sockets: int = 0
    most_sockets: int = 0
    queued_bytes: Mapping[str, int] = field(default_factory=dict)
    queued_messages: Mapping[str, int] = field(default_factory=dict)
    log: Sequence[LogMetric] = ()
    webhooks: Mapping[str, int] = field(default_factory=dict)
    webhooks_waiting: int = 0


class ServerMetrics(Collector):
    """The metrics of one server, and of its process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        self._state: ServerState | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of the server, for the registry."""
        if self._state is not None:
            yield from _metrics(self._state)

    def render(self, state: ServerState) -> bytes:
        """Return the body of ``/metrics``.

        Args:
            state: The numbers of the server now.
        """
        self._state = state
        try:
            return generate_latest(self._registry)
        finally:
            self._state = None


def _metrics(state: ServerState) -> Iterator[Metric]:
    rooms, reports = state.rooms, state.rooms.reports
    yield _gauge("connections", "Open WebSockets.", state.connections)
    yield _counter("connections", "WebSockets so far.", state.connections_total)
    yield _gauge("rooms", "Rooms.", rooms.rooms)
    yield _gauge("seats", "Participants.", rooms.seats)
    yield _gauge("seats_away", "Participants away.", rooms.away)
    yield _gauge("draining", "1 while clients are sent away, before the end.", state.is_draining)
    limits = {limit.name: limit.value_in(state.configuration) for limit in SERVER_LIMITS}
    yield _gauges("limit", "Limits; infinite for none.", "name", limits)
    yield _gauge("largest_room", "Participants of the room that has most.", rooms.largest_room)
    most = {"sockets": state.most_sockets, **rooms.most_of_address}
    yield _gauges("largest_address", "What the address has that has most of it.", "what", most)
    yield _counters("joins", "Joins with a new seat, by outcome.", "outcome", rooms.joins)
    yield _counters("resumes", "Joins that resume a seat, by outcome.", "outcome", rooms.resumes)
    yield _counters("received", "Messages from clients.", "type", state.received)
    yield _counters("messages", "Messages forwarded from peer to peer.", "type", rooms.routed)
    yield _counters("errors", "Errors sent to clients.", "code", rooms.refused)
    refused = {"sockets": state.refused_sockets, **rooms.refused_by_address}
    why = "Refusals because a client address has reached a limit."
    yield _counters("address_refused", why, "what", refused)
    why = "Connections cut off because the client did not read."
    yield _counter("stalled", why, state.stalled)
    why = "ICE servers with credentials that expire, for a participant, by outcome."
    yield _counters("ice_access", why, "outcome", state.ice_access)
    why = "Bytes of messages kept for participants that are away or whose socket may break."
    yield _gauge("kept_bytes", why, rooms.kept_bytes)
    queued = {"kept": rooms.kept_bytes, **state.queued_bytes}
    yield _gauges("queue_bytes", "Bytes that wait.", "queue", queued)
    yield _gauges("queue_messages", "Messages that wait.", "queue", state.queued_messages)
    why = "Delay of a timer of the event loop, measured once a second."
    yield _histograms("loop_delay_seconds", why, "", {"": state.loop_delay})
    why = "Seconds that connecting with a peer took, as clients report it."
    yield _histograms("client_connect_seconds", why, "phase", reports.seconds)
    why = "Connections that clients report as failed."
    yield _counters("client_failures", why, "phase", reports.failures)
    why = "Connections that clients report as working, by the kind of their path."
    yield _counters("client_paths", why, "type", reports.paths)
    why = "Reports that were ignored, since a client made too many."
    yield _counter("client_reports_ignored", why, reports.ignored)
    why = "Events for webhooks, by outcome."
    yield _counters("webhooks", why, "outcome", state.webhooks)
    yield _gauge("webhooks_waiting", "Events that wait for delivery.", state.webhooks_waiting)
    for each in state.log:
        yield (_counter if each.counts else _gauge)(each.name, each.help, each.value)


def _gauge(name: str, help: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, help, value)


def _counter(name: str, help: str, value: float) -> Metric:
    return CounterMetricFamily(_PREFIX + name, help, value)


def _gauges(name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(_PREFIX + name, help, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _counters(name: str, help: str, label: str, values: Mapping[str, float]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, help, labels=[label])
    for key, value in sorted(values.items()):
        family.add_metric([key], value)
    return family


def _histograms(name: str, help: str, label: str, values: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(_PREFIX + name, help, labels=[label] if label else [])
    for key, histogram in values.items():
        family.add_metric([key] if label else [], histogram.cumulative, histogram.total)
    return family
