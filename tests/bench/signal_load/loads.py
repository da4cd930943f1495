"""The loads: as much as a server relays, a fixed rate, joins, idle connections, a flood."""

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.signal_load.dialects import Payload
from tests.bench.signal_load.sockets import Client, Crowd, Refused, frame

_WARM_UP = 0.5
_PATIENCE = 60.0
_TICK = 0.002


@dataclass(frozen=True, slots=True)
class Relayed:
    """Figures of messages that were relayed.

    Attributes:
        messages: Messages that arrived.
        all_messages: The same, those of the warm-up included.
        seconds: For how long they were counted.
        p50: The median of their times on the way, in seconds.
        p99: The time that 99 of 100 do not exceed.
        most: The longest.
        busy: Processor time of the generator for each second.
    """

    messages: int
    all_messages: int
    seconds: float
    p50: float
    p99: float
    most: float
    busy: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


class _Traffic:
    """Pairs of clients whose messages are timed. Messages of a client arrive in their order."""

    def __init__(self, crowd: Crowd, payload: Payload) -> None:
        self.prefix = crowd.dialect.prefix(payload)
        self.clients = [crowd.clients[number] for number in sorted(crowd.clients)]
        self.frames: dict[Client, bytes] = {}
        self.partner: dict[Client, Client] = {}
        self.sent_at: dict[Client, deque[float]] = {client: deque() for client in self.clients}
        for one in self.clients:
            other = crowd.clients[one.number ^ 1]
            if other.joined is None:
                raise Refused("a client has no partner")
            self.partner[one] = other
            self.frames[one] = frame(crowd.dialect.message(other.joined.id, payload))

    def send(self, client: Client, count: int, now: float) -> None:
        self.sent_at[client].extend((now,) * count)
        client.send(self.frames[client] * count)

    def finish(self, crowd: Crowd) -> None:
        """Wait for what is on its way.

        Raises:
            Refused: Something got lost.
        """
        end = time.monotonic() + _PATIENCE
        while any(self.sent_at.values()):
            if time.monotonic() > end:
                raise Refused("messages got lost")
            for client, data in crowd.events(0.5):
                for _ in range(client.count(data, self.prefix)):
                    self.sent_at[self.partner[client]].popleft()


class _Times:
    """Collects the times of messages from the end of the warm-up on."""

    def __init__(self, seconds: float) -> None:
        self.taken: list[float] = []
        self.begin = time.perf_counter() + _WARM_UP
        self.end = self.begin + seconds
        self._cpu = 0.0
        self._warm_up = 0

    def go_on(self) -> Iterator[float]:
        is_warm = False
        while (now := time.perf_counter()) < self.end:
            if not is_warm and now >= self.begin:
                is_warm, self._cpu = True, time.process_time()
                self._warm_up = len(self.taken)
                self.taken.clear()
                self.begin = now
            yield now
        self.end = now
        self._cpu = time.process_time() - self._cpu

    def result(self) -> Relayed:
        self.taken.sort()
        if not self.taken:
            raise Refused("nothing arrived")
        seconds, count = self.end - self.begin, len(self.taken)
        p50, p99 = self.taken[count // 2], self.taken[min(count - 1, count * 99 // 100)]
        busy = self._cpu / seconds
        return Relayed(count, count + self._warm_up, seconds, p50, p99, self.taken[-1], busy)


def saturate(crowd: Crowd, payload: Payload, seconds: float, window: int) -> Relayed:
    """Keep so many messages of each client on their way; each that arrives is answered by one."""
    traffic, times = _Traffic(crowd, payload), _Times(seconds)
    prefix, partner, sent_at = traffic.prefix, traffic.partner, traffic.sent_at
    now = time.perf_counter()
    for client in traffic.clients:
        traffic.send(client, window, now)
    for _ in times.go_on():
        for client, data in crowd.events(0.5):
            count = client.count(data, prefix)
            now = time.perf_counter()
            waiting = sent_at[partner[client]]
            for _ in range(count):
                times.taken.append(now - waiting.popleft())
            if count:
                traffic.send(client, count, now)
            if client.pings:
                client.answer_pings()
    traffic.finish(crowd)
    return times.result()


def steady(crowd: Crowd, payload: Payload, seconds: float, rate: float) -> Relayed:
    """Send so many messages a second, spread over all clients, whatever becomes of them."""
    traffic, times = _Traffic(crowd, payload), _Times(seconds)
    prefix, partner, sent_at = traffic.prefix, traffic.partner, traffic.sent_at
    began, sent = time.perf_counter(), 0
    for now in times.go_on():
        due = int((now - began) * rate)
        for number in range(sent, due):
            traffic.send(traffic.clients[number % len(traffic.clients)], 1, now)
        sent = due
        for client, data in crowd.events(_TICK):
            count = client.count(data, prefix)
            arrived = time.perf_counter()
            waiting = sent_at[partner[client]]
            for _ in range(count):
                times.taken.append(arrived - waiting.popleft())
            if client.pings:
                client.answer_pings()
    traffic.finish(crowd)
    return times.result()


def flood(crowd: Crowd, payload: Payload, seconds: float) -> int:
    """Send as fast as each socket takes it; return the bytes. What comes is read and dropped."""
    traffic = _Traffic(crowd, payload)
    blobs = {client: traffic.frames[client] * 200 for client in traffic.clients}
    written = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for client in traffic.clients:
            if not client.unsent:
                written += len(blobs[client])
                client.send(blobs[client])
        for client, data in crowd.events(0.01):
            for _ in client.frames(data):
                pass
            if client.pings and not client.unsent:
                client.answer_pings()
    return written
