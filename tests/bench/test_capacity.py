"""The benchmark of links that change: its link, its figures from what was recorded, and one run."""

import json
import socket
import struct
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from tests.bench.capacity.__main__ import Plan, keep, measure
from tests.bench.capacity.bottleneck import Bottleneck, Fate, Kind, Passage, kind_of
from tests.bench.capacity.cases import CASES, CONTESTANTS, LARGE, Case, Step
from tests.bench.capacity.figures import figures, rates
from tests.bench.capacity.plot import plot
from tests.bench.capacity.recording import Call, Recording
from tests.bench.capacity.run import run
from tests.bench.capacity.table import rows_of, section
from tests.bench.capacity.wire import bottleneck_of
from tests.bench.network import ADDRESSES
from tests.bench.peers.coded import luma_of, read
from tests.bench.peers.grain import AUDIO_RATE, GrainPainter, Listener, tone

RTP = struct.pack("!BBHII", 0x80, 96, 7, 3000, 1)
CASE = Case("test", (Step(10, 1e6, "1 Mbit/s"), Step(10, 0.5e6, "0.5 Mbit/s")))


def frame(
    payload: bytes, *, size: int = 0, protocol: int = 17, port: int = 5000, to: str = ADDRESSES[1]
) -> bytes:
    """Return an Ethernet frame."""
    ip = bytes([0x45]) + bytes(8) + bytes([protocol]) + bytes(6) + socket.inet_aton(to)
    head = bytes(12) + b"\x08\x00" + ip + struct.pack("!HHHH", port, 6000, 0, 0)
    return (head + payload).ljust(size, b"\0")


def steady(rate: float, begin: float, end: float, size: int = 1250) -> list[Passage]:
    """Return packets of a call, at so many bits per second."""
    step = size * 8 / rate
    kinds = [Kind(17, 5000, 96, 3000 * n) for n in range(round((end - begin) / step))]
    return [Passage(begin + n * step, size, kind) for n, kind in enumerate(kinds)]


# --- the link


def test_packets_are_known_by_their_headers() -> None:
    assert kind_of(frame(RTP)) == Kind(17, 5000, 96, 3000)
    assert kind_of(frame(b"\x81\xc9" + bytes(20))) == Kind(17, 5000)  # RTCP
    assert kind_of(frame(b"\x00\x01" + bytes(20))) == Kind(17, 5000)  # STUN
    assert kind_of(frame(RTP, protocol=6, port=80)) == Kind(6, 80)
    assert kind_of(frame(RTP, to="8.8.8.8")) == Kind(17, 5000)  # a DNS query may look so
    assert kind_of(b"") == kind_of(bytes(60)) == Kind()
    for cut in range(len(frame(RTP))):
        kind_of(frame(RTP)[:cut])


def test_a_link_sends_packets_one_after_the_other() -> None:
    link = Bottleneck(lambda seconds: 1e6, delay=0.05, queue=1.0)
    for _ in range(3):
        link.put(frame(RTP, size=1250), 5.0)
    assert [p.wait for p in link.passages] == pytest.approx([0, 0, 0])
    assert link.due == pytest.approx(5.01)
    assert link.arrived(5.0599) == []
    assert len(link.arrived(5.0601)) == 1
    assert len(link.arrived(5.0801)) == 2
    assert [p.wait for p in link.passages] == pytest.approx([0, 0.01, 0.02])
    assert link.due == float("inf")


def test_the_schedule_begins_with_the_first_rtp_packet() -> None:
    link = bottleneck_of(
        {"steps": [(10, 1e6), (20, 1e5)], "delay": 0, "queue": 1.0, "loss": 0, "seed": 1}
    )
    link.put(frame(b"\x00\x01" + bytes(20)), 90.0)
    assert link.begun is None
    link.put(frame(RTP), 100.0)
    assert link.begun == 100.0
    assert [link.capacity(at) for at in (50, 109, 111, 500)] == [1e6, 1e6, 1e5, 1e5]


def test_what_waits_is_sent_at_the_new_capacity_and_a_full_queue_takes_nothing() -> None:
    link = Bottleneck(lambda seconds: 1e6 if seconds < 0.005 else 1e5, delay=0, queue=0.25)
    for _ in range(4):
        link.put(frame(RTP, size=1250), 1.0)
    assert len(link.arrived(1.0101)) == 1
    # Three wait 0.1 s each now.
    link.put(frame(RTP, size=1250), 1.02)
    assert link.passages[-1].fate is Fate.QUEUE_FULL
    assert [len(link.arrived(at)) for at in (1.1101, 1.2101, 1.3101)] == [1, 1, 1]
    link.put(frame(RTP, size=1250), 1.4)
    assert [p.fate for p in link.passages].count(Fate.SENT) == 5
    assert [p.wait for p in link.passages] == pytest.approx([0, 0.01, 0.11, 0.21, 0, 0])


def test_packets_are_lost_by_chance() -> None:
    link = Bottleneck(lambda seconds: 1e9, delay=0, queue=1.0, loss=0.2)
    for number in range(1000):
        link.put(frame(RTP), float(number))
    assert 150 < sum(p.fate is Fate.LOST for p in link.passages) < 250


# --- figures


def recorded(passages: list[Passage], call: Call | None = None) -> Recording:
    return Recording(passages, [call or Call()])


def test_the_part_of_the_capacity_is_that_of_the_bytes_that_left_the_queue() -> None:
    passages = [*steady(0.8e6, 0, 10), *steady(0.5e6, 10, 20)]
    passages[10] = replace(passages[10], fate=Fate.QUEUE_FULL)
    first, second = (figures(CASE, recorded(passages), step) for step in (0, 1))
    assert first is not None and second is not None
    assert first.settled == pytest.approx(0.8, rel=0.01)
    assert first.whole == pytest.approx(0.8 - 0.001, rel=0.001)
    assert first.dropped == pytest.approx(1 / 800)
    assert second.settled == pytest.approx(1.0, rel=0.02)
    assert (first.sent, first.made, first.delays) == (800, 0, None)


def test_what_waits_counts_when_it_is_sent() -> None:
    passages = [replace(p, wait=6.0) for p in steady(0.5e6, 0, 10)]
    first = figures(CASE, recorded(passages), 0)
    assert first is not None
    assert first.whole == pytest.approx(0.2, rel=0.02)
    assert first.wait == 6.0


def test_a_rise_and_a_cut_are_timed() -> None:
    full = [replace(p, wait=0.5) for p in steady(0.95e6, 4, 12)]
    passages = [*steady(0.3e6, 0, 4), *full, *steady(0.4e6, 12, 20)]
    first, second = (figures(CASE, recorded(passages), step) for step in (0, 1))
    assert first is not None and second is not None
    assert first.filled == pytest.approx(5.5, abs=0.25)
    assert first.obeyed is first.drained is second.filled is None
    assert second.obeyed == pytest.approx(2.32, abs=0.15)
    assert second.drained == pytest.approx(2.0, abs=0.05)


def test_a_sender_that_does_not_obey_is_told_from_one_that_does() -> None:
    full = [replace(p, wait=0.3) for p in steady(0.95e6, 0, 20)]
    second = figures(CASE, recorded(full), 1)
    assert second is not None
    assert second.obeyed is second.drained is None
    calm = figures(CASE, recorded(steady(0.4e6, 0, 20)), 1)
    assert calm is not None
    assert calm.obeyed == pytest.approx(0.5)
    assert calm.drained == 0.0


def test_pictures_are_compared_by_their_numbers() -> None:
    made = {n: n / 10 for n in range(200)}
    seen = {n: at + 0.1 for n, at in made.items() if not 30 <= n < 50}
    call = Call(
        made, seen, [(2.0, 0.05), (3.0, 0.4), (12.0, 0.2)], [(0.1, 640, 360), (11.0, *LARGE)]
    )
    first, second = (figures(CASE, recorded(steady(1e5, 0, 20), call), n) for n in (0, 1))
    assert first is not None and second is not None
    assert (first.made, first.arrived) == (100, 80)
    assert first.delays == pytest.approx((0.1, 0.1))
    assert first.freeze == pytest.approx(2.1)
    assert second.freeze == pytest.approx(0.1)
    assert (first.gaps, second.gaps) == ([0.4], [0.2])
    assert (first.size, second.size) == ((640, 360), LARGE)


def test_a_freeze_lasts_until_the_end_where_no_picture_comes() -> None:
    call = Call({0: 1.0}, {0: 2.0})
    first = figures(CASE, recorded(steady(1e5, 0, 20), call), 0)
    assert first is not None
    assert first.freeze == pytest.approx(18.0)


def test_calls_and_tcp_are_told_apart() -> None:
    tcp = [replace(p, kind=Kind(6, 80)) for p in steady(2e5, 0, 20)]
    other = [replace(p, kind=replace(p.kind, port=5001)) for p in steady(3e5, 1, 20)]
    passages = sorted([*steady(4e5, 0, 20), *tcp, *other], key=lambda p: p.at)
    case = replace(CASE, starts=(0.0, 15.0), tcp=5.0)
    recording = Recording(passages, [Call(), Call()])
    assert recording.ports == [5000, 5001]
    assert figures(case, recording, 0, 1) is None  # it begins later
    second = figures(case, recording, 1, 1)
    assert second is not None
    assert second.settled == pytest.approx(0.6, rel=0.02)
    assert second.tcp == pytest.approx(0.4, rel=0.02)


def test_rates_are_those_of_the_window_before() -> None:
    found = rates(steady(1e6, 0, 2), 0, 3, window=1.0, every=0.5)
    assert [round(rate / 1e6, 2) for _, rate in found] == [0, 0.5, 1, 1, 1, 0.5, 0]


# --- recordings and the report


def some(case: Case) -> Recording:
    passages = steady(0.4e6, 0, case.seconds)
    call = Call({0: 0.1, 1: 0.2}, {0: 0.3, 1: 0.5}, [(1.0, 0.3)], [(0.3, *LARGE)], frozenset({111}))
    return Recording(passages, [call] * len(case.starts), late=0.001)


def test_a_recording_survives_json() -> None:
    recording = some(CASE)
    again = Recording.from_json(json.loads(json.dumps(recording.to_json())))
    assert (again.passages, again.calls) == (recording.passages, recording.calls)
    later = Recording.from_json(recording.to_json(), begun=0.1)
    assert later.calls[0].made == pytest.approx({0: 0.0, 1: 0.1})
    assert later.passages[0].at == -0.1


@pytest.mark.parametrize("name", CASES)
def test_each_case_has_a_table_and_a_plot(name: str) -> None:
    case = CASES[name].scaled(0.1)
    recordings = {stack: some(case) for stack in CONTESTANTS}
    assert len(rows_of(case, recordings)) >= len(case.steps) * len(CONTESTANTS)
    made = section(name, case, recordings, "assets/plot.svg")
    assert all(len(row) == len(made.header) for row in made.rows)
    assert "![" in made.markdown()
    picture = ElementTree.fromstring(plot(case, recordings))
    assert picture.tag.endswith("svg")


async def test_a_report_is_made_of_recordings_that_were_kept(tmp_path: Path) -> None:
    case = CASES["b"].scaled(0.5)
    for stack in ("icefloe", "chromium"):
        keep(tmp_path, "b", stack, 0.5, some(case))
    ((made, file, text),) = await measure(Plan(["a", "b"], read=tmp_path))
    assert [row[:2] for row in made.rows] == [
        (step.title, stack) for step in case.steps for stack in ("icefloe", "chromium")
    ]
    assert (file, "7.5 s" in text) == ("capacity-b.svg", True)
    keep(tmp_path, "b", "wrtc", 1.0, some(case))
    with pytest.raises(ValueError, match="different schedules"):
        await measure(Plan(["b"], read=tmp_path))


def test_a_scaled_case_keeps_its_link() -> None:
    case = CASES["f"].scaled(0.25)
    assert (case.seconds, case.starts, case.delay) == (20.0, (0.0, 5.0, 10.0), 0.025)
    assert CASES["a"].capacity_at(45.0) == 0.6e6
    assert [CASES["a"].is_cut(n) for n in range(4)] == [False, False, True, False]
    assert [CASES["a"].is_rise(n) for n in range(4)] == [True, True, False, True]


# --- what is sent


@pytest.mark.parametrize("size", [(1280, 720), (960, 540)])
def test_pictures_have_their_numbers_above_the_grain(size: tuple[int, int]) -> None:
    painter = GrainPainter(*size)
    frames = [painter.paint(number) for number in (0, 4711, 80 + 4711)]
    assert [read(luma_of(frame)) for frame in frames] == [0, 4711, 4791]
    # The same part of the background, and another grain, that does not leave its range.
    one, other = (luma_of(frame)[size[1] // 18 :].astype(int) for frame in frames[1:])
    assert 1 < np.abs(one - other).mean() < np.abs(one - other).max() <= 16


def test_gaps_in_a_tone_are_heard() -> None:
    listener = Listener()
    heard = np.frombuffer(tone(), np.int16)
    for number in range(50):
        if number not in (10, 20, 21, 22, 23, 24, 25):
            listener.play(1 + number * 0.02, heard, AUDIO_RATE)
    assert [round(length, 2) for _, length in listener.until(2.0)] == [0.02, 0.12]
    assert listener.until(3.0)[-1] == pytest.approx((2.0, 1.0))


def test_quiet_is_a_gap() -> None:
    listener = Listener()
    heard = np.frombuffer(tone(), np.int16)
    for number in range(20):
        listener.play(
            number * 0.02, heard if number < 5 or number > 14 else heard // 50, AUDIO_RATE
        )
    (gap,) = listener.until(0.4)
    assert gap == pytest.approx((0.1, 0.2))


# --- a run


@pytest.mark.alone
@pytest.mark.system("netns", "iproute2")
async def test_a_call_over_a_link_that_changes_is_measured() -> None:
    case = CASES["e"].scaled(0.1)
    recording = await run(case, CONTESTANTS["icefloe"])
    (call,) = recording.calls
    assert len(call.made) > 30
    assert len(call.audio_types) > 0
    rows = rows_of(case, {"icefloe": recording})
    assert [row.figures.settled > 0.1 for row in rows] == [True]


@pytest.mark.alone
@pytest.mark.system("netns", "iproute2", "chromium")
async def test_a_call_of_a_page_over_a_link_that_changes_is_measured() -> None:
    case = CASES["e"].scaled(0.1)
    recording = await run(case, CONTESTANTS["chromium"])
    (call,) = recording.calls
    assert call.made and recording.of_call(0)
    assert all(width <= LARGE[0] for _, width, _ in call.sizes)
