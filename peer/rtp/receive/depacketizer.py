"""Depacketizer of one received track: selects the SSRC and assembles video frames. Does no I/O."""

import struct
from logging import Logger
from typing import Protocol

from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from icefloe.logs import get_logger

from .capture_time import FrameClock
from .frame_assembly import FrameAssembler
from .loss_repair import LossRepair
from .nack import MissingPackets
from .ssrc import SsrcSelector

logger: Logger = get_logger(__name__)

_START_CODE = b"\0\0\1"


class FrameHandler(Protocol):
    """Callback for an assembled video frame."""

    def __call__(
        self, codec: RTCRtpCodecParameters, data: bytes, pts: int, *, ssrc: int, timestamp: int
    ) -> None:
        """Handle a frame.

        Args:
            codec: Its codec.
            data: Its encoded bytes.
            pts: Its time since the first frame of the track, in units of 1/90000 s.
            ssrc: The SSRC of its stream.
            timestamp: Its RTP timestamp.
        """


class Depacketizer:
    """Processes the received media packets of one track.

    Args:
        kind: ``"audio"`` or ``"video"``.
        deliver: Called with each assembled video frame.

    Attributes:
        selector: Selects the SSRC that is played.
        assembler: Assembles video frames from packets.
        missing: Tracks missing packets, for NACKs.
        repair: Decides when to repeat a NACK, and when to skip a gap.
        discarded: Number of packets dropped because they were malformed, or of an SSRC that is not
            played.
    """

    def __init__(self, kind: str, deliver: FrameHandler) -> None:
        self.selector: SsrcSelector = SsrcSelector()
        self.discarded: int = 0
        self._kind, self._deliver = kind, deliver
        self._clock = FrameClock(90000)
        self.restart()

    def restart(self) -> None:
        """Forget received packets, and start with the next one."""
        # Sequence numbers of different SSRCs are unrelated.
        self.assembler: FrameAssembler[RTCRtpCodecParameters] = FrameAssembler()
        self.missing: MissingPackets = MissingPackets()
        self.repair: LossRepair = LossRepair()

    def accepts(self, now: float, ssrc: int) -> bool:
        """Return whether a packet belongs to the SSRC that is played; switch to a new SSRC.

        Args:
            now: Seconds on a monotonic clock.
            ssrc: The SSRC of the packet.
        """
        before = self.selector.current
        if not self.selector.accepts(now, ssrc):
            self.discarded += 1
            return False
        if before is not None and before != ssrc:
            logger.info("receiver.source kind=%s before=%d now=%d", self._kind, before, ssrc)
            self.restart()
        return True

    def put_video(
        self,
        now: float,
        packet: RtpPacket,
        codec: RTCRtpCodecParameters,
        *,
        is_retransmission: bool,
    ) -> bool:
        """Add a video packet, and deliver the frames that are then complete.

        Args:
            now: Seconds on a monotonic clock.
            packet: The packet.
            codec: The codec of its payload type.
            is_retransmission: Whether it is a retransmission.

        Returns:
            Whether frames were dropped, so that a key frame is needed.
        """
        data: bytes | None = b""
        if packet.payload:
            try:
                data = depayload(codec, packet.payload)
            except (ValueError, struct.error, IndexError) as error:
                self.discarded += 1
                logger.debug("receiver.dropped codec=%s reason=%s", codec.name, error)
                data = None
        given_up = self.assembler.put(
            packet.sequence_number,
            packet.timestamp,
            data,
            codec,
            is_last=bool(packet.marker),
            is_retransmission=is_retransmission,
            units=data.count(_START_CODE) if data and codec.name == "H264" else 0,
        )
        while (frame := self.assembler.take()) is not None:
            pts = self._clock.pts(now, packet.ssrc, frame.timestamp)
            self._deliver(frame.codec, frame.data, pts, ssrc=packet.ssrc, timestamp=frame.timestamp)
        return given_up
