"""Congestion control of one transport's media: estimate, pacer and allocation. Does no I/O.

All senders of a transport share one bandwidth estimate and one pacer. The estimate is made of the
peer's transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01), or of that of
RFC 8888, which tells packets by SSRC and RTP sequence number. A peer that sends neither is served
by REMB and receiver reports, which each sender judges by itself; see :mod:`.remb_rate_control`.
"""

from collections.abc import Sequence
from typing import Protocol

from ..congestion.ccfb import CongestionFeedback
from ..congestion.estimator import PACING_FACTOR, BandwidthEstimator
from ..congestion.feedback_reader import TransportFeedbackReader
from ..congestion.stream_feedback_reader import StreamFeedbackReader
from ..congestion.transport_feedback import TransportFeedback
from .allocation import DATAGRAM_OVERHEAD, Demand, allocate, for_data, is_lacking
from .data_share import DataProgress, DataShare
from .packet_pacer import PacedPacket, PacketPacer, Priority
from .send_stamp import SendStamp

MAX_DELAY = 0.2
"""Maximum seconds in the pacer while nothing is known of the link."""

MAX_DELAY_WITH_ESTIMATE = 1.0
"""Maximum seconds in the pacer with an estimate. The encoder is held back long before it."""

BACKLOG = 0.12
"""Seconds of the target rate in the pacer from which frames are dropped before the encoder."""

FEEDBACK_TIMEOUT = 2.0
"""Seconds after the first numbered packet. A peer that has sent no feedback by then sends none."""

ALLOCATION_INTERVAL = 0.1
"""Seconds between looks at what the streams can use, which may change with each frame."""

CHANGE_INTERVAL = 0.01
"""Seconds between two allocations at least, although the estimate changes with each feedback. The
other side decides how often it sends that."""


class Stream(Protocol):
    """The part of a sender that the congestion control of its transport knows."""

    send_delay: float
    """Total seconds that its packets have waited in the pacer."""

    @property
    def kind(self) -> str:
        """``"audio"`` or ``"video"``."""

    @property
    def stamp(self) -> SendStamp:
        """Offsets of the header extensions in its packets."""

    def demand(self, now: float) -> Demand:
        """Return what it can use."""

    def on_allocation(self, bitrate: int | None) -> None:
        """Take another bit rate, in bits per second of payload; ``None`` if none is allocated."""

    def unmanaged_bitrate(self, now: float) -> float:
        """Return the bits per second it sends if there is no transport-wide feedback."""

    def padding(self, size: int) -> list[bytes]:
        """Return packets of padding, ``size`` bytes at least if it can."""


class CongestionControl:
    """Congestion control of the outgoing media of one transport.

    Whoever drives it calls :meth:`handle_timeout` after each input and at each :attr:`deadline`,
    and sends what :meth:`take_packets` returns.

    Args:
        now: Seconds on a monotonic clock, like all other times here.

    Attributes:
        estimator: The bandwidth estimate.
        pacer: The queue of packets that wait.
        data: The share of the data channels of the transport.
    """

    def __init__(self, now: float) -> None:
        self.estimator = BandwidthEstimator(now)
        self.pacer = PacketPacer(MAX_DELAY)
        self._reader = TransportFeedbackReader(self.estimator.history)
        self._stream_reader: StreamFeedbackReader | None = None
        self.data = DataShare()
        self._media_bytes = 0
        self._streams: dict[int, Stream] = {}
        self._next_stream = 0
        self._leaving: list[PacedPacket] = []
        self._now = now
        self._first_numbered_at: float | None = None
        self._has_feedback = False
        self._was_managed = False
        self._allocated_at = float("-inf")
        self._allocated_target = 0.0

    def is_managed(self, now: float) -> bool:
        """Return whether the peer sends feedback about packets, as far as is known."""
        if self._has_feedback:
            return True
        numbers = any(stream.stamp.number for stream in self._streams.values())
        if not numbers and (self._stream_reader is None or not self._streams):
            return False
        first = self._first_numbered_at
        return first is None or now - first < FEEDBACK_TIMEOUT

    @property
    def available_bitrate(self) -> int | None:
        """The estimate in bits per second, all headers included; ``None`` without feedback."""
        return round(self.estimator.target_bitrate) if self._has_feedback else None

    # Input.

    def add(self, stream: Stream, now: float) -> int:
        """Register a stream and return its number."""
        self._next_stream += 1
        self._streams[self._next_stream] = stream
        self.reallocate(now)
        return self._next_stream

    def remove(self, number: int) -> None:
        """Drop a stream and its queued packets. Idempotent."""
        self._streams.pop(number, None)
        self.pacer.drop(number)
        self._allocated_at = float("-inf")

    def clear(self) -> None:
        """Drop all queued packets."""
        self._leaving.clear()
        for number in self._streams:
            self.pacer.drop(number)

    def put(self, number: int, packets: Sequence[bytes], now: float, *, again: bool) -> None:
        """Take packets of a stream: audio is to be sent immediately, video through the pacer.

        Args:
            number: The stream, by the number that :meth:`add` returned.
            packets: Its packets, in order.
            now: The current time.
            again: Whether these are retransmissions.
        """
        stream = self._streams.get(number)
        if stream is None:
            return
        if stream.kind == "audio":
            self._leaving += [
                PacedPacket(packet, stream.stamp, number, now, Priority.MEDIA) for packet in packets
            ]
            self.pacer.spend(sum(map(len, packets)), now)
        else:
            priority = Priority.RETRANSMISSION if again else Priority.MEDIA
            self.pacer.put(now, number, packets, stamp=stream.stamp, priority=priority)

    def pass_audio(
        self, number: int, packets: Sequence[bytes], now: float, ntp: int
    ) -> list[bytes] | None:
        """Return packets of audio as they are to be sent now; ``None`` if they must be :meth:`put`.

        It is what :meth:`put` and :meth:`take_packets` do, if nothing else may leave.

        Args:
            number: The stream.
            packets: Its packets, in order.
            now: The current time.
            ntp: The same as a 64-bit NTP timestamp.
        """
        stream = self._streams.get(number)
        if stream is None or stream.kind != "audio" or self._leaving or self.pacer.queued_bytes:
            return None
        stamp = stream.stamp
        self.pacer.spend(sum(map(len, packets)), now)
        return [stamp.written(p, ntp=ntp, number=self._numbered(p, stamp, now)) for p in packets]

    def on_feedback(self, feedback: TransportFeedback, now: float) -> None:
        """Process transport-wide feedback of the peer."""
        if self.estimator.on_feedback(self._reader.read(feedback), now):
            self._has_feedback = True

    def use_stream_feedback(self, *, enabled: bool) -> None:
        """Expect the feedback of RFC 8888 from now on, or no more.

        Args:
            enabled: Whether it was negotiated.
        """
        if not enabled:
            if self._stream_reader is not None:
                # What comes from now on, if anything does, is of another kind.
                self._stream_reader = self._first_numbered_at = None
                self._has_feedback = False
        elif self._stream_reader is None:
            self._stream_reader = StreamFeedbackReader()

    def on_stream_feedback(self, feedback: CongestionFeedback, now: float) -> None:
        """Process feedback of RFC 8888; it is ignored if it was not negotiated."""
        reader = self._stream_reader
        if reader is not None and self.estimator.on_feedback(reader.read(feedback), now):
            self._has_feedback = True

    def on_remb(self, bitrate: float, now: float) -> None:
        """Process a receiver's estimate, in bits per second."""
        if self._has_feedback:
            self.estimator.on_remb(bitrate, now)

    def on_data(self, progress: DataProgress, now: float) -> None:
        """Take what the data channels of the transport have sent; :attr:`data` has their limit."""
        data = self.data
        if not data.update(self._media_bytes, progress, now):
            return
        if self._has_feedback and data.is_notable(self.estimator.target_bitrate):
            arriving, recent = data.delivered(), data.delivered(recent=True)
            self.estimator.set_beside(data.sent(), arriving, recent, now)
        else:
            self.estimator.set_beside(0.0, 0.0, 0.0, now)

    def forget_data(self, now: float) -> None:
        """Note that the transport has no data channels any more."""
        self.data = DataShare()
        self.estimator.set_beside(0.0, 0.0, 0.0, now)

    def reallocate(self, now: float) -> None:
        """Divide the estimate again: what a stream can use has changed."""
        self._allocated_at = float("-inf")
        self._allocate(now)

    def handle_timeout(self, now: float) -> None:
        """Do what is due."""
        self._now = now
        if self.estimator.deadline <= now:
            self.estimator.handle_timeout(now)
        self._allocate(now)
        for cluster in self.estimator.take_probes(now) if self.is_managed(now) else ():
            self.pacer.start_probe(cluster, now)
        self.pacer.rate = self._pacing_rate(now) / 8

    # Output.

    def take_packets(self, now: float, ntp: int) -> list[bytes]:
        """Remove and return the packets to send now.

        Args:
            now: The current time.
            ntp: The same as a 64-bit NTP timestamp, for the abs-send-time.
        """
        if not self._is_window_full:
            self._leaving += self.pacer.take(now)
            if (needed := self.pacer.padding_needed(now)) and self._pad(needed, now):
                self._leaving += self.pacer.take(now)
        leaving, self._leaving = self._leaving, []
        return [self._stamped(paced, now, ntp) for paced in leaving]

    @property
    def deadline(self) -> float:
        """Time for :meth:`handle_timeout` and :meth:`take_packets`; infinite for never."""
        is_managed = self.is_managed(self._now)
        ready_at = None if self._is_window_full else self.pacer.ready_at(self._now)
        due = self.estimator.deadline if is_managed else float("inf")
        if self.data.limit < float("inf"):
            # Otherwise nobody would notice that media is sent no more.
            due = min(due, self._allocated_at + ALLOCATION_INTERVAL)
        return due if ready_at is None else min(due, ready_at)

    def may_encode(self, number: int, bitrate: float | None, now: float) -> bool:
        """Return whether the next frame of a stream would leave soon.

        Args:
            number: The stream.
            bitrate: Its target bit rate; ``None`` if nothing limits it.
            now: The current time.
        """
        if bitrate is None or not self.is_managed(now):
            return True
        if self._is_window_full:
            return False
        return self.pacer.queued_bytes_of(number) * 8 <= bitrate * BACKLOG

    @property
    def _is_window_full(self) -> bool:
        """True if so much is in flight that the path must have become slower.

        Nothing but audio is sent until feedback comes, or fails to come for long.
        """
        if not self._has_feedback:
            return False
        return self.estimator.bytes_in_flight > self.estimator.congestion_window

    def _pacing_rate(self, now: float) -> float:
        if self.is_managed(now):
            self.pacer.max_delay = MAX_DELAY_WITH_ESTIMATE
            return self.estimator.pacing_rate
        self.pacer.max_delay = MAX_DELAY
        rates = (s.unmanaged_bitrate(now) for s in self._streams.values() if s.kind == "video")
        return PACING_FACTOR * sum(rates)

    def _pad(self, size: int, now: float) -> bool:
        for number, stream in self._streams.items():
            if stream.kind == "video" and (packets := stream.padding(size)):
                priority = Priority.PADDING
                self.pacer.put(now, number, packets, stamp=stream.stamp, priority=priority)
                return True
        return False

    def _stamped(self, paced: PacedPacket, now: float, ntp: int) -> bytes:
        number = self._numbered(paced.packet, paced.stamp, now, paced.probe)
        if (stream := self._streams.get(paced.stream)) is not None:
            stream.send_delay += now - paced.since
        return paced.stamp.written(paced.packet, ntp=ntp, number=number)

    def _numbered(
        self, packet: bytes, stamp: SendStamp, now: float, probe: int | None = None
    ) -> int:
        """Record a packet that is sent, if there is feedback about it, and return its number."""
        if not stamp.number and self._stream_reader is None:
            return 0
        size = len(packet) + DATAGRAM_OVERHEAD
        self._media_bytes += size
        number = self.estimator.on_sent(size, now, probe).number
        if self._stream_reader is not None:
            self._stream_reader.on_sent(packet, number)
        if self._first_numbered_at is None:
            self._first_numbered_at = now
        return number

    def _allocate(self, now: float) -> None:
        """Divide the estimate among the streams, if it or what they can use has changed."""
        streams = list(self._streams.values())
        if not self.is_managed(now):
            if self._was_managed:
                self._was_managed = False
                self.data.limit = float("inf")
                for stream in streams:
                    stream.on_allocation(None)
            return
        self._was_managed = True
        target, since = self.estimator.target_bitrate, now - self._allocated_at
        interval = ALLOCATION_INTERVAL if target == self._allocated_target else CHANGE_INTERVAL
        if since < interval:
            return
        self._allocated_at, self._allocated_target = now, target
        demands = [stream.demand(now) for stream in streams]
        lacks, data = is_lacking(target, demands), self.data
        wanted = data.demand()
        on_the_wire = sum(demand.on_the_wire for demand in demands)
        self.estimator.set_demand(on_the_wire + (wanted if lacks else data.sent()), now)
        given = for_data(target, demands, wanted)
        for stream, bitrate in zip(streams, allocate(target, demands, given), strict=True):
            stream.on_allocation(bitrate)
        entitled = for_data(target, demands, float("inf"))
        lacks = self._has_feedback and (lacks or self.estimator.is_contested(now))
        data.divide(target, entitled, lacks=lacks)
