# Longer than 400 lines: one state machine over one check list.
"""Connectivity checks of one ICE generation, as a state machine without I/O.

RFC 8445 sections 6.1.4 to 8, with nomination and consent freshness (RFC 7675). The caller passes in
messages and the time, sends what :meth:`Checks.take_datagrams` returns, and calls
:meth:`Checks.handle_timeout` at :attr:`Checks.deadline`. Every call may change :attr:`Checks.state`
and :attr:`Checks.selected`.
"""

from dataclasses import dataclass
from typing import Any

from aioice import stun
from aiortc import RTCIceCandidate

from ..._util.peer_logger import NamingLogger
from ..gather.local_candidate import LocalCandidate
from . import binding
from .binding import Credentials, Role
from .checklist import CheckList
from .liveness import (
    CONSENT_TIMEOUT,
    SILENT_PROBE_INTERVAL,
    Health,
    Liveness,
    has_consent,
    is_doubtful,
    next_probe,
)
from .nomination import CheckProgress, Decision, best_of, decide
from .pair import NEVER, PENDING, Address, Pair, PairState
from .state import STATE_OF, Failure, IceState, Settings
from .stun_transaction import (
    PROBE_DURATION,
    RTO,
    TRANSACTION_DURATION,
    Purpose,
    Transaction,
    Transactions,
)

logger: NamingLogger = NamingLogger(__name__)

TA = 0.02
"""Pacing interval between new checks, in seconds (RFC 8445 section 14.2: at least 5 ms)."""

UPGRADE_RTO_CAP = 5.0
"""Upper bound of the retransmission timeout of checks while a pair is already selected, in
seconds."""

RECHECK_INTERVAL = 15.0
"""Seconds after which a failed pair is checked again while it would improve on the selected one."""

RENOMINATION_DELAY = 3.0
"""Seconds between two nominations after which the later one counts as a change of mind. Within this
time the pair with the higher priority wins."""

MAX_EARLY_CHECKS = 100
"""Maximum number of checks kept that arrive before the remote credentials."""

MAX_ERRORS_PER_SECOND = 20
"""Maximum rate of error responses to unauthenticated requests; further requests get no response."""


_UNSIGNED = (binding.BAD_REQUEST[0], binding.UNAUTHENTICATED[0])
"""Error codes of responses that are not signed (RFC 8489 section 9.1.3)."""

_ACTIVE = frozenset({PairState.WAITING, PairState.IN_PROGRESS})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A STUN message to send.

    Attributes:
        base: The socket to send from.
        message: The encoded message.
        address: The destination.
    """

    base: Any
    message: bytes
    address: Address


class Checks:
    """The connectivity checks of one generation.

    All times are in seconds of the event loop's clock.

    Args:
        credentials: Local credentials; :meth:`start` adds the remote ones.
        role: Role of the local agent; switched in place by a role conflict.
        settings: Timeouts and limits.

    Attributes:
        credentials: As above.
        role: As above.
        settings: As above.
        list: The check list.
        state: State of the ICE transport.
        failure: The cause, if the state is ``failed``.
        selected: The pair that carries data; ``None`` before a check succeeds.
        nominated: The nominated pair; ``None`` before the nomination.
        remote_is_lite: True if the remote peer is an ICE-lite implementation.
        local_ended: True after the last local candidate.
        remote_ended: True after the last signalled remote candidate.
        refused_checks: Requests that were refused, because they carried other credentials.
        refused_by_remote: Checks that the remote peer has refused for its credentials. These
            responses are not signed, and decide nothing.
        was_connected: True once a pair was selected.
        deadline: Time of the next call of :meth:`handle_timeout`; infinite if none is needed.
    """

    def __init__(self, credentials: Credentials, role: Role, settings: Settings) -> None:
        self.credentials = credentials
        self.role = role
        self.settings = settings
        self.list: CheckList = CheckList(role, max_remotes=settings.max_remotes)
        self.state: IceState = IceState.NEW
        self.failure: Failure | None = None
        self.selected: Pair | None = None
        self.nominated: Pair | None = None
        self._outgoing: list[Outgoing] = []
        self.remote_is_lite: bool = False
        self.local_ended: bool = False
        self.remote_ended: bool = False
        self.deadline: float = float("inf")
        self.refused_checks: int = 0
        self.refused_by_remote: int = 0
        self.was_connected: bool = False
        self._transactions = Transactions()
        self._early: list[tuple[stun.Message, Address, Any]] = []
        self._started_at: float | None = None
        self._next_check_at = 0.0
        self._liveness: Liveness | None = None
        self._refused: list[float] = []
        self._decision = Decision()
        self._is_retired = False
        self._settled: tuple[Pair, ...] | None = None

    # --- events

    def start(self, username: str, password: str, *, lite: bool, now: float) -> None:
        """Start checking with the remote credentials.

        Args:
            username: Remote username fragment.
            password: Remote password.
            lite: True if the remote peer is an ICE-lite implementation.
            now: The time, in seconds.
        """
        self.credentials.remote_username = username
        self.credentials.remote_password = password
        self.remote_is_lite = lite
        if lite:
            self.role.controlling = True  # RFC 8445 section 6.1.1
        self._started_at = self._next_check_at = now
        self.state = IceState.CHECKING
        early, self._early = self._early, []
        for message, source, base in early:
            _, _, fragment = message.attributes["USERNAME"].partition(":")
            if fragment == username:
                self._take_check(message, source, base, now)
        self._update(now)

    def add_local(self, candidate: LocalCandidate, now: float) -> None:
        """Add a local candidate; possible while the checks run (RFC 8838 section 8)."""
        self.list.add_local(candidate)
        self._update(now)

    def end_local(self, now: float) -> None:
        """Record the end of the local candidates."""
        self.local_ended = True
        self._update(now)

    def add_remote(
        self, candidate: RTCIceCandidate, address: Address, now: float, *, named: bool = False
    ) -> None:
        """Add a remote candidate; possible while the checks run.

        Args:
            candidate: The candidate as signalled.
            address: Its resolved IP address and port.
            now: The time, in seconds.
            named: True if the signalled address is an mDNS name.
        """
        self.list.add_remote(candidate, address, named=named)
        self._update(now)

    def end_remote(self, now: float) -> None:
        """Record the end of the signalled remote candidates."""
        self.remote_ended = True
        self._update(now)

    def remove_base(self, base: object, now: float) -> None:
        """Remove the pairs of a closed socket."""
        for pair in self.list.remove_base(base):
            self._transactions.remove_pair(pair)
            if pair is self.nominated:
                self.nominated = None
            if pair is self.selected:
                self.selected = None
        self._update(now)

    def lose_remote(self, base: object, address: Address, now: float) -> None:
        """Handle the end of the TCP connection of a pair.

        What the remote peer had opened is gone. What this side opens is tried again at once if it
        worked; if it did not, the pair has failed.

        Args:
            base: The socket.
            address: The remote address.
            now: The time, in seconds.
        """
        pair = self.list.find_pair(base, address)
        if pair is None:
            return
        worked = pair.is_valid
        self._transactions.remove_pair(pair)
        pair.nominated, pair.remote_nominated_at, pair.mapped = False, NEVER, None
        if pair is self.nominated:
            self.nominated = None
        if pair is self.selected:
            logger.info("the TCP connection of the selected pair has ended")
            self.selected = None
        if pair.local.tcptype == "passive":
            self.list.remove_pair(pair)
        elif worked:
            self.list.trigger(pair)
        else:
            pair.state, pair.failed_at = PairState.FAILED, now
        self._update(now)

    def retire(self) -> None:
        """Stop sending checks, because another generation has taken over; requests are answered.

        Nominations must stop in particular: a browser uses the path that was nominated last, of any
        generation.
        """
        self._is_retired = True
        self._settled = None
        self._transactions = Transactions()
        self.deadline = float("inf")

    def probe_path(self, now: float) -> None:
        """Probe all valid pairs at once, after a change of the network."""
        for pair in self.list.valid:
            self._send_check(pair, Purpose.PROBE, now)
        self._update(now)

    # --- messages

    def receive(self, message: stun.Message, source: Address, base: Any, now: float) -> None:
        """Handle a STUN message from a peer: a check or a response to one.

        Args:
            message: The parsed message.
            source: Its source address.
            base: The socket that received it.
            now: The time, in seconds.
        """
        if message.message_class is stun.Class.REQUEST:
            self._receive_request(message, source, base, now)
        elif message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR):
            self._receive_answer(message, source, base, now)

    @property
    def started_at(self) -> float | None:
        """The time when the checks began; ``None`` before."""
        return self._started_at

    @property
    def is_settled(self) -> bool:
        """True if a pair is nominated and there is nothing to do but to probe paths."""
        return self._settled is not None

    def is_authentic(self, message: stun.Message) -> bool:
        """Return whether a check is for this agent, or a response from its peer, by its signature.

        Args:
            message: The parsed message.
        """
        if message.message_class is stun.Class.REQUEST:
            return binding.request_error(message, self.credentials) is None
        return binding.is_authentic_response(message, self.credentials)

    @property
    def is_retired(self) -> bool:
        """True once another generation has taken over."""
        return self._is_retired

    def receive_data(self, base: Any, source: Address, size: int, now: float) -> bool:
        """Count a datagram that is not STUN; return whether its source is the remote peer.

        Args:
            base: The socket that received it.
            source: Its source address.
            size: Its size in bytes.
            now: The time, in seconds.
        """
        pair = self.list.find_pair(base, source)
        if pair is None:
            # A peer may send as soon as its early check has been answered.
            return any(e[1] == source and e[2] is base for e in self._early)
        pair.last_packet_received_at = now
        pair.record_heard(now)
        pair.packets_received += 1
        pair.bytes_received += size
        return True

    def note_sent(self, pair: Pair, packets: int, size: int, now: float) -> bool:
        """Count data that is sent over a pair, which ought to be answered.

        Args:
            pair: The selected pair.
            packets: Number of datagrams.
            size: Their size in bytes.
            now: The time, in seconds.

        Returns:
            True if :attr:`deadline` has become earlier.
        """
        pair.packets_sent += packets
        pair.bytes_sent += size
        pair.last_packet_sent_at = now
        if pair.is_awaiting:
            return False
        pair.awaiting_since = now
        if self.deadline <= now + SILENT_PROBE_INTERVAL or self._is_retired:
            return False
        self.deadline = now + SILENT_PROBE_INTERVAL
        return True

    def take_datagrams(self) -> list[Outgoing]:
        """Return the messages to send since the last call, in order."""
        taken, self._outgoing = self._outgoing, []
        return taken

    def path(self, now: float) -> Pair | None:
        """Return the selected pair if consent is fresh, else ``None`` (RFC 7675)."""
        pair = self.selected
        return pair if pair is not None and has_consent(pair, now) else None

    def _receive_request(
        self, message: stun.Message, source: Address, base: Any, now: float
    ) -> None:
        code = binding.request_error(message, self.credentials)
        if code is not None:
            self.refused_checks += code == binding.UNAUTHENTICATED
            if len(self._refused) < MAX_ERRORS_PER_SECOND or now - self._refused[0] >= 1:
                self._refused = [*self._refused, now][-MAX_ERRORS_PER_SECOND:]
                self._reply(base, binding.error(message, code, self.credentials), source)
            return
        controlling = self.role.controlling
        if not binding.resolve_role_conflict(message, self.role):
            reply = binding.error(message, binding.ROLE_CONFLICT, self.credentials)
            self._reply(base, reply, source)
            return
        self._reply(base, binding.success(message, source, self.credentials), source)
        if self._started_at is None:
            self._early = [*self._early, (message, source, base)][-MAX_EARLY_CHECKS:]
            return
        pair = self.list.find_pair(base, source)
        is_news = (
            self._settled is None
            or pair not in self._settled
            or self.role.controlling is not controlling
            or ("USE-CANDIDATE" in message.attributes and pair is not self.nominated)
        )
        self._take_check(message, source, base, now)
        if is_news:
            self._update(now)

    def _take_check(self, message: stun.Message, source: Address, base: Any, now: float) -> None:
        pair = self.list.find_pair(base, source) or self.list.learn_remote(
            base, source, priority=message.attributes["PRIORITY"]
        )
        if pair is None:
            return
        pair.requests_received += 1
        pair.responses_sent += 1
        pair.record_heard(now)
        if pair.state is PairState.IN_PROGRESS and pair.triggered_by != message.transaction_id:
            # RFC 8445 section 7.3.1.4: the NAT binding may not have existed when the check in
            # progress was sent.
            for transaction in self._transactions.for_pair(pair):
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
        if transaction is None:
            return
        if not binding.is_authentic_response(message, self.credentials):
            if message.message_class is stun.Class.ERROR and message.error_code in _UNSIGNED:
                self.refused_by_remote += 1
            return
        pair = transaction.pair
        self._transactions.remove(transaction)
        if self.list.find_pair(pair.local.base, pair.remote.address) is not pair:
            return  # the pair was removed from the check list
        if message.message_class is stun.Class.ERROR:
            self._take_error(message, transaction, now)
        elif pair.local.base is not base or pair.remote.address != source:
            self._fail(transaction, now)  # RFC 8445 section 7.2.5.2.1
        else:
            nominated = self.nominated
            self._take_success(message, transaction, now)
            if self._is_calm and self.nominated is nominated:
                self.deadline = self._next_calm_time(now)
                return
        self._update(now)

    def _take_error(self, message: stun.Message, transaction: Transaction, now: float) -> None:
        if message.error_code == binding.ROLE_CONFLICT[0]:
            # RFC 8445 section 7.2.5.1
            if self.role.controlling is transaction.controlling:
                self.role.switch_after_conflict()
            if transaction.pair.state is PairState.IN_PROGRESS:
                self.list.trigger(transaction.pair)
        else:
            self._fail(transaction, now)

    def _take_success(self, message: stun.Message, transaction: Transaction, now: float) -> None:
        pair = transaction.pair
        pair.record_response(now, transaction.round_trip_time(now))
        mapped = message.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is not None:
            pair.mapped = self.list.mapped_candidate(pair, mapped)
        if pair.state is not PairState.SUCCEEDED:
            pair.state = PairState.SUCCEEDED
            self.list.unfreeze(pair.foundation)
            for other in self._transactions.for_pair(pair):
                other.supersede()
        if transaction.purpose is Purpose.NOMINATION:
            self._nominate(pair)
        elif pair.remote_nominated_at > NEVER and not pair.nominated:
            self._take_nomination(pair, now)

    def _take_nomination(self, pair: Pair, now: float) -> None:
        """Apply a nomination by the controlling peer (RFC 8445 section 7.3.1.5).

        With aggressive nomination (RFC 5245) a peer nominates several pairs at about the same time,
        of which the highest priority wins. A nomination that is later by more than
        :data:`RENOMINATION_DELAY` is a change of mind and replaces any other. A nomination that is
        earlier by as much is ignored, even if its pair has become valid only now.
        """
        current = self.nominated
        if self.role.controlling:
            return
        if current is None or self._has_stopped_working(current, now):
            self._nominate(pair)
            return
        lag = pair.remote_nominated_at - current.remote_nominated_at
        if lag > RENOMINATION_DELAY or (
            lag > -RENOMINATION_DELAY and pair in self.list.preferred_over(current)
        ):
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
        self._outgoing.append(Outgoing(base, message, address))

    def _send_check(self, pair: Pair, purpose: Purpose, now: float) -> None:
        transaction_id, message = binding.request(
            self.credentials,
            self.role,
            local_preference=pair.local.local_preference,
            use_candidate=purpose is Purpose.NOMINATION,
            tcptype=pair.local.tcptype,
        )
        is_probe = purpose is Purpose.PROBE
        is_sent_once = is_probe or pair.is_tcp  # TCP retransmits (RFC 8489 section 6.2.2)
        rto = RTO if is_probe else self._initial_rto()
        self._transactions.add(
            Transaction(
                id=transaction_id,
                pair=pair,
                purpose=purpose,
                request=message,
                controlling=self.role.controlling,
                first_sent_at=now,
                retransmit_at=float("inf") if is_sent_once else now + rto,
                expires_at=now + (PROBE_DURATION if is_probe else TRANSACTION_DURATION),
                rto=rto,
                rto_cap=self.settings.rto_cap if self.selected is None else UPGRADE_RTO_CAP,
            )
        )
        pair.record_check(transaction_id, now)
        if is_probe:
            pair.consent_requests_sent += 1
        else:
            pair.requests_sent += 1
        self._reply(pair.local.base, message, pair.remote.address)

    def _initial_rto(self) -> float:
        """Return the initial RTO of a check, in seconds (RFC 8445 section 14.3)."""
        return max(RTO, TA * sum(1 for pair in self.list if pair.state in _ACTIVE))

    # --- timers

    def handle_timeout(self, now: float) -> None:
        """Run everything that is due at ``now``, and update :attr:`deadline`."""
        if self._is_calm:
            self._probe_calmly(now)
        else:
            self._update(now)

    def _update(self, now: float) -> None:
        """Do all that may be due after any event, and update :attr:`deadline`."""
        if self._started_at is None or self._is_retired:
            return
        for transaction in self._transactions.expired(now):
            self._fail(transaction, now)
        for transaction in self._transactions.due(now):
            transaction.note_retransmission(now)
            transaction.pair.requests_sent += 1
            pair = transaction.pair
            self._reply(pair.local.base, transaction.request, pair.remote.address)
        self._give_up_backups(now)
        self._check_next(now)
        self._consider_nomination(now)
        self._select(now)
        self._probe(now)
        self._update_state(now)
        self._settled = self._settled_pairs()
        self.deadline = self._next_time(now)

    # --- an established path

    def _settled_pairs(self) -> tuple[Pair, ...] | None:
        """Return the valid pairs if there is nothing to do but to probe them, else ``None``."""
        selected, liveness = self.selected, self._liveness
        if (
            selected is None
            or selected is not self.nominated
            or liveness is None
            or liveness.health is not Health.CONNECTED
            or self._decision.reconsider_after != float("inf")
            or self._transactions.has_other_than_probes
        ):
            return None
        for pair in self.list:
            if pair.state in PENDING:
                return None
            if pair.state is PairState.FAILED and self._should_recheck(pair):
                return None
        return tuple(self.list.valid)

    @property
    def _is_calm(self) -> bool:
        """True if there is nothing to do but to probe, and nothing is missed."""
        selected = self.selected
        return (
            self._settled is not None
            and selected is not None
            and not selected.is_awaiting
            and not selected.unanswered
            and all(pair.unanswered < 2 for pair in self._settled)
        )

    def _probe_calmly(self, now: float) -> None:
        """Do what :meth:`_update` would do, where that is no more than to probe."""
        self._transactions.expired(now)
        for pair in self._settled or ():
            if self._next_probe(pair, Health.CONNECTED, now) <= now:
                self._send_check(pair, Purpose.PROBE, now)
        self.deadline = self._next_calm_time(now)

    def _next_calm_time(self, now: float) -> float:
        times = [self._transactions.deadline]
        if self._liveness is not None:
            times.append(self._liveness.next_update(self.selected, now))
        times += [self._next_probe(p, Health.CONNECTED, now) for p in self._settled or ()]
        return min(times)

    def _give_up_backups(self, now: float) -> None:
        """Fail valid pairs that stopped answering while the selected pair works.

        A NAT that keeps creating mappings would otherwise leave many of them.
        """
        liveness = self._liveness
        if liveness is None or liveness.health is not Health.CONNECTED:
            return
        for pair in self.list.valid:
            if (
                pair is not self.selected
                and now - max(pair.answered_at, liveness.since) >= CONSENT_TIMEOUT
            ):
                pair.state, pair.failed_at = PairState.FAILED, now
                if pair is self.nominated:
                    self.nominated = None

    def _check_next(self, now: float) -> None:
        for pair in self.list:
            if (
                pair.state is PairState.FAILED
                and now - pair.failed_at >= RECHECK_INTERVAL
                and self._should_recheck(pair)
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
        """True if only triggered checks are sent, because ICE failed before any pair worked."""
        failed = self.state is IceState.FAILED and self._liveness is None
        return failed and not self.list.has_triggered

    def _should_recheck(self, pair: Pair) -> bool:
        if self._liveness is not None and self._liveness.health is not Health.CONNECTED:
            # A signalled address may work again; a peer-reflexive one was a NAT mapping that is
            # gone.
            return pair.remote.candidate.type != "prflx"
        return self.selected is not None and pair.detour < self.selected.detour

    def _consider_nomination(self, now: float) -> None:
        self._decision = Decision()
        if not self.role.controlling or self._started_at is None:
            return
        for transaction in self._transactions.nominating():
            if not self._has_stopped_working(transaction.pair, now):
                return
            self._transactions.remove(transaction)
        working = [p for p in self.list if not (p.is_valid and self._has_stopped_working(p, now))]
        nominated = self.nominated if self.nominated in working else None
        progress = CheckProgress(
            elapsed=now - self._started_at,
            more_candidates=not (self.local_ended and self.remote_ended),
        )
        self._decision = decide(working, nominated, progress)
        if self._decision.nominate is not None:
            self._send_check(self._decision.nominate, Purpose.NOMINATION, now)

    def _has_stopped_working(self, pair: Pair, now: float) -> bool:
        return pair.unanswered > 1 and now >= self.settings.limits.silent_at(pair)

    def _select(self, now: float) -> None:
        """Select the pair for data: the nominated pair, or else the best valid one.

        RFC 8445 section 12.1. Pairs that stopped working are passed over while another works.
        """
        working = [p for p in self.list.valid if not self._has_stopped_working(p, now)]
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
        selected = self.selected
        return next_probe(
            pair,
            health,
            self.settings.limits.consent,
            in_use=pair is selected,
            doubtful=selected is not None and is_doubtful(selected, now),
        )

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
            self.was_connected = True
        self.state = STATE_OF[self._liveness.update(self.selected, now)]
        self.failure = Failure.PATH_LOST if self.state is IceState.FAILED else None

    def _maybe_fail(self, now: float) -> None:
        assert self._started_at is not None
        if self.state is not IceState.CHECKING:
            return
        self._fail_without_sockets()
        if now >= self._started_at + self.settings.checking_timeout:
            self._enter_failed(Failure.TOO_LONG)
        elif now >= self._started_at + self.settings.patience and self.list.is_exhausted:
            self._enter_failed(Failure.NO_PAIR_WORKS)

    def _enter_failed(self, failure: Failure) -> None:
        logger.info("ICE failed: %s", failure)
        self.state, self.failure = IceState.FAILED, failure

    def _next_time(self, now: float) -> float:
        times = [self._transactions.deadline]
        if self.list.has_next and not self._has_given_up:
            times.append(self._next_check_at)
        if self._decision.reconsider_after != float("inf"):
            times.append(now + self._decision.reconsider_after)
        if self._liveness is not None:
            times.append(self._liveness.next_update(self.selected, now))
            health = self._liveness.health
            times += [self._next_probe(pair, health, now) for pair in self.list.valid]
            if any(p.state is PairState.FAILED and self._should_recheck(p) for p in self.list):
                times.append(now + RECHECK_INTERVAL)
        elif self.state is IceState.CHECKING and self._started_at is not None:
            for limit in (self.settings.patience, self.settings.checking_timeout):
                if self._started_at + limit > now:
                    times.append(self._started_at + limit)
        return min(times)
