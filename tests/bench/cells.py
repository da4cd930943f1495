"""The cells of the data benchmark's table: what is sent over what link. No I/O."""

from dataclasses import dataclass
from enum import StrEnum

from tests.bench.stacks import Stack
from tests.natlab.spec import Wire

KIB = 1024
_MBIT = 1e6


class Unit(StrEnum):
    """In what a cell is measured."""

    MEGABYTES = "MB/s"
    MESSAGES = "messages/s"
    MILLISECONDS = "ms"


def path(rtt: float, *, loss: float = 0.0, rate: float = 0.0, queue: float = 0.05) -> Wire:
    """Return a wire with a round-trip time in seconds; the rest as :class:`Wire` has it."""
    return Wire(delay=rtt / 2, loss=loss, rate=rate, queue=queue)


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of the table, or two.

    Attributes:
        title: What it is called.
        wire: The link; ``None`` is one without delay.
        size: Bytes of a message.
        unit: In what it is measured.
        settled: Seconds after which it is looked at once more, without the begin; 0 is not.
        slow_wire: Whether the wire in Python is fast enough for it.
        sender: Who sends, if it is not the stack that the column is about.
        receiver: Likewise.
    """

    title: str
    wire: Wire | None
    size: int = 64 * KIB
    unit: Unit = Unit.MEGABYTES
    settled: float = 0.0
    slow_wire: bool = False
    sender: Stack | None = None
    receiver: Stack | None = None

    def ends(self, stack: Stack) -> tuple[Stack, Stack] | None:
        """Return who sends and who receives; ``None`` if the column is no stack in Python.

        What others do with each other is none of the benchmark's business.
        """
        other = self.sender or self.receiver
        if other is None:
            return stack, stack
        return (self.sender or stack, self.receiver or stack) if stack.is_python else None


CELLS = {
    "veth64": Cell("no delay, 64 KiB", None),
    "veth16": Cell("no delay, 16 KiB", None, size=16 * KIB),
    "rtt20": Cell("RTT 20 ms", path(0.02), settled=2),
    "rtt50": Cell("RTT 50 ms", path(0.05), settled=2),
    "rtt100": Cell("RTT 100 ms", path(0.1), settled=2),
    "link100": Cell(
        "100 Mbit/s, RTT 50 ms, 50 ms of queue", path(0.05, rate=100 * _MBIT), slow_wire=True
    ),
    "loss0.1": Cell("RTT 50 ms, 0.1 % loss each way", path(0.05, loss=0.001), slow_wire=True),
    "loss1": Cell("RTT 50 ms, 1 % loss each way", path(0.05, loss=0.01), slow_wire=True),
    "loss5": Cell("RTT 50 ms, 5 % loss each way", path(0.05, loss=0.05), slow_wire=True),
    "small": Cell("100 bytes one way", None, size=100, unit=Unit.MESSAGES),
    "echo": Cell("100 bytes there and back", None, size=100, unit=Unit.MILLISECONDS),
}
"""Each stack with itself at the other end, by the name it has on the command line."""

_OTHERS = {"aiortc": Stack.AIORTC, "ndc": Stack.NODE_DATACHANNEL, "chromium": Stack.CHROMIUM}
_LINKS = {
    "": ("no delay", None),
    "50": ("RTT 50 ms", path(0.05)),
    "-loss1": ("RTT 50 ms, 1 % loss each way", path(0.05, loss=0.01)),
}

MIXED = {
    f"{way}-{short}{suffix}": Cell(
        f"{way} {other}, {said}",
        wire,
        slow_wire=bool(wire and wire.loss),
        sender=other if way == "from" else None,
        receiver=other if way == "to" else None,
    )
    for short, other in _OTHERS.items()
    for suffix, (said, wire) in _LINKS.items()
    for way in ("to", "from")
}
"""The stacks in Python with another one at the other end."""

SHARED = path(0.05, rate=20 * _MBIT, queue=0.2)
"""The link that flows share: deep enough to show how much of a queue each makes for itself."""
