"""Header extensions under ids that the other side takes for the same ones, whenever it negotiates.

Plain aiortc numbers each offer from its own table, whatever was agreed on before, and its transport
ends over a value that has another length than the extension that it takes it for.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.codecs import HEADER_EXTENSIONS
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters as Extension

from icefloe.peer.connection.payload_numbers import Numbering
from icefloe.peer.sdp import read
from tests.helpers.pairs import closing, connected, make, negotiate

LEVEL, SEND_TIME = "urn:level", "urn:send-time"


class Call:
    """A call of which this side made the offer, and the tracks that the other side receives."""

    def __init__(self) -> None:
        self.ours, self.theirs = make("icefloe"), make("aiortc")
        self.tracks: list[MediaStreamTrack] = []
        self.theirs.on("track", self.tracks.append)

    async def frames(self) -> None:
        """Wait for a second of media: a packet that ends the transport is among it, if any is."""
        for track in self.tracks:
            for _ in range(50 if track.kind == "audio" else 10):
                await track.recv()
        assert self.theirs.connectionState == "connected"


@asynccontextmanager
async def begun() -> AsyncIterator[Call]:
    call = Call()
    async with closing(call.ours, call.theirs):
        call.ours.addTrack(AudioStreamTrack())
        call.ours.addTrack(VideoStreamTrack())
        await negotiate(call.ours, call.theirs)
        yield call


async def offer(connection: RTCPeerConnection) -> None:
    connection.addTrack(VideoStreamTrack())
    connection.addTrack(AudioStreamTrack())
    await connection.setLocalDescription(await connection.createOffer())


async def test_media_goes_on_between_an_offer_and_its_late_answer() -> None:
    async with begun() as call:
        await connected(call.ours, call.theirs)
        await call.frames()
        await offer(call.theirs)
        await call.frames()  # the offer is under way
        await call.ours.setRemoteDescription(call.theirs.localDescription)
        await call.frames()  # it is here, and not answered
        await call.ours.setLocalDescription()
        await call.frames()  # the answer is under way, and media sent after it is there before it
        await call.theirs.setRemoteDescription(call.ours.localDescription)
        await call.frames()


async def test_media_begins_after_the_other_side_has_made_its_next_offer() -> None:
    async with begun() as call:
        # It starts its receivers by the numbers of this offer, of which nothing is known here yet.
        await offer(call.theirs)
        await connected(call.ours, call.theirs)
        await call.frames()
        await call.ours.setRemoteDescription(call.theirs.localDescription)
        await call.ours.setLocalDescription()
        await call.theirs.setRemoteDescription(call.ours.localDescription)
        await call.frames()


async def test_aiortcs_descriptions_are_known_as_such() -> None:
    ours, theirs = make("icefloe"), make("aiortc")
    async with closing(ours, theirs):
        for connection in (ours, theirs):
            connection.addTransceiver("audio")
            await connection.setLocalDescription(await connection.createOffer())
        assert read(theirs.localDescription.sdp).by_aiortc
        assert not read(ours.localDescription.sdp).by_aiortc


def test_an_id_that_is_given_another_meaning_is_not_certain() -> None:
    numbering = Numbering()
    assert numbering.is_certain(LEVEL, 1)
    numbering.learn([], [Extension(id=1, uri=LEVEL), Extension(id=2, uri=SEND_TIME)])
    assert numbering.is_certain(LEVEL, 1)
    numbering.note([Extension(id=2, uri=LEVEL), Extension(id=3, uri=SEND_TIME)])
    assert numbering.is_certain(LEVEL, 1)
    assert numbering.is_certain(SEND_TIME, 3)
    assert not numbering.is_certain(LEVEL, 2)
    assert not numbering.is_certain(SEND_TIME, 2)


@pytest.mark.parametrize("kind", HEADER_EXTENSIONS)
def test_an_offer_of_aiortcs_own_numbers_leaves_all_certain(kind: str) -> None:
    numbering = Numbering()
    extensions = HEADER_EXTENSIONS[kind]
    numbering.note(extensions)
    numbering.learn([], extensions)
    numbering.note(HEADER_EXTENSIONS["audio"] + HEADER_EXTENSIONS["video"])
    assert all(numbering.is_certain(extension.uri, extension.id) for extension in extensions)
