"""What one track receives: packets of one source, in order to a decoder. No I/O: time is given."""

import struct
from typing import Protocol

from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from icefloe.logs import get_logger

from .capture_time import FrameClock
from .frame_assembly import Assembly
from .loss_repair import Repair
from .nack import Missing
from .ssrc import SourceChoice

logger = get_logger(__name__)

_START_CODE = b"\0\0\1"


class Deliver(Protocol):
    """Takes a whole picture."""

    def __call__(
        self, codec: RTCRtpCodecParameters, data: bytes, pts: int, *, ssrc: int, timestamp: int
    ) -> None:
        """Take it.

        Args:
            codec: Its codec.
            data: Its bytes.
            pts: Its number, in units of 1/90000 s from the first picture on.
            ssrc: The source that it is of.
            timestamp: Its RTP timestamp.
        """


class Intake:
    """Takes the media of one track as it comes.

    Args:
        kind: ``audio`` or ``video``.
        deliver: Gets the pictures.

    Attributes:
        choice: The source that is played.
        assembly: The packets of video that are not whole pictures yet.
        missing: Those that did not come.
        repair: What is done about it.
        discarded: Packets that were of no use: malformed, or of a source that is not played.
    """

    def __init__(self, kind: str, deliver: Deliver) -> None:
        self.choice = SourceChoice()
        self.discarded = 0
        self._kind, self._deliver = kind, deliver
        self._clock = FrameClock(90000)
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what has come: what follows has nothing to do with it."""
        # The numbers of a source have nothing to do with those of another one.
        self.assembly: Assembly[RTCRtpCodecParameters] = Assembly()
        self.missing = Missing()
        self.repair = Repair()

    def takes(self, now: float, ssrc: int) -> bool:
        """Return whether a packet is of the source that is played; a new source is followed.

        Args:
            now: Seconds on a monotonic clock.
            ssrc: The source of the packet.
        """
        before = self.choice.current
        if not self.choice.takes(now, ssrc):
            self.discarded += 1
            return False
        if before is not None and before != ssrc:
            logger.info("receiver.source kind=%s before=%d now=%d", self._kind, before, ssrc)
            self.begin_anew()
        return True

    def picture_part(
        self, now: float, packet: RtpPacket, codec: RTCRtpCodecParameters, *, is_again: bool
    ) -> bool:
        """Take a packet of video, and hand on the pictures that are whole with it.

        Args:
            now: Seconds on a monotonic clock.
            packet: The packet.
            codec: What its payload type stands for.
            is_again: Whether it was sent again.

        Returns:
            Whether pictures were given up, so that a key frame is needed.
        """
        data: bytes | None = b""
        if packet.payload:
            try:
                data = depayload(codec, packet.payload)
            except (ValueError, struct.error, IndexError) as error:
                self.discarded += 1
                logger.debug("receiver.dropped codec=%s reason=%s", codec.name, error)
                data = None
        given_up = self.assembly.put(
            packet.sequence_number,
            packet.timestamp,
            data,
            codec,
            is_last=bool(packet.marker),
            is_again=is_again,
            units=data.count(_START_CODE) if data and codec.name == "H264" else 0,
        )
        while (picture := self.assembly.take()) is not None:
            pts = self._clock.pts(now, packet.ssrc, picture.timestamp)
            self._deliver(
                picture.codec, picture.data, pts, ssrc=packet.ssrc, timestamp=picture.timestamp
            )
        return given_up
