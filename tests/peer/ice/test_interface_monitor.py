"""Changes of the machine's addresses, on real interfaces."""

import asyncio
import ipaddress
import subprocess
from collections.abc import Callable, Iterator

import pytest

from icefloe.peer.ice.gather import interface_monitor
from icefloe.peer.ice.gather.interface_monitor import AddressMonitor, Debounce, watch
from icefloe.peer.ice.gather.interfaces import (
    Address,
    Kind,
    Selection,
    broadcast_addresses,
    read_interfaces,
)
from tests.helpers.netns import ADDRESS

needs_interfaces = pytest.mark.system("iproute2", "netns")
ADDED = "198.18.77.1"


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, capture_output=True)


@pytest.fixture
def link() -> Iterator[str]:
    """An interface of the test's own; its other end is not connected to anything."""
    ip("link add watched index 901 type veth peer name watched-peer index 902")
    ip("link set watched-peer up")
    ip("link set watched up")
    try:
        yield "watched"
    finally:
        ip("link del watched")


class Seen:
    """Everything that a watch was told."""

    def __init__(self) -> None:
        self.sets: list[set[str]] = []
        self.changed = asyncio.Event()

    def __call__(self, addresses: frozenset[Address]) -> None:
        self.sets.append(set(map(str, addresses)))
        self.changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()


# --- with the kernel


@needs_interfaces
async def test_addresses_that_come_and_go_are_told(link: str) -> None:
    seen, filtered = Seen(), Seen()
    stops = [watch(Selection(), seen), watch(Selection(addresses=(f"!{ADDED}",)), filtered)]
    try:
        assert not interface_monitor._monitors[asyncio.get_running_loop()].polls
        ip(f"addr add {ADDED}/24 dev {link}")
        await seen.until(lambda: bool(seen.sets) and seen.sets[-1] == {ADDRESS, ADDED})
        ip(f"addr del {ADDED}/24 dev {link}")
        await seen.until(lambda: seen.sets[-1] == {ADDRESS})
    finally:
        for stop in stops:
            stop()
    assert filtered.sets == []


@needs_interfaces
async def test_a_link_that_goes_down_takes_its_addresses_with_it(link: str) -> None:
    ip(f"addr add {ADDED}/24 dev {link}")
    seen = Seen()
    stop = watch(Selection(), seen)
    try:
        ip("link set watched-peer down")
        await seen.until(lambda: seen.sets == [{ADDRESS}])
        ip("link set watched-peer up")
        await seen.until(lambda: seen.sets == [{ADDRESS}, {ADDRESS, ADDED}])
    finally:
        stop()


@needs_interfaces
async def test_a_burst_is_told_once(link: str) -> None:
    seen = Seen()
    stop = watch(Selection(), seen)
    try:
        for number in range(1, 6):
            ip(f"addr add 198.18.77.{number}/24 dev {link}")
        await seen.until(lambda: bool(seen.sets))
        assert len(seen.sets[-1]) == 6
        assert len(seen.sets) == 1
    finally:
        stop()


@needs_interfaces
async def test_without_netlink_it_looks_by_itself(
    link: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interface_monitor, "POLL_INTERVAL", 0.05)
    polling, seen = AddressMonitor(use_netlink=False), Seen()
    polling.add(Selection(), seen)
    try:
        assert polling.polls
        ip(f"addr add {ADDED}/24 dev {link}")
        await seen.until(lambda: bool(seen.sets))
        assert seen.sets == [{ADDRESS, ADDED}]
    finally:
        polling.close()


# --- sharing


@needs_interfaces
async def test_addresses_are_read_once_for_all_until_they_change(link: str) -> None:
    reads = 0

    def read() -> list[Address]:
        nonlocal reads
        reads += 1
        return read_interfaces()

    monitor, seen = AddressMonitor(read=read), Seen()
    try:
        monitor.add(Selection(), seen)
        for _ in range(100):
            assert [str(each) for each in monitor.chosen(Selection())] == [ADDRESS]
            assert monitor.broadcasts() == broadcast_addresses(read_interfaces())
        assert reads == 1
        ip(f"addr add {ADDED}/24 dev {link}")
        # Before the event loop had a turn.
        assert {str(each) for each in monitor.chosen(Selection())} == {ADDRESS, ADDED}
        assert monitor.chosen(Selection(addresses=(f"!{ADDED}",))) != monitor.chosen(Selection())
        await seen.until(lambda: bool(seen.sets))
    finally:
        monitor.close()


@needs_interfaces
async def test_a_function_that_selects_is_asked_each_time() -> None:
    monitor = AddressMonitor()
    allowed = True
    selection = Selection(interfaces=lambda _: allowed)
    try:
        assert monitor.chosen(selection) != ()
        allowed = False
        assert monitor.chosen(selection) == ()
    finally:
        monitor.close()


async def test_a_hundred_watches_share_one_monitor_that_ends_with_the_last() -> None:
    stops = [watch(Selection(), lambda _: None) for _ in range(100)]
    assert len(interface_monitor._monitors) == 1
    for stop in stops[1:]:
        stop()
        stop()
    assert len(interface_monitor._monitors) == 1
    stops[0]()
    assert interface_monitor._monitors == {}


def test_a_loop_that_ended_leaves_nothing_behind_for_the_next() -> None:
    async def forgetful() -> None:
        watch(Selection(), lambda _: None)

    async def tidy() -> None:
        watch(Selection(), lambda _: None)()

    asyncio.run(forgetful())
    (left,) = interface_monitor._monitors.values()
    asyncio.run(tidy())
    assert interface_monitor._monitors == {}
    assert left._socket is None


async def test_a_callback_that_raises_does_not_keep_the_news_from_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(interface_monitor, "POLL_INTERVAL", 0.01)
    found: list[Address] = []
    polling, seen = AddressMonitor(read=lambda: found, use_netlink=False), Seen()

    def stumble(_: object) -> None:
        raise ValueError("stumbled")

    polling.add(Selection(), stumble)
    polling.add(Selection(), seen)
    try:
        found.append(Address(ipaddress.ip_address(ADDED), 24, "eth0", Kind.ETHERNET))
        await seen.until(lambda: bool(seen.sets))
        assert seen.sets == [{ADDED}]
        assert "stumbled" in caplog.text
    finally:
        polling.close()
        polling.close()


# --- bursts


def test_a_burst_ends_when_it_is_quiet() -> None:
    debounce = Debounce(quiet=1, longest=10)
    assert not debounce.is_due(0)
    assert debounce.notice(0) == 1
    assert debounce.notice(0.5) == 1.5
    assert not debounce.is_due(1)
    assert debounce.is_due(1.5)
    assert debounce.deadline == float("inf")
    assert not debounce.is_due(100)


def test_notices_without_an_end_are_looked_at_all_the_same() -> None:
    debounce = Debounce(quiet=1, longest=3)
    times = [debounce.notice(now / 2) for now in range(8)]
    assert max(times) == 3
    assert debounce.is_due(3)
    assert debounce.notice(5) == 6
