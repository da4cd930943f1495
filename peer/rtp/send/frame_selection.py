"""Selection of the video frames to encode, and the size to encode them in. Does no I/O."""

from dataclasses import dataclass

from av import VideoFrame

from icefloe.encoding.pictures import upright_size

from .black_frame import black_frame
from .frame_rate import FrameRateLimit
from .parameters import RTCRtpEncodingParameters
from .quality_limitation import QualityLimitation
from .video_adaptation import NO_DEGRADATION, DegradationPreference, VideoAdaptation, preference_of

BLACK_FRAME_INTERVAL = 1.0
"""Seconds between the black frames of a disabled track (W3C mediacapture-main 4.3)."""

_USUAL_RATE = 30.0
_LOWEST_RATE, _HIGHEST_RATE = 1.0, 120.0
"""Bounds of the frame rate that is measured, in hertz."""


@dataclass(frozen=True, slots=True)
class SelectedFrame:
    """A frame to encode.

    Attributes:
        frame: The frame.
        scale: Divisor of its width and height.
    """

    frame: VideoFrame
    scale: float


class FrameSelection:
    """Decides which frames of a track are encoded, and in which size.

    Attributes:
        preference: What to keep if the bit rate does not suffice for everything.
        limitation: Why frames are smaller or fewer than those of the track, and for how long.
        size: Width and height of the latest frame of the track after ``scaleResolutionDownBy``, in
            pixels; zeros before the first.
        skipped: Frames that were not encoded because those before them wait in the pacer.
    """

    def __init__(self) -> None:
        self.preference: DegradationPreference | None = None
        self.limitation = QualityLimitation()
        self.size = 0, 0
        self.skipped = 0
        self._adaptation = VideoAdaptation()
        self._rate_limit = FrameRateLimit()
        self._rate = _USUAL_RATE
        self._latest: float | None = None
        self._black_at: float | None = None

    def look_at(self, frame: VideoFrame, time: float, encoding: RTCRtpEncodingParameters) -> None:
        """Note a frame of the track.

        Args:
            frame: The frame.
            time: Its timestamp in seconds.
            encoding: The limits set by the application.
        """
        width, height = upright_size(frame)
        scale = encoding.scaleResolutionDownBy
        self.size = round(width / scale), round(height / scale)
        if self._latest is not None and 0 < time - self._latest < 1 / _LOWEST_RATE:
            rate = min(1 / (time - self._latest), _HIGHEST_RATE)
            self._rate += (rate - self._rate) / 16
        self._latest = time

    def select(
        self,
        frame: VideoFrame,
        time: float,
        now: float,
        *,
        encoding: RTCRtpEncodingParameters,
        bitrate: int | None,
        content_hint: str,
        is_muted: bool,
        has_room: bool,
    ) -> SelectedFrame | None:
        """Return what to encode of a frame, if anything.

        Args:
            frame: The frame.
            time: Its timestamp in seconds.
            now: Seconds on a monotonic clock.
            encoding: The limits set by the application.
            bitrate: Target bits per second; ``None`` if only the frame size limits it.
            content_hint: ``contentHint`` of the track (W3C mst-content-hint).
            is_muted: Whether the track is disabled: black frames replace its own.
            has_room: Whether the frame would leave the pacer soon.
        """
        step = self._adaptation.update(
            now,
            bitrate=bitrate,
            pixels=self.size[0] * self.size[1],
            frame_rate=min(self._rate, encoding.maxFramerate or self._rate),
            preference=preference_of(self.preference, content_hint),
        )
        reason = "none" if step == NO_DEGRADATION else "bandwidth"
        self.limitation.note(now, reason, step.scale)
        limits = [step.frame_rate, encoding.maxFramerate or float("inf")]
        limit = None if min(limits) == float("inf") else min(limits)
        if not self._rate_limit.takes(time, limit):
            return None
        if is_muted:
            if self._black_at is not None and now - self._black_at < BLACK_FRAME_INTERVAL:
                return None
            frame, self._black_at = black_frame(frame), now
        else:
            self._black_at = None
        if not has_room:
            self.skipped += 1
            return None
        return SelectedFrame(frame, encoding.scaleResolutionDownBy * step.scale)
