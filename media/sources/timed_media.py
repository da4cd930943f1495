"""Media with its playback time, as passed from a reader thread to a track."""

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
    """A frame or packet with its media and playback times.

    Attributes:
        data: The frame or packet; its timestamp is playback time.
        kind: ``audio`` or ``video``.
        position: Media time, in seconds.
        time: Playback time, in seconds.
        end: Earliest playback time of the next one, in seconds.
    """

    data: "AudioFrame | VideoFrame | Packet[Any]"
    kind: str
    position: float
    time: float
    end: float


def seconds(ticks: int, time_base: _TimeBase) -> Fraction:
    """Return a timestamp in seconds."""
    # PyAV 19 has its own rational type instead of Fraction.
    return Fraction(ticks * time_base.numerator, time_base.denominator)
