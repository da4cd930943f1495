"""What is heard next, and when: a jitter buffer for audio. No I/O: the time is given.

Playing is a matter of the clock and not of arrival. Whoever plays asks at each step for what comes
next (:meth:`Playout.next`): a packet, what the next packet repeats of a lost one, or a stretch that
nothing came for. A packet that is lost therefore costs nothing but its own length, and the delay is
what it was before.

The delay that is aimed at follows the packets: how much later than the fastest of the last seconds
does each one come? Nearly all of them are waited for. What is remembered fades, so that the delay
comes down again after a bad moment. It is changed by playing a little faster or slower
(:meth:`Playout.stretch`), and freely while the sender is silent.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from ..serial_numbers import Unwrapper

STEP = 0.02
"""Seconds that are played at a time."""

_BUCKET = 0.01
_BUCKETS = 50
_FORGET = 0.983
"""What a packet leaves of the weight of those before it: after 3.5 s at 50 packets a second, one in
twenty of what is remembered is older."""
_NEARLY_ALL = 0.95
_MARGIN = 0.01
_FIRST_TARGET = 0.03
"""Seconds by which packets are taken to be late before any was."""
_WINDOW = 2.0
"""Seconds within which the fastest packet is looked for."""
_TOO_MUCH = 0.015
_TOO_LITTLE = 0.01
_HURRY = 0.1
_REST = 0.06
"""Seconds between two stretches, unless the delay is off by :data:`_HURRY`."""
_ABSURD = 0.5
"""Seconds of delay beyond what is aimed at, that are cut off instead."""
_ANOTHER_TIMELINE = 3.0
"""Seconds by which a packet is off the others, when the sender must have begun anew."""
_PATIENCE = 5.0
"""Seconds without a packet after which playing pauses. Opus sends one each 0.4 s of silence."""
_CAPACITY = 256


@dataclass(frozen=True, slots=True)
class AudioPacket:
    """A packet of audio.

    Attributes:
        sequence: Its sequence number, unwrapped.
        timestamp: Its RTP timestamp, unwrapped.
        duration: How much it plays, in units of the timestamp.
        payload: What the decoder takes.
        arrived: When it came, in seconds.
        silent: Whether it says that there is nothing to hear.
    """

    sequence: int
    timestamp: int
    duration: int
    payload: bytes
    arrived: float
    silent: bool


@dataclass(frozen=True, slots=True)
class Decode:
    """Decode this packet."""

    packet: AudioPacket


@dataclass(frozen=True, slots=True)
class Recover:
    """Decode what this packet repeats of the one before it, which is lost; it is still to come."""

    packet: AudioPacket
    duration: int


@dataclass(frozen=True, slots=True)
class Conceal:
    """Make up so much. If it is silent, there is nothing to be missed: the sender says nothing."""

    duration: int
    silent: bool


@dataclass(frozen=True, slots=True)
class Wait:
    """Play nothing: nothing has come yet, or for so long that the sender must have stopped."""


Action = Decode | Recover | Conceal | Wait


class Stretch(Enum):
    """How to change the delay."""

    NONE = "none"
    ACCELERATE = "accelerate"
    DECELERATE = "decelerate"


class DelayTarget:
    """The delay that nearly all packets keep to, with fading memory.

    W3C webrtc-stats calls it ``jitterBufferTargetDelay``.
    """

    def __init__(self) -> None:
        self._weights = [0.0] * _BUCKETS
        self._weights[round(_FIRST_TARGET / _BUCKET) - 1] = 1.0
        self._seen = 0
        self._offsets: deque[tuple[float, float]] = deque()
        """When packets came, and how much later than their timestamp: rising from left to right."""
        self.seconds = _FIRST_TARGET + _MARGIN

    @property
    def base(self) -> float | None:
        """How much later than its timestamp the fastest recent packet came, in seconds."""
        return self._offsets[0][1] if self._offsets else None

    def add(self, now: float, offset: float) -> None:
        """Note how much later than its timestamp a packet came, in seconds."""
        while self._offsets and self._offsets[-1][1] >= offset:
            self._offsets.pop()
        self._offsets.append((now, offset))
        while self._offsets[0][0] < now - _WINDOW:
            self._offsets.popleft()
        late = offset - self._offsets[0][1]
        if late >= _BUCKET * _BUCKETS:
            return  # not jitter: the path was interrupted
        self._seen += 1
        keep = min(_FORGET, 1 - 1 / (self._seen + 2))
        self._weights = [weight * keep for weight in self._weights]
        self._weights[int(late / _BUCKET)] += 1 - keep
        left = 1 - _NEARLY_ALL
        for number in reversed(range(_BUCKETS)):
            left -= self._weights[number]
            if left < 0:
                self.seconds = (number + 1) * _BUCKET + _MARGIN
                break

    def begin_again(self) -> None:
        """Forget which packet was the fastest: the sender counts from elsewhere."""
        self._offsets.clear()


class Playout:
    """The order and the moment in which the packets of one stream are played.

    Args:
        rate: The rate of its RTP timestamps, in Hz.
        target: What is known of the path, from another stream on it.

    Attributes:
        target: The delay that is aimed at.
        discarded: How many packets came too late, twice, or far too many at once.
    """

    def __init__(self, rate: int, target: DelayTarget | None = None) -> None:
        self.rate = rate
        self.target = target or DelayTarget()
        self.target.begin_again()
        self.discarded = 0
        self._grain = max(1, rate // 400)  # Opus makes up multiples of 2.5 ms
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
        self._made_up = 0
        """How much was made up while it was not known what is missing."""
        self._last_arrival = float("-inf")

    @property
    def is_idle(self) -> bool:
        """Whether nothing is played before another packet comes."""
        return not self._playing and not self._packets

    @property
    def position(self) -> int:
        """The unwrapped timestamp up to which :meth:`next` has given what there is to hear."""
        return self._next_timestamp + self._made_up

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
        """Take a packet.

        Args:
            now: Seconds on a monotonic clock, at which it came.
            sequence: Its sequence number, of 16 bits.
            timestamp: Its RTP timestamp, of 32 bits.
            duration: How much it plays, in units of the timestamp; more than 0.
            payload: What the decoder takes.
            silent: Whether it says that there is nothing to hear (DTX).
        """
        unwrapped = self._timestamps.unwrap(timestamp)
        base = self.target.base
        if base is not None and abs(now - unwrapped / self.rate - base) > _ANOTHER_TIMELINE:
            self._clear()
            self.target.begin_again()
            unwrapped = self._timestamps.unwrap(timestamp)
        packet = AudioPacket(
            self._sequences.unwrap(sequence), unwrapped, duration, payload, now, silent
        )
        self.target.add(now, now - unwrapped / self.rate)
        self._last_arrival = now
        late = self._playing and packet.timestamp < self._next_timestamp
        if late or packet.sequence in self._packets:
            self.discarded += 1
            return
        self._packets[packet.sequence] = packet
        if len(self._packets) > _CAPACITY:
            self._discard(min(self._packets))

    def delay(self, now: float, timestamp: int) -> float:
        """Return how much later than the fastest packet something is played now, in seconds."""
        return now - timestamp / self.rate - (self.target.base or 0.0)

    def next(self, now: float) -> Action:
        """Return what is to be decoded next, and consider it played.

        Args:
            now: Seconds on the clock of :meth:`put`.
        """
        if not self._packets:
            if not self._playing or now - self._last_arrival > _PATIENCE:
                self._playing = False
                return Wait()
            self._made_up += self._step
            return Conceal(self._step, self._silent)
        packet = self._packets[min(self._packets)]
        if self.delay(now, packet.timestamp) > self.target.seconds + _ABSURD:
            packet = self._cut(now, packet)
        if not self._playing:
            if self.delay(now, packet.timestamp) < self.target.seconds:
                return Wait()
            self._playing = True
            return self._decode(packet)
        missing = packet.timestamp - self._next_timestamp
        if missing <= 0:
            return self._decode(packet)
        if self._silent and packet.sequence == self._next_sequence:
            return self._between_words(now, packet)
        # Now it is known what was missing, and whether it came to an end.
        self._next_timestamp += min(missing, self._made_up)
        self._made_up = 0
        missing = packet.timestamp - self._next_timestamp
        if missing <= 0:
            return self._decode(packet)
        if packet.sequence > self._next_sequence and missing <= packet.duration:
            self._next_timestamp = packet.timestamp
            return Recover(packet, self._whole(missing))
        duration = min(self._step, missing)
        if packet.sequence > self._next_sequence and missing - packet.duration < duration:
            duration = missing - packet.duration
        self._next_timestamp += duration
        return Conceal(self._whole(duration), self._silent)

    def pause(self) -> None:
        """Begin anew with what comes next: nobody listens, and nothing of it is missed."""
        self._packets.clear()
        self._clear()
        self.target.begin_again()

    def can_decode(self) -> bool:
        """Whether :meth:`next` would give a packet in its turn."""
        if not self._playing or not self._packets:
            return False
        return self._packets[min(self._packets)].timestamp <= self._next_timestamp

    def stretch(self, now: float, held: int) -> Stretch:
        """Say how to change the delay with what is played next.

        Args:
            now: Seconds on the clock of :meth:`put`.
            held: How much is decoded and not played yet, in units of the timestamp.
        """
        if not self._playing or self._made_up:
            return Stretch.NONE
        off = self.delay(now, self._next_timestamp - held) - self.target.seconds
        if abs(off) < _HURRY and now - self._stretched_at < _REST:
            return Stretch.NONE
        if off > _TOO_MUCH:
            return Stretch.ACCELERATE
        return Stretch.DECELERATE if off < -_TOO_LITTLE else Stretch.NONE

    def stretched(self, now: float) -> None:
        """Note that the delay was changed."""
        self._stretched_at = now

    def _decode(self, packet: AudioPacket) -> Decode:
        del self._packets[packet.sequence]
        self._next_sequence = packet.sequence + 1
        self._next_timestamp = packet.timestamp + packet.duration
        self._silent = packet.silent
        self._made_up = 0
        return Decode(packet)

    def _between_words(self, now: float, packet: AudioPacket) -> Action:
        # The silence is as long as suits the delay.
        if self.delay(now, packet.timestamp) >= self.target.seconds:
            return self._decode(packet)
        self._made_up += self._step
        return Conceal(self._step, silent=True)

    def _cut(self, now: float, packet: AudioPacket) -> AudioPacket:
        while len(self._packets) > 1 and self.delay(now, packet.timestamp) > self.target.seconds:
            self._discard(packet.sequence)
            packet = self._packets[min(self._packets)]
        self._next_sequence, self._next_timestamp = packet.sequence, packet.timestamp
        self._made_up = 0
        return packet

    def _discard(self, sequence: int) -> None:
        del self._packets[sequence]
        self.discarded += 1

    def _whole(self, duration: int) -> int:
        return -(-duration // self._grain) * self._grain
