"""The number of transports, by the bundle policy and by what the other side says."""

import asyncio
import re
from collections.abc import Callable

import pytest
from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from icefloe.peer import PeerConfiguration, PeerConnection
from tests.helpers.pairs import closing, connected, opened, until

BALANCED = RTCConfiguration(iceServers=[])
MAKERS: dict[str, Callable[[], RTCPeerConnection]] = {
    "icefloe": PeerConnection,
    "icefloe, balanced": lambda: PeerConnection(BALANCED),
    "aiortc, balanced": lambda: RTCPeerConnection(BALANCED),
}


def transports(connection: RTCPeerConnection) -> int:
    found = {t.receiver.transport for t in connection.getTransceivers()}
    if connection.sctp is not None:
        found.add(connection.sctp.transport)
    return len(found)


def without(*attributes: str) -> Callable[[RTCSessionDescription], RTCSessionDescription]:
    def change(description: RTCSessionDescription) -> RTCSessionDescription:
        text = re.sub(rf"a=({'|'.join(attributes)}):.*\r\n", "", description.sdp)
        return RTCSessionDescription(text, description.type)

    return change


async def negotiate(
    offerer: RTCPeerConnection,
    answerer: RTCPeerConnection,
    change: Callable[[RTCSessionDescription], RTCSessionDescription],
) -> None:
    await offerer.setLocalDescription(await offerer.createOffer())
    await answerer.setRemoteDescription(change(offerer.localDescription))
    await answerer.setLocalDescription(await answerer.createAnswer())
    await offerer.setRemoteDescription(change(answerer.localDescription))


@pytest.mark.parametrize("policy", list(RTCBundlePolicy))
@pytest.mark.parametrize("make", [RTCConfiguration, PeerConfiguration])
async def test_a_policy_that_is_asked_for_is_the_one_in_force(
    policy: RTCBundlePolicy, make: type[RTCConfiguration]
) -> None:
    connection = PeerConnection(make(iceServers=[], bundlePolicy=policy))
    plain = RTCPeerConnection(RTCConfiguration(iceServers=[], bundlePolicy=policy))
    async with closing(connection, plain):
        for one in (connection, plain):
            one.addTransceiver("audio")
            one.addTransceiver("audio")
            one.addTransceiver("video")
            one.createDataChannel("x")
        assert connection.getConfiguration().bundlePolicy is policy
        assert transports(connection) == transports(plain)


NO_MIDS = ("group", "mid")


@pytest.mark.parametrize(
    ("offerer", "answerer", "attributes", "expected"),
    [
        pytest.param(offerer, answerer, attributes, expected, id=f"{offerer}-{answerer}-{name}")
        for offerer in ("icefloe, balanced", "aiortc, balanced")
        for answerer in MAKERS
        for name, attributes, expected in (
            ("bundled", (), 1),
            ("no group", ("group",), 3),
            ("no mids", NO_MIDS, 3),
        )
        # Plain aiortc knows sections by their mids alone.
        if attributes != NO_MIDS or "aiortc" not in offerer + answerer
    ],
)
async def test_media_and_data_get_through(
    offerer: str, answerer: str, attributes: tuple[str, ...], expected: int
) -> None:
    change = without(*attributes) if attributes else lambda description: description
    a, b = MAKERS[offerer](), MAKERS[answerer]()
    tracks: list[MediaStreamTrack] = []
    b.on("track", tracks.append)
    async with closing(a, b):
        channel = a.createDataChannel("x")
        a.addTrack(AudioStreamTrack())
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b, change)
        assert transports(b) == expected
        await connected(a, b)
        await opened(channel)
        await asyncio.gather(*(track.recv() for track in tracks))
        # What comes later of the same kind goes over the transport of its kind.
        a.addTrack(AudioStreamTrack())
        await negotiate(a, b, change)
        assert transports(b) == expected
        await until(b, "track", lambda: len(tracks) == 3)
        await connected(a, b)
        await tracks[-1].recv()


async def test_tracks_of_the_answering_side_have_transports_of_their_own_as_well() -> None:
    a, b = PeerConnection(BALANCED), PeerConnection()
    async with closing(a, b):
        b.addTrack(VideoStreamTrack())
        b.addTrack(AudioStreamTrack())
        a.addTransceiver("audio")
        a.addTransceiver("video")
        assert transports(b) == 1
        tracks: list[MediaStreamTrack] = []
        a.on("track", tracks.append)
        await negotiate(a, b, without("group"))
        assert transports(b) == 2
        assert "a=group" not in b.localDescription.sdp
        await connected(a, b)
        await asyncio.gather(*(track.recv() for track in tracks))
        assert sorted(track.kind for track in tracks) == ["audio", "video"]
