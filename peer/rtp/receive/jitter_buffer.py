"""Adaptive jitter buffer for audio. Does no I/O.

Playout follows the clock, not the arrival of packets. At each step :meth:`JitterBuffer.next`
returns the next action: decode a packet, recover a lost packet from the FEC of its successor, or
conceal missing audio. A lost packet therefore costs only its own duration, and does not change the
delay.

The target delay follows the observed jitter, see :mod:`.delay_target`. The delay is adjusted by
time-stretching (:meth:`JitterBuffer.stretch`), and without any limit while the sender is silent.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from ..serial_numbers import Unwrapper
from .delay_target import DelayTarget

STEP = 0.02
"""Duration of a playout step, in seconds."""

_ACCELERATE_ABOVE = 0.015
"""Seconds of excess delay above which playout is accelerated."""
_DECELERATE_BELOW = 0.01
"""Seconds of missing delay above which playout is decelerated."""
_FAST_STRETCH_ABOVE = 0.1
"""Seconds of deviation from the target delay above which :data:`_STRETCH_INTERVAL` is ignored."""
_STRETCH_INTERVAL = 0.06
"""Minimum seconds between two time stretches."""
_MAX_EXCESS_DELAY = 0.5
"""Seconds of excess delay above which packets are discarded instead of stretching."""
_RESTART_DEVIATION = 3.0
"""Seconds of deviation of a packet from the reference above which the sender must have restarted
its timestamps."""
_INACTIVITY_TIMEOUT = 5.0
"""Seconds without a packet after which playout pauses. During silence (DTX), Opus sends a packet
every 0.4 s."""
_MAX_PACKETS = 256
"""Maximum number of buffered packets."""


class AudioPacket(NamedTuple):
    """A buffered audio packet.

    Attributes:
        sequence: Unwrapped sequence number.
        timestamp: Unwrapped RTP timestamp.
        duration: Duration in RTP timestamp units.
        payload: The encoded audio.
        arrived: Time of arrival, in seconds.
        silent: Whether it announces silence (DTX).
    """

    sequence: int
    timestamp: int
    duration: int
    payload: bytes
    arrived: float
    silent: bool


class Decode(NamedTuple):
    """Decode the packet."""

    packet: AudioPacket


@dataclass(frozen=True, slots=True)
class Recover:
    """Recover the lost packet before ``packet`` from its FEC; ``packet`` is decoded later."""

    packet: AudioPacket
    duration: int


@dataclass(frozen=True, slots=True)
class Conceal:
    """Conceal a duration. ``silent`` means that the sender is silent (DTX), so nothing was lost."""

    duration: int
    silent: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Play nothing: no packet has arrived yet, or the sender seems to have stopped."""


Action = Decode | Recover | Conceal | Wait


class Stretch(Enum):
    """Direction of a delay adjustment."""

    NONE = "none"
    ACCELERATE = "accelerate"
    DECELERATE = "decelerate"


class JitterBuffer:
    """Jitter buffer of one audio stream.

    Args:
        rate: RTP clock rate, in Hz.
        target: Target delay learned from another stream on the same path.

    Attributes:
        target: The target delay.
        discarded: Number of packets discarded because they were late, duplicate, or exceeded the
            capacity.
    """

    def __init__(self, rate: int, target: DelayTarget | None = None) -> None:
        self.rate = rate
        self.target: DelayTarget = target or DelayTarget()
        self.target.reset_base()
        self.discarded: int = 0
        self._grain = max(1, rate // 400)  # libopus conceals multiples of 2.5 ms
        self._step = round(STEP * rate)
        self._packets: dict[int, AudioPacket] = {}
        self._clear()
        self._stretched_at = float("-inf")

    def _clear(self) -> None:
        self.discarded += len(self._packets)
        self._packets.clear()
        self._sequences, self._timestamps = Unwrapper(16), Unwrapper(32)
        self._playing = self._silent = False
        self._next_sequence = self._next_timestamp = 0
        self._concealed = 0
        """Duration concealed while it is unknown what is missing, in RTP timestamp units."""
        self._last_arrival = float("-inf")

    @property
    def is_idle(self) -> bool:
        """True if nothing is played before another packet arrives."""
        return not self._playing and not self._packets

    @property
    def is_playing(self) -> bool:
        """True from the first audio on that :meth:`next` returned, until playout pauses."""
        return self._playing

    @property
    def position(self) -> int:
        """Unwrapped timestamp of the end of the audio returned by :meth:`next`."""
        return self._next_timestamp + self._concealed

    def put(
        self,
        now: float,
        sequence: int,
        timestamp: int,
        duration: int,
        payload: bytes,
        *,
        silent: bool = False,
    ) -> None:
        """Insert a packet.

        Args:
            now: Time of arrival, in seconds on a monotonic clock.
            sequence: 16-bit sequence number.
            timestamp: 32-bit RTP timestamp.
            duration: Duration in RTP timestamp units; more than 0.
            payload: The encoded audio.
            silent: Whether it announces silence (DTX).
        """
        unwrapped = self._timestamps.unwrap(timestamp)
        base = self.target.base
        if base is not None and abs(now - unwrapped / self.rate - base) > _RESTART_DEVIATION:
            self._clear()
            self.target.reset_base()
            unwrapped = self._timestamps.unwrap(timestamp)
        packet = AudioPacket(
            self._sequences.unwrap(sequence), unwrapped, duration, payload, now, silent
        )
        self.target.add(now, now - unwrapped / self.rate)
        self._last_arrival = now
        lateness = self._playing and packet.timestamp < self._next_timestamp
        if lateness or packet.sequence in self._packets:
            self.discarded += 1
            return
        self._packets[packet.sequence] = packet
        if len(self._packets) > _MAX_PACKETS:
            self._discard(min(self._packets))

    def delay(self, now: float, timestamp: int) -> float:
        """Return the delay of audio played now, relative to the fastest packet, in seconds.

        Args:
            now: Seconds on the clock of :meth:`put`.
            timestamp: Unwrapped RTP timestamp of the audio.
        """
        return now - timestamp / self.rate - (self.target.base or 0.0)

    def next(self, now: float) -> Action:
        """Return the next action, and count its audio as played.

        Args:
            now: Seconds on the clock of :meth:`put`.
        """
        if not self._packets:
            if not self._playing or now - self._last_arrival > _INACTIVITY_TIMEOUT:
                self._playing = False
                return Wait()
            self._concealed += self._step
            return Conceal(self._step, self._silent)
        packet = self._packets[min(self._packets)]
        if self.delay(now, packet.timestamp) > self.target.seconds + _MAX_EXCESS_DELAY:
            packet = self._discard_excess(now, packet)
        if not self._playing:
            if self.delay(now, packet.timestamp) < self.target.seconds:
                return Wait()
            self._playing = True
            return self._decode(packet)
        missing = packet.timestamp - self._next_timestamp
        if missing <= 0:
            return self._decode(packet)
        if self._silent and packet.sequence == self._next_sequence:
            return self._extend_silence(now, packet)
        # With the next packet here, the missing duration is known.
        self._next_timestamp += min(missing, self._concealed)
        self._concealed = 0
        missing = packet.timestamp - self._next_timestamp
        if missing <= 0:
            return self._decode(packet)
        if packet.sequence > self._next_sequence and missing <= packet.duration:
            self._next_timestamp = packet.timestamp
            return Recover(packet, self._round_up(missing))
        duration = min(self._step, missing)
        if packet.sequence > self._next_sequence and missing - packet.duration < duration:
            duration = missing - packet.duration
        self._next_timestamp += duration
        return Conceal(self._round_up(duration), self._silent)

    def pause(self) -> None:
        """Discard the buffer because nobody reads the track; not counted as discarded packets."""
        self._packets.clear()
        self._clear()
        self.target.reset_base()

    def can_decode(self) -> bool:
        """Return whether :meth:`next` would return the next packet in order."""
        if not self._playing or not self._packets:
            return False
        return self._packets[min(self._packets)].timestamp <= self._next_timestamp

    def stretch(self, now: float, decoded: int) -> Stretch:
        """Return how to adjust the delay with the audio played next.

        Args:
            now: Seconds on the clock of :meth:`put`.
            decoded: Duration decoded but not played yet, in RTP timestamp units.
        """
        if not self._playing or self._concealed:
            return Stretch.NONE
        deviation = self.delay(now, self._next_timestamp - decoded) - self.target.seconds
        if abs(deviation) < _FAST_STRETCH_ABOVE and now - self._stretched_at < _STRETCH_INTERVAL:
            return Stretch.NONE
        if deviation > _ACCELERATE_ABOVE:
            return Stretch.ACCELERATE
        return Stretch.DECELERATE if deviation < -_DECELERATE_BELOW else Stretch.NONE

    def stretched(self, now: float) -> None:
        """Note that the delay was adjusted."""
        self._stretched_at = now

    def _decode(self, packet: AudioPacket) -> Decode:
        del self._packets[packet.sequence]
        self._next_sequence = packet.sequence + 1
        self._next_timestamp = packet.timestamp + packet.duration
        self._silent = packet.silent
        self._concealed = 0
        return Decode(packet)

    def _extend_silence(self, now: float, packet: AudioPacket) -> Action:
        # Extend the silence until the target delay is reached.
        if self.delay(now, packet.timestamp) >= self.target.seconds:
            return self._decode(packet)
        self._concealed += self._step
        return Conceal(self._step, silent=True)

    def _discard_excess(self, now: float, packet: AudioPacket) -> AudioPacket:
        while len(self._packets) > 1 and self.delay(now, packet.timestamp) > self.target.seconds:
            self._discard(packet.sequence)
            packet = self._packets[min(self._packets)]
        self._next_sequence, self._next_timestamp = packet.sequence, packet.timestamp
        self._concealed = 0
        return packet

    def _discard(self, sequence: int) -> None:
        del self._packets[sequence]
        self.discarded += 1

    def _round_up(self, duration: int) -> int:
        return -(-duration // self._grain) * self._grain
