"""Readings over an unreliable channel: what comes, and what is lost and counted."""

import asyncio

import pytest

from icefloe.demos.telemetry import LABEL, Reading, Tally, send, watch
from icefloe.peer import DataChannel, join
from icefloe.signaling import SignalingServer
from tests.demos.rooms import running
from tests.helpers.loss import losing


def tally(*numbers: int) -> Tally:
    counted = Tally()
    for number in numbers:
        counted.take(Reading(number, {"at": float(number)}))
    return counted


@pytest.mark.parametrize(
    ("numbers", "lost", "newest"),
    [
        ((0, 1, 2), 0, 2),
        ((0, 2, 1), 0, 2),  # overtaken is not lost
        ((0, 3), 2, 3),
        ((2,), 2, 2),  # what was lost before the first that came
        ((5, 0), 4, 5),
    ],
)
def test_what_did_not_come_is_counted(numbers: tuple[int, ...], lost: int, newest: int) -> None:
    counted = tally(*numbers)
    assert counted.lost == lost
    assert counted.newest == Reading(newest, {"at": float(newest)})
    assert str(counted) == f"at {newest}; {lost} of {newest + 1} lost, {lost / (newest + 1):.1%}"


def test_nothing_is_told_of_nothing() -> None:
    assert (Tally().lost, str(Tally())) == (0, "nothing yet")


class Shown:
    """Everything that the watching side was shown."""

    def __init__(self, enough: int) -> None:
        self.latest: dict[str, Tally] = {}
        self.reached = asyncio.Event()
        self.enough = enough

    def __call__(self, name: str, tally: Tally) -> None:
        self.latest[name] = tally
        if tally.received >= self.enough:
            self.reached.set()


async def test_readings_come_from_everybody_who_sends(server: SignalingServer) -> None:
    shown = Shown(50)
    async with running(watch(server.url, every=0.01, show=shown)):
        for name, value in (("roof", 21.5), ("cellar", 12.25)):
            shown.reached.clear()

            def measure(value: float = value) -> dict[str, float]:
                return {"degrees": value}

            async with running(send(server.url, name=name, rate=500, measure=measure)):
                await shown.reached.wait()
    newest = {name: tally.newest for name, tally in shown.latest.items()}
    assert {name: r.values for name, r in newest.items() if r} == {
        "roof": {"degrees": 21.5},
        "cellar": {"degrees": 12.25},
    }
    assert [tally.lost for tally in shown.latest.values()] == [0, 0]


@pytest.mark.system("netns", "nftables")
async def test_what_the_network_loses_is_not_sent_again_and_is_counted(
    server: SignalingServer,
) -> None:
    shown = Shown(200)
    async with (
        running(watch(server.url, every=0.01, show=shown)),
        running(send(server.url, name="roof", rate=500)),
    ):
        await shown.reached.wait()
        with losing(0.2) as lost:
            before = shown.latest["roof"].received
            shown.reached.clear()
            shown.enough = before + 300
            await shown.reached.wait()
            assert lost().datagrams > 0
    counted = shown.latest["roof"]
    # Of some 375 readings 300 came; a channel that repaired the loss would have lost none.
    assert 20 < counted.lost < 250


async def test_who_does_not_watch_closes_the_channel(server: SignalingServer) -> None:
    async with (
        running(send(server.url, rate=500)),
        join(server.url, room="lobby", name="alice") as room,
    ):
        peer = await room.peer("sensor")
        channel = await anext(aiter(peer.channels()))
        assert channel.label == LABEL
        assert (channel.channel.ordered, channel.channel.maxRetransmits) == (False, 0)
        channel.close()
        assert await until_closed(channel)
        # The call goes on without it.
        await (await peer.open_channel("hello")).send("still there?")


async def until_closed(channel: DataChannel) -> bool:
    async for _ in channel:
        pass
    return channel.closed


async def test_what_is_no_reading_ends_its_channel_alone(server: SignalingServer) -> None:
    shown = Shown(1)
    async with (
        running(watch(server.url, every=0.01, show=shown)),
        join(server.url, room="lobby", name="mallory") as room,
    ):
        peer = await room.peer("watcher")
        bad = await peer.open_channel(LABEL)
        await bad.send_json({"number": -1, "values": {}})
        assert await until_closed(bad)
        good = await peer.open_channel(LABEL)
        await good.send_json(Reading(0, {"degrees": 20.0}))
        await shown.reached.wait()
        other = await peer.open_channel("files")
        good.close()
        assert await until_closed(other)
