"""Reports a transfer: a progress bar and sentences for users, JSON lines for programs."""

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

from icefloe._streams import lines, output, show_message, write_line
from icefloe.peer import RemotePeer, TransferProgress
from icefloe.text import file_name, printable

_PROGRESS_EVERY = 0.2
"""Seconds between two updates of the progress."""


class Reporter:
    """Reports to a user with a bar on standard error, or to a program with JSON lines.

    Args:
        as_json: Whether events are printed as JSON.
        data_on_stdout: Whether standard output has the data; events then go to standard error.

    Attributes:
        as_json: Whether events are printed as JSON.
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
        self._last_update = 0.0
        self._kept = 0
        self._delayed_update: asyncio.TimerHandle | None = None

    def report(self, sentence: str, event: str, **fields: object) -> None:
        """Print an event.

        Args:
            sentence: The text for a user.
            event: The name of the event for a program.
            fields: The fields of the event.
        """
        # The output of json.dumps() is printable: all of it is ASCII.
        text = json.dumps({"event": event, **fields}) if self.as_json else lines(sentence)
        if self._bar.live.is_started and not self.as_json:
            self._bar.console.print(text, markup=False, highlight=False)
            return
        write_line(self._out, text)

    def waiting(self, sentence: str) -> None:
        """Report what the command waits for."""
        self.stop()
        show_message(sentence)
        if self.as_json:
            self.report("", "waiting", message=sentence)

    def failed(self, code: int, kind: str, sentence: str) -> None:
        """Report the final event to a program: the exit code, the kind of error, the reason."""
        if self.as_json:
            self.report("", "error", code=code, kind=kind, message=sentence)

    def progress(self, peer: RemotePeer) -> Callable[[TransferProgress], None]:
        """Return a callback that shows the progress over the connection with a peer."""

        def show(progress: TransferProgress) -> None:
            loop = asyncio.get_running_loop()
            self._cancel_delayed_update()
            left = self._last_update + _PROGRESS_EVERY - loop.time()
            if left > 0 and progress.done != progress.total:
                # Delayed and not dropped, so that the last progress before a stop is shown.
                self._delayed_update = loop.call_later(left, self._show, progress, peer)
            else:
                self._show(progress, peer)

        return show

    def _show(self, progress: TransferProgress, peer: RemotePeer) -> None:
        self._last_update = asyncio.get_running_loop().time()
        if self.as_json and _would_block(self._out):
            return  # a program that does not read must not delay the transfer
        if self.as_json:
            self.report(
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
                self._bar.reset(self._task, completed=progress.done)  # not counted in the rate
            last = progress.path.rpartition("/")[2]
            name = printable(file_name(last)) if last else ""  # empty before the first file
            self._bar.update(
                self._task,
                completed=progress.done,
                total=progress.total,
                description=name if len(name) < 30 else name[:29] + "…",
                path=path_in_short(peer),
            )

    def stop(self) -> None:
        """Stop updating the bar."""
        self._cancel_delayed_update()
        self._bar.stop()

    def _cancel_delayed_update(self) -> None:
        if self._delayed_update is not None:
            self._delayed_update.cancel()
            self._delayed_update = None


def _would_block(out: TextIO) -> bool:
    """Return whether writing a line would block until the reader has read."""
    if sys.platform == "win32":
        return False
    return not select.select([], [out], [], 0)[1]


def path_in_short(peer: RemotePeer) -> str:
    """Return a short form of the network path, as ``direct, host/udp`` or ``relay, turn/tls``."""
    pair = peer.connection.selected_candidate_pair
    if pair is None:
        return ""
    local = pair.local
    way = f"{local.type}/{local.protocol}"
    if local.type == "relay":
        way = f"turn/{local.relayProtocol or local.protocol}"
    return f"{'relay' if pair.relayed else 'direct'}, {way}"
