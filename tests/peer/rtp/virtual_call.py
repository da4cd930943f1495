"""A video call with the real encoder and congestion control, over a link in virtual time.

``python -m tests.peer.rtp.virtual_call`` prints the figures of all cases. Encoder, adaptation,
pacer, estimator and feedback are those of a call; only threads, sockets and the clock are not, so
the figures are the same on a machine that is busy.
"""

import sys
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from icefloe.encoding import VideoEncoder, encoded, largest_bitrate
from icefloe.encoding.packing import AnyPacket
from icefloe.peer.rtp.congestion.feedback_recorder import FeedbackRecorder
from icefloe.peer.rtp.congestion.header_extension import URI as TRANSPORT_NUMBER
from icefloe.peer.rtp.congestion.transport_feedback import TransportFeedback
from icefloe.peer.rtp.send.allocation import DATAGRAM_OVERHEAD, Demand
from icefloe.peer.rtp.send.congestion_control import CongestionControl
from icefloe.peer.rtp.send.frame_selection import FrameSelection
from icefloe.peer.rtp.send.parameters import RTCRtpEncodingParameters
from icefloe.peer.rtp.send.rtp_stream import RtpStream
from icefloe.peer.rtp.send.send_stamp import SendStamp
from tests.bench.capacity.figures import percentile
from tests.bench.peers.grain import GrainPainter
from tests.peer.rtp.congestion.link import Link, World

RATE = 30
TICKS = 90000 // RATE
ENCODE_TIME = 0.006
ETHERNET = 14
RECEIVER_CLOCK = 1000.0
"""Seconds by which the receiver's clock is ahead."""
SETTLING = 5.0
"""Seconds of a step after which a sender has found what the link has."""

Steps = Sequence[tuple[float, float]]
"""Pairs of bits per second and seconds."""

CASES: dict[str, Steps] = {
    "1, 2.5, 0.6, 1 Mbit/s": ((1e6, 20), (2.5e6, 20), (0.6e6, 20), (1e6, 20)),
    "2.5, then 0.5 Mbit/s": ((2.5e6, 15), (0.5e6, 15)),
    "100 kbit/s": ((0.1e6, 20),),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that was sent.

    Attributes:
        taken_at: When it came from the track.
        size: Width and height.
        is_key_frame: Whether it is a key frame.
    """

    taken_at: float
    size: tuple[int, int]
    is_key_frame: bool


class Call:
    """A sender of pictures with grain, and its receiver.

    Args:
        steps: What the link carries.
        codec: ``"VP8"`` or ``"H264"``.

    Attributes:
        sent: Pictures by their numbers.
        arrived: When they were complete at the receiver.
        passages: For each packet when it came to the link, its bytes and the seconds it waited.
    """

    kind = "video"

    def __init__(
        self, steps: Steps, codec: str = "VP8", size: tuple[int, int] = (1280, 720)
    ) -> None:
        self.send_delay = 0.0
        self.sent: dict[int, Picture] = {}
        self.arrived: dict[int, float] = {}
        self.passages: list[tuple[float, int, float]] = []
        self._world = World()
        times = [sum(seconds for _, seconds in steps[:n]) for n in range(len(steps))]
        self._link = Link(
            [(at, bits) for at, (bits, _) in zip(times, steps, strict=True)], delay=0.025
        )
        self._back = Link(10e6, delay=0.025)
        self._stream = RtpStream(1, 2)
        self._stream.configure([(TRANSPORT_NUMBER, 3)], "0")
        self._painter = GrainPainter(*size)
        self._size = size
        self._selection = FrameSelection()
        self._encoder = VideoEncoder(codec)
        self._bitrate: int | None = None
        self._is_encoding = False
        self._missing: dict[int, int] = {}
        self._recorder = FeedbackRecorder(1)
        self._pump_at = self._feedback_at = float("inf")
        self._control = CongestionControl(0.0)
        self._number = self._control.add(self, 0.0)
        self._world.at(0.0, lambda: self._take(0))

    def run(self, seconds: float) -> None:
        self._world.run(seconds)

    # What the congestion control asks.

    @property
    def stamp(self) -> SendStamp:
        return self._stream.stamp

    def demand(self, now: float) -> Demand:
        return Demand(self.kind, largest_bitrate(*self._size))

    def on_allocation(self, bitrate: int | None) -> None:
        self._bitrate = bitrate

    def unmanaged_bitrate(self, now: float) -> float:
        return 300e3

    def padding(self, size: int) -> list[bytes]:
        return self._stream.padding(size, rtx_type=97)

    # The sender.

    def _take(self, number: int) -> None:
        """Take a picture of the track, and encode it if there is room."""
        now = self._world.now
        self._world.at((number + 1) / RATE, lambda: self._take(number + 1))
        if self._is_encoding:
            return
        frame, limits = self._painter.paint(number), RTCRtpEncodingParameters()
        self._selection.look_at(frame, number / RATE, limits)
        selected = self._selection.select(
            frame,
            number / RATE,
            now,
            encoding=limits,
            bitrate=self._bitrate,
            content_hint="",
            is_muted=False,
            has_room=self._control.may_encode(self._number, self._bitrate, now),
        )
        if selected is None:
            return
        self._is_encoding = True
        self._encoder.bitrate = self._bitrate
        packets = self._encoder.encode(
            selected.frame,
            at=number * TICKS,
            key_frame=not self.sent,
            scale_down_by=selected.scale,
        )
        self._world.at(now + ENCODE_TIME, lambda: self._send(number, now, packets))

    def _send(self, number: int, taken_at: float, packets: list[AnyPacket]) -> None:
        now = self._world.now
        self._is_encoding = False
        for packet in packets:
            known = encoded(packet)
            assert known is not None
            size = known.width, known.height
            self.sent[number] = Picture(taken_at, size, known.is_key_frame)
            made = self._stream.packetize(
                known.payloads, payload_type=96, timestamp=number * TICKS, ntp=_ntp(now)
            )
            self._missing[number] = len(made)
            self._control.put(self._number, made, now, again=False)
        self._pump()

    def _pump(self) -> None:
        now = self._world.now
        self._control.handle_timeout(now)
        for packet in self._control.take_packets(now, _ntp(now)):
            size = len(packet) + DATAGRAM_OVERHEAD + ETHERNET
            arrival = self._link.send(now, size)
            if arrival is not None:
                self.passages.append((now, size, self._link.waits[-1][1]))
                self._world.at(arrival, lambda packet=packet: self._receive(packet))  # type: ignore[misc]
        due = max(self._control.deadline, now + 0.0005)
        if due < self._pump_at or self._pump_at <= now:
            self._pump_at = due
            if due < float("inf"):
                self._world.at(due, self._pump)

    # The receiver.

    def _receive(self, packet: bytes) -> None:
        now, at = self._world.now, self.stamp.number
        number = int.from_bytes(packet[at : at + 2], "big")
        self._recorder.on_packet(number, now + RECEIVER_CLOCK, len(packet), 1)
        if packet[1] & 0x7F == 96:
            picture = int.from_bytes(packet[4:8], "big") // TICKS
            self._missing[picture] -= 1
            if not self._missing[picture]:
                self.arrived[picture] = now
        self._feed_back()

    def _feed_back(self) -> None:
        now = self._world.now
        for packet in self._recorder.handle_timeout(now + RECEIVER_CLOCK):
            back = self._back.send(now, len(packet) + DATAGRAM_OVERHEAD + ETHERNET)
            if back is not None:
                self._world.at(back, lambda packet=packet: self._on_feedback(packet))  # type: ignore[misc]
        due = self._recorder.deadline - RECEIVER_CLOCK
        if due < float("inf") and (due < self._feedback_at or self._feedback_at <= now):
            self._feedback_at = due
            self._world.at(due, self._feed_back)

    def _on_feedback(self, packet: bytes) -> None:
        self._control.on_feedback(TransportFeedback.parse(packet), self._world.now)
        self._pump()


def _ntp(now: float) -> int:
    return int(now * (1 << 32))


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of one step; times are in seconds.

    Attributes:
        use: Part of the capacity that was used after :data:`SETTLING`.
        sent: Pictures sent after :data:`SETTLING`.
        arrived: Those that arrived; nothing is sent again here.
        freeze: The longest time without a picture.
        delay: 95th percentile of the time from the track to the last packet's arrival, likewise.
        wait: 95th percentile of the time in the queue after :data:`SETTLING`.
        filled: Until 90 % of the capacity were used for a second; infinite for never.
        key_frames: Key frames among those.
        size: Width and height of the last picture.
    """

    use: float
    sent: int
    arrived: int
    freeze: float
    delay: float
    wait: float
    filled: float
    key_frames: int
    size: tuple[int, int]


def measure(call: Call, steps: Steps) -> list[Figures]:
    """Return the figures of each step of a call that has ended."""
    found, begin = [], 0.0
    for bits, seconds in steps:
        found.append(_measure(call, bits, begin, begin + seconds))
        begin += seconds
    return found


def _measure(call: Call, capacity: float, begin: float, end: float) -> Figures:
    settled = begin + SETTLING
    late = [passage for passage in call.passages if settled <= passage[0] < end]
    # What is still on its way when the step ends is no loss.
    sent = [n for n, picture in call.sent.items() if settled <= picture.taken_at < end - 0.3]
    arrived = [n for n in sent if n in call.arrived]
    times = sorted(at for at in call.arrived.values() if begin <= at < end)
    return Figures(
        use=sum(size for _, size, _ in late) * 8 / (end - settled) / capacity,
        sent=len(sent),
        arrived=len(arrived),
        freeze=max((b - a for a, b in pairwise(times)), default=end - begin),
        delay=percentile(sorted(call.arrived[n] - call.sent[n].taken_at for n in arrived), 0.95),
        wait=percentile(sorted(wait for _, _, wait in late), 0.95),
        filled=_filled(call, 0.9 * capacity, begin, end),
        key_frames=sum(call.sent[n].is_key_frame for n in sent),
        size=call.sent[sent[-1]].size,
    )


def _filled(call: Call, rate: float, begin: float, end: float) -> float:
    times = [at for at, _, _ in call.passages]
    total = [0]
    for _, size, _ in call.passages:
        total.append(total[-1] + size)
    at = begin + 1.0
    while at < end:
        bits = 8 * (total[bisect_left(times, at)] - total[bisect_left(times, at - 1.0)])
        if bits >= rate:
            return at - begin
        at += 0.05
    return float("inf")


def main() -> None:
    for codec in ("VP8", "H264"):
        for name, steps in CASES.items():
            call = Call(steps, codec)
            call.run(sum(seconds for _, seconds in steps))
            for (bits, _), figures in zip(steps, measure(call, steps), strict=True):
                sys.stdout.write(f"{codec}, {name}: {bits / 1e6:g} Mbit/s: {figures}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
