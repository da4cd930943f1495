"""Data channels that the other side opens: how many, with which identifiers, and what they say."""

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, strategies as st

from icefloe.peer import PeerConfiguration, PeerConnection, RTCPeerConnectionStats
from icefloe.peer._aiortc import SctpTransport
from icefloe.peer.sctp import dcep
from icefloe.peer.sctp.admission import MAX_CHANNEL_TEXT, Admission
from tests.helpers.calls import eventually
from tests.helpers.pairs import closing, negotiate, opened


def test_channels_are_admitted_up_to_the_limit_and_again_where_one_has_left() -> None:
    admission = Admission(3)
    asked = [admission.refusal(id, 1, own_are_odd=True) for id in (0, 2, 4, 6, 8)]
    assert asked[:3] == [None] * 3
    assert all(reason is not None and "has 3 channels open" in reason for reason in asked[3:])
    admission.release(2)
    assert admission.refusal(6, 1, own_are_odd=True) is None
    assert admission.refused == 2


@pytest.mark.parametrize("own_are_odd", [False, True])
def test_an_identifier_of_this_side_or_of_nobody_is_refused(own_are_odd: bool) -> None:
    admission = Admission()
    own, other = (1, 0) if own_are_odd else (0, 1)
    assert admission.refusal(own, 1, own_are_odd=own_are_odd)
    assert admission.refusal(65535, 1, own_are_odd=own_are_odd)
    assert admission.refusal(other + 16, 1, own_are_odd=own_are_odd, streams=16)
    assert admission.refusal(other, 1, own_are_odd=own_are_odd, streams=16) is None


def test_labels_have_a_bound_together() -> None:
    admission = Admission()
    asked = [admission.refusal(id, 65535, own_are_odd=True) for id in range(0, 100, 2)]
    assert asked.count(None) == MAX_CHANNEL_TEXT // 65535
    admission.release(0)
    assert admission.refusal(0, 65535, own_are_odd=True) is None


@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.integers(0, 65535), st.integers(0, 131070)), max_size=200
    )
)
def test_no_order_of_channels_goes_beyond_the_bounds(steps: list[tuple[bool, int, int]]) -> None:
    admission, has = Admission(5), dict[int, int]()
    for opens, id, size in steps:
        if opens and id not in has:
            if admission.refusal(id, size, own_are_odd=False) is None:
                has[id] = size
        elif not opens:
            admission.release(id)
            has.pop(id, None)
        assert len(admission) == len(has) <= 5
        assert sum(has.values()) <= MAX_CHANNEL_TEXT
        assert all(id % 2 and id < 65535 for id in has)


async def pair(**limits: Any) -> tuple[PeerConnection, PeerConnection, list[Any]]:
    """Connect two; the second has the limits, and what it is told of is collected."""
    a, b = PeerConnection(), PeerConnection(PeerConfiguration(**limits))
    told: list[Any] = []
    b.on("datachannel", told.append)
    channel = a.createDataChannel("first")
    await negotiate(a, b)
    await opened(channel)
    await eventually(lambda: len(told) == 1)
    return a, b, told


def transport(pc: PeerConnection) -> SctpTransport:
    assert isinstance(pc.sctp, SctpTransport)
    return pc.sctp


async def refused(pc: PeerConnection) -> int:
    report = await pc.getStats()
    (count,) = (s for s in report.values() if isinstance(s, RTCPeerConnectionStats))
    return count.data_channels_refused


async def test_a_flood_of_channels_is_refused_told_once_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    a, b, told = await pair(max_data_channels=10)
    async with closing(a, b):
        parity = told[0].id % 2
        with caplog.at_level(logging.WARNING):
            for id in range(parity + 2, 2000, 2):
                transport(a).shell.channels.send_raw(
                    id, dcep.Protocol.DCEP, dcep.Open("x", "").encode()
                )
            await eventually(lambda: transport(b).shell.channels.refused == 999 - 9)
        assert await refused(b) == 990
        assert len(told) == len(transport(b).channels) == 10
        assert sum("refused" in record.message for record in caplog.records) == 1
        got: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        told[0].on("message", got.set_result)
        next(iter(transport(a).channels)).send("still here")
        assert await asyncio.wait_for(got, 20) == "still here"


async def test_a_refused_channel_is_closed_there_and_one_that_closes_makes_room() -> None:
    a, b, told = await pair(max_data_channels=2)
    async with closing(a, b):
        second = a.createDataChannel("second")
        await opened(second)
        third = a.createDataChannel("third")
        await eventually(lambda: third.readyState == "closed")
        second.close()
        await eventually(lambda: second.readyState == "closed")
        await eventually(lambda: len(transport(b).channels) == 1)
        fourth = a.createDataChannel("fourth")
        await opened(fourth)
        await eventually(lambda: [c.label for c in told] == ["first", "second", "fourth"])
        assert await refused(b) == 1


async def test_identifiers_that_are_not_the_other_sides_to_give_are_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    a, b, told = await pair()
    async with closing(a, b):
        wrong = 1 - told[0].id % 2
        with caplog.at_level(logging.WARNING):
            for id in (65535, wrong, wrong + 2, 65535):
                transport(a).shell.channels.send_raw(
                    id, dcep.Protocol.DCEP, dcep.Open("x", "").encode()
                )
            later = a.createDataChannel("later")
            await opened(later)
        assert [c.label for c in told] == ["first", "later"]
        assert await refused(b) == 4
        assert sum("refused" in record.message for record in caplog.records) == 1
        own = b.createDataChannel("own")  # whose stream is not taken by what was refused
        await opened(own)


async def test_malformed_messages_without_end_are_told_a_few_times(
    caplog: pytest.LogCaptureFixture,
) -> None:
    a, b, told = await pair()
    async with closing(a, b):
        with caplog.at_level(logging.WARNING):
            for _ in range(500):
                transport(a).shell.channels.send_raw(told[0].id, dcep.Protocol.DCEP, b"\xff")
            got: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            told[0].on("message", got.set_result)
            next(iter(transport(a).channels)).send("after all of them")
            assert await asyncio.wait_for(got, 20) == "after all of them"
        assert sum("malformed" in record.message for record in caplog.records) == 3
