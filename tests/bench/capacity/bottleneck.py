"""A link whose capacity changes by a schedule, packet by packet, with a record of each. No I/O.

Packets are sent one after the other at the capacity of the moment at which each is begun; those
that wait when the capacity changes are sent at the new one. A packet that would wait longer than
the queue is deep, at the capacity of now, is lost. That of the first RTP packet is the time at
which the schedule begins.
"""

import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from tests.bench.network import ADDRESSES

_ETHERNET = 14
_IPV4 = 0x0800
_UDP, _TCP = 17, 6
_RTP_HEADER = 12
_RECEIVER = socket.inet_aton(ADDRESSES[1])


class Fate(IntEnum):
    """The end of a packet: the other side, or none."""

    SENT = 0
    LOST = 1
    """By chance."""
    QUEUE_FULL = 2


@dataclass(frozen=True, slots=True)
class Kind:
    """The flow that a packet belongs to, as far as its headers tell.

    Attributes:
        protocol: That of IP: 17 is UDP, 6 TCP.
        port: From which it comes.
        payload_type: That of RTP; -1 if it is something else.
        timestamp: That of RTP.
    """

    protocol: int = 0
    port: int = 0
    payload_type: int = -1
    timestamp: int = 0


def kind_of(frame: bytes) -> Kind:
    """Read the headers of an Ethernet frame."""
    if len(frame) < _ETHERNET + 20 or int.from_bytes(frame[12:14], "big") != _IPV4:
        return Kind()
    protocol = frame[_ETHERNET + 9]
    transport = _ETHERNET + (frame[_ETHERNET] & 0x0F) * 4
    if protocol not in (_UDP, _TCP) or len(frame) < transport + 8:
        return Kind(protocol)
    port = int.from_bytes(frame[transport : transport + 2], "big")
    payload = transport + 8
    to_host = frame[_ETHERNET + 16 : _ETHERNET + 20] == _RECEIVER  # and not to a name server
    if protocol == _UDP and to_host and len(frame) >= payload + _RTP_HEADER:
        first, second, _, timestamp = struct.unpack_from("!BBHI", frame, payload)
        # RFC 7983 section 7, RFC 5761 section 4
        if first >> 6 == 2 and not 64 <= second & 0x7F <= 95:
            return Kind(protocol, port, second & 0x7F, timestamp)
    return Kind(protocol, port)


@dataclass(slots=True)
class Passage:
    """A packet's record.

    Attributes:
        at: When it came, in seconds.
        size: Its bytes, headers included.
        kind: What it is.
        fate: What became of it.
        wait: Seconds that it waited for others.
    """

    at: float
    size: int
    kind: Kind
    fate: Fate = Fate.SENT
    wait: float = 0.0


class Bottleneck:
    """One direction of the link.

    Args:
        capacity_at: Returns the bits per second so many seconds after the first RTP packet.
        delay: Seconds that each takes beside the queue.
        queue: Seconds that a packet may wait at most.
        loss: The part that is lost by chance, 0 to 1.
        seed: By which.

    Attributes:
        begun: The time of the first RTP packet; ``None`` before.
        passages: All packets so far.
    """

    def __init__(
        self,
        capacity_at: Callable[[float], float],
        *,
        delay: float,
        queue: float,
        loss: float = 0.0,
        seed: int = 1,
    ) -> None:
        self.begun: float | None = None
        self.passages: list[Passage] = []
        self._capacity_at = capacity_at
        self._delay, self._queue, self._loss = delay, queue, loss
        self._chances = random.Random(seed)
        self._waiting: deque[tuple[Passage, bytes]] = deque()
        self._backlog = 0
        """Bytes of those that wait."""
        self._sending: bytes | None = None
        self._sent_at = 0.0
        """The time at which the packet that is being sent has left."""
        self._travelling: deque[tuple[float, bytes]] = deque()

    def capacity(self, now: float) -> float:
        """Return the bits per second now."""
        return self._capacity_at(0.0 if self.begun is None else now - self.begun)

    def put(self, frame: bytes, now: float) -> None:
        """Take a packet, or lose it."""
        self._advance(now)
        kind = kind_of(frame)
        if self.begun is None and kind.payload_type >= 0:
            self.begun = now
        passage = Passage(now, len(frame), kind)
        self.passages.append(passage)
        if self._chances.random() < self._loss:
            passage.fate = Fate.LOST
        elif self._sending is None:
            self._begin(passage, frame, now)
        elif self._sent_at - now + self._backlog * 8 / self.capacity(now) > self._queue:
            passage.fate = Fate.QUEUE_FULL
        else:
            self._waiting.append((passage, frame))
            self._backlog += len(frame)

    def _begin(self, passage: Passage, frame: bytes, now: float) -> None:
        passage.wait = now - passage.at
        self._sending = frame
        self._sent_at = now + len(frame) * 8 / self.capacity(now)

    def _advance(self, now: float) -> None:
        while self._sending is not None and self._sent_at <= now:
            self._travelling.append((self._sent_at + self._delay, self._sending))
            self._sending = None
            if self._waiting:
                passage, frame = self._waiting.popleft()
                self._backlog -= len(frame)
                self._begin(passage, frame, self._sent_at)

    @property
    def due(self) -> float:
        """The time of the next departure or arrival; infinite if nothing is under way."""
        sent = self._sent_at if self._sending is not None else float("inf")
        return min(sent, self._travelling[0][0] if self._travelling else float("inf"))

    def arrived(self, now: float) -> list[bytes]:
        """Return the packets that have arrived."""
        self._advance(now)
        frames = []
        while self._travelling and self._travelling[0][0] <= now:
            frames.append(self._travelling.popleft()[1])
        return frames
