"""Data channels with Chromium, libdatachannel and plain aiortc at the other side."""

import asyncio
from typing import Any

import pytest

from icefloe.peer import ClosedBy, DataChannel
from tests.helpers.loss import losing
from tests.interop.content import content, digest
from tests.interop.meeting import PATIENCE, Meeting, meeting
from tests.natlab.lab_peer import Message

KIB = 1024
SIZES = (0, 1, 1200, 16 * KIB, 64 * KIB, 256 * KIB)
"""Bytes; the last is the largest message that any of them announces."""

LABELS = ("chat", "", "Grüße", "Привет", "你好，世界", "שלום", "🐧❄️", "a" * 300)
MANY, LARGE = 160, 64 * KIB
"""Messages and their bytes: 10 MiB."""

far = pytest.mark.parametrize(
    "far",
    [
        pytest.param("node-datachannel", marks=pytest.mark.system("nodejs", "node-datachannel")),
        pytest.param("chromium", marks=[pytest.mark.browser, pytest.mark.system("chromium")]),
        "aiortc",
    ],
)
offers = pytest.mark.parametrize("offers", [True, False], ids=["offering", "answering"])
pytestmark = [far, offers]


async def test_messages_of_every_size_and_kind_arrive_as_they_were_sent(
    far: str, offers: bool
) -> None:
    async with meeting(far, offers=offers) as met:
        for number, size in enumerate(SIZES):
            for kind in ("binary", "text"):
                data = content(number, size)
                await met.first.send(data.decode() if kind == "text" else data)
                await arrived(met, "first", kind, data)
                await met.far.send(
                    "send", label="first", kind=kind, number=number, size=size, text=None
                )
                back = await met.first.receive()
                assert isinstance(back, str if kind == "text" else bytes)
                assert (back.encode() if isinstance(back, str) else back) == data


async def test_text_labels_and_protocols_are_in_any_script(far: str, offers: bool) -> None:
    async with meeting(far, offers=offers) as met:
        for label in LABELS:
            ours = await met.open(f"ours {label}", protocol=label)
            told = await met.far.until("channel", PATIENCE, label=f"ours {label}")
            assert told["protocol"] == label
            await ours.send(label)
            await arrived(met, f"ours {label}", "text", label.encode())
            theirs = await met.let_open(f"theirs {label}", protocol=label)
            assert (theirs.label, theirs.protocol) == (f"theirs {label}", label)
            await met.far.send("send", label=theirs.label, kind="text", text=label)
            assert await theirs.receive() == label


@pytest.mark.parametrize(
    "options",
    [
        {"ordered": False},
        {"ordered": False, "maxRetransmits": 0},
        {"ordered": True, "maxRetransmits": 3},
        {"ordered": False, "maxPacketLifeTime": 10_000},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
async def test_unordered_and_unreliable_channels_are_so_on_both_sides(
    far: str, offers: bool, options: dict[str, Any]
) -> None:
    wanted = {"maxRetransmits": None, "maxPacketLifeTime": None, **options}
    data = content(7, 50_000)
    async with meeting(far, offers=offers) as met:
        ours = await met.open("ours", **options)
        told = await met.far.until("channel", PATIENCE, label="ours")
        # What libdatachannel knows of a channel that it did not open, its binding does not tell.
        if far != "node-datachannel":
            assert {name: told[name] for name in wanted} == wanted
        await ours.send(data)
        await arrived(met, "ours", "binary", data)
        theirs = await met.let_open("theirs", **options)
        channel = theirs.channel
        assert {name: getattr(channel, name) for name in wanted} == wanted
        await met.far.send("send", label="theirs", kind="binary", number=7, size=50_000, text=None)
        assert await theirs.receive() == data


async def test_a_channel_closes_from_either_side_after_what_was_sent(
    far: str, offers: bool
) -> None:
    async with meeting(far, offers=offers) as met:
        for turn in range(3):  # a stream that was reset is used again
            ours = await met.open(f"ours {turn}")
            sent = [content(number, 50_000) for number in range(20)]
            await met.far.send("sum", label=ours.label, bytes=sum(map(len, sent)))
            await met.far.until("summing", PATIENCE, label=ours.label)
            for data in sent:
                await ours.send(data)
            if far != "node-datachannel":
                ours.close()
            told = await met.far.until("summed", PATIENCE, label=ours.label)
            assert told["digest"] == digest(sent)
            # What libdatachannel has got when a channel closes, its binding may throw away.
            ours.close()
            await met.far.until("closed", PATIENCE, label=ours.label)
            await closed(ours)
            assert ours.closed_by is ClosedBy.US

            theirs = await met.let_open(f"theirs {turn}")
            await met.far.send("send", label=theirs.label, kind="text", text="the last word")
            await met.far.send("close", label=theirs.label)
            assert [message async for message in theirs] == ["the last word"]
            assert theirs.closed_by is ClosedBy.THEM
            await met.far.until("closed", PATIENCE, label=theirs.label)
        await met.first.send("still here")
        await arrived(met, "first", "text", b"still here")


async def test_megabytes_arrive_whole_both_ways_at_once(far: str, offers: bool) -> None:
    async with meeting(far, offers=offers) as met:
        await exchange(met)


@pytest.mark.system("netns", "iproute2", "nftables")
async def test_megabytes_arrive_whole_where_packets_are_lost(far: str, offers: bool) -> None:
    async with meeting(far, offers=offers) as met:
        with losing(0.01) as lost:
            await exchange(met)
            assert lost().datagrams > 20


@pytest.mark.system("netns", "iproute2", "nftables")
@pytest.mark.parametrize("ordered", [True, False], ids=["ordered", "unordered"])
async def test_what_is_given_up_is_skipped_on_the_other_side(
    far: str, offers: bool, ordered: bool
) -> None:
    options = {"ordered": ordered, "maxRetransmits": 0}
    count, size = 3, 1000
    async with meeting(far, offers=offers) as met:
        ours, theirs = await met.open("ours", **options), await met.let_open("theirs", **options)
        with losing(1) as lost:
            for number in range(count):
                await ours.send(content(number, size))
            await met.far.send("pour", label="theirs", count=count, size=size)
            while lost().bytes < 2 * count * size:
                await asyncio.sleep(0.01)
        await ours.send("the end")
        await arrived(met, "ours", "text", b"the end")
        assert met.far.told("message", label="ours", kind="binary") == []
        await met.far.send("send", label="theirs", kind="text", text="the end")
        assert await theirs.receive() == "the end"


async def arrived(met: Meeting, label: str, kind: str, data: bytes) -> None:
    """Wait until the other side has a message."""
    expected: Message = {"kind": kind, "size": len(data), "digest": digest([data])}
    await met.far.until("message", PATIENCE, label=label, **expected)


async def closed(channel: DataChannel) -> None:
    """Wait until a channel from which nothing comes any more is closed."""
    assert [message async for message in channel] == []
    assert channel.closed


async def exchange(met: Meeting) -> None:
    """Send 20 MiB each way at the same time, and look whether they arrive whole."""
    ours, theirs = await met.open("ours"), await met.let_open("theirs")
    expected = digest(content(number, LARGE) for number in range(MANY))
    await met.far.send("sum", label="ours", bytes=MANY * LARGE)
    await met.far.until("summing", PATIENCE)

    async def send() -> None:
        for number in range(MANY):
            await ours.send(content(number, LARGE))

    async def receive() -> str:
        parts = []
        for _ in range(MANY):
            message = await theirs.receive()
            assert isinstance(message, bytes)
            parts.append(message)
        return digest(parts)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        receiving = group.create_task(receive())
        await met.far.send("pour", label="theirs", count=MANY, size=LARGE)
    assert receiving.result() == expected
    told = await met.far.until("summed", 120)
    assert (told["size"], told["digest"]) == (MANY * LARGE, expected)
