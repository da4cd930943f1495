"""The sender of RTP: limits at run time, tracks that come encoded."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from aiortc import MediaStreamTrack, RTCRtpSender, RTCStatsReport, rtp
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpSendParameters as Negotiated
from aiortc.rtp import (
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    unpack_remb_fci,
)
from aiortc.stats import RTCOutboundRtpStreamStats as AiortcOutbound

from icefloe.logs import get_logger

from ..rtp.send.congestion_controller import CongestionController
from ..rtp.send.parameters import RTCRtpSendParameters, checked
from ..rtp.send.pipeline import SendPipeline
from ..rtp.send.rtp_stream import RtpStream
from ..rtp.send.stats import outbound
from ..rtp.send.video_adaptation import DegradationPreference
from .dtls import DtlsTransport
from .private import Private

LONGEST_ROUND_TRIP = 60.0
"""Seconds; a report that makes it longer, or less than nothing, tells nothing of it."""

HIGHEST_ESTIMATE = 10**10
"""Bits a second of an estimate (REMB), which may say 2 to the power of 81."""

logger = get_logger(__name__)


class Sender(RTCRtpSender):
    """``RTCRtpSender`` with limits, that takes encoded tracks, and leaves tracks alive.

    aiortc's ends the application's track when it ends itself, and ends for good with its track.
    """

    outgoing: SendPipeline
    """The pipeline from the track to packets."""
    is_certain: Callable[[str, int], bool]
    """Tells of a header extension and its id whether the remote peer can only take it for that."""
    on_first_packet: Callable[[str, str, int], None] = staticmethod(lambda kind, way, ssrc: None)
    """Called with ``audio`` or ``video``, ``out`` and the SSRC when the first packet was sent."""
    _has_sent = False
    _extensions: tuple[tuple[str, int], ...] = ()

    @property
    def _private(self) -> Private:
        return Private(self, RTCRtpSender)

    def begin(self) -> None:
        """Take the place of aiortc's."""
        stream = RtpStream(self._ssrc, self._rtx_ssrc)
        self.outgoing = SendPipeline(
            self.kind, stream, self._congestion, lambda: self._enabled, self._note_sent
        )
        self.outgoing.replace_track(self.track)

    def getParameters(self) -> RTCRtpSendParameters:
        """Return a copy of the limits in force (W3C webrtc-pc 5.2)."""
        return RTCRtpSendParameters(
            encodings=[replace(self.outgoing.encoding)],
            degradationPreference=self.outgoing.selection.preference,
        )

    async def setParameters(self, parameters: RTCRtpSendParameters) -> None:
        """Set limits; nothing is negotiated.

        Raises:
            InvalidParameters: They make no sense; those in force stay so.

        Cancellation: safe.
        """
        self.outgoing.set_limits(checked(parameters))
        preference = parameters.degradationPreference
        self.outgoing.selection.preference = (
            None if preference is None else DegradationPreference(preference)
        )

    def replaceTrack(self, track: MediaStreamTrack | None) -> None:
        """Send another track from now on, or none; nothing is negotiated.

        The track before it is not stopped.

        Raises:
            TypeError: It is of the other kind.
        """
        if track is not None and track.kind != self.kind:
            raise TypeError(f"a sender of {self.kind} cannot send a track of {track.kind}")
        super().replaceTrack(track)
        self.outgoing.replace_track(track)

    async def send(self, parameters: Negotiated) -> None:
        self._extensions = tuple((known.uri, known.id) for known in parameters.headerExtensions)
        certain = [known for known in self._extensions if self.is_certain(*known)]
        self.outgoing.configure(parameters.codecs, certain, parameters.muxId)
        await super().send(parameters)

    def send_certain_extensions(self) -> None:
        """Leave out, from now on, what the remote peer might take for something else."""
        stream = self.outgoing.stream
        stream.configure(
            [known for known in self._extensions if self.is_certain(*known)], stream.mid
        )

    async def stop(self) -> None:
        try:
            await super().stop()
        finally:
            self.outgoing.end()

    async def _run_rtp(self, codec: RTCRtpCodecParameters) -> None:
        self._private["rtp_started"].set()
        try:
            await self.outgoing.run()
        except asyncio.CancelledError:
            # It ends here. A task that ends so would keep the frames in which it was, and with them
            # the encoder and its threads, until the garbage collector comes.
            logger.debug("sender.end kind=%s reason=stopped", self.kind)
        finally:
            self._private["rtp_exited"].set()

    def _congestion(self) -> CongestionController:
        assert isinstance(self.transport, DtlsTransport)
        return self.transport.congestion

    def _note_sent(self) -> None:
        private, stream = self._private, self.outgoing.stream
        if not self._has_sent:
            self._has_sent = True
            self.on_first_packet(self.kind, "out", self._ssrc)
        ntp, timestamp = self.outgoing.packets.latest_times
        private["ntp_timestamp"] = ntp
        private["rtp_timestamp"] = timestamp
        private["packet_count"] = stream.packets
        private["octet_count"] = stream.octets

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        match packet:
            case RtcpRrPacket() | RtcpSrPacket():
                await super()._handle_rtcp_packet(packet)
                rtt = self._private["rtt"]
                for report in packet.reports:
                    if report.ssrc == self._ssrc:
                        # It comes of what the remote peer says, and may be nonsense.
                        rtt = rtt if rtt is None or 0 <= rtt <= LONGEST_ROUND_TRIP else None
                        self.outgoing.on_receiver_report(report.fraction_lost / 256, rtt)
            case RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK):
                try:
                    self.outgoing.on_nack(packet.lost)
                except ConnectionError:
                    logger.debug("sender.repair.dropped reason=closed")
            case RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI):
                self.outgoing.on_key_frame_request("pli")
            case RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_FIR):
                self.outgoing.on_key_frame_request("fir")
            case RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP):
                try:
                    bitrate, ssrcs = unpack_remb_fci(packet.fci)
                except ValueError:
                    return  # another application's
                if self._ssrc in ssrcs:
                    self._congestion().on_remb(min(bitrate, HIGHEST_ESTIMATE))
                    self.outgoing.on_estimate(min(bitrate, HIGHEST_ESTIMATE))

    async def getStats(self) -> RTCStatsReport:
        report = await super().getStats()
        for id, stats in list(report.items()):
            if isinstance(stats, AiortcOutbound):
                report[id] = outbound(stats, self.outgoing)
        return report
