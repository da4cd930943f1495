"""The size that a bitstream announces, read and bounded before a decoder sees it. No I/O."""

import re
from collections import deque
from collections.abc import Iterator

MOST_PIXELS = 4096 * 2304
"""Pixels of a picture at most, unless a program wants others. A decoder keeps several, and ten
bytes can announce 268 million."""

GROWTHS = 8
"""How often a stream may become larger within :data:`PERIOD`: a decoder begins anew each time."""

PERIOD = 60.0
"""Seconds."""

_SET_BYTES = 4096
"""Bytes of a sequence parameter set that are looked at; with all lists they have 1 kB."""
_SETS = 32
"""Sequence parameter sets of one picture that are looked at: there are 32 ids."""
_MOST_ZEROS = 31
_SEQUENCE_PARAMETER_SET = re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67\x87\xa7\xc7\xe7]")
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""Those that tell of chroma and of scaling (ITU-T H.264 section 7.3.2.1.1)."""


def announced(codec: str, data: bytes) -> tuple[int, int] | None:
    """Return the width and height that an encoded picture has decoders make room for, in pixels.

    Args:
        codec: ``VP8`` or ``H264``; nothing is known of others.
        data: A picture of VP8, or the NAL units of one of H.264 after their start codes.

    Returns:
        Of H.264 the largest of several, in whole macroblocks; ``None`` where none is told, or in a
        way that is malformed.
    """
    match codec.upper():
        case "VP8":
            return _of_vp8(data)
        case "H264":
            return max(_of_h264(data), key=lambda size: size[0] * size[1], default=None)
        case _:
            return None


def _of_vp8(data: bytes) -> tuple[int, int] | None:
    """RFC 6386 section 9.1."""
    if len(data) < 10 or data[0] & 1:
        return None
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return width, height


def _of_h264(data: bytes) -> Iterator[tuple[int, int]]:
    for count, found in enumerate(_SEQUENCE_PARAMETER_SET.finditer(data)):
        if count == _SETS:
            return
        # The byte that keeps start codes out (ITU-T H.264 section 7.4.1.1).
        unit = data[found.end() : found.end() + _SET_BYTES].split(b"\0\0\1")[0]
        try:
            yield _size_of(_Bits(unit.replace(b"\0\0\3", b"\0\0")))
        except ValueError:
            continue


class _Bits:
    """The fields of a parameter set (ITU-T H.264 sections 7.2 and 9.1).

    Bits are characters, so that a number takes no longer because much follows it.
    """

    def __init__(self, data: bytes) -> None:
        self._bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self._at = 0

    def take(self, count: int) -> int:
        """Return the next bits, one or more.

        Raises:
            ValueError: There are not as many.
        """
        end = self._at + count
        if end > len(self._bits):
            raise ValueError("it is cut off")
        taken = self._bits[self._at : end]
        self._at = end
        return int(taken, 2)

    def unsigned(self) -> int:
        """Return the next Exp-Golomb code.

        Raises:
            ValueError: It is cut off, or longer than any may be.
        """
        one = self._bits.find("1", self._at, self._at + _MOST_ZEROS + 1)
        if one < 0:
            raise ValueError("a number that is cut off, or of more than 32 bits")
        zeros, self._at = one - self._at, one
        return self.take(zeros + 1) - 1

    def signed(self) -> int:
        """Return the next one that may be negative (section 9.1.1)."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _size_of(bits: _Bits) -> tuple[int, int]:
    """Return the size that a sequence parameter set tells (ITU-T H.264 section 7.3.2.1.1).

    Raises:
        ValueError: It is malformed.
    """
    profile = bits.take(8)
    bits.take(16)
    bits.unsigned()
    if profile in _HIGH_PROFILES:
        chroma = bits.unsigned()
        if chroma > 3:
            raise ValueError("there is no such chroma format")
        if chroma == 3:
            bits.take(1)
        bits.unsigned()
        bits.unsigned()
        bits.take(1)
        if bits.take(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _pass_scaling_list(bits, 16 if number < 6 else 64)
    bits.unsigned()
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        frames = bits.unsigned()
        if frames > 255:
            raise ValueError("a cycle of more than 255 frames")
        for _ in range(frames):
            bits.signed()
    bits.unsigned()
    bits.take(1)
    width, height = bits.unsigned() + 1, bits.unsigned() + 1
    is_whole = bits.take(1)
    return 16 * width, 16 * height * (1 if is_whole else 2)


def _pass_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class Sizes:
    """Decides whether the pictures of one stream are decoded, by the sizes that they announce.

    Args:
        most: Pixels of a picture at most.
    """

    def __init__(self, most: int = MOST_PIXELS) -> None:
        self.most = most
        self.pixels = 0
        """Of the latest picture that was let through and told its size."""
        self._grown: deque[float] = deque(maxlen=GROWTHS)

    def refusal(self, now: float, size: tuple[int, int]) -> str | None:
        """Return why a picture is not to be decoded; ``None`` if it is.

        Args:
            now: Seconds on a monotonic clock.
            size: What it announces, see :func:`announced`.
        """
        width, height = size
        pixels = width * height
        # Macroblocks may reach 15 pixels beyond the picture.
        if max(width - 15, 1) * max(height - 15, 1) > self.most or pixels > 2 * self.most:
            return f"{width} x {height} has more than {self.most} pixels"
        if self.pixels and pixels > self.pixels:
            if len(self._grown) == GROWTHS and now - self._grown[0] < PERIOD:
                return f"it became larger {GROWTHS} times within {PERIOD:g} s"
            self._grown.append(now)
        self.pixels = pixels
        return None
