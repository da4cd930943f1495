"""Voice activity detection on a track: speech start events and speech segments, for voice bots.

::

    async with speech(track) as events:
        async for event in events:
            match event:
                case SpeechStarted():
                    answer.clear()                     # stop talking when interrupted
                case SpeechSegment(samples=samples):
                    text = await recognize(samples)    # (n,) int16, mono, 16 kHz

The track is read continuously, also while the loop processes a segment, so that interruptions are
detected. Events wait in a bounded queue.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from aiortc import MediaStreamTrack

from .._util.closing import Closing
from .._util.wakeup import Signal
from ..sinks.readers import AudioReader, audio
from .segments import (
    FRAME_SAMPLES,
    SAMPLE_RATE,
    Segmenter,
    SpeechEvent,
    SpeechLimits,
    SpeechSegment,
    SpeechStarted,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_MAX_QUEUED_EVENTS = 64
"""Maximum number of events in the queue."""
_GAP_THRESHOLD = 0.1
"""Seconds of missing audio that end a segment."""


class SpeechDetector(Protocol):
    """Voice activity detector of one track.

    It is called in the event loop 50 times a second, so a call must take well below a millisecond.
    A detector such as ``webrtcvad.Vad`` can be wrapped like this::

        class WebRtc:
            vad = webrtcvad.Vad(2)

            def is_speech(self, samples):
                return self.vad.is_speech(samples.tobytes(), 16000)
    """

    def is_speech(self, samples: "NDArray[np.int16]") -> bool:
        """Return whether the next 20 ms are speech.

        Args:
            samples: Shape ``(320,)``, ``int16``, mono, 16 kHz.
        """


class SpeechReader(Closing):
    """Asynchronous iterator over the speech events of one track; made by :func:`speech`.

    Attributes:
        dropped: Number of events that were dropped, the oldest first, because the loop was too
            slow.
    """

    def __init__(
        self, track: MediaStreamTrack, limits: SpeechLimits, detector: SpeechDetector
    ) -> None:
        """Use ``speech()`` instead."""
        self.dropped: int = 0
        self._reader: AudioReader = audio(
            track, rate=SAMPLE_RATE, samples=FRAME_SAMPLES, policy="wait"
        )
        self._segmenter = Segmenter(limits)
        self._detector = detector
        self._events: deque[SpeechEvent] = deque()
        self._changed = Signal()
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(
            self._read(), name=f"speech {track.id}"
        )

    @property
    def is_speaking(self) -> bool:
        """True while a segment has started and not ended."""
        return self._segmenter.is_speaking

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SpeechEvent:
        """Return the next event.

        Raises:
            StopAsyncIteration: The track has ended, or the reader was closed.
            Exception: The exception of the detector or of the track, which ends the reader.

        Cancellation: safe; no event is lost.
        """
        while not self._events:
            if self._task is None or self._task.done():
                failure, self._failure = self._failure, None
                await self.aclose()
                if failure is not None:
                    raise failure
                raise StopAsyncIteration
            await self._changed.wait()
        return self._events.popleft()

    async def _read(self) -> None:
        try:
            expected: float | None = None
            async for samples in self._reader:
                time = self._reader.time if self._reader.time is not None else expected or 0.0
                if expected is not None and abs(time - expected) > _GAP_THRESHOLD:
                    self._queue(self._segmenter.finish())
                is_speech = self._detector.is_speech(samples)
                self._queue(self._segmenter.push(time, samples, is_speech=is_speech))
                expected = time + FRAME_SAMPLES / SAMPLE_RATE
            self._queue(self._segmenter.finish())
        except Exception as error:
            self._failure = error
        finally:
            # A waiter checks whether this task is done, so wake it after the task has ended.
            asyncio.get_running_loop().call_soon(self._changed.wake)

    def _queue(self, events: list[SpeechEvent]) -> None:
        for event in events:
            if len(self._events) >= _MAX_QUEUED_EVENTS:
                self._events.popleft()
                self.dropped += 1
            self._events.append(event)
        if events:
            self._changed.wake()

    async def aclose(self) -> None:
        """Stop reading; the track is not stopped. Idempotent. Cancellation: safe."""
        task, self._task = self._task, None
        self._events.clear()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._reader.aclose()
        self._changed.wake()


def speech(
    track: MediaStreamTrack,
    *,
    limits: SpeechLimits | None = None,
    detector: SpeechDetector | None = None,
) -> SpeechReader:
    """Detect speech on a track; close the returned reader, best with ``async with``.

    The reader gives a :class:`SpeechStarted` about 0.15 s after the beginning of speech, and a
    :class:`SpeechSegment` after the following pause. Reading begins at once.

    Args:
        track: An audio track.
        limits: Segmentation of the speech; the defaults of :class:`SpeechLimits` if ``None``.
        detector: Voice activity detector; if ``None`` one that uses energy and pitch, see
            :mod:`icefloe.media.speech.voice_activity`.

    Raises:
        InvalidParameter: The track is a video track.
        RuntimeError: No event loop runs.
    """
    if detector is None:
        from .voice_activity import EnergyDetector

        detector = EnergyDetector()
    return SpeechReader(track, limits or SpeechLimits(), detector)


__all__ = [
    "SpeechDetector",
    "SpeechEvent",
    "SpeechLimits",
    "SpeechReader",
    "SpeechSegment",
    "SpeechStarted",
    "speech",
]
