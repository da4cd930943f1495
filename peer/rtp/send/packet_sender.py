"""Packet sender of one outgoing stream: timestamps, packetization, pacing and retransmission."""

import time
from collections.abc import Callable, Mapping, Sequence

from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from .frame_pacer import PacedSender
from .rtp_stream import RtpStream, ntp_time
from .send_bitrate import SendBitrate
from .timestamps import Timestamps


class PacketSender:
    """Sends the payloads of encoded frames: audio immediately, video through a pacer.

    Args:
        kind: ``"audio"`` or ``"video"``.
        stream: The RTP stream.
        transmit: Sends packets immediately; raises ``ConnectionError`` once the transport is
            closed.

    Attributes:
        stream: The RTP stream.
        bitrate: The target and the measured bit rate.
        frame_size: Width and height of the latest video frame in pixels; zeros if unknown.
        latest_times: NTP capture time and RTP timestamp of the latest frame, for sender reports
            (RFC 3550 section 6.4.1).
        rtx_types: Payload types of RTX by those of the media.
    """

    def __init__(
        self, kind: str, stream: RtpStream, transmit: Callable[[list[bytes]], None]
    ) -> None:
        self.stream = stream
        self.bitrate = SendBitrate(time.monotonic())
        self.frame_size = 0, 0
        self.latest_times = 0, 0
        self.rtx_types: Mapping[int, int] = {}
        self._kind = kind
        self._transmit = transmit
        self._paced = PacedSender(transmit)
        self._timestamps: Timestamps | None = None
        self._latest_type: int | None = None

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
        rtx = self.rtx_types.get(self._latest_type) if self._latest_type is not None else None
        rtt = self.bitrate.control.rtt
        if packets := self.stream.retransmit(numbers, rtx_type=rtx, ntp=ntp_time(), rtt=rtt):
            self._send(packets, again=True)

    def close(self) -> None:
        """Drop the packets in the pacer and send no more. Idempotent."""
        self._paced.close()

    @property
    def delay(self) -> float:
        """Total seconds that packets have waited in the pacer."""
        return self._paced.pacer.delay

    def measured_bitrate(self) -> float | None:
        """Return the bits per second sent recently; ``None`` shortly after the start."""
        return self.bitrate.measured(self.stream.octets, time.monotonic())

    def target_bitrate(self) -> int | None:
        """Return the target bits per second; ``None`` if only the frame size limits it."""
        return self.bitrate.target(time.monotonic())

    def _send(self, packets: list[bytes], *, again: bool = False) -> None:
        if self._kind == "audio":
            self._transmit(packets)
            return
        bitrate = self.bitrate.for_pacing(self.stream.octets, self.frame_size, time.monotonic())
        offset = self.stream.send_time_offset
        self._paced.send(packets, send_time_offset=offset, bitrate=bitrate, again=again)
