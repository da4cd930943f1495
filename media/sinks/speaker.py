"""Audio playback of a track on a loudspeaker."""

import asyncio
import os
import re
import sys
import threading
import time
from collections import deque
from fractions import Fraction
from functools import partial
from logging import Logger
from typing import Any, Final, Self

import av
from aiortc import MediaStreamTrack
from av import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.format import ContainerFormat

from icefloe.encoding import Refusals, SoundConverter, SoundFormat, UnusableSound, duration_of
from icefloe.logs import get_logger

from .._util.closing import Closing
from .._util.loop_queue import LOOP_CHECK, Bridge, Worker
from .._util.shared_reader import MediaData, pump
from ..errors import InvalidParameter, OutputUnavailable

_OUTPUT_FORMAT = SoundFormat(48000, "stereo")
_MAX_QUEUED_SECONDS = 0.2
"""Maximum seconds of audio queued before the newest frame; more would only add delay."""

_MAX_QUEUED_FRAMES = 1000
"""Maximum number of queued frames, for frames that are very short or have no length."""

_END: Final = object()

_OPEN_TIMEOUT = 5.0
_CLOSE_TIMEOUT = 0.9
_DRIVERS = {"linux": ("pulse", "alsa", "oss"), "darwin": ("audiotoolbox",)}
"""FFmpeg's output devices by platform, in order of preference; builds of FFmpeg differ."""

logger: Logger = get_logger(__name__)


class Speaker(Closing):
    """A loudspeaker that plays an audio track; made by ``await Speaker.open(track)``.

    The device is opened and written to in a thread. At most 0.2 s of audio is queued; when the
    device is slower than the track, the oldest frames are dropped and counted. Playback ends with
    the track. The format of the audio may change at any time.

    Attributes:
        device: Name of the output device.
        driver: FFmpeg's name of the kind of device.
        dropped: Number of dropped frames: the device was too slow, or they could not be used.
        refused: The latest error of a frame that could not be used; playback continues.
        error: The error that ended playback early; ``None`` if there was none.
    """

    def __init__(self, track: MediaStreamTrack, device: str, driver: str) -> None:
        """Use ``open()`` instead."""
        self.device = device
        self.driver = driver
        self.dropped: int = 0
        self.error: OutputUnavailable | None = None
        self.refused: UnusableSound | None = None
        self._refusals = Refusals(f"playing to {device!r}")
        self._has_played = False
        self._frames: deque[object] = deque()
        self._seconds = 0.0
        self._changed = threading.Condition()
        self._complete = self._stopped = False
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self._bridge: Bridge[Any] = Bridge()
        self._bridge.lane(1)  # lets the thread detect that the event loop is closed
        self._worker = Worker(self._bridge, self._run, "icefloe-speaker")
        self._track = track
        self._pump: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls, track: MediaStreamTrack, device: str = "default", *, driver: str | None = None
    ) -> Self:
        """Open a loudspeaker and play a track on it.

        Args:
            track: An audio track. It is not stopped when the speaker is closed.
            device: The driver's name of the device.
            driver: FFmpeg's name of an output device, such as ``alsa``; if ``None`` the preferred
                one of this platform that PyAV's FFmpeg has.

        Raises:
            InvalidParameter: The track is not an audio track.
            OutputUnavailable: The device or driver does not exist, or cannot be opened within 5 s.

        Cancellation: safe; the device is closed again.
        """
        if track.kind != "audio":
            raise InvalidParameter("track", track, "give a track of audio")
        speaker = cls(track, device, _pick_driver(device, driver))
        try:
            async with asyncio.timeout(_OPEN_TIMEOUT):
                await speaker._opened
        except TimeoutError as exc:
            speaker._stop()
            reason = f"it could not be opened in {_OPEN_TIMEOUT:g} s"
            raise OutputUnavailable(device, reason, _devices()) from exc
        except BaseException:
            speaker._stop()
            raise
        speaker._pump = asyncio.get_running_loop().create_task(
            speaker._play(), name=f"speaker {track.id}"
        )
        return speaker

    async def _play(self) -> None:
        await pump(self._track, self._put)
        with self._changed:
            self._complete = True
            self._changed.notify()

    def _put(self, data: MediaData) -> None:
        with self._changed:
            self._frames.append(data)
            self._seconds += duration_of(data)
            # A frame that is not audio has no length, so the number of frames is bounded too.
            while len(self._frames) > 1 and (
                self._seconds - duration_of(data) > _MAX_QUEUED_SECONDS
                or len(self._frames) > _MAX_QUEUED_FRAMES
            ):
                self._seconds -= duration_of(self._frames.popleft())
                self.dropped += 1
            self._changed.notify()

    def _run(self) -> None:
        """Open the device and play until the end; the body of the thread."""
        try:
            with _Output(self.device, self.driver) as output:
                self._bridge.call(self._report_opened)
                while (frame := self._take()) is not _END:
                    try:
                        output.write(frame)
                        self._has_played = True
                    except UnusableSound as unusable:
                        self._bridge.call(partial(self._refuse, unusable))
                output.finish()
        except Exception as exc:
            reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
            error = OutputUnavailable(self.device, reason, _devices())
            error.__cause__ = exc
            self._bridge.call(partial(self._report, error))
        finally:
            self._bridge.call(self._ended.set)

    def _take(self) -> object:
        with self._changed:
            while not self._frames and not self._complete and self._bridge.is_open:
                self._changed.wait(LOOP_CHECK)
            if not self._frames or self._stopped:
                return _END
            frame = self._frames.popleft()
            self._seconds -= duration_of(frame)
            return frame

    def _refuse(self, error: UnusableSound) -> None:
        self.refused = error
        self.dropped += 1
        self._refusals.note(error)

    def _report_opened(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def _report(self, error: OutputUnavailable) -> None:
        self.error = error
        if not self._opened.done():
            self._opened.set_exception(error)
            return
        logger.error("playback on the loudspeaker ends early: %s", error)
        if self._pump is not None:
            self._pump.cancel()

    async def wait(self) -> None:
        """Return when the track has ended and was played, or the speaker was closed.

        Raises:
            OutputUnavailable: The device failed.
            UnusableSound: No frame of the track could be played.

        Cancellation: safe.
        """
        await self._ended.wait()
        if self.error is not None:
            raise self.error
        if self.refused is not None and not self._has_played:
            raise self.refused

    async def aclose(self) -> None:
        """Stop playback and free the device and the thread, in 1 s at most.

        The track is not stopped. Idempotent. Cancellation: safe; the thread ends nevertheless.
        """
        self._stop()
        if not await self._worker.join(_CLOSE_TIMEOUT):
            logger.warning("%r does not respond; its thread ends when it does", self.device)

    def _stop(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
        with self._changed:
            self._stopped = self._complete = True
            self._changed.notify()


class _Output:
    """An open output device, in 48 kHz stereo; for the thread."""

    def __init__(self, device: str, driver: str) -> None:
        self._container: OutputContainer = av.open(device, "w", format=driver)
        stream = self._container.add_stream("pcm_s16le", _OUTPUT_FORMAT.rate)
        assert isinstance(stream, AudioStream)
        stream.layout = "stereo"
        self._stream = stream
        self._converter = SoundConverter(_OUTPUT_FORMAT)
        self._position = 0
        self._played_until = 0.0

    def __enter__(self) -> Self:
        self._container.start_encoding()
        return self

    def write(self, frame: object) -> None:
        """Play a frame; block while the buffer of the device is full.

        Raises:
            UnusableSound: The frame cannot be played; the next one may be.
        """
        data = self._converter.convert(frame)
        if not data:
            return
        part = AudioFrame(
            _OUTPUT_FORMAT.type, _OUTPUT_FORMAT.layout, len(data) // _OUTPUT_FORMAT.sample_bytes
        )
        part.planes[0].update(data)
        part.sample_rate, part.pts = _OUTPUT_FORMAT.rate, self._position
        part.time_base = Fraction(1, _OUTPUT_FORMAT.rate)
        self._position += part.samples
        self._played_until = (
            max(self._played_until, time.monotonic()) + part.samples / _OUTPUT_FORMAT.rate
        )
        self._container.mux(self._stream.encode(part))

    def finish(self) -> None:
        """Wait, at most 0.7 s, until the device has played its buffer.

        Closing the device before that blocks other threads too.
        """
        time.sleep(min(0.7, max(0.0, self._played_until - time.monotonic())))

    def __exit__(self, *_: object) -> None:
        self._container.close()


def _pick_driver(device: str, driver: str | None) -> str:
    candidates = (driver,) if driver else _DRIVERS.get(sys.platform, ())
    for name in candidates:
        try:
            if ContainerFormat(name, "w").is_output:
                return name
        except ValueError:
            continue
    reason = f"PyAV's FFmpeg has no output device {driver or f'for {sys.platform}'}"
    raise OutputUnavailable(device, reason, _devices())


def _devices() -> tuple[str, ...]:
    """Return the output devices that ALSA lists in ``/proc``."""
    path = "/proc/asound/pcm"
    if not os.path.exists(path):
        return ()
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file if "playback" in line]
    found = (re.match(r"(\d+)-(\d+): *([^:]*)", line) for line in lines)
    return tuple(f"hw:{int(m[1])},{int(m[2])} ({m[3].strip()})" for m in found if m)
