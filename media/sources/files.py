"""Audio and video of a file or a URL, decoded in a thread, played at its own pace."""

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

    Made by ``await FileSource.open(...)``. Playing starts when the first frame of either track is
    asked for; both follow one monotonic clock. Video skips frames for which its reader is late.
    Audio catches up by up to 0.5 s. When the reading of the file, or all its readers, paused for
    longer than that, playing goes on where it was.

    Up to 2 s are decoded ahead. A track that is not read neither stalls the other nor grows: it
    loses its oldest frames. When both are stopped, or at the end of the file, the thread ends by
    itself, ``close()`` or not.

    What may hang, such as a URL, is read by a process of its own, which is killed when the source
    is closed. When the connection breaks, it is made again: at once and then after 0.5 s to 8 s,
    each time twice as long. What has a length goes on where it was; a live source, where it is.

    Timestamps are the time of playing: they go on growing through loops, jumps and pauses.

    Attributes:
        path: The path or URL as it was given.
        audio: 20 ms frames of 48 kHz stereo in ``s16``; None if the file has no audio.
        video: Frames in the size and pixel format of the file; None if the file has no video.
        error: What ended the tracks before the end of the file; None if nothing did.
        duration: Seconds; None if it is not known, as with live sources.
        reconnections: How many times it was tried to connect again.
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
            path: A path, or a URL of a protocol that FFmpeg knows, such as ``http``, ``https``
                (also HLS) or ``rtsp``. A name is taken for a path if there is such a file.
            loop: Start again at the end, for ever. Timestamps go on growing. The file is opened
                anew each time.
            timeout: Seconds that opening, and later each read of a URL, may take.
            reconnect: How many times in a row it may fail to connect again with a URL that gave
                media before.
            options: For FFmpeg's protocol and demuxer, such as ``{"user_agent": "..."}``.
            clock: Paces the frames; the monotonic clock of the machine if None.

        Raises:
            SourceNotFound: There is no such file.
            SourceUnreadable: Nothing in it can be decoded.
            SourceTimeout: The first frame did not come in time.

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
        """How many seconds of the media are played in a second; sound keeps its pitch.

        Setting it raises ``InvalidParameter`` for less than 0.25 or more than 4, and otherwise what
        ``seek()`` does. What is to be played from now on has the new rate.
        """
        return self._rate

    @rate.setter
    def rate(self, rate: float) -> None:
        if not MIN_RATE <= rate <= MAX_RATE:
            raise InvalidParameter("rate", rate, f"give {MIN_RATE:g} to {MAX_RATE:g}")
        if rate != self._rate:
            self._jump(self.position, rate)

    def _passes(self, wanted: Callable[[str], bool]) -> Passes:
        return Decoder(wanted)
