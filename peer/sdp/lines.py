"""Line and attribute parser of session descriptions, with limits (RFC 8866 section 5). No I/O."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .errors import InvalidDescription
from .steps import Steps

LIMIT = 1024 * 1024
"""Maximum length of a description in characters; one with 100 media sections has 100,000."""

SECTIONS = 256
"""Maximum number of media sections in a remote description: it is applied in one step of the event
loop, a tenth of a millisecond for each section."""

MAX_LINES = 16_384
"""Maximum number of lines in a description. A browser's media section has up to 150, and parsing a
line takes a few microseconds of the event loop."""

_SOME = 100
"""Lines that are split before the event loop may have a turn."""

_LINE = re.compile(r"[A-Za-z]=")
_MAX_ATTRIBUTES = 1024
"""Maximum number of attributes in a media section, or on the session level."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a description.

    Attributes:
        number: Line number, from 1.
        text: The line without trailing whitespace.
    """

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """An ``a=`` line.

    Attributes:
        name: The name in lower case.
        value: The value without surrounding whitespace; empty if there is none.
        number: Line number.
    """

    name: str
    value: str = field(repr=False)  # may be the password of ice-pwd
    number: int


@dataclass(frozen=True, slots=True)
class Block:
    """The lines of the session level, or of a media section starting with its ``m=`` line.

    Attributes:
        lines: All lines.
        attributes: The ``a=`` lines.
        named: The attributes by name.
    """

    lines: tuple[Line, ...] = field(repr=False)
    attributes: tuple[Attribute, ...] = field(repr=False)
    named: Mapping[str, Sequence[Attribute]] = field(repr=False)

    def all(self, name: str) -> Iterator[Attribute]:
        """Return the attributes with a name, in order."""
        return iter(self.named.get(name, ()))

    def first(self, name: str) -> Attribute | None:
        """Return the first attribute with a name; ``None`` if there is none."""
        return next(self.all(name), None)

    def value(self, name: str, default: str = "") -> str:
        """Return the value of the first attribute with a name; ``default`` if there is none."""
        found = self.first(name)
        return found.value if found is not None else default

    def has(self, name: str) -> bool:
        """Return whether there is an attribute with a name."""
        return self.first(name) is not None


def split(text: object, most: int = SECTIONS) -> Steps[tuple[Block, list[Block]]]:
    """Split a description into the session level and the media sections.

    Lines end with CRLF or LF. Trailing whitespace and empty lines are ignored.

    Args:
        text: The description; any object.

    Args:
        text: The untrusted description; any object.
        most: Maximum number of media sections.

    Raises:
        InvalidDescription: The description is not a string, exceeds a limit, or has a malformed
            line.
    """
    if not isinstance(text, str):
        raise InvalidDescription(f"the description is a {type(text).__name__} and not text")
    if len(text) > LIMIT:
        raise InvalidDescription(
            f"the description has {len(text)} characters; at most {LIMIT} are allowed"
        )
    if (count := text.count("\n")) > MAX_LINES:
        raise InvalidDescription(
            f"the description has {count} lines; at most {MAX_LINES} are allowed"
        )
    groups: list[list[Line]] = [[]]
    # splitlines() would also split at separators that an attribute may contain.
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.rstrip()
        if not line:
            continue
        if not _LINE.match(line):
            raise InvalidDescription("the line does not begin with a letter and '='", number)
        if not groups[0] and line != "v=0":
            raise InvalidDescription("the description does not begin with 'v=0'", number)
        if line.startswith("m="):
            groups.append([])
            if len(groups) > most + 1:
                raise InvalidDescription(
                    f"the description has more than {most} media sections", number
                )
        groups[-1].append(Line(number, line))
        if number % _SOME == 0:
            yield _SOME
    if not groups[0]:
        raise InvalidDescription("the description is empty")
    blocks = []
    for lines in groups:
        blocks.append(_block(lines))
        yield len(lines)
    return blocks[0], blocks[1:]


def _block(lines: list[Line]) -> Block:
    attributes: list[Attribute] = []
    for line in lines:
        # No supported attribute contains unprintable characters.
        if line.text.startswith("a=") and line.text.isprintable():
            name, _, value = line.text[2:].partition(":")
            if len(attributes) == _MAX_ATTRIBUTES:
                raise InvalidDescription(
                    f"a section has more than {_MAX_ATTRIBUTES} attributes", line.number
                )
            attributes.append(Attribute(name.strip().lower(), value.strip(), line.number))
    named: dict[str, list[Attribute]] = {}
    for attribute in attributes:
        named.setdefault(attribute.name, []).append(attribute)
    return Block(tuple(lines), tuple(attributes), named)


def number_of(text: str, low: int, high: int) -> int | None:
    """Parse a decimal number from ``low`` to ``high``; return ``None`` for anything else."""
    if not text.isascii() or not text.isdigit() or len(text) > 20:
        return None
    number = int(text)
    return number if low <= number <= high else None
