"""Data channels with werift at the other side, which is stricter and poorer than others.

Its process ends at the first chunk that it does not know. It counts the characters of a label and
sends what is given up all the same, so that it cannot do all of :mod:`.test_channels`.
"""

import asyncio

import pytest

from icefloe.peer import ClosedBy
from icefloe.peer._aiortc import SctpTransport
from icefloe.peer.sctp.path_mtu import BASE, SIZES
from tests.interop.content import content, digest
from tests.interop.meeting import PATIENCE, Meeting, meeting
from tests.natlab.lab_peer import Message

KIB = 1024
MANY, LARGE = 64, 16 * KIB
"""Messages and their bytes: 1 MiB."""

pytestmark = [
    pytest.mark.system("nodejs", "werift"),
    pytest.mark.parametrize("offers", [True, False], ids=["offering", "answering"]),
]


async def arrived(met: Meeting, label: str, kind: str, data: bytes) -> None:
    """Wait until the other side has a message."""
    told: Message = {"kind": kind, "size": len(data), "digest": digest([data])}
    await met.far.until("message", PATIENCE, label=label, **told)


async def test_its_packet_sizes_are_tried_and_it_lives(offers: bool) -> None:
    async with meeting("werift", offers=offers) as met:
        sctp = met.connection.sctp
        assert isinstance(sctp, SctpTransport) and sctp.shell.association is not None
        path = sctp.shell.association.path
        while path.size == BASE:
            await asyncio.sleep(0.01)
        assert path.size == SIZES[0]
        data = content(1, 50_000)
        await met.first.send(data)
        await arrived(met, "first", "binary", data)


async def test_messages_arrive_both_ways(offers: bool) -> None:
    async with meeting("werift", offers=offers) as met:
        for number, size in enumerate((1, 1200, 16 * KIB, 60 * KIB)):
            for kind in ("binary", "text"):
                data = content(number, size)
                await met.first.send(data.decode() if kind == "text" else data)
                await arrived(met, "first", kind, data)
                await met.far.send(
                    "send", label="first", kind=kind, number=number, size=size, text=None
                )
                back = await met.first.receive()
                assert (back.encode() if isinstance(back, str) else back) == data


async def test_a_megabyte_arrives_whole_both_ways_at_once(offers: bool) -> None:
    async with meeting("werift", offers=offers) as met:
        ours, theirs = await met.open("ours"), await met.let_open("theirs")
        await met.far.send("sum", label="ours", bytes=MANY * LARGE)
        await met.far.until("summing", PATIENCE)
        await met.far.send("pour", label="theirs", count=MANY, size=LARGE)
        for number in range(MANY):
            await ours.send(content(number, LARGE))
        parts = [await theirs.receive() for _ in range(MANY)]
        expected = digest(content(number, LARGE) for number in range(MANY))
        assert digest(part for part in parts if isinstance(part, bytes)) == expected
        told = await met.far.until("summed", PATIENCE)
        assert (told["size"], told["digest"]) == (MANY * LARGE, expected)


async def test_this_side_closes_a_channel_and_opens_the_next(offers: bool) -> None:
    async with meeting("werift", offers=offers) as met:
        for turn in range(3):
            ours = await met.open(f"ours {turn}")
            await ours.send("the last word")
            await arrived(met, ours.label, "text", b"the last word")
            ours.close()
            await met.far.until("closed", PATIENCE, label=ours.label)
            assert [message async for message in ours] == []
            assert ours.closed_by is ClosedBy.US
        await met.first.send("still here")
        await arrived(met, "first", "text", b"still here")
