"""Chromium's getStats() and ours, about the same call."""

from typing import Any

import pytest
from playwright.async_api import Browser, Page

from icefloe.peer import (
    PeerConnection,
    RTCDataChannelStats,
    RTCIceCandidatePairStats,
    RTCTransportStats,
    join,
)
from icefloe.signaling import serve
from tests.helpers.browser import open_page
from tests.helpers.pairs import until
from tests.peer.connection.test_stats import BEYOND

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium")]

_REPORT = """
  async (name) => {
    const { pc } = [...icefloe.peers.values()].find((peer) => peer.name === name);
    return [...(await pc.getStats()).values()];
  }
"""

MIRRORED = ("candidateType", "port", "protocol", "usernameFragment")


async def test_both_ends_of_a_call_describe_the_same_path(browser: Browser) -> None:
    async with serve(port=0) as server:
        page = await open_page(browser)
        async with join(server.url, room="lobby", name="python") as room:
            await page.join(server.page_url, name="alice")
            peer = await room.peer("alice")
            await peer.connected()
            await page.connected("python")
            channel = await peer.open_channel("numbers")
            for number in range(3):
                await channel.send(f"{number}")
            await _agree(peer.connection, page.page)
            ours = await peer.connection.getStats()
            theirs = await _chromium(page.page)
            path = peer.path
    transport = next(s for s in ours.values() if isinstance(s, RTCTransportStats))
    pair = ours[transport.selectedCandidatePairId]
    assert isinstance(pair, RTCIceCandidatePairStats)
    their_transport = next(s for s in theirs.values() if s["type"] == "transport")
    their_pair = theirs[their_transport["selectedCandidatePairId"]]
    for mine, other in (
        (ours[pair.localCandidateId], theirs[their_pair["remoteCandidateId"]]),
        (ours[pair.remoteCandidateId], theirs[their_pair["localCandidateId"]]),
    ):
        assert [getattr(mine, name) for name in MIRRORED] == [other[name] for name in MIRRORED]
    assert {transport.iceRole, their_transport["iceRole"]} == {"controlling", "controlled"}
    assert path is not None
    assert path.startswith("host/udp -> host/udp, rtt ")
    sent = next(
        s for s in ours.values() if isinstance(s, RTCDataChannelStats) and s.label == "numbers"
    )
    received = next(
        s for s in theirs.values() if s["type"] == "data-channel" and s["label"] == "numbers"
    )
    assert sent.messagesSent == received["messagesReceived"] == 3
    assert sent.bytesSent == received["bytesReceived"] == 3
    assert sent.dataChannelIdentifier == received["dataChannelIdentifier"]
    # What is ours is Chromium's too, under the same name.
    known = {name for entry in theirs.values() for name in entry}
    for entry in (transport, pair, sent):
        assert set(vars(entry)) - set(BEYOND.get(type(entry), "").split()) <= known


async def _chromium(page: Page) -> dict[str, Any]:
    return {entry["id"]: entry for entry in await page.evaluate(_REPORT, "python")}


async def _agree(connection: PeerConnection, page: Page) -> None:
    """Wait until both use the same pair, and what was sent has come."""
    while True:
        await until(
            connection,
            "selectedcandidatepairchange",
            lambda: connection.selected_candidate_pair is not None,
        )
        theirs = await _chromium(page)
        transport = next(s for s in theirs.values() if s["type"] == "transport")
        numbers = [s for s in theirs.values() if s.get("label") == "numbers"]
        pair = theirs.get(transport.get("selectedCandidatePairId", ""))
        mine = connection.selected_candidate_pair
        if (
            pair is not None
            and mine is not None
            and theirs[pair["localCandidateId"]]["port"] == mine.remote.port
            and numbers
            and numbers[0]["messagesReceived"] == 3
        ):
            return
