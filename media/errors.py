"""Errors of media sources and sinks.

::

    MediaError
    ├── InvalidParameter (also ValueError)
    ├── TrackEnded
    ├── NobodyListens
    ├── SinkError
    │   ├── OutputUnavailable
    │   ├── RecordingFailed
    │   └── SnapshotFailed
    └── SourceError
        ├── DeviceUnavailable
        ├── NotSeekable
        ├── SourceNotFound (also FileNotFoundError)
        ├── SourceUnreadable
        └── SourceTimeout (also TimeoutError)

The end of a track is not in this tree: as everywhere in aiortc, ``recv()`` of an ended track raises
``aiortc.mediastreams.MediaStreamError``.
"""

from icefloe.text import PrintableError, printable, public_url, quoted


class MediaError(PrintableError):
    """The root of every error that ``icefloe.media`` defines."""


class InvalidParameter(MediaError, ValueError):
    """A parameter of a source or sink is out of range or of the wrong kind.

    Attributes:
        name: Name of the parameter.
        value: The value that was given.
    """

    def __init__(self, name: str, value: object, demand: str) -> None:
        self.name = name
        self.value = value
        super().__init__(f"{name}={quoted(value)} is refused: {demand}")


class TrackEnded(MediaError):
    """An operation needs a live track, and the track has ended."""


class NobodyListens(MediaError):
    """The reader of an audio queue has left, and no other reader came.

    Attributes:
        seconds: Seconds without a reader after which this is raised.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            "nobody reads the audio queue: the peer it was sent to has left. Add it to another "
            "connection before pushing more, or stop() it"
        )


class SinkError(MediaError):
    """The root of the errors of output files and devices.

    The error of FFmpeg or of the system is the ``__cause__``.

    Attributes:
        path: The path or the device.
        reason: The cause, as reported by FFmpeg or the system.
    """

    def __init__(self, path: str, reason: str, sentence: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(sentence)


class RecordingFailed(SinkError):
    """A recording could not be started, or failed before its end."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            path,
            reason,
            f"cannot record to {_place(path)}: {_reason(path, reason)}. Media written before this "
            "can be played; check the folder, its permissions and the free disk space",
        )


class SnapshotFailed(SinkError):
    """A snapshot could not be taken or written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            path, reason, f"cannot write a picture to {_place(path)}: {_reason(path, reason)}"
        )


class OutputUnavailable(SinkError):
    """A loudspeaker could not be opened, or was disconnected.

    Attributes:
        available: Names of the output devices that the system lists.
    """

    def __init__(self, device: str, reason: str, available: tuple[str, ...] = ()) -> None:
        self.available = available
        listed = f"there are {', '.join(available)}" if available else "the system lists no device"
        super().__init__(device, reason, f"cannot play to {_place(device)}: {reason}; {listed}")


class SourceError(MediaError):
    """The root of the errors of input files, URLs and devices.

    Attributes:
        path: The path or URL as it was given.
    """

    def __init__(self, path: str, sentence: str) -> None:
        self.path = path
        super().__init__(sentence)


class DeviceUnavailable(SourceError):
    """A camera, a microphone or a screen cannot be used.

    Attributes:
        reason: The cause, as reported by FFmpeg or the system.
        available: Devices that can be opened instead: names with descriptions.
    """

    def __init__(self, path: str, reason: str, available: dict[str, str]) -> None:
        self.reason = reason
        self.available = available
        listed = ", ".join(
            f"{name!r} ({text})" if text else repr(name) for name, text in available.items()
        )
        super().__init__(
            path,
            f"cannot open {_place(path)}: {_reason(path, reason)}. "
            + (f"This machine has {listed}" if available else "This machine has no such device"),
        )


class NotSeekable(SourceError):
    """Seeking, or another playback rate, was requested of a source without a known length."""

    def __init__(self, path: str) -> None:
        super().__init__(
            path, f"{_place(path)} is live or has no known length: seek() and rate do not work"
        )


class SourceNotFound(SourceError, FileNotFoundError):
    """The path or URL does not exist."""

    def __init__(self, path: str) -> None:
        super().__init__(path, f"there is no file {_place(path)}; check the path")


class SourceUnreadable(SourceError):
    """The source exists, but no audio or video can be decoded from it.

    Attributes:
        reason: The cause, as reported by FFmpeg or the system.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            path,
            f"cannot play {_place(path)}: {_reason(path, reason)}. Check it with `ffprobe`, and "
            "convert it if FFmpeg does not know its format",
        )


class SourceTimeout(SourceError, TimeoutError):
    """The first frame, or the next bytes, did not arrive in time.

    Attributes:
        seconds: The timeout.
    """

    def __init__(self, path: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            path,
            f"{_place(path)} gave no media for {seconds:g} s; check that it can be reached, "
            "or raise `timeout`",
        )


def _place(path: str) -> str:
    """Return a path or URL for display, without credentials: URLs of cameras contain passwords."""
    return quoted(public_url(path), 500)


def _reason(path: str, reason: str) -> str:
    """Return FFmpeg's message, in which it repeats the URL, without credentials."""
    return printable(reason.replace(path, public_url(path)) if path else reason, 500)
