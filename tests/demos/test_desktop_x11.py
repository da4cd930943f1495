"""Input at a real X server, and where there is none."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from icefloe.demos.desktop import InputUnavailable
from icefloe.demos.desktop.target import open_target
from icefloe.demos.desktop.x11 import X11Target
from tests.helpers.xserver import Window, connected, window, x_server

pytestmark = pytest.mark.system("xvfb", "x11-utils")

SIZE = (320, 240)


@pytest.fixture
async def display() -> AsyncIterator[str]:
    async with x_server(size=SIZE) as name:
        yield name


@pytest.fixture
async def target(display: str) -> AsyncIterator[X11Target]:
    opened = X11Target(display)
    yield opened
    opened.close()


@pytest.fixture
async def seen(display: str, target: X11Target) -> AsyncIterator[Window]:
    async with window(display, SIZE) as opened:
        target.move(0.5, 0.5)
        yield opened


def mapping(display: str) -> list[int]:
    with connected(display) as connection:
        setup = connection.get_setup()
        count = setup.max_keycode - setup.min_keycode + 1
        reply = connection.core.GetKeyboardMapping(setup.min_keycode, count).reply()
    width = reply.keysyms_per_keycode
    return [s for at in range(0, len(reply.keysyms), width) for s in reply.keysyms[at : at + 4]]


async def test_the_pointer_and_its_buttons(target: X11Target, seen: Window) -> None:
    for button, (x, y) in enumerate([(0, 0), (1, 1), (0.5, 0.25), (0.75, 0.75), (0.1, 0.9)]):
        target.move(x, y)
        target.button(button, True)
        target.button(button, False)
    target.wheel(-1, 2)
    await seen.until_up(8)
    places = [(0, 0), (319, 239), (160, 60), (240, 180), (32, 216)]
    pressed = [(b, at) for kind, b, at in seen.buttons if kind == "ButtonPress"]
    assert pressed[:5] == list(zip((1, 2, 3, 8, 9), places, strict=True))
    assert [button for button, _ in pressed[5:]] == [6, 5, 5]


async def test_text_that_the_layout_has_and_that_it_lacks(target: X11Target, seen: Window) -> None:
    text = "Hello, Grüße! Žluťoučký кот €5 → 日本"
    target.type(text + "\n\t")
    await seen.until_typed(text + "\r\t")


async def test_more_characters_than_there_are_keys_for(target: X11Target, seen: Window) -> None:
    # Each is seen before the next: a program that looks up what it got later may see another.
    text = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
    for length in range(1, len(text) + 1):
        target.type(text[length - 1])
        await seen.until_typed(text[:length])
    target.type(text[-3:])
    await seen.until_typed(text + text[-3:])


def test_a_long_text_is_typed_in_pieces(target: X11Target) -> None:
    text = "".join(chr(0x4E00 + number) for number in range(60))
    pieces = []
    while text:
        pieces.append(target._prepare(text))
        text = text[pieces[-1] :]
    assert len(pieces) < 6
    assert len(set(pieces[:-1])) == 1
    # What is there already takes no other key.
    assert target._prepare("日a日a") == 4
    before = dict(target._remapped)
    assert target._prepare("日b") == 2
    assert dict(target._remapped) == before


async def test_a_key_gives_what_it_gives_to_its_user(target: X11Target, seen: Window) -> None:
    # On a German keyboard: y, z, ü, and / with Shift.
    for count, (code, text) in enumerate([("KeyZ", "y"), ("KeyY", "z"), ("BracketLeft", "ü")]):
        target.press(code, text)
        target.release(code)
        await seen.until_up(count + 1)
    target.press("ShiftLeft", "")
    target.press("Digit7", "/")
    target.release("Digit7")
    target.release("ShiftLeft")
    await seen.until_up(5)
    assert seen.typed == "yzü/"
    assert ("KeyPress", "Shift_L") in seen.keys


async def test_modifiers_and_keys_without_a_character(target: X11Target, seen: Window) -> None:
    target.press("ControlLeft", "")
    target.press("KeyC", "c")
    target.release("KeyC")
    target.release("ControlLeft")
    for code in ("ArrowLeft", "F5", "Escape", "Delete", "NoSuchKey"):
        target.press(code, "")
        target.release(code)
    await seen.until_up(6)
    assert [k for kind, k in seen.keys if kind == "KeyPress"] == [
        "Control_L", "c", "Left", "F5", "Escape", "Delete",
    ]  # fmt: skip
    c = next(got for got in seen.got if got.keysym == "c")
    assert c.state == 4


async def test_caps_lock_is_that_of_whoever_types(target: X11Target, seen: Window) -> None:
    target.press("CapsLock", "")
    target.release("CapsLock")
    await seen.until_up(1)
    target.type("aüB")
    await seen.until_typed("aüB")


async def test_a_layout_that_changes_is_noticed(
    display: str, target: X11Target, seen: Window
) -> None:
    with connected(display) as connection:
        connection.core.ChangeKeyboardMappingChecked(1, 38, 2, [ord("q"), ord("Q")]).check()
    target.press("KeyA", "q")
    target.release("KeyA")
    await seen.until_up(1)
    press = next(got for got in seen.got if got.kind == "KeyPress")
    assert (press.text, press.keysym) == ("q", "q")


async def test_keys_that_were_lent_are_given_back(display: str) -> None:
    before = mapping(display)
    target = X11Target(display)
    target.type("äöü")
    assert mapping(display) != before
    target.close()
    target.close()
    assert mapping(display) == before


async def test_a_server_that_goes_away_is_told() -> None:
    async with x_server() as display:
        target = X11Target(display)
        target.type("ä")
    with pytest.raises(InputUnavailable, match=f"{display} has gone"):
        target.type("a")
    target.close()


async def test_a_server_that_takes_no_input_is_told() -> None:
    async with x_server("-extension", "XTEST") as display:
        with pytest.raises(InputUnavailable, match="no extension XTEST"):
            await asyncio.to_thread(open_target, display)


@pytest.mark.parametrize(
    ("platform", "environment", "words"),
    [
        ("darwin", {}, "Without --control others can look"),
        ("win32", {}, "Without --control others can look"),
        ("linux", {"XDG_SESSION_TYPE": "wayland", "DISPLAY": ":0"}, "Log in to a session of X11"),
        ("linux", {}, "Name the X server with --display"),
        ("linux", {"DISPLAY": ":77"}, "the X server :77 cannot be reached"),
    ],
)
def test_where_there_is_no_input_it_says_what_to_do(
    platform: str, environment: dict[str, str], words: str
) -> None:
    with pytest.raises(InputUnavailable, match=words):
        open_target(platform=platform, environment=environment)
