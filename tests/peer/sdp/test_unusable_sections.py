"""Calls with peers whose offers have media sections that cannot be used, or are rejected later."""

import asyncio
import re

import pytest
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from icefloe.peer import PeerConnection, RTCIceCandidate
from tests.helpers.pairs import closing, connected, make, negotiate, opened, until

TEXT = "m=text 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:98 t140/1000\r\n"
SLIDES = "m=application 9 UDP/TLS/UDPTL t38\r\nc=IN IP4 host.example\r\n"
HEVC = (
    "m=video 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=rtpmap:98 H265/90000\r\n"
)
SECOND = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sctp-port:5000\r\n"


class Foreign:
    """Plain aiortc behind a program that puts a section of its own in front of, or after, all.

    aiortc itself knows nothing of that section.
    """

    def __init__(self, connection: RTCPeerConnection, section: str, *, first: bool) -> None:
        self.connection, self.first, self.section = connection, first, section

    async def offer(self) -> RTCSessionDescription:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        text = self.connection.localDescription.sdp
        lines = r"a=(?:ice-ufrag|ice-pwd|fingerprint|setup):.*\r\n"
        own = self.section + "a=mid:own\r\n" + "".join(dict.fromkeys(re.findall(lines, text)))
        head, *sections = re.split(r"(?=^m=)", text, flags=re.MULTILINE)
        sections.insert(0 if self.first else len(sections), own)
        group = "BUNDLE own" if self.first else "BUNDLE"
        return RTCSessionDescription(head.replace("BUNDLE", group) + "".join(sections), "offer")

    async def answered(self, answer: RTCSessionDescription) -> None:
        head, *sections = re.split(r"(?=^m=)", answer.sdp, flags=re.MULTILINE)
        own = sections.pop(0 if self.first else len(sections) - 1)
        assert re.match(r"m=\S+ 0 ", own), own
        assert "a=mid:own\r\n" in own
        assert "own" not in head
        await self.connection.setRemoteDescription(
            RTCSessionDescription(head + "".join(sections), "answer")
        )


@pytest.mark.parametrize(
    ("section", "first"),
    [
        pytest.param(TEXT, True, id="text, first"),
        pytest.param(TEXT, False, id="text, last"),
        pytest.param(SLIDES, True, id="slides, first"),
        pytest.param(SLIDES, False, id="slides, last"),
        pytest.param(HEVC, True, id="H.265, first"),
        pytest.param(HEVC, False, id="H.265, last"),
        pytest.param(SECOND, False, id="second data, last"),
    ],
)
async def test_the_rest_of_the_call_works(section: str, first: bool) -> None:
    far, near = make("aiortc"), PeerConnection()
    foreign = Foreign(far, section, first=first)
    received: list[MediaStreamTrack] = []
    near.on("track", received.append)
    async with closing(far, near):
        far.addTrack(AudioStreamTrack())
        channel = far.createDataChannel("x")
        for _ in range(2):  # and again, with a track more
            await near.setRemoteDescription(await foreign.offer())
            assert near.remoteDescription.sdp.count("m=") == len(far.getTransceivers()) + 2
            await near.setLocalDescription()
            await foreign.answered(near.localDescription)
            await connected(far, near)
            await opened(channel)
            await asyncio.gather(*(track.recv() for track in received))
            assert len(received) == len(near.getTransceivers()) == len(far.getTransceivers())
            far.addTrack(AudioStreamTrack())


@pytest.mark.parametrize("by", ["mid", "index"])
async def test_candidates_come_by_the_section_that_is_not_used(by: str) -> None:
    # The first of a bundle is the one that a browser names in all its candidates.
    far, near = make("aiortc"), PeerConnection()
    foreign = Foreign(far, TEXT, first=True)
    async with closing(far, near):
        channel = far.createDataChannel("x")
        offer = await foreign.offer()
        candidates = dict.fromkeys(re.findall(r"a=(candidate:.*)\r\n", offer.sdp))
        offer.sdp = re.sub(r"a=(candidate|end-of).*\r\n", "", offer.sdp)
        await near.setRemoteDescription(offer)
        await near.setLocalDescription()
        answer = near.localDescription
        answer.sdp = re.sub(r"a=(candidate|end-of).*\r\n", "", answer.sdp)
        await foreign.answered(answer)
        for candidate in candidates:
            where: dict[str, object] = {"sdpMid": "own"} if by == "mid" else {"sdpMLineIndex": 0}
            await near.addIceCandidate({"candidate": candidate, **where})
        await opened(channel)


async def test_candidates_of_this_side_name_the_place_that_the_other_side_knows() -> None:
    far, near = make("aiortc"), PeerConnection()
    foreign = Foreign(far, TEXT, first=True)
    places: list[tuple[str | None, int | None]] = []

    def found(candidate: RTCIceCandidate | None) -> None:
        if candidate is not None:
            places.append((candidate.sdpMid, candidate.sdpMLineIndex))

    near.on("icecandidate", found)
    async with closing(far, near):
        far.createDataChannel("x")
        await near.setRemoteDescription(await foreign.offer())
        await near.setLocalDescription()
        await until(near, "icecandidate", lambda: bool(places))
        assert set(places) == {("0", 1)}


@pytest.mark.parametrize("rejects", ["offer", "answer"])
async def test_data_channels_that_are_rejected_in_a_call_close_and_media_goes_on(
    rejects: str,
) -> None:
    far, near = PeerConnection(), PeerConnection()
    received: list[MediaStreamTrack] = []
    far.on("track", received.append)
    async with closing(far, near):
        near.addTrack(AudioStreamTrack())
        channel = near.createDataChannel("x")
        await negotiate(near, far)
        await opened(channel)

        def rejecting(description: RTCSessionDescription) -> RTCSessionDescription:
            text = re.sub(r"m=application \d+", "m=application 0", description.sdp)
            text = text.replace("BUNDLE 0 1", "BUNDLE 0")
            return RTCSessionDescription(text, description.type)

        if rejects == "offer":
            await far.setLocalDescription()
            await near.setRemoteDescription(rejecting(far.localDescription))
            assert channel.readyState == "open"  # it may still be taken back
            await near.setLocalDescription()
            assert "m=application 0 " in near.localDescription.sdp
            await far.setRemoteDescription(near.localDescription)
            assert far.sctp is None
        else:
            await near.setLocalDescription()
            await far.setRemoteDescription(near.localDescription)
            await far.setLocalDescription()
            await near.setRemoteDescription(rejecting(far.localDescription))
        assert channel.readyState == "closed"
        assert near.connectionState == "connected"
        await received[0].recv()
        if rejects == "offer":
            again = near.createDataChannel("again")
            await negotiate(near, far)
            await opened(again)
            assert re.findall(r"m=application (\d+)", near.localDescription.sdp)[0] == "0"


async def test_a_rejection_of_data_channels_can_be_taken_back() -> None:
    far, near = PeerConnection(), PeerConnection()
    async with closing(far, near):
        channel = near.createDataChannel("x")
        await negotiate(near, far)
        await opened(channel)
        await far.setLocalDescription()
        text = re.sub(r"m=application \d+", "m=application 0", far.localDescription.sdp)
        await near.setRemoteDescription(RTCSessionDescription(text, "offer"))
        await near.setRemoteDescription(RTCSessionDescription("", "rollback"))
        await far.setLocalDescription(RTCSessionDescription("", "rollback"))
        assert channel.readyState == "open"
        await negotiate(near, far)
        assert channel.readyState == "open"


@pytest.mark.parametrize("protocol", ["UDP/TLS/RTP/S=AVPF", "RTP/SAVPF2", "udp/tls/rtp/savpf"])
async def test_a_protocol_that_aiortc_cannot_read_ends_in_an_answer(protocol: str) -> None:
    one, other = PeerConnection(), PeerConnection()
    async with closing(one, other):
        one.addTransceiver("audio")
        one.createDataChannel("chat")
        await one.setLocalDescription()
        text = one.localDescription.sdp.replace("UDP/TLS/RTP/SAVPF", protocol)
        await other.setRemoteDescription(RTCSessionDescription(text, "offer"))
        await other.setLocalDescription()
        assert other.signalingState == "stable"
        assert len(re.findall("^m=", other.localDescription.sdp, re.M)) == 2
        await other.createOffer()
