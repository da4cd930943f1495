"""One end of a connection in virtual time: the engine, its sockets, and what became of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from aioice import stun
from aioice.candidate import Candidate, candidate_foundation
from aiortc.rtcicetransport import candidate_from_aioice

from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.checks.connectivity import Checks
from icefloe.peer.ice.checks.pair import Address, Pair
from icefloe.peer.ice.checks.state import IceState, Settings
from icefloe.peer.ice.gather.local_candidate import LocalCandidate

from .network import APDF, EIM, PEER_NETWORK, STUN_SERVER, Driven, Nat, Network, Socket

TURN_SERVER = "203.0.113.2"

SIGNALING = 0.05
"""Seconds that signaling takes from one side to the other."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The beliefs of a side from some time on."""

    at: float
    state: IceState
    selected: Pair | None
    nominated: Pair | None


class Side(Driven):
    """A host with the engine on it.

    Args:
        network: Where it is.
        name: Its name; also the user name and, with "-password", its password.
        nat: What it is behind; without one it has a public address.
        controlling: Whether it nominates.
        tie_breaker: Who wins a role conflict.
        settings: The engine's.

    Attributes:
        checks: The engine.
        history: What it thought, a moment for each change.
        candidates: Its candidates so far, as they are signalled.
        sockets: Its sockets.
    """

    def __init__(
        self,
        network: Network,
        name: str,
        *,
        nat: Nat | None = None,
        controlling: bool,
        tie_breaker: int = 0,
        settings: Settings | None = None,
    ) -> None:
        self.network = network
        self.name = name
        self.nat = nat
        self.checks = Checks(
            Credentials(name, f"{name}-password"),
            Role(controlling, tie_breaker),
            settings or Settings(),
        )
        self.history: list[Moment] = []
        self.candidates: list[LocalCandidate] = []
        self.sockets: list[Socket] = []
        self.on_candidate: Callable[[LocalCandidate | None], None] = lambda candidate: None
        self._asleep_until = float("-inf")
        self._host = "192.168.1.2" if nat is not None else f"{PEER_NETWORK}{len(name) + 1}"
        network.drive(self)

    # --- candidates

    def add_host(self, host: str | None = None) -> Socket:
        """Open a socket and tell of its host candidate."""
        socket = self._open(host or self._host, self.nat, relayed=False)
        self._tell(socket, "host", socket.address)
        return socket

    def add_reflexive(self, socket: Socket) -> None:
        """Ask the STUN server from a socket, and tell of the answer if it is news."""
        address = self.network.public(socket, STUN_SERVER)
        if address is not None and address != socket.address:
            self._tell(socket, "srflx", address)

    def add_relayed(self) -> Socket:
        """Get an allocation, and tell of it."""
        socket = self._open(TURN_SERVER, None, relayed=True)
        self._tell(socket, "relay", socket.address)
        return socket

    def end_candidates(self) -> None:
        """Tell that these were all."""
        self.checks.end_local(self.network.now)
        self.flush()
        self.on_candidate(None)

    def gather(self, *, stun: bool = True, turn: bool = False) -> None:
        """Gather as an agent does that has a STUN and a TURN server, all at once."""
        socket = self.add_host()
        if stun:
            self.add_reflexive(socket)
        if turn:
            self.add_relayed()
        self.end_candidates()

    def _open(self, host: str, nat: Nat | None, *, relayed: bool) -> Socket:
        socket = self.network.open(self.name, host, nat, relayed=relayed)
        socket.receive = self.receive
        self.sockets.append(socket)
        return socket

    def _tell(self, socket: Socket, kind: str, address: Address) -> None:
        candidate = LocalCandidate(
            foundation=candidate_foundation(kind, "udp", socket.address[0]),
            type=kind,
            address=address,
            local_preference=65535,
            base=cast(Any, socket),
        )
        self.candidates.append(candidate)
        self.checks.add_local(candidate, self.network.now)
        self.flush()
        self.on_candidate(candidate)

    # --- what the other side tells

    def start(self, other: "Side", *, lite: bool = False) -> None:
        """Learn the other side's credentials, and begin."""
        credentials = other.checks.credentials
        self.checks.start(
            credentials.local_username, credentials.local_password, lite=lite, now=self.network.now
        )
        self.flush()

    def take(self, candidate: Candidate | None) -> None:
        """Take a candidate of the other side, or the end of them."""
        if candidate is None:
            self.checks.end_remote(self.network.now)
        else:
            told, address = candidate_from_aioice(candidate), (candidate.host, candidate.port)
            self.checks.add_remote(told, address, self.network.now)
        self.flush()

    # --- the engine's shell

    @property
    def deadline(self) -> float:  # type: ignore[override]
        """The time of the next :meth:`handle_timeout`."""
        return max(self.checks.deadline, self._asleep_until)

    def handle_timeout(self) -> None:
        """Do what is due."""
        self.checks.handle_timeout(self.network.now)
        self.flush()

    def receive(self, message: bytes, source: Address, socket: Socket) -> None:
        """Take a packet; a side that sleeps takes it when it wakes."""
        if self.network.now < self._asleep_until:
            left = self._asleep_until - self.network.now
            self.network.at(left, lambda: self.receive(message, source, socket))
            return
        self.checks.receive(stun.parse_message(message), source, socket, self.network.now)
        self.flush()

    def sleep(self, seconds: float) -> None:
        """Do nothing for a while, as a process does that is stopped."""
        self._asleep_until = self.network.now + seconds

    def flush(self) -> None:
        """Send what is to be sent, and note what has changed."""
        for item in self.checks.take_datagrams():
            self.network.send(item.base, item.message, item.address)
        checks = self.checks
        moment = Moment(self.network.now, checks.state, checks.selected, checks.nominated)
        last = self.history[-1] if self.history else None
        if last is None or (last.state, last.selected, last.nominated) != (
            moment.state,
            moment.selected,
            moment.nominated,
        ):
            self.history.append(moment)

    # --- what became of it

    @property
    def is_connected(self) -> bool:
        """True if there is a path that works."""
        return self.checks.state is IceState.COMPLETED

    @property
    def path(self) -> str:
        """The selected pair, as candidate types: ``srflx -> host``."""
        return types(self.checks.selected)

    def when(self, state: IceState, *, after: float = 0.0) -> float:
        """Return when it first entered a state, in seconds; infinite if it never did."""
        times = (m.at for m in self.history if m.state is state and m.at >= after)
        return next(times, float("inf"))

    def states(self, *, after: float = 0.0) -> list[IceState]:
        """Return the states it went through, each once for as long as it lasted."""
        return list(_without_repeats(m.state for m in self.history if m.at >= after))


def _without_repeats(states: Iterator[IceState]) -> Iterator[IceState]:
    last = None
    for state in states:
        if state is not last:
            yield state
        last = state


def settled(side: Side) -> Pair:
    """Return the pair that a side sends over, which is to be the nominated one."""
    pair = side.checks.selected
    assert pair is not None
    assert pair is side.checks.nominated, f"{types(pair)} is not nominated"
    return pair


def types(pair: Pair | None) -> str:
    """Return the types of a pair's candidates, as this side knows them."""
    return f"{pair.valid_local.type} -> {pair.remote.candidate.type}" if pair else "none"


def trickle(one: Side, other: Side, delay: float = SIGNALING) -> None:
    """Have each side's candidates told to the other, so many seconds later, in order."""
    for source, target in ((one, other), (other, one)):
        source.on_candidate = lambda candidate, target=target: (  # type: ignore[misc]
            target.network.at(delay, lambda: target.take(candidate))
        )


def agree(one: Side, other: Side) -> bool:
    """Return whether both sides send over the same path: the ends of one are those of the other."""
    pairs = one.checks.selected, other.checks.selected
    if pairs[0] is None or pairs[1] is None:
        return False
    return (
        pairs[0].valid_local.address == pairs[1].remote.address
        and pairs[1].valid_local.address == pairs[0].remote.address
    )


def call(
    network: Network,
    left_nat: Nat | None = None,
    right_nat: Nat | None = None,
    *,
    stun: bool = True,
    turn: bool = False,
    settings: Settings | None = None,
) -> tuple[Side, Side]:
    """Make a call: the left side offered and nominates, the right side has just answered.

    Args:
        network: Where they are.
        left_nat: What the left side is behind.
        right_nat: What the right side is behind.
        stun: Whether they have a STUN server.
        turn: Whether they have a TURN server.
        settings: Both engines'.
    """
    left = Side(network, "left", nat=left_nat, controlling=True, tie_breaker=1, settings=settings)
    right = Side(network, "right", nat=right_nat, controlling=False, settings=settings)
    trickle(left, right)
    for side in (left, right):
        side.gather(stun=stun, turn=turn)
    right.start(left)
    network.at(SIGNALING, lambda: left.start(right))
    return left, right


def port_restricted(address: str) -> Nat:
    """Make the NAT that most homes have."""
    return Nat(address, EIM, APDF)


def home_call(network: Network, **options: Any) -> tuple[Side, Side]:
    """Make a call between two homes: :func:`call` behind port-restricted NATs."""
    return call(
        network, port_restricted("203.0.113.10"), port_restricted("203.0.113.20"), **options
    )
