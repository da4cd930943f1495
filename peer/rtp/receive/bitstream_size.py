"""Frame size of an encoded bitstream, parsed and limited before decoding. Does no I/O."""

import re
from collections.abc import Iterator

MOST_PIXELS = 4096 * 2304
"""Default maximum of pixels per frame. A decoder keeps several frames, and ten bytes of input can
announce 268 million pixels."""

MAX_GROWTHS = 32
"""Maximum number of increases to the maximum size at once. Each one makes the decoder reallocate
its frames; to smaller sizes there may be as many more as they have fewer pixels. A sender that
adapts to a link goes through several sizes each time, and one that shows a window whose size is
being changed through one with each frame."""

GROWTH_PERIOD = 60.0
"""Seconds after which as many are possible again."""

_MAX_SMALL_GROWTHS = 4096
"""Maximum number of increases at once, however small the sizes are."""

_MAX_SPS_BYTES = 4096
"""Maximum bytes parsed of a sequence parameter set (SPS). With all scaling lists it has 1 kB."""
_MAX_SPS = 32
"""Maximum SPS parsed per frame: H.264 has 32 ids for them."""
_MAX_LEADING_ZEROS = 31
"""Maximum leading zeros of an Exp-Golomb code of 32 bits."""
_SPS = re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67\x87\xa7\xc7\xe7]")
_HIGH_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
"""Profiles whose SPS has chroma and scaling fields (ITU-T H.264 section 7.3.2.1.1)."""


def announced_size(codec: str, data: bytes) -> tuple[int, int] | None:
    """Return the width and height in pixels that an encoded frame makes the decoder allocate.

    Args:
        codec: ``VP8`` or ``H264``; other codecs are not parsed.
        data: A VP8 frame, or the NAL units of an H.264 access unit, each with a start code.

    Returns:
        The size; for H.264 the largest one, in whole macroblocks. ``None`` if the frame has no size
        or a malformed one.
    """
    match codec.upper():
        case "VP8":
            return _of_vp8(data)
        case "H264":
            return max(_of_h264(data), key=lambda size: size[0] * size[1], default=None)
        case _:
            return None


def _of_vp8(data: bytes) -> tuple[int, int] | None:
    """Parse the frame header of RFC 6386 section 9.1."""
    if len(data) < 10 or data[0] & 1:
        return None
    width, height = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return width, height


def _of_h264(data: bytes) -> Iterator[tuple[int, int]]:
    for count, found in enumerate(_SPS.finditer(data)):
        if count == _MAX_SPS:
            return
        # Remove the emulation prevention bytes (ITU-T H.264 section 7.4.1.1).
        unit = data[found.end() : found.end() + _MAX_SPS_BYTES].split(b"\0\0\1")[0]
        try:
            yield _size_of(_BitReader(unit.replace(b"\0\0\3", b"\0\0")))
        except ValueError:
            continue


class _BitReader:
    """Reader for the fields of a parameter set (ITU-T H.264 sections 7.2 and 9.1).

    Bits are stored as characters, so the cost of reading a field does not depend on the bytes after
    it.
    """

    def __init__(self, data: bytes) -> None:
        self._bits = f"{int.from_bytes(data, 'big'):0{8 * len(data)}b}" if data else ""
        self._at = 0

    def take(self, count: int) -> int:
        """Return the next ``count`` bits as a number; ``count`` is 1 or more.

        Raises:
            ValueError: There are fewer bits.
        """
        end = self._at + count
        if end > len(self._bits):
            raise ValueError("the parameter set is truncated")
        taken = self._bits[self._at : end]
        self._at = end
        return int(taken, 2)

    def unsigned(self) -> int:
        """Return the next unsigned Exp-Golomb code, ue(v).

        Raises:
            ValueError: The code is truncated or longer than 32 bits.
        """
        one = self._bits.find("1", self._at, self._at + _MAX_LEADING_ZEROS + 1)
        if one < 0:
            raise ValueError("an Exp-Golomb code is truncated or longer than 32 bits")
        zeros, self._at = one - self._at, one
        return self.take(zeros + 1) - 1

    def signed(self) -> int:
        """Return the next signed Exp-Golomb code, se(v) (section 9.1.1).

        Raises:
            ValueError: The code is truncated or longer than 32 bits.
        """
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def _size_of(bits: _BitReader) -> tuple[int, int]:
    """Return the frame size of a sequence parameter set (ITU-T H.264 section 7.3.2.1.1).

    Raises:
        ValueError: It is malformed.
    """
    profile = bits.take(8)
    bits.take(16)
    bits.unsigned()
    if profile in _HIGH_PROFILES:
        chroma = bits.unsigned()
        if chroma > 3:
            raise ValueError("the chroma format is invalid")
        if chroma == 3:
            bits.take(1)
        bits.unsigned()
        bits.unsigned()
        bits.take(1)
        if bits.take(1):
            for number in range(12 if chroma == 3 else 8):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if number < 6 else 64)
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
            raise ValueError("the picture order count cycle has more than 255 frames")
        for _ in range(frames):
            bits.signed()
    bits.unsigned()
    bits.take(1)
    width, height = bits.unsigned() + 1, bits.unsigned() + 1
    is_whole = bits.take(1)
    return 16 * width, 16 * height * (1 if is_whole else 2)


def _skip_scaling_list(bits: _BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class FrameSizeLimit:
    """Limits the frame sizes of one stream.

    Args:
        most: Maximum pixels per frame.
    """

    def __init__(self, most: int = MOST_PIXELS) -> None:
        self.most = most
        self.pixels: int = 0
        """Pixels of the latest accepted frame with a size; 0 before the first one."""
        self._grown = 0.0  # pixels of increases, paid off with time
        self._at = 0.0

    def refusal(self, now: float, size: tuple[int, int]) -> str | None:
        """Return the reason not to decode a frame; ``None`` if it may be decoded.

        Args:
            now: Seconds on a monotonic clock.
            size: The width and height of the frame, see :func:`announced_size`.
        """
        width, height = size
        pixels = width * height
        # Whole macroblocks may exceed the displayed size by 15 pixels.
        if max(width - 15, 1) * max(height - 15, 1) > self.most or pixels > 2 * self.most:
            return f"{width} x {height} has more than {self.most} pixels"
        if self.pixels and pixels > self.pixels and not self._may_grow(now, pixels):
            return f"the frame size grows too often, now to {width} x {height}"
        self.pixels = pixels
        return None

    def _may_grow(self, now: float, pixels: int) -> bool:
        most = MAX_GROWTHS * self.most
        self._grown = max(0.0, self._grown - (now - self._at) * most / GROWTH_PERIOD)
        self._at = now
        cost = max(pixels, most / _MAX_SMALL_GROWTHS)
        if self._grown + cost > most:
            return False
        self._grown += cost
        return True
