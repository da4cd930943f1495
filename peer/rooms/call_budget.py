"""Call budget: limits how often each participant gets a new connection or restarts ICE."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from logging import Logger

from aiortc import RTCSessionDescription

from icefloe._util.token_bucket import TokenBucket
from icefloe.logs import get_logger

from ..connection.ice_restart import restart_budget
from ..connection.negotiator import INBOX, INBOX_BYTES
from ..connection.remote_candidates import RemoteCandidate

logger: Logger = get_logger(__name__)

Answer = Callable[[str, RTCSessionDescription, list[RemoteCandidate]], None]
"""Called with the id of a participant, its offer, and the candidates that came after it."""


@dataclass(slots=True)
class _Caller:
    """A participant.

    Attributes:
        budget: The connections and restarts that are left.
        timer: When its offer is answered, if it has to wait for that.
        offer: The latest offer; ``None`` if it was withdrawn.
        candidates: The candidates that came after the offer.
        size: Bytes of these.
    """

    budget: TokenBucket
    timer: asyncio.TimerHandle | None = None
    offer: RTCSessionDescription | None = None
    candidates: list[RemoteCandidate] = field(default_factory=list)
    size: int = 0

    def put(self, offer: RTCSessionDescription | None) -> None:
        """Replace the waiting offer."""
        self.offer = offer
        self.candidates = []
        self.size = 0


class Callers:
    """Answers offers of participants without a connection, within a budget for each.

    New connections and ICE restarts cost sockets, allocations and checks, and share one budget, so
    that hanging up and calling again does not evade the limit of restarts. The latest offer of a
    participant that calls too often is answered later; other participants do not wait.

    Args:
        answer: Makes a connection for an offer. It is called at once or later, never for one that
            has hung up meanwhile.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._callers: dict[str, _Caller] = {}

    def budget(self, id: str) -> TokenBucket:
        """Return the budget of a participant, for the restarts of its connections."""
        return self._caller(id).budget

    def call(self, id: str, offer: RTCSessionDescription) -> None:
        """Take an offer that asks for a new connection."""
        caller = self._caller(id)
        if caller.timer is not None:
            caller.put(offer)
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        caller.budget.take(1, now)
        if wait := caller.budget.wait(now):
            logger.info("%s calls too often: it waits for %.1f s", id, wait)
            caller.put(offer)
            caller.timer = loop.call_later(wait, self._on_time, id)
        else:
            self._answer(id, offer, [])

    def add_candidate(self, id: str, candidate: RemoteCandidate) -> None:
        """Take a candidate of an offer that waits; one beyond the limits is dropped."""
        caller = self._callers.get(id)
        if caller is None or caller.offer is None:
            return
        size = candidate.weight
        if len(caller.candidates) < INBOX and caller.size + size <= INBOX_BYTES:
            caller.candidates.append(candidate)
            caller.size += size

    def hang_up(self, id: str) -> None:
        """Drop the offer of a participant that waits; the next one waits as long."""
        if caller := self._callers.get(id):
            caller.put(None)

    def forget(self, id: str) -> None:
        """Forget a participant, which is gone."""
        caller = self._callers.pop(id, None)
        if caller is not None and caller.timer is not None:
            caller.timer.cancel()

    def clear(self) -> None:
        """Forget all of them."""
        for id in list(self._callers):
            self.forget(id)

    def _caller(self, id: str) -> _Caller:
        caller = self._callers.get(id)
        if caller is None:
            now = asyncio.get_running_loop().time()
            caller = self._callers[id] = _Caller(restart_budget(now))
        return caller

    def _on_time(self, id: str) -> None:
        caller = self._callers[id]
        caller.timer = None
        offer, candidates = caller.offer, caller.candidates
        caller.put(None)
        if offer is not None:
            self._answer(id, offer, candidates)
