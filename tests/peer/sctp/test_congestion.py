"""Congestion control on a narrow link, in virtual time: what it uses, and what it leaves others."""

import pytest

from icefloe.peer.sctp.congestion import Controller
from icefloe.peer.sctp.congestion.cubic import Cubic
from icefloe.peer.sctp.congestion.model import PathModel
from icefloe.peer.sctp.congestion.newreno import NewReno
from tests.helpers.sctp import Link, Side, World, bulk

RATE = 10e6
"""Bits a second of the link; its delay makes round trips of 50 ms."""


class Flows:
    """Flows that share a link, each from its own time on."""

    def __init__(self, link: Link, *flows: tuple[type[Controller], float], seed: int = 1) -> None:
        self.world = World(seed)
        self.link = link
        self.sides: list[tuple[Side, Side]] = []
        back = Link(delay=link.delay)
        for number, (controller, _) in enumerate(flows):
            own = {"controller": controller}
            a, b = self.world.pair(link, back, name=f"{number}", a=own, b=own)
            b.keep = False
            self.sides.append((a, b))
        self.world.connect(*(side for pair in self.sides for side in pair))
        for (a, _), (_, begin) in zip(self.sides, flows, strict=True):
            self.world.at(begin, lambda a=a: bulk(self.world, a))  # type: ignore[misc]

    def run(self, seconds: float) -> list[float]:
        """Return the bytes a second that each gets in this time."""
        before = [b.bytes_arrived for _, b in self.sides]
        self.link.most_queued = 0.0
        self.world.run(seconds)
        after = [b.bytes_arrived for _, b in self.sides]
        return [(now - then) / seconds for now, then in zip(after, before, strict=True)]

    def model(self, number: int = 0) -> PathModel:
        """Return the controller of a flow."""
        sender = self.sides[number][0].association.sender
        assert sender is not None
        assert isinstance(sender.controller, PathModel)
        return sender.controller


def narrow(queue: float = 0.2, *, delay: float = 0.025, loss: float = 0.0) -> Link:
    return Link(delay=delay, rate=RATE, queue=queue, loss=loss)


@pytest.mark.parametrize("rate", [4e6, 10e6, 30e6])
def test_alone_it_fills_the_link_and_hardly_the_queue(rate: float) -> None:
    flows = Flows(Link(delay=0.025, rate=rate, queue=0.4), (PathModel, 0.0))
    flows.run(2)
    assert flows.link.most_queued < 0.055  # startup too
    (got,) = flows.run(8)
    assert got * 8 > 0.9 * rate
    assert flows.link.most_queued < 0.03
    assert flows.link.dropped == 0


@pytest.mark.parametrize("late", [0.0, 2.0])
def test_two_of_its_kind_share_a_link_and_keep_the_queue_short(late: float) -> None:
    flows = Flows(narrow(), (PathModel, 0.0), (PathModel, late))
    flows.run(5)
    first, second = flows.run(20)
    assert 0.3 < first / (first + second) < 0.75
    assert (first + second) * 8 > 0.9 * RATE
    assert flows.link.most_queued < 0.07
    assert flows.link.dropped == 0


@pytest.mark.parametrize("queue", [0.05, 0.1, 0.2])
@pytest.mark.parametrize("rival", [NewReno, Cubic])
def test_beside_one_that_fills_the_queue_it_neither_starves_nor_is_starved(
    rival: type[Controller], queue: float
) -> None:
    flows = Flows(narrow(queue), (PathModel, 0.0), (rival, 0.0))
    flows.run(3)
    ours, theirs = flows.run(25)
    assert 0.25 < ours / (ours + theirs) < 0.75
    assert (ours + theirs) * 8 > 0.85 * RATE


def test_it_stops_competing_when_nobody_fills_the_queue_any_more() -> None:
    flows = Flows(narrow(), (PathModel, 0.0), (Cubic, 0.0))
    flows.run(8)
    assert flows.model().phase == "compete"
    rival = flows.sides[1][0]
    rival.association.abort()
    flows.world.touch(rival)
    flows.run(15)
    assert flows.model().phase != "compete"
    (got, _) = flows.run(5)
    assert got * 8 > 0.85 * RATE
    assert flows.link.most_queued < 0.05


def test_a_path_that_becomes_longer_is_not_taken_for_a_rival_for_long() -> None:
    flows = Flows(narrow(), (PathModel, 0.0))
    flows.run(5)
    flows.link.delay += 0.1
    flows.run(30)
    (got,) = flows.run(5)
    assert got * 8 > 0.85 * RATE
    assert flows.link.most_queued < 0.1


def test_a_path_that_becomes_faster_or_slower_is_followed() -> None:
    flows = Flows(narrow(), (PathModel, 0.0))
    flows.run(4)
    flows.link.rate = 4 * RATE
    flows.run(3)
    (got,) = flows.run(2)
    assert got * 8 > 0.85 * 4 * RATE
    flows.link.rate = RATE / 2
    flows.run(4)
    (got,) = flows.run(3)
    assert got * 8 > 0.85 * RATE / 2
    assert flows.link.most_queued < 0.1


@pytest.mark.parametrize("loss", [0.001, 0.01, 0.05])
def test_loss_at_random_is_not_congestion(loss: float) -> None:
    flows = Flows(narrow(loss=loss), (PathModel, 0.0), seed=2)
    flows.run(2)
    (got,) = flows.run(10)
    assert got * 8 > 0.8 * RATE
    assert flows.link.most_queued < 0.05


def test_cubic_fills_a_link_and_yields_to_another() -> None:
    flows = Flows(narrow(), (Cubic, 0.0), (Cubic, 3.0))
    flows.run(20)
    first, second = flows.run(20)
    assert 0.25 < first / (first + second) < 0.75
    assert (first + second) * 8 > 0.9 * RATE
