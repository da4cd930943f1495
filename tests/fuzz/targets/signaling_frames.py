"""WebSocket frames of a client, of which the server reads short texts itself."""

from websockets.frames import Frame, Opcode
from websockets.protocol import State

from tests.helpers.both_ways import BothWays, events, library

from ..target import Target, join, split, stateless

TEXT = Frame(Opcode.TEXT, b'{"type":"bye","to":"p3"}').serialize(mask=True)
PING = Frame(Opcode.PING, b"ping").serialize(mask=True)
FRAGMENTS = (
    Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=True),
    Frame(Opcode.CONT, b"b", fin=False).serialize(mask=True),
    Frame(Opcode.CONT, b"").serialize(mask=True),
)


def run(data: bytes) -> None:
    """Read it both ways together and by the library alone: the frames must be the same."""
    both, alone = BothWays(), library()
    for piece in split(data):
        both.receive(piece, 1024)
        alone.receive_data(piece)
    heard = events(alone)
    if alone.state is State.OPEN:
        # The end of a header, or of a text, may be missing yet.
        assert both.library.state is State.OPEN
        assert both.heard == heard
    else:
        assert both.heard == heard[: len(both.heard)]


TARGET = Target(
    name="signaling-frames",
    seeds=lambda: [
        join((TEXT, PING, TEXT + TEXT, *FRAGMENTS, TEXT)),
        join((TEXT[:5], TEXT[5:] + PING[:1], PING[1:])),
        join((Frame(Opcode.TEXT, b"x" * 200).serialize(mask=True), TEXT)),
        join(
            (
                Frame(Opcode.BINARY, b"x").serialize(mask=True),
                Frame(Opcode.CLOSE, b"").serialize(mask=True),
            )
        ),
    ],
    tokens=(b"\x81", b"\x81\xfe", b"\x81\xff", b"\x01\x80", b"\x80\x80", b"\x89\x80", b"\x88\x80"),
    documented=(),
    start=lambda: stateless(run),
)
