"""Starts ``demuxer.py`` and reads what it sends: media from a network or a device."""

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import InputContainer

from .._util.loop_queue import LOOP_CHECK
from ..errors import SourceError, SourceNotFound, SourceTimeout, SourceUnreadable
from .demuxer import ORIGIN
from .location import Place

_ERROR_BYTES = 64 * 1024


class Remote:
    """A process that reads, and the container with what it reads; for a thread.

    Only ``kill()`` may be called from another thread, at any time: all that waits here raises then.

    Attributes:
        duration: Seconds; None if it is not known.
        live: Whether there is no end, so that one is a failure.
        origin: The timestamp at which the media starts, in seconds.
    """

    origin = Fraction(ORIGIN)

    def __init__(
        self,
        place: Place,
        timeout: float,
        *,
        start: float = 0.0,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start the process; ``open()`` does the rest.

        Args:
            place: What to open.
            timeout: Seconds that opening, and later each read, may take.
            start: Seconds of the media to begin at, or a little before.
            is_wanted: Asked while nothing comes; where it says no, the process is ended.
        """
        self._place = place
        self._is_wanted = is_wanted
        self._timeout = timeout
        self.duration: float | None = None
        self.live = False
        self._killed = False
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("demuxer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        # The URL may have a password in it, which others could see among the arguments.
        self._wish = {
            "url": place.url,
            "format": place.format,
            "options": place.options,
            "timeout": timeout,
            "start": start,
        }

    def open(self) -> InputContainer:
        """Wait for the media to begin.

        Raises:
            SourceError: It did not.
        """
        process = self._process
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(self._wish).encode() + b"\n")
            header = self._read_line()
            if not header:
                raise self.failure() or SourceUnreadable(self._place.name, "nothing came")
            told = json.loads(header)
            self.duration, self.live = told["duration"], told["live"]
            container: InputContainer = av.open(self, mode="r", format="nut")
        except SourceError:
            raise
        except BrokenPipeError as exc:
            raise SourceUnreadable(self._place.name, "the reading process ended") from exc
        except OSError as exc:
            # Also what FFmpeg says when there is a beginning and no media.
            raise self.failure() or SourceUnreadable(self._place.name, str(exc)) from exc
        return container

    def read(self, size: int) -> bytes:
        """Return up to so many bytes; none at the end, or when the process was killed."""
        stdout = self._process.stdout
        assert stdout is not None
        if hasattr(select, "poll"):  # on Windows a program that did not close it waits
            arrival = select.poll()
            arrival.register(stdout, select.POLLIN)
            while not arrival.poll(LOOP_CHECK * 1000):
                if not self._is_wanted():
                    self.kill()
        return os.read(stdout.fileno(), size)

    def _read_line(self) -> bytes:
        line = bytearray()
        # Byte by byte, because what follows the line is not for this reader.
        while not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def failure(self) -> SourceError | None:
        """Return why the process ended, once nothing more can be read; None if it was the end."""
        stderr = self._process.stderr
        assert stderr is not None
        told = b""
        while part := os.read(stderr.fileno(), 4096):
            told = (told + part)[-_ERROR_BYTES:]
        lines = told.decode(errors="replace").strip().splitlines()
        if not lines:
            return None
        try:
            said = json.loads(lines[-1])
            kind, reason = said["error"], said["reason"]
        except (ValueError, TypeError, KeyError):
            kind, reason = "unreadable", lines[-1]
        if kind == "not-found":
            return SourceNotFound(self._place.name)
        if kind == "timeout":
            return SourceTimeout(self._place.name, self._timeout)
        return SourceUnreadable(self._place.name, reason)

    def kill(self) -> None:
        """End the process at once. Can be called from any thread, again and again."""
        with self._lock:
            if not self._killed:
                self._killed = True
                self._process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        process = self._process
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
