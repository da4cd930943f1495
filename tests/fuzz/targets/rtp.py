"""RTP from what SRTP has decrypted: headers, extensions, and all the way into a receiver."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from struct import pack

from tests.fuzz.target import Target, event_loop, join, split
from tests.fuzz.targets import _media as media
from tests.fuzz.targets._media import LARGEST, Media


async def _take(call: Media, data: bytes) -> int:
    call.anew()
    for part in split(data):
        await call.transport._handle_rtp_data(part[:LARGEST], 0)
    return call.transport.discarded.rtp


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what gives the packets of one input to the receivers of a call."""
    with event_loop() as run:
        call = run(Media.begun())
        assert isinstance(call, Media)
        try:
            yield lambda data: run(_take(call, data))
        finally:
            run(call.close())


def packet(
    number: int,
    payload: bytes,
    *,
    kind: int = media.VP8,
    ssrc: int = media.VIDEO_SSRC,
    marker: int = 1,
    timestamp: int | None = None,
    elements: bytes = b"",
    profile: int = 0xBEDE,
    first: int = 0x80,
) -> bytes:
    """Return a packet, with or without header extensions."""
    stamp = number * 3000 if timestamp is None else timestamp
    fields = first | (0x10 if elements else 0), kind | marker << 7, number & 0xFFFF, stamp, ssrc
    data = pack("!BBHLL", *fields)
    if elements:
        padded = elements + bytes(-len(elements) % 4)
        data += pack("!HH", profile, len(padded) // 4) + padded
    return data + payload


def _sound(number: int) -> bytes:
    stamp, silence = 960 * number, b"\xf8\xff\xfe"
    return packet(
        number, silence, kind=media.OPUS, ssrc=media.AUDIO_SSRC, marker=0, timestamp=stamp
    )


def seeds() -> Sequence[bytes]:
    """Return streams of each codec, with losses, repairs, extensions, new sources and padding."""
    key, delta = b"\x10\x10\x02\0\x9d\x01\x2a\x40\0\x40\0", b"\x10\x11\x02\0\0"
    again = pack("!H", 2) + delta
    times = b"\x41" + b"\0\1\2"[:2] + b"\x42\0\0\x10"
    all_of_them = b"".join(
        bytes((id << 4 | len(value) - 1,)) + value
        for id, value in enumerate((b"0", b"r", b"q", bytes(3), bytes(3), b"\x9e", b"\0\7"), 1)
    )
    two = b"\x01\x010\x04\x03abc\x07\x02\0\1\x06\x01\x7f"
    return [
        join([packet(0, key), packet(1, delta), packet(2, delta)]),
        join([packet(0, key), packet(1, delta), packet(3, delta), packet(9, delta)]),
        join(
            [
                packet(0, key),
                packet(1, delta),
                packet(3, delta),
                packet(7, again, kind=media.VP8_RTX, ssrc=media.VIDEO_RTX_SSRC),
                packet(8, again, kind=media.VP8_RTX, ssrc=77),
                packet(9, b"", kind=media.VP8_RTX, ssrc=media.VIDEO_RTX_SSRC),
            ]
        ),
        join(packet(n, key, elements=all_of_them) for n in range(4)),
        join([packet(0, key, elements=two, profile=0x1000), packet(1, delta, elements=times)]),
        join(map(_sound, (0, 1, 3))),
        join([packet(0, b"\xff" * 160, kind=media.PCMU, ssrc=media.AUDIO_SSRC)]),
        join(
            [
                packet(0, b"\x67\x42\0\x0a", kind=media.H264),
                packet(1, b"\x7c\x85abc", kind=media.H264),
            ]
        ),
        join([packet(0, key), packet(0, key, ssrc=9), packet(1, delta, ssrc=10)]),
        join([packet(0, key + b"\0\0\3", first=0xA0), packet(1, bytes(8) + key, first=0x82)]),
        join([packet(65534 + n, delta, elements=all_of_them) for n in range(4)]),
    ]


TARGET = Target(
    name="rtp",
    seeds=seeds,
    tokens=(
        b"\xbe\xde",
        b"\x10\x00",
        b"\xbe\xde\0\1",
        b"\x90",
        b"\xa0",
        *(bytes((kind,)) for kind in (96, 97, 98, 99, 111, 0x80 | 96, 0x80 | 97)),
        *(ssrc.to_bytes(4, "big") for ssrc in (media.VIDEO_SSRC, media.VIDEO_RTX_SSRC)),
        media.AUDIO_SSRC.to_bytes(4, "big"),
        b"\xff\xff",
        b"\x80\x00",
    ),
    documented=(),
    start=start,
)
