# Longer than 400 lines: one class in the place of one of aiortc's, with its counters.
"""The receiver of RTP: audio by the clock, pictures that are insisted on, forwarding."""

import asyncio
from collections.abc import Callable, Iterable

from aiortc import RTCStatsReport, clock, rtp
from aiortc.codecs import is_rtx
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import RemoteStreamTrack, StreamStatistics
from aiortc.rtp import (
    AnyRtcpPacket,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpSrPacket,
    RtpPacket,
    pack_remb_fci,
    unwrap_rtx,
)
from aiortc.stats import RTCInboundRtpStreamStats
from aiortc.utils import uint16_gt

from icefloe.logs import get_logger

from ..rtp.congestion.receiver_estimate import ReceiverEstimate
from ..rtp.receive.audio_playout import AudioPlayout
from ..rtp.receive.audio_receiver import AudioReceiver, AudioStats
from ..rtp.receive.decoder_pool import DecoderPool
from ..rtp.receive.decoder_threads import VideoDecoderThread
from ..rtp.receive.depacketizer import Depacketizer
from ..rtp.receive.loss_repair import RepairAction
from ..rtp.receive.nack import nack_batches
from ..rtp.receive.remote_track import RemoteTrack
from .frames import FramesAsQueue
from .tap import TappedReceiver

logger = get_logger(__name__)


class _Statistics(StreamStatistics):
    """aiortc's, which fit into a report whatever the remote peer's timestamps are.

    Packets arrive by a clock that nobody sets; aiortc's jitter is that of the wall clock as well.
    """

    _rate: int
    _jitter = 0.0
    _transit: tuple[int, float] | None = None

    def __init__(self, clockrate: int) -> None:
        super().__init__(clockrate)
        self._rate = clockrate

    def add(self, packet: RtpPacket) -> None:
        number, newest = packet.sequence_number, self.max_seq
        self.packets_received += 1
        if self.base_seq is None:
            self.base_seq = number
        if newest is not None and number != newest:
            if not uint16_gt(number, newest):
                return  # it came late
            self.cycles += (number < newest) << 16
        self.max_seq = number
        arrival = asyncio.get_running_loop().time() * self._rate
        if self._transit is not None and packet.timestamp != self._transit[0]:
            timestamp, before = self._transit
            passed = (packet.timestamp - timestamp + 0x80000000 & 0xFFFFFFFF) - 0x80000000
            # RFC 3550 section 6.4.1.
            self._jitter += (abs(arrival - before - passed) - self._jitter) / 16
        self._transit = packet.timestamp, arrival

    @property
    def jitter(self) -> int:
        return min(int(self._jitter), 0xFFFFFFFF)


class Receiver(TappedReceiver):
    """``RTCRtpReceiver`` that plays audio by the clock, and insists on lost pictures.

    aiortc's audio stands still for 300 ms where a packet is lost, and is late for ever after. Its
    queues grow where nobody reads, and the event loop waits for its threads. It writes the
    statistics of every stream under one id: retransmissions (RFC 4588) hide what they repair.
    """

    CLOSE_TIMEOUT = 1.0
    """Seconds to wait at most for a decoder that is at something."""
    MOST_SOURCES = 16
    """Sources of which statistics are kept and reported; a report has room for 31."""
    PLEA = 0.1
    """Seconds from one request for a key frame to the next at least."""
    decoding: AudioPlayout | VideoDecoderThread | None = None
    """The decoder; ``None`` before there is something to decode."""
    takes_audio = False
    """True if it has begun to receive audio, by :meth:`take_audio`."""
    _intake: Depacketizer
    _pool: DecoderPool
    _mutes: asyncio.TimerHandle | None = None
    _mid = ""
    _told_repairing: frozenset[int] = frozenset()
    """Sources of retransmissions that the description named."""
    on_first_packet: Callable[[str, str, int], None] = staticmethod(lambda kind, way, ssrc: None)
    """Called with ``audio`` or ``video``, ``in`` and the SSRC when the first packet of it came."""
    on_first_key_frame: Callable[[str], None] = staticmethod(lambda mid: None)
    """Called with the mid when the first key frame came."""
    had_key_frame = False
    """True once a key frame came, of video."""
    _wants_key_frame = False
    _pleaded_at = float("-inf")

    def begin(self, pool: DecoderPool) -> None:
        """Take the place of aiortc's.

        Args:
            pool: What the decoders of one connection share.
        """
        self._pool = pool
        self._intake = Depacketizer(self.kind, self._deliver)

    @property
    def source(self) -> int | None:
        return self._intake.selector.current

    def _deliver(
        self, codec: RTCRtpCodecParameters, data: bytes, pts: int, *, ssrc: int, timestamp: int
    ) -> None:
        if isinstance(self._track, RemoteTrack):
            self._track.times.note(pts, 90000, ssrc, timestamp, 90000)
        if self._private["decoder_thread"] is not None:
            self._private["decoder_queue"].put((codec, JitterFrame(data, pts)))
            if not self.had_key_frame and isinstance(self.decoding, VideoDecoderThread):
                self.had_key_frame = self.decoding.key_frames > 0
                if self.had_key_frame:
                    self.on_first_key_frame(self._mid)

    def is_read(self) -> bool:
        return not (isinstance(self._track, RemoteTrack) and self._track.frames.is_abandoned)

    @property
    def _track(self) -> RemoteStreamTrack | None:
        track: RemoteStreamTrack | None = self.__dict__.get("_track")
        return track

    @_track.setter
    def _track(self, track: RemoteStreamTrack | None) -> None:
        if track is not None and not isinstance(track, RemoteTrack):
            track.__class__ = RemoteTrack
            assert isinstance(track, RemoteTrack)
            track.begin()
            track._queue = FramesAsQueue(track.frames)
        self.__dict__["_track"] = track

    @property
    def _RTCRtpReceiver__jitter_buffer(self) -> Depacketizer:
        return self._intake

    @_RTCRtpReceiver__jitter_buffer.setter
    def _RTCRtpReceiver__jitter_buffer(self, buffer: object) -> None:
        """Leave it: programs put a larger one of aiortc's in its place, for large pictures."""

    @property
    def _enabled(self) -> bool:
        enabled: bool = self.__dict__["_enabled"]
        return enabled

    @_enabled.setter
    def _enabled(self, enabled: bool) -> None:
        # The negotiated direction sets it, and programs that read only now and then.
        returns = enabled and not self.__dict__["_enabled"]
        self.__dict__["_enabled"] = enabled
        if returns and self._private["started"] and isinstance(self._track, RemoteTrack):
            self._begin_anew(self._track)

    def _begin_anew(self, track: RemoteTrack) -> None:
        """Forget what came before packets were left out: nobody wants pictures of that time."""
        track.frames.clear()
        if track.kind == "video":
            self._intake.restart()
            self.origin.interrupt()

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        track = self._track
        if self._private["started"] or not isinstance(track, RemoteTrack):
            return
        codecs: dict[int | None, RTCRtpCodecParameters] = self._private["codecs"]
        codecs.update((codec.payloadType, codec) for codec in parameters.codecs)
        self._private["rtx_ssrc"].update(
            (encoding.rtx.ssrc, encoding.ssrc) for encoding in parameters.encodings if encoding.rtx
        )
        self._told_repairing = frozenset(self._private["rtx_ssrc"])
        self._mid = parameters.muxId
        if track.kind == "audio":
            self.decoding = AudioPlayout(track.frames, AudioReceiver(track.times), self._pool)
            self.takes_audio = True
        else:
            track.frames.on_return = self.origin.resume
            self.decoding = VideoDecoderThread(
                track.frames, self._private["decoder_error"].set, self._pool
            )
            self._private["decoder_queue"] = self.decoding
            self._private["decoder_thread"] = self.decoding
        self.transport._register_rtp_receiver(self, parameters)
        self._private["rtcp_task"] = asyncio.ensure_future(self._run_rtcp())
        self._private["started"] = True

    def _RTCRtpReceiver__stop_decoder(self) -> None:
        if self.decoding is not None:
            self.decoding.close()
        self._private["decoder_thread"] = None

    def directed(self) -> None:
        """Record that the negotiated direction may be another one."""
        track = self._track
        if isinstance(track, RemoteTrack) and not self._enabled and track.muting.stopped():
            track.emit("mute")

    def _arrived(self, packet: RtpPacket) -> None:
        track = self._track
        # Padding does not tell that the sender has something to send.
        if not isinstance(track, RemoteTrack) or not packet.payload:
            return
        if track.muting.arrived(asyncio.get_running_loop().time()):
            track.emit("unmute")
        if self._mutes is None:
            self._look_whether_muted(track)

    def _look_whether_muted(self, track: RemoteTrack) -> None:
        self._mutes = None
        loop = asyncio.get_running_loop()
        if track.muting.check(loop.time()):
            track.emit("mute")
        if not track.muted:
            self._mutes = loop.call_at(track.muting.due, self._look_whether_muted, track)

    async def stop(self) -> None:
        if self._mutes is not None:
            self._mutes.cancel()
        await super().stop()
        if self.decoding is not None:
            await self.decoding.closed(self.CLOSE_TIMEOUT)
        elif isinstance(self._track, RemoteTrack):
            self._track.frames.end()  # it never began, and somebody may wait for it

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpByePacket):
            # What comes after it is media again; aiortc would end the track.
            track = self._track
            is_gone = self._intake.selector.on_bye(packet.sources)
            if is_gone and isinstance(track, RemoteTrack) and track.muting.stopped():
                track.emit("mute")
            return
        await super()._handle_rtcp_packet(packet)
        if isinstance(packet, RtcpSrPacket) and isinstance(self._track, RemoteTrack):
            sent = packet.sender_info
            self._track.times.report(packet.ssrc, sent.ntp_timestamp, sent.rtp_timestamp)

    def take_audio(self, packet: RtpPacket) -> None:
        """Take a packet of audio: there is nothing to be waited for."""
        codec = self._codec_of(packet)
        media = None if codec is None else self._media_of(packet, codec)
        if media is None:
            return
        packet, codec = media
        if self.origin.is_forwarded and packet.payload:
            self.origin.take_audio(codec, packet.payload, packet.timestamp)
        if isinstance(self.decoding, AudioPlayout):
            self.decoding.put(codec, packet)

    def _codec_of(self, packet: RtpPacket) -> RTCRtpCodecParameters | None:
        """Return the codec of a packet; ``None`` if it is of no use."""
        if not self._enabled:
            return None
        codecs: dict[int, RTCRtpCodecParameters] = self._private["codecs"]
        codec = codecs.get(packet.payload_type)
        self._intake.discarded += codec is None
        return codec

    def _media_of(
        self, packet: RtpPacket, codec: RTCRtpCodecParameters
    ) -> tuple[RtpPacket, RTCRtpCodecParameters] | None:
        """Count a packet; return it or what it repeats, with its codec, if it is to be used."""
        if is_rtx(codec):
            repaired = self._repaired(packet, codec)
            if repaired is None:
                return None
            return repaired, self._private["codecs"][repaired.payload_type]
        if not self._intake.accepts(asyncio.get_running_loop().time(), packet.ssrc):
            return None
        self._count(packet, codec)
        self._arrived(packet)
        return packet, codec

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        if self.takes_audio:
            self.take_audio(packet)
            return
        codec = self._codec_of(packet)
        if codec is None:
            return
        await self._estimate(packet, arrival_time_ms)
        is_retransmission = is_rtx(codec)
        media = self._media_of(packet, codec)
        if media is None:
            return
        packet, codec = media
        intake, now = self._intake, asyncio.get_running_loop().time()
        if intake.missing.add(packet):
            await self._ask_again(packet.ssrc, intake.missing.new)
        decoder_error = self._private["decoder_error"]
        given_up = intake.put_video(now, packet, codec, is_retransmission=is_retransmission)
        if given_up or decoder_error.is_set():
            decoder_error.clear()
            self._wants_key_frame = True
        await self._look_after_pictures(now, packet.ssrc)

    async def _look_after_pictures(self, now: float, ssrc: int) -> None:
        """Ask for what is missing again, or go on without it and ask for a key frame."""
        intake = self._intake
        assembly = intake.assembler
        match intake.repair.next_action(now, assembly.gap, has_gap=assembly.has_gap):
            case RepairAction.REPEAT_NACK:
                await self._ask_again(ssrc, intake.missing.missing)
            case RepairAction.SKIP:
                assembly.skip()
                intake.missing.give_up()
                self._wants_key_frame = True
            case RepairAction.REQUEST_KEY_FRAME:
                self._wants_key_frame = True
        if self._wants_key_frame and now - self._pleaded_at >= self.PLEA:
            self._wants_key_frame, self._pleaded_at = False, now
            await self._send_rtcp_pli(ssrc)

    async def _ask_again(self, ssrc: int, numbers: Iterable[int]) -> None:
        for some in nack_batches(numbers):
            await self._send_rtcp_nack(ssrc, some)

    def _repaired(self, packet: RtpPacket, codec: RTCRtpCodecParameters) -> RtpPacket | None:
        """Return what a packet sends again (RFC 4588 section 4); ``None`` if it is of no use."""
        intake, repairing = self._intake, self._private["rtx_ssrc"]
        apt, current = codec.parameters.get("apt"), intake.selector.current
        if not packet.payload:
            return None  # a probe for the bandwidth
        is_known = isinstance(apt, int) and apt in self._private["codecs"]
        if len(packet.payload) < 2 or not is_known or current is None:
            intake.discarded += 1
            return None
        original = repairing.get(packet.ssrc)
        if original is None or (original != current and packet.ssrc not in self._told_repairing):
            # RFC 4588 section 5.3: it belongs to the stream of which it has what was asked for.
            if int.from_bytes(packet.payload[:2], "big") not in intake.missing.missing:
                intake.discarded += 1
                return None
            original = repairing[packet.ssrc] = current
        self._count(packet, codec)
        if original != current:
            intake.discarded += 1
            return None
        return unwrap_rtx(packet, payload_type=int(apt or 0), ssrc=original)

    def _count(self, packet: RtpPacket, codec: RTCRtpCodecParameters) -> None:
        streams: dict[int, StreamStatistics] = self._private["remote_streams"]
        self._private["active_ssrc"][packet.ssrc] = clock.current_datetime()
        if packet.ssrc not in streams:
            if len(streams) >= self.MOST_SOURCES:
                oldest = next(ssrc for ssrc in streams if ssrc != self.source)
                for table in ("remote_streams", "active_ssrc", "lsr", "lsr_time"):
                    self._private[table].pop(oldest, None)
                if oldest not in self._told_repairing:
                    self._private["rtx_ssrc"].pop(oldest, None)
            streams[packet.ssrc] = _Statistics(codec.clockRate)
            self.on_first_packet(self.kind, "in", packet.ssrc)
        streams[packet.ssrc].add(packet)

    async def _estimate(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        """Estimate what the path can take, and tell the sender (REMB)."""
        estimator, sent = self._private["remote_bitrate_estimator"], packet.extensions.abs_send_time
        if sent is None or self.kind != "video":
            return
        if packet.extensions.transport_sequence_number is not None:
            return  # the sender has transport-wide feedback, and REMB would limit its estimate
        if estimator is None:
            estimator = ReceiverEstimate()
            self._private["remote_bitrate_estimator"] = estimator
        told = estimator.add(
            abs_send_time=sent,
            arrival_time_ms=arrival_time_ms,
            payload_size=len(packet.payload) + packet.padding_size,
            ssrc=packet.ssrc,
        )
        own = self._private["rtcp_ssrc"]
        if own is not None and told is not None:
            await self._send_rtcp(
                RtcpPsfbPacket(
                    fmt=rtp.RTCP_PSFB_APP, ssrc=own, media_ssrc=0, fci=pack_remb_fci(*told)
                )
            )

    @property
    def packets_received(self) -> int:
        """Count of packets that came, of the sources that are known."""
        streams: dict[int, StreamStatistics] = self._private["remote_streams"]
        return sum(stream.packets_received for stream in list(streams.values()))

    @property
    def decoded(self) -> int:
        """Count of pictures that were decoded; of audio, whether anything was played."""
        if isinstance(self.decoding, VideoDecoderThread):
            return self.decoding.decoded
        return self.packets_received

    @property
    def is_decoding(self) -> bool:
        """True if what comes is to be decoded: it is read, and there is a decoder for it."""
        return self.decoding is not None and not self.decoding.not_admitted and self.is_read()

    @property
    def packets_discarded(self) -> int:
        """Count of packets that were malformed, or of a source that is not played."""
        undecoded = self.decoding.not_admitted if isinstance(self.decoding, AudioPlayout) else 0
        return self._intake.discarded + undecoded

    @property
    def frames_dropped(self) -> int:
        """Count of pictures that were too late, too large, or never read."""
        undecoded = self.decoding.dropped if isinstance(self.decoding, VideoDecoderThread) else 0
        return undecoded + (self._track.dropped if isinstance(self._track, RemoteTrack) else 0)

    @property
    def audio_stats(self) -> AudioStats | None:
        """Statistics of playout; ``None`` for video, and before the first packet."""
        return self.decoding.stats if isinstance(self.decoding, AudioPlayout) else None

    async def getStats(self) -> RTCStatsReport:
        report = await super().getStats()
        streams: dict[int, StreamStatistics] = self._private["remote_streams"]
        # aiortc writes those of every source under one id.
        for id, stats in list(report.items()):
            if not isinstance(stats, RTCInboundRtpStreamStats):
                continue
            if self.source not in streams:
                del report[id]
                continue
            stats.ssrc, stream = self.source, streams[self.source]
            stats.packetsReceived = stream.packets_received
            stats.packetsLost = stream.packets_lost
            stats.jitter = stream.jitter
        return report
