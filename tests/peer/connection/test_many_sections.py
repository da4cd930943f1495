"""Descriptions of very many media sections: the event loop has its turns, and nobody sees half."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiortc import InvalidStateError, RTCSessionDescription

from icefloe.peer import InvalidDescription, PeerConnection
from icefloe.peer.sdp import SECTIONS, mids
from icefloe.peer.sdp.steps import AT_ONCE
from tests.helpers.turns import Turns
from tests.helpers.work import lines_run

ROLLBACK = RTCSessionDescription("", "rollback")


def section(kind: str, mid: int) -> str:
    """Return a media section as browsers write it, short."""
    codec = "VP8/90000" if kind == "video" else "opus/48000/2"
    return (
        f"m={kind} 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=sendrecv\r\n"
        f"a=msid:- track{mid}\r\na=rtcp-mux\r\na=rtpmap:96 {codec}\r\na=rtcp-fb:96 nack\r\n"
        f"a=ssrc:{mid + 1} cname:x\r\n"
    )


def offer(kind: str, count: int) -> str:
    """Return an offer of as many sections of one kind."""
    group = f"a=group:BUNDLE {' '.join(map(str, range(count)))}\r\n"
    return (
        f"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n{group}"
        f"a=ice-ufrag:Ab3d\r\na=ice-pwd:{'p' * 24}\r\na=setup:actpass\r\n"
        f"a=fingerprint:sha-256 {':'.join(['5B'] * 32)}\r\n"
        + "".join(section(kind, mid) for mid in range(count))
    )


@asynccontextmanager
async def connections(count: int = 1) -> AsyncIterator[list[PeerConnection]]:
    made = [PeerConnection() for _ in range(count)]
    for connection in made:
        connection.on("icecandidate", lambda candidate: None)
    yield made
    await asyncio.gather(*(connection.close() for connection in made))


async def negotiate(one: PeerConnection, other: PeerConnection) -> None:
    await one.setLocalDescription()
    await other.setRemoteDescription(one.localDescription)
    await other.setLocalDescription()
    await one.setRemoteDescription(other.localDescription)


def turns_of(text: str) -> int:
    """Return how many turns the loop has at least while a description is read and written."""
    return text.count("\n") // AT_ONCE


@pytest.mark.parametrize("kind", ["video", "audio"])
async def test_as_many_sections_as_there_may_be_are_taken_in_turns(kind: str) -> None:
    async with connections() as (pc,):
        tracks: list[object] = []
        pc.on("track", tracks.append)
        text = offer(kind, SECTIONS)
        with Turns() as turns:
            await pc.setRemoteDescription(RTCSessionDescription(text, "offer"))
        assert turns.number >= 4 * turns_of(text)
        assert len(tracks) == len(pc.getTransceivers()) == SECTIONS
        with Turns() as turns:
            await pc.setLocalDescription()
        answer = pc.localDescription.sdp
        assert turns.number >= 2 * turns_of(answer)
        assert pc.signalingState == "stable"
        assert mids(answer) == [transceiver.mid for transceiver in pc.getTransceivers()]
        assert f"m={kind} 0 " not in answer


async def test_one_more_is_refused_and_changes_nothing() -> None:
    async with connections() as (pc,):
        with pytest.raises(InvalidDescription, match=f"more than {SECTIONS} media sections"):
            await pc.setRemoteDescription(
                RTCSessionDescription(offer("video", SECTIONS + 1), "offer")
            )
        assert pc.signalingState == "stable"
        assert pc.getTransceivers() == []
        await pc.setRemoteDescription(RTCSessionDescription(offer("video", 1), "offer"))


async def test_an_ordinary_description_takes_no_turn_of_its_own() -> None:
    async with connections() as (pc,):
        with Turns() as turns:
            await pc.setRemoteDescription(RTCSessionDescription(offer("video", 8), "offer"))
        assert turns.number == 1


async def test_an_answer_of_many_sections_and_another_round() -> None:
    async with connections(2) as (one, other):
        for _ in range(SECTIONS):
            one.addTransceiver("video", direction="sendonly")
        await negotiate(one, other)
        for transceiver in other.getTransceivers()[::2]:
            transceiver.direction = "inactive"
        await negotiate(other, one)
        directions = [transceiver.currentDirection for transceiver in one.getTransceivers()]
        assert directions == ["inactive", "sendonly"] * (SECTIONS // 2)
        assert len(other.getTransceivers()) == SECTIONS


async def test_more_than_are_taken_may_be_offered_and_answered() -> None:
    async with connections() as (pc,):
        for _ in range(SECTIONS + 1):
            pc.addTransceiver("audio")
        await pc.setLocalDescription()
        sent = offer("audio", SECTIONS + 1).replace("actpass", "active")
        formats = re.findall(r"m=audio \d+ \S+ (\d+)", pc.localDescription.sdp)
        text = sent.replace("SAVPF 96", f"SAVPF {formats[0]}").replace(":96 ", f":{formats[0]} ")
        await pc.setRemoteDescription(RTCSessionDescription(text, "answer"))
        assert pc.signalingState == "stable"


@pytest.mark.parametrize("answered", [False, True])
async def test_an_offer_of_many_sections_is_taken_back(answered: bool) -> None:
    async with connections() as (pc,):
        many = RTCSessionDescription(offer("video", SECTIONS), "offer")
        if answered:
            await pc.setRemoteDescription(RTCSessionDescription(offer("video", 2), "offer"))
            await pc.setLocalDescription()
        kept = pc.getTransceivers()
        await pc.setRemoteDescription(many)
        await pc.setRemoteDescription(ROLLBACK)
        assert pc.signalingState == "stable"
        assert pc.getTransceivers() == kept
        await pc.setRemoteDescription(many)
        assert len(pc.getTransceivers()) == SECTIONS


async def test_nobody_sees_half_of_a_description() -> None:
    async with connections() as (pc,):
        seen: set[tuple[object, ...]] = set()

        async def look() -> None:
            while True:
                has_remote = pc.pendingRemoteDescription is not None
                seen.add((pc.signalingState, len(pc.getTransceivers()), has_remote, pc.is_settled))
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await asyncio.sleep(0)
        assert seen == {("stable", 0, False, True)}
        seen.clear()
        await pc.setRemoteDescription(RTCSessionDescription(offer("video", SECTIONS), "offer"))
        looking.cancel()
        assert ("stable", 0, False, False) in seen
        assert seen <= {
            ("stable", 0, False, False),
            ("have-remote-offer", SECTIONS, True, False),
        }


async def test_a_handler_of_tracks_sees_all_transceivers() -> None:
    async with connections() as (pc,):
        counts: set[int] = set()
        pc.on("track", lambda track: counts.add(len(pc.getTransceivers())))
        await pc.setRemoteDescription(RTCSessionDescription(offer("audio", 100), "offer"))
        assert counts == {100}


@pytest.mark.parametrize("after", [1, 5, 20, 40])
async def test_closing_in_the_middle_of_an_offer(after: int) -> None:
    async with connections() as (pc,):
        taking = asyncio.create_task(
            pc.setRemoteDescription(RTCSessionDescription(offer("video", SECTIONS), "offer"))
        )
        for _ in range(after):
            await asyncio.sleep(0)
        await pc.close()
        with pytest.raises(InvalidStateError):
            await taking
        assert pc.signalingState == "closed"
        assert pc.getTransceivers() == []


@pytest.mark.parametrize("after", [1, 5, 8])
async def test_closing_in_the_middle_of_an_answer(after: int) -> None:
    async with connections() as (pc,):
        await pc.setRemoteDescription(RTCSessionDescription(offer("video", SECTIONS), "offer"))
        answering = asyncio.create_task(pc.setLocalDescription())
        for _ in range(after):
            await asyncio.sleep(0)
        await pc.close()
        with pytest.raises(InvalidStateError):
            await answering
        assert pc.signalingState == "closed"
        assert pc.currentLocalDescription is None


async def test_what_is_asked_for_meanwhile_waits() -> None:
    async with connections() as (pc,):
        text = offer("audio", SECTIONS)
        await asyncio.gather(
            pc.setRemoteDescription(RTCSessionDescription(text, "offer")),
            pc.setLocalDescription(),
            pc.setRemoteDescription(RTCSessionDescription(offer("audio", SECTIONS), "offer")),
            pc.setRemoteDescription(ROLLBACK),
        )
        assert pc.signalingState == "stable"
        assert len(pc.getTransceivers()) == SECTIONS


def work(count: int) -> int:
    """Return how many lines of Python it takes to answer an offer of sections, and to end."""

    async def answered() -> None:
        async with connections() as (pc,):
            await pc.setRemoteDescription(RTCSessionDescription(offer("video", count), "offer"))
            await pc.setLocalDescription()
            assert pc.localDescription.sdp.count("m=video") == count

    return lines_run(lambda: asyncio.run(answered()))


def test_twice_as_many_sections_are_twice_the_work() -> None:
    one, two, four = (work(count) for count in (SECTIONS // 4, SECTIONS // 2, SECTIONS))
    assert four - two < 2.5 * (two - one)
