"""``FilesToSend``: files that were looked at, and can be sent as often as it takes."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .file_names import Source, gather
from .progress import total_size
from .protocol import Entry


@dataclass(frozen=True, slots=True)
class FilesToSend:
    """Files and folders, and at most one stream, for :meth:`RemotePeer.send_files`.

    A program that sends the same files again after a break looks at them once, before it has a
    peer. A file that is changed meanwhile is then noticed.

    Attributes:
        sources: The files and folders, a folder before its content.
        left_out: The paths inside of folders that are not sent: links, sockets, devices.
        stream: The stream that is sent after the files, if there is one.
    """

    sources: tuple[Source, ...] = field(repr=False)
    left_out: tuple[Path, ...] = ()
    stream: BinaryIO | None = None

    @classmethod
    async def find(
        cls,
        paths: Iterable[Path | str],
        *,
        stream: BinaryIO | None = None,
        stream_name: str = "stream",
    ) -> "FilesToSend":
        """Look at files and folders, in a thread.

        Args:
            paths: Files and folders. Links among these are followed, links inside of folders are
                not.
            stream: A stream to send as well, which is read to its end. It cannot be sent again.
            stream_name: The name of the stream for the receiver.

        Raises:
            TransferFailed: A path is empty, does not exist, cannot be read, or is neither file nor
                folder; or there are too many files, or folders are nested too deeply.

        Cancellation: safe; the thread goes on to its end.
        """
        sources, left_out = await asyncio.to_thread(gather, list(paths))
        if stream is not None:
            sources.append(Source(None, Entry(stream_name)))
        return cls(tuple(sources), tuple(left_out), stream)

    @property
    def names(self) -> list[str]:
        """The top-level files and folders, as the receiver is told."""
        return list(dict.fromkeys(each.entry.path.partition("/")[0] for each in self.sources))

    @property
    def size(self) -> int | None:
        """Bytes of all files; ``None`` if one is a stream, or of unknown size."""
        return total_size([each.entry for each in self.sources])
