"""One picture for several viewers, Python programs and browsers, through one encoder."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from av import VideoFrame

from icefloe.demos.webcam import picture, show, take_part
from icefloe.media import DeviceUnavailable, EncodedFanout, TestPatternTrack
from icefloe.peer import join
from icefloe.signaling import SignalingServer
from tests.demos.rooms import running
from tests.helpers.browser import FAKE_DEVICES, chromium, open_page
from tests.helpers.calls import eventually

SIZE = (160, 120)


@pytest.fixture
async def fanout() -> AsyncIterator[EncodedFanout]:
    source = TestPatternTrack(*SIZE)
    shared = EncodedFanout(source, stop_source=False)
    yield shared
    shared.close()
    source.stop()


@asynccontextmanager
async def viewing(server: SignalingServer, name: str) -> AsyncIterator[None]:
    """Be in the room, with a picture that has come, until the end of the block."""
    async with join(server.url, room="lobby", name=name) as room:
        peer = await room.peer("webcam")
        track = await anext(aiter(peer.tracks()))
        frame = await track.recv()
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.height) == SIZE
        yield
        track.stop()


def encoders(fanout: EncodedFanout) -> list[tuple[float, int]]:
    return [(report.scale_down_by, report.viewers) for report in fanout.encoders]


async def test_there_is_one_encoder_for_all_who_look(
    server: SignalingServer, fanout: EncodedFanout
) -> None:
    async with running(show(server.url, fanout)):
        async with AsyncExitStack() as viewers:
            for count, name in enumerate(("alice", "bob", "carol"), start=1):
                await viewers.enter_async_context(viewing(server, name))
                assert encoders(fanout) == [(1.0, count)]
        # When nobody looks nothing is encoded, and who comes then gets a picture all the same.
        await eventually(lambda: not fanout.encoders)
        assert fanout.subscribers == 0
        async with viewing(server, "dave"):
            assert encoders(fanout) == [(1.0, 1)]


@pytest.mark.browser
@pytest.mark.system("chromium")
async def test_pages_see_it_through_one_encoder(
    server: SignalingServer, fanout: EncodedFanout
) -> None:
    async with running(show(server.url, fanout)), chromium(*FAKE_DEVICES) as browser:
        pages = [await open_page(browser) for _ in range(2)]
        for page, name in zip(pages, ("alice", "bob"), strict=True):
            await page.join(f"http://127.0.0.1:{server.port}/", name=name)
            await page.plays("webcam")
        assert [viewers for _, viewers in encoders(fanout)] == [2]
        assert [page.complaints for page in pages] == [[], []]


async def test_there_is_a_picture_with_and_without_a_camera() -> None:
    async with picture() as track:
        assert isinstance(await track.recv(), VideoFrame)
    assert track.readyState == "ended"


async def test_a_camera_that_was_asked_for_and_is_not_there_is_told(
    server: SignalingServer,
) -> None:
    with pytest.raises(DeviceUnavailable, match="/dev/no-such-camera"):
        await take_part(server.url, device="/dev/no-such-camera")
