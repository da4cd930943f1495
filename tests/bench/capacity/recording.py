"""The record of a run: each packet at the link, each picture at both ends. No I/O."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

from tests.bench.capacity.bottleneck import Fate, Kind, Passage

TCP = 6


@dataclass(frozen=True, slots=True)
class Call:
    """The pictures and the sound at both ends of a call.

    Times are seconds after the first packet of the first call.

    Attributes:
        made: When each picture was handed over, by its number.
        seen: When each picture arrived, by its number.
        gaps: When sound was missing, and for how many seconds each time.
        sizes: When pictures had another size than before, and their width and height.
        audio_types: The payload types of sound.
    """

    made: dict[int, float] = field(default_factory=dict)
    seen: dict[int, float] = field(default_factory=dict)
    gaps: list[tuple[float, float]] = field(default_factory=list)
    sizes: list[tuple[float, int, int]] = field(default_factory=list)
    audio_types: frozenset[int] = frozenset()

    def made_in(self, begin: float, end: float) -> list[int]:
        """Return the numbers of the pictures that were handed over in a span of time."""
        return [number for number, at in self.made.items() if begin <= at < end]

    def delays(self, begin: float, end: float) -> list[float]:
        """Return the seconds that those took which were handed over in a span of time, sorted."""
        return sorted(
            self.seen[number] - self.made[number]
            for number in self.made_in(begin, end)
            if number in self.seen
        )

    def freeze(self, begin: float, end: float, until: float) -> float:
        """Return the longest time without a picture that begins in a span of time, in seconds.

        Args:
            begin: Where the span begins; a freeze that began before counts from there.
            end: Where it ends.
            until: When the run ended: nothing is known of later pictures.
        """
        times = sorted(self.seen.values())
        times = [begin, *times[bisect_left(times, begin) :], until]
        longest = 0.0
        for before, after in pairwise(times):
            if before < end:
                longest = max(longest, min(after, until) - before)
        return longest

    def size_at(self, at: float) -> tuple[int, int] | None:
        """Return width and height of the last picture that arrived until a time."""
        known = [(width, height) for since, width, height in self.sizes if since <= at]
        return known[-1] if known else None

    def gaps_in(self, begin: float, end: float, least: float = 0.1) -> list[float]:
        """Return the seconds of the gaps in the sound that begin in a span of time."""
        return [length for at, length in self.gaps if begin <= at < end and length > least]


@dataclass(frozen=True)
class Recording:
    """A run of a case.

    Attributes:
        passages: The packets at the link, oldest first; times as in :class:`Call`.
        calls: The calls in the order in which they began.
        late: Seconds by which the link was late at worst, because the machine was busy.
    """

    passages: Sequence[Passage]
    calls: Sequence[Call]
    late: float = 0.0

    @cached_property
    def ports(self) -> list[int]:
        """The ports from which media came, in the order in which they began."""
        ports: dict[int, None] = {}
        for passage in self.passages:
            if passage.kind.payload_type >= 0:
                ports.setdefault(passage.kind.port)
        return list(ports)

    def of_call(self, number: int) -> list[Passage]:
        """Return the packets of a call, its connection set-up included."""
        if number >= len(self.ports):
            return []
        port = self.ports[number]
        return [p for p in self.passages if p.kind.port == port and p.kind.protocol != TCP]

    def of_tcp(self) -> list[Passage]:
        """Return the packets of TCP."""
        return [p for p in self.passages if p.kind.protocol == TCP]

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON has."""
        return {
            "late": self.late,
            "passages": [
                (p.at, p.size, int(p.fate), p.wait, *_fields(p.kind)) for p in self.passages
            ],
            "calls": [
                {
                    "made": list(call.made.items()),
                    "seen": list(call.seen.items()),
                    "gaps": call.gaps,
                    "sizes": call.sizes,
                    "audio_types": sorted(call.audio_types),
                }
                for call in self.calls
            ],
        }

    @classmethod
    def from_json(cls, given: dict[str, Any], *, begun: float = 0.0) -> "Recording":
        """Read it.

        Args:
            given: What :meth:`to_json` returned, or the same with times of the machine's clock.
            begun: The time of the first packet on the clock of what is given.
        """
        calls = [
            Call(
                {number: at - begun for number, at in call["made"]},
                {number: at - begun for number, at in call["seen"]},
                [(at - begun, length) for at, length in call["gaps"]],
                [(at - begun, width, height) for at, width, height in call["sizes"]],
                frozenset(call["audio_types"]),
            )
            for call in given["calls"]
        ]
        return cls(passages_of(given["passages"], begun), calls, given["late"])


def passages_of(rows: Iterable[Sequence[Any]], begun: float = 0.0) -> list[Passage]:
    """Read the record of the link."""
    return [
        Passage(at - begun, size, Kind(*kind), Fate(fate), wait)
        for at, size, fate, wait, *kind in rows
    ]


def _fields(kind: Kind) -> tuple[int, int, int, int]:
    return kind.protocol, kind.port, kind.payload_type, kind.timestamp
