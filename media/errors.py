"""What can go wrong with sources and sinks of media.

::

    MediaError
    ├── InvalidParameter (also ValueError)
    ├── TrackEnded
    ├── NobodyListens
    ├── MissingDependency (also ImportError)
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
    """A source or a sink was asked for something that it cannot do.

    Attributes:
        name: The parameter.
        value: What was given for it.
    """

    def __init__(self, name: str, value: object, demand: str) -> None:
        self.name = name
        self.value = value
        super().__init__(f"{name}={quoted(value)} is refused: {demand}")


class TrackEnded(MediaError):
    """A track that has ended was asked to take something."""


class NobodyListens(MediaError):
    """The one who read a queue of sound has left, and nobody else came.

    Attributes:
        seconds: How long another reader was waited for.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            "nobody reads the audio queue: the peer it was sent to has left. Add it to another "
            "connection before more is pushed, or stop() it"
        )


class MissingDependency(MediaError, ImportError):
    """Something needs a package that is not installed.

    Attributes:
        package: The package.
    """

    def __init__(self, user: str, package: str, requirement: str) -> None:
        self.package = package
        super().__init__(f"{user} needs {package}; install it with `pip install '{requirement}'`")


class SinkError(MediaError):
    """The root of the errors of files and devices that media goes to.

    The error of FFmpeg or of the system is the ``__cause__``.

    Attributes:
        path: The path or the device.
        reason: What stopped it, as FFmpeg or the system said it.
    """

    def __init__(self, path: str, reason: str, sentence: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(sentence)


class RecordingFailed(SinkError):
    """A recording could not be begun, or not be written to its end."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            path,
            reason,
            f"cannot record to {_place(path)}: {_reason(path, reason)}. What was written before "
            "can be played; check the folder, its permissions and the space on the disk",
        )


class SnapshotFailed(SinkError):
    """A picture could not be taken or written."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            path, reason, f"cannot write a picture to {_place(path)}: {_reason(path, reason)}"
        )


class OutputUnavailable(SinkError):
    """A loudspeaker could not be opened, or went away.

    Attributes:
        available: The names of the devices that there are, as far as the system tells them.
    """

    def __init__(self, device: str, reason: str, available: tuple[str, ...] = ()) -> None:
        self.available = available
        there = f"there are {', '.join(available)}" if available else "the system lists no device"
        super().__init__(device, reason, f"cannot play to {_place(device)}: {reason}; {there}")


class SourceError(MediaError):
    """The root of the errors of files and URLs.

    Attributes:
        path: The path or URL as it was given.
    """

    def __init__(self, path: str, sentence: str) -> None:
        self.path = path
        super().__init__(sentence)


class DeviceUnavailable(SourceError):
    """A camera, a microphone or a screen cannot be used.

    Attributes:
        reason: What stopped it, as FFmpeg or the system said it.
        available: What there is instead, as names that can be opened, each with a description.
    """

    def __init__(self, path: str, reason: str, available: dict[str, str]) -> None:
        self.reason = reason
        self.available = available
        there = ", ".join(
            f"{name!r} ({text})" if text else repr(name) for name, text in available.items()
        )
        super().__init__(
            path,
            f"cannot open {_place(path)}: {_reason(path, reason)}. "
            + (f"This machine has {there}" if available else "This machine has none that is seen"),
        )


class NotSeekable(SourceError):
    """A jump, or another speed, was asked of a source that has no known length."""

    def __init__(self, path: str) -> None:
        super().__init__(
            path, f"{_place(path)} is live, or does not tell its length: it is played as it comes"
        )


class SourceNotFound(SourceError, FileNotFoundError):
    """There is nothing at the path or URL."""

    def __init__(self, path: str) -> None:
        super().__init__(path, f"there is no file {_place(path)}; check the path")


class SourceUnreadable(SourceError):
    """There is something, and no audio or video can be decoded from it.

    Attributes:
        reason: What stopped it, as FFmpeg or the system said it.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.reason = reason
        super().__init__(
            path,
            f"cannot play {_place(path)}: {_reason(path, reason)}. Check it with `ffprobe`, and "
            "convert it if FFmpeg does not know its format",
        )


class SourceTimeout(SourceError, TimeoutError):
    """The first frame, or the next bytes, did not come in time.

    Attributes:
        seconds: How long was waited.
    """

    def __init__(self, path: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(
            path,
            f"{_place(path)} gave no media for {seconds:g} s; check that it can be reached, "
            "or raise `timeout`",
        )


def _place(path: str) -> str:
    """Return a path or URL as it is shown: cameras have their passwords in it."""
    return quoted(public_url(path), 500)


def _reason(path: str, reason: str) -> str:
    """Return what FFmpeg said, in which it repeats the URL."""
    return printable(reason.replace(path, public_url(path)) if path else reason, 500)
