"""Generated tracks: frames from a generator of the application, paced by a clock.

A plain generator runs in a separate thread, an asynchronous one in the event loop. Either is
advanced only when its queue has room: 2 pictures or 10 audio frames ahead.
"""

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from fractions import Fraction
from functools import partial
from logging import Logger
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from aiortc import MediaStreamTrack
from aiortc.mediastreams import VIDEO_CLOCK_RATE, VIDEO_TIME_BASE, MediaStreamError
from av import AudioFrame, VideoFrame

from icefloe.logs import get_logger

from .._util.buffer import ArrayData
from .._util.clock import Clock, MonotonicClock, Pacer
from .._util.loop_queue import Bridge, Lane, Worker
from ..errors import InvalidParameter
from .decoding import AudioTimeline
from .pcm import FRAME_SAMPLES, read_pcm, to_frame
from .picture_formats import to_picture

_VIDEO_AHEAD = 2
_AUDIO_AHEAD = 10
_CATCH_UP = 0.2
_CLOSE_TIMEOUT = 1.0

logger: Logger = get_logger(__name__)

Pictures: TypeAlias = Iterable[VideoFrame | ArrayData] | AsyncIterable[VideoFrame | ArrayData]
Sounds: TypeAlias = Iterable[AudioFrame | ArrayData] | AsyncIterable[AudioFrame | ArrayData]

F = TypeVar("F", VideoFrame, AudioFrame)


class _Generated(MediaStreamTrack, Generic[F]):
    """Base of generated tracks: runs the generator in a thread or task, and paces its frames.

    Attributes:
        error: The exception of the generator, or the error of a frame, which has ended the track;
            ``None`` if there was none.
    """

    def __init__(
        self, source: Any, rate: Fraction, ahead: int, catch_up: float, clock: Clock | None
    ) -> None:
        if not isinstance(source, Iterable | AsyncIterable):
            raise InvalidParameter("source", source, "give a generator, or another iterable")
        super().__init__()
        self.error: Exception | None = None
        self._source = source
        self._clock = clock or MonotonicClock()
        self._pacer = Pacer(rate, catch_up=catch_up)
        self._ahead = ahead
        self._bridge: Bridge[F] | None = None
        self._frames_lane: Lane[F] | None = None
        self._worker: Worker | None = None
        self._task: asyncio.Task[None] | None = None

    async def recv(self) -> F:
        """Return the next frame when it is due.

        Raises:
            MediaStreamError: The generator has ended or raised, or the track was stopped.

        Cancellation: safe; no frame is lost.
        """
        while self.readyState == "live":
            lane = self._lane()
            now = self._clock.now()
            frame = lane.peek()
            if frame is None:
                if lane.ended:
                    self.stop()
                    break
                await lane.wait()
            elif now < (due := self._pacer.due(now)):
                await lane.changed.wait_until(self._clock, due)
            elif lane.take(frame):
                self._stamp(frame, self._pacer.take(now))
                return frame
        raise MediaStreamError("the track has ended")

    def stop(self) -> None:
        """End the track, and close the generator after the frame in progress."""
        super().stop()
        if self._bridge is not None:
            self._bridge.close()
        if self._task is not None:
            self._task.cancel()

    async def aclose(self) -> None:
        """End the track, and wait until the generator is closed, at most 1 s.

        A generator that hangs is abandoned with a warning.

        Idempotent. Cancellation: safe; the generator ends nevertheless.
        """
        self.stop()
        done = True
        if self._task is not None:
            done = bool((await asyncio.wait([self._task], timeout=_CLOSE_TIMEOUT))[0])
        elif self._worker is not None:
            done = await self._worker.join(_CLOSE_TIMEOUT)
        if not done:
            logger.warning("%r hangs and is abandoned; its thread or task remains", self._source)

    def _lane(self) -> Lane[F]:
        """Return the queue of frames; the first call starts the generator."""
        if self._frames_lane is None:
            self._bridge = Bridge()
            self._frames_lane = lane = self._bridge.lane(self._ahead)
            name = f"icefloe-generated {self.id}"
            source = self._source
            if isinstance(source, AsyncIterable):
                self._task = asyncio.get_running_loop().create_task(
                    self._pull(source, self._bridge, lane), name=name
                )
            else:
                # A daemon, because a generator that hangs must not keep the program from ending.
                run = partial(self._run, source, self._bridge, lane)
                self._worker = Worker(self._bridge, run, name, daemon=True)
        return self._frames_lane

    def _run(self, source: Iterable[Any], bridge: Bridge[F], lane: Lane[F]) -> None:
        """Run a plain generator; the body of the thread."""
        error: Exception | None = None
        frames: Iterator[Any] | None = None
        try:
            frames = iter(source)
            for item in frames:
                for frame in self._convert(item):
                    lane.put(frame)
                if not bridge.is_open:
                    break
            for frame in self._finish():
                lane.put(frame)
        except Exception as exc:
            error = exc
        finally:
            error = _close(frames) or error
            bridge.call(partial(self._report, error))
            bridge.end()

    async def _pull(self, source: AsyncIterable[Any], bridge: Bridge[F], lane: Lane[F]) -> None:
        """Run an asynchronous generator; a thread converts its frames."""
        frames: AsyncIterator[Any] = aiter(source)
        try:
            async for item in frames:
                for frame in await asyncio.to_thread(self._convert_all, item):
                    await lane.room()
                    lane.put(frame)
            for frame in self._finish():
                await lane.room()
                lane.put(frame)
        except Exception as exc:
            self._report(exc)
        finally:
            if (close := getattr(frames, "aclose", None)) is not None:
                try:
                    await close()
                except Exception as exc:
                    self._report(exc)
            bridge.end()

    def _convert_all(self, item: Any) -> list[F]:
        return list(self._convert(item))

    def _report(self, error: Exception | None) -> None:
        if error is None or self.error is not None:
            return
        self.error = error
        logger.error("%r failed, and its track ends", self._source, exc_info=error)

    @abstractmethod
    def _convert(self, item: Any) -> Iterator[F]:
        """Convert an item of the generator to frames of the track."""

    @abstractmethod
    def _finish(self) -> Iterator[F]:
        """Return the remaining frames at the end."""

    @abstractmethod
    def _stamp(self, frame: F, number: int) -> None:
        """Set the timestamp of a frame by its number from the pacer."""


class GeneratedVideo(_Generated[VideoFrame]):
    """A video track of pictures from a generator, at a steady rate.

    Every picture is delivered. When the generator or the reader is slower than the rate, the
    timestamps skip, and so stay synchronized with audio. Pictures are converted to ``yuv420p`` in
    the generator's thread, those of an asynchronous generator in another one. They are copied, so a
    generator may draw into the same array again and again.

    When the generator raises, the track ends, the error is logged and kept in ``error``.

    Args:
        source: A generator, or another iterable, of frames, whose timestamps are ignored, or of
            arrays of ``uint8`` of the shape ``(height, width)`` (gray), ``(height, width, 3)`` or
            ``(height, width, 4)``.
        rate: Frames per second, up to 1000.
        order: Order of the channels of an array: ``rgb`` or ``bgr`` (OpenCV); a fourth channel,
            alpha, is ignored.
        clock: Paces the frames; the monotonic clock of the machine if ``None``.

    Raises:
        InvalidParameter: ``source`` is not iterable, or ``rate`` or ``order`` is out of range.
    """

    kind = "video"

    def __init__(
        self,
        source: Pictures,
        rate: int | float | Fraction = 30,
        *,
        order: Literal["rgb", "bgr"] = "rgb",
        clock: Clock | None = None,
    ) -> None:
        if not 0 < rate <= 1000:
            raise InvalidParameter("rate", rate, "give up to 1000 frames per second")
        if order not in ("rgb", "bgr"):
            raise InvalidParameter("order", order, 'give "rgb" or "bgr"')
        self._rate = Fraction(rate)
        self._order = order
        super().__init__(source, self._rate, _VIDEO_AHEAD, 0.0, clock)

    def _convert(self, item: Any) -> Iterator[VideoFrame]:
        yield to_picture(item, self._order)

    def _finish(self) -> Iterator[VideoFrame]:
        return iter(())

    def _stamp(self, frame: VideoFrame, number: int) -> None:
        frame.pts = round(number * VIDEO_CLOCK_RATE / self._rate)
        frame.time_base = VIDEO_TIME_BASE


class GeneratedAudio(_Generated[AudioFrame]):
    """An audio track from a generator, as frames of 20 ms in 48 kHz stereo ``s16``.

    Every sample is delivered. A reader or a generator that is late by up to 0.2 s catches up; when
    it is later, the timestamps skip the time. For audio that arrives in bursts and may be
    interrupted, use ``AudioQueue``.

    When the generator raises, the track ends, the error is logged and kept in ``error``.

    Args:
        source: A generator, or another iterable, of frames, whose timestamps are ignored, or of
            arrays of any length: ``int16`` or ``float32`` (-1 to 1), of the shape ``(samples,)`` or
            ``(samples, channels)``.
        rate: Sample rate of arrays, in hertz; frames have their own.
        clock: Paces the frames; the monotonic clock of the machine if ``None``.

    Raises:
        InvalidParameter: ``source`` is not iterable.
    """

    kind = "audio"

    def __init__(self, source: Sounds, rate: int = 48000, *, clock: Clock | None = None) -> None:
        super().__init__(source, Fraction(50), _AUDIO_AHEAD, _CATCH_UP, clock)
        self._rate = rate
        self._timeline = AudioTimeline()

    def _convert(self, item: Any) -> Iterator[AudioFrame]:
        if not isinstance(item, AudioFrame):
            data, layout = read_pcm(item, self._rate, None, None)
            if not data:
                return
            item = to_frame(data, layout)
        yield from self._timeline.push(item, None)

    def _finish(self) -> Iterator[AudioFrame]:
        return self._timeline.finish()

    def _stamp(self, frame: AudioFrame, number: int) -> None:
        frame.pts = number * FRAME_SAMPLES


def _close(frames: Any) -> Exception | None:
    """Close a generator, which runs its ``finally``; return the exception that it raises."""
    try:
        if (close := getattr(frames, "close", None)) is not None:
            close()
    except Exception as exc:
        return exc
    return None
