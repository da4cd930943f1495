"""Local files: opened in this process, unlike with ``Remote``, because reading them cannot hang."""

import contextlib
from fractions import Fraction
from types import TracebackType
from typing import Any, Self

import av
from av.container import InputContainer
from av.error import FFmpegError

from ..errors import SourceError
from .location import Place

# Metadata in another encoding must not prevent playback; PyAV 19 no longer has this option.
_METADATA: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)


class Local:
    """A file that is read in this process; for a thread.

    Attributes:
        duration: Seconds; ``None`` if not known.
        live: Whether the media has no regular end; always false.
        origin: Timestamp of the start of the media, in seconds; that of the container if ``None``.
    """

    origin: Fraction | None = None
    live = False

    def __init__(self, place: Place, timeout: float, *, start: float = 0.0) -> None:
        """Store the parameters for ``open()``; see ``Remote``."""
        self._place = place
        self._timeout = timeout
        self._start = start
        self._container: InputContainer | None = None
        self.duration: float | None = None

    def open(self) -> InputContainer:
        """Open the file at ``start`` or a little before.

        Raises:
            FFmpegError: The file cannot be opened.
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
            # A file without an index is read from its beginning; media before `start` is left out.
            with contextlib.suppress(FFmpegError):
                container.seek((container.start_time or 0) + int(self._start * av.time_base))
        return container

    def failure(self) -> SourceError | None:
        """Return ``None``: errors are raised by ``open()`` and by reading."""
        return None

    def kill(self) -> None:
        """Do nothing: reading a local file does not block for long."""

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
