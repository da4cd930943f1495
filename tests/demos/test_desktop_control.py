"""Control of a desktop, and the keys and buttons that are held down: all of it without any I/O."""

import itertools

import msgspec
import pytest
from hypothesis import given, strategies as st

from icefloe.demos.desktop.control import IDLE_SECONDS, MAX_KEYS, Control, InputTracker, coalesce
from icefloe.demos.desktop.messages import (
    Alive,
    Button,
    Event,
    FromViewer,
    Key,
    Move,
    State,
    Take,
    Text,
    Wheel,
)


class Noted:
    """A target that notes what it is told, and checks that it makes sense."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []
        self.down: set[object] = set()

    def move(self, x: float, y: float) -> None:
        self.done.append(("move", x, y))

    def button(self, button: int, down: bool) -> None:
        assert down != (button in self.down)
        self.down ^= {button}
        self.done.append(("button", button, down))

    def wheel(self, x: int, y: int) -> None:
        self.done.append(("wheel", x, y))

    def press(self, code: str, text: str) -> None:
        assert code not in self.down
        self.down.add(code)
        self.done.append(("press", code, text))

    def release(self, code: str) -> None:
        self.down.remove(code)
        self.done.append(("release", code))

    def type(self, text: str) -> None:
        self.done.append(("type", text))

    def close(self) -> None:
        raise AssertionError("who does what others do does not close it")


def done(*events: Event) -> list[tuple[object, ...]]:
    target = Noted()
    tracker = InputTracker(target)
    for event in events:
        tracker.apply(event)
    return target.done


def test_keys_go_down_and_up_once() -> None:
    a = Key("KeyA", True, "a")
    assert done(a, a, Key("KeyA", False), Key("KeyA", False), Key("KeyB", False)) == [
        ("press", "KeyA", "a"),
        ("release", "KeyA"),
    ]


def test_a_button_is_pressed_where_it_says() -> None:
    assert done(Button(2, True, 0.25, 1.0), Button(2, True, 0.5, 1.0), Button(0, False, 0, 0)) == [
        ("move", 0.25, 1.0),
        ("button", 2, True),
        ("move", 0.5, 1.0),
        ("move", 0, 0),
    ]


def test_of_text_control_characters_are_left_out() -> None:
    assert done(Text("ä\x1b\n\tb\x7f\u202e")) == [("type", "ä\n\tb")]


def test_no_more_keys_are_down_than_there_are_fingers_for() -> None:
    target = Noted()
    tracker = InputTracker(target)
    for number in range(100):
        tracker.apply(Key(f"Key{number}", True))
    assert len(target.down) == MAX_KEYS
    tracker.release_all()
    assert not target.down
    assert not tracker.has_pressed


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.builds(Key, st.sampled_from(["KeyA", "ShiftLeft", "F1"]), st.booleans(), st.just("")),
    st.builds(Button, st.integers(0, 4), st.booleans(), st.just(0.5), st.just(0.5)),
    st.builds(Move, st.floats(0, 1), st.floats(0, 1)),
    st.builds(Wheel, st.integers(-20, 20), st.integers(-20, 20)),
)


@given(st.lists(EVENTS, max_size=50))
def test_whatever_comes_nothing_stays_down(events: list[Event]) -> None:
    target = Noted()
    tracker = InputTracker(target)
    for event in events:
        tracker.apply(event)
        assert tracker.has_pressed == bool(target.down)
    tracker.release_all()
    assert not target.down


@given(st.lists(EVENTS, max_size=50))
def test_only_places_that_were_left_again_are_left_out(events: list[Event]) -> None:
    kept = coalesce(events)
    assert [e for e in kept if not isinstance(e, Move)] == [
        e for e in events if not isinstance(e, Move)
    ]
    for before, after in itertools.pairwise(kept):
        assert not (isinstance(before, Move) and isinstance(after, Move | Button))

    # Before whatever is done the pointer is where it was meant to be.
    def places(all_of_them: list[Event]) -> list[tuple[Event, Event | None]]:
        at: Event | None = None
        found: list[tuple[Event, Event | None]] = []
        for event in all_of_them:
            if isinstance(event, Move | Button):
                at = event
            if not isinstance(event, Move):
                found.append((event, at))
        return found

    assert places(kept) == places(events)
    last = [e for e in events if isinstance(e, Move | Button)][-1:]
    assert [e for e in kept if isinstance(e, Move | Button)][-1:] == last


def test_one_at_a_time_is_in_control() -> None:
    control: Control[str] = Control(True)
    assert control.take("a", "alice", 0)
    assert not control.take("b", "bob", 1)
    assert control.use("a", 2)
    assert not control.use("b", 2)
    assert not control.release("b")
    assert control.release("a")
    assert not control.use("a", 3)
    assert control.take("b", "bob", 3)


def test_who_does_nothing_for_long_makes_room() -> None:
    control: Control[str] = Control(True)
    control.take("a", "alice", 0)
    control.use("a", 5)
    assert not control.take("b", "bob", 5 + IDLE_SECONDS - 0.1)
    assert control.take("b", "bob", 5 + IDLE_SECONDS)
    assert not control.use("a", 5 + IDLE_SECONDS)


def test_nobody_else_may() -> None:
    assert not Control[str](False).take("a", "alice", 0)
    control: Control[str] = Control(True, frozenset({"bob"}))
    assert not control.take("a", "alice", 0)
    assert control.take("b", "bob", 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"take"}', Take()),
        ('{"type":"alive","later":1}', Alive()),
        ('{"type":"move","x":0,"y":1}', Move(0, 1)),
        (
            '{"type":"button","button":2,"down":true,"x":0.5,"y":0.5}',
            Button(2, True, 0.5, 0.5),
        ),
        ('{"type":"key","code":"KeyA","down":true,"text":"ä"}', Key("KeyA", True, "ä")),
        ('{"type":"key","code":"F1","down":false}', Key("F1", False)),
        ('{"type":"text","text":"hi"}', Text("hi")),
    ],
)
def test_messages_are_as_they_are_documented(text: str, message: FromViewer) -> None:
    assert msgspec.json.decode(text, type=FromViewer) == message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"type":"reboot"}',
        '{"type":"move","x":1.01,"y":0}',
        '{"type":"move","x":"0","y":0}',
        '{"type":"move","x":0}',
        '{"type":"button","button":5,"down":true,"x":0,"y":0}',
        '{"type":"wheel","x":0,"y":1000}',
        '{"type":"key","code":"","down":true}',
        '{"type":"key","code":"KeyA","down":1}',
        '{"type":"key","code":"KeyA","down":true,"text":"ab"}',
        '{"type":"text","text":"' + "a" * 65 + '"}',
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(text, type=FromViewer)


def test_states_are_as_they_are_documented() -> None:
    assert msgspec.json.encode(State("taken", "bob")) == (
        b'{"type":"state","control":"taken","by":"bob"}'
    )
