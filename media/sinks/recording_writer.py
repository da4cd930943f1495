"""From the frames of several tracks to one file, on one timeline; for a thread.

Nothing here waits or reads a clock: every call says what time it is.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from av import AudioFrame, VideoFrame
from av.frame import Frame

from icefloe.encoding import Refusals, UnusablePicture, UnusableSound, duration_of, upright_size
from icefloe.encoding.pictures import MAX_SIDE

from .audio_mixer import SAMPLE_RATE, Mixer, Voice
from .canvas import Canvas
from .muxer import FileFormat, MediaFile
from .sync import SenderClock, TrackClock

_GATHER = 0.5
"""Seconds after the first frame for which the file waits for the other tracks to begin."""

_HOLD = 2.0
"""Seconds for which the mixed sound waits for a track that gives none; then that one is silent."""

_LATE = 0.1
"""A picture may belong this much before the last one and is still shown, right after it."""

_STEP = 0.002
"""The least seconds between two pictures; WebM counts in milliseconds."""

_STILL = 1.0
"""A picture that does not change is repeated so often, for the container is not to wait for it."""

_TRAILS = 0.5
"""By so many seconds such a repetition stays behind, for the next real picture to come in time."""

_REPORT = 5.0
"""Seconds for which the frames of a track wait for the first sender report, to be placed by it from
the first frame on. It comes after 0.5 to 1.5 s from aiortc, after some seconds for the audio of
browsers, and may be lost."""

_EARLIER = 0.5
"""By so many seconds sound may belong before its arrival, as far as the file waits for it."""

REJOIN = 10.0
"""Seconds for which a file waits for another track when all have ended."""

_PENDING_BYTES = 64 * 1024 * 1024
"""Of pictures that wait for either; beyond that they are placed with what is known by then, and the
file begins."""

_DEFAULT_SIZE = (1280, 720)

Tell: TypeAlias = Callable[[Frame], float | None]
"""A track's ``capture_time``."""

_BLOCK = SAMPLE_RATE // 50


@dataclass(frozen=True, slots=True, kw_only=True)
class TapeSettings:
    """What a file is to be like; see ``Recorder``."""

    file_format: FileFormat
    audio: bool | None
    video: bool | None
    size: tuple[int, int] | None
    rate: int
    audio_bitrate: int
    video_bitrate: int | None


@dataclass(frozen=True, slots=True)
class _Arrived:
    """A frame, and when it was captured and came, as ``Tape.push`` got it."""

    frame: AudioFrame | VideoFrame
    captured: float | None
    arrived: float


class TapedTrack:
    """One track on a tape.

    Attributes:
        has_begun: Whether frames of it were placed.
        waiting: Frames that are not placed, because the track is about to tell their capture times.
    """

    def __init__(
        self, kind: str, sender: SenderClock, mixer: Mixer, tell: Tell | None = None
    ) -> None:
        self.kind: Final = kind
        self.clock: Final = TrackClock(kind, sender)
        self.voice: Final = Voice(mixer)
        self.has_begun = False
        self.waiting: deque[_Arrived] | None = None if tell is None else deque()
        self._tell = tell

    def place(self, item: _Arrived) -> float:
        """Return where a frame belongs, in seconds on the clock of the arrivals."""
        frame, duration = item.frame, 0.0
        if isinstance(frame, AudioFrame):
            duration = duration_of(frame)
        return self.clock.place(
            frame.pts, frame.time_base, item.captured, item.arrived, duration=duration
        )

    @property
    def is_waiting(self) -> bool:
        """Whether frames wait for their capture times."""
        return bool(self.waiting)

    def release(self) -> list[_Arrived]:
        """Give out the frames that waited, with their capture times if they are known by now."""
        waiting, self.waiting = self.waiting or deque(), None
        if self._tell is None:
            return list(waiting)
        # Each by itself: while they waited, the delay of what is played was changed.
        return [_Arrived(a.frame, self._tell(a.frame), a.arrived) for a in waiting]


class Tape:
    """One file and the tracks that go into it.

    Attributes:
        zero: Where the timeline of the file begins, in seconds on the clock of the arrivals; None
            before the first frame.
        dropped: How many pictures were left out: they came too late, or cannot be converted.
        idle_since: When the last track was removed, on that clock; None while there are some.
    """

    def __init__(self, path: str, settings: TapeSettings) -> None:
        self.path = path
        self.zero: float | None = None
        self.dropped = 0
        self._settings = settings
        self._mixer = Mixer()
        self._tracks: set[TapedTrack] = set()
        self._kinds: set[str] = set()
        self._pending: deque[tuple[float, TapedTrack, VideoFrame]] = deque()
        self._file: MediaFile | None = None
        self._canvas: Canvas | None = None
        self._last = -_STEP
        self._changed = False
        self._refused = Refusals(f"recording {path}")
        self.idle_since: float | None = None

    @property
    def lost_audio(self) -> float:
        """How many seconds of sound came too late for the file."""
        return self._mixer.lost / SAMPLE_RATE

    def add(self, kind: str, sender: SenderClock, tell: Tell | None = None) -> TapedTrack:
        """Add a track of a participant; ``tell`` is its ``capture_time``, if it has one."""
        track = TapedTrack(kind, sender, self._mixer, tell)
        self._tracks.add(track)
        self._kinds.add(kind)
        self.idle_since = None
        return track

    def remove(self, track: TapedTrack, now: float) -> None:
        """Take out a track that has ended; what it gave stays."""
        self._release(track)
        self._tracks.discard(track)
        if not self._tracks:
            self.idle_since = now
        # The last picture of the last track stays.
        elif (
            self._canvas is not None
            and track.kind == "video"
            and any(other.kind == "video" for other in self._tracks)
        ):
            self._canvas.remove(track)
            self._changed = True

    def push(
        self,
        track: TapedTrack,
        frame: AudioFrame | VideoFrame,
        captured: float | None,
        arrived: float,
    ) -> None:
        """Add a frame.

        Args:
            track: What ``add`` returned.
            frame: It is not changed.
            captured: When it was, by the clock of its sender, in seconds; None if not known.
            arrived: Seconds on our clock.
        """
        if self.zero is None:
            self.zero = arrived
        item = _Arrived(frame, captured, arrived)
        if track.waiting is None:
            self._place(track, item)
            return
        track.waiting.append(item)
        if captured is not None or _weight(a.frame for a in track.waiting) > _PENDING_BYTES:
            self._release(track)

    def _release(self, track: TapedTrack) -> None:
        for item in track.release():
            self._place(track, item)

    def _place(self, track: TapedTrack, item: _Arrived) -> None:
        assert self.zero is not None
        frame = item.frame
        at = track.place(item) - self.zero
        track.has_begun = True
        if isinstance(frame, AudioFrame):
            try:
                track.voice.push(frame, at)
            except UnusableSound as error:
                self._refused.note(error)
        elif self._file is not None:
            self._show(at, track, frame)
        else:
            self._pending.append((at, track, frame))
            if _weight(frame for _, _, frame in self._pending) > _PENDING_BYTES:
                self._open()

    def advance(self, now: float) -> None:
        """Write what is complete by now, in seconds on the clock of the arrivals."""
        if self.zero is None:
            return
        if self.idle_since is not None and now - self.idle_since < REJOIN:
            return  # silence after the end is no part of what was recorded
        for track in self._tracks:
            if track.waiting and now - track.waiting[0].arrived >= _REPORT:
                self._release(track)
        if self._file is None:
            if any(track.is_waiting for track in self._tracks):
                return
            if now - self.zero < _GATHER and not all(t.has_begun for t in self._tracks):
                return
            self._open()
        passed = now - self.zero
        self._write_audio(self._complete(passed))
        due = passed - _TRAILS
        if self._canvas is not None and due >= self._last + (_STILL if self._last >= 0 else 0):
            self._write_picture(due)

    def _complete(self, passed: float) -> int:
        """Return the position up to which no more sound will come."""
        assert self.zero is not None
        complete = round((passed - _HOLD) * SAMPLE_RATE)
        tracks = [track for track in self._tracks if track.kind == "audio"]
        ends = [track.voice.end for track in tracks if track.voice.end is not None]
        if ends and len(ends) == len(tracks):
            complete = max(complete, min(ends))
        first = [track.waiting[0].arrived - self.zero for track in tracks if track.waiting]
        return min([complete, *(round((at - _EARLIER) * SAMPLE_RATE) for at in first)])

    def _write_audio(self, until: int) -> None:
        assert self._file is not None
        blocks = (until - self._mixer.start) // _BLOCK
        while blocks > 0:
            # Silence may be due for as long as a track was away.
            count = min(blocks, 50)
            position = self._mixer.start
            self._file.write_audio(position, self._mixer.take(position + count * _BLOCK))
            blocks -= count

    def _open(self) -> None:
        """Make the file, now that it is known what goes into it."""
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
            self._show(*self._pending.popleft())

    def _show(self, at: float, track: TapedTrack, frame: VideoFrame) -> None:
        if self._canvas is None:
            self.dropped += 1
            return
        if at < self._last - _LATE:
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
        # Of several tracks each picture would make one of the whole.
        if not several or at >= self._last + 0.75 / self._settings.rate:
            self._write_picture(at)

    def _write_picture(self, at: float) -> None:
        assert self._file is not None
        assert self._canvas is not None
        self._last = max(at, self._last + _STEP, 0.0)
        self._file.write_video(self._last, self._canvas.draw())
        self._changed = False

    def finish(self) -> None:
        """Write what is left, and the end of the file.

        A tape that nothing was put on leaves no file.
        """
        if self.zero is None:
            return
        for track in self._tracks:
            self._release(track)
        if self._file is None:
            self._open()
            assert self._file is not None
        if self._changed:
            self._write_picture(self._last)
        self._write_audio(self._mixer.heard + _BLOCK - 1)
        self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, after an error."""
        if self._file is not None:
            self._file.abandon()


def _weight(frames: Iterable[AudioFrame | VideoFrame]) -> int:
    """Return how many bytes the pictures of these have."""
    return sum(p.buffer_size for f in frames if isinstance(f, VideoFrame) for p in f.planes)


def _first_size(
    pictures: "deque[tuple[float, TapedTrack, VideoFrame]]",
) -> tuple[int, int] | None:
    """Return the size of the first picture that has one, made even as encoders want it."""
    for _, _, frame in pictures:
        width, height = upright_size(frame)
        if 0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE:
            return max(2, width // 2 * 2), max(2, height // 2 * 2)
    return None
