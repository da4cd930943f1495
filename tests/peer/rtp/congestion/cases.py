"""The cases of RFC 8867, and others, on simulated links; each returns its figures."""

import random
from collections.abc import Callable

from tests.peer.rtp.congestion.link import Flow, Link, Tcp, World

Figures = dict[str, float]
"""Parts of the capacity, seconds and Mbit/s by what they measure."""

Schedule = list[tuple[float, float]]

SETTLE = 5.0
"""Seconds after a change of the capacity that are not measured."""


def back_link(delay: float = 0.05) -> Link:
    return Link(10e6, delay=delay)


def steps(flows: list[Flow], link: Link, schedule: Schedule, end: float) -> Figures:
    """Return for each step the part of the capacity that is used, and the queue that stands."""
    figures: Figures = {}
    waits: list[float] = []
    for index, (start, capacity) in enumerate(schedule):
        until = schedule[index + 1][0] if index + 1 < len(schedule) else end
        used = sum(flow.rate(start + SETTLE, until) for flow in flows) / capacity
        figures[f"use {start:.0f} s"] = used
        waits += link.delays(start + SETTLE, until)
    waits.sort()
    figures["p95 queue"] = waits[int(len(waits) * 0.95)]
    return figures


def one(
    schedule: Schedule | float,
    end: float,
    *,
    demand: float = 20e6,
    queue: float = 0.3,
    loss: float = 0.0,
    jitter: float = 0.0,
    interval: float = 0.05,
    seed: int = 1,
    delay: float = 0.05,
) -> tuple[Flow, Link]:
    world = World()
    link = Link(schedule, queue=queue, loss=loss, jitter=jitter, seed=seed, delay=delay)
    flow = Flow(world, link, back_link(delay), demand=demand, feedback_interval=interval, seed=seed)
    world.run(end)
    return flow, link


def variable_one(seed: int = 1, interval: float = 0.05) -> Figures:
    schedule = [(0.0, 1e6), (40.0, 2.5e6), (60.0, 0.6e6), (80.0, 1e6)]
    flow, link = one(schedule, 100, seed=seed, interval=interval)
    return steps([flow], link, schedule, 100)


def variable_two(seed: int = 1) -> Figures:
    schedule = [(0.0, 4e6), (25.0, 2e6), (50.0, 3.5e6), (75.0, 1e6), (100.0, 2e6)]
    world, link = World(), Link(schedule)
    flows = [Flow(world, link, back_link(), seed=seed + n, start=0.3 * n) for n in range(2)]
    world.run(125)
    return steps(flows, link, schedule, 125)


def congested_back(seed: int = 1) -> Figures:
    forward = [(0.0, 2e6), (20.0, 1e6), (40.0, 0.5e6), (60.0, 2e6)]
    backward = [(0.0, 2e6), (35.0, 0.8e6), (70.0, 2e6)]
    world, link, back = World(), Link(forward), Link(backward, seed=2)
    there = Flow(world, link, back, seed=seed)
    other = Flow(world, back, link, seed=seed + 1)
    world.run(100)
    figures = steps([there], link, forward, 100)
    other_figures = steps([other], back, backward, 100)
    return figures | {f"back {name}": figure for name, figure in other_figures.items()}


def fairness(rates: list[float]) -> Figures:
    mean = sum(rates) / len(rates)
    return {"least / mean": min(rates) / mean, "most / mean": max(rates) / mean}


def three_flows(seed: int = 1) -> Figures:
    world, link = World(), Link(3.5e6)
    flows = [Flow(world, link, back_link(), start=20.0 * n, seed=seed + n) for n in range(3)]
    world.run(120)
    rates = [flow.rate(60, 80) for flow in flows]
    late = [flow.rate(80, 120) for flow in flows]
    figures = fairness(late)
    figures["use"] = sum(late) / 3.5e6
    figures |= {f"{name} (first 20 s)": value for name, value in fairness(rates).items()}
    figures["p95 queue"] = link.percentile(0.95, 65, 120)
    return figures


def round_trips(seed: int = 1) -> Figures:
    world, link = World(), Link(4e6, delay=0.005)
    flows = [
        Flow(world, link, back_link(0.005), start=10.0 * n, seed=seed + n, extra_delay=extra)
        for n, extra in enumerate((0.0, 0.02, 0.045, 0.07, 0.145))
    ]
    world.run(100)
    rates = [flow.rate(60, 100) for flow in flows]
    figures = fairness(rates)
    figures["use"] = sum(rates) / 4e6
    figures["p95 queue"] = link.percentile(0.95, 60, 100)
    return figures


def beside_tcp(seed: int = 1, begin: float = 0.0, queue: float = 0.3) -> Figures:
    world, link = World(), Link(2e6, queue=queue)
    flow = Flow(world, link, back_link(), seed=seed, start=begin)
    tcp = Tcp(world, link, back_link(), start=10.0 - begin)
    world.run(100)
    return {
        "of fair share": flow.rate(30, 100) / 1e6,
        "tcp of fair share": tcp.rate(30, 100) / 1e6,
    }


def short_tcp(seed: int = 1) -> Figures:
    world, link, source = World(), Link(2e6), random.Random(seed)
    flow = Flow(world, link, back_link(), seed=seed)
    at, sent = 5.0, 0.0
    tcps = []
    while at < 100:
        size = min(source.paretovariate(1.2) * 30_000, 1e6)
        sent += size * 8 if at > 30 else 0.0
        tcps.append(Tcp(world, link, back_link(), start=at, size=size))
        at += source.expovariate(1 / 4.0)
    world.run(100)
    rate = flow.rate(30, 100)
    tcp = sum(each.rate(30, 100) for each in tcps)
    return {
        "of what is left": rate / (2e6 - tcp),
        "tcp use": tcp / 2e6,
        "use": (rate + tcp) / 2e6,
        "p95 queue": link.percentile(0.95, 30, 100),
    }


def pause(seed: int = 1) -> Figures:
    world, link = World(), Link(3.5e6)
    flows = [
        Flow(world, link, back_link(), seed=seed + n, pauses=[(40, 60)] if n == 0 else [])
        for n in range(3)
    ]
    world.run(120)
    resumed = [flow.rate(80, 120) for flow in flows]
    return fairness(resumed) | {
        "use while paused": sum(flow.rate(45, 60) for flow in flows) / 3.5e6,
        "use resumed": sum(flow.rate(65, 120) for flow in flows) / 3.5e6,
        "p95 queue": max(link.percentile(0.95, 45, 60), link.percentile(0.95, 65, 120)),
    }


def start_up(seed: int = 1, interval: float = 0.05, delay: float = 0.05) -> Figures:
    flow, link = one(2.5e6, 20, seed=seed, interval=interval, delay=delay)
    return {
        "seconds to 2.1 Mbit/s": flow.first_at(2.1e6),
        "use of 2 s to 5 s": flow.rate(2.2, 5) / 2.5e6,
        "use": flow.rate(5, 20) / 2.5e6,
        "p95 queue": link.percentile(0.95, 5, 20),
    }


def growth(seed: int = 1, interval: float = 0.05) -> Figures:
    flow, link = one([(0.0, 1e6), (20.0, 2.5e6)], 40, seed=seed, interval=interval)
    return {
        "seconds to 2.1 Mbit/s": flow.first_at(2.1e6, 20) - 20,
        "use after 5 s": flow.rate(25, 40) / 2.5e6,
        "p95 queue": link.percentile(0.95, 5, 20),
    }


def drop(seed: int = 1, interval: float = 0.05, to: float = 0.5e6) -> Figures:
    flow, link = one([(0.0, 2.5e6), (20.0, to)], 40, seed=seed, interval=interval)
    below = flow.first_below(1.2 * to, 20)
    last = max((at for at, wait in link.waits if 20 < at < 25 and wait > 0.1), default=20.0)
    return {
        "seconds to 1.2 of it": below - 20,
        "most from 1 s to 2 s, of it": flow.most(21, 22) / to,
        "queue below 100 ms after": last - 20,
        "use after 5 s": flow.rate(25, 40) / to,
        "p95 queue": link.percentile(0.95, 25, 40),
    }


def random_loss(part: float, seed: int = 1) -> Figures:
    flow, link = one(2.5e6, 40, loss=part, seed=seed)
    return {
        "use": flow.rate(5, 40) / 2.5e6 / (1 - part),
        "p95 queue": link.percentile(0.95, 5, 40),
    }


def jitter(seconds: float, seed: int = 1) -> Figures:
    flow, link = one(2.5e6, 60, jitter=seconds, seed=seed)
    return {"use": flow.rate(10, 60) / 2.5e6, "p95 queue": link.percentile(0.95, 10, 60)}


def narrow(seed: int = 1, rate: float = 100e3) -> Figures:
    flow, link = one(rate, 60, seed=seed)
    return {
        "use": flow.rate(5, 60) / rate,
        "p95 queue": link.percentile(0.95, 10, 60),
        "p50 queue": link.percentile(0.5, 10, 60),
        "highest target, of it": flow.most(10, 60) / rate,
    }


def audio_only(seed: int = 1, link_rate: float = 5e6) -> Figures:
    world, link = World(), Link(link_rate)
    flow = Flow(world, link, back_link(), demand=40e3, audio=40e3, seed=seed)
    world.run(60)
    highest = flow.most(0, 60)
    flow.set_demand(2.5e6)
    world.run(80)
    return {
        "highest target in Mbit/s": highest / 1e6,
        "seconds to 2.1 Mbit/s": flow.first_at(2.1e6, 60) - 60,
        "use": flow.rate(65, 80) / 2.5e6,
        "p95 queue": link.percentile(0.95, 65, 80),
    }


def short_queue(seed: int = 1, queue: float = 0.02) -> Figures:
    flow, link = one(2.5e6, 60, queue=queue, seed=seed)
    sent = len(link.waits) + link.drops
    return {"use": flow.rate(5, 60) / 2.5e6, "dropped": link.drops / sent}


def longer_path(seed: int = 1) -> Figures:
    """A route that becomes 80 ms longer."""
    world, link = World(), Link(2e6)
    flow = Flow(world, link, back_link(), seed=seed)
    world.run(20)
    link.delay += 0.08
    world.run(60)
    return {
        "of the first 10 s": flow.rate(20, 30) / 2e6,
        "use": flow.rate(30, 60) / 2e6,
        "p95 queue": link.percentile(0.95, 25, 60),
    }


def lost_feedback(part: float = 0.3, seed: int = 1) -> Figures:
    world, link = World(), Link(2.5e6)
    flow = Flow(world, link, Link(10e6, loss=part, seed=seed), seed=seed)
    world.run(40)
    return {
        "seconds to 2.1 Mbit/s": flow.first_at(2.1e6),
        "use": flow.rate(5, 40) / 2.5e6,
        "p95 queue": link.percentile(0.95, 5, 40),
    }


def outage(seconds: float = 3.0, seed: int = 1) -> Figures:
    """Neither packets nor feedback arrive for a while."""
    world, link, back = World(), Link(2.5e6), back_link()
    flow = Flow(world, link, back, seed=seed)
    world.run(20)
    link.loss = back.loss = 1.0
    world.run(20 + seconds)
    during = flow.estimator.target_bitrate
    link.loss = back.loss = 0.0
    world.run(50)
    return {
        "target at its end": during / 2.5e6,
        "seconds to 2.1 Mbit/s": flow.first_at(2.1e6, 20.5 + seconds) - 20 - seconds,
        "use": flow.rate(25 + seconds, 50) / 2.5e6,
    }


def fast(seed: int = 1, rate: float = 18e6) -> Figures:
    flow, link = one(rate, 15, seed=seed)
    return {
        "seconds to 85 %": flow.first_at(0.85 * rate),
        "use": flow.rate(5, 15) / rate,
        "p95 queue": link.percentile(0.95, 5, 15),
    }


def enough(seed: int = 1) -> Figures:
    """A demand that the link has room for."""
    flow, link = one(10e6, 30, demand=2.5e6, seed=seed)
    return {
        "seconds to 2.5 Mbit/s": flow.first_at(2.5e6),
        "of demand": flow.rate(5, 30) / 2.5e6,
        "highest target, of demand": flow.most(0, 30) / 2.5e6,
        "p95 queue": link.percentile(0.95, 5, 30),
    }


CASES: dict[str, Callable[[], Figures]] = {
    "5.1 variable, one flow": variable_one,
    "5.1, feedback every 100 ms": lambda: variable_one(interval=0.1),
    "5.2 variable, two flows": variable_two,
    "5.3 congested way back": congested_back,
    "5.4 three flows": three_flows,
    "5.5 round trips of 10 to 300 ms": round_trips,
    "5.6 beside a long TCP flow": beside_tcp,
    "5.6, begun after TCP": lambda: beside_tcp(begin=9.0),
    "5.7 beside short TCP flows": short_tcp,
    "5.8 pause": pause,
    "start, 0.3 to 2.5 Mbit/s": start_up,
    "start, 100 ms each way, feedback 100 ms": lambda: start_up(interval=0.1, delay=0.1),
    "growth, 1 to 2.5 Mbit/s": growth,
    "growth, feedback every 100 ms": lambda: growth(interval=0.1),
    "drop, 2.5 to 0.5 Mbit/s": drop,
    "drop, feedback every 100 ms": lambda: drop(interval=0.1),
    "2 % random loss": lambda: random_loss(0.02),
    "3 % random loss": lambda: random_loss(0.03),
    "10 % random loss": lambda: random_loss(0.1),
    "jitter of 30 ms": lambda: jitter(0.03),
    "jitter of 100 ms": lambda: jitter(0.1),
    "100 kbit/s": narrow,
    "audio only, then video": audio_only,
    "queue of 20 ms": short_queue,
    "route 80 ms longer": longer_path,
    "30 % of feedback lost": lost_feedback,
    "outage of 3 s": outage,
    "18 Mbit/s": fast,
    "10 Mbit/s, demand of 2.5": enough,
}
