"""Messages arrive whole, once and in order, whatever the network does: seeded, in virtual time."""

import random
from collections import defaultdict

import pytest
from hypothesis import example, given, settings, strategies as st

from icefloe.peer.sctp.congestion.newreno import NewReno
from tests.helpers.sctp import Link, Side, World

LINKS = st.builds(
    Link,
    delay=st.sampled_from((0.0005, 0.01, 0.1)),
    jitter=st.sampled_from((0.0, 0.002, 0.05)),
    loss=st.sampled_from((0.0, 0.01, 0.05, 0.3)),
    duplication=st.sampled_from((0.0, 0.02, 0.3)),
    rate=st.sampled_from((0.0, 2e6)),
    mtu=st.sampled_from((1280, 1500)),
)

SIZES = st.sampled_from((1, 3, 100, 1150, 1160, 1200, 1404, 5000, 70_000))

MESSAGES = st.lists(st.tuples(st.integers(0, 3), st.booleans(), SIZES), max_size=40)
"""Of each message: its stream, whether it is ordered, its size in bytes."""

thorough = settings(max_examples=60)


def content(number: int, size: int) -> bytes:
    """Return a message that tells which it is, whatever part of it is looked at."""
    return random.Random(number).randbytes(size)


def send_all(world: World, side: Side, messages: list[tuple[int, bool, int]]) -> list[bytes]:
    sent = []
    for number, (stream, ordered, size) in enumerate(messages):
        sent.append(content(number, size))
        world.send(side, sent[-1], stream=stream, ordered=ordered)
    return sent


@pytest.mark.parametrize("interleaves", [True, False])
@thorough
@given(there=LINKS, back=LINKS, seed=st.integers(0, 1000), ours=MESSAGES, theirs=MESSAGES)
def test_every_message_arrives_once_and_in_the_order_of_its_stream(
    interleaves: bool,
    there: Link,
    back: Link,
    seed: int,
    ours: list[tuple[int, bool, int]],
    theirs: list[tuple[int, bool, int]],
) -> None:
    world = World(seed)
    a, b = world.pair(there, back, b={"interleaves": interleaves, "controller": NewReno})
    world.connect(a, b)
    traffic = ((a, b, ours), (b, a, theirs))
    sent = [send_all(world, source, messages) for source, _, messages in traffic]

    def is_done() -> bool:
        return all(
            len(sink.messages) == len(messages)
            and source.association.sender is not None
            and source.association.sender.is_done
            for source, sink, messages in traffic
        )

    assert world.run(600, is_done)
    for (source, sink, messages), contents in zip(traffic, sent, strict=True):
        assert sorted(m.data for m in sink.messages) == sorted(contents)
        for stream in range(4):
            expected = [
                data
                for (number, ordered, _), data in zip(messages, contents, strict=True)
                if number == stream and ordered and len(data) > 3
            ]
            arrived = [m.data for m in sink.messages if m.stream == stream and m.data in expected]
            assert arrived == expected
        assert source.freed == _total(messages)
        assert sink.association.window == 8 * 1024 * 1024
        assert source.association.sender is not None
        assert source.association.sender.recovery.flight == 0


def _total(messages: list[tuple[int, bool, int]]) -> dict[int, int]:
    total: dict[int, int] = defaultdict(int)
    for stream, _, size in messages:
        total[stream] += size
    return total


LIMITS = st.sampled_from(((None, None), (0, None), (2, None), (None, 0.1)))
UNRELIABLE = st.lists(st.tuples(st.integers(0, 3), st.booleans(), SIZES, LIMITS), max_size=40)


@pytest.mark.parametrize("interleaves", [True, False])
@thorough
@given(link=LINKS, seed=st.integers(0, 1000), messages=UNRELIABLE)
@example(  # SACKs overtake each other: the peer seems to renege
    link=Link(delay=0.1, jitter=0.05, loss=0.01, duplication=0.3, queue=0.05, mtu=1280),
    seed=0,
    messages=[(0, False, 70_000, (limit, None)) for limit in (None, 0, 0)],
)
def test_what_is_given_up_holds_up_nothing_else(
    interleaves: bool,
    link: Link,
    seed: int,
    messages: list[tuple[int, bool, int, tuple[int | None, float | None]]],
) -> None:
    world = World(seed)
    a, b = world.pair(link, a={"interleaves": interleaves})
    world.connect(a, b)
    sent, reliable = [], []
    for number, (stream, ordered, size, (retransmits, lifetime)) in enumerate(messages):
        data = content(number, size)
        sent.append((stream, ordered, data))
        if retransmits is None and lifetime is None:
            reliable.append(data)
        world.send(
            a,
            data,
            stream=stream,
            ordered=ordered,
            max_retransmits=retransmits,
            lifetime=lifetime,
        )
    sender = a.association.sender
    assert sender is not None
    assert world.run(600, lambda: sender.is_done)
    world.run(1)
    arrived = [m.data for m in b.messages]
    assert len(arrived) == len(set(arrived)) or not all(size > 3 for _, _, size, _ in messages)
    assert set(reliable) <= set(arrived) <= {data for _, _, data in sent}
    for number in range(4):
        expected = [data for stream, ordered, data in sent if stream == number and ordered]
        places = [expected.index(d) for d in arrived if d in expected and len(d) > 3]
        assert places == sorted(places)
    assert b.association.window == 8 * 1024 * 1024
    assert sum(a.freed.values()) == sum(len(data) for _, _, data in sent)
    # Nothing is left over that would hold up what follows.
    b.messages.clear()
    for stream in range(4):
        world.send(a, b"after all that", stream=stream)
    assert world.run(600, lambda: len(b.messages) == 4)


def test_unreliable_messages_are_dropped_and_counted() -> None:
    world = World(3)
    link = Link(delay=0.05, loss=0.2)
    a, b = world.pair(link, Link(delay=0.05))
    world.connect(a, b)
    for _ in range(500):
        world.send(a, bytes(100), ordered=False, max_retransmits=0)
        world.run(0.01)
    world.run(5)
    assert a.association.sender is not None
    given_up = a.abandoned
    assert 0 < given_up < 250
    assert len(b.messages) + given_up >= 500
    assert a.association.sender.recovery.retransmitted == 0


@pytest.mark.parametrize("interleaves", [True, False])
def test_a_bulk_transfer_does_not_hold_up_a_chat_message(interleaves: bool) -> None:
    world = World(4)
    link = Link(delay=0.01, rate=8e6, queue=0.05)
    a, b = world.pair(link, a={"interleaves": interleaves})
    world.connect(a, b)
    for _ in range(100):
        world.send(a, bytes(65536), stream=0)
    world.run(1)
    sent_at = world.now
    world.send(a, b"hello", stream=2)
    assert world.run(10, lambda: any(m.data == b"hello" for m in b.messages))
    # Without I-DATA the message before it is finished first: 64 KiB, 66 ms at this rate.
    assert world.now - sent_at < (0.09 if interleaves else 0.16)


def test_a_large_message_does_not_hold_up_small_ones_of_other_streams() -> None:
    world = World(5)
    link = Link(delay=0.01, rate=8e6, queue=0.05)
    a, b = world.pair(link)
    world.connect(a, b)
    world.send(a, bytes(4_000_000), stream=0)
    world.run(0.5)
    for stream in (2, 4, 6):
        world.send(a, b"hello", stream=stream)
    assert world.run(0.2, lambda: len(b.messages) == 3)
