"""A talker, a path and a listener in virtual time: what is heard of packets that come as told."""

import math
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aiortc import RTCRtpCodecParameters
from av import AudioFrame

from icefloe.peer.rtp.receive.audio_receiver import AudioReceiver
from icefloe.peer.rtp.receive.capture_time import CaptureTimes
from icefloe.peer.rtp.receive.jitter_buffer import STEP

RATE = 8000
CODEC = RTCRtpCodecParameters(mimeType="audio/tone", clockRate=RATE, payloadType=100)
SIZE = round(STEP * RATE)
SSRC = 1
MS = 0.001


class ToneDecoder:
    """Decodes numbers of packets into a tone that goes on from each to the next.

    What it makes up is silence, so that it can be seen.
    """

    clock_rate = sample_rate = RATE
    channels = 1
    frequency = 400

    def duration(self, packet: bytes) -> int:
        return SIZE if packet else 0

    def is_silence(self, packet: bytes) -> bool:
        return packet.startswith(b"silence")

    def has_fec(self, packet: bytes) -> bool:
        return packet.startswith(b"fec")

    def decode(self, packet: bytes) -> "array[int]":
        if self.is_silence(packet):
            return array("h", bytes(2 * SIZE))
        start = int(packet.split()[-1]) * SIZE
        turn = 2 * math.pi * self.frequency / RATE
        return array("h", [round(8000 * math.cos(turn * (start + i))) for i in range(SIZE)])

    def recover(self, packet: bytes, timestamps: int) -> "array[int]":
        if not self.has_fec(packet):
            return self.conceal(timestamps)
        return self.decode(str(int(packet.split()[-1]) - 1).encode())

    def conceal(self, timestamps: int) -> "array[int]":
        return array("h", bytes(2 * timestamps))


@dataclass(frozen=True, slots=True)
class Sent:
    """A packet: the time it was sent, and what the path did."""

    number: int
    at: float
    arrives: float | None
    payload: bytes = b""
    ssrc: int = SSRC


@dataclass(frozen=True, slots=True)
class Heard:
    """20 ms of sound: when, and how long after it was said."""

    at: float
    frame: AudioFrame
    samples: "array[int]"
    delay: float

    @property
    def is_silent(self) -> bool:
        return not any(self.samples)


def talk(
    count: int,
    path: Callable[[int], float | None] = lambda number: 0.0,
    payload: bytes = b"",
) -> list[Sent]:
    """Send packets, one each 20 ms.

    Args:
        count: How many.
        path: Says how long each of them takes, in seconds; ``None`` for one that is lost.
        payload: What stands before its number.
    """
    sent = []
    for number in range(count):
        took = path(number)
        at = number * STEP
        arrives = None if took is None else at + 0.05 + took
        sent.append(Sent(number, at, arrives, payload + f" {number}".encode()))
    return sent


class Listener:
    """Hears what arrives.

    Args:
        first_sequence: The sequence number of packet 0.
        first_timestamp: Its timestamp.
        decoder: Makes the decoder.
    """

    def __init__(
        self,
        first_sequence: int = 65500,
        first_timestamp: int = 2**32 - 4000,
        decoder: Callable[[], ToneDecoder] = ToneDecoder,
    ) -> None:
        self.times = CaptureTimes()
        self.hearing = AudioReceiver(self.times, lambda codec: decoder())
        self._first = first_sequence, first_timestamp
        self.times.report(SSRC, 2_208_988_800 << 32, first_timestamp)

    def listen(self, sent: Iterable[Sent], *, until: float | None = None) -> list[Heard]:
        """Hear these packets, up to when the last one was sent, or until then."""
        packets = sorted((p for p in sent if p.arrives is not None), key=lambda p: p.arrives or 0)
        end = max(p.at for p in packets) if until is None else until
        heard = []
        step = 0
        while (now := step * STEP + 0.003) < end:
            while packets and (packets[0].arrives or 0) <= now:
                packet = packets.pop(0)
                self.hearing.put(
                    packet.arrives or 0,
                    CODEC,
                    packet.ssrc,
                    (self._first[0] + packet.number) % 2**16,
                    (self._first[1] + round(packet.at * RATE)) % 2**32,
                    packet.payload,
                )
            frame = self.hearing.next(now)
            if frame is not None:
                samples = array("h", bytes(frame.planes[0])[: 2 * frame.samples])
                said = self.times.capture_time(frame.pts or 0)
                heard.append(Heard(now, frame, samples, now - said if said is not None else 0.0))
            step += 1
        return heard
