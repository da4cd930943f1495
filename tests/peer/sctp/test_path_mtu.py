"""The search for the packet size, in virtual time."""

import pytest

from icefloe.peer.sctp.packet import (
    HEADER,
    Header,
    Kind,
    Parameter,
    chunk,
    chunks,
    encode_parameters,
)
from icefloe.peer.sctp.path_mtu import BASE, MAX_TRIES, RAISE_AFTER, SIZES, PathMtu
from tests.helpers.sctp import OVERHEAD, Link, Side, World, bulk


def search(path: PathMtu, fits: int, now: float, seconds: float = 60.0) -> tuple[float, int]:
    """Answer the probes that fit, at once; return the time, and how many there were."""
    end, probes = now + seconds, 0
    while path.deadline <= end:
        now = path.deadline
        path.handle_timeout(now)
        if path.probe is not None:
            probes += 1
            size = path.probe
            path.tried(now, 0.5)
            if size <= fits:
                path.confirmed(size, now)
    return end, probes


@pytest.mark.parametrize("fits", [*SIZES, BASE, 1400])
def test_the_largest_size_that_fits_is_found(fits: int) -> None:
    path = PathMtu()
    path.begin(0.0)
    _, probes = search(path, fits, 0.0)
    assert path.size == max(size for size in (*SIZES, BASE) if size <= fits)
    assert probes <= MAX_TRIES * len(SIZES)
    assert path.deadline > 500.0  # and it is left in peace for a while


def test_a_size_that_fits_no_more_is_left() -> None:
    path = PathMtu()
    path.begin(0.0)
    now, _ = search(path, 1500, 0.0)
    assert path.size == SIZES[0]
    search(path, 1300, now, RAISE_AFTER + 60.0)
    assert path.size == 1280


def test_a_path_that_becomes_wider_is_used() -> None:
    path = PathMtu()
    path.begin(0.0)
    now, _ = search(path, 1300, 0.0)
    search(path, 1500, now, RAISE_AFTER + 60.0)
    assert path.size == SIZES[0]


def test_what_cannot_leave_this_machine_is_not_tried_again() -> None:
    path = PathMtu()
    path.begin(0.0)
    sizes = []
    while path.deadline < 10.0:
        now = path.deadline
        path.handle_timeout(now)
        if path.probe is not None:
            sizes.append(path.probe)
            path.tried(now, 0.5)
            path.refused(now)
    assert tuple(sizes) == SIZES
    assert path.size == BASE


def test_an_answer_to_another_probe_changes_nothing() -> None:
    path = PathMtu()
    path.begin(0.0)
    assert not path.confirmed(1432, 0.1)
    path.handle_timeout(0.1)
    path.tried(0.1, 0.5)
    assert not path.confirmed(1280, 0.2)
    assert path.size == BASE


@pytest.mark.parametrize("interleaves", [True, False], ids=["I-DATA", "DATA"])
@pytest.mark.parametrize("pads", [True, False], ids=["PAD", "no PAD"])
def test_a_probe_has_only_chunks_that_the_other_side_knows(
    interleaves: bool, pads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    extensions = (Kind.RE_CONFIG, Kind.FORWARD_TSN, *((Kind.PAD,) if pads else ()))
    monkeypatch.setattr("icefloe.peer.sctp.handshake._EXTENSIONS", extensions)
    own = {"interleaves": interleaves}
    world = World(3)
    a, b = world.pair(Link(delay=0.01, mtu=1400 + OVERHEAD), a=own, b=own)
    probes: list[bytes] = []
    carry = world._carry

    def watch(packet: bytes, link: Link, other: Side) -> None:
        if len(packet) in SIZES and packet[HEADER] == Kind.HEARTBEAT:
            probes.append(packet)
        carry(packet, link, other)

    monkeypatch.setattr(world, "_carry", watch)
    world.connect(a, b)
    # One before there was any data, one after some.
    assert world.run(10, lambda: a.association.path.size == b.association.path.size == 1372)
    sent = [bytes([n]) * 3000 for n in range(20)]
    for data in sent:
        world.send(a, data)
    world.run(1)
    before = len(probes)
    assert before
    a.association.path_changed(world.now, was_lost=False)
    world.touch(a)
    assert a.association.path.size == BASE
    assert world.run(10, lambda: a.association.path.size == 1372)
    assert len(probes) > before
    world.send(a, b"afterwards")
    world.run(1)
    assert [arrival.data for arrival in b.messages] == [*sent, b"afterwards"]
    data_kind = Kind.I_DATA if interleaves else Kind.DATA
    known = {Kind.HEARTBEAT, Kind.PAD if pads else data_kind}
    assert {kind for packet in probes for kind, _, _ in chunks(packet)} == known


@pytest.mark.parametrize("size", range(-2, 3))
def test_an_answer_of_another_size_confirms_nothing(size: int) -> None:
    world = World(3)
    a, b = world.pair(Link(delay=0.01))
    world.connect(a, b)
    told = bytes([5]) * (4 + size) if size else (1280).to_bytes(4, "big")
    body = encode_parameters([(Parameter.HEARTBEAT_INFO, told)])
    tag = int.from_bytes(a.association._expected.seal(b"")[4:8], "big")
    packet = Header(5000, 5000, tag).seal(chunk(Kind.HEARTBEAT_ACK, 0, body))
    a.association.receive(packet, world.now)
    assert a.association.path.size == BASE


def established(there: Link) -> tuple[World, Side, Side]:
    world = World(3)
    a, b = world.pair(there, Link(delay=0.01))
    b.keep = False
    world.connect(a, b)
    bulk(world, a)
    return world, a, b


def test_another_path_is_begun_with_the_size_that_every_path_carries() -> None:
    world, a, b = established(Link(delay=0.01, rate=10e6))
    world.run(2)
    assert a.association.path.size == SIZES[0]
    a.association.path_changed(world.now, was_lost=False)
    world.touch(a)
    assert a.association.path.size == BASE
    arrived = b.bytes_arrived
    world.run(2)
    assert a.association.path.size == SIZES[0]
    assert b.bytes_arrived - arrived > 1_500_000


def test_a_path_that_loses_large_packets_in_silence_is_used_all_the_same() -> None:
    world, a, b = established(Link(delay=0.01, rate=10e6, mtu=1280 + OVERHEAD))
    world.run(2)
    before = b.bytes_arrived
    world.run(5)
    assert a.association.path.size == 1280
    assert b.bytes_arrived - before > 5_000_000
