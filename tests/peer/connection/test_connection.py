"""Two peer connections, whichever way their descriptions and candidates travel."""

import asyncio
import re
from typing import Any

import aiortc
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack, VideoStreamTrack

from icefloe.peer import PeerConfiguration, PeerConnection, RTCIceCandidate
from tests.helpers.pairs import closing, connected, make, negotiate, opened, trickle, until


def without_candidates(text: str) -> str:
    """Return a description without candidates and their end."""
    return re.sub(r"a=(candidate|end-of).*\r\n", "", text)


async def echo_over(offerer: RTCPeerConnection, answerer: RTCPeerConnection) -> str:
    """Send a message over a new channel and return what comes back."""

    @answerer.on("datachannel")
    def _(channel: aiortc.RTCDataChannel) -> None:
        channel.on("message", channel.send)

    channel = offerer.createDataChannel("echo")
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    channel.on("message", answer.set_result)
    await negotiate(offerer, answerer)
    await opened(channel)
    channel.send("grüß dich")
    return await answer


@pytest.mark.parametrize(
    ("offerer", "answerer"),
    [("icefloe", "icefloe"), ("icefloe", "aiortc"), ("aiortc", "icefloe")],
)
async def test_a_channel_opens_without_trickling(offerer: str, answerer: str) -> None:
    a, b = make(offerer), make(answerer)
    async with closing(a, b):
        assert await echo_over(a, b) == "grüß dich"


async def test_a_channel_opens_with_trickled_candidates_alone() -> None:
    a, b = PeerConnection(), PeerConnection()
    sent = trickle(a, b), trickle(b, a)
    channel = a.createDataChannel("x")
    async with closing(a, b):
        offer = await a.createOffer()
        await a.setLocalDescription(offer)
        answerless = RTCSessionDescription(sdp=offer.sdp, type="offer")
        assert "a=candidate" not in answerless.sdp
        await b.setRemoteDescription(answerless)
        answer = await b.createAnswer()
        await b.setLocalDescription(answer)
        await a.setRemoteDescription(answer)
        await opened(channel)
        for candidates in sent:
            assert candidates[-1] is None
            assert all(isinstance(c, RTCIceCandidate) for c in candidates[:-1])
            assert {c.sdpMid for c in candidates[:-1] if c} == {"0"}


@pytest.mark.parametrize("offerer", ["icefloe", "aiortc"])
async def test_audio_video_and_data_flow_both_ways(offerer: str) -> None:
    a, b = make(offerer), make("icefloe" if offerer == "aiortc" else "aiortc")
    tracks: dict[RTCPeerConnection, list[MediaStreamTrack]] = {a: [], b: []}
    for connection in (a, b):
        connection.addTrack(AudioStreamTrack())
        connection.addTrack(VideoStreamTrack())
        connection.on("track", tracks[connection].append)
    a.createDataChannel("data")
    async with closing(a, b):
        await negotiate(a, b)
        await connected(a, b)
        for received in tracks.values():
            assert sorted(track.kind for track in received) == ["audio", "video"]
            for track in received:
                frame = await track.recv()
                assert frame.pts is not None
        stats = await a.getStats()
        assert {"outbound-rtp", "inbound-rtp", "transport"} <= {s.type for s in stats.values()}


async def test_candidates_are_announced_after_the_description_is_set() -> None:
    a = PeerConnection()
    a.createDataChannel("x")
    order: list[str] = []
    a.on("icecandidate", lambda candidate: order.append("candidate" if candidate else "end"))
    async with closing(a):
        await a.setLocalDescription()
        order.append("description")
        await until(a, "icecandidate", lambda: "end" in order)
    assert order[0] == "description"
    assert order[-1] == "end"
    assert order.count("end") == 1


async def test_the_local_description_holds_the_candidates_found_so_far() -> None:
    a = PeerConnection()
    a.createDataChannel("x")
    async with closing(a):
        await a.setLocalDescription()
        lines = a.localDescription.sdp.splitlines()
    assert any(line.startswith("a=candidate:") for line in lines)
    assert "a=end-of-candidates" in lines
    assert "a=ice-options:trickle" in lines


@pytest.mark.parametrize(
    "end",
    [
        None,
        {},
        {"candidate": ""},
        {"candidate": "", "sdpMid": "0"},
        {"candidate": "", "sdpMLineIndex": 0},
    ],
)
async def test_every_form_of_end_of_candidates_is_understood(end: Any) -> None:
    a, b = PeerConnection(), PeerConnection()
    a.createDataChannel("x")
    a.on("icecandidate", lambda _: None)
    async with closing(a, b):
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        await b.addIceCandidate(end)
        assert "a=end-of-candidates" in b.remoteDescription.sdp


async def test_candidates_before_their_description_are_kept() -> None:
    a, b = PeerConnection(), PeerConnection()
    channel = a.createDataChannel("x")
    early: list[Any] = []
    a.on("icecandidate", lambda c: early.append(c.toJSON() if c else None))
    async with closing(a, b):
        offer = await a.createOffer()
        await a.setLocalDescription(offer)
        await until(a, "icecandidate", lambda: None in early)
        for candidate in early:
            await b.addIceCandidate(candidate)
        await b.setRemoteDescription(offer)
        assert b.remoteDescription.sdp.count("a=candidate:") == len(early) - 1
        await b.setLocalDescription()
        # The answer goes back without candidates: only those that b kept can connect the two.
        answer = without_candidates(b.localDescription.sdp)
        await a.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
        await opened(channel)


async def test_candidates_after_the_end_of_them_are_taken() -> None:
    """Signaling that does not keep the order brings the end first."""
    a, b = PeerConnection(), PeerConnection()
    channel = a.createDataChannel("x")
    async with closing(a, b):
        await negotiate(a, b, change=without_candidates, back=without_candidates)
        await b.addIceCandidate(None)
        for line in a.localDescription.sdp.splitlines():
            if line.startswith("a=candidate:"):
                await b.addIceCandidate({"candidate": line[2:], "sdpMid": "0"})
        await opened(channel)


async def test_no_configuration_names_no_server() -> None:
    a = PeerConnection()
    a.createDataChannel("x")
    async with closing(a):
        await a.setLocalDescription()
        assert a.localDescription.sdp.count("typ srflx") == 0
    for configuration in (None, RTCConfiguration(), PeerConfiguration()):
        assert PeerConnection(configuration)._context.servers == ()


async def test_everything_shares_one_transport_by_default() -> None:
    a = PeerConnection()
    a.addTrack(AudioStreamTrack())
    a.addTrack(VideoStreamTrack())
    a.createDataChannel("x")
    transports = {t.receiver.transport for t in a.getTransceivers()}
    assert a.sctp is not None
    assert transports == {a.sctp.transport}
    await a.close()


async def test_a_connection_with_everything_closes_twice_and_at_once() -> None:
    a, b = PeerConnection(), PeerConnection()
    a.addTrack(VideoStreamTrack())
    async with closing(a, b):
        await negotiate(a, b)
        await connected(a, b)
        await asyncio.gather(a.close(), a.close())
        assert a.connectionState == "closed"
        await until(b, "connectionstatechange", lambda: b.connectionState == "closed")


def test_tracks_may_be_added_before_the_loop_runs() -> None:
    """aiortc's examples build a connection first, and run a loop with it afterwards."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        a, b = PeerConnection(), PeerConnection()
        a.addTrack(AudioStreamTrack())

        async def call() -> None:
            async with closing(a, b):
                await negotiate(a, b)
                await connected(a, b)
                assert b.getReceivers()[0].track.kind == "audio"

        loop.run_until_complete(call())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def test_descriptions_tell_one_fingerprint_as_browsers_do() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.createDataChannel("data")
        a.addTransceiver("audio")
        await negotiate(a, b)
        for side in (a, b):
            lines = side.localDescription.sdp.splitlines()
            told = {line for line in lines if line.startswith("a=fingerprint:")}
            assert len(told) == 1
            assert told.pop().startswith("a=fingerprint:sha-256 ")


OTHER = "a=fingerprint:sha-256 " + ":".join(["5B"] * 32) + "\r\n"


@pytest.mark.parametrize("role", ["active", "passive"])
async def test_one_of_several_fingerprints_is_enough(role: str) -> None:
    """RFC 8122 section 5: a description may name several certificates."""
    a, b = PeerConnection(), PeerConnection()
    channel = a.createDataChannel("data")

    def both(text: str) -> str:
        return text.replace("a=fingerprint", OTHER + "a=fingerprint", 1)

    async with closing(a, b):
        await negotiate(a, b, change=lambda text: both(text).replace("actpass", role))
        await opened(channel)


@pytest.mark.parametrize("role", ["active", "passive"])
async def test_a_wrong_fingerprint_is_told_to_the_other_side(role: str) -> None:
    """Its own handshake has succeeded, and it would go on sending to nobody."""
    a, b = PeerConnection(), PeerConnection()
    channel = a.createDataChannel("data")
    b.createDataChannel("data")

    def wrong(text: str) -> str:
        return re.sub("a=fingerprint.*\r\n", OTHER, text).replace("actpass", role)

    async with closing(a, b):
        await negotiate(a, b, change=wrong)
        await until(b, "connectionstatechange", lambda: b.connectionState == "failed")
        await until(a, "connectionstatechange", lambda: a.connectionState == "closed")
        assert channel.readyState == "closed"


async def test_no_candidate_is_told_of_an_offer_that_was_taken_back() -> None:
    pc = PeerConnection()
    async with closing(pc):
        told: list[object] = []
        pc.on("icecandidate", told.append)
        pc.addTransceiver("audio")
        await pc.setLocalDescription()
        await pc.setLocalDescription(RTCSessionDescription("", "rollback"))
        await until(pc, "icecandidate", lambda: None in told)
        assert told == [None]
        await pc.setLocalDescription()
        assert "a=candidate:" in pc.localDescription.sdp
