"""What is said on a track, as segments of sound: what every voice bot begins with.

::

    async with speech(track) as events:
        async for event in events:
            match event:
                case SpeechStarted():
                    answer.clear()                     # whoever is interrupted stops talking
                case SpeechSegment(samples=samples):
                    text = await recognize(samples)    # (n,) int16, mono, 16 kHz

The track is read all the time, also while the loop is busy with a segment, so that an interruption
is noticed; what is noticed waits, bounded.
"""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, Self

from aiortc import MediaStreamTrack

from .._util.closing import Closing
from .._util.numpy_extra import require_numpy
from .._util.wakeup import Signal
from ..sinks.readers import AudioReader, audio
from .segments import (
    PIECE,
    RATE,
    Segmenter,
    SpeechEvent,
    SpeechLimits,
    SpeechSegment,
    SpeechStarted,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WAITING = 64
"""Events that wait for the loop at most."""
_GAP = 0.1
"""Seconds of sound that are missing, after which speech is taken to have ended."""


class SpeechDetector(Protocol):
    """Tells speech from everything else; one for each track.

    It runs in the event loop, 50 times a second, and so must take well below a millisecond. A
    detector such as ``webrtcvad.Vad`` is wrapped in a line::

        class WebRtc:
            vad = webrtcvad.Vad(2)

            def is_speech(self, samples):
                return self.vad.is_speech(samples.tobytes(), 16000)
    """

    def is_speech(self, samples: "NDArray[np.int16]") -> bool:
        """Take the next 20 ms: shape ``(320,)``, ``int16``, mono, 16000 a second."""


class SpeechReader(Closing):
    """The speech of one track; made by :func:`speech`.

    Attributes:
        dropped: How many events were lost because the loop was too slow for them, the oldest first.
    """

    def __init__(
        self, track: MediaStreamTrack, limits: SpeechLimits, detector: SpeechDetector
    ) -> None:
        """Use ``speech()`` instead."""
        self.dropped = 0
        self._reader: AudioReader = audio(track, rate=RATE, samples=PIECE, policy="wait")
        self._segmenter = Segmenter(limits)
        self._detector = detector
        self._events: deque[SpeechEvent] = deque()
        self._changed = Signal()
        self._failure: BaseException | None = None
        self._task: asyncio.Task[None] | None = asyncio.get_running_loop().create_task(
            self._listen(), name=f"speech {track.id}"
        )

    @property
    def is_speaking(self) -> bool:
        """Whether somebody is speaking: a segment has begun and not ended."""
        return self._segmenter.is_speaking

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SpeechEvent:
        """Return what was noticed next.

        Raises:
            StopAsyncIteration: The track has ended, or this was closed.
            Exception: What the detector raised.

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

    async def _listen(self) -> None:
        try:
            expected: float | None = None
            async for samples in self._reader:
                time = self._reader.time if self._reader.time is not None else expected or 0.0
                if expected is not None and abs(time - expected) > _GAP:
                    self._notice(self._segmenter.finish())
                is_speech = self._detector.is_speech(samples)
                self._notice(self._segmenter.push(time, samples, is_speech=is_speech))
                expected = time + PIECE / RATE
            self._notice(self._segmenter.finish())
        except Exception as error:
            self._failure = error
        finally:
            # The one that waits looks at the task, which is done by then.
            asyncio.get_running_loop().call_soon(self._changed.wake)

    def _notice(self, events: list[SpeechEvent]) -> None:
        for event in events:
            if len(self._events) >= _WAITING:
                self._events.popleft()
                self.dropped += 1
            self._events.append(event)
        if events:
            self._changed.wake()

    async def aclose(self) -> None:
        """Stop listening; the track is left alone. May be called again. Cancellation: safe."""
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
    """Listen for speech on a track; to be closed, best by ``async with``.

    It gives a :class:`SpeechStarted` some 0.15 s after somebody has begun to speak, and a
    :class:`SpeechSegment` when that has paused. Listening begins at once.

    Args:
        track: A track of audio.
        limits: How speech is cut into segments.
        detector: What tells speech from everything else; by default its energy and pitch do, see
            :mod:`icefloe.media.speech.voice_activity`.

    Raises:
        InvalidParameter: The track is of video.
        MissingDependency: NumPy is not installed.
        RuntimeError: No event loop runs.
    """
    require_numpy("speech()")
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
