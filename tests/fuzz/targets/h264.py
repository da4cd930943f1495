"""Video in H.264 from the payloads of RTP to the pictures that a decoder gets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from icefloe.encoding.packing import Packer
from tests.fuzz.target import Target, join
from tests.fuzz.targets._pictures import Depayload, payloads

_BASELINE = bytes.fromhex("6742c01fda014016ec0440000003004000000f23c60ca8")
_HIGH = bytes.fromhex("67640028acd940780227e5c04400000300040000030" + "0f03c60c658")
_SCALED = bytes.fromhex("67640028adf0ffffffffffffffffffffffffffffffffffffffff")
_PICTURE = bytes.fromhex("68ce3c80")


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what takes the packets of one stream."""
    yield Depayload("H264")


def seeds() -> Sequence[bytes]:
    """Return pictures as they are packed here, and each kind of payload of RFC 6184."""
    code = b"\0\0\0\1"
    key = code + _BASELINE + code + _PICTURE + code + b"\x65" + bytes(range(256)) * 10
    other = code + b"\x41" + bytes(range(1, 100))
    first, later, last = b"\x81\0\1", b"\x01\0\1", b"\x81\0\2"
    together = b"".join(len(u).to_bytes(2, "big") + u for u in (_HIGH, _PICTURE, b"\x65\x88"))
    return [
        payloads(Packer("H264"), [key, other]),
        payloads(Packer("H264"), [key, other], order=(1, 0, 2, 3, 3)),
        join([later + _HIGH, later + _PICTURE, first + b"\x65\x88\x84", last + b"\x41\x9a"]),
        join([later + b"\x7c\x85" + bytes(9), first + b"\x7c\x45" + bytes(9)]),
        join([first + b"\x78" + together]),
        join([first + _SCALED]),
        join([first + b"\x67" + bytes(40), first + b"\x79\0\0\0\1\x65", first + b"\x7d\x80"]),
    ]


TARGET = Target(
    name="h264",
    seeds=seeds,
    tokens=(
        b"\0\0\1",
        b"\0\0\0\1",
        b"\0\0\3",
        b"\0\0\1\x67\x64",
        b"\0\0\1\x65",
        b"\x78\0\1",
        b"\x7c\x85",
        b"\x7c\x45",
        b"\x67\x42",
        b"\x67\x64\0\x28\xad\xff",
        _HIGH,
        _SCALED,
    ),
    documented=(),
    start=start,
)
