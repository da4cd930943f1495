"""Bitrate of an open video encoder that follows a target. Does no I/O.

FFmpeg sets the bitrate of libvpx when the encoder is opened, and opening another one costs a key
frame. But its rate control gives each picture the bits of the time since the previous one. So the
encoder is given timestamps that advance by more than the real time where the target is above the
bitrate it was opened with, and by less where it is below.
"""

MIN_RATIO, MAX_RATIO = 0.4, 4.0
"""Range of the target bitrate divided by that of the open encoder. Beyond it the encoder's buffer,
whose size is in bits, is too large or too small for the rate."""

MAX_WAITING = 64
"""Maximum pictures whose packets an encoder still holds back; the timestamps of older ones are
forgotten."""

CORRECTION, MIN_CORRECTION, MAX_CORRECTION = 4.0, 0.3, 2.5
"""Part of the target that one second of debt takes off, and the range of the correction."""

DEBT_DECAY = 0.95
"""Part of the debt that is left after each frame."""

MAX_STEP = 18000
"""Maximum ticks from one picture to the next. After a pause an encoder would otherwise believe that
it has as many bits as the pause was long."""

_GAIN = 1 / 8
"""Part by which a step changes the mean of the steps."""


class EncoderTime:
    """Maps timestamps of pictures to those that an encoder is given, and back.

    Both count 1/90000 s and are strictly increasing.
    """

    def __init__(self) -> None:
        self._at: int | None = None
        self._step: float | None = None
        self._given = 0.0
        self._latest = -1
        self._waiting: dict[int, int] = {}

    def place(self, at: int, ratio: float) -> int:
        """Return the timestamp to give to the encoder.

        Args:
            at: The timestamp of the picture.
            ratio: Target bitrate divided by that of the open encoder.
        """
        if self._at is not None:
            step = min(at - self._at, MAX_STEP)
            # libvpx takes a step of another length for another frame rate, and gives pictures that
            # come unevenly, such as two of three, a third more or less than their bits.
            self._step = step if self._step is None else self._step + _GAIN * (step - self._step)
            self._given += self._step * ratio
        self._at = at
        self._latest = max(round(self._given), self._latest + 1)
        self._waiting[self._latest] = at
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return self._latest

    def original(self, given: int | None, at: int) -> int:
        """Return the timestamp of the picture that an encoded packet carries.

        Args:
            given: The timestamp of the packet, or ``None``.
            at: The result where the timestamp is not known: that of the latest picture.
        """
        return at if given is None else self._waiting.pop(given, at)


class RateCorrection:
    """Corrects the target of x264, whose rate control takes seconds to reach another one.

    FFmpeg passes another target on to an open x264. What the frames have been too large or too
    small lately is taken off the target or added to it.
    """

    def __init__(self) -> None:
        self._debt = 0.0

    def target(self, bitrate: int) -> int:
        """Return the target to set, in bits per second.

        Args:
            bitrate: The bits per second that are wanted.
        """
        factor = 1 - CORRECTION * self._debt / bitrate
        return round(bitrate * min(max(factor, MIN_CORRECTION), MAX_CORRECTION))

    def encoded(self, size: int, bitrate: int, seconds: float) -> None:
        """Note an encoded frame.

        Args:
            size: Its bytes.
            bitrate: The bits per second that were wanted.
            seconds: The time since the previous frame.
        """
        self._debt = self._debt * DEBT_DECAY + size * 8 - bitrate * min(seconds, MAX_STEP / 90000)
