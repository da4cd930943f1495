"""Messages of the input data channel, ``icefloe.input.v1``: one JSON object per message.

The desktop sends :class:`State`, and the viewer sends all others. From a viewer without control
only :class:`Take` has an effect. docs/desktop.md specifies the messages.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

LABEL = "input"
"""The label of the channel."""

PROTOCOL = "icefloe.input.v1"
"""The subprotocol of the channel, by which the page recognizes it."""

MAX_TEXT = 64
"""Characters of one ``text`` message."""

Share: TypeAlias = Annotated[float, Meta(ge=0.0, le=1.0)]
Notches: TypeAlias = Annotated[int, Meta(ge=-20, le=20)]


class _Message(msgspec.Struct, frozen=True, tag_field="type", tag=str.lower):
    pass


class Take(_Message, frozen=True):
    """Asks for control."""


class Release(_Message, frozen=True):
    """Gives control back."""


class Alive(_Message, frozen=True):
    """Keep-alive: keys and buttons that are down stay down."""


class Move(_Message, frozen=True):
    """Moves the pointer.

    Attributes:
        x: The horizontal position, from 0 (left edge of the picture) to 1.
        y: The vertical position, from 0 (top edge) to 1.
    """

    x: Share
    y: Share


class Button(_Message, frozen=True):
    """Presses or releases a mouse button.

    Attributes:
        button: The number as in ``MouseEvent.button``: 0 left, 1 middle, 2 right, 3 back, 4
            forward.
        down: Whether the button was pressed.
        x: The position of the pointer, as in :class:`Move`.
        y: Likewise.
    """

    button: Annotated[int, Meta(ge=0, le=4)]
    down: bool
    x: Share
    y: Share


class Wheel(_Message, frozen=True):
    """Turns the wheel.

    Attributes:
        x: Notches to the right.
        y: Notches down.
    """

    x: Notches
    y: Notches


class Key(_Message, frozen=True):
    """Presses or releases a key.

    Attributes:
        code: The physical key, as ``KeyboardEvent.code``: ``KeyA`` is the A of a US keyboard.
        down: Whether the key was pressed.
        text: The character that the key gives on the keyboard of the viewer; empty for a key such
            as ``Enter``.
    """

    code: Annotated[str, Meta(min_length=1, max_length=32)]
    down: bool
    text: Annotated[str, Meta(max_length=1)] = ""


class Text(_Message, frozen=True):
    """Types characters that do not come from single keys.

    Attributes:
        text: The characters; a line break is Enter, and other control characters are ignored.
    """

    text: Annotated[str, Meta(min_length=1, max_length=MAX_TEXT)]


Event: TypeAlias = Move | Button | Wheel | Key | Text
"""An input event from the viewer in control."""

FromViewer: TypeAlias = Take | Release | Alive | Event
"""Any message from a viewer."""


class State(_Message, frozen=True):
    """The state of control, for one viewer.

    Attributes:
        control: ``none`` if the viewer may not have control, ``free`` if nobody has it, ``yours``
            or ``taken``.
        by: The name of the viewer that has control, if it is ``taken``.
    """

    control: Literal["none", "free", "yours", "taken"]
    by: str = ""
