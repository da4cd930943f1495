"""Stream of encoded frames of one receiver, before decoding, for forwarding. Does no I/O."""

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.packet import Packet

from icefloe.encoding import Encoded, KeyFrameRequests, is_key_frame, make_packet
from icefloe.encoding.packing import Packer


class FrameConsumer(Protocol):
    """A consumer of encoded frames."""

    def take(self, packet: "Packet[Any]") -> None:
        """Process an encoded frame."""

    def end(self) -> None:
        """Note that the stream has ended."""


class EncodedStream:
    """Encoded frames of one receiver, and their consumers.

    Args:
        ask_for_key_frame: Sends a key-frame request to the remote peer.
        is_read: Returns whether the decoded frames are read.

    Attributes:
        consumers: Consumers other than the decoder.
        ended: Whether the stream has ended.
    """

    def __init__(
        self, ask_for_key_frame: Callable[[], None], is_read: Callable[[], bool] = lambda: True
    ) -> None:
        self.consumers: dict[FrameConsumer, None] = {}
        self.ended: bool = False
        self._request_key_frame, self._is_read = ask_for_key_frame, is_read
        self._requests = KeyFrameRequests()
        self._packer: Packer | None = None
        self._needs_key_frame = False
        self._latest_timestamp: int | None = None
        self._pts = 0

    @property
    def is_forwarded(self) -> bool:
        """True if there is a consumer other than the decoder."""
        return bool(self.consumers)

    def add(self, consumer: FrameConsumer) -> None:
        """Add a consumer, and request a key frame for it."""
        self.consumers[consumer] = None
        self.request_key_frame()

    def remove(self, consumer: FrameConsumer) -> None:
        """Remove a consumer."""
        self.consumers.pop(consumer, None)

    def request_key_frame(self) -> None:
        """Request a key frame from the remote peer, now or as soon as the rate limit allows."""
        self._requests.ask()
        self._request_if_due()

    def resume(self) -> None:
        """Note that reading of the decoded frames has resumed."""
        if self._needs_key_frame:
            self.request_key_frame()

    def interrupt(self) -> None:
        """Note that packets were left out: decoding continues with a key frame."""
        self._needs_key_frame = True
        self.request_key_frame()

    def end(self) -> None:
        """Tell all consumers that the stream has ended, and remove them."""
        self.ended = True
        for consumer in tuple(self.consumers):
            consumer.end()
        self.consumers.clear()

    def take(self, codec: RTCRtpCodecParameters, data: bytes, timestamp: int) -> bool:
        """Pass a video frame to the consumers.

        Args:
            codec: Its codec.
            data: Its encoded bytes.
            timestamp: Its ``pts``, in units of 1/90000 s.

        Returns:
            Whether to decode it, too.
        """
        if self.consumers:
            self._forward(codec, data, timestamp)
        if not self._is_read():
            self._needs_key_frame = True
            return False
        return self._is_decodable(codec, data)

    def take_audio(self, codec: RTCRtpCodecParameters, data: bytes, timestamp: int) -> None:
        """Pass an audio packet to the consumers; a late packet is dropped.

        Args:
            codec: Its codec.
            data: Its payload.
            timestamp: Its 32-bit RTP timestamp.
        """
        if self._latest_timestamp is not None:
            ahead = timestamp - self._latest_timestamp & 0xFFFFFFFF
            if ahead == 0 or ahead > 1 << 31:
                return
            self._pts += ahead
        self._latest_timestamp = timestamp
        self._forward(codec, data, self._pts)

    def _is_decodable(self, codec: RTCRtpCodecParameters, data: bytes) -> bool:
        """Return whether the decoder can process a frame; after a gap, only a key frame."""
        if self._needs_key_frame:
            if not is_key_frame(codec.name, data):
                self.request_key_frame()
                return False
            self._needs_key_frame = False
            self._requests.made(time.monotonic())
        return True

    def _forward(self, codec: RTCRtpCodecParameters, data: bytes, pts: int) -> None:
        if self._packer is None or self._packer.codec != codec.name:
            self._packer = Packer(codec.name)
        known = Encoded(
            codec=codec.name,
            is_key_frame=is_key_frame(codec.name, data),
            received_at=time.monotonic(),
            payloads=self._packer.pack(data),
        )
        time_base = Fraction(1, codec.clockRate)
        packet = make_packet(data, pts=pts, time_base=time_base, known=known)
        if known.is_key_frame:
            self._requests.made(time.monotonic())
        for consumer in tuple(self.consumers):
            consumer.take(packet)
        self._request_if_due()

    def _request_if_due(self) -> None:
        if not self.ended and self._requests.due(time.monotonic()):
            self._request_key_frame()
