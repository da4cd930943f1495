"""One run of the benchmark of many calls: callers, an answering program, and what it cost."""

import asyncio
import json
import math
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

_LONGEST_LINE = 2**26
_CONNECT_SECONDS = 90.0
_REPORT_SECONDS = 60.0


class Kind(StrEnum):
    """Kinds of calls."""

    VOICE = "voice"
    """Opus both ways, decoded and encoded."""
    VIDEO_IN = "video-in"
    """VP8 that the answering process takes and decodes."""
    VIDEO_OUT = "video-out"
    """VP8 that it encodes and sends."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one run.

    Attributes:
        connected: Seconds until all were connected.
        processor: Seconds of processor a second and call, of the answering process.
        frames: Frames (of 20 ms, or pictures) a second and call that it got.
        worst: Likewise, of the call that got the fewest.
        late: Frames late, of all, 0 to 1.
        sent: Packets a second and call that the callers got.
        delay: Median of the delay from microphone to loudspeaker, in seconds.
        delay_p99: 99th percentile of it.
        loop: 99th percentile of the lateness of the answering event loop, in seconds.
        stats: The sums of the members of ``inbound-rtp``.
    """

    connected: float
    processor: float
    frames: float
    worst: float
    late: float
    sent: float
    delay: float
    delay_p99: float
    loop: float
    stats: dict[str, float]


def is_there(stack: str) -> bool:
    """Return whether this machine has a stack."""
    return stack != "wrtc" or find_spec("webrtc") is not None


def percentile(values: list[float], part: float) -> float:
    """Return a percentile of values; NaN if there are none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


async def run(
    stack: str,
    count: int,
    kind: Kind = Kind.VOICE,
    *,
    seconds: float = 10.0,
    settle: float = 4.0,
    jitter: float = 0.0,
    busy: bool = False,
) -> Outcome:
    """Make calls, let them settle, and measure.

    Args:
        stack: ``icefloe``, ``aiortc`` or ``wrtc``.
        count: How many calls.
        kind: What they are.
        seconds: How long is measured.
        settle: Seconds before that, once all are connected.
        jitter: Seconds by which packets of the callers are late at random.
        busy: Whether the callers' event loop is held up for 50 to 200 ms now and then.

    Raises:
        TimeoutError: Not all calls were connected, or a process did not report.
    """
    async with (
        _program("answering", stack, kind) as answering,
        _program("callers", kind) as callers,
    ):
        await _event(answering, "ready")
        await _event(callers, "ready")
        began = time.monotonic()
        _tell(callers, do="call", kind=kind, count=count, jitter=jitter, busy=busy)
        async with asyncio.timeout(_CONNECT_SECONDS):
            relay = asyncio.ensure_future(_relay(answering, callers, count))
            await _until_connected(callers, answering, count)
            connected = time.monotonic() - began
            await relay
        await asyncio.sleep(settle)
        async with asyncio.timeout(_REPORT_SECONDS + seconds):
            _tell(callers, do="counts")
            before, at = sum((await _event(callers, "counts"))["counts"]), time.monotonic()
            _tell(answering, do="begin")
            await asyncio.sleep(seconds)
            _tell(answering, do="report")
            report = await _event(answering, "report")
            _tell(callers, do="counts")
            after = sum((await _event(callers, "counts"))["counts"])
            passed = time.monotonic() - at
    return _outcome(report, connected, (after - before) / passed / count, count)


def _outcome(report: dict[str, Any], connected: float, sent: float, count: int) -> Outcome:
    ears, seconds = report["ears"], report["seconds"]
    frames = [max(ear["seconds"] / 0.02, ear["pictures"]) / seconds for ear in ears] or [0.0]
    total = sum(frames) * seconds
    delays = [delay for ear in ears for delay in ear["delays"]]
    return Outcome(
        connected=connected,
        processor=report["processor"] / seconds / count,
        frames=sum(frames) / count,
        worst=min(frames),
        late=sum(ear["late"] for ear in ears) / total if total else math.nan,
        sent=sent,
        delay=percentile(delays, 0.5),
        delay_p99=percentile(delays, 0.99),
        loop=percentile(report["loop"], 0.99),
        stats=report["stats"],
    )


async def _relay(answering: Process, callers: Process, count: int) -> None:
    for _ in range(count):
        told = await _event(answering, "answer")
        _tell(callers, do="answer", call=told["call"], description=told["description"])


async def _until_connected(callers: Process, answering: Process, count: int) -> None:
    connected: set[int] = set()
    while len(connected) < count:
        told = await _event(callers, "offer", "state")
        if told["event"] == "offer":
            _tell(answering, do="offer", call=told["call"], description=told["description"])
        elif told["state"] == "connected":
            connected.add(told["call"])


def _tell(process: Process, **message: Any) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")


async def _event(process: Process, *names: str) -> dict[str, Any]:
    """Return the next event of these names; others are passed over."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if not line.startswith(b"{"):
            continue
        told: dict[str, Any] = json.loads(line)
        if told["event"] == "error":
            raise ConnectionError(told["text"])
        if told["event"] in names:
            return told
    raise ConnectionError(f"a process ended before it said {names}")


@asynccontextmanager
async def _program(name: str, *arguments: str) -> AsyncIterator[Process]:
    """Run a program of ``tests.bench.peers`` until the end of the block."""
    module = f"tests.bench.peers.{name}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE
    )
    assert process.stdin is not None
    try:
        yield process
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(8):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
