"""Demuxer program: reads a URL or a device in a separate process, which can be killed at any time.

FFmpeg's calls into the network and into drivers cannot be interrupted, and a name server, a camera
or a frame grabber may block them for long. So this program, which ``demuxer_process.py`` starts and
kills, makes these calls. It is run by its path, and imports nothing of icefloe.

Protocol: standard input has one line of JSON with the source to open. Standard output has one line
of JSON, with ``duration`` in seconds or null, and ``live``, which is true if the media has no
regular end. It is followed by the media in FFmpeg's NUT format, not transcoded, with timestamps
that start at ``ORIGIN``. After a failure, the last line of standard error is a JSON object with
``error`` and ``reason``. The program ends when its standard input is closed, and when the source
blocks for longer than its timeout.
"""

import json
import os
import sys
import threading
import time
from fractions import Fraction
from typing import Any, NoReturn

import av
from av.container import InputContainer, OutputContainer
from av.error import ExitError

ORIGIN = 16
"""Seconds that are added to timestamps, because NUT does not support negative ones."""

_GRACE = 1.0
"""Seconds beyond FFmpeg's own timeout after which FFmpeg counts as hanging."""

_METADATA: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)


class _Watchdog(threading.Thread):
    """Watchdog: ends the process if the source blocks for too long.

    FFmpeg's own timeout does not cover name resolution, drivers and closing a connection. Time that
    the parent process takes to read does not count.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(daemon=True)
        self._timeout = timeout
        self._due: float | None = None
        self.closing = False

    def waiting(self, is_waiting: bool) -> None:
        self._due = time.monotonic() + self._timeout + _GRACE if is_waiting else None

    def run(self) -> None:
        while True:
            time.sleep(0.2)
            due = self._due
            if due is None or time.monotonic() < due:
                continue
            if self.closing:
                os._exit(0)
            _fail({"error": "timeout", "reason": "no media arrived"})


def _fail(failure: dict[str, str]) -> NoReturn:
    sys.stderr.write("\n" + json.dumps(failure) + "\n")
    sys.stderr.flush()
    # An orderly exit would block on the lock of standard input, which another thread may hold.
    os._exit(1)


def _read(request: dict[str, Any], watchdog: _Watchdog) -> None:
    watchdog.waiting(True)
    opened = av.open(
        request["url"],
        mode="r",
        format=request["format"],
        options=request["options"],
        timeout=request["timeout"],
        **_METADATA,
    )
    assert isinstance(opened, InputContainer)
    with opened as container:
        duration = container.duration / av.time_base if container.duration else None
        live = duration is None and container.size <= 0
        origin = container.start_time or 0
        if request["start"]:
            container.seek(origin + int(request["start"] * av.time_base))
        sys.stdout.write(json.dumps({"duration": duration, "live": live}) + "\n")
        sys.stdout.flush()
        # Write each packet immediately: no interleaving between streams, and no buffering.
        options = {"flush_packets": "1", "max_interleave_delta": "1"}
        with av.open("pipe:1", "w", format="nut", options=options) as output:
            _copy(container, output, origin, watchdog)
        watchdog.closing = True


def _copy(
    container: InputContainer, output: OutputContainer, origin: int, watchdog: _Watchdog
) -> None:
    streams = [s for s in container.streams if s.type in ("audio", "video") and s.codec_context]
    copies: dict[int, Any] = {}
    for stream in streams:
        copies[stream.index] = copy = output.add_stream_from_template(stream, opaque=True)
        if stream.codec_context.name == "rawvideo":
            # For raw video the codec tag is the only place for the pixel format.
            copy.codec_context.codec_tag = stream.codec_context.codec_tag
    output.start_encoding()
    last: dict[int, int] = {}
    for packet in container.demux(streams):
        index = packet.stream.index
        if packet.size == 0 or packet.time_base is None:
            continue
        tick = copies[index].time_base
        scale = packet.time_base / tick
        second = round(1 / tick)
        shift = round((ORIGIN - Fraction(origin, av.time_base)) / tick)
        if packet.dts is not None:
            stamp = round(packet.dts * scale) + shift
        else:
            # Matroska has no DTS for the first pictures, some of which are shown after later ones;
            # RTSP has no timestamp at all for the first one.
            stamp = round((packet.pts or 0) * scale) + shift - second
        # NUT rejects decreasing timestamps, as those of a camera are when its clock is set.
        dts = max(stamp, last.get(index, -1) + 1, 0)
        pts = round(packet.pts * scale) + shift if packet.pts is not None else dts
        if packet.pts is None and packet.dts is None:
            pts = ORIGIN * second
        packet.time_base = tick
        last[index] = packet.dts = dts
        packet.pts = max(pts, dts)
        packet.stream = copies[index]
        watchdog.waiting(False)
        output.mux(packet)
        watchdog.waiting(True)
    # Closing flushes FFmpeg's buffers to the parent process.
    watchdog.waiting(False)
    output.close()
    watchdog.waiting(True)


def _explain(exc: BaseException) -> dict[str, str]:
    if isinstance(exc, FileNotFoundError) or type(exc).__name__ == "HTTPNotFoundError":
        kind = "not-found"
    elif isinstance(exc, TimeoutError | ExitError):
        kind = "timeout"
    else:
        kind = "unreadable"
    return {"error": kind, "reason": str(exc) or type(exc).__name__}


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> NoReturn:
    """Read the source that standard input names, and write it to standard output."""
    request = json.loads(sys.stdin.readline())
    watchdog = _Watchdog(request["timeout"])
    watchdog.start()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _read(request, watchdog)
    except BrokenPipeError:
        pass
    except Exception as exc:
        _fail(_explain(exc))
    os._exit(0)


if __name__ == "__main__":
    main()
