"""The lines of a description, and the attributes in them (RFC 8866 section 5). No I/O."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .errors import InvalidDescription
from .steps import Steps

LIMIT = 1024 * 1024
"""Characters of a description at most; a session of a hundred media sections has 100,000."""

SECTIONS = 256
"""Media sections of another side's description at most; what they come to is applied in one step of
the event loop, a tenth of a millisecond each."""

LINES = 16_384
"""Lines of a description at most: a media section of a browser has up to 150, and each takes some
microseconds of the event loop."""

_SOME = 100
"""Lines that are split off before others may have a turn."""

_LINE = re.compile(r"[A-Za-z]=")
_ATTRIBUTES = 1024
"""Attributes of one media section, or of the session, at most."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        number: Its place in the description, from 1.
        text: What it says, without the line end and blanks before it.
    """

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An ``a=`` line.

    Attributes:
        name: In lower case.
        value: What stands after the colon, without blanks around it; empty where there is none.
        number: The number of its line.
    """

    name: str
    value: str = field(repr=False)  # that of ice-pwd is a password
    number: int


@dataclass(frozen=True, slots=True)
class Block:
    """The session's lines, or those of one media section; the ``m=`` line is the first of these."""

    lines: tuple[Line, ...] = field(repr=False)
    attributes: tuple[Attribute, ...] = field(repr=False)
    named: Mapping[str, Sequence[Attribute]] = field(repr=False)

    def all(self, name: str) -> Iterator[Attribute]:
        """Give the attributes of a name, in order."""
        return iter(self.named.get(name, ()))

    def first(self, name: str) -> Attribute | None:
        """Return the first attribute of a name."""
        return next(self.all(name), None)

    def value(self, name: str, default: str = "") -> str:
        """Return the value of the first attribute of a name."""
        found = self.first(name)
        return found.value if found is not None else default

    def has(self, name: str) -> bool:
        """Whether there is an attribute of a name."""
        return self.first(name) is not None


def split(text: object, most: int = SECTIONS) -> Steps[tuple[Block, list[Block]]]:
    """Split a description into the session's lines and those of each media section.

    Lines may end in CRLF or LF, with blanks before; empty ones are passed over.

    Args:
        text: What came; nothing is assumed of it.
        most: How many media sections it may have.

    Raises:
        InvalidDescription: It is no text, too long, or not made of such lines.
    """
    if not isinstance(text, str):
        raise InvalidDescription(f"it is of type {type(text).__name__} and not text")
    if len(text) > LIMIT:
        raise InvalidDescription(f"it has {len(text)} characters; at most {LIMIT} are read")
    if (count := text.count("\n")) > LINES:
        raise InvalidDescription(f"it has {count} lines; at most {LINES} are read")
    groups: list[list[Line]] = [[]]
    # Not splitlines(), which also splits at separators that an attribute may contain.
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.rstrip()
        if not line:
            continue
        if not _LINE.match(line):
            raise InvalidDescription("it does not begin with a letter and '='", number)
        if not groups[0] and line != "v=0":
            raise InvalidDescription("it does not begin with 'v=0'", number)
        if line.startswith("m="):
            groups.append([])
            if len(groups) > most + 1:
                raise InvalidDescription(f"it has more than {most} media sections", number)
        groups[-1].append(Line(number, line))
        if number % _SOME == 0:
            yield _SOME
    if not groups[0]:
        raise InvalidDescription("it is empty")
    blocks = []
    for lines in groups:
        blocks.append(_block(lines))
        yield len(lines)
    return blocks[0], blocks[1:]


def _block(lines: list[Line]) -> Block:
    attributes: list[Attribute] = []
    for line in lines:
        # What cannot be printed is in no attribute that is of use here.
        if line.text.startswith("a=") and line.text.isprintable():
            name, _, value = line.text[2:].partition(":")
            if len(attributes) == _ATTRIBUTES:
                raise InvalidDescription(
                    f"a section has more than {_ATTRIBUTES} attributes", line.number
                )
            attributes.append(Attribute(name.strip().lower(), value.strip(), line.number))
    named: dict[str, list[Attribute]] = {}
    for attribute in attributes:
        named.setdefault(attribute.name, []).append(attribute)
    return Block(tuple(lines), tuple(attributes), named)


def number_of(text: str, low: int, high: int) -> int | None:
    """Return a decimal number of a range; ``None`` if it is none."""
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        return None
    number = int(text)
    return number if low <= number <= high else None
