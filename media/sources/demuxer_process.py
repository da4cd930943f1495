"""Parent side of ``demuxer.py``: starts the process and reads the media of a URL or device."""

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
"""Maximum bytes of error output that are kept."""


class Remote:
    """A demuxer process, and a container with the media that it reads; for a thread.

    Only ``kill()`` may be called from another thread, at any time; blocked calls raise then.

    Attributes:
        duration: Seconds; ``None`` if not known.
        live: Whether the media has no regular end, so that an end is a failure.
        origin: Timestamp of the start of the media, in seconds.
    """

    origin: Fraction = Fraction(ORIGIN)

    def __init__(
        self,
        place: Place,
        timeout: float,
        *,
        start: float = 0.0,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Start the process; ``open()`` waits for the media.

        Args:
            place: The source to open.
            timeout: Maximum seconds for opening, and later for each read.
            start: Media time to start at, or a little before, in seconds.
            is_wanted: Called while no data arrives; the process is killed if it returns false.
        """
        self._place = place
        self._is_wanted = is_wanted
        self._timeout = timeout
        self.duration: float | None = None
        self.live: bool = False
        self._killed = False
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__).with_name("demuxer.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        # Sent by standard input: other users could see a password in a URL among the arguments.
        self._request = {
            "url": place.url,
            "format": place.format,
            "options": place.options,
            "timeout": timeout,
            "start": start,
        }

    def open(self) -> InputContainer:
        """Wait for the start of the media and open it.

        Raises:
            SourceError: The source failed, or gave no media in time.
        """
        process = self._process
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(self._request).encode() + b"\n")
            header = self._read_line()
            if not header:
                raise self.failure() or SourceUnreadable(self._place.name, "it gave no media")
            output = json.loads(header)
            self.duration, self.live = output["duration"], output["live"]
            container: InputContainer = av.open(self, mode="r", format="nut")
        except SourceError:
            raise
        except BrokenPipeError as exc:
            raise SourceUnreadable(self._place.name, "the reading process ended") from exc
        except OSError as exc:
            # FFmpeg raises this too if the header is not followed by media.
            raise self.failure() or SourceUnreadable(self._place.name, str(exc)) from exc
        return container

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; none at the end, or if the process was killed."""
        stdout = self._process.stdout
        assert stdout is not None
        if hasattr(select, "poll"):  # Windows has none: there an unclosed source blocks the exit
            arrival = select.poll()
            arrival.register(stdout, select.POLLIN)
            while not arrival.poll(LOOP_CHECK * 1000):
                if not self._is_wanted():
                    self.kill()
        return os.read(stdout.fileno(), size)

    def _read_line(self) -> bytes:
        line = bytearray()
        # Byte by byte, because the data after the line is read by FFmpeg.
        while not line.endswith(b"\n") and (byte := self.read(1)):
            line += byte
        return bytes(line)

    def failure(self) -> SourceError | None:
        """Return the error that ended the process; ``None`` at the regular end of the media.

        It is to be called after ``read()`` has returned nothing.
        """
        stderr = self._process.stderr
        assert stderr is not None
        output = b""
        while part := os.read(stderr.fileno(), 4096):
            output = (output + part)[-_ERROR_BYTES:]
        lines = output.decode(errors="replace").strip().splitlines()
        if not lines:
            return None
        try:
            message = json.loads(lines[-1])
            kind, reason = message["error"], message["reason"]
        except (ValueError, TypeError, KeyError):
            kind, reason = "unreadable", lines[-1]
        if kind == "not-found":
            return SourceNotFound(self._place.name)
        if kind == "timeout":
            return SourceTimeout(self._place.name, self._timeout)
        return SourceUnreadable(self._place.name, reason)

    def kill(self) -> None:
        """End the process immediately. Idempotent; may be called from any thread."""
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
