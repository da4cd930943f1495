"""Degradation of outgoing video: picture size and frame rate that fit a bit rate. Does no I/O.

Each size and frame rate has a bit rate below which the encoder can no longer make an acceptable
picture. If the target falls below it, size and frame rate go down by steps, as the sender's
``degradationPreference`` (W3C mst-content-hint) says, and come back once the target has been high
enough for a while. Each change of size costs a key frame, so a step up that failed is not repeated
soon.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SCALES = (1.0, 4 / 3, 2.0, 8 / 3, 4.0, 16 / 3, 8.0)
"""Divisors of width and height."""

FRAME_RATES = (30.0, 20.0, 15.0, 10.0, 7.5, 5.0)
"""Frame rates below that of the source, in hertz."""

_BALANCED = (
    (1.0, 120.0),
    (4 / 3, 120.0),
    (2.0, 120.0),
    (8 / 3, 120.0),
    (8 / 3, 15.0),
    (4.0, 15.0),
    (16 / 3, 10.0),
    (8.0, 7.5),
    (8.0, 5.0),
)
"""Pairs of divisor and frame rate, from best to worst. The usual 30 frames a second are halved and
not made 20: two of three frames come unevenly, and each second one then waits for the other."""

SMALLEST_PICTURE = 160 * 90
"""Pixels below which the size is not reduced."""

DOWN_RATIO = 0.85
"""Target divided by the required bit rate of a step, below which it is left."""

UP_RATIO = 1.2
"""Target divided by the required bit rate of a better step, above which it is tried."""

DOWN_AFTER = 0.3
"""Seconds for which the target must be too low. Half of the required bit rate is left at once."""

FIRST_UP_AFTER, UP_AFTER, MAX_UP_AFTER = 0.3, 1.5, 30.0
"""Seconds for which the target must be high enough: at the start of a call, whose first target is
low for any link; later; and after steps that failed."""

TRIAL = 8.0
"""Seconds after a step up in which a step down counts as a failure."""


class DegradationPreference(StrEnum):
    """``RTCDegradationPreference`` (W3C mst-content-hint 5.1)."""

    MAINTAIN_FRAMERATE = "maintain-framerate"
    MAINTAIN_RESOLUTION = "maintain-resolution"
    BALANCED = "balanced"


@dataclass(frozen=True, slots=True)
class VideoStep:
    """A degree of degradation.

    Attributes:
        scale: Divisor of width and height.
        frame_rate: Maximum frames per second.
    """

    scale: float
    frame_rate: float


NO_DEGRADATION = VideoStep(1.0, float("inf"))


def preference_of(
    preference: DegradationPreference | None, content_hint: str
) -> DegradationPreference:
    """Return the preference in force (W3C mst-content-hint 5.1).

    Args:
        preference: That of the sender, or ``None``.
        content_hint: ``contentHint`` of the track, which decides if there is no preference.
    """
    if preference is not None:
        return preference
    if content_hint == "motion":
        return DegradationPreference.MAINTAIN_FRAMERATE
    if content_hint in ("detail", "text"):
        return DegradationPreference.MAINTAIN_RESOLUTION
    return DegradationPreference.BALANCED


def required_bitrate(pixels: float, frame_rate: float) -> float:
    """Return the bits per second below which pictures of a size are better made smaller.

    Larger pictures need fewer bits a pixel, and so do frames that follow each other closely: 700
    kbit/s at 1280x720 and 30 Hz, 250 at 640x360, 87 at 320x180.
    """
    return float(23.5 * pixels**0.75 * (min(frame_rate, 30.0) / 30) ** 0.6)


class VideoAdaptation:
    """Degradation of one stream.

    Attributes:
        step: The degree in force.
    """

    def __init__(self) -> None:
        self.step = NO_DEGRADATION
        self._steps: Sequence[VideoStep] = (NO_DEGRADATION,)
        self._index = 0
        self._made_for: tuple[float, float, DegradationPreference] | None = None
        self._too_low_since: float | None = None
        self._high_since: float | None = None
        self._raised_at = float("-inf")
        self._up_after = FIRST_UP_AFTER

    def update(
        self,
        now: float,
        *,
        bitrate: float | None,
        pixels: int,
        frame_rate: float,
        preference: DegradationPreference,
    ) -> VideoStep:
        """Return the degree for the next frame.

        Args:
            now: Seconds on a monotonic clock.
            bitrate: Target bits per second of the stream; ``None`` if nothing limits it.
            pixels: Pixels of the source's pictures, after ``scaleResolutionDownBy``.
            frame_rate: Frames per second of the source.
            preference: What to keep.
        """
        self._prepare(pixels, frame_rate, preference)
        if bitrate is None:
            return self._go_to(0)
        required = self._required(self._index)
        if bitrate < required * DOWN_RATIO and self._index + 1 < len(self._steps):
            self._high_since = None
            if self._too_low_since is None:
                self._too_low_since = now
            if bitrate < required / 2 or now - self._too_low_since >= DOWN_AFTER:
                self._step_down(now, bitrate)
            return self.step
        self._too_low_since = None
        better = self._best_for(bitrate / UP_RATIO)
        if better >= self._index:
            self._high_since = None
        elif self._high_since is None:
            self._high_since = now
        elif now - self._high_since >= self._up_after:
            self._high_since, self._raised_at = None, now
            self._up_after = max(self._up_after, UP_AFTER)
            self._go_to(better)
        elif now - self._high_since >= UP_AFTER:
            # More frames of the same size cost no key frame, whatever failed before.
            scale = self.step.scale
            same = (i for i in range(better, self._index) if self._steps[i].scale == scale)
            self._go_to(next(same, self._index))
        return self.step

    def _prepare(self, pixels: int, frame_rate: float, preference: DegradationPreference) -> None:
        made_for = float(pixels), round(frame_rate / 5) * 5.0, preference
        if made_for == self._made_for:
            return
        before = self.step
        self._made_for = made_for
        self._steps = _steps(*made_for)
        fitting = (
            index
            for index, step in enumerate(self._steps)
            if step.scale >= before.scale and step.frame_rate <= before.frame_rate
        )
        self._go_to(next(fitting, len(self._steps) - 1))

    def _step_down(self, now: float, bitrate: float) -> None:
        if now - self._raised_at < TRIAL:
            self._up_after = min(self._up_after * 2, MAX_UP_AFTER)
        elif self._raised_at > float("-inf"):
            self._up_after = UP_AFTER
        self._too_low_since = None
        self._go_to(max(self._index + 1, self._best_for(bitrate)))

    def _best_for(self, bitrate: float) -> int:
        """Return the index of the best step that a bit rate suffices for, or of the last one."""
        indexes = range(len(self._steps))
        return next((i for i in indexes if self._required(i) <= bitrate), len(indexes) - 1)

    def _required(self, index: int) -> float:
        assert self._made_for is not None
        pixels, frame_rate, _ = self._made_for
        step = self._steps[index]
        return required_bitrate(pixels / step.scale**2, min(frame_rate, step.frame_rate))

    def _go_to(self, index: int) -> VideoStep:
        self._index = index
        self.step = self._steps[index]
        return self.step


def _steps(
    pixels: float, frame_rate: float, preference: DegradationPreference
) -> tuple[VideoStep, ...]:
    """Return the steps for a source, from best to worst."""
    if preference is DegradationPreference.MAINTAIN_RESOLUTION:
        pairs = [(1.0, rate) for rate in FRAME_RATES if rate < frame_rate]
    elif preference is DegradationPreference.MAINTAIN_FRAMERATE:
        pairs = [(scale, float("inf")) for scale in SCALES[1:]]
    else:
        pairs = list(_BALANCED[1:])
    steps = [NO_DEGRADATION]
    for scale, rate in pairs:
        step = VideoStep(scale, rate if rate < frame_rate else float("inf"))
        is_large_enough = scale == 1 or pixels / scale**2 >= SMALLEST_PICTURE
        if is_large_enough and step != steps[-1]:
            steps.append(step)
    return tuple(steps)
