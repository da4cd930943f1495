"""Where forwarded media comes from: what one receiver gets, before it is decoded. No I/O."""

import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Protocol

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.packet import Packet

from icefloe.encoding import Encoded, KeyFrameRequests, is_key_frame, make_packet
from icefloe.encoding.packing import Packer


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
        is_read: Whether anybody reads the decoded pictures.

    Attributes:
        takers: To whom it goes beside the decoder.
        ended: Whether nothing comes any more.
    """

    def __init__(
        self, ask_for_key_frame: Callable[[], None], is_read: Callable[[], bool] = lambda: True
    ) -> None:
        self.takers: dict[Taker, None] = {}
        self.ended = False
        self._ask, self._is_read = ask_for_key_frame, is_read
        self._requests = KeyFrameRequests()
        self._packer: Packer | None = None
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

    def read_again(self) -> None:
        """Note that somebody reads the decoded pictures after nobody did."""
        if self._skips:
            self.request_key_frame()

    def interrupted(self) -> None:
        """Note that packets were left out: the decoder goes on with a key frame."""
        self._skips = True
        self.request_key_frame()

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
        if self.takers:
            self._hand_on(codec, data, timestamp)
        if not self._is_read():
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
            self._requests.made(time.monotonic())
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
