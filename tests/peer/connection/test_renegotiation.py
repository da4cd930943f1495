"""Offers after the first: from either side, at the same moment, over and over."""

import asyncio
import itertools
import random
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.sdp import SessionDescription

from icefloe.peer import PeerConnection
from icefloe.peer.connection.candidates import RTCIceCandidateInit
from icefloe.peer.connection.negotiator import Negotiator
from tests.helpers.pairs import closing, connected, make, negotiate, until

# An offer as Chrome makes it: other payload types and extension ids than aiortc's.
CHROME_NUMBERS = {96: 111, 97: 108, 98: 109, 99: 114, 100: 115, 101: 125, 102: 107}


def renumbered(sdp: str) -> str:
    """Give an offer the numbers that a browser might have chosen."""

    def payload(match: re.Match[str]) -> str:
        number = int(match[2])
        return f"{match[1]}{CHROME_NUMBERS.get(number, number)}"

    sdp = re.sub(r"(a=(?:rtpmap|fmtp|rtcp-fb):)(\d+)", payload, sdp)
    sdp = re.sub(r"(apt=)(\d+)", payload, sdp)
    sdp = re.sub(
        r"(m=(?:audio|video) \d+ \S+ )([\d ]+)",
        lambda m: m[1] + re.sub(r"()(\d+)", payload, m[2]),
        sdp,
    )
    return re.sub(r"(a=extmap:)(\d+)", lambda m: f"{m[1]}{int(m[2]) + 4}", sdp)


def numbers(sdp: str) -> Iterator[tuple[str, str, int]]:
    """Yield mid, what it is, and its number, of everything that has a number."""
    for media in SessionDescription.parse(sdp).media:
        for codec in media.rtp.codecs:
            parameters = sorted((k, v) for k, v in codec.parameters.items() if k != "apt")
            apt = codec.parameters.get("apt")
            yield media.rtp.muxId, f"{codec.mimeType} {parameters} {apt}", codec.payloadType or -1
        for extension in media.rtp.headerExtensions:
            yield media.rtp.muxId, extension.uri, extension.id


def assert_nothing_renumbered(descriptions: list[str], others: list[str] | None = None) -> None:
    """Assert that no number got another meaning.

    Args:
        descriptions: Local descriptions.
        others: The remote ones of the same rounds. A header extension that is in one of both alone
            was not negotiated, and its id is free.
    """
    meaning: dict[tuple[str, int], set[str]] = defaultdict(set)
    for sdp, other in zip(descriptions, others or descriptions, strict=True):
        agreed = set(numbers(other))
        for mid, what, number in numbers(sdp):
            if what.startswith(("urn:", "http")) and (mid, what, number) not in agreed:
                continue
            kind = "extension" if what.startswith(("urn:", "http")) else "codec"
            meaning[f"{mid} {kind}", number].add(what)
    assert {k: v for k, v in meaning.items() if len(v) > 1} == {}


async def test_an_offer_after_a_browsers_keeps_its_numbers() -> None:
    browser, python = PeerConnection(), PeerConnection()
    for connection in (browser, python):
        connection.addTrack(AudioStreamTrack())
        connection.addTrack(VideoStreamTrack())
    async with closing(browser, python):
        await browser.setLocalDescription()
        offer = renumbered(browser.localDescription.sdp)
        await python.setRemoteDescription(RTCSessionDescription(sdp=offer, type="offer"))
        await python.setLocalDescription()
        answer = python.localDescription.sdp
        python.addTrack(VideoStreamTrack())
        again = (await python.createOffer()).sdp
    assert_nothing_renumbered([offer, answer, again])
    sections = SessionDescription.parse(again).media
    assert len(sections) == 3
    first, second = (
        {c.payloadType: (c.mimeType, str(c.parameters)) for c in sections[i].rtp.codecs}
        for i in (1, 2)
    )
    assert first.items() <= second.items()
    ids = [{e.uri: e.id for e in section.rtp.headerExtensions} for section in sections]
    assert ids[1] == ids[2]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("other", ["icefloe", "aiortc"])
async def test_either_side_offers_again_ten_times_over(other: str, seed: int) -> None:
    rng = random.Random(seed)
    a, b = make("icefloe"), make(other)
    a.createDataChannel("first")
    seen: list[str] = []
    others: list[str] = []
    mids: list[list[str]] = []
    async with closing(a, b):
        for _ in range(10):
            offerer, answerer = rng.choice([(a, b), (b, a)])
            for connection in (a, b):
                # Plain aiortc cannot answer with a track that was not offered.
                may_add = connection is offerer or isinstance(connection, PeerConnection)
                if may_add and rng.random() < 0.5:
                    connection.addTrack(rng.choice([AudioStreamTrack, VideoStreamTrack])())
            if rng.random() < 0.3:
                offerer.createDataChannel("another")
            await negotiate(offerer, answerer)
            seen.append(a.localDescription.sdp)
            others.append(a.remoteDescription.sdp)
            mids.append([m.rtp.muxId for m in SessionDescription.parse(seen[-1]).media])
        await connected(a, b)
    assert_nothing_renumbered(seen, others)
    for earlier, later in itertools.pairwise(mids):
        assert later[: len(earlier)] == earlier


class Link:
    """Carries one side's messages to the other, in order, each after a loop iteration or more."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.other: Negotiator | None = None

    async def _delay(self) -> None:
        for _ in range(self.rng.randrange(4)):
            await asyncio.sleep(0)

    async def description(self, description: RTCSessionDescription) -> None:
        await self._delay()
        assert self.other is not None
        await self.other.receive_description(description)

    async def candidate(self, candidate: RTCIceCandidateInit | None) -> None:
        await self._delay()
        assert self.other is not None
        await self.other.receive_candidate(candidate)


async def test_two_hundred_collisions_all_end_connected() -> None:
    rng = random.Random(1)
    failures: list[Exception] = []
    a, b = PeerConnection(), PeerConnection()
    links = Link(rng), Link(rng)
    sides = [
        Negotiator(connection, polite=polite, signaler=link, on_error=failures.append)
        for connection, polite, link in ((a, False, links[0]), (b, True, links[1]))
    ]
    links[0].other, links[1].other = sides[1], sides[0]
    labels: list[str] = []
    kinds: list[str] = []
    for connection in (a, b):
        connection.on("datachannel", lambda channel: labels.append(channel.label))
        connection.on("track", lambda track: kinds.append(track.kind))

    def add(connection: PeerConnection, number: int) -> None:
        if number % 20 == 0:
            connection.addTrack(rng.choice([AudioStreamTrack, VideoStreamTrack])())
        elif number % 20 == 10:
            sender = next((s for s in connection.getSenders() if s.track), None)
            if sender is not None:
                connection.removeTrack(sender)
        elif number % 2:
            for transceiver in connection.getTransceivers():
                transceiver.direction = rng.choice(["sendrecv", "recvonly", "sendonly"])
        else:
            connection.createDataChannel(f"channel {number}")

    def settled() -> bool:
        return all(c.signalingState == "stable" and not c._negotiation.is_needed() for c in (a, b))

    async with closing(a, b), asyncio.TaskGroup() as group:
        tasks = [group.create_task(side.run()) for side in sides]
        a.negotiate_data_channels()
        await connected(a, b)
        for number in range(200):
            add(a, number)
            add(b, number)
            while not settled():
                await asyncio.sleep(0)
        assert failures == []
        assert a.connectionState == b.connectionState == "connected"
        expected = 2 * sum(1 for n in range(200) if n % 2 == 0 and n % 20 not in (0, 10))
        await until(a, "datachannel", lambda: len(labels) == expected)
        directions = [{t.mid: t.currentDirection for t in c.getTransceivers()} for c in (a, b)]
        reverse = {"sendonly": "recvonly", "recvonly": "sendonly"}
        assert directions[0] == {m: reverse.get(d or "", d) for m, d in directions[1].items()}
        for task in tasks:
            task.cancel()
    assert kinds


async def test_two_hundred_first_offers_that_collide() -> None:
    rng = random.Random(2)
    for _ in range(200):
        failures: list[Exception] = []
        a, b = PeerConnection(), PeerConnection()
        links = Link(rng), Link(rng)
        # Neither waits for the other's first offer, as two browsers would not.
        sides = [
            Negotiator(connection, polite=polite, signaler=link, on_error=failures.append)
            for connection, polite, link in ((a, False, links[0]), (b, True, links[1]))
        ]
        sides[1]._polite = False
        links[0].other, links[1].other = sides[1], sides[0]
        async with closing(a, b), asyncio.TaskGroup() as group:
            tasks = [group.create_task(side.run()) for side in sides]
            opened = [connection.createDataChannel("x") for connection in (a, b)]
            for channel in opened:
                await until(channel, "open", lambda c=channel: c.readyState == "open")  # type: ignore[misc]
            assert failures == []
            for task in tasks:
                task.cancel()
