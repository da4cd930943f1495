"""Reads from a network or a device in a process of its own, which can be ended at any moment.

FFmpeg's calls into the network and into drivers cannot be interrupted from outside, and a name
server, a camera or a grabber may keep one waiting for long. So they are made here, by a program
that ``demuxer_process.py`` starts and kills. It is run by its path, and imports nothing of icefloe.

It is told what to open in one line of JSON on its standard input, and answers with one on its
standard output: ``duration`` in seconds or null, and whether it is ``live``, so that an end is none
that was meant. What follows is the media in
FFmpeg's NUT, not transcoded, with timestamps that begin at ``ORIGIN``. When something fails, the
last line on the standard error output is a JSON object with ``error`` and ``reason``. It ends when
its standard input ends, and when it is kept waiting for too long.
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
"""Seconds that are added to timestamps, because NUT has none below zero."""

_GRACE = 1.0
"""Seconds beyond the timeout after which FFmpeg, which watches it too, is taken to hang."""

_METADATA: dict[str, Any] = (
    {"metadata_errors": "replace"} if int(av.__version__.partition(".")[0]) < 19 else {}
)


class _Watch(threading.Thread):
    """Ends the process when it waits for the other side too long; waiting for the reader is free.

    FFmpeg's own timeout does not cover name servers, drivers and the end of a connection.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(daemon=True)
        self._timeout = timeout
        self._due: float | None = None
        self.closing = False

    def waiting(self, is_so: bool) -> None:
        self._due = time.monotonic() + self._timeout + _GRACE if is_so else None

    def run(self) -> None:
        while True:
            time.sleep(0.2)
            due = self._due
            if due is None or time.monotonic() < due:
                continue
            if self.closing:
                os._exit(0)
            _fail({"error": "timeout", "reason": "nothing came"})


def _fail(said: dict[str, str]) -> NoReturn:
    sys.stderr.write("\n" + json.dumps(said) + "\n")
    sys.stderr.flush()
    # The thread that reads may hold the lock of the standard input, over which an orderly end
    # would trip.
    os._exit(1)


def _read(wish: dict[str, Any], watch: _Watch) -> None:
    watch.waiting(True)
    opened = av.open(
        wish["url"],
        mode="r",
        format=wish["format"],
        options=wish["options"],
        timeout=wish["timeout"],
        **_METADATA,
    )
    assert isinstance(opened, InputContainer)
    with opened as container:
        duration = container.duration / av.time_base if container.duration else None
        live = duration is None and container.size <= 0
        origin = container.start_time or 0
        if wish["start"]:
            container.seek(origin + int(wish["start"] * av.time_base))
        sys.stdout.write(json.dumps({"duration": duration, "live": live}) + "\n")
        sys.stdout.flush()
        # Packets are passed on as they come: no stream waits for another one, nothing for a buffer.
        options = {"flush_packets": "1", "max_interleave_delta": "1"}
        with av.open("pipe:1", "w", format="nut", options=options) as output:
            _copy(container, output, origin, watch)
        watch.closing = True


def _copy(container: InputContainer, output: OutputContainer, origin: int, watch: _Watch) -> None:
    streams = [s for s in container.streams if s.type in ("audio", "video") and s.codec_context]
    copies: dict[int, Any] = {}
    for stream in streams:
        copies[stream.index] = copy = output.add_stream_from_template(stream, opaque=True)
        if stream.codec_context.name == "rawvideo":
            # There is nothing else that would tell the format of the pixels.
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
            # Matroska does not tell when to decode the first pictures, some of which are shown
            # later than those that follow; RTSP tells no time at all of the first one.
            stamp = round((packet.pts or 0) * scale) + shift - second
        # NUT refuses timestamps that go back, as those of a camera do when its clock is set.
        dts = max(stamp, last.get(index, -1) + 1, 0)
        pts = round(packet.pts * scale) + shift if packet.pts is not None else dts
        if packet.pts is None and packet.dts is None:
            pts = ORIGIN * second
        packet.time_base = tick
        last[index] = packet.dts = dts
        packet.pts = max(pts, dts)
        packet.stream = copies[index]
        watch.waiting(False)
        output.mux(packet)
        watch.waiting(True)
    # What FFmpeg holds back goes to the reader now.
    watch.waiting(False)
    output.close()
    watch.waiting(True)


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
    """Read what the standard input names."""
    wish = json.loads(sys.stdin.readline())
    watch = _Watch(wish["timeout"])
    watch.start()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _read(wish, watch)
    except BrokenPipeError:
        pass
    except Exception as exc:
        _fail(_explain(exc))
    os._exit(0)


if __name__ == "__main__":
    main()
