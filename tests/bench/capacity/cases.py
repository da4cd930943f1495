"""The cases: what the link does when, and who uses it. No I/O.

``d`` is RFC 8867 section 5.1 with the times that it has there, ``f`` and ``g`` are its sections 5.4
and 5.6, shortened, the others are what calls meet beside that.
"""

from dataclasses import dataclass, replace

from tests.bench.stacks import Stack

MBIT = 1e6
LARGE, MEDIUM = (1280, 720), (960, 540)
"""Widths and heights of pictures."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of a case with a row of its own.

    Attributes:
        seconds: Its length.
        capacity: Bits per second of the link.
        title: What happens in it.
    """

    seconds: float
    capacity: float
    title: str


@dataclass(frozen=True, slots=True)
class Case:
    """A link with its schedule, and its users.

    Attributes:
        title: The heading in the report.
        steps: The parts, one after the other.
        delay: Seconds each way, beside the queue.
        loss: The part of the packets that is lost each way, 0 to 1.
        queue: Seconds that a packet waits at most.
        sound: Whether there is a tone beside the picture.
        starts: Seconds after the first packet at which each call begins; the first is 0.
        tcp: Seconds after the first packet at which a TCP flow begins; 0 is none.
        size: Width and height of the pictures.
    """

    title: str
    steps: tuple[Step, ...]
    delay: float = 0.025
    loss: float = 0.0
    queue: float = 0.3
    sound: bool = False
    starts: tuple[float, ...] = (0.0,)
    tcp: float = 0.0
    size: tuple[int, int] = LARGE

    @property
    def seconds(self) -> float:
        """The length of all steps."""
        return sum(step.seconds for step in self.steps)

    @property
    def begins(self) -> list[float]:
        """Seconds after the first packet at which each step begins, and the end of the last."""
        times = [0.0]
        for step in self.steps:
            times.append(times[-1] + step.seconds)
        return times

    def capacity_at(self, seconds: float) -> float:
        """Return the bits per second so long after the first packet."""
        for step, end in zip(self.steps, self.begins[1:], strict=True):
            if seconds < end:
                return step.capacity
        return self.steps[-1].capacity

    def is_cut(self, number: int) -> bool:
        """Tell whether the link has less in a step than in the one before."""
        return number > 0 and self.steps[number].capacity < self.steps[number - 1].capacity

    def is_rise(self, number: int) -> bool:
        """Tell whether there is more to find in a step: it is the first, or the link has more."""
        return number == 0 or self.steps[number].capacity > self.steps[number - 1].capacity

    def scaled(self, by: float) -> "Case":
        """Return the case with all times of its schedule multiplied; delays stay."""
        return replace(
            self,
            steps=tuple(replace(step, seconds=step.seconds * by) for step in self.steps),
            starts=tuple(start * by for start in self.starts),
            tcp=self.tcp * by,
        )


def _changing(*steps: tuple[float, float]) -> tuple[Step, ...]:
    """Return steps of so many Mbit/s and seconds each."""
    return tuple(Step(seconds, rate * MBIT, f"{rate:g} Mbit/s") for rate, seconds in steps)


CASES = {
    "a": Case("1, 2.5, 0.6 and 1 Mbit/s", _changing((1, 20), (2.5, 20), (0.6, 20), (1, 20))),
    "b": Case("2.5 Mbit/s, cut to 0.5", _changing((2.5, 15), (0.5, 15))),
    "c": Case("2.5 Mbit/s with 2 % loss", _changing((2.5, 20)), loss=0.02),
    "d": Case(
        "RFC 8867 section 5.1", _changing((1, 40), (2.5, 20), (0.6, 20), (1, 20)), delay=0.05
    ),
    "e": Case(
        "100 kbit/s with sound and picture", (Step(40, 0.1 * MBIT, "100 kbit/s"),), sound=True
    ),
    "f": Case(
        "three calls on 3.5 Mbit/s",
        tuple(
            Step(seconds, 3.5 * MBIT, title)
            for seconds, title in ((20, "one call"), (20, "two calls"), (40, "three calls"))
        ),
        starts=(0.0, 20.0, 40.0),
        size=MEDIUM,
    ),
    "g": Case(
        "beside a TCP flow on 2 Mbit/s",
        (Step(15, 2 * MBIT, "alone"), Step(45, 2 * MBIT, "beside TCP")),
        tcp=15.0,
    ),
}
"""The cases by their names on the command line."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A pair of stacks: one sends, one receives.

    Attributes:
        sender: A stack, or :data:`WRTC`.
        receiver: Likewise.
    """

    sender: str
    receiver: str

    @property
    def title(self) -> str:
        """The name in the report."""
        return self.sender if self.sender == self.receiver else f"{self.sender} to {self.receiver}"


WRTC = "wrtc"
"""libwebrtc in Python, from the package of that name; taken where it is installed."""

CONTESTANTS = {
    "icefloe": Contestant(Stack.ICEFLOE, Stack.ICEFLOE),
    "aiortc": Contestant(Stack.AIORTC, Stack.AIORTC),
    "chromium": Contestant(Stack.CHROMIUM, Stack.CHROMIUM),
    "wrtc": Contestant(WRTC, WRTC),
    "to-chromium": Contestant(Stack.ICEFLOE, Stack.CHROMIUM),
    "from-chromium": Contestant(Stack.CHROMIUM, Stack.ICEFLOE),
}
"""All pairs that are compared, by their names on the command line."""

ALIKE = ("icefloe", "aiortc", "chromium", "wrtc")
"""Those whose ends are the same: three calls at once are run with these."""
