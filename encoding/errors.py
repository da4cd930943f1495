"""Errors of encoding, and a counter of unusable frames that logs them at a falling rate."""

from logging import Logger

from icefloe.logs import get_logger
from icefloe.text import PrintableError

logger: Logger = get_logger(__name__)


class EncodingError(PrintableError):
    """The root of the errors of encoding."""


class UnusablePicture(EncodingError, ValueError):
    """A picture cannot be converted for encoding, recording or display.

    The next picture may be usable: the caller counts this one and continues. An error of FFmpeg, if
    any, is the ``__cause__``.

    Attributes:
        picture: Format, size, matrix and range of the picture, such as
            ``"yuv420p 640x480 matrix 14"``.
        wanted: The requested format and size, likewise.
        reason: The cause.
        advice: A remedy.
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
        super().__init__(f"cannot convert a picture ({picture}) to {wanted}: {reason}; {advice}")


class UnusableSound(EncodingError, ValueError):
    """An audio frame cannot be encoded, recorded or played.

    The next frame may be usable: the caller counts this one and continues. An error of FFmpeg, if
    any, is the ``__cause__``.

    Attributes:
        sound: Format, layout, length and rate of the frame, such as ``"s16 mono, 960 samples at
            0 Hz"``, or the type name of an object that is not an audio frame.
        reason: The cause, and a remedy.
    """

    def __init__(self, sound: str, reason: str) -> None:
        self.sound = sound
        self.reason = reason
        super().__init__(f"cannot use an audio frame ({sound}): {reason}")


class Refusals:
    """A counter of the unusable frames of one stream, which continues without them.

    A warning is logged for the first one, the tenth, the hundredth and so on.

    Args:
        who: The activity that drops the frames, for the log, such as ``"encoding to VP8"``.

    Attributes:
        count: Number of unusable frames.
    """

    def __init__(self, who: str) -> None:
        self.count: int = 0
        self._who = who
        self._next_logged = 1

    def note(self, error: Exception) -> None:
        """Count a frame, and log the error if the count is a power of ten."""
        self.count += 1
        if self.count >= self._next_logged:
            self._next_logged *= 10
            logger.warning(
                "%s continues without an unusable frame, number %d so far: %s",
                self._who,
                self.count,
                error,
            )
