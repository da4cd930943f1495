"""Media with its place on the time of playing, as it goes from a thread to a track."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from av import AudioFrame, Packet, VideoFrame


class _TimeBase(Protocol):
    @property
    def numerator(self) -> int: ...
    @property
    def denominator(self) -> int: ...


@dataclass(slots=True, eq=False)
class Timed:
    """A frame or a packet, and where it is.

    Attributes:
        data: Its timestamp is the time of playing.
        kind: ``audio`` or ``video``.
        position: Seconds from the start of the media.
        time: Seconds on the time of playing.
        end: The earliest time that can follow, likewise.
    """

    data: "AudioFrame | VideoFrame | Packet[Any]"
    kind: str
    position: float
    time: float
    end: float


def seconds(ticks: int, time_base: _TimeBase) -> Fraction:
    """Return a timestamp in seconds."""
    # PyAV 19 has a rational type of its own, which is no Fraction.
    return Fraction(ticks * time_base.numerator, time_base.denominator)
