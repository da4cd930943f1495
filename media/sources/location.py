"""Location of a source: a file, a URL or a device, with the parameters for FFmpeg."""

import os
import stat
from dataclasses import dataclass, field
from typing import Self

_LIVE_PROTOCOLS = {"rtsp", "rtsps", "rtp", "srtp", "udp", "srt"}
"""Protocols of live sources, which send at their own pace."""


@dataclass(frozen=True, slots=True)
class Place:
    """A source that FFmpeg can open.

    Attributes:
        name: The path or URL as the user gave it, for errors.
        url: The path or URL for FFmpeg.
        format: FFmpeg's name of a demuxer or device; ``None`` to detect it.
        options: Options of FFmpeg.
        remote: Whether reading may hang, so that a separate process reads it.
        lasting: Whether to reconnect after a failure.
        waits: Whether it can be paused by not reading: a server can, a camera cannot.
    """

    name: str
    url: str
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    remote: bool = True
    lasting: bool = True
    waits: bool = True

    @classmethod
    def of(cls, path: str, options: dict[str, str] | None, format: str | None = None) -> Self:
        """Determine the kind of a path or URL; blocks, since it looks at the disk.

        Args:
            path: A path or URL; it counts as a path if there is such a file.
            options: Options of FFmpeg.
            format: FFmpeg's name of a demuxer or driver; with it, a path that is not a regular file
                is a device.
        """
        own = dict(options or {})
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            scheme = path.partition("://")[0].lower() if "://" in path else ""
            if scheme in ("rtsp", "rtsps"):
                # RTP over UDP loses whole pictures, and many networks block it.
                own.setdefault("rtsp_transport", "tcp")
            remote = scheme not in ("", "file")
            waits = scheme not in _LIVE_PROTOCOLS
            if format is not None and not remote:
                return cls(path, path, format, own, waits=False)
            return cls(path, path, format, own, remote=remote, lasting=remote, waits=waits)
        # Without "file:" FFmpeg would take the part of a file name before a colon for a protocol.
        url = f"file:{os.path.abspath(path)}"
        plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
        if format is not None and not plain:
            return cls(path, path, format, own, waits=False)
        return cls(path, url, format, own, remote=not plain, lasting=False)
