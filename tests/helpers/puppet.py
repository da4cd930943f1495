"""The other side of a check list as a puppet: it does what the test says, and nothing else."""

from typing import Any, cast

from aioice import stun
from aioice.candidate import candidate_foundation, candidate_priority
from aiortc import RTCIceCandidate

from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.checks.connectivity import Checks, Outgoing
from icefloe.peer.ice.checks.pair import Address, Pair, PairState
from icefloe.peer.ice.checks.state import IceState, Settings
from icefloe.peer.ice.gather.local_candidate import LocalCandidate

HERE: Address = ("198.51.100.1", 1000)
"""The address of the socket of the side under test."""

BASE = "socket"
"""That socket."""


def local_candidate(
    kind: str = "host", address: Address = HERE, base: object = BASE
) -> LocalCandidate:
    """Make a local candidate."""
    return LocalCandidate(
        foundation=candidate_foundation(kind, "udp", HERE[0]),
        type=kind,
        address=address,
        local_preference=65535,
        base=cast(Any, base),
    )


def remote_candidate(
    address: Address, kind: str = "host", preference: int = 65535
) -> RTCIceCandidate:
    """Make a candidate of the other side."""
    return RTCIceCandidate(
        foundation=candidate_foundation(kind, "udp", address[0]),
        component=1,
        protocol="udp",
        priority=candidate_priority(1, kind, preference),
        ip=address[0],
        port=address[1],
        type=kind,
    )


class Puppet:
    """A check list with one socket, and the other side of it.

    Args:
        controlling: Whether the check list nominates; the puppet has the other role.
        settings: The check list's.

    Attributes:
        checks: The check list under test; it has begun.
        now: The time, in seconds.
        answers: The addresses at which the puppet answers checks at once.
        requests: Requests that came, the latest last, with the address they went to.
        replies: Answers that came.
    """

    def __init__(self, *, controlling: bool, settings: Settings | None = None) -> None:
        self.now = 1000.0
        role = Role(controlling, 1)
        self.checks = Checks(Credentials("here", "here-password"), role, settings or Settings())
        self.credentials = Credentials("there", "there-password", "here", "here-password")
        self.role = Role(not controlling, 2)
        self.answers: set[Address] = set()
        self.requests: list[tuple[stun.Message, Address]] = []
        self.replies: list[stun.Message] = []
        self.checks.add_local(local_candidate(), self.now)
        self.checks.start("there", "there-password", lite=False, now=self.now)

    def offer_quietly(self, address: Address, kind: str = "host") -> None:
        """Signal a candidate, of which nothing may come."""
        self.checks.add_remote(remote_candidate(address, kind), address, self.now)
        self._take()

    def offer(self, address: Address, kind: str = "host", *, answers: bool = False) -> Pair:
        """Signal a candidate; return its pair."""
        if answers:
            self.answers.add(address)
        self.offer_quietly(address, kind)
        return self.pair(address)

    def pair(self, address: Address) -> Pair:
        """Return the pair with an address."""
        pair = self.checks.list.find_pair(BASE, address)
        assert pair is not None
        return pair

    def state_of(self, pair: Pair) -> PairState:
        """Return the state of a pair as it is now."""
        return pair.state

    def state(self) -> IceState:
        """Return the state of the check list as it is now."""
        return self.checks.state

    def request(self, *, nominate: bool = False) -> stun.Message:
        """Make a check as the puppet makes it."""
        _, made = binding.request(
            self.credentials, self.role, local_preference=65535, use_candidate=nominate
        )
        return stun.parse_message(made)

    def check(self, address: Address, *, nominate: bool = False) -> None:
        """Send a check from an address."""
        self.receive(self.request(nominate=nominate), address)

    def receive(self, message: stun.Message, address: Address) -> None:
        """Have a message come from an address."""
        self.checks.receive(message, address, BASE, self.now)
        self._take()

    def answer(self, request: stun.Message, address: Address) -> None:
        """Answer a check from an address."""
        answer = binding.success(request, HERE, self.credentials)
        self.receive(stun.parse_message(answer), address)

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self._take()
        end = self.now + seconds
        while (deadline := self.checks.deadline) <= end:
            self.now = max(self.now, deadline)
            self.checks.handle_timeout(self.now)
            self._take()
        self.now = end

    def _take(self) -> None:
        for item in self.checks.take_datagrams():
            self._take_one(item)

    def _take_one(self, item: Outgoing) -> None:
        message = stun.parse_message(item.message)
        if message.message_class is not stun.Class.REQUEST:
            self.replies.append(message)
            return
        self.requests.append((message, item.address))
        if item.address in self.answers:
            self.answer(message, item.address)
