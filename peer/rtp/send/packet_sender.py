"""Packet sender of one outgoing stream: timestamps, packetization and retransmission."""

import time
from collections.abc import Callable, Mapping, Sequence

from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from icefloe.encoding import largest_bitrate

from .allocation import AUDIO_BITRATES, PRIORITY_WEIGHTS, Demand
from .congestion_controller import CongestionController
from .rtp_stream import RtpStream, ntp_time
from .send_bitrate import ASSUMED_SIZE, SendBitrate
from .send_stamp import SendStamp
from .timestamps import Timestamps

_HEADROOM = 1.25
"""Factor by which a stream is taken to want more than it sends."""

_IDLE = 2.0
"""Seconds without a frame after which a stream needs no bit rate."""


def _nothing() -> None:
    """Do nothing, and know nothing."""


class PacketSender:
    """Sends the payloads of encoded frames through its transport's congestion controller.

    Args:
        kind: ``"audio"`` or ``"video"``.
        stream: The RTP stream.
        controller: Returns the congestion controller of the transport in use, which may change when
            media sections are bundled; raises ``ConnectionError`` once there is none.
        on_sent: Called after packets were sent or queued.

    Attributes:
        kind: ``"audio"`` or ``"video"``.
        stream: The RTP stream.
        bitrate: The target and the measured bit rate.
        frame_size: Width and height of the latest video frame in pixels; zeros if unknown.
        source_size: Width and height of the track's latest frame, after ``scaleResolutionDownBy``;
            zeros if unknown.
        latest_times: NTP capture time and RTP timestamp of the latest frame, for sender reports
            (RFC 3550 section 6.4.1).
        rtx_types: Payload types of RTX by those of the media.
        priority: Priority among the streams of the transport; see :data:`PRIORITY_WEIGHTS`.
        send_delay: Total seconds that packets have waited in the pacer.
        wanted: Returns the bits per second that an encoded track can use, or ``None`` if unknown.
        on_bitrate: Called when the allocated bit rate has changed.
    """

    def __init__(
        self,
        kind: str,
        stream: RtpStream,
        controller: Callable[[], CongestionController],
        on_sent: Callable[[], None] = lambda: None,
    ) -> None:
        self._kind = kind
        self.stream = stream
        self.bitrate: SendBitrate = SendBitrate(time.monotonic())
        self.frame_size: tuple[int, int] = 0, 0
        self.source_size: tuple[int, int] = 0, 0
        self.latest_times: tuple[int, int] = 0, 0
        self.rtx_types: Mapping[int, int] = {}
        self.priority = "low"
        self.send_delay = 0.0
        self.wanted: Callable[[], float | None] = lambda: None
        self.on_bitrate: Callable[[], None] = lambda: None
        self._controller = controller
        self._on_sent = on_sent
        self._registered: tuple[CongestionController, int] | None = None
        self._timestamps: Timestamps | None = None
        self._latest_type: int | None = None
        self._sent_at = float("-inf")
        self._closed = False

    def timestamps(self, codec: RTCRtpCodecParameters) -> Timestamps:
        """Return the timestamps of the stream, at the clock rate of a codec."""
        if self._timestamps is None or self._timestamps.clock_rate != codec.clockRate:
            self._timestamps = Timestamps(self._kind, codec.clockRate)
        return self._timestamps

    def restart_timestamps(self) -> None:
        """Note that the next frame comes from another track."""
        if self._timestamps is not None:
            self._timestamps.restart()

    def send(
        self,
        codec: RTCRtpCodecParameters,
        payloads: Sequence[bytes],
        timestamp: int,
        *,
        taken_at: float,
        level: int | None = None,
    ) -> None:
        """Send a frame.

        Args:
            codec: Its codec, with a payload type.
            payloads: Its payloads, in order.
            timestamp: Its RTP timestamp, not wrapped.
            taken_at: The time when it came from the track, in seconds of ``time.monotonic()``.
            level: For audio, the level in -dBov (RFC 6464).

        Raises:
            ConnectionError: The transport was closed.
        """
        assert codec.payloadType is not None
        now, ntp = time.monotonic(), ntp_time()
        age = self.timestamps(codec).age(timestamp, taken_at, now)
        timestamp &= 0xFFFFFFFF
        packets = self.stream.packetize(
            payloads, payload_type=codec.payloadType, timestamp=timestamp, ntp=ntp, level=level
        )
        self._latest_type = codec.payloadType
        self._sent_at = now
        self.bitrate.note_sent(self.stream.octets, now)
        self.latest_times = ntp - int(age * (1 << 32)), timestamp
        self._send(packets)

    def retransmit(self, numbers: Sequence[int]) -> None:
        """Retransmit packets, as far as they are stored and the limits allow.

        Args:
            numbers: Their sequence numbers.

        Raises:
            ConnectionError: The transport was closed.
        """
        rtt = self.bitrate.control.rtt
        if packets := self.stream.retransmit(
            numbers, rtx_type=self._rtx_type, ntp=ntp_time(), rtt=rtt
        ):
            self._send(packets, again=True)

    def close(self) -> None:
        """Drop the packets in the pacer and send no more. Idempotent."""
        self._closed = True
        # A reference back to whoever owns it would keep its encoder until the garbage collector
        # comes.
        self.on_bitrate, self.wanted = _nothing, _nothing
        if self._registered is not None:
            controller, number = self._registered
            controller.remove(number)
            self._registered = None

    def may_encode(self) -> bool:
        """Return whether the next frame would leave soon; otherwise it is better dropped.

        Raises:
            ConnectionError: The transport was closed.
        """
        self._sent_at = time.monotonic()
        controller, number = self._register()
        return controller.may_encode(number, self.target_bitrate())

    def measured_bitrate(self) -> float | None:
        """Return the bits per second sent recently; ``None`` shortly after the start."""
        return self.bitrate.measured(self.stream.octets, time.monotonic())

    def target_bitrate(self) -> int | None:
        """Return the target bits per second; ``None`` if only the frame size limits it."""
        return self.bitrate.target(time.monotonic())

    def reallocate(self) -> None:
        """Have the estimate divided again, because a limit of this stream has changed."""
        if self._registered is not None:
            self._registered[0].reallocate()

    # What follows is called by the congestion controller.

    @property
    def kind(self) -> str:
        """``"audio"`` or ``"video"``."""
        return self._kind

    @property
    def stamp(self) -> SendStamp:
        """Offsets of the header extensions in the packets."""
        return self.stream.stamp

    def demand(self, now: float) -> Demand:
        """Return what the stream can use; see :class:`Demand`."""
        weight = PRIORITY_WEIGHTS[self.priority]
        if now - self._sent_at > _IDLE:
            return Demand(self._kind, 0, weight)
        if self._kind == "audio":
            most: float = AUDIO_BITRATES[0]
        else:
            size = self.source_size if self.source_size[0] else ASSUMED_SIZE
            # An encoded track may send more than an encoder would be given.
            sent = self.bitrate.measured(self.stream.octets, now) or 0.0
            most = self.wanted() or max(largest_bitrate(*size), sent * _HEADROOM)
        if self.bitrate.maximum is not None:
            most = min(most, self.bitrate.maximum)
        return Demand(self._kind, most, weight)

    def on_allocation(self, bitrate: int | None) -> None:
        """Take another bit rate; ``None`` if REMB and receiver reports decide."""
        if bitrate != self.bitrate.allocated:
            self.bitrate.allocated = bitrate
            self.on_bitrate()

    def unmanaged_bitrate(self, now: float) -> float:
        """Return the bits per second that are sent if there is no transport-wide feedback."""
        return self.bitrate.for_pacing(self.stream.octets, self.frame_size, now)

    def padding(self, size: int) -> list[bytes]:
        """Return packets of padding; see :meth:`RtpStream.padding`."""
        return self.stream.padding(size, rtx_type=self._rtx_type)

    @property
    def _rtx_type(self) -> int | None:
        return self.rtx_types.get(self._latest_type) if self._latest_type is not None else None

    def _send(self, packets: list[bytes], *, again: bool = False) -> None:
        if self._closed:
            return
        controller, number = self._register()
        controller.send(number, packets, again=again)
        self._on_sent()

    def _register(self) -> tuple[CongestionController, int]:
        """Return the congestion controller and the number of the stream there."""
        controller = self._controller()
        if self._registered is None or self._registered[0] is not controller:
            if self._registered is not None:
                self._registered[0].remove(self._registered[1])
            self._registered = controller, controller.add(self)
            controller.reallocate()
        return self._registered
