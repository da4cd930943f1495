"""Opens a file of this machine; the counterpart of ``Remote`` for what cannot hang."""

import contextlib
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
from av.container import InputContainer
from av.error import FFmpegError

from ..errors import SourceError
from .location import Place

# Titles in another encoding must not keep a file from playing; PyAV 19 has no such option any more.
_METADATA: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)


class Local:
    """A file that is read in this process; for a thread.

    Attributes:
        duration: Seconds; None if it is not known.
        live: Whether there is no end.
        origin: The timestamp at which the media starts, in seconds; that of the container if None.
    """

    origin: Fraction | None = None
    live = False

    def __init__(self, place: Place, timeout: float, *, start: float = 0.0) -> None:
        """Take note of what to open; see ``Remote``."""
        self._place = place
        self._timeout = timeout
        self._start = start
        self._container: InputContainer | None = None
        self.duration: float | None = None

    def open(self) -> InputContainer:
        """Open the file, at ``start`` or a little before.

        Raises:
            FFmpegError: It cannot be opened.
        """
        container: InputContainer = av.open(
            self._place.url,
            mode="r",
            format=self._place.format,
            options=self._place.options,
            timeout=self._timeout,
            **_METADATA,
        )
        self._container = container
        if container.duration:
            self.duration = container.duration / av.time_base
        if self._start:
            # What has no index is read from its beginning, and what comes too early is left out.
            with contextlib.suppress(FFmpegError):
                container.seek((container.start_time or 0) + int(self._start * av.time_base))
        return container

    def failure(self) -> SourceError | None:
        """Return None: whatever fails is raised where it does."""
        return None

    def kill(self) -> None:
        """Do nothing: reading ends soon by itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._container is not None:
            self._container.close()
