"""Connectivity checks of one generation: RFC 8445 sections 6.1.4 to 8, and RFC 7675. No I/O.

What comes in is told by calling, with the time; what is to be sent is taken from
:attr:`Checks.outgoing`, and :meth:`Checks.tick` is called at :attr:`Checks.deadline`. Every call
may change :attr:`Checks.state` and :attr:`Checks.selected`.
"""

from collections import deque
from dataclasses import dataclass
from typing import Any

from aioice import stun
from aioice.candidate import Candidate

from ..._util.peer_logger import NamingLogger
from ..gather.local_candidate import LocalCandidate
from . import binding
from .binding import Credentials, Role
from .checklist import CheckList
from .liveness import CONSENT, Health, Liveness, has_consent, is_doubtful, next_probe
from .nomination import Decision, Outlook, best_of, decide
from .pair import NEVER, Address, Pair, PairState
from .state import STATE_OF, Failure, IceState, Settings
from .stun_transaction import DURATION, PROBE_DURATION, RTO, Purpose, Transaction, Transactions

logger = NamingLogger(__name__)

TA = 0.02
"""Seconds between two new checks (RFC 8445 section 14.2 asks for at least 5 ms)."""

HUNT = 5.0
"""The longest between two tries of a pair that would be better than the one in use, in seconds."""

RECHECK = 15.0
"""Seconds after which a pair that failed is tried again while it would be better than what is."""

CHANGE_OF_MIND = 3.0
"""Seconds after which a nomination replaces one of a higher priority, which is not repeated."""

EARLY_CHECKS = 100
"""Checks kept that come before the other side's credentials."""

REFUSALS = 20
"""Error responses a second to requests that are not authentic; more are not answered."""


_ACTIVE = frozenset({PairState.WAITING, PairState.IN_PROGRESS})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send.

    Attributes:
        base: The socket to send it with.
        message: The message.
        address: Where to send it.
    """

    base: Any
    message: bytes
    address: Address


class Checks:
    """The checks of one generation.

    Args:
        credentials: Those of this side; the other's come with :meth:`start`.
        role: Who nominates; switched in place if a conflict demands it.
        settings: How to go about it.
    """

    def __init__(self, credentials: Credentials, role: Role, settings: Settings) -> None:
        self.credentials = credentials
        self.role = role
        self.settings = settings
        self.list = CheckList(role, max_remotes=settings.max_remotes)
        self.state = IceState.NEW
        self.failure: Failure | None = None
        self.selected: Pair | None = None
        self.nominated: Pair | None = None
        self.outgoing: deque[Outgoing] = deque()
        self.remote_is_lite = False
        self.local_ended = False
        self.remote_ended = False
        self.deadline = float("inf")
        self._transactions = Transactions()
        self._early: deque[tuple[stun.Message, Address, Any]] = deque(maxlen=EARLY_CHECKS)
        self._started_at: float | None = None
        self._next_check_at = 0.0
        self._liveness: Liveness | None = None
        self._refused: deque[float] = deque(maxlen=REFUSALS)
        self._decision = Decision()
        self._is_retired = False

    # --- what is told

    def start(self, username: str, password: str, *, lite: bool, now: float) -> None:
        """Begin to check: the other side's credentials are known.

        Args:
            username: Its username fragment.
            password: Its password.
            lite: Whether it is an ICE-lite implementation.
            now: The time, in seconds.
        """
        self.credentials.remote_username = username
        self.credentials.remote_password = password
        self.remote_is_lite = lite
        if lite:
            self.role.controlling = True  # RFC 8445 section 6.1.1
        self._started_at = self._next_check_at = now
        self.state = IceState.CHECKING
        early, self._early = self._early, deque(maxlen=EARLY_CHECKS)
        for message, source, base in early:
            _, _, fragment = message.attributes["USERNAME"].partition(":")
            if fragment == username:
                self._take_check(message, source, base, now)
        self.tick(now)

    def add_local(self, candidate: LocalCandidate, now: float) -> None:
        """Take a local candidate, also while the checks run (RFC 8838 section 8)."""
        self.list.add_local(candidate)
        self.tick(now)

    def end_local(self, now: float) -> None:
        """Note that no further local candidate will come."""
        self.local_ended = True
        self.tick(now)

    def add_remote(
        self, candidate: Candidate, address: Address, now: float, *, named: bool = False
    ) -> None:
        """Take a candidate of the other side, also while the checks run.

        Args:
            candidate: The candidate as it was signalled.
            address: Where it is reached.
            now: The time, in seconds.
            named: Whether it hides behind an mDNS name.
        """
        self.list.add_remote(candidate, address, named=named)
        self.tick(now)

    def end_remote(self, now: float) -> None:
        """Note that no further candidate of the other side will be signalled."""
        self.remote_ended = True
        self.tick(now)

    def remove_base(self, base: object, now: float) -> None:
        """Note that a socket is gone."""
        for pair in self.list.remove_base(base):
            self._transactions.forget(pair)
            if pair is self.nominated:
                self.nominated = None
            if pair is self.selected:
                self.selected = None
        self.tick(now)

    def retire(self) -> None:
        """Only answer from now on: another generation has taken over.

        Above all nothing is nominated any more: to a browser the path nominated last is the one to
        use, of whichever generation.
        """
        self._is_retired = True
        self._transactions = Transactions()
        self.deadline = float("inf")

    def suspect(self, now: float) -> None:
        """Look at the path in use at once: something about the network has changed."""
        for pair in self.list.valid:
            self._send_check(pair, Purpose.PROBE, now)
        self.tick(now)

    # --- messages

    def receive(self, message: stun.Message, source: Address, base: Any, now: float) -> None:
        """Take a STUN message that is none of the server's answers."""
        if message.message_class is stun.Class.REQUEST:
            self._receive_request(message, source, base, now)
        elif message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            self._receive_answer(message, source, base, now)

    def heard(self, base: Any, source: Address, size: int, now: float) -> bool:
        """Count a datagram that is no STUN message; return whether it is from the other side."""
        pair = self.list.at(base, source)
        if pair is None:
            # Who was answered before its credentials came may send already.
            return any(e[1] == source and e[2] is base for e in self._early)
        pair.heard_at = pair.last_packet_received_at = now
        pair.packets_received += 1
        pair.bytes_received += size
        return True

    def path(self, now: float) -> Pair | None:
        """Return the pair to send data over, if there is one with consent."""
        pair = self.selected
        return pair if pair is not None and has_consent(pair, now) else None

    def _receive_request(
        self, message: stun.Message, source: Address, base: Any, now: float
    ) -> None:
        code = binding.fault(message, self.credentials)
        if code is not None:
            if len(self._refused) < REFUSALS or now - self._refused[0] >= 1:
                self._refused.append(now)
                self._reply(base, binding.error(message, code, self.credentials), source)
            return
        if not binding.repair(message, self.role):
            reply = binding.error(message, binding.ROLE_CONFLICT, self.credentials)
            self._reply(base, reply, source)
            return
        self._reply(base, binding.success(message, source, self.credentials), source)
        if self._started_at is None:
            self._early.append((message, source, base))
        else:
            self._take_check(message, source, base, now)
            self.tick(now)

    def _take_check(self, message: stun.Message, source: Address, base: Any, now: float) -> None:
        pair = self.list.at(base, source) or self.list.learn(
            base, source, priority=message.attributes["PRIORITY"]
        )
        if pair is None:
            return
        pair.requests_received += 1
        pair.responses_sent += 1
        pair.heard_at = now
        if pair.state is PairState.IN_PROGRESS and pair.triggered_by != message.transaction_id:
            # RFC 8445 section 7.3.1.4: the way is open now, as it may not have been when the
            # check under way was sent.
            for transaction in self._transactions.of(pair):
                transaction.supersede()
            self.list.trigger(pair)
        elif pair.state in (PairState.FROZEN, PairState.FAILED, PairState.WAITING):
            self.list.trigger(pair)
        pair.triggered_by = message.transaction_id
        if "USE-CANDIDATE" in message.attributes:
            pair.remote_nominated_at = now
            if pair.is_valid:
                self._take_nomination(pair, now)

    def _receive_answer(
        self, message: stun.Message, source: Address, base: Any, now: float
    ) -> None:
        transaction = self._transactions.get(message.transaction_id)
        if transaction is None or not binding.is_authentic_response(message, self.credentials):
            return
        pair = transaction.pair
        self._transactions.remove(transaction)
        if self.list.at(pair.local.base, pair.remote.address) is not pair:
            return  # it has made room for another
        if message.message_class is stun.Class.ERROR:
            self._take_error(message, transaction, now)
        elif pair.local.base is not base or pair.remote.address != source:
            self._fail(transaction, now)  # RFC 8445 section 7.2.5.2.1
        else:
            self._take_success(message, transaction, now)
        self.tick(now)

    def _take_error(self, message: stun.Message, transaction: Transaction, now: float) -> None:
        if message.error_code == binding.ROLE_CONFLICT[0]:
            # RFC 8445 section 7.2.5.1
            if self.role.controlling is transaction.controlling:
                self.role.give_way()
            if transaction.pair.state is PairState.IN_PROGRESS:
                self.list.trigger(transaction.pair)
        else:
            self._fail(transaction, now)

    def _take_success(self, message: stun.Message, transaction: Transaction, now: float) -> None:
        pair = transaction.pair
        pair.answered(now, transaction.round_trip_time(now))
        mapped = message.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is not None:
            pair.mapped = self.list.mapped(pair, mapped)
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.SUCCEEDED
            self.list.unfreeze(pair.foundation)
            for other in self._transactions.of(pair):
                other.supersede()
        if transaction.purpose is Purpose.NOMINATION:
            self._nominate(pair)
        elif pair.remote_nominated_at > NEVER and not pair.nominated:
            self._take_nomination(pair, now)

    def _take_nomination(self, pair: Pair, now: float) -> None:
        """Follow the controlling side (RFC 8445 section 7.3.1.5).

        One that nominates with every check, as RFC 5245 allowed, nominates several at a time: of
        those the highest priority counts. What comes later is a change of mind; what was asked for
        long before and became valid only now is none.
        """
        current = self.nominated
        if self.role.controlling:
            return
        if current is None or self._is_dead(current, now):
            self._nominate(pair)
            return
        lead = pair.remote_nominated_at - current.remote_nominated_at
        if lead > CHANGE_OF_MIND or (lead > -CHANGE_OF_MIND and pair in self.list.outdo(current)):
            self._nominate(pair)

    def _nominate(self, pair: Pair) -> None:
        pair.nominated = True
        if pair is not self.nominated:
            logger.debug("nominated %s", pair.kind)
            logger.debug("nominated %s", pair)
        self.nominated = pair

    def _fail(self, transaction: Transaction, now: float) -> None:
        pair = transaction.pair
        if transaction.superseded or transaction.purpose is Purpose.PROBE:
            return
        if transaction.purpose is Purpose.NOMINATION or pair.state is PairState.IN_PROGRESS:
            pair.state, pair.failed_at = PairState.FAILED, now

    # --- sending

    def _reply(self, base: Any, message: bytes, address: Address) -> None:
        self.outgoing.append(Outgoing(base, message, address))

    def _send_check(self, pair: Pair, purpose: Purpose, now: float) -> None:
        transaction_id, message = binding.request(
            self.credentials,
            self.role,
            local_preference=pair.local.local_preference,
            use_candidate=purpose is Purpose.NOMINATION,
        )
        once = purpose is Purpose.PROBE
        rto = max(RTO, TA * sum(1 for p in self.list if p.state in _ACTIVE)) if not once else RTO
        self._transactions.add(
            Transaction(
                id=transaction_id,
                pair=pair,
                purpose=purpose,
                request=message,
                controlling=self.role.controlling,
                started=now,
                again_at=float("inf") if once else now + rto,
                until=now + (PROBE_DURATION if once else DURATION),
                rto=rto,
                longest=self.settings.longest_rto if self.selected is None else HUNT,
            )
        )
        pair.probed_at = now
        pair.unanswered += 1
        if once:
            pair.consent_requests_sent += 1
        else:
            pair.requests_sent += 1
        self._reply(pair.local.base, message, pair.remote.address)

    # --- time

    def tick(self, now: float) -> None:
        """Do what is due, and set :attr:`deadline` to when to call again."""
        if self._started_at is None or self._is_retired:
            return
        for transaction in self._transactions.expired(now):
            self._fail(transaction, now)
        for transaction in self._transactions.due(now):
            transaction.sent_again(now)
            transaction.pair.requests_sent += 1
            pair = transaction.pair
            self._reply(pair.local.base, transaction.request, pair.remote.address)
        self._give_up_backups(now)
        self._check_next(now)
        self._consider_nomination(now)
        self._select(now)
        self._probe(now)
        self._update_state(now)
        self.deadline = self._next_time(now)

    def _give_up_backups(self, now: float) -> None:
        """Let pairs fail that work no more while another does: a NAT may leave many behind."""
        liveness = self._liveness
        if liveness is None or liveness.health is not Health.CONNECTED:
            return
        for pair in self.list.valid:
            if pair is not self.selected and now - max(pair.answered_at, liveness.since) >= CONSENT:
                pair.state, pair.failed_at = PairState.FAILED, now
                if pair is self.nominated:
                    self.nominated = None

    def _check_next(self, now: float) -> None:
        for pair in self.list:
            if (
                pair.state is PairState.FAILED
                and now - pair.failed_at >= RECHECK
                and self._deserves_another_try(pair)
            ):
                pair.state = PairState.WAITING
        if now < self._next_check_at or self._has_given_up:
            return
        next_pair = self.list.take_next()
        if next_pair is not None:
            next_pair.state = PairState.IN_PROGRESS
            self._send_check(next_pair, Purpose.CHECK, now)
            self._next_check_at = now + TA

    @property
    def _has_given_up(self) -> bool:
        """Whether checks are made only for the other side's: nothing came of the own ones."""
        failed = self.state is IceState.FAILED and self._liveness is None
        return failed and not self.list.has_triggered

    def _deserves_another_try(self, pair: Pair) -> bool:
        if self._liveness is not None and self._liveness.health is not Health.CONNECTED:
            # What was signalled may work again; an address that was only seen is one of the past.
            return pair.remote.candidate.type != "prflx"
        return self.selected is not None and self.selected.is_relayed and not pair.is_relayed

    def _consider_nomination(self, now: float) -> None:
        self._decision = Decision()
        if not self.role.controlling or self._started_at is None:
            return
        for transaction in self._transactions.nominating():
            if not self._is_dead(transaction.pair, now):
                return
            self._transactions.remove(transaction)
        working = [p for p in self.list if not (p.is_valid and self._is_dead(p, now))]
        nominated = self.nominated if self.nominated in working else None
        outlook = Outlook(
            elapsed=now - self._started_at,
            more_candidates=not (self.local_ended and self.remote_ended),
        )
        self._decision = decide(working, nominated, outlook)
        if self._decision.nominate is not None:
            self._send_check(self._decision.nominate, Purpose.NOMINATION, now)

    def _is_dead(self, pair: Pair, now: float) -> bool:
        return pair.unanswered > 1 and now - pair.heard_at >= self.settings.limits.disconnected

    def _select(self, now: float) -> None:
        """Choose what data goes over: what is nominated, if it works (RFC 8445 section 12.1)."""
        working = [p for p in self.list.valid if not self._is_dead(p, now)]
        best = best_of(working, controlling=self.role.controlling)
        if self.nominated is not None and (self.nominated in working or best is None):
            best = self.nominated
        if best is not None and best is not self.selected:
            logger.info("selected %s", best.kind)
            logger.debug("selected %s", best)
            self.selected = best

    def _probe(self, now: float) -> None:
        if self._liveness is None:
            return
        for pair in self.list.valid:
            if self._next_probe(pair, self._liveness.health, now) <= now:
                self._send_check(pair, Purpose.PROBE, now)

    def _next_probe(self, pair: Pair, health: Health, now: float) -> float:
        in_use = pair is self.selected
        doubtful = self.selected is not None and is_doubtful(self.selected, now)
        return next_probe(pair, health, in_use=in_use or doubtful)

    # --- state

    def _fail_without_sockets(self) -> None:
        if self.local_ended and not self.list.locals and self.state is IceState.CHECKING:
            self._enter_failed(Failure.NO_LOCAL_CANDIDATE)

    def _update_state(self, now: float) -> None:
        if self._liveness is None:
            if self.selected is None:
                self._maybe_fail(now)
                return
            self._liveness = Liveness(self.settings.limits, now)
        self.state = STATE_OF[self._liveness.look(self.selected, now)]
        self.failure = Failure.PATH_LOST if self.state is IceState.FAILED else None

    def _maybe_fail(self, now: float) -> None:
        assert self._started_at is not None
        if self.state is not IceState.CHECKING:
            return
        elapsed = now - self._started_at
        self._fail_without_sockets()
        if elapsed >= self.settings.ceiling:
            self._enter_failed(Failure.TOO_LONG)
        elif elapsed >= self.settings.patience and self.list.is_exhausted:
            self._enter_failed(Failure.NO_PAIR_WORKS)

    def _enter_failed(self, failure: Failure) -> None:
        logger.info("ICE failed: %s", failure)
        self.state, self.failure = IceState.FAILED, failure

    def _next_time(self, now: float) -> float:
        times = [self._transactions.next_time()]
        if self.list.has_next and not self._has_given_up:
            times.append(self._next_check_at)
        if self._decision.look_again_in != float("inf"):
            times.append(now + self._decision.look_again_in)
        if self._liveness is not None:
            times.append(self._liveness.next_look(self.selected, now))
            health = self._liveness.health
            times += [self._next_probe(pair, health, now) for pair in self.list.valid]
            if any(
                p.state is PairState.FAILED and self._deserves_another_try(p) for p in self.list
            ):
                times.append(now + RECHECK)
        elif self.state is IceState.CHECKING and self._started_at is not None:
            for limit in (self.settings.patience, self.settings.ceiling):
                if self._started_at + limit > now:
                    times.append(self._started_at + limit)
        return min(times)
