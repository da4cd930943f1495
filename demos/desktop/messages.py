"""What goes over the data channel, ``icefloe.input.v1``: a JSON object a message.

The desktop says by :class:`State` how it is with control, and is sent all the others; without
control only :class:`Take` does anything. docs/desktop.md has them in a table.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

LABEL = "input"
"""The label of the channel."""

PROTOCOL = "icefloe.input.v1"
"""Its subprotocol, by which a page knows what it is for."""

TEXT_MOST = 64
"""Characters of one ``text``."""

Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Notches: TypeAlias = Annotated[int, Meta(ge=-20, le=20)]


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    pass


class Take(_Message, frozen=True):
    """Asks for control."""


class Release(_Message, frozen=True):
    """Gives control back."""


class Alive(_Message, frozen=True):
    """Says that what is down is still meant to be."""


class Move(_Message, frozen=True):
    """The pointer is there.

    Attributes:
        x: From the left of the picture, 0 to 1.
        y: From its top, 0 to 1.
    """

    x: Share
    y: Share


class Button(_Message, frozen=True):
    """A button of the mouse went down or up.

    Attributes:
        button: As ``MouseEvent.button`` counts: 0 left, 1 middle, 2 right, 3 back, 4 forward.
        down: Whether it went down.
        x: Where, as in :class:`Move`.
        y: Likewise.
    """

    button: Annotated[int, Meta(ge=0, le=4)]
    down: bool
    x: Share
    y: Share


class Wheel(_Message, frozen=True):
    """The wheel turned.

    Attributes:
        x: Notches to the right.
        y: Notches down.
    """

    x: Notches
    y: Notches


class Key(_Message, frozen=True):
    """A key went down or up.

    Attributes:
        code: Where it is, as ``KeyboardEvent.code`` names it: ``KeyA`` is the A of a US keyboard.
        down: Whether it went down.
        text: The one character that it gives to its user; empty for a key such as ``Enter``.
    """

    code: Annotated[str, Meta(min_length=1, max_length=32)]
    down: bool
    text: Annotated[str, Meta(max_length=1)] = ""


class Text(_Message, frozen=True):
    """Characters that no key stands for.

    Attributes:
        text: The characters; a line break is Enter, and other control characters are left out.
    """

    text: Annotated[str, Meta(min_length=1, max_length=TEXT_MOST)]


Event: TypeAlias = Move | Button | Wheel | Key | Text
"""What somebody in control does."""

FromViewer: TypeAlias = Take | Release | Alive | Event
"""Whatever a page sends."""


class State(_Message, frozen=True):
    """How it is with control.

    Attributes:
        control: What the one who is told may do.
        by: Who has it, if it is ``taken``.
    """

    control: Literal["none", "free", "yours", "taken"]
    by: str = ""
