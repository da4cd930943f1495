"""Commands that the participant of the demo understands."""

import pytest

from icefloe.demos.call import chat
from icefloe.demos.call.chat import Reply, Request, parse
from icefloe.demos.call.effects import EFFECTS


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("/effect edges", Request("effect", "edges")),
        ("  /Effect   GRAY ", Request("effect", "gray")),
        ("/play", Request("play")),
        ("/tone", Request("tone")),
        ("/stop", Request("stop")),
        ("/stats", Request("stats")),
        ("/help", Request("help")),
    ],
)
def test_commands_are_understood(text: str, request_: Request) -> None:
    assert parse(text) == request_


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/dance", ["/dance", "/effect", "/help"]),
        ("/", ["/effect", "/help"]),
        ("/effect", ["/effect", *EFFECTS]),
        ("/effect purple", ["/effect", *EFFECTS]),
        ("/play it again", ["/play alone"]),
        ("hello", ["hello", "/help"]),
        ("", ["/help"]),
    ],
)
def test_everything_else_gets_an_answer_that_helps(text: str, words: list[str]) -> None:
    reply = parse(text)
    assert isinstance(reply, Reply)
    for word in words:
        assert word in reply.text


def test_an_answer_does_not_grow_with_the_question() -> None:
    for text in ("x" * 100_000, f"/{'x' * 100_000}", f"/effect {'x' * 100_000}"):
        reply = parse(text)
        assert isinstance(reply, Reply)
        assert len(reply.text) < 500


def test_each_command_of_the_greeting_is_understood() -> None:
    line = next(x for x in chat.greeting("alice").splitlines() if x.startswith("commands:"))
    offered = [command.strip() for command in line.removeprefix("commands:").split(",")]
    requests = [parse(command) for command in offered]
    assert all(isinstance(request, Request) for request in requests)
    assert {request.command for request in requests if isinstance(request, Request)} == set(
        chat.COMMANDS
    )


def test_help_tells_of_every_command() -> None:
    for name in chat.COMMANDS:
        assert f"/{name}" in chat.help_text()


def test_only_a_program_offers_commands() -> None:
    assert chat.is_offer(chat.greeting("alice"))
    assert not chat.is_offer("my commands: none")
