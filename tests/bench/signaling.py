"""Messages a second, joins a second, memory and latency of the signaling server beside PeerServer.

The server and the process that loads it are on a core each; both servers have the same load in
turn, in one run, and the ratios count::

    python -m tests.bench.signaling                       # everything, 3 rounds of 5 s
    python -m tests.bench.signaling relay --rounds 5 --pairs 50
    python -m tests.bench.signaling idle --connections 10000
    python -m tests.bench.signaling relay --url ws://127.0.0.1:7001/ws --url ws://127.0.0.1:7002/ws

With ``--url`` servers are loaded that run already, icefloe's; clients go to them in turn, so that
of two servers each has one end of each pair. They need limits and a rate that permit it.
"""

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.bench.report import REPORT, Section, load, merge
from tests.bench.signal_load.dialects import Payload
from tests.bench.signal_load.servers import (
    ASYNCIO,
    DEFAULTS,
    ICEFLOE,
    PEER_SERVER,
    Generator,
    Kind,
    LoadFailed,
    Running,
    generator,
    running,
)

_HOSTILE = 1000
"""The number of the first hostile client."""

_STEADY = 20
"""Messages a second of each client at a fixed rate, below what a connection may send by default."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parts that are measured.

    Attributes:
        rounds: How often each server has its turn; the medians count.
        seconds: How long messages are relayed each time.
        pairs: Pairs of clients.
        window: Messages of each client that are on their way.
        joins: Clients that join.
        connections: Idle connections.
        urls: Servers that run already, in place of those that are started here.
    """

    rounds: int = 3
    seconds: float = 5.0
    pairs: int = 50
    window: int = 1
    joins: int = 3000
    connections: tuple[int, ...] = (5000, 10000)
    urls: tuple[str, ...] = ()

    def kinds(self, *kinds: Kind) -> tuple[Kind, ...]:
        """Return the servers to measure."""
        return (ICEFLOE,) if self.urls else kinds


@dataclass(slots=True)
class _Figures:
    """Measurements of one server, a list for each."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, figures: dict[str, Any]) -> None:
        for name, value in figures.items():
            self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float:
        return statistics.median(self.values[name])


_Measure = Callable[[Plan, Kind], dict[str, Any]]


def _in_turn(plan: Plan, kinds: tuple[Kind, ...], measure: _Measure) -> dict[Kind, _Figures]:
    found = {kind: _Figures() for kind in kinds}
    for _ in range(plan.rounds):
        for kind in kinds:
            found[kind].add(measure(plan, kind))
    return found


def _cores() -> tuple[int | None, int | None]:
    """Return the cores of the server and of what loads it."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


@contextmanager
def _server(plan: Plan, kind: Kind) -> Iterator[Running]:
    if plan.urls:
        yield Running(plan.urls)
        return
    with running(kind, _cores()[0]) as server:
        yield server


_MeasureLoaded = Callable[[Running, Generator], dict[str, Any]]


def _loaded_in_turn(
    plan: Plan, kinds: tuple[Kind, ...], measure: _MeasureLoaded
) -> dict[Kind, _Figures]:
    """Start all servers with their pairs, and load one after the other; the others are idle."""
    found = {kind: _Figures() for kind in kinds}
    with ExitStack() as stack:
        loaded: dict[Kind, tuple[Running, Generator]] = {}
        for kind in kinds:
            server = stack.enter_context(_server(plan, kind))
            clients = stack.enter_context(generator(server, kind.dialect, _cores()[1]))
            clients.ask("join", count=2 * plan.pairs, at_once=16)
            loaded[kind] = server, clients
        for _ in range(plan.rounds):
            for kind, (server, clients) in loaded.items():
                found[kind].add(measure(server, clients))
    return found


# ---- messages ----------------------------------------------------------------------------------


def relay(plan: Plan) -> Section:
    """Measure as many messages as each server relays."""
    rows = []
    for payload in Payload:

        def measure(
            server: Running, clients: Generator, payload: Payload = payload
        ) -> dict[str, Any]:
            begin = server.processor()
            got = clients.ask("saturate", payload=payload, seconds=plan.seconds, window=plan.window)
            used = (server.processor() - begin) / got["all_messages"]
            return {**got, "rate": got["messages"] / got["seconds"], "cost": used * 1e6}

        found = _loaded_in_turn(plan, plan.kinds(ICEFLOE, PEER_SERVER, ASYNCIO), measure)
        best = found[ICEFLOE]
        rows += [
            (
                f"{payload}, {kind.name}",
                f"{figures.median('rate'):,.0f}",
                f"{min(figures.values['rate']):,.0f} to {max(figures.values['rate']):,.0f}",
                f"{best.median('rate') / figures.median('rate'):.2f}",
                f"{figures.median('cost'):.1f} us",
                f"{figures.median('cost') / best.median('cost'):.2f}",
                f"{_ms(figures, 'p50')} / {_ms(figures, 'p99')}",
                f"{figures.median('busy'):.0%}",
            )
            for kind, figures in found.items()
        ]
    return Section(
        "Messages through the signaling server",
        f"{plan.pairs} pairs, each client with {plan.window} on their way: one that arrives is "
        f"answered by another. Median of {plan.rounds} runs of {plan.seconds:g} s in turn; the "
        "server has one core and what loads it another, of which the last column says how much "
        "it used. Rate and burst of icefloe's connections are raised, since 30 messages a second "
        f"are its default. `python -m tests.bench.signaling relay` Load {load()} after.",
        (
            "payload, server",
            "messages/s",
            "least to most",
            "icefloe / it",
            "processor for each",
            "its / icefloe's",
            "p50 / p99",
            "generator",
        ),
        tuple(rows),
    )


def steady(plan: Plan) -> Section:
    """Measure the time that messages take at the same rate, with the default limits too."""
    rate = _STEADY * 2 * plan.pairs

    def measure(server: Running, clients: Generator) -> dict[str, Any]:
        begin = server.processor()
        got = clients.ask("steady", seconds=plan.seconds, rate=rate)
        used = (server.processor() - begin) / got["all_messages"] * rate
        return {**got, "used": used, "rate": got["messages"] / got["seconds"]}

    found = _loaded_in_turn(plan, plan.kinds(ICEFLOE, DEFAULTS, PEER_SERVER), measure)
    rows = [
        (
            kind.name,
            f"{figures.median('rate'):,.0f}",
            f"{figures.median('used'):.0%}",
            f"{_ms(figures, 'p50')} / {_ms(figures, 'p99')} / {_ms(figures, 'most')}",
            f"{found[ICEFLOE].median('p99') / figures.median('p99'):.2f}",
        )
        for kind, figures in found.items()
    ]
    return Section(
        "Signaling at a fixed rate",
        f"{rate:,} candidates a second, spread over {plan.pairs} pairs, as above. With the "
        "default rate each connection pays from a bucket of 300 messages, 30 a second. "
        f"`python -m tests.bench.signaling steady` Load {load()} after.",
        ("server", "messages/s", "of its core", "p50 / p99 / most", "p99 of icefloe / its"),
        tuple(rows),
    )


# ---- joins and idle connections ----------------------------------------------------------------


def joins(plan: Plan) -> Section:
    """Measure how many clients can join in a second."""

    def measure(plan: Plan, kind: Kind) -> dict[str, Any]:
        with (
            _server(plan, kind) as server,
            generator(server, kind.dialect, _cores()[1]) as generating,
        ):
            begin = server.processor()
            got = generating.ask("join", count=plan.joins, at_once=64)
            cost = (server.processor() - begin) / plan.joins * 1e6
            return {**got, "rate": plan.joins / got["seconds"], "cost": cost}

    found = _in_turn(plan, plan.kinds(ICEFLOE, PEER_SERVER, ASYNCIO), measure)
    rows = [
        (
            kind.name,
            f"{figures.median('rate'):,.0f}",
            f"{found[ICEFLOE].median('rate') / figures.median('rate'):.2f}",
            f"{figures.median('cost'):.0f} us",
            f"{_ms(figures, 'p50')} / {_ms(figures, 'p99')}",
        )
        for kind, figures in found.items()
    ]
    return Section(
        "Joins",
        f"{plan.joins:,} clients, 64 at a time, from the TCP connection until they are in; they "
        "stay. icefloe's take a seat in a room by a message of their own and tell the other one "
        f"there; PeerServer has no rooms. Median of {plan.rounds} runs in turn. "
        f"`python -m tests.bench.signaling joins` Load {load()} after.",
        ("server", "joins/s", "icefloe / it", "processor for each", "p50 / p99"),
        tuple(rows),
    )


def idle(plan: Plan) -> Section:
    """Measure the memory of connections that have joined and say nothing."""
    rows = []
    for count in plan.connections:
        for kind in plan.kinds(ICEFLOE, PEER_SERVER):
            with (
                _server(plan, kind) as server,
                generator(server, kind.dialect, _cores()[1]) as generating,
            ):
                before = server.memory()
                generating.ask("join", count=count, at_once=64)
                generating.ask("settle", seconds=2.0)
                begin = server.processor()
                generating.ask("settle", seconds=plan.seconds)
                used = (server.processor() - begin) / plan.seconds
                grown = server.memory() - before
            rows.append(
                (
                    kind.name,
                    f"{count:,}",
                    f"{before / 1e6:.0f} MB",
                    f"+{grown / 1e6:.0f} MB",
                    f"{grown / count / 1024:.1f} KiB",
                    f"{used:.1%}",
                )
            )
    return Section(
        "Idle signaling connections",
        "Resident memory of the process, empty and with clients that have joined, in rooms of two "
        "at icefloe's; the last column has the processor that it takes to keep them. "
        f"`python -m tests.bench.signaling idle` Load {load()} after.",
        ("server", "connections", "empty", "with them", "each", "of its core"),
        tuple(rows),
    )


# ---- a flood -----------------------------------------------------------------------------------


def flood(plan: Plan) -> Section:
    """Measure a well-behaved pair while 100 others send as fast as they can."""

    def measure(plan: Plan, kind: Kind) -> dict[str, Any]:
        core = _cores()[1]
        with (
            _server(plan, kind) as server,
            generator(server, kind.dialect, core) as pair,
            generator(server, kind.dialect, core, first=_HOSTILE, nice=10) as hostile,
        ):
            pair.ask("join", count=2, at_once=2)
            hostile.ask("join", count=100, at_once=16)
            hostile.begin("flood", seconds=plan.seconds + 3)
            got = pair.ask("steady", seconds=plan.seconds, rate=40)
            return {**got, **hostile.finish()}

    found = _in_turn(plan, plan.kinds(DEFAULTS, PEER_SERVER), measure)
    rows = [
        (
            kind.name,
            f"{figures.median('messages'):.0f}",
            f"{_ms(figures, 'p50')} / {_ms(figures, 'p99')} / {_ms(figures, 'most')}",
            f"{figures.median('written') / 1e6:.0f} MB",
        )
        for kind, figures in found.items()
    ]
    return Section(
        "A pair beside a flood of valid messages",
        "100 connections in pairs send candidates as fast as their sockets take them; one more "
        f"pair sends 40 a second, as above. Median of {plan.rounds} runs of {plan.seconds:g} s in "
        f"turn. `python -m tests.bench.signaling flood` Load {load()} after.",
        ("server", "messages of the pair", "p50 / p99 / most", "the flood wrote"),
        tuple(rows),
    )


def _ms(figures: _Figures, name: str) -> str:
    return f"{figures.median(name) * 1e3:.1f} ms"


PARTS: dict[str, Callable[[Plan], Section]] = {
    "relay": relay,
    "steady": steady,
    "joins": joins,
    "idle": idle,
    "flood": flood,
}


def main() -> None:
    """Run what the arguments say."""
    usual = Plan()
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="all of them by default")
    parser.add_argument("--rounds", type=int, default=usual.rounds)
    parser.add_argument("--seconds", type=float, default=usual.seconds)
    parser.add_argument("--pairs", type=int, default=usual.pairs)
    parser.add_argument("--window", type=int, default=usual.window)
    parser.add_argument("--joins", type=int, default=usual.joins)
    parser.add_argument("--connections", type=int, action="append")
    parser.add_argument("--url", action="append", default=[], help="a server that runs already")
    parser.add_argument("--write", action="store_true", help="put it into docs/benchmarks.md")
    arguments = parser.parse_args()
    plan = Plan(
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        pairs=arguments.pairs,
        window=arguments.window,
        joins=arguments.joins,
        connections=tuple(arguments.connections or usual.connections),
        urls=tuple(arguments.url),
    )
    for name in arguments.parts or PARTS:
        try:
            section = PARTS[name](plan)
        except LoadFailed as error:
            sys.exit(f"{name}: {error}")
        print(section.markdown(), flush=True)
        if arguments.write:
            REPORT.write_text(merge(REPORT.read_text(), [section]))


if __name__ == "__main__":
    main()
