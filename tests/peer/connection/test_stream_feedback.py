"""Negotiation of the feedback of RFC 8888, and a call that has only that."""

import asyncio
import re

from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc.dtls import DtlsTransport
from tests.helpers.pairs import closing, connected, negotiate

WANTED = "a=rtcp-fb:* ack ccfb\r\n"
NUMBERS = re.compile(r"a=(?:extmap|rtcp-fb):\S+ \S*transport-\S*cc\S*\r\n")


def asking(sdp: str, *, both: bool = False, sections: tuple[str, ...] = ("audio", "video")) -> str:
    """Return a description that wants the feedback of RFC 8888, instead of the other or beside."""
    if not both:
        sdp = NUMBERS.sub("", sdp)
    parts = re.split(r"(?=^m=)", sdp, flags=re.MULTILINE)
    kinds = tuple(f"m={kind}" for kind in sections)
    return "".join(part + WANTED if part.startswith(kinds) else part for part in parts)


async def answered(a: PeerConnection, b: PeerConnection, offer: str) -> str:
    """Have an offer of one side, that was edited, answered by the other; return the answer."""
    await b.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
    await b.setLocalDescription()
    await a.setRemoteDescription(b.localDescription)
    return b.localDescription.sdp


async def offering(*tracks: AudioStreamTrack | VideoStreamTrack) -> tuple[PeerConnection, str]:
    a = PeerConnection()
    for track in tracks:
        a.addTrack(track)
    await a.setLocalDescription()
    return a, a.localDescription.sdp


async def test_it_is_answered_with_where_it_alone_is_offered() -> None:
    a, offer = await offering(AudioStreamTrack(), VideoStreamTrack())
    b = PeerConnection()
    async with closing(a, b):
        assert "ccfb" not in offer
        answer = await answered(a, b, asking(offer))
    assert answer.count("ccfb") == answer.count(WANTED) == 2
    assert "transport-cc" not in answer


async def test_transport_wide_feedback_is_preferred() -> None:
    a, offer = await offering(AudioStreamTrack(), VideoStreamTrack())
    b = PeerConnection()
    async with closing(a, b):
        answer = await answered(a, b, asking(offer, both=True))
    assert "ccfb" not in answer
    assert "transport-cc" in answer


async def test_it_is_for_all_sections_of_a_bundle_or_none() -> None:
    a, offer = await offering(AudioStreamTrack(), VideoStreamTrack())
    b = PeerConnection()
    async with closing(a, b):
        answer = await answered(a, b, asking(offer, sections=("video",)))
    assert "ccfb" not in answer


async def test_later_offers_keep_it() -> None:
    a, offer = await offering(VideoStreamTrack())
    b = PeerConnection()
    async with closing(a, b):
        await answered(a, b, asking(offer))
        b.addTrack(VideoStreamTrack())
        b.addTrack(AudioStreamTrack())
        await negotiate(b, a)
        again, answer = b.localDescription.sdp, a.localDescription.sdp
        await connected(a, b)
    assert again.count("ccfb") == again.count(WANTED) == 2
    assert "transport-cc" not in again
    assert answer.count(WANTED) == 2


async def test_the_estimate_is_made_of_it() -> None:
    a, offer = await offering(AudioStreamTrack(), VideoStreamTrack())
    b = PeerConnection()
    b.addTrack(VideoStreamTrack())
    async with closing(a, b):
        await answered(a, b, asking(offer))
        await connected(a, b)
        for side in (a, b):
            transport = side.getSenders()[0].transport
            assert isinstance(transport, DtlsTransport)
            control = transport.congestion.control
            # How high it is depends on the machine; what arrives is told by feedback alone.
            while not (control.available_bitrate and control.estimator.acknowledged_bitrate):
                await asyncio.sleep(0.05)
            assert not any(stream.stamp.number for stream in control._streams.values())
            assert transport.discarded.rtcp == 0
