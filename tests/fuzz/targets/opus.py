"""Sound from the payloads of RTP to what is heard: headers of Opus, the jitter buffer, decoders."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from icefloe.encoding.libopus import RATE
from icefloe.peer.rtp.receive import opus_decoder
from icefloe.peer.rtp.receive.audio_receiver import AudioReceiver
from icefloe.peer.rtp.receive.capture_time import CaptureTimes
from icefloe.peer.rtp.receive.jitter_buffer import STEP
from tests.fuzz.target import Target, join, split

_CODECS = tuple(
    RTCRtpCodecParameters(mimeType=f"audio/{name}", clockRate=rate, channels=channels)
    for name, rate, channels in (("opus", 48000, 2), ("PCMU", 8000, 1), ("G722", 8000, 1))
)
_LARGEST = 1500
_LEAST = 8
AFTERWARDS = 4
"""Frames that are heard after the last packet; one is after each."""


def _hear(data: bytes) -> object:
    hearing, now = AudioReceiver(CaptureTimes()), 1000.0
    for part in split(data):
        if len(part) < _LEAST:
            continue
        payload = part[_LEAST:_LARGEST]
        played = opus_decoder.duration(payload)
        assert 0 <= played <= RATE * 120 // 1000
        opus_decoder.is_silence(payload)
        hearing.put(
            now,
            _CODECS[part[0] % len(_CODECS)],
            part[1],
            int.from_bytes(part[2:4], "big"),
            int.from_bytes(part[4:8], "big"),
            payload,
        )
        if part[1] & 0x80:
            hearing.pause()
        now = _play(hearing, now)
    for _ in range(AFTERWARDS):
        now = _play(hearing, now)
    return hearing.stats


def _play(hearing: AudioReceiver, now: float) -> float:
    now += STEP
    frame = hearing.next(now)
    assert frame is None or frame.samples == round(frame.sample_rate * STEP)
    return now


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what hears the packets of one track, with decoders of its own."""
    yield _hear


def packet(number: int, payload: bytes, *, codec: int = 0, late: int = 0) -> bytes:
    """Return one packet of an input."""
    timestamp = number * (960 if codec == 0 else 160) - late
    fields = bytes((codec, 1)) + (number & 0xFFFF).to_bytes(2, "big")
    return fields + (timestamp & 0xFFFFFFFF).to_bytes(4, "big") + payload


def seeds() -> Sequence[bytes]:
    """Return streams in each kind of packing (RFC 6716 section 3.2), with losses, in each codec."""
    silence, speech = b"\xf8\xff\xfe", b"\x48" + bytes(range(40))
    kinds = [
        speech,
        b"\x49" + bytes(20),
        b"\x4a\x05" + bytes(20),
        b"\x4b\x03" + bytes(30),
        b"\x4b\xc2\x05\x04" + bytes(24),
        b"\x7b\x86\x02\x03\x02" + bytes(40),
        b"\xf8",
        b"\x08\x0b\xe4\xc1\x36",
    ]
    return [
        join(packet(number, silence) for number in range(6)),
        join(packet(number, speech) for number in (0, 1, 3, 2, 6, 7, 7, 20)),
        join(packet(number, kind) for number, kind in enumerate(kinds)),
        *(join(packet(n, bytes(range(160)), codec=c) for n in (0, 1, 2, 5)) for c in (1, 2)),
        join(packet(n + 65533, speech, late=2**31 * (n // 3)) for n in range(6)),
    ]


TARGET = Target(
    name="opus",
    seeds=seeds,
    tokens=(
        b"\xf8\xff\xfe",
        b"\x4b\xff",
        b"\x03\x3f",
        b"\x4b\xc2",
        b"\xff",
        b"\x03\xc0\0",
        b"\0\1",
    ),
    documented=(),
    start=start,
)
