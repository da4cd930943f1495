"""Video in VP8 from the payloads of RTP to the pictures that a decoder gets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from icefloe.encoding.packing import Packer
from tests.fuzz.target import Target, join
from tests.fuzz.targets._pictures import Depayload, payloads


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what takes the packets of one stream."""
    yield Depayload("VP8")


def key_frame(width: int, height: int, rest: bytes = b"") -> bytes:
    """Return the beginning of a key frame (RFC 6386 section 9.1)."""
    sizes = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    return b"\x10\x02\x00\x9d\x01\x2a" + sizes + rest


def seeds() -> Sequence[bytes]:
    """Return pictures as they are packed here, and descriptors with all fields of RFC 7741."""
    pictures = [key_frame(640, 480, bytes(2500)), b"\x11\x02\x00" + bytes(40)]
    descriptors = [
        b"\x10",
        b"\x90\x80\x05",
        b"\x90\x80\x85\x05",
        b"\x90\xf0\x85\x05\x07\x21",
        b"\xb0\x60\x07\xc1",
        b"\x00",
    ]
    small = key_frame(64, 64, bytes(30))
    return [
        payloads(Packer("VP8", 7), pictures),
        payloads(Packer("VP8", 7), pictures, order=(1, 0, 2, 2, 3)),
        *(join([bytes((0x81, 0, n)) + d + small]) for n, d in enumerate(descriptors)),
        join([b"\x81\0\1\x10" + key_frame(n * 100, n * 90)[:14] for n in range(1, 12)]),
    ]


TARGET = Target(
    name="vp8",
    seeds=seeds,
    tokens=(
        b"\x9d\x01\x2a",
        b"\xff\x3f\xff\x3f",
        b"\x90\x80\x80",
        b"\x90\xf0",
        b"\x81",
        b"\x10",
    ),
    documented=(),
    start=start,
)
