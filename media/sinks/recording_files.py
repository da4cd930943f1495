"""All the files of one recording, and which track goes into which; for a thread."""

import os
import re

from av import AudioFrame, VideoFrame

from icefloe.text import LONGEST_NAME, file_name

from .recorder import PARTICIPANT, RecordedFile
from .recording_writer import REJOIN, Tape, TapedTrack, TapeSettings, Tell
from .sync import SenderClock

_NAME_BYTES = 120
"""Of a participant's name in that of a file: the rest of it, and a number, need some as well."""


class Reel:
    """The tapes of a recording: one, or one for each participant.

    Attributes:
        files: What was begun, in order.
        dropped: How many pictures the tapes left out.
        lost_audio: How many seconds of sound they lost.
        current: The path that is being worked on; None before the first.
        finished: Whether nothing more will come.
    """

    def __init__(self, path: str, settings: TapeSettings) -> None:
        self.files: list[RecordedFile] = []
        self.dropped = 0
        self.lost_audio = 0.0
        self.current: str | None = None
        self.finished = False
        self._path = path
        self._settings = settings
        self._is_separate = PARTICIPANT in path
        self._zero: float | None = None
        self._tapes: dict[str, Tape] = {}
        self._tracks: dict[object, tuple[str, Tape, TapedTrack]] = {}
        self._senders: dict[str, SenderClock] = {}
        self._paths: set[str] = set()
        self._ended_dropped = 0
        self._ended_lost = 0.0

    def add(self, key: object, kind: str, participant: str, tell: Tell | None) -> None:
        """Take a track; ``key`` stands for it from now on.

        Args:
            key: Anything that is not used for another track.
            kind: ``audio`` or ``video``.
            participant: Whose it is, or nothing.
            tell: Its ``capture_time``, if it has one.
        """
        # Whose clock it is that an unnamed track tells is not known.
        sender = SenderClock()
        if participant:
            sender = self._senders.setdefault(participant, sender)
        name = participant if self._is_separate else ""
        tape = self._tapes.get(name)
        if tape is None:
            tape = self._tapes[name] = Tape(self._new_path(name), self._settings)
        self._tracks[key] = participant, tape, tape.add(kind, sender, tell)

    def remove(self, key: object, now: float) -> None:
        """Let a track go, at ``now`` seconds."""
        _, tape, track = self._tracks.pop(key)
        tape.remove(track, now)

    def push(
        self, key: object, frame: AudioFrame | VideoFrame, captured: float | None, arrived: float
    ) -> None:
        """Take a frame of a track; see ``Tape.push``."""
        participant, tape, track = self._tracks[key]
        self.current = tape.path
        if self._zero is None:
            self._zero = arrived
        is_first = tape.zero is None
        tape.push(track, frame, captured, arrived)
        if is_first:
            whose = participant if self._is_separate else None
            self.files.append(RecordedFile(tape.path, whose, arrived - self._zero))

    def advance(self, now: float) -> None:
        """Write what is complete at ``now``, and end the files of those who left."""
        for name, tape in tuple(self._tapes.items()):
            self.current = tape.path
            idle = tape.idle_since
            if self._is_separate and idle is not None and now - idle >= REJOIN:
                self._end(name)
            else:
                tape.advance(now)
        self._count()

    def finish(self) -> None:
        """Write what is left and end every file."""
        for name in tuple(self._tapes):
            self._end(name)
        self._count()
        self.finished = True

    def abandon(self) -> None:
        """Close the files as they are, after an error."""
        for tape in self._tapes.values():
            tape.abandon()

    def _end(self, name: str) -> None:
        tape = self._tapes[name]
        self.current = tape.path
        tape.finish()
        del self._tapes[name]
        self._senders.pop(name, None)
        self._ended_dropped += tape.dropped
        self._ended_lost += tape.lost_audio

    def _count(self) -> None:
        tapes = self._tapes.values()
        self.dropped = self._ended_dropped + sum(tape.dropped for tape in tapes)
        self.lost_audio = self._ended_lost + sum(tape.lost_audio for tape in tapes)

    def _new_path(self, participant: str) -> str:
        if not self._is_separate:
            return self._path
        # A name comes from outside, and is to stay one part of a path.
        name = _in_a_path(participant, self._path)
        path, number = self._path.replace(PARTICIPANT, name), 1
        while os.path.normcase(path) in self._paths:
            number += 1
            path = self._path.replace(PARTICIPANT, f"{name}-{number}")
        self._paths.add(os.path.normcase(path))
        return path


def _in_a_path(participant: str, path: str) -> str:
    """Return the part of a file's name that a participant's name gives, bounded in bytes."""
    words = re.sub(r"[^\w-]", "_", participant)
    if words.startswith("-"):
        words = f"_{words}"  # programs would take it for an option
    part = next(each for each in path.split(os.sep) if PARTICIPANT in each)
    rest = len(os.fsencode(part.replace(PARTICIPANT, ""))) + len("-9999999")
    longest = (LONGEST_NAME - rest) // part.count(PARTICIPANT)
    return file_name(words, longest=max(min(longest, _NAME_BYTES), 16), windows=True)
