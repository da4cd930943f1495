"""The receiver of RTP: audio by the clock, pictures that are insisted on, forwarding."""

import asyncio
import logging
import weakref
from typing import Any

from aiortc import MediaStreamTrack, RTCRtpReceiver, RTCStatsReport, rtp
from aiortc.codecs import depayload
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters, RTCRtpReceiveParameters
from aiortc.rtcrtpreceiver import NackGenerator, RemoteStreamTrack
from aiortc.rtp import AnyRtcpPacket, RtcpPsfbPacket, RtcpSrPacket, RtpPacket
from aiortc.stats import RTCInboundRtpStreamStats

from ..receiving.capture import FrameClock
from ..receiving.decoding import AudioDecoding, VideoDecoding
from ..receiving.hearing import AudioStats, Hearing
from ..receiving.origin import Origin
from ..receiving.pictures import Assembly
from ..receiving.remote_track import RemoteTrack
from ..receiving.repair import Repair, Step
from .dtls import DtlsTransport
from .frames import FramesAsQueue

logger = logging.getLogger(__name__)


class _Tap:
    """Stands where the receiver has the queue of its decoder: sees each frame that is whole."""

    def __init__(self, receiver: "TappedReceiver", queue: Any) -> None:
        self.receiver, self.queue = receiver, queue

    def put(self, task: Any) -> None:
        """Take a frame and its codec, or the end."""
        if task is not None and self.receiver.kind == "video":
            codec, frame = task
            if not self.receiver.origin.take(codec, frame.data, frame.timestamp):
                return
        self.queue.put(task)

    def get(self) -> Any:
        """Wait for the next one, in the decoder's thread."""
        return self.queue.get()


class TappedReceiver(RTCRtpReceiver):
    """``RTCRtpReceiver`` that hands on what it receives before it is decoded.

    Pictures are whole and in order; audio comes as it arrives.
    """

    origin: Origin
    """Where it goes."""

    def tap(self) -> None:
        """Begin to hand on."""
        self.origin = Origin(self.ask_for_key_frame, self.is_read)
        _receivers.add(self)

    def is_read(self) -> bool:
        """Whether anybody reads what is decoded."""
        return True

    @property
    def kind(self) -> str:
        """``audio`` or ``video``."""
        kind: str = getattr(self, "_RTCRtpReceiver__kind")  # noqa: B009
        return kind

    @property
    def _RTCRtpReceiver__decoder_queue(self) -> _Tap:
        return _Tap(self, vars(self)["_RTCRtpReceiver__decoder_queue"])

    @_RTCRtpReceiver__decoder_queue.setter
    def _RTCRtpReceiver__decoder_queue(self, queue: Any) -> None:
        vars(self)["_RTCRtpReceiver__decoder_queue"] = queue

    @property
    def _RTCRtpReceiver__decoder_thread(self) -> Any:
        return vars(self)["_RTCRtpReceiver__decoder_thread"]

    @_RTCRtpReceiver__decoder_thread.setter
    def _RTCRtpReceiver__decoder_thread(self, thread: Any) -> None:
        vars(self)["_RTCRtpReceiver__decoder_thread"] = thread
        if thread is None:
            self.origin.end()

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        if self.kind == "audio" and self.origin.is_forwarded:
            codec = getattr(self, "_RTCRtpReceiver__codecs").get(packet.payload_type)  # noqa: B009
            if codec is not None and packet.payload:
                self.origin.take_sound(codec, packet.payload, packet.timestamp)
        await super()._handle_rtp_packet(packet, arrival_time_ms)

    def ask_for_key_frame(self) -> None:
        """Send a PLI (RFC 4585 section 6.3.1), if anything was received yet."""
        own = getattr(self, "_RTCRtpReceiver__rtcp_ssrc")  # noqa: B009
        repairing = getattr(self, "_RTCRtpReceiver__rtx_ssrc")  # noqa: B009
        streams = getattr(self, "_RTCRtpReceiver__remote_streams")  # noqa: B009
        media = [ssrc for ssrc in streams if ssrc not in repairing]
        if own is None or not media or not isinstance(self.transport, DtlsTransport):
            return
        request = RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=own, media_ssrc=media[-1])
        try:
            self.transport.send_control(bytes(request))
        except ConnectionError:
            logger.debug("receiver.pli.dropped reason=closed")


_receivers: weakref.WeakSet[TappedReceiver] = weakref.WeakSet()


def origin_of(track: MediaStreamTrack) -> Origin | None:
    """Return where a remote track comes from; ``None`` if it is no remote track of ours."""
    return next((r.origin for r in _receivers if r.track is track), None)


class _Intake:
    """Stands where aiortc has its jitter buffer, and its numbering of pictures."""

    def __init__(self, receiver: "Receiver") -> None:
        self.receiver = receiver
        self.clock = FrameClock(90000)
        self.ssrc = 0
        self.assembly: Assembly[RTCRtpCodecParameters] = Assembly()

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; of video, the pictures that are whole then go to their decoder."""
        codec = self.receiver._hidden("codecs")[packet.payload_type]
        decoding = self.receiver.decoding
        if isinstance(decoding, AudioDecoding):
            decoding.put(codec, packet)
            return False, None
        data = depayload(codec, packet.payload) if packet.payload else b""
        given_up = self.assembly.put(
            packet.sequence_number, packet.timestamp, data, codec, is_last=bool(packet.marker)
        )
        while (picture := self.assembly.take()) is not None:
            if self.receiver._hidden("decoder_thread") is not None:
                frame = JitterFrame(picture.data, self.map(picture.timestamp))
                self.receiver._hidden("decoder_queue").put((picture.codec, frame))
        return given_up, None

    def map(self, timestamp: int) -> int:
        """Number a picture."""
        pts = self.clock.pts(asyncio.get_running_loop().time(), self.ssrc, timestamp)
        track = self.receiver._track
        if isinstance(track, RemoteTrack):
            track.times.note(pts, 90000, self.ssrc, timestamp, 90000)
        return pts


class Receiver(TappedReceiver):
    """``RTCRtpReceiver`` that plays audio by the clock, and insists on lost pictures.

    aiortc's audio stands still for 300 ms where a packet is lost, and is late for ever after. Its
    queues grow where nobody reads, and the event loop waits for its threads. It writes the
    statistics of every stream under one id: retransmissions (RFC 4588) hide what they repair.
    """

    CLOSE_TIMEOUT = 1.0
    """Seconds to wait at most for a decoder that is at something."""
    _repair: Repair | None = None
    decoding: AudioDecoding | VideoDecoding | None = None
    """The thread, once there is one."""
    _intake: _Intake
    _mutes: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Take the place of aiortc's."""
        self._intake = _Intake(self)
        self._set_hidden("timestamp_mapper", self._intake)

    def is_read(self) -> bool:
        return not (isinstance(self._track, RemoteTrack) and self._track.frames.is_forsaken)

    def _hidden(self, name: str) -> Any:
        return getattr(self, f"_RTCRtpReceiver__{name}")

    def _set_hidden(self, name: str, value: Any) -> None:
        setattr(self, f"_RTCRtpReceiver__{name}", value)

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
    def _RTCRtpReceiver__jitter_buffer(self) -> _Intake:
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
        if returns and self._hidden("started") and isinstance(self._track, RemoteTrack):
            self._begin_anew(self._track)

    def _begin_anew(self, track: RemoteTrack) -> None:
        """Forget what came before packets were left out: nobody wants pictures of that time."""
        track.frames.clear()
        if track.kind == "video":
            self._intake.assembly = Assembly()
            self._set_hidden("nack_generator", NackGenerator())
            self._repair = None
            self.origin.interrupted()

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        track = self._track
        if self._hidden("started") or not isinstance(track, RemoteTrack):
            return
        codecs: dict[int | None, RTCRtpCodecParameters] = self._hidden("codecs")
        codecs.update((codec.payloadType, codec) for codec in parameters.codecs)
        self._hidden("rtx_ssrc").update(
            (encoding.rtx.ssrc, encoding.ssrc) for encoding in parameters.encodings if encoding.rtx
        )
        if track.kind == "audio":
            self.decoding = AudioDecoding(track.frames, Hearing(track.times))
        else:
            track.frames.on_return = self.origin.read_again
            self.decoding = VideoDecoding(track.frames, self._hidden("decoder_error").set)
            self._set_hidden("decoder_queue", self.decoding)
            self._set_hidden("decoder_thread", self.decoding)
        self.transport._register_rtp_receiver(self, parameters)
        self._set_hidden("rtcp_task", asyncio.ensure_future(self._run_rtcp()))
        self._set_hidden("started", True)

    def _RTCRtpReceiver__stop_decoder(self) -> None:
        if self.decoding is not None:
            self.decoding.close()
        self._set_hidden("decoder_thread", None)

    def directed(self) -> None:
        """Note that the negotiated direction may be another one."""
        track = self._track
        if isinstance(track, RemoteTrack) and not self._enabled and track.muting.stopped():
            track.emit("mute")

    def _arrived(self, packet: RtpPacket) -> None:
        track = self._track
        # Neither padding nor what is sent again tells that the sender has something to send.
        is_media = packet.payload and packet.ssrc not in self._hidden("rtx_ssrc")
        if not isinstance(track, RemoteTrack) or not self._enabled or not is_media:
            return
        if track.muting.arrived(asyncio.get_running_loop().time()):
            track.emit("unmute")
        if self._mutes is None:
            self._look_whether_muted(track)

    def _look_whether_muted(self, track: RemoteTrack) -> None:
        self._mutes = None
        loop = asyncio.get_running_loop()
        if track.muting.look(loop.time()):
            track.emit("mute")
        if not track.muted:
            self._mutes = loop.call_at(track.muting.due, self._look_whether_muted, track)

    async def stop(self) -> None:
        if self._mutes is not None:
            self._mutes.cancel()
        await super().stop()
        if self.decoding is not None:
            await self.decoding.closed(self.CLOSE_TIMEOUT)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        await super()._handle_rtcp_packet(packet)
        if isinstance(packet, RtcpSrPacket) and isinstance(self._track, RemoteTrack):
            sent = packet.sender_info
            self._track.times.report(packet.ssrc, sent.ntp_timestamp, sent.rtp_timestamp)

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        original = self._hidden("rtx_ssrc").get(packet.ssrc, packet.ssrc)
        self._intake.ssrc = original
        self._arrived(packet)
        await super()._handle_rtp_packet(packet, arrival_time_ms)
        nacks, assembly = self._hidden("nack_generator"), self._intake.assembly
        if not self._enabled or nacks is None or nacks.max_seq is None:
            return  # audio, or nothing yet
        if self._repair is None:
            self._repair = Repair()
        now = asyncio.get_running_loop().time()
        match self._repair.look(now, assembly.first, has_gap=assembly.has_gap):
            case Step.ASK_AGAIN if nacks.missing:
                await self._send_rtcp_nack(original, sorted(nacks.missing))
            case Step.SKIP:
                assembly.skip()
                nacks.missing.clear()
                await self._send_rtcp_pli(original)
            case Step.ASK_FOR_KEY_FRAME:
                await self._send_rtcp_pli(original)

    @property
    def frames_dropped(self) -> int:
        """How many pictures were not decoded, or not read, for want of time."""
        undecoded = self.decoding.dropped if isinstance(self.decoding, VideoDecoding) else 0
        return undecoded + (self._track.dropped if isinstance(self._track, RemoteTrack) else 0)

    @property
    def audio_stats(self) -> AudioStats | None:
        """What was heard so far; ``None`` for video, and before anything is received."""
        return self.decoding.stats if isinstance(self.decoding, AudioDecoding) else None

    async def getStats(self) -> RTCStatsReport:
        report = await super().getStats()
        streams, repairing = self._hidden("remote_streams"), self._hidden("rtx_ssrc")
        media = [ssrc for ssrc in streams if ssrc not in repairing]
        for id, stats in list(report.items()):
            if not isinstance(stats, RTCInboundRtpStreamStats) or stats.ssrc not in repairing:
                continue
            if not media:
                del report[id]
                continue
            stats.ssrc, stream = media[-1], streams[media[-1]]
            stats.packetsReceived = stream.packets_received
            stats.packetsLost = stream.packets_lost
            stats.jitter = stream.jitter
        return report
