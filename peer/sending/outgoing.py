"""What a sender does with its track: read, encode, number, send, repair.

The sender of ``_aiortc`` holds one of these and hands it what the other side says. Raw frames
are encoded in a thread of the event loop's executor; encoded ones are sent as they come.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.codecs import get_encoder, is_rtx
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import compute_audio_level_dbov
from av import AudioFrame, VideoFrame
from av.packet import Packet

from icefloe.encoding import KeyFrameRequests, VideoEncoder, default_bitrate, encoded
from icefloe.encoding.packing import Packer

from ..receiving.redundancy import OpusEncoder, Redundancy
from .blank import nothing_like
from .encoded import EncodedTrack
from .frame_rate import FrameRateLimit
from .pacing import PacedSending
from .parameters import RTCRtpEncodingParameters
from .rates import RateControl
from .rtp import RtpStream, ntp_time
from .timestamps import Timestamps, taken

_BLACK_EVERY = 1.0
"""Seconds between the black pictures of a track that is not enabled (W3C mediacapture-main 4.3)."""

_SHORT, _WINDOW = 0.25, 1.5
"""Seconds over which what is sent is measured, at least and about."""

_UNKNOWN_SIZE = 1280, 720
"""Pixels of pictures that came encoded, by which their rate is guessed before it is measured."""

logger = logging.getLogger(__name__)


class Outgoing:
    """The outgoing stream of one sender.

    Args:
        kind: ``"audio"`` or ``"video"``.
        stream: The RTP stream.
        transmit: Sends packets at once; raises ``ConnectionError`` when that is over for good.
        is_enabled: Whether the negotiated direction has this side send.

    Attributes:
        encoding: The limits that the application set.
        control: What the peer can take.
        frames: How many were sent.
        key_frames: How many of them were key frames.
        frames_encoded: How many were encoded here, for this peer alone.
        requests: How often the peer asked for key frames, by ``"pli"`` and by ``"fir"``.
        nacks: How often it asked for lost packets.
        width: Pixels of the latest picture.
        height: Likewise.
        implementation: What encoded it.
    """

    def __init__(
        self,
        kind: str,
        stream: RtpStream,
        transmit: Callable[[list[bytes]], None],
        is_enabled: Callable[[], bool],
    ) -> None:
        self.encoding = RTCRtpEncodingParameters()
        self.control = RateControl()
        self.frames = self.key_frames = self.frames_encoded = 0
        self.requests = {"pli": 0, "fir": 0}
        self.nacks = 0
        self.width = self.height = 0
        self.implementation = ""
        self.stream = stream
        self.reported: tuple[int, int] = (0, 0)
        """NTP time and RTP timestamp of the latest frame, for sender reports (RFC 3550 6.4.1)."""
        self._kind = kind
        self._transmit = transmit
        self._paced = PacedSending(transmit)
        self._is_enabled = is_enabled
        self._track: MediaStreamTrack | None = None
        self._codecs: list[RTCRtpCodecParameters] = []
        self._rtx: dict[int, int] = {}
        self._timestamps: Timestamps | None = None
        self._fed = 0
        """Samples that were given to the encoder."""
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._encoder: Any = None
        self._encodes: asyncio.Future[Any] | None = None
        self._packers: dict[str, Packer] = {}
        self._key_frame = KeyFrameRequests()
        self._rate_limit = FrameRateLimit()
        self._redundancy = Redundancy()
        self._black_at = 0.0
        self._sends = False
        self._last_type: int | None = None
        self._refused: str | None = None
        self._measured = deque([(time.monotonic(), 0)])

    # --- what it is told

    def negotiated(
        self,
        codecs: Sequence[RTCRtpCodecParameters],
        extensions: Sequence[tuple[str, int]],
        mid: str,
    ) -> None:
        """Take note of what both sides know: codecs, the preferred first, and extensions."""
        media = [codec for codec in codecs if not is_rtx(codec)]
        if self._codecs and media[:1] != self._codecs[:1]:
            self._encoder = None
        self._codecs = media
        self._rtx = {
            apt: codec.payloadType
            for codec in codecs
            if is_rtx(codec) and codec.payloadType is not None
            if isinstance(apt := codec.parameters.get("apt"), int)
        }
        self.stream.configure(extensions, mid)
        if isinstance(self._track, EncodedTrack):
            self._track.use(self._codecs)

    def replace(self, track: MediaStreamTrack | None) -> None:
        """Send another track, or none, from now on."""
        if track is self._track:
            return
        self._track = track
        if self._timestamps is not None:
            self._timestamps.anew()
        if self._reading is not None:
            self._reading.cancel()
        self._changed.set()

    def limit(self, encoding: RTCRtpEncodingParameters) -> None:
        """Set limits; they hold from the next picture on."""
        if encoding.active and not self.encoding.active:
            self.key_frame_wanted()
        self.encoding = encoding
        self._feed_back()

    def asked_for_key_frame(self, how: str) -> None:
        """Take a request of the peer's: ``"pli"`` or ``"fir"`` (RFC 4585, RFC 5104)."""
        self.requests[how] += 1
        self.key_frame_wanted()

    def key_frame_wanted(self) -> None:
        """Have a key frame sent soon."""
        self._key_frame.ask()
        if isinstance(self._track, EncodedTrack):
            self._track.request_key_frame()

    def estimated(self, bitrate: int) -> None:
        """Take the peer's estimate of what it can receive, in bits a second (REMB)."""
        self.control.on_estimate(bitrate, self.sent_bitrate(), time.monotonic())
        self._feed_back()

    def reported_on(self, loss: float, rtt: float | None) -> None:
        """Take the peer's report (RFC 3550 section 6.4.2): the part lost, and seconds."""
        now = time.monotonic()
        self.control.on_report(loss, rtt, self.sent_bitrate(), now)
        expected = self._redundancy.report(now, loss)
        if isinstance(self._encoder, OpusEncoder):
            self._encoder.expected_loss = expected
        self._feed_back()

    def lacks(self, numbers: Sequence[int]) -> None:
        """Send packets again.

        Raises:
            ConnectionError: It is over.
        """
        self.nacks += 1
        rtx = self._rtx.get(self._last_type) if self._last_type is not None else None
        if packets := self.stream.again(numbers, rtx_type=rtx, ntp=ntp_time()):
            self._leave(packets, again=True)

    # --- what it does

    async def run(self) -> None:
        """Send until cancelled, or until the transport is closed; tracks may come and go."""
        try:
            while True:
                self._changed.clear()
                if self._track is not None:
                    await self._read_until_replaced(self._track)
                await self._changed.wait()
        except ConnectionError:
            logger.debug("sender.end kind=%s reason=transport", self._kind)
        finally:
            self._encoder = None
            self._paced.close()
            if getattr(self._track, "ends_with_sender", False) and self._track is not None:
                self._track.stop()

    async def _read_until_replaced(self, track: MediaStreamTrack) -> None:
        name = f"send {track.kind} {track.id}"
        self._reading = asyncio.get_running_loop().create_task(self._read(track), name=name)
        try:
            await asyncio.wait((self._reading,))
        finally:
            self._reading.cancel()
            await asyncio.wait((self._reading,))
        if self._reading.cancelled():
            return
        match self._reading.exception():
            case None:
                pass
            case ConnectionError() as error:
                raise error
            case error:
                logger.error("track %s cannot be sent: %r", track.id, error, exc_info=error)

    async def _read(self, track: MediaStreamTrack) -> None:
        if isinstance(track, EncodedTrack):
            track.use(self._codecs)
            track.request_key_frame()
            self._feed_back()
        self._key_frame.ask()
        while True:
            try:
                data: Any = await track.recv()
            except MediaStreamError:
                return
            except Exception:
                logger.exception("track %s broke and is taken as ended", track.id)
                return
            if not self._is_enabled() or not self.encoding.active or not self._codecs:
                self._sends = False
                continue
            if not self._sends:
                self._sends = True
                self.key_frame_wanted()
            if isinstance(data, Packet):
                if getattr(track, "enabled", True):
                    self._send_packet(data)
                else:
                    self._sends = False  # it goes on with a key frame
            else:
                await self._send_frame(data, is_muted=not getattr(track, "enabled", True))

    def _send_packet(self, packet: "Packet[Any]", timestamp: int | None = None) -> None:
        known, now = encoded(packet), time.monotonic()
        codec = self._codecs[0]
        if known is not None:
            same = (c for c in self._codecs if c.name.lower() == known.codec.lower())
            codec = next(same, codec)
            if codec.name.lower() != known.codec.lower():
                self._refuse(known.codec)
                return
            payloads: Sequence[bytes] = known.payloads
            self.width, self.height = known.width, known.height
            self.implementation = known.implementation
            is_key, at = known.is_key_frame, taken(known.received_at, now)
        else:
            packer = self._packers.setdefault(codec.name, Packer(codec.name))
            payloads, is_key, at = packer.pack(bytes(packet)), packet.is_keyframe, now
        if timestamp is None:
            timestamp = self._times(codec).of_packet(packet, codec.name, payloads, at)
        self._send(codec, payloads, timestamp, taken_at=at, is_key=is_key)

    def _refuse(self, codec: str) -> None:
        if self._refused != codec:
            self._refused = codec
            names = ", ".join(c.name for c in self._codecs)
            logger.warning(
                "a track gives %s, of which the peer takes none, only %s; "
                "prefer it with setCodecPreferences() before the offer",
                codec,
                names,
            )

    async def _send_frame(self, frame: VideoFrame | AudioFrame, *, is_muted: bool) -> None:
        now = time.monotonic()
        codec = self._codecs[0]
        times = self._times(codec)
        if isinstance(frame, AudioFrame):
            at = times.of_sound(frame, now)
        else:
            at = times.of_picture(frame, now)
            if not self._rate_limit.takes(at / codec.clockRate, self.encoding.maxFramerate):
                return
            if is_muted and now - self._black_at < _BLACK_EVERY:
                return
        if is_muted:
            frame, self._black_at = nothing_like(frame), now
        else:
            self._black_at = 0.0
        if self._encodes is not None and not self._encodes.done():
            # The reader before this one was cancelled; encoders are no two threads' business.
            await asyncio.wait((self._encodes,))
        if self._encoder is None:
            self._encoder = self._make_encoder(codec)
        loop = asyncio.get_running_loop()
        if isinstance(frame, VideoFrame):
            key = self._key_frame.due(now)
            encoder: VideoEncoder = self._encoder
            encoder.content_hint = getattr(self._track, "contentHint", "")
            encoder.bitrate = self._bound(self.control.bitrate(now))
            self._encodes = loop.run_in_executor(
                None, _encode_video, encoder, frame, at, key, self.encoding.scaleResolutionDownBy
            )
            packets = await asyncio.shield(self._encodes)
            self.frames_encoded += 1
            for packet in packets:
                known = encoded(packet)
                assert known is not None
                known.received_at = now
                if known.is_key_frame:
                    self._key_frame.made(now)
                self._send_packet(packet, packet.pts)
        else:
            self._encodes = loop.run_in_executor(
                None, _encode_audio, self._encoder, frame, self._fed
            )
            self._fed += frame.samples
            payloads, level = await asyncio.shield(self._encodes)
            if payloads:
                self._send(codec, payloads, at, taken_at=now, level=level)

    def _make_encoder(self, codec: RTCRtpCodecParameters) -> Any:
        if self._kind == "video":
            return VideoEncoder(codec.name)
        if codec.name.lower() == "opus":
            encoder = OpusEncoder()
            encoder.expected_loss = self._redundancy.level
            return encoder
        return get_encoder(codec)

    def _send(
        self,
        codec: RTCRtpCodecParameters,
        payloads: Sequence[bytes],
        timestamp: int,
        *,
        taken_at: float,
        is_key: bool = False,
        level: int | None = None,
    ) -> None:
        assert codec.payloadType is not None
        now, ntp = time.monotonic(), ntp_time()
        age = self._times(codec).age(timestamp, taken_at, now)
        timestamp &= 0xFFFFFFFF
        packets = self.stream.packets_of(
            payloads, payload_type=codec.payloadType, timestamp=timestamp, ntp=ntp, level=level
        )
        self._last_type = codec.payloadType
        if now - self._measured[-1][0] > _SHORT:
            self._measured.append((now, self.stream.octets))
            while now - self._measured[1][0] > _WINDOW:
                self._measured.popleft()
        self.reported = (ntp - int(age * (1 << 32)), timestamp)
        self.frames += 1
        self.key_frames += is_key
        self._leave(packets)

    def _times(self, codec: RTCRtpCodecParameters) -> Timestamps:
        if self._timestamps is None or self._timestamps.clock_rate != codec.clockRate:
            self._timestamps = Timestamps(self._kind, codec.clockRate)
        return self._timestamps

    def _leave(self, packets: list[bytes], *, again: bool = False) -> None:
        if self._kind == "audio":
            self._transmit(packets)
        else:
            self._paced.send(
                packets, stamp_at=self.stream.stamp_at, bitrate=self._expected(), again=again
            )

    # --- rates

    def sent_bitrate(self) -> float | None:
        """Return the bits a second that were sent of late, once that is known."""
        (then, before), now = self._measured[0], time.monotonic()
        return (self.stream.octets - before) * 8 / (now - then) if now - then > _SHORT else None

    def _bound(self, bitrate: int | None) -> int | None:
        most = self.encoding.maxBitrate
        if bitrate is None or most is None:
            return bitrate or most
        return min(bitrate, most)

    def target_bitrate(self) -> int | None:
        """Return the bits a second that are aimed at; ``None`` is what the size is worth."""
        return self._bound(self.control.bitrate(time.monotonic()))

    def _expected(self) -> float:
        """Return the bits a second that are aimed at, or sent, where those are more."""
        target = self.target_bitrate()
        if target is None:
            target = default_bitrate(*((self.width, self.height) if self.width else _UNKNOWN_SIZE))
        return max(target, self.sent_bitrate() or 0.0)

    @property
    def send_delay(self) -> float:
        """Seconds that packets have waited to be sent, of all together."""
        return self._paced.pacer.delay

    def _feed_back(self) -> None:
        if isinstance(self._track, EncodedTrack):
            self._track.feedback(
                bitrate=self.target_bitrate(), loss=self.control.loss, rtt=self.control.rtt
            )


def _encode_video(
    encoder: VideoEncoder, frame: VideoFrame, at: int, key: bool, scale: float
) -> list["Packet[Any]"]:
    return encoder.encode(frame, at=at, key_frame=key, scale_down_by=scale)


def _encode_audio(encoder: Any, frame: AudioFrame, fed: int) -> tuple[list[bytes], int]:
    level = -compute_audio_level_dbov(frame)
    # aiortc's encoder fills up what it takes for a gap, and fails where there is no time.
    counted = AudioFrame(frame.format.name, frame.layout.name, frame.samples)
    for plane, source in zip(counted.planes, frame.planes, strict=True):
        plane.update(bytes(source)[: plane.buffer_size].ljust(plane.buffer_size, b"\0"))
    counted.sample_rate, counted.pts = frame.sample_rate, fed
    counted.time_base = Fraction(1, frame.sample_rate)
    payloads, _ = encoder.encode(counted)
    return payloads, level
