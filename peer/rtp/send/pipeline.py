"""What a sender does with its track: read, encode, number, send, repair.

The sender of ``_aiortc`` holds one of these and hands it what the other side says. Raw frames
are encoded in a thread of the event loop's executor; encoded ones are sent as they come. A frame
that cannot be sent is reported, and the next one is tried.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from aiortc import MediaStreamTrack
from aiortc.codecs import is_rtx
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av import VideoFrame
from av.packet import Packet

from icefloe.encoding import (
    AudioEncoder,
    EncodingError,
    KeyFrameRequests,
    Refusals,
    VideoEncoder,
    default_bitrate,
    encoded,
)
from icefloe.encoding.packing import Packer
from icefloe.logs import get_logger

from ..errors import TrackNotSent
from .black_and_silence import nothing_like
from .encoded_track import EncodedTrack, codec_of
from .frame_pacer import PacedSending
from .frame_rate import FrameRateLimit
from .opus_fec import Redundancy
from .parameters import RTCRtpEncodingParameters
from .rate_control import RateControl
from .rtp_stream import RtpStream, ntp_time
from .timestamps import Timestamps, taken

_BLACK_EVERY = 1.0
"""Seconds between the black pictures of a track that is not enabled (W3C mediacapture-main 4.3)."""

_SHORT, _WINDOW = 0.25, 1.5
"""Seconds over which what is sent is measured, at least and about."""

_LARGEST = 1300
"""Bytes of a payload at most: with all that is put around it SRTP has a buffer of 1500."""

_UNKNOWN_SIZE = 1280, 720
"""Pixels of pictures that came encoded, by which their rate is guessed before it is measured."""

_OPUS_BITRATE = 96_000
"""Bits a second, of stereo."""

_REPORTED = 16
"""Different reasons why frames of one track cannot be sent, that are told; all are counted."""

_NOTHING: Final = object()
"""No new frame: a track may give None, and that is no sound."""

logger = get_logger(__name__)


class _TrackBroke(Exception):
    """A track raised something; that is not to be taken for an error of sending."""


class Outgoing:
    """The outgoing stream of one sender.

    Args:
        kind: ``"audio"`` or ``"video"``.
        stream: The RTP stream.
        transmit: Sends packets at once; raises ``ConnectionError`` when that is over for good.
        is_enabled: Whether the negotiated direction has this side send.
        report: Told why something of a track could not be sent: each reason once.

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
        refused: Counts the frames and packets of its tracks that could not be sent.
    """

    def __init__(
        self,
        kind: str,
        stream: RtpStream,
        transmit: Callable[[list[bytes]], None],
        is_enabled: Callable[[], bool],
        report: Callable[[TrackNotSent], None] = lambda error: None,
    ) -> None:
        self.encoding = RTCRtpEncodingParameters()
        self.control = RateControl()
        self.frames = self.key_frames = self.frames_encoded = 0
        self.requests = {"pli": 0, "fir": 0}
        self.nacks = 0
        self.refused = Refusals(f"sending {kind}")
        self.width = self.height = 0
        self.implementation = ""
        self.report = report
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
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._encoder: Any = None
        self._encodes: asyncio.Future[list[Packet[Any]]] | None = None
        self._packers: dict[str, Packer] = {}
        self._key_frame = KeyFrameRequests()
        self._rate_limit = FrameRateLimit()
        self._redundancy = Redundancy()
        self._black_at = 0.0
        self._sends = self._ended = False
        self._last_type: int | None = None
        self._reported: set[str] = set()
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
        if isinstance(self._encoder, AudioEncoder):
            self._encoder.expected_loss = expected
        self._feed_back()

    def lacks(self, numbers: Sequence[int]) -> None:
        """Send packets again.

        Raises:
            ConnectionError: It is over.
        """
        self.nacks += 1
        rtx = self._rtx.get(self._last_type) if self._last_type is not None else None
        rtt = self.control.rtt
        if packets := self.stream.again(numbers, rtx_type=rtx, ntp=ntp_time(), rtt=rtt):
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
            self.end()

    def end(self) -> None:
        """Tell the track that it is not sent any more, also if it never was. Done once."""
        track, self._ended = None if self._ended else self._track, True
        if track is None:
            return
        if getattr(track, "ends_with_sender", False):
            track.stop()
        elif (left := getattr(track, "reader_left", None)) is not None:
            left()

    async def _read_until_replaced(self, track: MediaStreamTrack) -> None:
        name = f"send {track.kind} {track.id}"
        reading = self._reading = asyncio.get_running_loop().create_task(
            self._read(track), name=name
        )
        try:
            await asyncio.wait((reading,))
        finally:
            reading.cancel()
            await asyncio.wait((reading,))
            outcome = None if reading.cancelled() else reading.exception()
            # A task that was cancelled keeps the frames in which it was, and so the encoder with
            # its threads, until the garbage collector comes.
            self._reading = None
            del reading
        match outcome:
            case None:
                pass
            case ConnectionError() as error:
                raise error
            case error:
                self._refuse(track, f"sending it ended: {error!r}", error)

    async def _read(self, track: MediaStreamTrack) -> None:
        if isinstance(track, EncodedTrack):
            track.use(self._codecs)
            track.request_key_frame()
            self._feed_back()
        self._key_frame.ask()
        self._reported.clear()
        if isinstance(self._encoder, AudioEncoder):
            (await self._idle_encoder()).anew()
        while True:
            try:
                data: Any = await self._next(track)
                if not self._may_send():
                    self._sends = False
                    continue
                if not self._sends:
                    self._sends = True
                    self.key_frame_wanted()
                await self._send_data(track, data)
            except MediaStreamError:
                await self._send_rest(track)
                return
            except _TrackBroke as broke:
                cause = broke.__cause__
                self._refuse(track, f"it broke and is taken as ended: {cause!r}", cause)
                return
            except EncodingError as error:
                self._refuse(track, str(error), error)
            except ConnectionError:
                raise
            except Exception as error:
                # One frame is not to end what sends all others; the encoder may be of no use now.
                self._encoder = None
                self._refuse(track, f"a frame could not be encoded: {error!r}", error)

    def _may_send(self) -> bool:
        if self._is_enabled() and self.encoding.active and self._codecs:
            return True
        if isinstance(self._encoder, AudioEncoder) and self._is_idle():
            self._encoder.queue.clear()
        return False

    async def _next(self, track: MediaStreamTrack) -> Any:
        """Return what a track gives next, and send the sound meanwhile whose turn it is."""
        if self._sound_due() is None:
            return await _receive(track)
        reading = asyncio.ensure_future(_receive(track))
        try:
            while (due := self._sound_due()) is not None:
                now = time.monotonic()
                has_ended = reading.done() and (reading.cancelled() or reading.exception())
                if reading.done() and not has_ended and self._encoder.queue.has_room(now):
                    break
                if due <= now:
                    await self._send_sound(_NOTHING, track)
                elif reading.done():
                    await asyncio.sleep(due - now)
                else:
                    await asyncio.wait((reading,), timeout=due - now)
            return await reading
        finally:
            reading.cancel()
            await asyncio.wait((reading,))
            if not reading.cancelled():
                reading.exception()

    async def _send_rest(self, track: MediaStreamTrack) -> None:
        """Send what waits of the sound of a track that has ended."""
        if isinstance(self._encoder, AudioEncoder):
            (await self._idle_encoder()).queue.finish()
        while (due := self._sound_due()) is not None:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._send_sound(_NOTHING, track)

    async def _send_data(self, track: MediaStreamTrack, data: Any) -> None:
        if isinstance(data, Packet):
            if getattr(track, "enabled", True):
                self._send_packet(track, data)
            else:
                self._sends = False  # it goes on with a key frame
        elif self._kind == "audio":
            await self._send_sound(data, track)
        elif isinstance(data, VideoFrame):
            await self._send_frame(track, data)
        else:
            name = type(data).__name__
            self._refuse(track, f"it gives {name}; a track of video gives av.VideoFrame")

    def _refuse(
        self, track: MediaStreamTrack, reason: str, cause: BaseException | None = None
    ) -> None:
        """Count what cannot be sent, and tell each reason once."""
        error = TrackNotSent(track, reason)
        error.__cause__ = cause
        self.refused.note(error)
        if reason not in self._reported and len(self._reported) < _REPORTED:
            self._reported.add(reason)
            self.report(error)

    def _send_packet(
        self, track: MediaStreamTrack, packet: "Packet[Any]", timestamp: int | None = None
    ) -> None:
        known, now = encoded(packet), time.monotonic()
        codec = self._codecs[0]
        if (name := codec_of(packet)) is not None:
            same = (c for c in self._codecs if c.name.lower() == name.lower())
            codec = next(same, codec)
            if codec.name.lower() != name.lower():
                names = ", ".join(c.name for c in self._codecs)
                self._refuse(
                    track,
                    f"it gives {name}, of which the peer takes none, only {names}; "
                    "prefer it with setCodecPreferences() before the offer",
                )
                return
        level = None
        if known is not None:
            level = known.level
            payloads: Sequence[bytes] = known.payloads
            self.width, self.height = known.width, known.height
            self.implementation = known.implementation
            is_key, at = known.is_key_frame, taken(known.received_at, now)
        else:
            packer = self._packers.setdefault(codec.name, Packer(codec.name))
            payloads, is_key, at = packer.pack(bytes(packet)), packet.is_keyframe, now
        if timestamp is None:
            timestamp = self._times(codec).of_packet(packet, codec.name, payloads, at)
        self._send(codec, payloads, timestamp, taken_at=at, is_key=is_key, level=level)

    async def _send_frame(self, track: MediaStreamTrack, frame: VideoFrame) -> None:
        now = time.monotonic()
        codec, is_muted = self._codecs[0], not getattr(track, "enabled", True)
        at = self._times(codec).of_picture(frame, now)
        if not self._rate_limit.takes(at / codec.clockRate, self.encoding.maxFramerate):
            return
        if is_muted and now - self._black_at < _BLACK_EVERY:
            return
        if is_muted:
            frame, self._black_at = nothing_like(frame), now
        else:
            self._black_at = 0.0
        encoder: VideoEncoder = await self._idle_encoder()
        key = self._key_frame.due(now)
        encoder.content_hint = getattr(self._track, "contentHint", "")
        encoder.bitrate = self._bound(self.control.bitrate(now))
        scale = self.encoding.scaleResolutionDownBy
        packets = await self._encode(_encode_video, encoder, frame, at, key, scale)
        self.frames_encoded += 1
        for packet in packets:
            known = encoded(packet)
            assert known is not None
            known.received_at = now
            if known.is_key_frame:
                self._key_frame.made(now)
            self._send_packet(track, packet, packet.pts)

    async def _send_sound(self, frame: object, track: MediaStreamTrack) -> None:
        """Take what a track of audio gave, or :data:`_NOTHING`, and send what leaves by now.

        Raises:
            UnusableSound: It cannot be used.
        """
        now = time.monotonic()
        is_muted = not getattr(track, "enabled", True)
        encoder: AudioEncoder = await self._idle_encoder()
        packets = await self._encode(_encode_audio, encoder, frame, now, is_muted)
        if self._may_send():
            for packet in packets:
                self._send_packet(track, packet)

    def _sound_due(self) -> float | None:
        """Return when sound that waits leaves, in seconds; ``None`` if none waits."""
        if isinstance(self._encoder, AudioEncoder) and self._is_idle() and self._may_send():
            return self._encoder.queue.due()
        return None

    async def _encode(
        self, encode: Callable[..., list["Packet[Any]"]], *arguments: object
    ) -> list["Packet[Any]"]:
        """Encode in a thread, which goes on to its end if this is cancelled."""
        self._encodes = asyncio.get_running_loop().run_in_executor(None, encode, *arguments)
        # Who was cancelled does not read what it raises then, and nobody else needs to know.
        self._encodes.add_done_callback(_note_error)
        return await asyncio.shield(self._encodes)

    def _is_idle(self) -> bool:
        return self._encodes is None or self._encodes.done()

    async def _idle_encoder(self) -> Any:
        if self._encodes is not None and not self._encodes.done():
            # The reader before this one was cancelled; encoders are no two threads' business.
            await asyncio.wait((self._encodes,))
        if self._encoder is None:
            self._encoder = self._make_encoder(self._codecs[0])
        return self._encoder

    def _make_encoder(self, codec: RTCRtpCodecParameters) -> Any:
        if self._kind == "video":
            return VideoEncoder(codec.name)
        encoder = AudioEncoder(codec.name, bitrate=_OPUS_BITRATE)
        encoder.expected_loss = self._redundancy.level
        return encoder

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
        if payloads and len(max(payloads, key=len)) > _LARGEST:
            size = len(max(payloads, key=len))
            self.refused.note(ValueError(f"{size} bytes of {codec.name} do not fit into a packet"))
            return
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


async def _receive(track: MediaStreamTrack) -> Any:
    """Return what a track gives next.

    Raises:
        MediaStreamError: It has ended.
        _TrackBroke: It raised something else, which is the ``__cause__``.
    """
    try:
        return await track.recv()
    except MediaStreamError:
        raise
    except Exception as error:
        raise _TrackBroke from error


def _note_error(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()


def _encode_video(
    encoder: VideoEncoder, frame: VideoFrame, at: int, key: bool, scale: float
) -> list["Packet[Any]"]:
    return encoder.encode(frame, at=at, key_frame=key, scale_down_by=scale)


def _encode_audio(
    encoder: AudioEncoder, frame: object, now: float, muted: bool
) -> list["Packet[Any]"]:
    if frame is not _NOTHING:
        encoder.put(frame, now)
    return encoder.take(time.monotonic(), muted=muted)
