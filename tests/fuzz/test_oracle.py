"""The oracle itself: what does harm is found, and what does none is not."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers import complaints

from . import __main__ as command, corpus, memory
from .engine import by_hypothesis, by_mutations
from .mutator import LIMIT as LONGEST, Mutator
from .oracle import TRIES, Complaints, Finding, Kind, Oracle, watched
from .target import Run, Target, event_loop, join, load, split, stateless

logger = logging.getLogger("tests.fuzz.example")


def target(run: Run, *documented: type[Exception]) -> Target:
    """Make a target of a function."""
    return Target("example", lambda: [b"seed"], (b"token",), documented, lambda: stateless(run))


def found(run: Run, *inputs: bytes) -> list[Finding]:
    """Run inputs, and return what is found."""
    with watched(target(run, KeyError)) as oracle:
        findings = [finding for data in inputs if (finding := oracle.check(data))]
        late = oracle.late()
    return [*findings, late] if late else findings


def raising(error: BaseException) -> Run:
    """Make what raises for one input."""

    def run(data: bytes) -> None:
        if data == b"harm":
            raise error

    return run


def test_an_error_that_is_not_documented_is_found() -> None:
    (finding,) = found(raising(ValueError("no")), b"fine", b"harm")
    assert (finding.kind, finding.data, finding.reason) == (Kind.RAISED, b"harm", "ValueError: no")
    assert finding.place.startswith("ValueError at test_oracle.py:")


def test_one_that_is_documented_is_none() -> None:
    with watched(target(raising(KeyError("no")), KeyError)) as oracle:
        assert [oracle.check(data) for data in (b"fine", b"harm", b"harm")] == [None] * 3
    assert oracle.outcomes == {"ok": 1, "KeyError": 2}
    assert oracle.inputs == 3


@pytest.mark.parametrize(
    "error", [RecursionError(), MemoryError(), AssertionError(), asyncio.CancelledError()], ids=repr
)
def test_errors_of_every_kind_are_found(error: BaseException) -> None:
    (finding,) = found(raising(error), b"harm")
    assert finding.kind is Kind.RAISED


def test_a_user_who_interrupts_is_heard() -> None:
    with pytest.raises(KeyboardInterrupt):
        found(raising(KeyboardInterrupt()), b"harm")


class Clock:
    """A clock that goes by what inputs cost."""

    def __init__(self, cost: Callable[[bytes, int], float]) -> None:
        self.now = 0.0
        self.runs: dict[bytes, int] = {}
        self._cost = cost

    def __call__(self) -> float:
        return self.now

    def run(self, data: bytes) -> None:
        self.runs[data] = self.runs.get(data, 0) + 1
        self.now += self._cost(data, self.runs[data])


def timed(clock: Clock, *inputs: bytes) -> tuple[list[Finding], Oracle]:
    """Run inputs by a clock."""
    oracle = Oracle(target(clock.run), clock.run, Complaints(), clock=clock)
    return [finding for data in inputs if (finding := oracle.check(data))], oracle


def test_an_input_that_takes_too_long_each_time_is_found() -> None:
    clock = Clock(lambda data, _: 0.051 if data == b"harm" else 0.001)
    (finding,), oracle = timed(clock, b"fine", b"harm", b"fine")
    assert (finding.kind, finding.data, finding.reason) == (Kind.SLOW, b"harm", "51 ms")
    assert clock.runs[b"harm"] == TRIES
    assert oracle.outcomes == {"ok": 2, "slow": 1}


def test_every_slow_input_is_found_and_not_the_slowest_alone() -> None:
    clock = Clock(lambda data, _: 0.001 * len(data))
    findings, _ = timed(clock, bytes(90), bytes(60), bytes(40), bytes(70))
    assert [len(finding.data) for finding in findings] == [90, 60, 70]


def test_one_that_took_long_once_is_none() -> None:
    clock = Clock(lambda data, times: 1.0 if times == 1 else 0.002)
    findings, oracle = timed(clock, b"once")
    assert findings == []
    assert oracle.slowest == pytest.approx(0.002)


def test_processor_time_is_what_counts() -> None:
    burnt = []

    def run(data: bytes) -> None:
        burnt.append(sum(range(3_000_000)) if data == b"harm" else 0)

    with watched(target(run), limit=0.01) as oracle:
        finding = oracle.check(b"harm")
    assert finding is not None
    assert finding.kind is Kind.SLOW


def test_what_is_logged_as_an_error_is_found() -> None:
    def run(data: bytes) -> None:
        if data == b"harm":
            logger.error("it went wrong: %r", data)
        logger.warning("a warning is none")

    (finding,) = found(run, b"fine", b"harm", b"fine")
    assert (finding.kind, finding.data) == (Kind.LOGGED, b"harm")
    assert finding.reason == "it went wrong: b'harm'"


def test_what_asyncio_says_later_is_found_with_the_input_that_is_to_blame() -> None:
    async def take(data: bytes) -> None:
        if data == b"harm":
            loop = asyncio.get_running_loop()
            loop.call_soon(lambda: 1 // 0)
        await asyncio.sleep(0)

    with event_loop() as run_in_loop:
        (finding,) = found(lambda data: run_in_loop(take(data)), b"fine", b"harm", b"fine")
    assert (finding.kind, finding.data) == (Kind.LOGGED, b"harm")
    assert "ZeroDivisionError" in finding.place
    assert complaints.taken()  # the fixture of all tests has heard it, too


def test_what_shows_when_garbage_is_collected_is_found() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            raise ValueError("in the end")

    def run(data: bytes) -> None:
        if data == b"harm":
            Cycle()

    (finding,) = found(run, b"harm", b"fine", b"fine")
    assert (finding.kind, finding.data) == (Kind.LOGGED, b"harm")
    assert "in the end" in finding.reason


def test_what_leaks_is_seen_and_a_cache_is_not() -> None:
    kept: list[bytes] = []
    cache: dict[bytes, bytes] = {}
    inputs = [bytes([number]) * 100 for number in range(20)]

    def leaks(data: bytes) -> None:
        kept.append(data * 10)

    def caches(data: bytes) -> None:
        cache.setdefault(data, data * 10)

    assert memory.left_behind(leaks, inputs) > 1000
    assert memory.left_behind(caches, inputs) < 256


def test_what_takes_much_memory_for_a_while_is_seen() -> None:
    def run(data: bytes) -> None:
        bytearray(len(data) * memory.MIB)

    size, who = memory.most(run, [bytes(1), bytes(9), bytes(3)])
    assert size == pytest.approx(9, rel=0.1)
    assert who == bytes(9)


@contextmanager
def harmful() -> Iterator[Run]:
    """Set up what raises for every input with a zero."""

    def run(data: bytes) -> None:
        if 0 in data:
            raise ValueError("a zero")

    yield run


HARMFUL = Target("example", lambda: [b"seed"], (b"\0",), (), harmful)


@pytest.mark.parametrize("engine", [by_mutations, by_hypothesis])
def test_an_engine_finds_it_once_for_each_place(engine: Callable[..., object]) -> None:
    told: list[str] = []
    report = (by_mutations if engine is by_mutations else by_hypothesis)(
        HARMFUL, 100, 1, tell=told.append
    )
    (finding,) = report.findings
    assert 0 in finding.data
    assert report.outcomes["raised"] > 1
    assert report.outcomes["raised"] + report.outcomes["ok"] == report.inputs
    assert len(told) == 1


def test_the_same_seed_makes_the_same_inputs() -> None:
    known = load("sdp")

    def made(seed: int) -> list[bytes]:
        mutator = Mutator(known.seeds(), known.tokens, seed)
        return [mutator.next() for _ in range(100)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_mutations_are_bounded_and_keep_the_lengths_of_packets() -> None:
    single = Mutator([b"seed"], (b"token",), 1)
    assert max(len(single.next()) for _ in range(5000)) <= LONGEST
    packets = Mutator([join([b"one", b"two"]), join([b"three"])], (b"token",), 1)
    for _ in range(1000):
        data = packets.next()
        assert join(split(data)) == data


def test_any_bytes_are_packets() -> None:
    assert split(b"") == split(b"\0") == []
    assert split(b"\0\1a\0\5cd") == [b"a", b"cd"]
    assert len(split(bytes(2000))) == 32


def test_a_finding_becomes_a_file_of_the_corpus(tmp_path: Path) -> None:
    finding = Finding("example", Kind.RAISED, "ValueError at x.py:1", "no", b"harm\0")
    path = corpus.write(finding, tmp_path)
    assert corpus.load("example", tmp_path) == {path.name: b"harm\0"}
    assert "ValueError at x.py:1" in path.with_suffix(".txt").read_text()


def test_the_command_runs_and_tells(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["signaling-client", "--inputs", "200", "--engine", "mutations"]
    assert command.main(given) == 0
    assert "| signaling-client | mutations | 200 |" in capsys.readouterr().out


def test_the_command_refuses_what_is_no_target(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["nothing"])
    assert "there is no target nothing" in capsys.readouterr().err
