"""Video encoder: H.264 and VP8, in software or hardware.

All calls block and are to be made in a thread. The bitrate limits suit a 1080p30 call; those of
aiortc end at 3 Mbit/s for H.264 and 1.5 Mbit/s for VP8.
"""

import os
import time
from fractions import Fraction
from logging import Logger
from typing import Any

import av
from av import VideoFrame
from av.video.frame import PictureType
from av.video.reformatter import ColorRange

from icefloe.logs import get_logger

from .clock import MediaClock
from .encoder_time import MAX_RATIO, MIN_RATIO, EncoderTime, RateCorrection
from .errors import UnusablePicture
from .hardware import OPTIONS, PIXEL_FORMATS, hardware_encoder
from .packing import VIDEO_TIME_BASE, AnyPacket, Encoded, Packer, make_packet
from .pictures import BT601, MAX_SIDE, PictureConverter, upright_size
from .reference import PictureReference

MIN_BITRATE = 30_000
"""Minimum bits per second: 160x90 at 5 Hz is recognizable with it, and less is not."""

_FRAME_RATE = 30
_MIN_AND_MAX_RATE = 1, 120
"""Minimum and maximum frame rate that is configured in an encoder."""
_BITS_PER_PIXEL = 0.07
_HEADROOM = 2
_X264_PEAK = 3.0
"""Maximum bitrate of x264's rate control divided by the target when it is opened. The target of an
open x264 can be changed through FFmpeg, this maximum cannot."""
_BUFFER_SECONDS = 0.6
"""Length of the encoder's rate-control buffer in seconds: the rate may vary within it."""
_MAX_KEY_FRAME = 600
"""Maximum size of a key frame of libvpx in percent of an average frame: 0.2 seconds of the rate."""
_FOLLOWING = {"libvpx": MAX_RATIO, "libx264": _X264_PEAK}
"""Encoders whose bitrate can follow the target while they are open, and the target divided by the
bitrate they were opened with up to which they can."""
_LOWER_RATIO, _HIGHER_RATIO = 0.85, 1.2
"""Ratios of the target bitrate to that of another open encoder, beyond which it is reopened. A
smaller change is ignored because reopening costs a key frame."""
_RAISE_INTERVAL = 4.0
"""Seconds after opening an encoder before its bitrate may be raised."""
_LOWER_INTERVAL = 0.5
"""Seconds after opening an encoder before its bitrate may be lowered."""
_KEY_FRAMES_ON_DEMAND = 30 * 3600

logger: Logger = get_logger(__name__)


def default_bitrate(width: int, height: int, rate: float = _FRAME_RATE) -> int:
    """Return the initial bitrate for a picture size, in bits per second: 1.9 million at 720p30."""
    return max(MIN_BITRATE, round(width * height * rate * _BITS_PER_PIXEL))


def largest_bitrate(width: int, height: int, rate: float = _FRAME_RATE) -> int:
    """Return the maximum useful bitrate, in bits per second: 8.7 million at 1080p30."""
    return default_bitrate(width, height, rate) * _HEADROOM


class VideoEncoder:
    """Encoder of the pictures of one track; the size may change at any time.

    It is used by one thread at a time; ``bitrate`` may be set from any thread.

    Args:
        codec: ``"H264"`` or ``"VP8"``.
        bitrate: Bits per second; chosen by the picture size if ``None``.
        content_hint: ``contentHint`` of the track (W3C mst-content-hint): ``"motion"``,
            ``"detail"``, ``"text"`` or empty. The latter two keep edges sharp.

    Raises:
        ValueError: There is no encoder for this codec.
    """

    def __init__(self, codec: str, *, bitrate: int | None = None, content_hint: str = "") -> None:
        if codec.upper() not in ("H264", "VP8"):
            raise ValueError(f"codec={codec!r} is refused: pictures are encoded as H264 or VP8")
        self.codec: str = codec.upper()
        self.bitrate = bitrate
        self.content_hint = content_hint
        self.implementation: str = ""
        """FFmpeg's name of the encoder; empty before the first picture."""
        self._packer = Packer(self.codec)
        self._converter = PictureConverter()
        self._reference = PictureReference()
        self._clock = MediaClock(VIDEO_TIME_BASE.denominator, live=False)
        self._pictures = 0
        self._last: int | None = None
        self._encoder_time = EncoderTime()
        self._correction = RateCorrection()
        self._step = VIDEO_TIME_BASE.denominator / _FRAME_RATE
        """Moving average of the ticks from one picture to the next."""
        self._context: av.VideoCodecContext | None = None
        self._opened_for: tuple[Any, ...] = ()
        self._opened_with = 0
        self._opened_at = 0.0
        self._unusable: set[str] = set()

    def encode(
        self,
        frame: VideoFrame,
        *,
        at: int | None = None,
        key_frame: bool = False,
        scale_down_by: float = 1.0,
    ) -> list[AnyPacket]:
        """Encode a picture, which is not changed.

        Args:
            frame: The picture.
            at: Timestamp in 1/90000 s, strictly increasing, such as that of a :class:`MediaClock`.
                If ``None`` it is the picture's ``pts`` if that increases, otherwise a thirtieth of
                a second after the previous picture.
            key_frame: Whether to encode a key frame.
            scale_down_by: Divisor of width and height, 1 or more.

        Returns:
            The encoded frame, with a timestamp in 1/90000 s; empty while the encoder needs more
            pictures.

        Raises:
            UnusablePicture: The picture cannot be converted; the next one may be usable.
            av.FFmpegError: FFmpeg rejects the picture.
        """
        began = time.monotonic()
        at = self._time(frame, at)
        picture = self._fit(frame, scale_down_by, key_frame, at)
        try:
            return self._encode(picture, began)
        except (av.FFmpegError, ValueError, OSError):
            if self.implementation not in OPTIONS:
                self._context = None  # reopen the encoder for the next picture
                raise
            # A GPU can go away, or be out of sessions, at any time.
            logger.warning("encoder.failed name=%s next=software", self.implementation)
            self._unusable.add(self.implementation)
            self._context = None
            return self._encode(self._fit(frame, scale_down_by, key_frame, at), began)

    def _time(self, frame: VideoFrame, at: int | None) -> int:
        """Return a strictly increasing timestamp: encoders fail on one that does not increase."""
        if at is None:
            now = self._pictures / _FRAME_RATE
            at = self._clock.place(frame.pts, frame.time_base, now)
            self._pictures += 1
        if self._last is not None:
            at = max(at, self._last + 1)
            self._step += (min(at - self._last, VIDEO_TIME_BASE.denominator) - self._step) / 8
        self._last = at
        return at

    def _encode(self, picture: VideoFrame, began: float) -> list[AnyPacket]:
        at = picture.pts
        assert at is not None
        context = self._open(picture)
        target = self._target(picture)
        ratio = self._follow(context, target)
        picture.pts = self._encoder_time.place(at, ratio)
        made = []
        for packet in context.encode(picture):
            data = bytes(packet)
            known = Encoded(
                codec=self.codec,
                is_key_frame=packet.is_keyframe,
                implementation=self.implementation,
                width=picture.width,
                height=picture.height,
                received_at=began,
                payloads=self._packer.pack(data),
            )
            pts = self._encoder_time.original(packet.pts, at)
            made.append(make_packet(data, pts=pts, time_base=VIDEO_TIME_BASE, known=known))
        if self.implementation == "libx264":
            size = sum(packet.size for packet in made)
            self._correction.encoded(size, target, self._step / VIDEO_TIME_BASE.denominator)
        return made

    def _format(self) -> str:
        return PIXEL_FORMATS.get(self.implementation, "yuv420p")

    def _fit(self, frame: VideoFrame, scale: float, key_frame: bool, at: int) -> VideoFrame:
        """Return the picture in the size and format to encode, with the requested picture type."""
        width, height = (max(2, int(side / scale) & ~1) for side in upright_size(frame))
        if max(width, height) > MAX_SIDE:
            raise UnusablePicture(
                f"{width}x{height}",
                self.codec,
                f"width and height are limited to {MAX_SIDE} pixels",
                "scale it down",
            )
        picture = self._converter.convert(frame, self._format(), width, height)
        if picture is frame:  # other threads may read it
            picture = self._reference.to(frame)
        # A decoder leaves the original picture type on its frames; an encoder would reproduce it.
        picture.pict_type = PictureType.I if key_frame else PictureType.NONE
        picture.pts, picture.time_base, picture.duration = at, VIDEO_TIME_BASE, 0
        return picture

    def _open(self, picture: VideoFrame) -> av.VideoCodecContext:
        target = self._target(picture)
        size = (picture.width, picture.height, picture.format.name)
        if self._context is not None and (
            size != self._opened_for or self._must_reopen(target, time.monotonic())
        ):
            self._context = None
        if self._context is None:
            self._context = self._new_context(picture, target)
            self._opened_for = (*size[:2], self._format())
            self._opened_with, self._opened_at = target, time.monotonic()
        return self._context

    def _target(self, picture: VideoFrame) -> int:
        most = largest_bitrate(picture.width, picture.height)
        wanted = self.bitrate
        if wanted is None:
            wanted = default_bitrate(picture.width, picture.height)
        return max(MIN_BITRATE, min(wanted, most))

    def _follow(self, context: av.VideoCodecContext, target: int) -> float:
        """Set the bitrate of an open encoder; return the ratio for :meth:`EncoderTime.place`."""
        if self.implementation == "libx264":
            context.bit_rate = min(self._correction.target(target), context.max_bit_rate or target)
        return target / self._opened_with if self.implementation == "libvpx" else 1.0

    def _must_reopen(self, target: int, now: float) -> bool:
        since = now - self._opened_at
        if self.implementation in _FOLLOWING:
            return not MIN_RATIO <= target / self._opened_with <= _FOLLOWING[self.implementation]
        if target < self._opened_with * _LOWER_RATIO:
            return since >= _LOWER_INTERVAL
        return target > self._opened_with * _HIGHER_RATIO and since >= _RAISE_INTERVAL

    def _new_context(self, picture: VideoFrame, bitrate: int) -> av.VideoCodecContext:
        name = "libvpx"
        if self.codec == "H264":
            name = hardware_encoder() or "libx264"
            if name in self._unusable:
                name = "libx264"
        self.implementation = name
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = picture.width, picture.height
        context.pix_fmt = self._format()
        # H.264 signals this in its VUI (ITU-T H.264 annex E); VP8 has no other (RFC 6386 sec. 9.2).
        context.color_range, context.colorspace = ColorRange.MPEG, BT601
        if name == "libx264":
            # Rate control is strict only if both are equal when it is opened.
            bitrate = round(bitrate * _X264_PEAK)
        context.bit_rate = bitrate
        least, most = _MIN_AND_MAX_RATE
        rate = round(VIDEO_TIME_BASE.denominator / self._step)
        context.framerate = Fraction(max(least, min(rate, most)))
        context.time_base = VIDEO_TIME_BASE
        context.gop_size = _KEY_FRAMES_ON_DEMAND
        context.options = self._options(name, bitrate)
        if name == "libx264":
            context.profile = "Baseline"
            context.open(strict=False)
        elif name == "libvpx":
            context.qmin, context.qmax = 2, 56
            context.thread_count = _threads(picture.width * picture.height, os.cpu_count() or 1)
        logger.info(
            "encoder.open name=%s size=%dx%d bitrate=%d",
            name,
            picture.width,
            picture.height,
            bitrate,
        )
        return context

    def _options(self, name: str, bitrate: int) -> dict[str, str]:
        is_still = self.content_hint in ("detail", "text")
        if name == "libx264":
            return {
                "preset": "veryfast",
                "tune": "stillimage+zerolatency" if is_still else "zerolatency",
                "maxrate": str(bitrate),
                "bufsize": str(round(bitrate * _BUFFER_SECONDS / 2)),
                "sc_threshold": "0",
                "forced-idr": "1",
            }
        if name == "libvpx":
            return {
                "deadline": "realtime",
                "cpu-used": "-6",
                "lag-in-frames": "0",
                "minrate": str(bitrate),
                "maxrate": str(bitrate),
                "bufsize": str(round(bitrate * _BUFFER_SECONDS)),
                "max-intra-rate": str(_MAX_KEY_FRAME),
                "overshoot-pct": "15",
                "undershoot-pct": "100",
                "static-thresh": "0" if is_still else "1",
                "error-resilient": "default",
            }
        return dict(OPTIONS.get(name, {}))


def _threads(pixels: int, cpus: int) -> int:
    """Return the number of threads for libvpx; few, because its threads spin while they wait."""
    if pixels > 1280 * 960 and cpus >= 6:
        return 3
    return 2 if pixels > 640 * 480 and cpus >= 4 else 1
