"""Headers of WebSocket frames (RFC 6455 section 5.2), as the server reads and writes them. No I/O.

The ``websockets`` library knows all frames, and takes some ten microseconds for each. Nearly all
that a signaling server reads and writes are short unfragmented texts, which are handled here.
"""

from dataclasses import dataclass

try:
    from websockets.speedups import apply_mask
except ImportError:  # where its wheel has no compiled part
    from websockets.utils import apply_mask

WHOLE_FRAME = 16 * 1024
"""Bytes of the largest text frame that is read as a whole; the library reads larger ones."""

_FINAL = 0x80
_OPCODE = 0x0F
_CONTROL = 0x08
_TEXT = 0x1
_FINAL_TEXT = _FINAL | _TEXT
_MASKED = 0x80
_MASK_SIZE = 4


@dataclass(frozen=True, slots=True)
class Head:
    """The meaning of a frame's header.

    Attributes:
        size: Bytes of the whole frame.
        is_whole_text: Whether it is an unfragmented, masked text of at most :data:`WHOLE_FRAME`
            bytes.
        begins: Whether it is the first of the fragments of a message.
        ends: Whether it is the last of the fragments of a message, or a message of its own.
    """

    size: int
    is_whole_text: bool
    begins: bool
    ends: bool


def read_head(data: bytes | bytearray, at: int = 0) -> Head | None:
    """Return what a header says; ``None`` if more bytes are needed to tell.

    Args:
        data: Bytes from a client.
        at: Where in them the frame begins.
    """
    if len(data) < at + 2:
        return None
    first, second = data[at], data[at + 1]
    size, begin = second & ~_MASKED, at + 2
    if size > 125:
        begin += 2 if size == 126 else 8
        if len(data) < begin:
            return None
        size = int.from_bytes(data[at + 2 : begin], "big")
    if second & _MASKED:
        begin += _MASK_SIZE
    total = begin + size - at
    is_whole = first == _FINAL_TEXT and second & _MASKED and total <= WHOLE_FRAME
    is_data, is_final = not first & _CONTROL, bool(first & _FINAL)
    return Head(
        total,
        bool(is_whole),
        begins=is_data and not is_final and bool(first & _OPCODE),
        ends=is_data and is_final,
    )


class FrameCutter:
    """Finds frames in the bytes of a client, to cut them up between the library and the short way.

    Attributes:
        is_between: Whether the next byte begins a frame that belongs to no message begun before.
    """

    __slots__ = ("_in_fragments", "_left", "is_between")

    def __init__(self) -> None:
        self.is_between = True
        self._left = 0  # bytes of the present frame
        self._in_fragments = False

    def cut(self, data: bytes | bytearray, size: int, *, skips_texts: bool) -> int:
        """Return how many bytes the library gets now, and take them as read.

        Args:
            data: What was not read yet.
            size: At most so many bytes.
            skips_texts: Whether it ends before a text that :func:`whole_text` may return, except
                for one that data begins with and that is complete: that one was not wanted.

        Returns:
            0 if more bytes are needed.
        """
        end = min(size, len(data))
        at = min(self._left, end)
        self._left -= at
        while at < end:
            head = read_head(data, at)
            if head is None:
                break
            is_short = skips_texts and head.is_whole_text and not self._in_fragments
            if is_short and (at > 0 or head.size > len(data)):
                break
            self._in_fragments = (self._in_fragments or head.begins) and not head.ends
            taken = min(head.size, end - at)
            self._left = head.size - taken
            at += taken
        self.is_between = not self._left and not self._in_fragments
        return at


def whole_text(data: bytes | bytearray, at: int = 0) -> tuple[bytes, int] | None:
    """Return the text of a frame, and where the frame ends.

    Args:
        data: Bytes from a client.
        at: Where in them the frame begins.

    Returns:
        ``None`` if the frame is incomplete, or is not an unfragmented and masked text of at most
        :data:`WHOLE_FRAME` bytes, or if it is not in UTF-8.
    """
    available = len(data)
    if available - at < 2 + _MASK_SIZE or data[at] != _FINAL_TEXT:
        return None
    size, begin = data[at + 1] - _MASKED, at + 2 + _MASK_SIZE
    if size > 125:
        if size == 127:
            return None
        begin += 2
        size = data[at + 2] << 8 | data[at + 3]
    end = begin + size
    if size < 0 or end > available or end - at > WHOLE_FRAME:
        return None
    text = apply_mask(data[begin:end], data[begin - _MASK_SIZE : begin])
    return (text, end) if text.isascii() or _is_utf8(text) else None


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def text_frame(payload: bytes) -> bytes:
    """Return a text as a frame of a server, which is not masked.

    Args:
        payload: The text in UTF-8.
    """
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (_FINAL_TEXT, size, payload)
    if size < 65536:
        return b"%c\x7e%b%b" % (_FINAL_TEXT, size.to_bytes(2, "big"), payload)
    return b"%c\x7f%b%b" % (_FINAL_TEXT, size.to_bytes(8, "big"), payload)
