"""An association never stalls: paths change, go and come back, readers stop, and all arrives.

Seeded, in virtual time. Whatever happens, an association that has something to send, or waits for
an acknowledgement, knows when it will do something about it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings, strategies as st

from icefloe.peer.sctp.congestion import Controller
from icefloe.peer.sctp.congestion.model import PathModel
from icefloe.peer.sctp.congestion.newreno import NewReno
from icefloe.peer.sctp.inbound import Arrival
from tests.helpers.sctp import Link, Side, World

MESSAGE = 16_000
"""Bytes of a message."""

PULSES = 9
"""A stream on which each side sends something small all the time, which may be given up."""

PATIENCE = 40.0
"""Seconds in which more has to arrive, once nothing is in the way: the longest time-out of 10 s, a
few times in vain on a path that loses packets."""


@dataclass(slots=True)
class Reader:
    """An application that reads what arrives, until it stops; then it goes on.

    Attributes:
        side: Where it reads.
        got: What it has read and not read, as a digest.
        count: Bytes that arrived.
        held: Bytes that it has not read.
        reads: Whether it does.
    """

    side: Side
    got: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    count: int = 0
    held: int = 0
    reads: bool = True

    def __post_init__(self) -> None:
        self.side.keep = False
        self.side.on_message = self._take

    def _take(self, arrival: Arrival) -> None:
        if arrival.stream == PULSES:
            return
        self.got.update(arrival.data)
        self.count += len(arrival.data)
        if not self.reads:
            self.held += len(arrival.data)
            self.side.association.hold(len(arrival.data))

    def stop(self) -> None:
        """Read nothing from now on."""
        self.reads = False

    def go_on(self, world: World) -> None:
        """Read all that waits, and everything that comes."""
        self.reads = True
        self.side.association.hold(-self.held)
        self.held = 0
        world.touch(self.side)


@dataclass(slots=True)
class Scene:
    """Two sides that send each other so many messages, and what may happen to them."""

    world: World
    sides: tuple[Side, Side]
    links: tuple[Link, Link]
    readers: tuple[Reader, Reader]

    def cut(self, way: int, seconds: float) -> None:
        """Let nothing through, one way (0, 1) or both (2)."""
        cut = [link for index, link in enumerate(self.links) if way in (index, 2)]
        for link in cut:
            link.is_cut = True

        def mend() -> None:
            for link in cut:
                link.is_cut = False

        self.world.at(seconds, mend)

    def change(self, side: int, was_lost: bool, path: Link) -> None:
        """Have another path, and tell one side of it (0, 1) or both (2)."""
        for link in self.links:
            link.delay, link.rate, link.mtu = path.delay, path.rate, path.mtu
            link.loss, link.jitter = path.loss, path.jitter
        for index, told in enumerate(self.sides):
            if side in (index, 2):
                told.association.path_changed(self.world.now, was_lost=was_lost)
                self.world.touch(told)

    def pause(self, side: int, seconds: float) -> None:
        """Have the application of a side read nothing for a while."""
        reader = self.readers[side]
        reader.stop()
        self.world.at(seconds, lambda: reader.go_on(self.world))

    def pulse(self) -> None:
        """Send a pulse from each side, now and every 50 ms."""
        for side in self.sides:
            self.world.send(side, bytes(20), stream=PULSES, ordered=False, max_retransmits=0)
        self.world.at(0.05, self.pulse)

    def watch(self) -> None:
        """Whoever has something to send, or is not answered, has a time at which to do it."""
        for side in self.sides:
            sender = side.association.sender
            assert sender is not None
            waits = not sender.is_done
            assert not waits or side.association.deadline < float("inf"), (
                f"{side.name} stands still at {self.world.now}: {sender.recovery.flight} bytes fly,"
                f" {side.association.queue.size} wait"
            )


def scene(
    seed: int, link: Link, window: int, controller: Callable[[int], Controller] = PathModel
) -> Scene:
    world = World(seed)
    links = link, replace(link)
    settings = {"window": window, "controller": controller}
    a, b = world.pair(*links, a=settings, b=settings)
    world.connect(a, b)
    return Scene(world, (a, b), links, (Reader(a), Reader(b)))


PATHS = st.builds(
    Link,
    delay=st.sampled_from((0.0005, 0.01, 0.1, 0.4)),
    jitter=st.sampled_from((0.0, 0.005)),
    loss=st.sampled_from((0.0, 0.0, 0.02, 0.2)),
    rate=st.sampled_from((2e6, 2e7)),
    mtu=st.sampled_from((1280, 1500)),
    fragments=st.just(True),
)
"""Large packets are fragmented below, as kernels do: a chunk keeps its size once it was sent."""

CUTS = st.tuples(st.just("cut"), st.integers(0, 2), st.sampled_from((0.05, 0.5, 3.0, 20.0)))
CHANGES = st.tuples(st.just("change"), st.integers(0, 2), st.booleans(), PATHS)
PAUSES = st.tuples(st.just("pause"), st.integers(0, 1), st.sampled_from((0.2, 2.0, 15.0)))
DISTURBANCES = st.lists(
    st.tuples(st.sampled_from((0.0, 0.001, 0.03, 0.2, 0.45, 2.0)), CUTS | CHANGES | PAUSES),
    max_size=12,
)
"""Of each: how many seconds after the one before it comes, and what it is."""


@pytest.mark.parametrize("controller", [PathModel, NewReno])
@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    link=PATHS,
    window=st.sampled_from((40_000, 300_000, 8 << 20)),
    disturbances=DISTURBANCES,
)
def test_whatever_happens_to_the_path_and_the_readers_all_arrives(
    controller: Callable[[int], Controller],
    seed: int,
    link: Link,
    window: int,
    disturbances: list[tuple[float, tuple[object, ...]]],
) -> None:
    one = scene(seed, link, window, controller)
    world = one.world
    sent = []
    for side, count in zip(one.sides, (40, 10), strict=True):
        digest = hashlib.sha256()
        for _ in range(count):
            data = world.random.randbytes(MESSAGE)
            digest.update(data)
            world.send(side, data)
        sent.append((count * MESSAGE, digest.hexdigest()))
    one.pulse()
    at = last = 0.0
    for wait, (kind, *how) in disturbances:
        at += wait
        lasts = how[-1] if isinstance(how[-1], float) else 0.0
        last = max(last, at + lasts)
        world.at(at, lambda kind=kind, how=how: getattr(one, str(kind))(*how))  # type: ignore[misc]

    def watched() -> bool:
        one.watch()
        return False

    world.run(last, watched)
    for link in one.links:
        link.is_cut = False  # cuts overlap
        link.loss = min(link.loss, 0.05)

    for reader in one.readers:
        reader.go_on(world)
    expected = [size for size, _ in reversed(sent)]
    while (before := [reader.count for reader in one.readers]) != expected:

        def has_more(before: list[int] = before) -> bool:
            one.watch()
            return [reader.count for reader in one.readers] != before

        assert world.run(PATIENCE, has_more), f"{before} of {expected} bytes arrived, and no more"
    for reader, (size, content) in zip(reversed(one.readers), sent, strict=True):
        assert (reader.count, reader.got.hexdigest()) == (size, content)
    for side in one.sides:
        assert side.association.window == window
