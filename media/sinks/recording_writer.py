"""Recording writer: the frames of several tracks, synchronized in one file; for a thread.

Nothing here waits or reads a clock: the caller passes the current time in.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from av import AudioFrame, VideoFrame
from av.frame import Frame

from icefloe.encoding import Refusals, UnusablePicture, UnusableSound, duration_of, upright_size
from icefloe.encoding.pictures import MAX_SIDE

from .audio_mixer import SAMPLE_RATE, Mixer, MixerInput
from .canvas import Canvas
from .muxer import FileFormat, MediaFile
from .sync import SenderClock, TrackClock

_TRACK_START_WAIT = 0.5
"""Seconds after the first frame for which the file waits for the first frames of other tracks."""

_AUDIO_WAIT = 2.0
"""Seconds for which the mixer waits for audio of a track before it inserts silence."""

_REORDER_TOLERANCE = 0.1
"""Seconds by which a picture may be earlier than the previous one and is still written, right after
it. Earlier ones are dropped."""

_MIN_FRAME_INTERVAL = 0.002
"""Minimum of seconds between two pictures; timestamps of WebM have a resolution of 1 ms."""

_REPEAT_INTERVAL = 1.0
"""Seconds after which an unchanged picture is repeated, so that the muxer does not hold back audio
until the next picture."""

_REPEAT_DELAY = 0.5
"""Seconds by which a repeated picture is behind the current time, so that the next real picture is
not late."""

_SENDER_REPORT_WAIT = 5.0
"""Seconds for which the frames of a track wait for the first RTCP sender report, which gives their
capture times. aiortc sends it after 0.5 to 1.5 s, browsers send that of audio after some seconds,
and it may be lost."""

_CAPTURE_DELAY = 0.5
"""Seconds between capture and arrival of audio for which the mixer waits, while a track waits for
its sender report."""

REJOIN_WAIT = 10.0
"""Seconds for which a file stays open for another track when all have ended."""

_PENDING_BYTES = 64 * 1024 * 1024
"""Maximum bytes of pictures that wait for a sender report or for the start of the file. Beyond that
they are placed without capture times, or the file is started."""

_DEFAULT_SIZE = (1280, 720)

CaptureTimeMethod: TypeAlias = Callable[[Frame], float | None]
"""The ``capture_time`` method of a track."""

_BLOCK_SAMPLES = SAMPLE_RATE // 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """Settings of a recorded file; see ``Recorder`` for the units."""

    file_format: FileFormat
    audio: bool | None
    video: bool | None
    size: tuple[int, int] | None
    rate: int
    audio_bitrate: int
    video_bitrate: int | None


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A frame with its capture and arrival times, as given to ``push``."""

    frame: AudioFrame | VideoFrame
    captured: float | None
    arrived: float


class RecordedTrack:
    """One track of a recorded file.

    Attributes:
        kind: ``audio`` or ``video``.
        clock: Computes the positions of the frames.
        mixer_input: Mixer input of an audio track.
        has_begun: Whether frames of it were placed on the timeline.
        waiting: Frames that wait for the first sender report; ``None`` once they were placed.
    """

    def __init__(
        self,
        kind: str,
        sender: SenderClock,
        mixer: Mixer,
        capture_time: CaptureTimeMethod | None = None,
    ) -> None:
        self.kind: Final = kind
        self.clock: Final = TrackClock(kind, sender)
        self.mixer_input: Final = MixerInput(mixer)
        self.has_begun = False
        self.waiting: deque[_Arrival] | None = None if capture_time is None else deque()
        self._capture_time = capture_time

    def place(self, item: _Arrival) -> float:
        """Return the position of a frame, in seconds on the clock of the arrivals."""
        frame, duration = item.frame, 0.0
        if isinstance(frame, AudioFrame):
            duration = duration_of(frame)
        return self.clock.place(
            frame.pts, frame.time_base, item.captured, item.arrived, duration=duration
        )

    @property
    def is_waiting(self) -> bool:
        """True if frames wait for their capture times."""
        return bool(self.waiting)

    def release(self) -> list[_Arrival]:
        """Take the waiting frames, with their capture times if those are known by now."""
        waiting, self.waiting = self.waiting or deque(), None
        if self._capture_time is None:
            return list(waiting)
        # Capture times are looked up for each frame: the playout delay may have changed meanwhile.
        return [_Arrival(a.frame, self._capture_time(a.frame), a.arrived) for a in waiting]


class FileWriter:
    """Writer of one file from any number of tracks.

    Attributes:
        path: Path of the file.
        zero: Start of the file's timeline, in seconds on the clock of the arrivals; ``None`` before
            the first frame.
        dropped: Number of pictures that were dropped: too late, or not convertible.
        idle_since: Time at which the last track was removed, on that clock; ``None`` while there
            are tracks.
    """

    def __init__(self, path: str, settings: FileSettings) -> None:
        self.path = path
        self.zero: float | None = None
        self.dropped: int = 0
        self._settings = settings
        self._mixer = Mixer()
        self._tracks: set[RecordedTrack] = set()
        self._kinds: set[str] = set()
        self._pending: deque[tuple[float, RecordedTrack, VideoFrame]] = deque()
        self._file: MediaFile | None = None
        self._canvas: Canvas | None = None
        self._last = -_MIN_FRAME_INTERVAL
        self._changed = False
        self._refused = Refusals(f"recording {path}")
        self.idle_since: float | None = None

    @property
    def lost_audio(self) -> float:
        """Seconds of audio that arrived too late for the file."""
        return self._mixer.lost / SAMPLE_RATE

    def add(
        self, kind: str, sender: SenderClock, capture_time: CaptureTimeMethod | None = None
    ) -> RecordedTrack:
        """Add a track.

        Args:
            kind: ``audio`` or ``video``.
            sender: Clock of the participant that sends the track.
            capture_time: The track's ``capture_time``; ``None`` if it has none.
        """
        track = RecordedTrack(kind, sender, self._mixer, capture_time)
        self._tracks.add(track)
        self._kinds.add(kind)
        self.idle_since = None
        return track

    def remove(self, track: RecordedTrack, now: float) -> None:
        """Remove a track that ended at ``now`` seconds; its frames stay in the file."""
        self._release(track)
        self._tracks.discard(track)
        if not self._tracks:
            self.idle_since = now
        # The last picture of the last video track stays on the canvas.
        elif (
            self._canvas is not None
            and track.kind == "video"
            and any(other.kind == "video" for other in self._tracks)
        ):
            self._canvas.remove(track)
            self._changed = True

    def push(
        self,
        track: RecordedTrack,
        frame: AudioFrame | VideoFrame,
        captured: float | None,
        arrived: float,
    ) -> None:
        """Add a frame.

        Args:
            track: The track, as returned by ``add``.
            frame: The frame, which is not changed.
            captured: Capture time by the clock of the sender, in seconds; ``None`` if not known.
            arrived: Arrival time, in seconds on the local clock.

        Raises:
            OSError: The file cannot be written.
        """
        if self.zero is None:
            self.zero = arrived
        item = _Arrival(frame, captured, arrived)
        if track.waiting is None:
            self._place(track, item)
            return
        track.waiting.append(item)
        if captured is not None or _picture_bytes(a.frame for a in track.waiting) > _PENDING_BYTES:
            self._release(track)

    def _release(self, track: RecordedTrack) -> None:
        for item in track.release():
            self._place(track, item)

    def _place(self, track: RecordedTrack, item: _Arrival) -> None:
        assert self.zero is not None
        frame = item.frame
        at = track.place(item) - self.zero
        track.has_begun = True
        if isinstance(frame, AudioFrame):
            try:
                track.mixer_input.push(frame, at)
            except UnusableSound as error:
                self._refused.note(error)
        elif self._file is not None:
            self._compose(at, track, frame)
        else:
            self._pending.append((at, track, frame))
            if _picture_bytes(frame for _, _, frame in self._pending) > _PENDING_BYTES:
                self._open_file()

    def advance(self, now: float) -> None:
        """Write all media that is complete at ``now``, in seconds on the clock of the arrivals.

        Raises:
            OSError: The file cannot be written.
        """
        if self.zero is None:
            return
        if self.idle_since is not None and now - self.idle_since < REJOIN_WAIT:
            return  # do not record silence after the last track
        for track in self._tracks:
            if track.waiting and now - track.waiting[0].arrived >= _SENDER_REPORT_WAIT:
                self._release(track)
        if self._file is None:
            if any(track.is_waiting for track in self._tracks):
                return
            if now - self.zero < _TRACK_START_WAIT and not all(t.has_begun for t in self._tracks):
                return
            self._open_file()
        passed = now - self.zero
        self._write_audio(self._complete(passed))
        due = passed - _REPEAT_DELAY
        if self._canvas is not None and due >= self._last + (
            _REPEAT_INTERVAL if self._last >= 0 else 0
        ):
            self._write_picture(due)

    def _complete(self, passed: float) -> int:
        """Return the position in samples up to which no more audio is expected."""
        assert self.zero is not None
        complete = round((passed - _AUDIO_WAIT) * SAMPLE_RATE)
        tracks = [track for track in self._tracks if track.kind == "audio"]
        ends = [track.mixer_input.end for track in tracks if track.mixer_input.end is not None]
        if ends and len(ends) == len(tracks):
            complete = max(complete, min(ends))
        first = [track.waiting[0].arrived - self.zero for track in tracks if track.waiting]
        return min([complete, *(round((at - _CAPTURE_DELAY) * SAMPLE_RATE) for at in first)])

    def _write_audio(self, until: int) -> None:
        assert self._file is not None
        blocks = (until - self._mixer.start) // _BLOCK_SAMPLES
        while blocks > 0:
            # After a long absence of a track there may be much silence: write it in parts.
            count = min(blocks, 50)
            position = self._mixer.start
            self._file.write_audio(position, self._mixer.take(position + count * _BLOCK_SAMPLES))
            blocks -= count

    def _open_file(self) -> None:
        """Create the file, now that its streams are known."""
        settings = self._settings
        audio = "audio" in self._kinds if settings.audio is None else settings.audio
        video = "video" in self._kinds if settings.video is None else settings.video
        size: tuple[int, int] | None = None
        if video and settings.file_format.video is not None:
            size = settings.size or _first_size(self._pending) or _DEFAULT_SIZE
            self._canvas = Canvas(*size)
        self._file = MediaFile(
            self.path,
            settings.file_format,
            audio=settings.audio_bitrate if audio else None,
            size=size,
            rate=settings.rate,
            video_bitrate=settings.video_bitrate,
        )
        while self._pending:
            self._compose(*self._pending.popleft())

    def _compose(self, at: float, track: RecordedTrack, frame: VideoFrame) -> None:
        if self._canvas is None:
            self.dropped += 1
            return
        if at < self._last - _REORDER_TOLERANCE:
            self.dropped += 1
            return
        try:
            self._canvas.show(track, frame)
        except UnusablePicture as error:
            self.dropped += 1
            self._refused.note(error)
            return
        self._changed = True
        several = sum(other.kind == "video" for other in self._tracks) > 1
        # With several tracks, writing each new picture would multiply the frame rate.
        if not several or at >= self._last + 0.75 / self._settings.rate:
            self._write_picture(at)

    def _write_picture(self, at: float) -> None:
        assert self._file is not None
        assert self._canvas is not None
        self._last = max(at, self._last + _MIN_FRAME_INTERVAL, 0.0)
        self._file.write_video(self._last, self._canvas.draw())
        self._changed = False

    def finish(self) -> None:
        """Write the remaining media and the trailer; no file is made if there was no frame.

        Raises:
            OSError: The file cannot be written.
        """
        if self.zero is None:
            return
        for track in self._tracks:
            self._release(track)
        if self._file is None:
            self._open_file()
            assert self._file is not None
        if self._changed:
            self._write_picture(self._last)
        self._write_audio(self._mixer.end + _BLOCK_SAMPLES - 1)
        self._file.close()

    def abandon(self) -> None:
        """Close the file without a trailer, after an error."""
        if self._file is not None:
            self._file.abandon()


def _picture_bytes(frames: Iterable[AudioFrame | VideoFrame]) -> int:
    """Return the size of the pictures among ``frames``, in bytes."""
    return sum(p.buffer_size for f in frames if isinstance(f, VideoFrame) for p in f.planes)


def _first_size(
    pictures: "deque[tuple[float, RecordedTrack, VideoFrame]]",
) -> tuple[int, int] | None:
    """Return the size of the first picture with a valid one, rounded down to even numbers."""
    for _, _, frame in pictures:
        width, height = upright_size(frame)
        if 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE:
            return max(2, width // 2 * 2), max(2, height // 2 * 2)
    return None
