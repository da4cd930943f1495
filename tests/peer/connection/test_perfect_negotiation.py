"""Perfect negotiation, enumerated and run against itself."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.connection.perfect_negotiation import (
    Action,
    Event,
    MediaSection,
    Negotiation,
    State,
    intersect,
    needs_negotiation,
    reverse,
)

# --- the table

EXPECTED = """
state             event              polite                                 impolite
stable            negotiationneeded  make-offer > have-local-offer          make-offer > have-local-offer
stable            offer              answer-offer > stable                  answer-offer > stable
stable            answer             ignore > stable                        ignore > stable
stable            close              ignore > closed                        ignore > closed
have-local-offer  negotiationneeded  wait > have-local-offer                wait > have-local-offer
have-local-offer  offer              roll-back-and-answer > stable          ignore > have-local-offer
have-local-offer  answer             apply-answer > stable                  apply-answer > stable
have-local-offer  close              ignore > closed                        ignore > closed
closed            negotiationneeded  ignore > closed                        ignore > closed
closed            offer              ignore > closed                        ignore > closed
closed            answer             ignore > closed                        ignore > closed
closed            close              ignore > closed                        ignore > closed
"""  # noqa: E501


def rows() -> list[tuple[State, Event, bool, Action, State]]:
    found = []
    for line in EXPECTED.strip().splitlines()[1:]:
        state, event, *both = line.replace(" > ", ">").split()
        for polite, outcome in zip((True, False), both, strict=True):
            action, after = outcome.split(">")
            found.append((State(state), Event(event), polite, Action(action), State(after)))
    return found


def test_the_expectation_covers_every_combination() -> None:
    assert {row[:3] for row in rows()} == set(product(State, Event, (True, False)))


@pytest.mark.parametrize(("state", "event", "polite", "action", "after"), rows())
def test_transition(state: State, event: Event, polite: bool, action: Action, after: State) -> None:
    side = Negotiation(polite=polite)
    side.state = state
    assert side.handle(event) is action
    assert side.state is after


@pytest.mark.parametrize("polite", [True, False])
def test_a_side_starts_stable(polite: bool) -> None:
    side = Negotiation(polite=polite)
    assert (side.state, side.polite) == (State.STABLE, polite)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (State.STABLE, State.STABLE),
        (State.HAVE_LOCAL_OFFER, State.STABLE),
        (State.CLOSED, State.CLOSED),
    ],
)
def test_a_failed_operation_leaves_a_side_stable_unless_closed(state: State, after: State) -> None:
    side = Negotiation(polite=True)
    side.state = state
    side.failed()
    assert side.state is after


# --- two sides, any interleaving


@dataclass
class Side:
    """A model of a connection: it counts changes, and notes which ones were negotiated."""

    negotiation: Negotiation
    changes: int = 0
    offered: int = 0
    negotiated: int = 0
    known_of_other: int = 0
    outbox: deque[tuple[Event, int]] = field(default_factory=deque)

    def change(self) -> None:
        self.changes += 1
        self.negotiate_if_needed()

    def negotiate_if_needed(self) -> None:
        if self.changes == self.negotiated:
            return
        if self.negotiation.handle(Event.NEGOTIATION_NEEDED) is Action.MAKE_OFFER:
            self.offered = self.changes
            self.outbox.append((Event.OFFER, self.changes))

    def receive(self, event: Event, changes: int) -> Action:
        action = self.negotiation.handle(event)
        if action in (Action.ANSWER_OFFER, Action.ROLL_BACK_AND_ANSWER):
            self.known_of_other = changes
            self.outbox.append((Event.ANSWER, changes))
        elif action is Action.APPLY_ANSWER:
            assert changes == self.offered, "an answer to another offer was applied"
            self.negotiated = changes
        if self.negotiation.state is State.STABLE:
            self.negotiate_if_needed()  # as W3C checks again whenever the state becomes stable
        return action


STEPS = st.lists(
    st.sampled_from(["polite changes", "impolite changes", "to polite", "to impolite"])
)


@given(steps=STEPS, polite_first=st.booleans())
def test_any_interleaving_ends_stable_with_every_change_negotiated(
    steps: list[str], polite_first: bool
) -> None:
    polite, impolite = (Side(Negotiation(polite=p)) for p in (True, False))

    def deliver(source: Side, destination: Side) -> None:
        if source.outbox:
            destination.receive(*source.outbox.popleft())

    act: dict[str, Callable[[], None]] = {
        "polite changes": polite.change,
        "impolite changes": impolite.change,
        "to polite": partial(deliver, impolite, polite),
        "to impolite": partial(deliver, polite, impolite),
    }
    for step in steps:
        act[step]()
    last = ["to impolite", "to polite"] if polite_first else ["to polite", "to impolite"]
    messages = 0
    while polite.outbox or impolite.outbox:
        messages += 1
        assert messages < 50, "the sides negotiate for ever"
        for step in last:
            act[step]()

    for side, other in ((polite, impolite), (impolite, polite)):
        assert side.negotiation.state is State.STABLE
        assert side.negotiated == side.changes
        assert other.known_of_other == side.changes


def test_of_two_offers_at_once_the_impolite_ones_goes_first_and_none_is_lost() -> None:
    polite, impolite = (Side(Negotiation(polite=p)) for p in (True, False))
    polite.change()
    impolite.change()
    assert impolite.receive(*polite.outbox.popleft()) is Action.IGNORE
    assert polite.receive(*impolite.outbox.popleft()) is Action.ROLL_BACK_AND_ANSWER
    assert [event for event, _ in polite.outbox] == [Event.ANSWER, Event.OFFER]
    assert impolite.receive(*polite.outbox.popleft()) is Action.APPLY_ANSWER
    assert impolite.receive(*polite.outbox.popleft()) is Action.ANSWER_OFFER
    assert polite.receive(*impolite.outbox.popleft()) is Action.APPLY_ANSWER
    assert (polite.negotiated, impolite.negotiated) == (1, 1)


# --- directions

DIRECTIONS = ["sendrecv", "sendonly", "recvonly", "inactive"]

INTERSECTION = {
    "sendrecv": ["sendrecv", "sendonly", "recvonly", "inactive"],
    "sendonly": ["sendonly", "sendonly", "inactive", "inactive"],
    "recvonly": ["recvonly", "inactive", "recvonly", "inactive"],
    "inactive": ["inactive", "inactive", "inactive", "inactive"],
}
"""RFC 9429 section 5.3.1; a row for one direction, a column for the other."""


@pytest.mark.parametrize("one", DIRECTIONS)
@pytest.mark.parametrize("other", DIRECTIONS)
def test_intersection_of_directions(one: str, other: str) -> None:
    assert intersect(one, other) == INTERSECTION[one][DIRECTIONS.index(other)]


@pytest.mark.parametrize("one", DIRECTIONS)
def test_a_missing_direction_restricts_nothing(one: str) -> None:
    assert intersect(one, None) == one  # RFC 8866 section 6.7: sendrecv is assumed


@pytest.mark.parametrize(
    ("direction", "seen"),
    [
        ("sendrecv", "sendrecv"),
        ("sendonly", "recvonly"),
        ("recvonly", "sendonly"),
        ("inactive", "inactive"),
        (None, None),
    ],
)
def test_the_other_side_sees_a_direction_reversed(direction: str | None, seen: str | None) -> None:
    assert reverse(direction) == seen


# --- when an offer is due


@pytest.mark.parametrize(
    ("has_channels", "negotiated", "needed"),
    [(False, False, False), (False, True, False), (True, False, True), (True, True, False)],
)
def test_data_channels_need_one_section(has_channels: bool, negotiated: bool, needed: bool) -> None:
    found = needs_negotiation([], has_channels=has_channels, channels_negotiated=negotiated)
    assert found is needed


def is_needed(*sections: MediaSection) -> bool:
    return needs_negotiation(sections, has_channels=False, channels_negotiated=False)


def settled(wanted: str) -> MediaSection:
    return MediaSection(wanted=wanted, associated=True, local=wanted, remote=reverse(wanted))


@pytest.mark.parametrize(
    ("section", "needed"),
    [
        pytest.param(MediaSection("sendrecv"), True, id="new transceiver"),
        pytest.param(MediaSection("sendrecv", stopped=True), False, id="stopped before any offer"),
        pytest.param(settled("sendrecv"), False, id="as offered"),
        pytest.param(
            MediaSection("sendrecv", stopped=True, associated=True, local="sendrecv"),
            True,
            id="stopped, section not rejected yet",
        ),
        pytest.param(
            MediaSection("sendrecv", stopped=True, associated=True, rejected=True),
            False,
            id="stopped, section rejected",
        ),
        pytest.param(
            MediaSection("sendonly", associated=True, local="sendrecv", remote="sendrecv"),
            True,
            id="direction changed after the offer",
        ),
        pytest.param(
            MediaSection("sendonly", associated=True, local="sendrecv", remote="recvonly"),
            False,
            id="what the other side answered is all that is wanted",
        ),
        pytest.param(
            MediaSection("recvonly", associated=True, local="sendrecv", remote="recvonly"),
            True,
            id="the answer's direction counts as this side sees it",
        ),
        pytest.param(
            MediaSection(
                "recvonly",
                associated=True,
                local="recvonly",
                remote="sendrecv",
                offered_here=False,
            ),
            False,
            id="answered as wanted",
        ),
        pytest.param(
            MediaSection(
                "sendrecv",
                associated=True,
                local="recvonly",
                remote="sendonly",
                offered_here=False,
            ),
            False,
            id="the offer allowed no more",
        ),
        pytest.param(
            MediaSection(
                "sendrecv",
                associated=True,
                local="recvonly",
                remote="sendrecv",
                offered_here=False,
            ),
            True,
            id="more is wanted than was answered",
        ),
        pytest.param(
            MediaSection(
                "inactive",
                associated=True,
                local="recvonly",
                remote="sendonly",
                offered_here=False,
            ),
            True,
            id="less is wanted than was answered",
        ),
        pytest.param(
            MediaSection("inactive", associated=True, offered_here=False),
            True,
            id="associated, but not in the current description",
        ),
    ],
)
def test_need_of_one_transceiver(section: MediaSection, needed: bool) -> None:
    assert is_needed(section) is needed


def prose(section: MediaSection) -> bool:
    """W3C webrtc-pc 4.7.3, step 5 of "check if negotiation is needed", as it is worded."""
    if section.stopped:
        return section.associated and not section.rejected
    if not section.associated:
        return True
    if section.offered_here:
        seen_here = {"sendonly": "recvonly", "recvonly": "sendonly"}
        remote = seen_here.get(str(section.remote), section.remote)
        return section.local != section.wanted and remote != section.wanted
    column = {None: 0, "sendrecv": 0, "recvonly": 1, "sendonly": 2, "inactive": 3}
    expected = INTERSECTION[section.wanted][column[section.remote]]
    return section.local != expected


ANY_SECTION = st.builds(
    MediaSection,
    wanted=st.sampled_from(DIRECTIONS),
    stopped=st.booleans(),
    associated=st.booleans(),
    rejected=st.just(False),
    local=st.sampled_from([*DIRECTIONS, None]),
    remote=st.sampled_from([*DIRECTIONS, None]),
    offered_here=st.booleans(),
)


def test_need_of_every_transceiver_follows_the_specification() -> None:
    flags = (True, False)
    some = (*DIRECTIONS, None)
    for wanted, stopped, associated, rejected, local, remote, here in product(
        DIRECTIONS, flags, flags, flags, some, some, flags
    ):
        if rejected and not (stopped and associated):
            continue  # who sees a section rejected stops its transceiver
        section = MediaSection(wanted, stopped, associated, rejected, local, remote, here)
        assert is_needed(section) is prose(section), section


@given(st.lists(ANY_SECTION, max_size=4))
def test_one_unsettled_transceiver_is_enough(sections: list[MediaSection]) -> None:
    assert is_needed(*sections) is any(map(prose, sections))
