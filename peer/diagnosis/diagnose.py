"""The verdict about a connection: a pure function of the facts."""

from dataclasses import dataclass, replace

from ..ice.facts import IceFacts, ServerFacts, ServerProblem
from .addresses import are_unreachable, is_behind_nat, maps_by_destination
from .advice import ADVICE, PHASE_OF
from .facts import ClosedBySide, ConnectionFacts, DtlsFacts, DtlsProblem, MediaFacts, SctpFacts
from .verdict import MOST_PAIRS_SHOWN, ConnectPhase, Verdict, VerdictCause, VerdictEvidence

SIGNALING_PATIENCE = 10.0
"""Seconds in which a description is to be answered."""

CHECK_PATIENCE = 6.0
"""Seconds after which checks that nobody answered tell something: servers have answered by then, or
do not (``server_timeout``), and a check was sent again several times."""

HANDSHAKE_PATIENCE = 5.0
"""Seconds for the handshakes of DTLS and SCTP: two retransmissions of DTLS (1 s and 2 s)."""

MEDIA_PATIENCE = 5.0
"""Seconds in which media is to flow after it was negotiated."""

LOOP_BLOCKED = 1.0
"""Seconds of delay of a timer after which the event loop counts as blocked."""

RECENTLY = 15.0
"""Seconds in which a blocked event loop explains a lost path."""

_TURN_CODES = {
    401: VerdictCause.TURN_CREDENTIALS_WRONG,
    441: VerdictCause.TURN_CREDENTIALS_WRONG,
    486: VerdictCause.TURN_QUOTA_REACHED,
    508: VerdictCause.TURN_NO_CAPACITY,
}

_TURN_PROBLEMS = {
    ServerProblem.NAME: VerdictCause.TURN_NAME_UNKNOWN,
    ServerProblem.UNREACHABLE: VerdictCause.TURN_UNREACHABLE,
    ServerProblem.CERTIFICATE: VerdictCause.TURN_CERTIFICATE_REFUSED,
    ServerProblem.REFUSED: VerdictCause.TURN_REFUSED,
    ServerProblem.UNSUPPORTED: VerdictCause.TURN_REFUSED,
}

_TURN_RANKS = (
    VerdictCause.TURN_CLOCK_SKEW,
    VerdictCause.TURN_CREDENTIALS_LAPSED,
    VerdictCause.TURN_CREDENTIALS_WRONG,
    VerdictCause.TURN_QUOTA_REACHED,
    VerdictCause.TURN_NO_CAPACITY,
    VerdictCause.TURN_CERTIFICATE_REFUSED,
    VerdictCause.TURN_NAME_UNKNOWN,
    VerdictCause.TURN_REFUSED,
    VerdictCause.TURN_UNREACHABLE,
)
"""Of several TURN servers the one that said most is named: an answer tells more than silence."""


@dataclass(frozen=True, slots=True)
class _Finding:
    """A cause, and what shows it."""

    cause: VerdictCause
    details: tuple[str, ...] = ()
    servers: tuple[ServerFacts, ...] = ()
    phase: ConnectPhase | None = None


def diagnose(facts: ConnectionFacts, *, gave_up: bool = False) -> Verdict:
    """Return the verdict about a connection.

    Args:
        facts: What is known of it.
        gave_up: True if nobody waits any longer, so that the likeliest cause is to be named
            whatever time there was.
    """
    found = _find(facts, gave_up=gave_up)
    return _verdict(found, facts.ice)


def server_verdict(facts: ConnectionFacts) -> Verdict | None:
    """Return the verdict about the TURN servers alone, while other paths may still work.

    Returns:
        ``None`` unless one of them is at fault, and none gave a relay.
    """
    found = None if facts.ice is None else _turn_problem(facts.ice)
    return None if found is None else _verdict(found, facts.ice)


def _verdict(found: _Finding, ice: IceFacts | None) -> Verdict:
    ice = ice or IceFacts()
    pairs = sorted(ice.pairs, key=lambda pair: pair.checks_sent + pair.checks_received)
    evidence = VerdictEvidence(
        servers=found.servers,
        pairs=tuple(reversed(pairs))[:MOST_PAIRS_SHOWN],
        checks_sent=ice.checks_sent,
        checks_answered=ice.checks_answered,
        checks_received=ice.checks_received,
        details=found.details,
    )
    phase = found.phase or PHASE_OF[found.cause]
    return Verdict(phase, found.cause, evidence, ADVICE[found.cause])


def _find(facts: ConnectionFacts, *, gave_up: bool) -> _Finding:
    failed = _failed_dtls(facts.dtls)
    if failed is not None:
        return failed
    if facts.closed_by is ClosedBySide.THEM:
        return _Finding(VerdictCause.CLOSED_BY_PEER)
    if facts.closed_by is ClosedBySide.US:
        return _Finding(VerdictCause.CLOSED_HERE)
    ice = facts.ice
    is_up = ice is not None and ice.state == "completed"
    if facts.peer_left and not is_up:
        return _Finding(VerdictCause.PEER_LEFT, (f"it is gone: {facts.peer_left}",))
    if not facts.remote_described:
        return _signaling(facts, gave_up=gave_up)
    if ice is None or ice.state == "new":
        return _gathering(facts, ice or IceFacts(), gave_up=gave_up)
    if not is_up:
        return _lost(facts, ice) if ice.was_connected else _unconnected(facts, ice, gave_up=gave_up)
    for found in (
        _handshake(facts.dtls, gave_up=gave_up),
        _association(facts.sctp, gave_up=gave_up),
        *map(_media, facts.media),
    ):
        if found is not None:
            return found
    phase = ConnectPhase.MEDIA if facts.media else ConnectPhase.SCTP
    return _Finding(VerdictCause.NOTHING_WRONG, phase=phase)


# --- signaling and gathering


def _signaling(facts: ConnectionFacts, *, gave_up: bool) -> _Finding:
    if facts.signaling_lost:
        return _Finding(VerdictCause.SIGNALING_LOST)
    if not gave_up and (not facts.local_described or facts.seconds < SIGNALING_PATIENCE):
        return _Finding(VerdictCause.STILL_CONNECTING, phase=ConnectPhase.SIGNALING)
    said = "an offer was sent" if facts.local_described else "neither side has made an offer"
    return _Finding(
        VerdictCause.NO_ANSWER, (f"{said}, and nothing came for {facts.seconds:.0f} s",)
    )


def _gathering(facts: ConnectionFacts, ice: IceFacts, *, gave_up: bool) -> _Finding:
    if ice.local_ended and not ice.local:
        return _without_candidates(ice)
    if gave_up and not facts.local_described:
        return _Finding(VerdictCause.NO_ANSWER, ("this side has not answered",))
    if gave_up and not ice.local:
        return _without_candidates(ice)
    if gave_up:
        return _unconnected(facts, ice, gave_up=True)
    return _Finding(VerdictCause.STILL_CONNECTING, phase=ConnectPhase.GATHERING)


def _without_candidates(ice: IceFacts) -> _Finding:
    if (turn := _turn_problem(ice)) is not None:
        return turn
    if ice.relay_only:
        details = ("iceTransportPolicy allows relays alone, and no TURN server is named",)
        return _Finding(VerdictCause.NO_RELAY, details, phase=ConnectPhase.GATHERING)
    return _Finding(VerdictCause.NO_NETWORK)


def _turn_problem(ice: IceFacts) -> _Finding | None:
    """Return what is wrong with the TURN servers; ``None`` if nothing is, or one gave a relay."""
    if any(candidate.type == "relay" for candidate in ice.local):
        return None
    wrong: dict[VerdictCause, ServerFacts] = {}
    for server in ice.servers:
        if server.is_turn and server.problem is not None:
            wrong.setdefault(_turn_cause(server), server)
    for cause in _TURN_RANKS:
        if cause in wrong:
            server = wrong[cause]
            return _Finding(cause, (str(server), *_credential_details(server)), (server,))
    return None


def _turn_cause(server: ServerFacts) -> VerdictCause:
    if server.problem is not ServerProblem.REFUSED:
        return _TURN_PROBLEMS[server.problem or ServerProblem.UNREACHABLE]
    if server.code in (401, 441) and server.lapsed_when_set:
        return VerdictCause.TURN_CLOCK_SKEW
    if server.code in (401, 441) and server.expires_in is not None and server.expires_in <= 0:
        return VerdictCause.TURN_CREDENTIALS_LAPSED
    return _TURN_CODES.get(server.code, VerdictCause.TURN_REFUSED)


def _credential_details(server: ServerFacts) -> tuple[str, ...]:
    if server.expires_in is None or server.code not in (401, 441):
        return ()
    if server.expires_in <= 0:
        return (f"they lapsed {-server.expires_in:.0f} s ago by this machine's clock",)
    return (f"they are good for {server.expires_in:.0f} s more by this machine's clock",)


# --- connectivity checks


def _unconnected(facts: ConnectionFacts, ice: IceFacts, *, gave_up: bool) -> _Finding:
    urgent = gave_up or ice.state == "failed" or ice.checking_for >= CHECK_PATIENCE
    if not ice.local:
        if ice.local_ended or urgent:
            return _without_candidates(ice)
        return _Finding(VerdictCause.STILL_CONNECTING, phase=ConnectPhase.GATHERING)
    if ice.has_path or not urgent:
        return _Finding(VerdictCause.STILL_CONNECTING, phase=ConnectPhase.CHECKS)
    found = _from_messages(ice) or _from_addresses(ice)
    if facts.signaling_lost and found.cause is VerdictCause.CANDIDATES_NOT_FORWARDED:
        return _Finding(VerdictCause.SIGNALING_LOST, found.details)
    return replace(found, details=(*found.details, _counted(ice)))


def _counted(ice: IceFacts) -> str:
    return (
        f"{ice.checks_sent} checks sent, {ice.checks_answered} answered, "
        f"{ice.checks_received} received"
    )


def _from_messages(ice: IceFacts) -> _Finding | None:
    """Return the cause that signaling, servers and checks show by themselves."""
    nothing_came = not ice.checks_received
    if nothing_came and not ice.refused_checks and not ice.signalled:
        details = ("the end of candidates came, and none before",) if ice.remote_ended else ()
        return _Finding(VerdictCause.CANDIDATES_NOT_FORWARDED, details)
    if (ice.refused_checks and nothing_came) or (ice.refused_by_remote and not ice.checks_answered):
        return _Finding(
            VerdictCause.CREDENTIALS_STALE,
            (
                f"{ice.refused_checks} checks came with other credentials",
                f"the other side refused {ice.refused_by_remote}",
            ),
        )
    if ice.signalled and ice.unresolved + ice.resolving >= ice.signalled and nothing_came:
        return _Finding(VerdictCause.MDNS_UNRESOLVED, (f"{ice.unresolved} names do not resolve",))
    if ice.forbidden and not ice.checks_answered:
        address, code = ice.forbidden[0]
        return _Finding(VerdictCause.TURN_PEER_FORBIDDEN, (f"the relay refuses {address}: {code}",))
    if (turn := _turn_problem(ice)) is not None:
        return turn
    if ice.checks_received and not ice.checks_answered:
        return _Finding(VerdictCause.ANSWERS_LOST)
    return None


def _from_addresses(ice: IceFacts) -> _Finding:
    """Return the likeliest cause where no message shows one: what kinds of addresses there are."""
    types = {candidate.type for candidate in ice.local}
    asked = tuple(server for server in ice.servers if not server.is_turn)
    if asked and all(server.problem is not None for server in asked) and not types - {"host"}:
        return _Finding(VerdictCause.STUN_UNREACHABLE, tuple(map(str, asked[:2])), asked)
    relayed = any(candidate.type == "relay" for candidate in (*ice.local, *ice.remote))
    if not relayed:
        for side, own, others in (
            ("this side", ice.local, ice.remote),
            ("the other side", ice.remote, ice.local),
        ):
            if are_unreachable(own, others):
                told = ", ".join(sorted({candidate.address for candidate in own})[:3])
                return _Finding(VerdictCause.ADDRESSES_UNREACHABLE, (f"{side} has only {told}",))
        if is_behind_nat(ice.local) and is_behind_nat(ice.remote):
            return _Finding(VerdictCause.NO_RELAY, _mappings(ice))
        return _Finding(VerdictCause.NO_CHECK_ARRIVES, ("there is no relay on either side",))
    sides = [
        name
        for name, candidates in (("this side", ice.local), ("the other side", ice.remote))
        if any(candidate.type == "relay" for candidate in candidates)
    ]
    return _Finding(VerdictCause.NO_CHECK_ARRIVES, (f"relay of {' and '.join(sides)}",))


def _mappings(ice: IceFacts) -> tuple[str, ...]:
    """Tell of each side whether its NAT maps by destination, as far as it shows."""
    return tuple(
        f"the NAT of {side} maps by destination (symmetric)"
        for side, candidates in (("this side", ice.local), ("the other side", ice.remote))
        if maps_by_destination(candidates)
    )


def _lost(facts: ConnectionFacts, ice: IceFacts) -> _Finding:
    if ice.loop_blocked_for >= LOOP_BLOCKED and ice.loop_blocked_ago <= RECENTLY:
        blocked = f"a timer fired {ice.loop_blocked_for:.1f} s late"
        return _Finding(VerdictCause.EVENT_LOOP_BLOCKED, (blocked,))
    details = [f"silent for {ice.silent_for:.1f} s"]
    if facts.signaling_lost:
        details.append("signaling is down as well, which a restart needs")
    if (turn := _turn_problem(ice)) is not None:
        details += turn.details
    return _Finding(VerdictCause.PATH_LOST, tuple(details))


# --- what runs over the path


def _failed_dtls(dtls: DtlsFacts) -> _Finding | None:
    if dtls.state != "failed" and dtls.problem is DtlsProblem.NONE:
        return None
    if dtls.problem is DtlsProblem.FINGERPRINT:
        return _Finding(VerdictCause.DTLS_FINGERPRINT_MISMATCH)
    if dtls.problem is DtlsProblem.SRTP_PROFILE:
        return _Finding(VerdictCause.NO_COMMON_SRTP_PROFILE)
    if _has_role_conflict(dtls):
        return _Finding(VerdictCause.DTLS_ROLE_CONFLICT, (f"both are {dtls.role}",))
    return _Finding(VerdictCause.DTLS_REFUSED)


def _has_role_conflict(dtls: DtlsFacts) -> bool:
    told_same = dtls.role == dtls.remote_role and dtls.role != "auto"
    return told_same or (dtls.role == "client" and dtls.hello_received)


def _handshake(dtls: DtlsFacts, *, gave_up: bool) -> _Finding | None:
    if dtls.state == "connected":
        return None
    if dtls.state == "closed":
        return _Finding(VerdictCause.CLOSED_BY_PEER)
    if _has_role_conflict(dtls):
        return _Finding(VerdictCause.DTLS_ROLE_CONFLICT, (f"both are {dtls.role}",))
    if not gave_up and dtls.seconds < HANDSHAKE_PATIENCE:
        return _Finding(VerdictCause.STILL_CONNECTING, phase=ConnectPhase.DTLS)
    if not dtls.received:
        return _Finding(VerdictCause.DTLS_NO_ANSWER, (f"{dtls.sent} datagrams sent, none came",))
    came = f"{dtls.received} datagrams came, of {dtls.largest_received} bytes at most"
    return _Finding(VerdictCause.DTLS_LARGE_PACKETS_LOST, (came, f"{dtls.sent} were sent"))


def _association(sctp: SctpFacts | None, *, gave_up: bool) -> _Finding | None:
    if sctp is None or sctp.state == "connected":
        return None
    if sctp.state == "closed":
        return _Finding(VerdictCause.SCTP_ABORTED, (sctp.reason,) if sctp.reason else ())
    if not gave_up and sctp.seconds < HANDSHAKE_PATIENCE:
        return _Finding(VerdictCause.STILL_CONNECTING, phase=ConnectPhase.SCTP)
    return _Finding(VerdictCause.SCTP_NO_ANSWER, (f"{sctp.received} packets came",))


def _media(media: MediaFacts) -> _Finding | None:
    named = f"{media.kind}, mid {media.mid}"
    if media.rejected:
        return _Finding(VerdictCause.NO_COMMON_CODEC, (named,))
    if media.seconds < MEDIA_PATIENCE:
        return None
    for_long = f"{named}: {media.sent} packets sent, {media.received} received"
    if media.receives and not media.received:
        return _Finding(VerdictCause.NO_MEDIA_RECEIVED, (for_long,))
    if media.sends and not media.sent:
        return _Finding(VerdictCause.NO_MEDIA_SENT, (for_long,))
    if media.receives and media.read and not media.decoded:
        cause = VerdictCause.DECODER_FAILS if media.key_frame else VerdictCause.NO_KEY_FRAME
        return _Finding(cause, (for_long,))
    return None
