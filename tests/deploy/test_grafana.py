"""The Grafana dashboard asks for nothing but what the server exports."""

import asyncio
import json
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

from icefloe.signaling import serve
from tests.documents.blocks import ROOT

DASHBOARD = ROOT / "deploy" / "grafana-dashboard.json"

NOT_EXPORTED_YET = {
    "icefloe_signaling_joins_total",
    "icefloe_signaling_resumes_total",
    "icefloe_signaling_received_total",
    "icefloe_signaling_queue_bytes",
    "icefloe_signaling_client_connect_seconds",
    "icefloe_signaling_client_failures_total",
    "icefloe_signaling_client_paths_total",
}
"""Metrics that the dashboard has before the server; what it exports goes from this list."""

LABELS = {"queue", "type", "code", "outcome", "what", "phase", "le", "instance"}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[str]:
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"]


def asked() -> set[str]:
    """Return the names of all metrics in the queries; a histogram by its name alone."""
    names = {name for query in queries() for name in re.findall(r"icefloe_\w+", query)}
    return {re.sub(r"(?<=_seconds)_(bucket|sum|count)$", "", name) for name in names}


async def exported() -> dict[str, str]:
    """Return the metrics of a server, with their types."""
    async with serve(port=0) as server:
        url = f"{server.page_url}metrics"
        text = await asyncio.to_thread(lambda: urllib.request.urlopen(url).read().decode())
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


async def test_every_query_names_a_metric_that_the_server_exports() -> None:
    assert asked() - set(await exported()) == NOT_EXPORTED_YET


async def test_counters_are_asked_for_their_rate_and_gauges_are_not() -> None:
    types = await exported()
    for query in queries():
        for name, rest in re.findall(r"(rate\()?(icefloe_\w+)", query):
            kind = types.get(rest, "counter" if rest.endswith(("_total", "_bucket")) else "gauge")
            assert bool(name) == (kind != "gauge"), query


def test_queries_are_whole_and_name_known_labels() -> None:
    for query in queries():
        for opening, closing in ("()", "{}", "[]"):
            assert query.count(opening) == query.count(closing), query
        grouped = re.findall(r"(?:by|ignoring) \(([^)]*)\)", query)
        assert {label for group in grouped for label in group.split(", ")} <= LABELS, query
    for panel in panels():
        for target in panel["targets"]:
            assert '{instance=~"$instance"}' in target["expr"]
            shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            assert all(re.search(rf"by \([^)]*\b{label}\b", target["expr"]) for label in shown)


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + column, place["y"] + line)
            for column in range(place["w"])
            for line in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels():
        assert panel["description"].endswith(".")
        assert panel["datasource"]["uid"] == "${datasource}"
