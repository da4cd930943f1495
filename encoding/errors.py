"""The errors of encoding, and how those of single frames are told: counted, and logged sparsely."""

from icefloe.logs import get_logger
from icefloe.text import PrintableError

logger = get_logger(__name__)


class EncodingError(PrintableError):
    """The root of the errors of encoding."""


class UnusablePicture(EncodingError, ValueError):
    """A picture cannot be converted into what is encoded, stored or shown.

    The next one may be of use: whoever takes pictures counts this one and goes on. The error of
    FFmpeg, if there was one, is the ``__cause__``.

    Attributes:
        picture: Format, size, matrix and range of the picture, such as
            ``"yuv420p 640x480 matrix 14"``.
        wanted: What it was to become, likewise.
        reason: What is wrong with it.
        advice: What to do.
    """

    def __init__(
        self,
        picture: str,
        wanted: str,
        reason: str,
        advice: str = "give another pixel format or matrix, such as yuv420p in BT.601 or BT.709",
    ) -> None:
        self.picture = picture
        self.wanted = wanted
        self.reason = reason
        self.advice = advice
        super().__init__(f"a picture ({picture}) cannot be made {wanted}: {reason}; {advice}")


class UnusableSound(EncodingError, ValueError):
    """What a track of audio gave cannot be encoded, stored or played.

    The next frame may be of use: whoever takes sound counts this one and goes on. The error of
    FFmpeg, if there was one, is the ``__cause__``.

    Attributes:
        sound: Format, layout, length and rate of the frame, such as ``"s16 mono, 960 samples at
            0 Hz"``, or the name of the type of what is no frame.
        reason: What is wrong with it, and what to do.
    """

    def __init__(self, sound: str, reason: str) -> None:
        self.sound = sound
        self.reason = reason
        super().__init__(f"a frame of sound ({sound}) cannot be used: {reason}")


class Refusals:
    """Counts the frames of one stream that were of no use, after which the stream goes on.

    A warning is logged for the first one, the tenth, the hundredth and so on.

    Args:
        who: Who had no use for them, for the log.

    Attributes:
        count: How many there were.
    """

    def __init__(self, who: str) -> None:
        self.count = 0
        self._who = who
        self._told_at = 1

    def note(self, error: Exception) -> None:
        """Count a frame, and log why now and then."""
        self.count += 1
        if self.count >= self._told_at:
            self._told_at *= 10
            logger.warning(
                "%s goes on without a frame, number %d: %s", self._who, self.count, error
            )
