"""Shared encoders of a fan-out: one for each codec and tier, while it has viewers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiortc import MediaStreamTrack
from aiortc.mediastreams import VIDEO_CLOCK_RATE
from av import VideoFrame
from av.frame import Frame
from av.packet import Packet
from av.video.frame import PictureType

from icefloe.encoding import MediaClock

from .._util.audio_encoder_thread import AudioEncoderThread
from .._util.video_encoder_thread import VideoEncoderThread

_RATE_WINDOW = 1.0
"""Seconds over which the bitrate of an encoder is measured."""


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """Statistics of one encoder of a fan-out.

    Attributes:
        codec: ``"H264"``, ``"VP8"`` or ``"opus"``.
        scale_down_by: Divisor of width and height.
        implementation: FFmpeg's name of the encoder; empty before the first frame.
        viewers: Number of viewers that receive its frames.
        frames: Number of encoded frames.
        dropped: Number of frames that were not encoded because the encoder was too slow.
    """

    codec: str
    scale_down_by: float
    implementation: str
    viewers: int
    frames: int
    dropped: int


class Viewer(Protocol):
    """A receiver of the frames of shared encoders."""

    def _expect_key_frame(self, shared: "SharedEncoder", at: int | None) -> None:
        """Note that the next key frame of an encoder has timestamp ``at``, in 1/90000 s."""

    def _take(self, shared: "SharedEncoder", packet: "Packet[Any]") -> None:
        """Take an encoded frame."""

    def stop(self) -> None:
        """End the viewer's track."""


class SharedEncoder:
    """An encoder thread and the viewers that receive its frames.

    Attributes:
        thread: The encoder thread; set by :class:`EncoderPool`.
        viewers: The viewers.
        rate: Measured bitrate, in bits per second; ``None`` while it is not known. A static picture
            takes much less than the configured bitrate.
    """

    thread: VideoEncoderThread | AudioEncoderThread

    def __init__(self) -> None:
        self.viewers: set[Viewer] = set()
        self.rate: int | None = None
        self._counted, self._counted_since = 0, time.monotonic()

    def announce_key_frame(self, at: int | None) -> None:
        """Tell the viewers the timestamp of the next key frame, in 1/90000 s."""
        for viewer in self.viewers:
            viewer._expect_key_frame(self, at)

    def deliver(self, made: list["Packet[Any]"]) -> None:
        """Give encoded frames to all viewers."""
        self._count(sum(packet.size for packet in made))
        for packet in made:
            if packet.is_keyframe:
                self.thread.key_frames.made(time.monotonic())
            for viewer in tuple(self.viewers):
                viewer._take(self, packet)

    def _count(self, size: int) -> None:
        self._counted += size
        passed = time.monotonic() - self._counted_since
        if passed >= _RATE_WINDOW:
            latest = round(self._counted * 8 / passed)
            # Averaged, because a single key frame raises the rate of one window.
            self.rate = latest if self.rate is None else (self.rate + latest) // 2
            self._counted, self._counted_since = 0, time.monotonic()


class EncoderPool:
    """The encoders of one source, by codec and tier.

    Args:
        source: The source track of raw frames.
        tiers: Divisors of width and height of each tier, rising.
        bitrate: Bits per second of the best tier; chosen by the picture size if ``None``.
        content_hint: W3C mst-content-hint; the ``contentHint`` of the track if ``None``.
        refuse: Called with the error of each frame that cannot be encoded.
        fail: Called with the error of an encoder that broke; its viewers are stopped.

    Attributes:
        size: Width and height of the latest picture, in pixels; zeros before the first.
    """

    def __init__(
        self,
        source: MediaStreamTrack,
        *,
        tiers: Sequence[float],
        bitrate: int | None,
        content_hint: str | None,
        refuse: Callable[[Exception], None],
        fail: Callable[[Exception], None],
    ) -> None:
        self.size: tuple[int, int] = (0, 0)
        self._source = source
        self._tiers = tiers
        self._bitrate = bitrate
        self._content_hint = content_hint
        self._refuse, self._fail = refuse, fail
        self._encoders: dict[tuple[str, int], SharedEncoder] = {}
        self._clock = MediaClock(VIDEO_CLOCK_RATE)

    def reports(self) -> list[EncoderReport]:
        """Return the statistics of each encoder."""
        return [
            EncoderReport(
                codec,
                self._tiers[tier],
                shared.thread.implementation,
                len(shared.viewers),
                shared.thread.frames,
                shared.thread.dropped,
            )
            for (codec, tier), shared in sorted(self._encoders.items())
        ]

    def join(self, viewer: Viewer, codec: str, tier: int) -> SharedEncoder:
        """Add a viewer to an encoder, which is started if needed, and request a key frame."""
        key = (codec, tier)
        if key not in self._encoders:
            self._encoders[key] = self._start(codec, tier)
        shared = self._encoders[key]
        shared.viewers.add(viewer)
        shared.thread.key_frames.ask()
        return shared

    def leave(self, viewer: Viewer, shared: SharedEncoder) -> None:
        """Remove a viewer from an encoder, which is closed if it was the last one."""
        shared.viewers.discard(viewer)
        if not shared.viewers:
            shared.thread.close()
            self._encoders = {k: v for k, v in self._encoders.items() if v is not shared}

    def encode_audio(self, frame: Frame) -> None:
        """Encode an audio frame with each encoder."""
        for shared in tuple(self._encoders.values()):
            if isinstance(shared.thread, AudioEncoderThread):
                shared.thread.offer(frame)

    def encode_picture(self, frame: VideoFrame) -> None:
        """Encode a picture with each encoder."""
        self.size = frame.width, frame.height
        # A decoder leaves the original picture type on its frames; an encoder would reproduce it.
        frame.pict_type = PictureType.NONE
        now = time.monotonic()
        at = self._clock.place(frame.pts, frame.time_base, now)
        for shared in tuple(self._encoders.values()):
            if not isinstance(shared.thread, VideoEncoderThread):
                continue
            key_frame = shared.thread.key_frames.due(now)
            if key_frame:
                shared.announce_key_frame(at)
            shared.thread.offer(frame, at=at, key_frame=key_frame)

    def _start(self, codec: str, tier: int) -> SharedEncoder:
        shared = SharedEncoder()
        if self._source.kind == "audio":
            shared.thread = AudioEncoderThread(
                codec,
                deliver=shared.deliver,
                fail=lambda error: self._end(shared, error),
                refuse=self._refuse,
            )
            return shared
        scale = self._tiers[tier]
        hint = self._content_hint
        if hint is None:
            hint = getattr(self._source, "contentHint", "")
        shared.thread = VideoEncoderThread(
            codec,
            scale_down_by=scale,
            bitrate=round(self._bitrate / scale**2) if self._bitrate is not None else None,
            content_hint=hint,
            deliver=shared.deliver,
            fail=lambda error: self._end(shared, error),
        )
        return shared

    def _end(self, shared: SharedEncoder, error: Exception) -> None:
        self._fail(error)
        for viewer in tuple(shared.viewers):
            viewer.stop()
