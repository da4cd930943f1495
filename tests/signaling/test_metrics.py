"""A scrape of ``/metrics`` of a server after joins, failures, hostile input and reports."""

import asyncio
import re
from contextlib import AsyncExitStack
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.datastructures import Headers

from icefloe._server_limits import SERVER_LIMITS
from icefloe.peer import join
from icefloe.signaling import (
    AddressLimits,
    ErrorCode,
    Limits,
    MetricsAccess,
    Report,
    ReportPath,
    ReportPhase,
    ServerConfiguration,
    SignalingClosed,
    SignalingServer,
    connect,
    serve,
)
from icefloe.signaling.client_reports import MOST_REPORTS
from icefloe.signaling.histogram import Histogram
from icefloe.signaling.http import Site
from icefloe.signaling.metrics_access import MetricsGuard

PREFIX = "icefloe_signaling_"
Samples = dict[tuple[str, str], float]


async def get(server: SignalingServer, path: str, *headers: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
        writer.write("\r\n".join(lines).encode())
        answer = (await reader.read()).decode()
        return int(answer.split(" ")[1]), answer.partition("\r\n\r\n")[2]
    finally:
        writer.close()
        await writer.wait_closed()


async def scrape(server: SignalingServer) -> Samples:
    """Return the samples by the name without the prefix, and the value of the one label."""
    status, body = await get(server, "/metrics")
    assert status == 200
    found: Samples = {}
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            labels = {key: value for key, value in sample.labels.items() if key != "le"}
            assert len(labels) <= 1, sample
            if "le" not in sample.labels:
                name = sample.name.removeprefix(PREFIX)
                found[name, next(iter(labels.values()), "")] = sample.value
    return found


async def test_a_scrape_is_what_prometheus_reads(server: SignalingServer, open_raw: Any) -> None:
    alice, bob = await open_raw(), await open_raw()
    to = (await alice.join("alice"))["id"]
    secret = (await bob.join("bob"))["resume"]
    await bob.say({"type": "bye", "to": to})
    await bob.say("nonsense")
    await bob.hear_until("error")
    again, other = await open_raw(), await open_raw()
    await again.join("bob", resume=secret)
    await other.say({"type": "join", "version": 1, "room": "lobby", "name": "alice"})
    assert (await other.hear())["code"] == "name-taken"
    found = await scrape(server)
    for name, label, value in (
        ("connections_total", "", 4),
        ("rooms", "", 1),
        ("seats", "", 2),
        ("largest_room", "", 2),
        ("largest_address", "seats", 2),
        ("joins_total", "joined", 2),
        ("joins_total", "name-taken", 1),
        ("resumes_total", "resumed", 1),
        ("received_total", "join", 4),
        ("received_total", "bye", 1),
        ("received_total", "invalid", 1),
        ("messages_total", "bye", 1),
        ("errors_total", "bad-message", 1),
        ("address_refused_total", "sockets", 0),
        ("queue_messages", "unhandled", 0),
        ("queue_bytes", "write", 0),
        ("draining", "", 0),
    ):
        assert found[name, label] == value, name
    assert found["queue_bytes", "kept"] > 0
    assert ("loop_delay_seconds_count", "") in found


async def test_the_limits_in_force_are_shown(stack: AsyncExitStack) -> None:
    limits = Limits(members=7, address=AddressLimits(seats=None))
    server = await stack.enter_async_context(
        serve(port=0, configuration=ServerConfiguration(limits=limits, connections=9))
    )
    found = await scrape(server)
    assert {limit.name for limit in SERVER_LIMITS} == {
        label for name, label in found if name == "limit"
    }
    assert found["limit", "members"] == 7
    assert found["limit", "connections"] == 9
    assert found["limit", "address_seats"] == float("inf")


async def test_two_servers_of_a_process_have_metrics_of_their_own(
    server: SignalingServer, stack: AsyncExitStack, open_raw: Any
) -> None:
    other = await stack.enter_async_context(serve(port=0))
    await (await open_raw(other.url)).join("alice")
    assert (await scrape(server))["seats", ""] == 0
    assert (await scrape(other))["seats", ""] == 1
    assert ("process_open_fds", "") in await scrape(other)


async def test_names_rooms_and_types_of_clients_are_no_labels(
    server: SignalingServer, open_raw: Any
) -> None:
    before = await scrape(server)
    for number in range(20):
        client = await open_raw()
        await client.say({"type": f"type-{number}", "phase": f"p{number}"})
        await client.hear_until("error")
        await client.join(f'name-{number}"\\', room=f'room-{number}{{}}"')
        await client.say({"type": "report", "phase": f"p{number}"})
        await client.hear_until("error")
    found = await scrape(server)
    new = {label for _, label in found.keys() - before.keys()}
    assert new <= {"bad-message", "join"}
    assert found["received_total", "invalid"] == 40


# ---- reports of clients ------------------------------------------------------------------------


async def test_reports_are_counted(server: SignalingServer, open_raw: Any) -> None:
    client = await open_raw()
    assert (await client.join("alice"))["reports"] is True
    await client.say({"type": "report", "path": "relay", "seconds": {"total": 1.25, "dtls": 0.1}})
    await client.say({"type": "report", "phase": "connectivity-checks"})
    await (await client.socket.ping())
    found = await scrape(server)
    assert found["client_paths_total", "relay"] == 1
    assert found["client_failures_total", "connectivity-checks"] == 1
    assert found["client_connect_seconds_count", "total"] == 1
    assert found["client_connect_seconds_sum", "total"] == 1.25
    assert {label for name, label in found if name == "client_paths_total"} == set(ReportPath)
    phases = {label for name, label in found if name == "client_connect_seconds_count"}
    assert phases == set(ReportPhase)


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"path": "wormhole"},
        {"phase": "total"},
        {"phase": "dtls", "path": "host"},
        {"path": "host", "seconds": {"total": -1}},
        {"path": "host", "seconds": {"total": 3600.5}},
        {"path": "host", "seconds": {"total": "1"}},
        {"path": "host", "seconds": {"forever": 1}},
        {"path": "host", "seconds": {f"x{n}": 1 for n in range(1000)}},
        {"path": "host", "seconds": 1},
        {"path": ["host"]},
        {"phase": 'dtls"} 1\nup'},
    ],
)
async def test_a_report_that_is_none_is_refused(
    server: SignalingServer, open_raw: Any, report: dict[str, Any]
) -> None:
    client = await open_raw()
    await client.join("alice")
    before = await scrape(server)
    await client.say({"type": "report", "ref": 1, **report})
    error = await client.hear()
    assert (error["type"], error["code"], error["ref"]) == ("error", "bad-message", 1)
    after = await scrape(server)
    for name in ("client_paths_total", "client_failures_total", "client_connect_seconds_count"):
        values = [{k: v for k, v in found.items() if k[0] == name} for found in (before, after)]
        assert values[0] == values[1]


async def test_a_participant_makes_a_bounded_number_of_reports(
    stack: AsyncExitStack, open_raw: Any
) -> None:
    configuration = ServerConfiguration(rate=10_000, burst=10_000)
    server = await stack.enter_async_context(serve(port=0, configuration=configuration))
    client = await open_raw(server.url)
    await client.join("alice")
    for _ in range(MOST_REPORTS + 5):
        await client.say({"type": "report", "path": "host"})
    await client.say({"type": "bye", "to": "nobody"})
    await client.hear_until("error")  # all before it were handled
    found = await scrape(server)
    assert found["client_paths_total", "host"] == MOST_REPORTS
    assert found["client_reports_ignored_total", ""] == 5


async def test_nobody_reports_before_joining_or_where_it_is_not_wanted(
    server: SignalingServer, stack: AsyncExitStack, open_raw: Any
) -> None:
    client = await open_raw()
    await client.say({"type": "report", "path": "host"})
    assert (await client.hear())["code"] == ErrorCode.NOT_JOINED
    configuration = ServerConfiguration(client_reports=False)
    silent = await stack.enter_async_context(serve(port=0, configuration=configuration))
    client = await open_raw(silent.url)
    assert "reports" not in await client.join("alice")
    await client.say({"type": "report", "path": "host"})
    await client.say({"type": "bye", "to": "nobody"})
    assert (await client.hear())["code"] == ErrorCode.PEER_UNAVAILABLE
    assert (await scrape(silent))["client_paths_total", "host"] == 0


async def test_a_client_reports_only_to_a_server_that_wants_it(
    server: SignalingServer, stack: AsyncExitStack
) -> None:
    configuration = ServerConfiguration(client_reports=False)
    silent = await stack.enter_async_context(serve(port=0, configuration=configuration))
    report = Report(path=ReportPath.HOST)
    async with connect(silent.url, room="lobby", name="alice") as client:
        assert not client.report(report)
    async with connect(server.url, room="lobby", name="alice") as client:
        assert client.report(report)
        await client.close()
        assert not client.report(report)
    with pytest.raises(SignalingClosed):
        connect(server.url, room="lobby", name="alice").report(report)
    assert (await scrape(silent))["received_total", "join"] == 1
    assert ("received_total", "report") not in await scrape(silent)
    assert (await scrape(server))["received_total", "report"] == 1


async def test_python_peers_report_their_connection(server: SignalingServer) -> None:
    async with (
        join(server.url, room="lobby", name="alice") as alice,
        join(server.url, room="lobby", name="bob") as bob,
    ):
        await (await alice.peer("bob")).connected()
        await (await bob.peer("alice")).connected()
        while (found := await scrape(server))["client_connect_seconds_count", "total"] < 2:
            await asyncio.sleep(0.01)
    assert sum(found["client_paths_total", kind] for kind in ReportPath) == 2
    for phase in ("signaling", "connectivity-checks", "dtls"):
        assert found["client_connect_seconds_count", phase] == 2
    parts = sum(found["client_connect_seconds_sum", p] for p in ("signaling", "dtls"))
    assert parts <= found["client_connect_seconds_sum", "total"] + 0.01


async def test_a_python_peer_reports_where_connecting_failed(
    server: SignalingServer, open_raw: Any
) -> None:
    mute = await open_raw()
    await mute.join("mute")
    async with join(server.url, room="lobby", name="alice") as alice:
        peer = await alice.peer("mute")
        offer = await mute.hear_until("description")
        # An answer that cannot be applied ends the attempt.
        answer = {"type": "answer", "sdp": "v=0\r\n"}
        await mute.say({"type": "description", "to": offer["from"], "description": answer})
        await peer.ended()
        while not sum(
            value
            for (name, _), value in (await scrape(server)).items()
            if name == "client_failures_total"
        ):
            await asyncio.sleep(0.01)


# ---- who may read them -------------------------------------------------------------------------


TOKEN = "t" * 20


@pytest.mark.parametrize(
    ("client", "headers", "knows_proxies", "admitted"),
    [
        ("127.0.0.1", {}, False, True),
        ("::1", {}, False, True),
        ("::ffff:127.0.0.1", {}, False, True),
        ("192.0.2.1", {}, False, False),
        ("10.1.2.3", {}, False, True),
        ("", {}, False, False),
        ("nonsense", {}, False, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, False, False),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, False, False),
        ("127.0.0.1", {"via": "1.1 proxy"}, False, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, True, True),
        ("192.0.2.1", {"X-Forwarded-For": "127.0.0.1"}, True, False),
        ("192.0.2.1", {"Authorization": f"Bearer {TOKEN}"}, False, True),
        ("192.0.2.1", {"Authorization": f"bearer  {TOKEN}"}, False, True),
        ("192.0.2.1", {"Authorization": f"Basic {TOKEN}"}, False, False),
        ("192.0.2.1", {"Authorization": f"Bearer {TOKEN}x"}, False, False),
        ("192.0.2.1", {"Authorization": "Bearer "}, False, False),
        ("192.0.2.1", {"Authorization": "Bearer é"}, False, False),
    ],
)
def test_who_may_read_the_metrics(
    client: str, headers: dict[str, str], knows_proxies: bool, admitted: bool
) -> None:
    networks = ("127.0.0.0/8", "::1/128", "10.0.0.0/8")
    guard = MetricsGuard(MetricsAccess(networks=networks, token=TOKEN), knows_proxies=knows_proxies)
    assert guard.admits(Headers(headers), client) is admitted


def test_without_a_token_no_token_admits() -> None:
    guard = MetricsGuard(MetricsAccess(networks=()))
    assert not guard.admits(Headers({"Authorization": "Bearer "}), "127.0.0.1")


async def test_others_are_told_how_to_allow_them(server: SignalingServer) -> None:
    assert (await get(server, "/metrics"))[0] == 200
    status, body = await get(server, "/metrics", "X-Forwarded-For: 192.0.2.1")
    assert status == 403
    assert "--metrics-from" in body
    assert "connections" not in body.lower()


@pytest.mark.parametrize("settings", [{"networks": ("10.0.0.1/8",)}, {"token": "short"}])
def test_a_wrong_setting_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"host bits|16 characters"):
        MetricsAccess(**settings)


def test_a_site_reads_nothing_to_whom_it_does_not_know() -> None:
    site = Site(is_ready=lambda: True, measure=lambda: pytest.fail("it was measured"))
    answer = site.respond("GET", "/metrics", Headers())
    assert answer is not None
    assert answer.status == 403


# ---- parts -------------------------------------------------------------------------------------


def test_a_histogram_counts_by_bounds() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.cumulative == [("0.1", 2), ("1", 3), ("+Inf", 4)]
    assert histogram.total == pytest.approx(7.65)


async def test_no_label_is_an_address(server: SignalingServer, open_raw: Any) -> None:
    await (await open_raw()).join("alice")
    _, body = await get(server, "/metrics")
    assert not re.search(r"\d+\.\d+\.\d+\.\d+", body)
