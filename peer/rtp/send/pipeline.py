"""Send pipeline of one sender: read the track, encode, packetize, pace and retransmit.

The sender in ``_aiortc`` owns one :class:`SendPipeline` and passes the peer's feedback to it. Raw
frames are encoded in a thread of the event loop's executor; packets of encoded tracks are sent
without encoding. A frame that cannot be sent is reported, and the next one is tried.
"""

import time
from collections.abc import Callable, Sequence
from logging import Logger
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av import VideoFrame
from av.packet import Packet

from icefloe.encoding import (
    EncodingError,
    KeyFrameRequests,
    Refusals,
    VideoEncoder,
    encoded,
)
from icefloe.encoding.packing import Packer
from icefloe.logs import get_logger

from ..errors import TrackNotSent
from .audio_sender import AudioSender
from .congestion_controller import CongestionController
from .encoded_track import EncodedTrack, codec_name
from .frame_selection import FrameSelection
from .opus_fec import OpusFec
from .packet_sender import PacketSender
from .parameters import RTCRtpEncodingParameters
from .rtp_stream import RtpStream
from .sender_encoder import SenderEncoder, encode_video
from .timestamps import capture_time
from .track_reader import TrackFailed, TrackReader

_MAX_PAYLOAD = 1300
"""Maximum bytes of a payload: with all headers it fits into SRTP's buffer of 1500 bytes."""

_MAX_REPORTED = 16
"""Maximum different reasons reported for frames of one track that cannot be sent. All such frames
are counted."""

logger: Logger = get_logger(__name__)


class SendPipeline:
    """The outgoing stream of one sender.

    Args:
        kind: ``"audio"`` or ``"video"``.
        stream: The RTP stream.
        controller: Returns the congestion controller of the transport; raises ``ConnectionError``
            once there is none.
        is_enabled: Returns whether the negotiated direction includes sending.
        on_sent: Called after packets were sent or queued.
        report: Called once for each different reason why media of a track cannot be sent.

    Attributes:
        encoding: The limits set by the application.
        selection: Decides which video frames are encoded, and in which size.
        packets: Sends the packets of the stream.
        frames: Frames sent.
        key_frames: Key frames sent.
        frames_encoded: Video frames encoded here, for this peer alone.
        requests: Key-frame requests of the peer, by ``"pli"`` and by ``"fir"``.
        nacks: NACKs of the peer.
        implementation: The encoder of the latest frame, as FFmpeg names it; empty if unknown.
        refused: Counter of the frames and packets of its tracks that could not be sent.
    """

    def __init__(
        self,
        kind: str,
        stream: RtpStream,
        controller: Callable[[], CongestionController],
        is_enabled: Callable[[], bool],
        on_sent: Callable[[], None] = lambda: None,
        report: Callable[[TrackNotSent], None] = lambda error: None,
    ) -> None:
        self.encoding: RTCRtpEncodingParameters = RTCRtpEncodingParameters()
        self.packets: PacketSender = PacketSender(kind, stream, controller, on_sent)
        self.packets.on_bitrate = self._on_bitrate
        self.packets.wanted = self._wanted_bitrate
        self.frames: int = 0
        self.key_frames: int = 0
        self.frames_encoded: int = 0
        self.requests: dict[str, int] = {"pli": 0, "fir": 0}
        self.nacks: int = 0
        self.refused: Refusals = Refusals(f"sending {kind}")
        self.implementation: str = ""
        self.report = report
        self.stream = stream
        self._kind, self._is_enabled = kind, is_enabled
        self._reader = TrackReader(
            self._read, lambda track, error: self._refuse(track, f"sending ended: {error!r}", error)
        )
        self._encoder = SenderEncoder(kind)
        self._audio = AudioSender(self._encoder, self._may_send, self._send_packet)
        self._codecs: list[RTCRtpCodecParameters] = []
        self._packers: dict[str, Packer] = {}
        self._key_frame = KeyFrameRequests()
        self.selection: FrameSelection = FrameSelection()
        self._fec = OpusFec()
        self._is_sending = False
        self._reported: set[str] = set()

    def configure(
        self,
        codecs: Sequence[RTCRtpCodecParameters],
        extensions: Sequence[tuple[str, int]],
        mid: str,
    ) -> None:
        """Set the negotiated codecs, most preferred first, and header extensions.

        Args:
            codecs: The codecs, including RTX.
            extensions: Pairs of URI and id.
            mid: MID of the media section.
        """
        media = [codec for codec in codecs if not is_rtx(codec)]
        if self._codecs and media[:1] != self._codecs[:1]:
            self._encoder.discard()
        self._codecs = media
        if media:
            self._encoder.codec = media[0].name
        self.packets.rtx_types = {
            apt: codec.payloadType
            for codec in codecs
            if is_rtx(codec) and codec.payloadType is not None
            if isinstance(apt := codec.parameters.get("apt"), int)
        }
        self.stream.configure(extensions, mid)
        if isinstance(track := self._reader.track, EncodedTrack):
            track.use(self._codecs)

    def replace_track(self, track: MediaStreamTrack | None) -> None:
        """Send another track, or none, from now on."""
        if track is self._reader.track:
            return
        self.packets.restart_timestamps()
        self._reader.replace(track)

    def set_limits(self, encoding: RTCRtpEncodingParameters) -> None:
        """Set limits, effective from the next frame on."""
        if encoding.active and not self.encoding.active:
            self.request_key_frame()
        self.encoding = encoding
        self.packets.bitrate.maximum = encoding.maxBitrate
        self.packets.priority = encoding.priority
        self.packets.reallocate()
        self._give_feedback()

    def on_key_frame_request(self, feedback: str) -> None:
        """Process a ``"pli"`` (RFC 4585) or ``"fir"`` (RFC 5104) of the peer."""
        self.requests[feedback] += 1
        self.request_key_frame()

    def request_key_frame(self) -> None:
        """Have the encoder or the encoded track produce a key frame soon."""
        self._key_frame.ask()
        if isinstance(track := self._reader.track, EncodedTrack):
            track.request_key_frame()

    def on_estimate(self, bitrate: int) -> None:
        """Process the peer's REMB, in bits per second."""
        sent = self.packets.measured_bitrate()
        self.packets.bitrate.control.on_estimate(bitrate, sent, time.monotonic())
        self._give_feedback()

    def on_receiver_report(self, loss: float, rtt: float | None) -> None:
        """Process a receiver report (RFC 3550 section 6.4.2).

        Args:
            loss: Fraction of packets lost since the previous report, 0 to 1.
            rtt: Round-trip time in seconds, or ``None``.
        """
        now = time.monotonic()
        sent = self.packets.measured_bitrate()
        self.packets.bitrate.control.on_report(loss, rtt, sent, now)
        self._encoder.expect_loss(self._fec.report(now, loss))
        self._give_feedback()

    def on_nack(self, numbers: Sequence[int]) -> None:
        """Retransmit packets.

        Args:
            numbers: Their sequence numbers.

        Raises:
            ConnectionError: The transport was closed.
        """
        self.nacks += 1
        self.packets.retransmit(numbers)

    async def run(self) -> None:
        """Send the current track and its replacements until the transport is closed.

        Cancellation: safe; it ends sending for good.
        """
        try:
            await self._reader.run()
        except ConnectionError:
            logger.debug("sender.end kind=%s reason=transport", self._kind)
        finally:
            self._encoder.discard()
            self.packets.close()
            self._reader.end()
            # It refers back here: without a cycle all is given back at once.
            self._audio.close()

    def end(self) -> None:
        """Release the track, even if it was never sent; see :meth:`TrackReader.end`."""
        self._reader.end()

    async def _read(self, track: MediaStreamTrack) -> None:
        if isinstance(track, EncodedTrack):
            track.use(self._codecs)
            track.request_key_frame()
            self._give_feedback()
        self._key_frame.ask()
        self._reported.clear()
        if self._encoder.is_audio:
            (await self._encoder.idle()).anew()
        while True:
            try:
                data: Any = await self._audio.next(track)
                if not self._may_send():
                    self._is_sending = False
                    continue
                if not self._is_sending:
                    self._is_sending = True
                    self.request_key_frame()
                await self._send_data(track, data)
            except MediaStreamError:
                await self._audio.finish(track)
                return
            except TrackFailed as failure:
                cause = failure.__cause__
                self._refuse(track, f"recv() raised {cause!r}; the track is taken as ended", cause)
                return
            except EncodingError as error:
                self._refuse(track, str(error), error)
            except ConnectionError:
                raise
            except Exception as error:
                # The following frames may still be encoded, by another encoder.
                self._encoder.discard()
                self._refuse(track, f"a frame could not be encoded: {error!r}", error)

    def _may_send(self) -> bool:
        if self._is_enabled() and self.encoding.active and self._codecs:
            return True
        if (encoder := self._encoder.idle_audio) is not None:
            encoder.queue.clear()
        return False

    async def _send_data(self, track: MediaStreamTrack, data: Any) -> None:
        if isinstance(data, Packet):
            if getattr(track, "enabled", True):
                self._send_packet(track, data)
            else:
                self._is_sending = False  # request a key frame once the track is enabled
        elif self._kind == "audio":
            await self._audio.send(data, track)
        elif isinstance(data, VideoFrame):
            await self._send_frame(track, data)
        else:
            name = type(data).__name__
            self._refuse(track, f"recv() returned {name}; a video track returns av.VideoFrame")

    def _refuse(
        self, track: MediaStreamTrack, reason: str, cause: BaseException | None = None
    ) -> None:
        """Count media that cannot be sent, and report each reason once."""
        error = TrackNotSent(track, reason)
        error.__cause__ = cause
        self.refused.note(error)
        if reason not in self._reported and len(self._reported) < _MAX_REPORTED:
            self._reported.add(reason)
            self.report(error)

    def _send_packet(
        self, track: MediaStreamTrack, packet: "Packet[Any]", timestamp: int | None = None
    ) -> None:
        known, now = encoded(packet), time.monotonic()
        codec = self._codecs[0]
        if (name := codec_name(packet)) is not None:
            same = (c for c in self._codecs if c.name.lower() == name.lower())
            codec = next(same, codec)
            if codec.name.lower() != name.lower():
                names = ", ".join(c.name for c in self._codecs)
                self._refuse(
                    track,
                    f"its codec {name} was not negotiated, only {names}; "
                    "prefer it with setCodecPreferences() before the offer",
                )
                return
        level = None
        if known is not None and known.payloads:
            level = known.level
            payloads: Sequence[bytes] = known.payloads
            self.packets.frame_size = known.width, known.height
            self.implementation = known.implementation
            is_key, at = known.is_key_frame, capture_time(known.received_at, now)
        else:
            packer = self._packers.setdefault(codec.name, Packer(codec.name))
            payloads, is_key, at = packer.pack(bytes(packet)), packet.is_keyframe, now
        if timestamp is None:
            times = self.packets.timestamps(codec)
            timestamp = times.for_packet(packet, codec.name, payloads, at)
        size = max(map(len, payloads), default=0)
        if not 0 < size <= _MAX_PAYLOAD:
            has = f"more than {_MAX_PAYLOAD} bytes" if size else "no bytes"
            self._refuse(track, f"a packet of {codec.name} has {has}, which no RTP packet carries")
            return
        self.frames += 1
        self.key_frames += is_key
        self.packets.send(codec, payloads, timestamp, taken_at=at, level=level)

    async def _send_frame(self, track: MediaStreamTrack, frame: VideoFrame) -> None:
        now = time.monotonic()
        codec = self._codecs[0]
        at = self.packets.timestamps(codec).for_frame(frame, now)
        hint = getattr(self._reader.track, "contentHint", "")
        self.selection.look_at(frame, at / codec.clockRate, self.encoding)
        self.packets.source_size = self.selection.size
        has_room = self.packets.may_encode()
        bitrate = self.packets.bitrate.target(now)
        selected = self.selection.select(
            frame,
            at / codec.clockRate,
            now,
            encoding=self.encoding,
            bitrate=bitrate,
            content_hint=hint,
            is_muted=not getattr(track, "enabled", True),
            has_room=has_room,
        )
        if selected is None:
            return
        encoder: VideoEncoder = await self._encoder.idle()
        key = self._key_frame.due(now)
        encoder.content_hint, encoder.bitrate = hint, bitrate
        packets = await self._encoder.run(
            encode_video, encoder, selected.frame, at, key, selected.scale
        )
        self.frames_encoded += 1
        for packet in packets:
            known = encoded(packet)
            assert known is not None
            known.received_at = now
            if known.is_key_frame:
                self._key_frame.made(now)
            self._send_packet(track, packet, packet.pts)

    def _on_bitrate(self) -> None:
        if self._kind == "audio":
            self._encoder.limit_bitrate(self.packets.bitrate.allocated)
        self._give_feedback()

    def _wanted_bitrate(self) -> float | None:
        """Return the bits per second that an encoded track can use; ``None`` if unknown."""
        wanted = getattr(self._reader.track, "wanted_bitrate", None)
        return wanted if isinstance(wanted, (int, float)) and wanted > 0 else None

    def _give_feedback(self) -> None:
        if isinstance(track := self._reader.track, EncodedTrack):
            control, target = self.packets.bitrate.control, self.packets.target_bitrate()
            track.feedback(bitrate=target, loss=control.loss, rtt=control.rtt)
