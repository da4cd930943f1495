"""Where forwarded media comes from: what one receiver gets, before it is decoded. No I/O."""

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.packet import Packet

from icefloe.encoding import Encoded, KeyFrameRequests, is_key_frame, make_packet
from icefloe.encoding.packing import Packer

_READ_LATELY = 2.0
"""Seconds after which a track that is not read is not decoded any more."""


class Taker(Protocol):
    """What gets the media."""

    def take(self, packet: "Packet[Any]") -> None:
        """Take an encoded frame."""

    def end(self) -> None:
        """Note that nothing comes any more."""


class Origin:
    """What one receiver gets, and to whom it goes.

    Args:
        ask_for_key_frame: Asks the other side.

    Attributes:
        takers: To whom it goes beside the decoder.
        ended: Whether nothing comes any more.
    """

    def __init__(self, ask_for_key_frame: Callable[[], None]) -> None:
        self.takers: dict[Taker, None] = {}
        self.ended = False
        self._ask = ask_for_key_frame
        self._requests = KeyFrameRequests()
        self._packer: Packer | None = None
        self._readers = 0
        self._read_at = time.monotonic()
        self._skips = False
        self._last: int | None = None
        self._pts = 0

    @property
    def is_forwarded(self) -> bool:
        """Whether anybody gets it but the decoder."""
        return bool(self.takers)

    def add(self, taker: Taker) -> None:
        """Have what comes go to somebody else too, from a key frame on."""
        self.takers[taker] = None
        self.request_key_frame()

    def remove(self, taker: Taker) -> None:
        """Undo :meth:`add`."""
        self.takers.pop(taker, None)

    def request_key_frame(self) -> None:
        """Ask the other side for a key frame: at once, or as soon as it is its turn."""
        self._requests.ask()
        self._ask_if_due()

    def reading(self, change: int) -> None:
        """Note that somebody begins (1) or ends (-1) to wait for a decoded frame."""
        self._readers += change
        self._read_at = time.monotonic()

    def end(self) -> None:
        """Note that nothing comes any more."""
        self.ended = True
        for taker in tuple(self.takers):
            taker.end()
        self.takers.clear()

    def take(self, codec: RTCRtpCodecParameters, data: bytes, timestamp: int) -> bool:
        """Hand on a whole picture.

        Args:
            codec: Its codec.
            data: Its bytes.
            timestamp: In units of 1/90000 s.

        Returns:
            Whether it is to be decoded too.
        """
        if not self.takers:
            return self._is_decodable(codec, data)
        self._hand_on(codec, data, timestamp)
        now = time.monotonic()
        if self._readers == 0 and now - self._read_at > _READ_LATELY:
            self._skips = True
            return False
        return self._is_decodable(codec, data)

    def take_sound(self, codec: RTCRtpCodecParameters, data: bytes, timestamp: int) -> None:
        """Hand on a packet of sound; what comes late, after a newer one, is left out.

        Args:
            codec: Its codec.
            data: Its bytes.
            timestamp: Its RTP timestamp, of 32 bits.
        """
        if self._last is not None:
            ahead = timestamp - self._last & 0xFFFFFFFF
            if ahead == 0 or ahead > 1 << 31:
                return
            self._pts += ahead
        self._last = timestamp
        self._hand_on(codec, data, self._pts)

    def _is_decodable(self, codec: RTCRtpCodecParameters, data: bytes) -> bool:
        """Whether the decoder can do with a picture: after a break it cannot before a key frame."""
        if self._skips:
            if not is_key_frame(codec.name, data):
                self.request_key_frame()
                return False
            self._skips = False
        return True

    def _hand_on(self, codec: RTCRtpCodecParameters, data: bytes, pts: int) -> None:
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
        for taker in tuple(self.takers):
            taker.take(packet)
        self._ask_if_due()

    def _ask_if_due(self) -> None:
        if not self.ended and self._requests.due(time.monotonic()):
            self._ask()
