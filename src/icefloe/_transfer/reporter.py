"""How a transfer goes: a bar for a person, JSON lines for a program."""

import asyncio
import json
import select
import sys
from collections.abc import Callable
from typing import Any, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress as Bar,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from icefloe._streams import lines, output, say, write_line
from icefloe.peer import RemotePeer
from icefloe.peer.files.file_names import safe_name
from icefloe.peer.files.progress import Progress
from icefloe.text import printable

_PROGRESS_EVERY = 0.2
"""Seconds between two views of the progress."""


class Reporter:
    """Says how it goes: to a person on standard error, to a program as JSON lines.

    Args:
        as_json: Whether a program reads standard output.
        data_on_stdout: Whether standard output is for the data; events then go to standard error.

    Attributes:
        as_json: Whether events go out as JSON.
    """

    def __init__(self, *, as_json: bool, data_on_stdout: bool = False) -> None:
        self.as_json = as_json
        self._out = sys.stderr if data_on_stdout else output()
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[path]}"),
            console=Console(stderr=True),
            disable=as_json or not sys.stderr.isatty(),
        )
        self._task: Any = None
        self._last = 0.0
        self._kept = 0
        self._shown_later: asyncio.TimerHandle | None = None

    def tell(self, sentence: str, event: str, **fields: object) -> None:
        """Say something, as a sentence or as an event with its fields."""
        # JSON escapes by itself: all of it is ASCII.
        text = json.dumps({"event": event, **fields}) if self.as_json else lines(sentence)
        if self._bar.live.is_started and not self.as_json:
            self._bar.console.print(text, markup=False, highlight=False)
            return
        write_line(self._out, text)

    def waiting(self, sentence: str) -> None:
        """Say what is waited for."""
        self.stop()
        say(sentence)
        if self.as_json:
            self.tell("", "waiting", message=sentence)

    def failed(self, code: int, kind: str, sentence: str) -> None:
        """Give a program its last event: with which exit code the command ends, and why."""
        if self.as_json:
            self.tell("", "error", code=code, kind=kind, message=sentence)

    def progress(self, peer: RemotePeer) -> Callable[[Progress], None]:
        """Return what shows progress over the connection with a peer."""

        def show(progress: Progress) -> None:
            loop = asyncio.get_running_loop()
            self._forget_later()
            early = self._last + _PROGRESS_EVERY - loop.time()
            if early > 0 and progress.done != progress.total:
                # What comes to a stop is shown as far as it came.
                self._shown_later = loop.call_later(early, self._show, progress, peer)
            else:
                self._show(progress, peer)

        return show

    def _show(self, progress: Progress, peer: RemotePeer) -> None:
        self._last = asyncio.get_running_loop().time()
        if self.as_json and _would_wait(self._out):
            return  # who does not read learns of the end, and does not hold up the transfer
        if self.as_json:
            self.tell(
                "",
                "progress",
                done=progress.done,
                total=progress.total,
                file=progress.path,
                path=path_in_short(peer),
            )
        elif not self._bar.disable:
            if self._task is None:
                self._bar.start()
                self._task = self._bar.add_task("", total=None, path="")
            kept = progress.done - progress.moved
            if kept != self._kept:
                self._kept = kept
                self._bar.reset(self._task, completed=progress.done)  # no part of the rate
            last = progress.path.rpartition("/")[2]
            name = printable(safe_name(last)) if last else ""  # there is none before the first file
            self._bar.update(
                self._task,
                completed=progress.done,
                total=progress.total,
                description=name if len(name) < 30 else name[:29] + "…",
                path=path_in_short(peer),
            )

    def stop(self) -> None:
        """Leave the bar as it is."""
        self._forget_later()
        self._bar.stop()

    def _forget_later(self) -> None:
        if self._shown_later is not None:
            self._shown_later.cancel()
            self._shown_later = None


def _would_wait(out: TextIO) -> bool:
    """Tell whether writing a line waits for somebody to read."""
    if sys.platform == "win32":
        return False
    return not select.select([], [out], [], 0)[1]


def path_in_short(peer: RemotePeer) -> str:
    """Return the path in short, as ``direct, host/udp``, or ``relay, turn/tls``."""
    pair = peer.connection.selectedCandidatePair
    if pair is None:
        return ""
    local = pair.local
    way = f"{local.type}/{local.protocol}"
    if local.type == "relay":
        way = f"turn/{local.relayProtocol or local.protocol}"
    return f"{'relay' if pair.relayed else 'direct'}, {way}"
