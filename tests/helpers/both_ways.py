"""Reading of frames as the server does it, short texts itself and all else by the library."""

from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from icefloe.signaling.frames import FrameCutter, whole_text

LIMIT = 64 * 1024
"""Bytes of the largest message."""

Heard = tuple[Opcode, bytes, bool]
"""A frame: what it is, its data, and whether it ends a message."""


def library() -> ServerProtocol:
    """Return the library's own reader."""
    return ServerProtocol(state=State.OPEN, max_size=LIMIT)


def events(protocol: ServerProtocol) -> list[Heard]:
    """Return the frames that the library has read since the last call."""
    frames = [frame for frame in protocol.events_received() if isinstance(frame, Frame)]
    return [(frame.opcode, bytes(frame.data), frame.fin) for frame in frames]


class BothWays:
    """Reads whole texts the short way, and all else by the library, as the server does.

    Attributes:
        library: The library's reader.
        heard: All frames, in order.
        short: How many of them went the short way.
    """

    def __init__(self) -> None:
        self.library = library()
        self.heard: list[Heard] = []
        self.short = 0
        self._cutter = FrameCutter()
        self._unparsed = bytearray()

    def receive(self, data: bytes, size: int) -> None:
        """Read what came.

        Args:
            data: The bytes.
            size: Bytes that the library is given at a time.
        """
        self._unparsed += data
        while self._unparsed:
            is_open = self.library.state is State.OPEN
            found = whole_text(self._unparsed) if self._cutter.is_between and is_open else None
            if found is not None:
                text, end = found
                self.heard.append((Opcode.TEXT, text, True))
                self.short += 1
                del self._unparsed[:end]
            elif taken := self._cutter.cut(self._unparsed, size, skips_texts=True):
                self.library.receive_data(bytes(self._unparsed[:taken]))
                self.heard += events(self.library)
                del self._unparsed[:taken]
            else:
                break
