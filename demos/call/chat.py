"""Chat commands of the demo participant: parsing, greeting and help text. No I/O."""

from dataclasses import dataclass

from .effects import EFFECTS

LABEL = "chat"
"""The label of the data channel that the call page opens for its chat."""

_MAX_QUOTED = 200  # characters


@dataclass(frozen=True, slots=True)
class Command:
    """A command of the chat.

    Attributes:
        purpose: Its description for ``/help``.
        choices: The arguments that it accepts; empty if it takes none.
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
    """A command that a participant has sent.

    Attributes:
        command: The name of the command in :data:`COMMANDS`.
        choice: Its argument; empty if it takes none.
    """

    command: str
    choice: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a message that is not a valid command."""

    text: str


def parse(text: str) -> Request | Reply:
    """Parse a chat message; return the command, or the answer if it is not a valid command."""
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
    """Return the first message: a welcome, and the list of commands that the page makes buttons of.

    Args:
        name: The name of the participant.
    """
    return f"Hello {name}, I am a Python program. This is your picture, as I see it.\n{_offer()}"


def help_text() -> str:
    """Return the description of all commands, one per line."""
    lines = [
        f"/{name} {'|'.join(command.choices)}".rstrip() + f": {command.purpose}"
        for name, command in COMMANDS.items()
    ]
    return "\n".join(lines)


def is_offer(text: str) -> bool:
    """Return whether a message is the greeting of another program like this one."""
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
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]} …"
