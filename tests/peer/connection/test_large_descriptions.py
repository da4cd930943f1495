"""Descriptions of many tracks, and those that are too large to be sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from icefloe.peer import ConnectFailed, DescriptionTooLarge, PeerLeft, RemotePeer, Room, join
from icefloe.peer.sdp import SECTIONS
from icefloe.signaling import serve
from icefloe.signaling.codec import CLIENT_LIMIT, DESCRIPTION_LIMIT


@asynccontextmanager
async def rooms(room: str = "lobby") -> AsyncIterator[tuple[Room, Room]]:
    async with serve("127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.port}/ws"
        async with join(url, room=room, name="bob") as bob, join(url, room=room, name="al") as al:
            yield al, bob


@asynccontextmanager
async def call() -> AsyncIterator[tuple[RemotePeer, RemotePeer]]:
    async with rooms() as (al, bob):
        peers = await anext(aiter(al)), await anext(aiter(bob))
        for peer in peers:
            await peer.connected()
        yield peers


def add(peer: RemotePeer, count: int) -> None:
    for _ in range(count):
        peer.connection.addTransceiver("audio", direction="sendonly")


async def test_ninety_tracks_are_negotiated() -> None:
    async with call() as (al, bob):
        add(al, 90)
        await al.negotiated()
        assert len(al.connection.localDescription.sdp) > CLIENT_LIMIT
        assert len(bob.connection.getTransceivers()) == 90
        assert bob.connection.signalingState == "stable"


@pytest.mark.parametrize("polite", [False, True])
async def test_an_offer_that_is_too_large_is_told_and_the_call_goes_on(polite: bool) -> None:
    async with call() as (al, bob):
        one, other = (bob, al) if polite else (al, bob)
        channel = await one.open_channel("before")
        add(one, 400)
        with pytest.raises(DescriptionTooLarge) as caught:
            await one.negotiated()
        assert caught.value.kind == "offer"
        assert caught.value.size > DESCRIPTION_LIMIT
        with pytest.raises(DescriptionTooLarge):
            await one.negotiated()  # it stays so
        for peer in (one, other):
            assert peer.connection.signalingState == "stable"
        assert other.connection.getTransceivers() == []
        await channel.send("on it goes")
        # The other side negotiates meanwhile, and this side does when it wants less.
        add(other, 1)
        await other.negotiated()
        assert len(other.connection.getTransceivers()) == 1
        for transceiver in one.connection.getTransceivers()[10:]:
            await transceiver.stop()
        await one.negotiated()
        assert one.connection.signalingState == other.connection.signalingState == "stable"
        assert 10 <= len(other.connection.getTransceivers()) <= 12


async def test_an_offer_of_more_sections_than_are_taken_is_told() -> None:
    async with call() as (al, _):
        add(al, SECTIONS + 1)
        with pytest.raises(DescriptionTooLarge, match=f"{SECTIONS + 2} media sections") as caught:
            await al.negotiated()
        assert caught.value.size < DESCRIPTION_LIMIT
        for transceiver in al.connection.getTransceivers()[:2]:  # data has a section, too
            await transceiver.stop()
        await al.negotiated()


async def test_a_first_offer_that_is_too_large_ends_the_attempt() -> None:
    async with rooms() as (al, bob):
        peer, other = await anext(aiter(al)), await anext(aiter(bob))
        add(peer, 400)
        # Both were there before; whoever makes its first offer with it learns why there is none.
        results = await asyncio.gather(
            peer.connected(), peer.negotiated(), other.connected(), return_exceptions=True
        )
        if not isinstance(results[1], DescriptionTooLarge):
            assert isinstance(results[0], ConnectFailed)
            assert isinstance(results[1], PeerLeft)
            assert isinstance(results[0].__cause__, DescriptionTooLarge)


async def test_there_is_nothing_to_wait_for_without_a_change() -> None:
    async with call() as (al, bob):
        await asyncio.gather(al.negotiated(), bob.negotiated())
        al.hang_up()
        await al.ended()
        with pytest.raises(PeerLeft):
            await al.negotiated()
