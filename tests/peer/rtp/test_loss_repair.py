"""Repair of lost packets of video, decided and over a real connection."""

from collections.abc import Callable
from typing import Any

import pytest
from aiortc.mediastreams import VideoStreamTrack

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import Sender, agent_of
from icefloe.peer.rtp.receive.loss_repair import (
    KEY_FRAME_RETRY,
    LONGEST_NACK_INTERVAL,
    LONGEST_WAIT,
    MAX_WAIT,
    NACK_INTERVAL,
    LossRepair,
    RepairAction,
)
from tests.helpers.pairs import closing, connected, negotiate


def test_a_stream_without_gaps_is_left_alone() -> None:
    repair = LossRepair()
    for number in range(100):
        assert repair.next_action(number * 5.0, number, has_gap=False) is RepairAction.NOTHING


def test_what_is_missing_is_asked_for_again_until_patience_ends() -> None:
    repair = LossRepair()
    assert repair.next_action(0, 7, has_gap=True) is RepairAction.NOTHING
    assert repair.next_action(NACK_INTERVAL / 2, 7, has_gap=True) is RepairAction.NOTHING
    assert repair.next_action(NACK_INTERVAL, 7, has_gap=True) is RepairAction.REPEAT_NACK
    assert repair.next_action(NACK_INTERVAL * 1.5, 7, has_gap=True) is RepairAction.NOTHING
    assert repair.next_action(NACK_INTERVAL * 2, 7, has_gap=True) is RepairAction.REPEAT_NACK
    assert repair.next_action(MAX_WAIT, 7, has_gap=True) is RepairAction.SKIP
    assert repair.next_action(MAX_WAIT, 30, has_gap=False) is RepairAction.NOTHING
    assert (
        repair.next_action(MAX_WAIT + KEY_FRAME_RETRY, 33, has_gap=False)
        is RepairAction.REQUEST_KEY_FRAME
    )
    assert (
        repair.next_action(MAX_WAIT + 2 * KEY_FRAME_RETRY, 36, has_gap=False)
        is RepairAction.NOTHING
    )


def test_patience_begins_anew_with_each_gap() -> None:
    repair = LossRepair()
    repair.next_action(0, 7, has_gap=True)
    assert repair.next_action(MAX_WAIT, 8, has_gap=True) is RepairAction.NOTHING
    repair.next_action(MAX_WAIT + 0.1, 9, has_gap=False)
    assert repair.next_action(MAX_WAIT * 2, 9, has_gap=True) is RepairAction.NOTHING


def test_a_path_that_fills_gaps_late_is_asked_less_often_and_given_longer() -> None:
    repair = LossRepair()
    now = 0.0
    for number in range(20):
        repair.next_action(now, number, has_gap=True)
        repair.next_action(now + 0.35, number + 1, has_gap=False)
        now += 1.0
    assert 0.35 < repair.interval < LONGEST_NACK_INTERVAL
    assert repair.wait == LONGEST_WAIT
    repair.next_action(now, 50, has_gap=True)
    assert repair.next_action(now + NACK_INTERVAL, 50, has_gap=True) is RepairAction.NOTHING
    assert repair.next_action(now + 0.45, 50, has_gap=True) is RepairAction.REPEAT_NACK
    assert repair.next_action(now + MAX_WAIT, 50, has_gap=True) is RepairAction.NOTHING
    assert repair.next_action(now + LONGEST_WAIT + 0.01, 50, has_gap=True) is RepairAction.SKIP


def test_neither_a_fast_path_nor_a_very_slow_one_leaves_the_bounds() -> None:
    for filled_in, interval, wait in (
        (0.001, NACK_INTERVAL, LONGEST_WAIT),
        (1e9, LONGEST_NACK_INTERVAL, LONGEST_WAIT),
    ):
        repair = LossRepair()
        repair.next_action(0, 1, has_gap=True)
        repair.next_action(filled_in, 2, has_gap=False)
        assert (repair.interval, repair.wait) == (interval, wait)


def test_a_gap_that_was_skipped_says_nothing_of_the_path() -> None:
    repair = LossRepair()
    repair.next_action(0, 1, has_gap=True)
    assert repair.next_action(MAX_WAIT, 1, has_gap=True) is RepairAction.SKIP
    repair.next_action(50.0, 9, has_gap=False)
    assert (repair.interval, repair.wait) == (NACK_INTERVAL, MAX_WAIT)


class Lossy:
    """A transport that loses what it is told to.

    Args:
        transport: The real one.
        loses: Looks at each datagram.
    """

    def __init__(self, transport: Any, loses: Callable[[bytes], bool]) -> None:
        self._transport = transport
        self._loses = loses

    def sendto(self, data: bytes, address: Any) -> None:
        if not self._loses(data):
            self._transport.sendto(data, address)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def make_lossy(connection: PeerConnection, loses: Callable[[bytes], bool]) -> None:
    """Have a connection lose some of what it sends over the path in use."""
    ice = connection.ice_transport
    assert ice is not None
    base = agent_of(ice).selected_pair.local.base
    base.transport = Lossy(base.transport, loses)


def is_media(packet: bytes) -> bool:
    return 128 <= packet[0] <= 191 and packet[1] & 0x7F in range(96, 128)


def is_nack(packet: bytes) -> bool:
    return 128 <= packet[0] <= 191 and packet[1] == 205


@pytest.mark.parametrize(("lost", "requests"), [(1, 1), (40, 1), (40, 1000)])
async def test_a_picture_goes_on_although_packets_and_requests_for_them_are_lost(
    lost: int, requests: int
) -> None:
    a, b = PeerConnection(), PeerConnection()
    left = {"media": 0, "nacks": requests}
    sent = 0

    def loses_media(packet: bytes) -> bool:
        nonlocal sent
        sent += is_media(packet)
        left["media"] -= is_media(packet)
        return is_media(packet) and left["media"] >= 0

    def loses_requests(packet: bytes) -> bool:
        left["nacks"] -= is_nack(packet)
        return is_nack(packet) and left["nacks"] >= 0

    async with closing(a, b):
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b)
        track = b.getReceivers()[0].track
        await connected(a, b)
        await track.recv()
        left["media"] = lost
        make_lossy(a, loses_media)
        make_lossy(b, loses_requests)
        while left["media"] > -10:
            await track.recv()
        # By itself aiortc goes on once 512 packets have come.
        assert sent < 250
        assert left["nacks"] < requests


async def test_pictures_that_waited_for_a_packet_do_not_stay_behind() -> None:
    a, b = PeerConnection(), PeerConnection()
    seen = requests = 0

    def loses(packet: bytes) -> bool:
        nonlocal seen
        seen += is_media(packet)
        return is_media(packet) and seen < 150 and seen % 20 == 0

    def loses_requests(packet: bytes) -> bool:
        nonlocal requests
        requests += is_nack(packet)
        # What is asked for again comes when others have come meanwhile.
        return is_nack(packet) and requests % 2 == 1

    async with closing(a, b):
        a.addTrack(VideoStreamTrack())
        await negotiate(a, b)
        track = b.getReceivers()[0].track
        await connected(a, b)
        first = await track.recv()
        make_lossy(a, loses)
        make_lossy(b, loses_requests)
        sender = a.getSenders()[0]
        assert isinstance(sender, Sender)
        assert first.pts is not None
        while True:
            frame = await track.recv()
            assert frame.pts is not None
            # At 30 pictures a second; the first one that was seen may have been any.
            behind = sender.outgoing.frames - (frame.pts - first.pts) / 3000
            if seen > 180:
                assert requests
                assert behind < 5
            if seen > 200:
                break
