"""The process of the link: packets one way through a bottleneck, and back with nothing but delay.

It joins two TAP devices in two namespaces, and lives as long as its standard input is open. The
first line there is the case as JSON, answered by a line. ``{"begun": AT}`` is printed at the first
RTP packet, and after an empty line the record of all packets::

    python -m tests.bench.capacity.wire /proc/1/fd/5 eth0 /proc/1/fd/6 eth0
"""

import argparse
import json
import os
import select
import sys
import time
from typing import Any

from tests.bench.capacity.bottleneck import Bottleneck
from tests.natlab.spec import Wire
from tests.natlab.wire import Direction, open_tap

_MTU = 65535
_BATCH = 64
_PRIORITY = -15
"""Niceness: the programs at the ends of a network do not slow it down."""


def bottleneck_of(given: dict[str, Any]) -> Bottleneck:
    """Make the bottleneck that a line of JSON asks for."""
    steps: list[tuple[float, float]] = given["steps"]

    def capacity_at(seconds: float) -> float:
        for end, capacity in steps:
            if seconds < end:
                return capacity
        return steps[-1][1]

    return Bottleneck(
        capacity_at,
        delay=given["delay"],
        queue=given["queue"],
        loss=given["loss"],
        seed=given["seed"],
    )


class Carrier:
    """Carries packets between two devices.

    Args:
        lower: The file of the device from which packets go through the bottleneck.
        upper: That of the other one.
        given: What the link does.
    """

    def __init__(self, lower: int, upper: int, given: dict[str, Any]) -> None:
        self._lower, self._upper = lower, upper
        self._forward = bottleneck_of(given)
        self._back = Direction(
            Wire(delay=given["delay"], loss=given["loss"], seed=given["seed"]), "back"
        )
        self._late = 0.0
        self._told = False

    def run(self, commands: int) -> None:
        """Carry packets until the commands end."""
        poll = select.epoll()
        for file in (self._lower, self._upper, commands):
            poll.register(file, select.EPOLLIN)
        while True:
            due = min(self._forward.due, self._back.due)
            wait = max(due - time.monotonic(), 0) if due < float("inf") else -1
            for file, _ in poll.poll(wait):
                if file != commands:
                    self._take(file)
                elif os.read(commands, 4096):
                    self._report()
                else:
                    return
            self._deliver()

    def _take(self, file: int) -> None:
        way = self._forward if file == self._lower else self._back
        for _ in range(_BATCH):
            try:
                frame = os.read(file, _MTU)
            except OSError:
                break  # none is left, or the device is down
            way.put(frame, time.monotonic())
        if self._forward.begun is not None and not self._told:
            self._told = True
            _tell({"begun": self._forward.begun})

    def _deliver(self) -> None:
        now = time.monotonic()
        self._late = max(self._late, now - min(self._forward.due, self._back.due))
        for way, sink in ((self._forward, self._upper), (self._back, self._lower)):
            for frame in way.arrived(now):
                try:
                    os.write(sink, frame)
                except OSError:
                    continue  # a device that is down takes nothing

    def _report(self) -> None:
        passages = [
            (
                *(round(passage.at, 6), passage.size, int(passage.fate), round(passage.wait, 6)),
                *(passage.kind.protocol, passage.kind.port),
                *(passage.kind.payload_type, passage.kind.timestamp),
            )
            for passage in self._forward.passages
        ]
        _tell({"passages": passages, "late": self._late})


def _tell(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def main() -> None:
    """Join the devices that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("namespace_a", "device_a", "namespace_b", "device_b"):
        parser.add_argument(name)
    given = parser.parse_args()
    os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    lower = open_tap(given.namespace_a, given.device_a)
    upper = open_tap(given.namespace_b, given.device_b)
    carrier = Carrier(lower, upper, json.loads(sys.stdin.buffer.readline()))
    _tell({"ready": True})
    carrier.run(sys.stdin.fileno())


if __name__ == "__main__":
    main()
