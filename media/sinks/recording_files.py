"""The files of one recording: assigns tracks to files by participant; for a thread."""

import os

from av import AudioFrame, VideoFrame

from .recording_path import PARTICIPANT, RecordedFile, participant_path
from .recording_writer import (
    REJOIN_WAIT,
    CaptureTimeMethod,
    FileSettings,
    FileWriter,
    RecordedTrack,
)
from .sync import SenderClock


class RecordingFiles:
    """The files of a recording: one, or one for each participant.

    Attributes:
        files: Files that were started, in order.
        dropped: Number of pictures that were dropped.
        lost_audio: Seconds of audio that were dropped.
        current: Path of the file that was written last; ``None`` before the first.
        finished: Whether all files are complete.
    """

    def __init__(self, path: str, settings: FileSettings) -> None:
        self.files: list[RecordedFile] = []
        self.dropped: int = 0
        self.lost_audio: float = 0.0
        self.current: str | None = None
        self.finished: bool = False
        self._path = path
        self._settings = settings
        self._is_separate = PARTICIPANT in path
        self._zero: float | None = None
        self._writers: dict[str, FileWriter] = {}
        self._tracks: dict[object, tuple[str, FileWriter, RecordedTrack]] = {}
        self._senders: dict[str, SenderClock] = {}
        self._paths: set[str] = set()
        self._ended_dropped = 0
        self._ended_lost = 0.0

    def add(
        self, key: object, kind: str, participant: str, capture_time: CaptureTimeMethod | None
    ) -> None:
        """Add a track.

        Args:
            key: Identifies the track in later calls.
            kind: ``audio`` or ``video``.
            participant: Name of its participant; may be empty.
            capture_time: The track's ``capture_time``; ``None`` if it has none.
        """
        # Tracks without a participant may have different senders, so they share no clock.
        sender = SenderClock()
        if participant:
            sender = self._senders.setdefault(participant, sender)
        name = participant if self._is_separate else ""
        writer = self._writers.get(name)
        if writer is None:
            writer = self._writers[name] = FileWriter(self._new_path(name), self._settings)
        self._tracks[key] = participant, writer, writer.add(kind, sender, capture_time)

    def remove(self, key: object, now: float) -> None:
        """Remove a track that ended at ``now`` seconds."""
        _, writer, track = self._tracks.pop(key)
        writer.remove(track, now)

    def push(
        self, key: object, frame: AudioFrame | VideoFrame, captured: float | None, arrived: float
    ) -> None:
        """Add a frame of a track; see ``FileWriter.push``."""
        participant, writer, track = self._tracks[key]
        self.current = writer.path
        if self._zero is None:
            self._zero = arrived
        is_first = writer.zero is None
        writer.push(track, frame, captured, arrived)
        if is_first:
            whose = participant if self._is_separate else None
            self.files.append(RecordedFile(writer.path, whose, arrived - self._zero))

    def advance(self, now: float) -> None:
        """Write all media that is complete at ``now``; close files of participants that left."""
        for name, writer in tuple(self._writers.items()):
            self.current = writer.path
            idle = writer.idle_since
            if self._is_separate and idle is not None and now - idle >= REJOIN_WAIT:
                self._finish_file(name)
            else:
                writer.advance(now)
        self._count()

    def finish(self) -> None:
        """Write the remaining media and close every file."""
        for name in tuple(self._writers):
            self._finish_file(name)
        self._count()
        self.finished = True

    def abandon(self) -> None:
        """Close the files without trailers, after an error."""
        for writer in self._writers.values():
            writer.abandon()

    def _finish_file(self, name: str) -> None:
        writer = self._writers[name]
        self.current = writer.path
        writer.finish()
        del self._writers[name]
        self._senders.pop(name, None)
        self._ended_dropped += writer.dropped
        self._ended_lost += writer.lost_audio

    def _count(self) -> None:
        writers = self._writers.values()
        self.dropped = self._ended_dropped + sum(writer.dropped for writer in writers)
        self.lost_audio = self._ended_lost + sum(writer.lost_audio for writer in writers)

    def _new_path(self, participant: str) -> str:
        if not self._is_separate:
            return self._path
        path, number = participant_path(self._path, participant), 1
        while os.path.normcase(path) in self._paths:
            number += 1
            path = participant_path(self._path, participant, number)
        self._paths.add(os.path.normcase(path))
        return path
