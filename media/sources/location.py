"""What is to be opened: a file, a URL or a device, in the words of FFmpeg."""

import os
import stat
from dataclasses import dataclass, field
from typing import Self

_GOES_ON = {"rtsp", "rtsps", "rtp", "srtp", "udp", "srt"}
"""Protocols over which a live source sends at its own pace."""


@dataclass(frozen=True, slots=True)
class Place:
    """What FFmpeg is to open.

    Attributes:
        name: As the user gave it, for errors.
        url: As FFmpeg is to be given it.
        format: The name of FFmpeg's demuxer or device; None if FFmpeg is to find out.
        options: For FFmpeg.
        remote: Whether reading it may hang, so that a process of its own is to do it.
        lasting: Whether what breaks off can be connected with again.
        waits: Whether it can be kept waiting: a server is, a camera goes on.
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
        """Find out what a path or a URL is; a name is taken for a path if there is such a file.

        With a ``format`` what is no plain file is a device of that driver.
        """
        own = dict(options or {})
        try:
            mode = os.stat(path).st_mode
        except (OSError, ValueError):
            scheme = path.partition("://")[0].lower() if "://" in path else ""
            if scheme in ("rtsp", "rtsps"):
                # Over UDP whole pictures are lost, and many networks let none through.
                own.setdefault("rtsp_transport", "tcp")
            remote = scheme not in ("", "file")
            waits = scheme not in _GOES_ON
            if format is not None and not remote:
                return cls(path, path, format, own, waits=False)
            return cls(path, path, format, own, remote=remote, lasting=remote, waits=waits)
        # FFmpeg would take what is before a colon in a file's name for a protocol.
        url = f"file:{os.path.abspath(path)}"
        plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
        if format is not None and not plain:
            return cls(path, path, format, own, waits=False)
        return cls(path, url, format, own, remote=not plain, lasting=False)
