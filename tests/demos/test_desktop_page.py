"""A shared desktop on the call page: Chromium at one side, an X server at the other."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from icefloe.demos.desktop import everybody, take_part
from icefloe.demos.desktop.messages import LABEL, PROTOCOL, State
from icefloe.peer import join
from icefloe.signaling import SignalingServer
from tests.demos.rooms import running
from tests.helpers.browser import FAKE_DEVICES, CallPage, chromium, open_page
from tests.helpers.xserver import Window, paint, window, x_server

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium", "xvfb", "x11-utils")]

SIZE = (320, 240)
TELEPHONE = (360, 640)


class Looking:
    """A page that looks at a desktop.

    Attributes:
        call: The page.
        seen: What arrives at the desktop.
    """

    def __init__(self, call: CallPage, seen: Window) -> None:
        self.call = call
        self.seen = seen
        self.page: Page = call.page
        self.tile: Locator = self.page.get_by_test_id("tile").filter(has_text="desktop")
        self.button = self.tile.get_by_test_id("control")
        self.keys = self.tile.get_by_test_id("keys")

    async def take(self) -> None:
        await self.button.click()
        await expect(self.button).to_have_text("Stop")

    async def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the place in the window of a place of the desktop, whose picture is seen whole."""
        box = await self.tile.get_by_test_id("remote-video").bounding_box()
        assert box is not None
        scale = min(box["width"] / SIZE[0], box["height"] / SIZE[1])
        width, height = SIZE[0] * scale, SIZE[1] * scale
        return (
            box["x"] + (box["width"] - width) / 2 + x * width,
            box["y"] + (box["height"] - height) / 2 + y * height,
        )


@asynccontextmanager
async def looking(
    server: SignalingServer,
    display: str,
    size: tuple[int, int] = (1280, 800),
    options: dict[str, Any] | None = None,
    **sharing: Any,
) -> AsyncIterator[Looking]:
    async with (
        window(display, SIZE) as seen,
        running(take_part(server.url, display=display, consent=everybody, **sharing)),
        chromium(*FAKE_DEVICES) as browser,
    ):
        call = await open_page(browser, size, **(options or {}))
        await call.join(server.page_url, name="alice")
        await call.plays("desktop", 2)
        yield Looking(call, seen)
        assert call.complaints == []


@pytest.fixture
async def display() -> AsyncIterator[str]:
    async with x_server("-br", size=SIZE) as name:
        yield name


def near(place: tuple[int, int], x: float, y: float) -> bool:
    """Within two pixels: a page has fewer than one to a pixel of the desktop, or more."""
    return abs(place[0] - x * SIZE[0]) <= 2 and abs(place[1] - y * SIZE[1]) <= 2


async def test_what_is_on_the_screen_is_seen_whole(server: SignalingServer) -> None:
    async with (
        x_server("-br", size=SIZE) as display,
        running(take_part(server.url, display=display)),
        chromium(*FAKE_DEVICES) as browser,
    ):
        call = await open_page(browser)
        await call.join(server.page_url, name="alice")
        for colour, condition in (
            (0xFF0000, "c.red > 200 && c.blue < 60"),
            (0x0000FF, "c.blue > 200 && c.red < 60"),
        ):
            await call.plays("desktop", 1)
            paint(display, colour)
            await call.until_colours("desktop", condition)
        video = call.page.get_by_test_id("remote-video")
        await expect(video).to_have_css("object-fit", "contain")
        await expect(call.page.get_by_test_id("control")).to_be_hidden()
        assert call.complaints == []


async def test_mouse_and_keys_arrive(server: SignalingServer, display: str) -> None:
    async with looking(server, display, control=True) as looks:
        page, seen = looks.page, looks.seen
        # Without control nothing does.
        await page.mouse.click(*await looks.at(0.5, 0.5))
        await looks.take()
        for button, place in (("left", (0.25, 0.75)), ("right", (0.9, 0.1))):
            await page.mouse.click(*await looks.at(*place), button=button)  # type: ignore[arg-type]
        await seen.until_up(2)
        assert [(kind, number) for kind, number, _ in seen.buttons] == [
            ("ButtonPress", 1),
            ("ButtonRelease", 1),
            ("ButtonPress", 3),
            ("ButtonRelease", 3),
        ]
        assert near(seen.buttons[0][2], 0.25, 0.75)
        assert near(seen.buttons[2][2], 0.9, 0.1)

        await page.mouse.move(*await looks.at(0.2, 0.2))
        await page.mouse.down()
        await page.mouse.move(*await looks.at(0.6, 0.5), steps=8)
        await page.mouse.up()
        await seen.until_up(3)
        assert near(seen.buttons[-2][2], 0.2, 0.2)
        assert near(seen.buttons[-1][2], 0.6, 0.5)
        await page.mouse.wheel(0, 200)
        await seen.until_up(5)
        assert [number for _, number, _ in seen.buttons[-4:]] == [5, 5, 5, 5]

        # Umlauts come by the input method here, as Playwright types what no US keyboard has.
        written = ""
        for piece in ("Hallo, W", "ö", "rld ", "ß"):
            await page.keyboard.type(piece)
            written += piece
            await seen.until_typed(written)


async def test_a_german_keyboard(server: SignalingServer, display: str) -> None:
    async with looking(server, display, control=True) as looks:
        await looks.take()
        await looks.page.mouse.move(*await looks.at(0.5, 0.5))
        devtools = await looks.page.context.new_cdp_session(looks.page)

        async def key(kind: str, code: str, key: str) -> None:
            event = {"type": kind, "code": code, "key": key}
            if kind == "keyDown" and len(key) == 1:
                event["text"] = key
            await devtools.send("Input.dispatchKeyEvent", event)

        written = ""
        for code, text in (("BracketLeft", "ü"), ("KeyY", "z"), ("KeyZ", "y"), ("Minus", "ß")):
            await key("keyDown", code, text)
            await key("keyUp", code, text)
            written += text
            await looks.seen.until_typed(written)
        # Windows says Ctrl when AltGr is meant; the character is there, and no Ctrl with it.
        await key("keyDown", "ControlLeft", "Control")
        await key("keyDown", "AltRight", "AltGraph")
        await key("keyDown", "KeyQ", "@")
        await looks.seen.until_typed(written + "@")
        at = next(got for got in looks.seen.got if got.text == "@")
        assert at.state & 0b1100 == 0  # neither Ctrl nor Alt
        await key("keyUp", "KeyQ", "@")
        await key("keyUp", "ControlLeft", "Control")
        await key("keyUp", "AltRight", "AltGraph")


async def test_of_places_the_newest_counts(server: SignalingServer, display: str) -> None:
    async with looking(server, display, control=True) as looks:
        page, seen = looks.page, looks.seen
        await looks.take()
        x, y = await looks.at(0.5, 0.5)
        await page.mouse.move(x, y)
        while not seen.got:
            await seen.next()
        before = len(seen.got)
        await page.evaluate(
            """([x, y]) => {
              const video = document.querySelector(".desktop video");
              for (let at = 0; at < 100; at += 1) {
                const place = { clientX: x - at, clientY: y, pointerType: "mouse" };
                video.dispatchEvent(new PointerEvent("pointermove", place));
              }
            }""",
            [x, y],
        )
        await page.mouse.click(x, y, button="middle")
        await seen.until_up(1)
        moves = [got for got in seen.got[before:] if got.kind == "MotionNotify"]
        assert len(moves) <= 3


async def test_the_fourth_button_does_not_leave_the_page(
    server: SignalingServer, display: str
) -> None:
    async with looking(server, display, control=True) as looks:
        await looks.take()
        x, y = await looks.at(0.5, 0.5)
        devtools = await looks.page.context.new_cdp_session(looks.page)
        for kind, buttons in (("mousePressed", 8), ("mouseReleased", 0)):
            await devtools.send(
                "Input.dispatchMouseEvent",
                {"type": kind, "x": x, "y": y, "button": "back", "buttons": buttons},
            )
        await looks.seen.until_up(1)
        assert [number for _, number, _ in looks.seen.buttons] == [8, 8]
        await looks.call.plays("desktop", 1)


async def test_keys_of_the_page_are_those_of_the_desktop(
    server: SignalingServer, display: str
) -> None:
    async with looking(server, display, control=True) as looks:
        page, seen = looks.page, looks.seen
        await looks.take()
        await page.mouse.move(*await looks.at(0.5, 0.5))
        for press in ("Escape", "Tab", "Control+a", "Shift+ArrowLeft", "F5"):
            await page.keyboard.press(press)
        await seen.until_up(7)
        assert [key for kind, key in seen.keys if kind == "KeyPress"] == [
            "Escape", "Tab", "Control_L", "a", "Shift_L", "Left", "F5",
        ]  # fmt: skip
        # Escape closes the chat elsewhere.
        await expect(page.get_by_test_id("chat-log")).to_be_visible()
        await expect(looks.keys).to_be_focused()


async def test_full_screen(server: SignalingServer, display: str) -> None:
    async with looking(server, display, control=True) as looks:
        page, seen = looks.page, looks.seen
        await looks.take()
        full = looks.tile.get_by_test_id("full-screen")
        await full.click()
        await expect(full).to_have_text("Leave full screen")
        await expect(looks.keys).to_be_focused()
        await page.mouse.click(*await looks.at(0.5, 0.5))
        await page.keyboard.type("w")
        await seen.until_typed("w")
        assert near(seen.buttons[0][2], 0.5, 0.5)
        await looks.button.click()
        await expect(looks.button).to_have_text("Control")
        await page.wait_for_function("() => document.fullscreenElement === null")


@pytest.mark.parametrize("way", ["button", "keys", "blur"])
async def test_what_is_down_goes_up(server: SignalingServer, display: str, way: str) -> None:
    async with looking(server, display, control=True) as looks:
        page, seen = looks.page, looks.seen
        await looks.take()
        await page.mouse.move(*await looks.at(0.5, 0.5))
        await page.mouse.down(button="middle")
        await page.keyboard.down("w")
        await seen.until_typed("w")
        if way == "keys":
            for key in ("Control", "Alt", "Shift"):
                await page.keyboard.down(key)
        elif way == "button":
            await looks.button.dispatch_event("click")
        else:
            await page.get_by_test_id("mute").focus()
        await seen.until_up(4 if way == "keys" else 2)
        downs = sum(got.kind.endswith("Press") for got in seen.got)
        ups = sum(got.kind.endswith("Release") for got in seen.got)
        assert downs == ups
        await expect(looks.button).to_have_text("Stop" if way == "blur" else "Control")


async def test_there_is_one_in_control(server: SignalingServer, display: str) -> None:
    async with looking(server, display, control=True) as looks:
        browser = looks.page.context.browser
        assert browser is not None
        other = await open_page(browser)
        await other.join(server.page_url, name="bob")
        await other.plays("desktop", 2)
        desk = other.page.get_by_test_id("desk").filter(visible=True)
        await looks.take()
        await expect(desk).to_contain_text("alice is in control")
        await desk.get_by_test_id("control").click()
        await expect(desk).to_contain_text("alice is still using it")
        await looks.button.click()
        await expect(desk).not_to_contain_text("alice")
        await desk.get_by_test_id("control").click()
        await expect(looks.tile.get_by_test_id("desk")).to_contain_text("bob is in control")
        # Whoever is not there any more is not in control.
        await other.page.close()
        await expect(looks.tile.get_by_test_id("desk")).not_to_contain_text("bob")


async def test_nobody_gets_keys_by_giving_control(server: SignalingServer) -> None:
    async with chromium(*FAKE_DEVICES) as browser:
        call = await open_page(browser)
        await call.join(server.page_url, name="alice")
        async with join(server.url, room="lobby", name="mallory") as room:
            alice = await room.peer("alice", timeout=20)
            channel = await alice.open_channel(LABEL, protocol=PROTOCOL)
            await call.page.evaluate(
                """() => {
                  window.given = false;
                  const look = () => (window.given ||= !!document.querySelector(".controlled"));
                  new MutationObserver(look).observe(document, { attributes: true, subtree: true });
                }"""
            )
            for unasked in (State("yours"), State("taken", "somebody")):
                await channel.send_json(unasked)
            desk = call.page.get_by_test_id("desk").filter(visible=True)
            await expect(desk).to_contain_text("somebody is in control")
            assert await call.page.evaluate("window.given") is False
            await desk.get_by_test_id("control").click()
            # The page says nothing before it is asked to.
            assert await channel.receive_json() == {"type": "take"}
        assert call.complaints == []


@pytest.mark.parametrize("size", [TELEPHONE, TELEPHONE[::-1]], ids=["upright", "sideways"])
async def test_a_telephone(server: SignalingServer, display: str, size: tuple[int, int]) -> None:
    touch = {"has_touch": True, "is_mobile": True}
    async with looking(server, display, size, touch, control=True) as looks:
        page, seen = looks.page, looks.seen
        await looks.button.tap()
        await expect(looks.button).to_have_text("Stop")
        # Nobody wants the keyboard before they ask for it.
        await expect(looks.keys).not_to_be_focused()
        await page.touchscreen.tap(*await looks.at(0.25, 0.75))
        await seen.until_up(1)
        assert [number for _, number, _ in seen.buttons] == [1, 1]
        assert near(seen.buttons[0][2], 0.25, 0.75)
        await looks.tile.get_by_test_id("keyboard").tap()
        await expect(looks.keys).to_be_focused()
        await page.keyboard.insert_text("grüße")
        await seen.until_typed("grüße")
        for part in (looks.button, looks.tile.get_by_test_id("remote-video")):
            await expect(part).to_be_in_viewport(ratio=1)
        assert await page.evaluate("document.documentElement.scrollWidth") <= size[0]


PLACES: list[tuple[tuple[int, int], dict[str, object]]] = [
    ((100, 100), {"x": 0, "y": 0, "inside": True}),
    ((300, 200), {"x": 1, "y": 1, "inside": True}),
    ((200, 150), {"x": 0.5, "y": 0.5, "inside": True}),
    ((200, 50), {"x": 0.5, "y": 0, "inside": False}),
    ((301, 150), {"x": 1, "y": 0.5, "inside": False}),
]


async def test_bars_beside_the_picture_do_not_count(server: SignalingServer) -> None:
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(server.page_url)
        found = await page.evaluate(
            """async (points) => {
              const { placeIn } = await import("/input.js");
              const box = new DOMRect(100, 50, 200, 200);
              return points.map(([x, y]) => placeIn({ width: 1920, height: 960 }, box, { x, y }));
            }""",
            [point for point, _ in PLACES],
        )
        assert found == [place for _, place in PLACES]
