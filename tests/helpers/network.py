"""A network in virtual time: hosts, NATs, relays, and all that can go wrong on the way.

Nothing here waits: :meth:`Network.run` takes one thing after the other, a packet that arrives or a
side's deadline, and moves the clock to it. The same seed gives the same run.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from icefloe.peer.ice.checks.pair import Address

START = 1000.0
"""The time at the beginning, in seconds: not zero, as no event loop's clock begins there."""

STUN_SERVER: Address = ("203.0.113.1", 3478)
PEER_NETWORK = "198.51.100."
"""The network of hosts without a NAT."""

SPIN = 1000
"""Things that may happen without the clock moving; an engine that wants more goes in circles."""


_CLASS = 0x0110
"""The bits of a STUN message's type that say its class; a request has none (RFC 8489 section 5)."""


class Mapping(Enum):
    """The dependence of a NAT's mapping (RFC 4787 section 4.1)."""

    ENDPOINT_INDEPENDENT = auto()
    ADDRESS_AND_PORT_DEPENDENT = auto()


class Filtering(Enum):
    """From whom a NAT lets packets in (RFC 4787 section 5)."""

    ENDPOINT_INDEPENDENT = auto()
    ADDRESS_DEPENDENT = auto()
    ADDRESS_AND_PORT_DEPENDENT = auto()


EIM, APDM = Mapping
EIF, ADF, APDF = Filtering


class Nat:
    """A NAT with one public address and no hairpinning.

    Args:
        address: The public IP address.
        mapping: What a mapping depends on.
        filtering: Who gets in.
    """

    def __init__(self, address: str, mapping: Mapping, filtering: Filtering) -> None:
        self.address = address
        self._mapping = mapping
        self._filtering = filtering
        self._ports = itertools.count(40001)
        self._mapped: dict[tuple[Address, Address | None], int] = {}
        self._inside: dict[int, Address] = {}
        self._allowed: set[tuple[int, str, int]] = set()

    def out(self, source: Address, target: Address) -> Address:
        """Translate the source of a packet on its way out."""
        key = source, None if self._mapping is EIM else target
        port = self._mapped.setdefault(key, 0) or next(self._ports)
        self._mapped[key] = port
        self._inside[port] = source
        self._allowed.add((port, *self._key(target)))
        return self.address, port

    def back(self, source: Address, port: int) -> Address | None:
        """Translate the target of a packet that comes in; ``None`` if it is filtered."""
        if port not in self._inside:
            return None
        if self._filtering is EIF or (port, *self._key(source)) in self._allowed:
            return self._inside[port]
        return None

    def forget(self) -> None:
        """Lose every mapping, as a router does that is restarted."""
        self._mapped.clear()
        self._inside.clear()
        self._allowed.clear()

    def _key(self, outside: Address) -> Address:
        return outside if self._filtering is APDF else (outside[0], 0)


@dataclass(eq=False)
class Socket:
    """A socket of a side; what the engine knows as a *base*.

    Attributes:
        owner: The name of its side.
        address: Where it is bound.
        nat: What it is behind.
        relayed: Whether it is an allocation on a TURN server, which lets in only those addresses
            that something was sent to (RFC 8656 section 9).
        receive: Takes what arrives: message, source, this socket.
    """

    owner: str
    address: Address
    nat: Nat | None = None
    relayed: bool = False
    receive: Callable[[bytes, Address, "Socket"], None] = lambda *_: None
    permitted: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"{self.owner}{'@relay' if self.relayed else ''}:{self.address[1]}"


@dataclass(slots=True)
class Conditions:
    """Loss, delay and order of packets; may be changed while the network runs.

    Attributes:
        delay: Seconds from one end to the other, relays add as much again.
        jitter: Seconds by which it varies; packets overtake each other.
        loss: The part of packets that is lost, 0 to 1.
        duplication: The part that comes twice.
        is_cut: Tells whether nothing gets from one socket to another.
    """

    delay: float = 0.02
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    is_cut: Callable[[Socket, Socket], bool] = lambda source, target: False


class Network:
    """Carries packets between sockets.

    Attributes:
        now: The time, in seconds.
        conditions: How packets fare.
        sent: STUN requests that were sent: when, by which socket, to which address.
    """

    def __init__(self, *, seed: int = 0, **conditions: Any) -> None:
        self.now = START
        self.conditions = Conditions(**conditions)
        self.sent: list[tuple[float, Socket, Address]] = []
        self._random = random.Random(seed)
        self._order = itertools.count()
        self._coming: list[tuple[float, int, Callable[[], object]]] = []
        self._sockets: dict[Address, Socket] = {}
        self._nats: dict[str, Nat] = {}
        self._ports = itertools.count(50001)
        self._drivers: list[Driven] = []

    # --- who is there

    def open(self, owner: str, host: str, nat: Nat | None = None, *, relayed: bool) -> Socket:
        """Open a socket on a host."""
        socket = Socket(owner, (host, next(self._ports)), nat, relayed)
        self._sockets[socket.address] = socket
        if nat is not None:
            self._nats[nat.address] = nat
        return socket

    def close(self, socket: Socket) -> None:
        """Close a socket: nothing arrives there any more."""
        self._sockets.pop(socket.address, None)

    def drive(self, driven: "Driven") -> None:
        """Have something called at its deadlines."""
        self._drivers.append(driven)

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Do something so many seconds from now."""
        heapq.heappush(self._coming, (self.now + seconds, next(self._order), action))

    # --- packets

    def send(self, socket: Socket, message: bytes, target: Address) -> None:
        """Send a packet; what becomes of it is up to :attr:`conditions`."""
        if not int.from_bytes(message[:2], "big") & _CLASS:
            self.sent.append((self.now, socket, target))
        socket.permitted.add(target[0])
        public = self.public(socket, target)
        if public is None:
            return
        conditions = self.conditions
        copies = 1 + (self._random.random() < conditions.duplication)
        for _ in range(copies):
            if self._random.random() >= conditions.loss:
                legs = 1 + socket.relayed
                delay = conditions.delay * legs + self._random.uniform(0, conditions.jitter)
                self.at(delay, lambda: self._arrive(socket, public, message, target))

    def public(self, socket: Socket, target: Address) -> Address | None:
        """Return where a packet seems to come from; ``None`` if there is no way to the target."""
        inside = self._sockets.get(target)
        if _is_private(target[0]):
            same_network = inside is not None and inside.nat is socket.nat
            return socket.address if same_network and socket.nat is not None else None
        return socket.nat.out(socket.address, target) if socket.nat else socket.address

    def _arrive(self, sender: Socket, source: Address, message: bytes, target: Address) -> None:
        nat = self._nats.get(target[0])
        inside = nat.back(source, target[1]) if nat is not None else target
        receiver = self._sockets.get(inside) if inside is not None else None
        if receiver is None or (nat is not None and nat is sender.nat):
            return
        if receiver.relayed and source[0] not in receiver.permitted:
            return
        if not self.conditions.is_cut(sender, receiver):
            receiver.receive(message, source, receiver)

    # --- time

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time go by.

        Args:
            seconds: How long at most.
            until: Stop as soon as this holds.

        Returns:
            Whether it does.
        """
        end = self.now + seconds
        spinning = 0
        while not until():
            coming = self._coming[0][0] if self._coming else float("inf")
            driver = min(self._drivers, key=lambda d: d.deadline, default=None)
            deadline = driver.deadline if driver is not None else float("inf")
            next_time = min(coming, deadline)
            if next_time > end:
                self.now = end
                return False
            spinning = spinning + 1 if next_time <= self.now else 0
            assert spinning < SPIN, f"time stands still at {self.now}"
            self.now = max(self.now, next_time)
            if coming <= deadline:
                heapq.heappop(self._coming)[2]()
            elif driver is not None:
                driver.handle_timeout()
        return True


class Driven:
    """Anything with a deadline."""

    deadline: float = float("inf")

    def handle_timeout(self) -> None:
        """Do what is due."""


def _is_private(host: str) -> bool:
    return host.startswith(("10.", "192.168."))
