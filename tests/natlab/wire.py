"""A wire in user space that delays and loses packets, where the kernel has no netem.

It joins two TAP devices in two namespaces, and lives as long as its standard input is open. Each
line there is a JSON object with the fields of :class:`tests.natlab.spec.Wire`, answered by a line
once it holds. Chances are drawn for each direction by itself: the same packets with the same seed
fare the same::

    python -m tests.natlab.wire /proc/1/fd/5 eth0 /proc/1/fd/6 down0
"""

import argparse
import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time
from dataclasses import dataclass, field

from tests.natlab.spec import Wire

_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_TAP_WITHOUT_HEADER = 0x0002 | 0x1000
_MTU = 65535
_BATCH = 64
"""Packets read from one side before the other has its turn."""


def open_tap(namespace: str, device: str) -> int:
    """Make a TAP device in a namespace; return its file.

    Raises:
        OSError: The kernel refused.
    """
    file = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if libc.setns(file, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns({namespace})")
    finally:
        os.close(file)
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _TAP_WITHOUT_HEADER))
    return tap


@dataclass
class Direction:
    """Packets on their way from one device to the other; knows no file and no clock.

    Attributes:
        wire: What is done to them.
        name: Tells this direction's chances from the other's.
    """

    wire: Wire
    name: str
    _chances: random.Random = field(init=False)
    _free_at: float = 0.0
    _number: int = 0
    _travelling: list[tuple[float, int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chances = random.Random(f"{self.wire.seed} {self.name}")

    def change(self, wire: Wire) -> None:
        """Treat packets otherwise from now on; those under way arrive as they would have."""
        if wire.seed != self.wire.seed:
            self._chances = random.Random(f"{wire.seed} {self.name}")
        self.wire = wire

    def put(self, packet: bytes, now: float) -> None:
        """Take a packet, or lose it."""
        wire = self.wire
        if self._chances.random() < wire.loss:
            return
        leaves = now
        if wire.rate:
            if self._free_at - now > wire.queue:
                return
            leaves = self._free_at = max(now, self._free_at) + len(packet) * 8 / wire.rate
        delay = wire.delay + self._chances.uniform(-1, 1) * wire.jitter
        self._number += 1
        heapq.heappush(self._travelling, (leaves + max(delay, 0), self._number, packet))

    @property
    def due(self) -> float:
        """The time at which the next packet arrives; infinite if none is under way."""
        return self._travelling[0][0] if self._travelling else float("inf")

    def arrived(self, now: float) -> list[bytes]:
        """Return the packets that have arrived, in the order in which they did."""
        packets = []
        while self._travelling and self._travelling[0][0] <= now:
            packets.append(heapq.heappop(self._travelling)[2])
        return packets


def carry(taps: tuple[int, int], commands: int) -> None:
    """Carry packets both ways until the commands end.

    Args:
        taps: The two devices.
        commands: The file from which changes come.
    """
    lower, upper = taps
    ways = {
        lower: (Direction(Wire(), "up"), upper),
        upper: (Direction(Wire(), "down"), lower),
    }
    poll = select.epoll()
    for file in (*taps, commands):
        poll.register(file, select.EPOLLIN)
    pending = b""
    while True:
        due = min(direction.due for direction, _ in ways.values())
        wait = max(due - time.monotonic(), 0) if due < float("inf") else -1
        for file, _ in poll.poll(wait):
            if file == commands:
                read = os.read(commands, 4096)
                if not read:
                    return
                *lines, pending = (pending + read).split(b"\n")
                for line in lines:
                    for direction, _ in ways.values():
                        direction.change(Wire(**json.loads(line)))
                    os.write(sys.stdout.fileno(), b"ok\n")
            else:
                _read_some(file, ways[file][0])
        for direction, sink in ways.values():
            for packet in direction.arrived(time.monotonic()):
                _write(sink, packet)


def _read_some(tap: int, direction: Direction) -> None:
    for _ in range(_BATCH):
        try:
            direction.put(os.read(tap, _MTU), time.monotonic())
        except BlockingIOError:
            return
        except OSError:
            return  # the device is down, nothing can be read until it is up


def _write(tap: int, packet: bytes) -> None:
    try:
        os.write(tap, packet)
    except OSError:
        return  # a device that is down takes nothing, as a cable that is pulled


def main() -> None:
    """Join the devices that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("namespace_a", "device_a", "namespace_b", "device_b"):
        parser.add_argument(name)
    given = parser.parse_args()
    taps = (
        open_tap(given.namespace_a, given.device_a),
        open_tap(given.namespace_b, given.device_b),
    )
    carry(taps, sys.stdin.fileno())


if __name__ == "__main__":
    main()
