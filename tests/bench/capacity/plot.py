"""The plot of a case as SVG: rate and delay over time, two plots for each stack. No I/O."""

import math
import statistics
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

from tests.bench.capacity.bottleneck import Fate
from tests.bench.capacity.cases import CONTESTANTS, MBIT, Case
from tests.bench.capacity.figures import rates
from tests.bench.capacity.recording import Call, Recording

_WIDTH, _ROW, _PLOT = 960, 148, 100
_TOP, _BOTTOM = 64, 0
_LEFTS, _SPAN = (70, 540), 390
"""The left edge and the width of the plots."""

_BACK, _INK, _FAINT, _GRID = "#f4fafc", "#12303d", "#4a6a78", "#d4e3ea"
_ROOM = "#cfe3ec"
_LINES = ("#0a7ea4", "#c2570c", "#6b3fa0")
"""The colours of calls."""
_TCP = "#7a7a7a"
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

_SHORTEST, _LONGEST = 0.02, 10.0
"""Seconds at the lower and the upper edge of the delays, which are drawn as logarithms."""
_DELAYS = {0.03: "30 ms", 0.1: "0.1 s", 0.3: "0.3 s", 1.0: "1 s", 3.0: "3 s", 10.0: "10 s"}
_POINTS = 195
"""Points of a line at most: one for two pixels."""

Points = list[tuple[float, float]]


def plot(case: Case, recordings: Mapping[str, Recording]) -> str:
    """Return the SVG.

    Args:
        case: The case as it was run.
        recordings: What was seen of each contestant, by its name.
    """
    height = _TOP + _ROW * len(recordings) + _BOTTOM
    top_rate = max(step.capacity for step in case.steps) * 1.3
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'font-family="{_FONT}" font-size="12" fill="{_INK}">',
        f'<rect width="{_WIDTH}" height="{height}" rx="8" fill="{_BACK}"/>',
        *_legend(case),
    ]
    for number, (name, recording) in enumerate(recordings.items()):
        y = _TOP + number * _ROW
        parts.append(
            f'<text x="{_LEFTS[0]}" y="{y - 6}" font-weight="650">'
            f"{escape(CONTESTANTS[name].title)}</text>"
        )
        parts += _rate_plot(case, recording, y, top_rate)
        parts += _delay_plot(case, recording, y)
    parts.append("</svg>\n")
    return "\n".join(parts)


def _legend(case: Case) -> list[str]:
    left, right = _LEFTS
    entries = [("capacity", _ROOM)]
    if len(case.starts) == 1:
        entries.append(("sent", _LINES[0]))
    else:
        entries += [(f"call {n + 1}", _LINES[n]) for n in range(len(case.starts))]
    if case.tcp:
        entries.append(("TCP", _TCP))
    parts = [
        f'<text x="{left}" y="26" font-size="14">Rate in Mbit/s</text>',
        f'<text x="{right}" y="26" font-size="14">Delay of pictures</text>',
        *_keys(left + 120, entries),
    ]
    return parts + _keys(right + 140, [("on the link", _ROOM), ("of pictures", _LINES[0])])


def _keys(x: float, entries: Iterable[tuple[str, str]]) -> list[str]:
    parts = []
    for text, colour in entries:
        parts.append(f'<rect x="{x:g}" y="16" width="14" height="10" rx="2" fill="{colour}"/>')
        parts.append(f'<text x="{x + 19:g}" y="25" fill="{_FAINT}">{text}</text>')
        x += 34 + 6.6 * len(text)
    return parts


# --- the two plots of a line


def _rate_plot(case: Case, recording: Recording, top: float, most: float) -> list[str]:
    def y(rate: float) -> float:
        return top + _PLOT - min(rate / most, 1.0) * _PLOT

    x = _scale(case, _LEFTS[0])
    room: Points = []
    for step, begin, end in zip(case.steps, case.begins, case.begins[1:], strict=False):
        room += [(x(begin), y(step.capacity)), (x(end), y(step.capacity))]
    room += [(x(case.seconds), y(0)), (x(0), y(0))]
    step_of = max(0.5, math.ceil(most / MBIT / 4 * 2) / 2)
    ticks = {n * step_of * MBIT: f"{n * step_of:g}" for n in range(int(most / step_of / MBIT) + 1)}
    parts = [f'<path d="{_path(room)}Z" fill="{_ROOM}"/>']
    parts += _axes(case, _LEFTS[0], top, {y(rate): text for rate, text in ticks.items()})
    flows = [(recording.of_call(n), _LINES[n], case.starts[n]) for n in range(len(case.starts))]
    if case.tcp:
        flows.append((recording.of_tcp(), _TCP, case.tcp))
    for passages, colour, start in flows:
        every = case.seconds / _POINTS
        seen = rates(passages, start, case.seconds, max(0.5, every), every)
        parts.append(_line([(x(at), y(rate)) for at, rate in seen], colour))
    return parts


def _delay_plot(case: Case, recording: Recording, top: float) -> list[str]:
    def y(delay: float) -> float:
        part = math.log(max(delay, _SHORTEST) / _SHORTEST) / math.log(_LONGEST / _SHORTEST)
        return top + _PLOT - min(part, 1.0) * _PLOT

    x = _scale(case, _LEFTS[1])
    bins = _POINTS // 2
    waits: list[list[float]] = [[] for _ in range(bins)]
    for passage in recording.passages:
        number = int(passage.at / case.seconds * bins)
        if 0 <= number < bins and passage.fate is Fate.SENT:
            waits[number].append(passage.wait)
    width = case.seconds / bins
    room = [(x((n + 0.5) * width), y(max(w) + case.delay)) for n, w in enumerate(waits) if w]
    parts = []
    if room:
        bottom = top + _PLOT
        area = [(room[0][0], bottom), *room, (room[-1][0], bottom)]
        parts.append(f'<path d="{_path(area)}Z" fill="{_ROOM}"/>')
    parts += _axes(case, _LEFTS[1], top, {y(delay): text for delay, text in _DELAYS.items()})
    for number, call in enumerate(recording.calls):
        for part in _delays(call, case.seconds, bins):
            parts.append(_line([(x(at), y(delay)) for at, delay in part], _LINES[number]))
    return parts


def _delays(call: Call, seconds: float, bins: int) -> list[Points]:
    """Return the longest delay in each part of the time; where no picture was seen is a gap."""
    seen = sorted(
        (call.made[n], at - call.made[n]) for n, at in call.seen.items() if n in call.made
    )
    times = [at for at, _ in seen]
    width = seconds / bins
    lines: list[Points] = [[]]
    for number in range(bins):
        begin = number * width
        found = seen[bisect_left(times, begin) : bisect_left(times, begin + width)]
        if found:
            lines[-1].append((begin + width / 2, statistics.median(delay for _, delay in found)))
        elif lines[-1]:
            lines.append([])
    return [line for line in lines if line]


def _scale(case: Case, left: float) -> Callable[[float], float]:
    return lambda at: left + at / case.seconds * _SPAN


def _axes(case: Case, left: float, top: float, ticks: Mapping[float, str]) -> list[str]:
    parts = []
    for at, text in ticks.items():
        parts.append(f'<path d="M{left} {at:.1f}h{_SPAN}" stroke="{_GRID}"/>')
        parts.append(
            f'<text x="{left - 8}" y="{at + 4:.1f}" text-anchor="end" fill="{_FAINT}">{text}</text>'
        )
    x = _scale(case, left)
    for at in case.begins:
        text = f"{at:g} s" if at else "0"
        parts.append(
            f'<text x="{x(at):.1f}" y="{top + _PLOT + 15}" text-anchor="middle" fill="{_FAINT}">'
            f"{text}</text>"
        )
    return parts


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    if len(points) == 1:
        (x, y) = points[0]
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="1.2" fill="{colour}"/>'
    return (
        f'<path d="{_path(points)}" fill="none" stroke="{colour}" stroke-width="1.6" '
        'stroke-linejoin="round"/>'
    )


def _path(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.0f} {y:.1f}" for x, y in points)
