"""Muting of a remote track: decided, and between real peers."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiortc import InvalidAccessError, MediaStreamTrack

from icefloe.media import TestPatternTrack, ToneTrack
from icefloe.peer import PeerConnection, PeerLeft, RemoteTrack
from icefloe.peer.rtp.receive.muting import MUTE_TIMEOUT, Muting
from tests.helpers.calls import calling
from tests.helpers.pairs import closing, connected, negotiate
from tests.peer.rtp.test_receiver import packets

# --- decided


def test_it_is_muted_until_the_first_packet_and_after_the_last() -> None:
    muting = Muting()
    assert muting.muted
    assert muting.arrived(10.0)
    assert not muting.muted
    assert not muting.arrived(11.0)
    assert muting.due == 11.0 + MUTE_TIMEOUT
    assert not muting.check(10.9 + MUTE_TIMEOUT)
    assert muting.check(11.0 + MUTE_TIMEOUT)
    assert muting.muted
    assert not muting.check(12.0 + MUTE_TIMEOUT)
    assert muting.arrived(20.0)


def test_it_is_muted_at_once_where_nothing_is_to_be_received() -> None:
    muting = Muting()
    assert not muting.stopped()
    muting.arrived(1.0)
    assert muting.stopped()
    assert not muting.stopped()
    assert muting.arrived(2.0)


# --- between peers


class Watched:
    """A remote track, and what it has told."""

    def __init__(self, track: MediaStreamTrack) -> None:
        assert isinstance(track, RemoteTrack)
        self.track = track
        self.told: list[str] = []
        self._changed = asyncio.Event()
        for event in ("mute", "unmute"):
            track.on(event, lambda event=event: self._note(event))

    def _note(self, event: str) -> None:
        assert self.track.muted is (event == "mute")
        self.told.append(event)
        self._changed.set()

    async def until(self, muted: bool) -> None:
        while self.track.muted is not muted:
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture(params=[ToneTrack, lambda: TestPatternTrack(320, 180)], ids=["audio", "video"])
async def source(request: pytest.FixtureRequest) -> AsyncIterator[MediaStreamTrack]:
    track: MediaStreamTrack = request.param()
    yield track
    track.stop()


async def test_a_track_that_is_taken_back_is_muted_and_comes_back(source: MediaStreamTrack) -> None:
    a, b = PeerConnection(), PeerConnection()
    tracks: list[MediaStreamTrack] = []
    b.on("track", tracks.append)
    async with closing(a, b):
        sender = a.addTrack(source)
        await negotiate(a, b)
        remote = Watched(tracks[0])
        assert remote.track.muted
        await remote.until(muted=False)
        a.removeTrack(sender)
        await negotiate(a, b)
        assert remote.track.muted and remote.told[-1] == "mute"
        a.addTrack(source)
        await negotiate(a, b)
        await remote.until(muted=False)
        assert len(tracks) == 1 and remote.track.readyState == "live"
        await remote.track.recv()


async def test_who_does_not_want_it_any_more_has_it_muted(source: MediaStreamTrack) -> None:
    a, b = PeerConnection(), PeerConnection()
    tracks: list[MediaStreamTrack] = []
    b.on("track", tracks.append)
    async with closing(a, b):
        a.addTrack(source)
        await negotiate(a, b)
        remote = Watched(tracks[0])
        await remote.until(muted=False)
        b.getTransceivers()[0].direction = "inactive"
        await negotiate(b, a)
        assert remote.track.muted
        b.getTransceivers()[0].direction = "recvonly"
        await negotiate(b, a)
        await remote.until(muted=False)


async def test_a_handler_that_raises_does_no_harm(source: MediaStreamTrack) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(source)
        b.on("track", lambda track: track.on("unmute", lambda: 1 / 0))
        await negotiate(a, b)
        await connected(a, b)
        await b.getReceivers()[0].track.recv()
        assert b.connectionState == "connected"


async def test_in_a_room_it_is_muted_and_replaced_without_negotiation(
    source: MediaStreamTrack,
) -> None:
    async with calling() as call:
        near, far = call.ends
        sender = near.add_track(source)
        remote = Watched(await anext(aiter(far.tracks())))
        await remote.until(muted=False)
        offers = sum(len(wire.descriptions) for wire in call.wires)
        near.replace_track(sender, None)
        began = time.monotonic()
        await remote.until(muted=True)
        assert time.monotonic() - began > MUTE_TIMEOUT / 2
        near.replace_track(sender, source)
        await remote.until(muted=False)
        assert sum(len(wire.descriptions) for wire in call.wires) == offers
        with pytest.raises(TypeError):
            near.replace_track(sender, _other(source))
        with pytest.raises(InvalidAccessError, match="polite"):
            far.replace_track(sender, None)
    with pytest.raises(PeerLeft):
        near.replace_track(sender, None)


def _other(track: MediaStreamTrack) -> MediaStreamTrack:
    return ToneTrack() if track.kind == "video" else TestPatternTrack(320, 180)


async def test_silence_and_black_are_something(source: MediaStreamTrack) -> None:
    a, b = PeerConnection(), PeerConnection()
    tracks: list[MediaStreamTrack] = []
    b.on("track", tracks.append)
    async with closing(a, b):
        a.addTrack(source)
        await negotiate(a, b)
        remote = Watched(tracks[0])
        await remote.until(muted=False)
        source.enabled = False  # type: ignore[attr-defined]
        before, wanted = await packets(b), 5 if source.kind == "video" else 250
        while await packets(b) < before + wanted:  # 5 s: of pictures one a second
            await asyncio.sleep(0.1)
        assert not remote.track.muted
