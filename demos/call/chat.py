"""What people may write to the participant, and how it is understood. No I/O."""

from dataclasses import dataclass

from .effects import EFFECTS

LABEL = "chat"
"""The label of the data channel that the call page opens for its chat."""

_QUOTED_MOST = 200


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the chat.

    Attributes:
        purpose: What it does, for ``/help``.
        choices: What may stand after it; empty if nothing does.
    """

    purpose: str
    choices: tuple[str, ...] = ()


COMMANDS = {
    "effect": Command("change what is done to your picture", EFFECTS),
    "play": Command("play a film in place of your picture"),
    "tone": Command("hear a tone"),
    "stop": Command("end the film or the tone"),
    "stats": Command("see the path between you and me"),
    "help": Command("read this again"),
}


@dataclass(frozen=True, slots=True)
class Request:
    """A command that somebody gave.

    Attributes:
        command: One of :data:`COMMANDS`.
        choice: One of its choices; empty if it has none.
    """

    command: str
    choice: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """A line to answer with, to what was no command."""

    text: str


def understand(text: str) -> Request | Reply:
    """Read a line of the chat: a command, or something to answer politely."""
    words = text.split()
    if not words or not words[0].startswith("/"):
        return Reply(f"You wrote: {_quoted(text)}. Try /help.")
    name = words[0].removeprefix("/").lower()
    command = COMMANDS.get(name)
    if command is None:
        return Reply(f"I know no /{_quoted(name)}. Try one of {_all_commands()}.")
    choice = " ".join(words[1:]).lower()
    if not command.choices and choice:
        return Reply(f"Nothing stands after /{name}. Try /{name} alone.")
    if command.choices and choice not in command.choices:
        return Reply(f"After /{name} comes one of {', '.join(command.choices)}.")
    return Request(name, choice)


def greeting(name: str) -> str:
    """Return the first message: a welcome, and the line out of which the page makes buttons."""
    return f"Hello {name}, I am a Python program. This is your picture, as I see it.\n{_offer()}"


def help_text() -> str:
    """Return what each command does, a line for each."""
    lines = [
        f"/{name} {'|'.join(command.choices)}".rstrip() + f": {command.purpose}"
        for name, command in COMMANDS.items()
    ]
    return "\n".join(lines)


def is_offer(text: str) -> bool:
    """Tell whether a message offers commands, as only a program like this one does."""
    return any(line.startswith(_OFFER) for line in text.splitlines())


_OFFER = "commands:"


def _offer() -> str:
    spelled = [
        f"/{name} {choice}".rstrip()
        for name, command in COMMANDS.items()
        for choice in command.choices or ("",)
    ]
    return f"{_OFFER} {', '.join(spelled)}"


def _all_commands() -> str:
    return ", ".join(f"/{name}" for name in COMMANDS)


def _quoted(text: str) -> str:
    return text if len(text) <= _QUOTED_MOST else f"{text[:_QUOTED_MOST]} …"
