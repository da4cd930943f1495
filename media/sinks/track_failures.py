"""Failures of recorded tracks: counts unusable frames, and gives up tracks without a usable one."""

from aiortc import MediaStreamTrack
from av import AudioFrame, VideoFrame

from icefloe.encoding import Refusals, check_sound

from ..errors import InvalidParameter, RecordingFailed

_MAX_UNUSABLE_FRAMES = 50
"""Unusable frames after which a track without a single usable frame is given up."""


class TrackFailures:
    """The failures of the tracks of one recording.

    Args:
        path: Path of the recording, for errors and the log.

    Attributes:
        errors: For each track that broke or gave unusable frames, the latest error.
        unrecorded: The error of the first track that ended without a usable frame; ``None`` if
            there was none.
    """

    def __init__(self, path: str) -> None:
        self.errors: dict[MediaStreamTrack, Exception] = {}
        self.unrecorded: RecordingFailed | None = None
        self._path = path
        self._refusals = Refusals(f"recording to {path!r}")
        self._usable: set[MediaStreamTrack] = set()
        self._unusable_frames: dict[MediaStreamTrack, int] = {}

    @property
    def count(self) -> int:
        """Number of unusable frames of all tracks."""
        return self._refusals.count

    def check(self, track: MediaStreamTrack, frame: object) -> AudioFrame | VideoFrame:
        """Return a frame of a track if it is usable; a failure is not counted yet.

        Raises:
            InvalidParameter: It is not a frame of the track's kind.
            UnusableSound: It is audio that cannot be used, or not audio.
        """
        usable = _checked(track, frame)
        self._usable.add(track)
        return usable

    def refuse(self, track: MediaStreamTrack, error: Exception) -> bool:
        """Count an unusable frame; return whether to give up the track."""
        self._refusals.note(error)
        self.errors[track] = error
        self._unusable_frames[track] = count = self._unusable_frames.get(track, 0) + 1
        return count >= _MAX_UNUSABLE_FRAMES and track not in self._usable

    def end(self, track: MediaStreamTrack, error: Exception | None) -> None:
        """Note the end of a track, and the error if it broke."""
        if error is not None:
            self.errors[track] = error
        cause = self.errors.get(track)
        self._unusable_frames.pop(track, None)
        if cause is not None and track not in self._usable and self.unrecorded is None:
            reason = f"nothing of {track.kind} track {track.id} could be recorded: {cause}"
            self.unrecorded = RecordingFailed(self._path, reason)
            self.unrecorded.__cause__ = cause
        self._usable.discard(track)


def _checked(track: MediaStreamTrack, frame: object) -> AudioFrame | VideoFrame:
    if track.kind == "audio":
        return check_sound(frame)
    if isinstance(frame, VideoFrame):
        return frame
    reason = f"it gives {type(frame).__name__}; a video track must give av.VideoFrame"
    raise InvalidParameter("track", track, reason)
