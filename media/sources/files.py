"""File source: audio and video of a file or URL, decoded in a thread and played in real time."""

import os
from collections.abc import Callable
from functools import partial
from typing import Self

from .._util.clock import Clock
from ..errors import InvalidParameter
from .decoding import Decoder
from .location import Place
from .reader_thread import Passes
from .tempo import MAX_RATE, MIN_RATE
from .threaded_source import PlayedSource


class FileSource(PlayedSource):
    """The first audio and the first video stream of a file or URL, as tracks.

    Made by ``await FileSource.open(...)``. Playback starts with the first ``recv()`` of either
    track; both follow one monotonic clock. Video skips frames for which its reader is late. Audio
    catches up by up to 0.5 s. After a longer stall of the file or of all readers, playback
    continues where it was.

    Up to 2 s are decoded ahead. A track that is not read neither blocks the other nor grows: it
    loses its oldest frames. When both are stopped, or at the end of the file, the thread ends even
    without ``close()``.

    A source that may hang, such as a URL, is read by a separate process, which is killed when the
    source is closed. A broken connection is re-established after 0.5 s, and after further failures
    with delays that double up to 8 s. Media with a known length continues where it was; a live
    source continues live.

    Timestamps are playback time: they increase through loops, seeks and pauses.

    Attributes:
        path: The path or URL as it was given.
        audio: 20 ms frames of 48 kHz stereo in ``s16``; ``None`` if the file has no audio.
        video: Frames in the size and pixel format of the file; ``None`` if the file has no video.
        error: The error that ended the tracks before the end of the file; ``None`` if there was
            none.
        duration: Seconds; ``None`` if not known, as with live sources.
        reconnections: Number of attempts to reconnect.
    """

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        loop: bool = False,
        timeout: float = 10.0,
        reconnect: int = 5,
        options: dict[str, str] | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Open a file or URL and decode its first frame.

        Args:
            path: A path, or a URL with a protocol of FFmpeg, such as ``http``, ``https`` (also HLS)
                or ``rtsp``. A name counts as a path if there is such a file.
            loop: Whether to restart at the end, for ever, with increasing timestamps. The file is
                reopened each time.
            timeout: Maximum seconds for opening, and later for each read of a URL.
            reconnect: Maximum number of consecutive failed attempts to reconnect to a URL that gave
                media before.
            options: Options of FFmpeg's protocol and demuxer, such as ``{"user_agent": "..."}``.
            clock: Paces the frames; the monotonic clock of the machine if ``None``.

        Raises:
            SourceNotFound: The file does not exist.
            SourceUnreadable: It has no audio or video that can be decoded.
            SourceTimeout: The first frame did not arrive in time.

        Cancellation: safe; what was opened is closed.
        """
        name = os.fspath(path)
        return await cls._open(
            name,
            partial(Place.of, name, options),
            loop=loop,
            timeout=timeout,
            reconnect=reconnect,
            clock=clock,
        )

    @property
    def rate(self) -> float:
        """Playback speed in seconds of media per second, 0.25 to 4; audio keeps its pitch.

        Setting it takes effect at once, and raises ``InvalidParameter`` if it is out of range, and
        otherwise the exceptions of ``seek()``.
        """
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise InvalidParameter("rate", rate, f"give {MIN_RATE:g} to {MAX_RATE:g}")
        if rate != self._rate:
            self._seek(self.position, rate)

    def _passes(self, wanted: Callable[[str], bool]) -> Passes:
        return Decoder(wanted)
