"""The verdict: each cause from the facts that show it, and what is told apart."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.diagnosis.addresses import are_unreachable, is_behind_nat, maps_by_destination
from icefloe.peer.diagnosis.advice import ADVICE, PHASE_OF, PHASES
from icefloe.peer.diagnosis.diagnose import (
    CHECK_PATIENCE,
    HANDSHAKE_PATIENCE,
    LOOP_BLOCKED,
    MEDIA_PATIENCE,
    RECENTLY,
    SIGNALING_PATIENCE,
    diagnose,
    server_verdict,
)
from icefloe.peer.diagnosis.facts import (
    ClosedBySide,
    ConnectionFacts,
    DtlsFacts,
    DtlsProblem,
    MediaFacts,
    SctpFacts,
)
from icefloe.peer.diagnosis.verdict import MOST_PAIRS_SHOWN, ConnectPhase, Verdict, VerdictCause
from icefloe.peer.ice.facts import (
    CandidateFacts,
    IceFacts,
    PairFacts,
    ServerFacts,
    ServerProblem,
)


def candidate(type: str, address: str, port: int = 4000, **more: object) -> CandidateFacts:
    return CandidateFacts(type, "udp", address, port, **more)  # type: ignore[arg-type]


HERE = candidate("host", "192.168.1.5")
THERE = candidate("host", "10.9.8.7")
HERE_SEEN = candidate("srflx", "198.51.100.5", 4100, related=("192.168.1.5", 4000))
THERE_SEEN = candidate("srflx", "203.0.113.7", 4200)
RELAY = candidate("relay", "192.0.2.9", 50000)
PUBLIC = candidate("host", "8.8.4.4")


def pair(sent: int = 5, answered: int = 0, received: int = 0) -> PairFacts:
    return PairFacts(HERE, THERE, "in-progress", sent, answered, received)


CHECKING = IceFacts(
    state="checking",
    checking_for=CHECK_PATIENCE,
    local=(HERE, HERE_SEEN),
    local_ended=True,
    remote=(THERE, THERE_SEEN),
    remote_ended=True,
    signalled=2,
    pairs=(pair(),),
)
UP = replace(CHECKING, state="completed", was_connected=True, has_path=True, pairs=(pair(5, 5, 5),))
CONNECTED = ConnectionFacts(
    seconds=30.0,
    local_described=True,
    remote_described=True,
    ice=UP,
    dtls=DtlsFacts(state="connected", role="client", remote_role="server", received=4, sent=4),
    sctp=SctpFacts(state="connected", received=5),
)
NEGOTIATED = replace(CONNECTED, ice=CHECKING, dtls=DtlsFacts(), sctp=None)


def cause(facts: ConnectionFacts, *, gave_up: bool = False) -> VerdictCause:
    return diagnose(facts, gave_up=gave_up).cause


def checking(**changes: object) -> ConnectionFacts:
    return replace(NEGOTIATED, ice=replace(CHECKING, **changes))  # type: ignore[arg-type]


def turn(problem: ServerProblem, code: int = 701, **more: object) -> ServerFacts:
    return ServerFacts("turn:relay.example", True, 1.0, problem, code, "text", **more)  # type: ignore[arg-type]


def stun(problem: ServerProblem | None = ServerProblem.UNREACHABLE) -> ServerFacts:
    return ServerFacts("stun:stun.example", False, 5.0, problem, 701, "no answer within 5 s")


def dtls(**changes: object) -> ConnectionFacts:
    connecting = DtlsFacts(
        state="connecting", role="client", remote_role="server", seconds=HANDSHAKE_PATIENCE, sent=3
    )
    return replace(CONNECTED, dtls=replace(connecting, **changes), sctp=None)  # type: ignore[arg-type]


def media(**changes: object) -> ConnectionFacts:
    good = MediaFacts(
        "video",
        "0",
        sends=True,
        receives=True,
        seconds=MEDIA_PATIENCE,
        sent=100,
        received=100,
        decoded=50,
    )
    return replace(CONNECTED, media=(replace(good, **changes),))  # type: ignore[arg-type]


REFUSED = ServerProblem.REFUSED
CASES: dict[VerdictCause, ConnectionFacts] = {
    VerdictCause.NOTHING_WRONG: CONNECTED,
    VerdictCause.STILL_CONNECTING: checking(checking_for=CHECK_PATIENCE - 0.1),
    VerdictCause.NO_ANSWER: ConnectionFacts(seconds=SIGNALING_PATIENCE, local_described=True),
    VerdictCause.PEER_LEFT: ConnectionFacts(seconds=1, local_described=True, peer_left="left"),
    VerdictCause.SIGNALING_LOST: ConnectionFacts(
        seconds=1, local_described=True, signaling_lost=True
    ),
    VerdictCause.NO_NETWORK: checking(local=(), pairs=()),
    VerdictCause.STUN_UNREACHABLE: checking(local=(HERE,), servers=(stun(),)),
    VerdictCause.TURN_NAME_UNKNOWN: checking(servers=(turn(ServerProblem.NAME),)),
    VerdictCause.TURN_UNREACHABLE: checking(servers=(turn(ServerProblem.UNREACHABLE),)),
    VerdictCause.TURN_CERTIFICATE_REFUSED: checking(servers=(turn(ServerProblem.CERTIFICATE),)),
    VerdictCause.TURN_CREDENTIALS_WRONG: checking(servers=(turn(REFUSED, 401),)),
    VerdictCause.TURN_CREDENTIALS_LAPSED: checking(
        servers=(turn(REFUSED, 401, expires_in=-300.0),)
    ),
    VerdictCause.TURN_CLOCK_SKEW: checking(
        servers=(turn(REFUSED, 401, expires_in=-300.0, lapsed_when_set=True),)
    ),
    VerdictCause.TURN_QUOTA_REACHED: checking(servers=(turn(REFUSED, 486),)),
    VerdictCause.TURN_NO_CAPACITY: checking(servers=(turn(REFUSED, 508),)),
    VerdictCause.TURN_REFUSED: checking(servers=(turn(REFUSED, 500),)),
    VerdictCause.TURN_PEER_FORBIDDEN: checking(local=(RELAY,), forbidden=(("10.9.8.7", 403),)),
    VerdictCause.NO_RELAY: NEGOTIATED,
    VerdictCause.MDNS_UNRESOLVED: checking(remote=(), unresolved=2),
    VerdictCause.ADDRESSES_UNREACHABLE: checking(
        remote=(candidate("host", "172.17.0.2"),), signalled=1
    ),
    VerdictCause.CANDIDATES_NOT_FORWARDED: checking(remote=(), signalled=0, remote_ended=False),
    VerdictCause.CREDENTIALS_STALE: checking(refused_checks=4),
    VerdictCause.ANSWERS_LOST: checking(pairs=(pair(5, 0, 5),)),
    VerdictCause.NO_CHECK_ARRIVES: checking(remote=(PUBLIC,)),
    VerdictCause.DTLS_FINGERPRINT_MISMATCH: dtls(state="failed", problem=DtlsProblem.FINGERPRINT),
    VerdictCause.DTLS_ROLE_CONFLICT: dtls(remote_role="client"),
    VerdictCause.DTLS_LARGE_PACKETS_LOST: dtls(received=3, largest_received=200),
    VerdictCause.DTLS_NO_ANSWER: dtls(),
    VerdictCause.DTLS_REFUSED: dtls(state="failed", problem=DtlsProblem.HANDSHAKE),
    VerdictCause.NO_COMMON_SRTP_PROFILE: dtls(state="failed", problem=DtlsProblem.SRTP_PROFILE),
    VerdictCause.SCTP_NO_ANSWER: replace(
        CONNECTED, sctp=SctpFacts(state="connecting", seconds=HANDSHAKE_PATIENCE)
    ),
    VerdictCause.SCTP_ABORTED: replace(CONNECTED, sctp=SctpFacts(state="closed", reason="aborted")),
    VerdictCause.NO_COMMON_CODEC: media(rejected=True),
    VerdictCause.NO_MEDIA_SENT: media(sent=0),
    VerdictCause.NO_MEDIA_RECEIVED: media(received=0, decoded=0),
    VerdictCause.NO_KEY_FRAME: media(decoded=0, key_frame=False),
    VerdictCause.DECODER_FAILS: media(decoded=0),
    VerdictCause.PATH_LOST: replace(
        CONNECTED, ice=replace(UP, state="disconnected", silent_for=3.0)
    ),
    VerdictCause.EVENT_LOOP_BLOCKED: replace(
        CONNECTED,
        ice=replace(
            UP, state="disconnected", loop_blocked_for=LOOP_BLOCKED, loop_blocked_ago=RECENTLY
        ),
    ),
    VerdictCause.CLOSED_BY_PEER: replace(CONNECTED, closed_by=ClosedBySide.THEM),
    VerdictCause.CLOSED_HERE: replace(CONNECTED, closed_by=ClosedBySide.US),
}
"""For each cause a connection in which nothing else is wrong."""


def test_there_is_a_case_an_advice_and_one_phase_for_each_cause() -> None:
    assert set(CASES) == set(VerdictCause) == set(ADVICE)
    listed = [cause for causes in PHASES.values() for cause in causes]
    assert len(listed) == len(set(listed)) == len(PHASE_OF)
    assert set(VerdictCause) - set(listed) == {
        VerdictCause.NOTHING_WRONG,
        VerdictCause.STILL_CONNECTING,
    }
    assert set(PHASES) == set(ConnectPhase)


@pytest.mark.parametrize("expected", VerdictCause)
def test_each_cause_is_told_from_the_facts_that_show_it(expected: VerdictCause) -> None:
    verdict = diagnose(CASES[expected])
    assert verdict.cause is expected
    assert verdict.phase is PHASE_OF.get(expected, verdict.phase)
    assert verdict.section == expected
    assert str(verdict).endswith(f"See docs/troubleshooting.md#{expected}")


@pytest.mark.parametrize("cause", VerdictCause)
def test_advice_is_one_sentence(cause: VerdictCause) -> None:
    advice = ADVICE[cause]
    assert advice[0].isupper() and advice.endswith(".")
    assert ". " not in advice, advice
    assert len(set(ADVICE.values())) == len(ADVICE)


# --- patience


def test_nobody_is_blamed_before_there_was_time() -> None:
    soon = ConnectionFacts(seconds=SIGNALING_PATIENCE - 0.1, local_described=True)
    assert cause(soon) is VerdictCause.STILL_CONNECTING
    assert cause(soon, gave_up=True) is VerdictCause.NO_ANSWER
    assert cause(ConnectionFacts(seconds=1000.0)) is VerdictCause.STILL_CONNECTING
    assert cause(dtls(seconds=HANDSHAKE_PATIENCE - 0.1)) is VerdictCause.STILL_CONNECTING
    assert cause(dtls(seconds=0.0), gave_up=True) is VerdictCause.DTLS_NO_ANSWER
    young = replace(CONNECTED, sctp=SctpFacts(state="connecting", seconds=1.0))
    assert cause(young) is VerdictCause.STILL_CONNECTING
    assert cause(young, gave_up=True) is VerdictCause.SCTP_NO_ANSWER
    assert cause(media(seconds=MEDIA_PATIENCE - 0.1, received=0)) is VerdictCause.NOTHING_WRONG


def test_checks_that_failed_are_judged_at_once() -> None:
    early = checking(checking_for=1.0)
    assert cause(early) is VerdictCause.STILL_CONNECTING
    assert cause(early, gave_up=True) is VerdictCause.NO_RELAY
    assert cause(checking(state="failed", checking_for=1.0)) is VerdictCause.NO_RELAY


def test_a_pair_that_works_already_is_waited_for() -> None:
    assert cause(checking(has_path=True)) is VerdictCause.STILL_CONNECTING


# --- signaling and gathering


def test_it_is_told_whether_this_side_has_offered() -> None:
    (said,) = diagnose(ConnectionFacts(seconds=30.0), gave_up=True).evidence.details
    assert "neither side" in said
    offered = ConnectionFacts(seconds=30.0, local_described=True)
    assert "an offer was sent" in diagnose(offered).evidence.details[0]


def test_an_offer_that_this_side_does_not_answer_is_told() -> None:
    facts = ConnectionFacts(seconds=30.0, remote_described=True)
    verdict = diagnose(facts, gave_up=True)
    assert verdict.cause is VerdictCause.NO_ANSWER
    assert verdict.evidence.details == ("this side has not answered",)
    assert cause(facts) is VerdictCause.STILL_CONNECTING


def test_a_peer_that_left_does_not_end_a_connection_that_works() -> None:
    assert cause(replace(CONNECTED, peer_left="timeout")) is VerdictCause.NOTHING_WRONG
    assert cause(replace(NEGOTIATED, peer_left="left")) is VerdictCause.PEER_LEFT


def test_lost_signaling_explains_candidates_that_did_not_come() -> None:
    facts = checking(remote=(), signalled=0, remote_ended=False)
    assert cause(replace(facts, signaling_lost=True)) is VerdictCause.SIGNALING_LOST
    assert cause(replace(NEGOTIATED, signaling_lost=True)) is VerdictCause.NO_RELAY


def test_without_local_candidates_the_turn_server_is_named_before_the_network() -> None:
    facts = checking(local=(), relay_only=True, servers=(turn(REFUSED, 401),))
    assert cause(facts) is VerdictCause.TURN_CREDENTIALS_WRONG
    alone = diagnose(checking(local=(), relay_only=True))
    assert (alone.cause, alone.phase) == (VerdictCause.NO_RELAY, ConnectPhase.GATHERING)
    waiting = checking(local=(), local_ended=False, checking_for=1.0)
    assert cause(waiting) is VerdictCause.STILL_CONNECTING
    unstarted = replace(NEGOTIATED, ice=IceFacts(local_ended=True))
    assert cause(unstarted) is VerdictCause.NO_NETWORK
    gathering = replace(NEGOTIATED, ice=IceFacts())
    assert cause(gathering) is VerdictCause.STILL_CONNECTING
    assert cause(gathering, gave_up=True) is VerdictCause.NO_NETWORK


# --- STUN and TURN


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (turn(ServerProblem.UNREACHABLE), turn(REFUSED, 401), VerdictCause.TURN_CREDENTIALS_WRONG),
        (turn(ServerProblem.NAME), turn(ServerProblem.UNREACHABLE), VerdictCause.TURN_NAME_UNKNOWN),
        (turn(REFUSED, 508), turn(REFUSED, 486), VerdictCause.TURN_QUOTA_REACHED),
        (turn(REFUSED, 441), turn(ServerProblem.UNSUPPORTED), VerdictCause.TURN_CREDENTIALS_WRONG),
        (
            turn(ServerProblem.UNSUPPORTED),
            turn(ServerProblem.UNREACHABLE),
            VerdictCause.TURN_REFUSED,
        ),
    ],
)
def test_of_several_turn_servers_the_one_that_said_most_is_named(
    first: ServerFacts, second: ServerFacts, expected: VerdictCause
) -> None:
    for servers in ((first, second), (second, first)):
        verdict = diagnose(checking(servers=servers))
        assert verdict.cause is expected
        (named,) = verdict.evidence.servers
        assert named in (first, second) and str(named) in verdict.evidence.details


def test_a_relay_from_one_server_makes_up_for_the_other() -> None:
    facts = checking(local=(HERE, RELAY), servers=(turn(REFUSED, 401),))
    assert cause(facts) is VerdictCause.NO_CHECK_ARRIVES
    assert server_verdict(facts) is None


def test_credentials_tell_how_long_they_are_good() -> None:
    fresh = diagnose(checking(servers=(turn(REFUSED, 401, expires_in=3600.0),)))
    assert fresh.cause is VerdictCause.TURN_CREDENTIALS_WRONG
    assert any("3600 s more" in each for each in fresh.evidence.details)
    lapsed = diagnose(CASES[VerdictCause.TURN_CREDENTIALS_LAPSED])
    assert any("300 s ago" in each for each in lapsed.evidence.details)
    quota = diagnose(checking(servers=(turn(REFUSED, 486, expires_in=-1.0),)))
    assert quota.cause is VerdictCause.TURN_QUOTA_REACHED and len(quota.evidence.details) == 2


def test_a_turn_server_is_told_of_while_other_paths_are_tried() -> None:
    early = checking(checking_for=0.1, servers=(turn(REFUSED, 401),))
    assert cause(early) is VerdictCause.STILL_CONNECTING
    verdict = server_verdict(early)
    assert verdict is not None and verdict.cause is VerdictCause.TURN_CREDENTIALS_WRONG
    assert server_verdict(NEGOTIATED) is None
    assert server_verdict(ConnectionFacts()) is None
    assert server_verdict(checking(servers=(stun(),))) is None


def test_udp_is_taken_for_blocked_only_if_no_stun_server_answered() -> None:
    one = checking(local=(HERE,), servers=(stun(), stun(None)), remote=(PUBLIC,))
    assert cause(one) is not VerdictCause.STUN_UNREACHABLE
    seen = checking(servers=(stun(),))
    assert cause(seen) is VerdictCause.NO_RELAY


# --- checks


def test_the_kinds_of_nats_are_told_as_far_as_they_show() -> None:
    again = replace(HERE_SEEN, port=4999)
    verdict = diagnose(checking(local=(HERE, HERE_SEEN, again)))
    assert verdict.cause is VerdictCause.NO_RELAY
    assert verdict.evidence.details[0] == "the NAT of this side maps by destination (symmetric)"


def test_a_relay_on_one_side_is_told() -> None:
    for where, said in (("local", "this side"), ("remote", "the other side")):
        verdict = diagnose(checking(**{where: (HERE, RELAY)}))
        assert verdict.cause is VerdictCause.NO_CHECK_ARRIVES
        assert said in verdict.evidence.details[0]


def test_two_machines_of_one_network_are_not_told_to_be_unreachable() -> None:
    near = candidate("host", "192.168.77.9")
    facts = checking(local=(HERE,), remote=(near,), signalled=1)
    assert cause(facts) is VerdictCause.NO_CHECK_ARRIVES


def test_a_side_that_knows_only_private_addresses_is_named() -> None:
    mine = diagnose(checking(local=(HERE,), remote=(PUBLIC,)))
    assert mine.cause is VerdictCause.ADDRESSES_UNREACHABLE
    assert mine.evidence.details[0] == "this side has only 192.168.1.5"


def test_checks_count_more_than_what_signaling_brought() -> None:
    came = checking(signalled=0, pairs=(pair(3, 0, 2),))
    assert cause(came) is VerdictCause.ANSWERS_LOST
    ended = diagnose(checking(remote=(), signalled=0))
    assert ended.evidence.details[0] == "the end of candidates came, and none before"


def test_old_credentials_are_told_from_either_side() -> None:
    assert cause(checking(refused_by_remote=1)) is VerdictCause.CREDENTIALS_STALE
    # What a stranger sends does no harm to a diagnosis once the right checks come.
    assert cause(checking(refused_checks=3, pairs=(pair(5, 0, 4),))) is VerdictCause.ANSWERS_LOST
    answered = checking(refused_by_remote=1, pairs=(pair(5, 1, 0),))
    assert cause(answered) is not VerdictCause.CREDENTIALS_STALE


def test_names_that_are_still_looked_up_count_as_unresolved() -> None:
    assert cause(checking(remote=(), resolving=2)) is VerdictCause.MDNS_UNRESOLVED
    assert cause(checking(unresolved=1)) is VerdictCause.NO_RELAY


def test_the_evidence_has_the_pairs_that_were_checked_most_and_a_bound() -> None:
    pairs = tuple(pair(sent) for sent in range(100))
    evidence = diagnose(checking(pairs=pairs)).evidence
    assert len(evidence.pairs) == MOST_PAIRS_SHOWN
    assert evidence.pairs[0].checks_sent == 99
    assert evidence.checks_sent == sum(range(100))


# --- above ICE


def test_a_client_that_is_greeted_by_a_client_sees_the_conflict_at_once() -> None:
    assert (
        cause(dtls(seconds=0.1, hello_received=True, received=1)) is VerdictCause.DTLS_ROLE_CONFLICT
    )
    server = dtls(role="server", remote_role="client", hello_received=True, received=1)
    assert cause(server) is VerdictCause.DTLS_LARGE_PACKETS_LOST
    assert cause(dtls(role="auto", remote_role="auto")) is VerdictCause.DTLS_NO_ANSWER
    failed = dtls(state="failed", problem=DtlsProblem.HANDSHAKE, remote_role="client")
    assert cause(failed) is VerdictCause.DTLS_ROLE_CONFLICT


def test_a_failed_handshake_stays_the_cause_after_the_close() -> None:
    facts = replace(CASES[VerdictCause.DTLS_FINGERPRINT_MISMATCH], closed_by=ClosedBySide.US)
    assert cause(facts) is VerdictCause.DTLS_FINGERPRINT_MISMATCH


def test_a_dtls_transport_that_closed_was_closed_by_the_other_side() -> None:
    assert cause(dtls(state="closed")) is VerdictCause.CLOSED_BY_PEER


def test_what_is_not_read_is_not_said_to_fail_to_decode() -> None:
    assert cause(media(decoded=0, read=False)) is VerdictCause.NOTHING_WRONG
    assert cause(media(sends=False, sent=0)) is VerdictCause.NOTHING_WRONG
    assert cause(media(receives=False, received=0, decoded=0)) is VerdictCause.NOTHING_WRONG


def test_a_blocked_loop_explains_a_lost_path_only_for_a_while() -> None:
    ice = replace(UP, state="failed", loop_blocked_for=5.0, loop_blocked_ago=RECENTLY + 0.1)
    assert cause(replace(CONNECTED, ice=ice)) is VerdictCause.PATH_LOST
    ice = replace(UP, state="failed", loop_blocked_for=LOOP_BLOCKED - 0.1, loop_blocked_ago=0.0)
    assert cause(replace(CONNECTED, ice=ice)) is VerdictCause.PATH_LOST


def test_a_lost_path_tells_what_else_is_down() -> None:
    ice = replace(UP, state="disconnected", silent_for=4.0, servers=(turn(REFUSED, 401),))
    details = diagnose(replace(CONNECTED, ice=ice, signaling_lost=True)).evidence.details
    assert details[0] == "silent for 4.0 s"
    assert "signaling is down" in details[1]
    assert "401" in details[2]


def test_where_nothing_is_wrong_the_latest_phase_is_named() -> None:
    assert diagnose(CONNECTED).phase is ConnectPhase.SCTP
    assert diagnose(media()).phase is ConnectPhase.MEDIA
    assert not diagnose(CONNECTED).is_failure
    assert diagnose(NEGOTIATED).is_failure


# --- addresses


@pytest.mark.parametrize(
    ("own", "others", "expected"),
    [
        (["192.168.1.5"], ["203.0.113.7"], True),
        (["192.168.1.5"], ["192.168.9.9"], False),
        (["172.17.0.2"], ["172.17.0.2"], True),
        (["10.0.0.4", "8.8.8.8"], ["10.9.9.9"], False),
        (["fd00::1"], ["fd00::2"], False),
        (["fd00::1"], ["fd99::2"], True),
        (["127.0.0.1"], ["127.0.0.1"], False),
        (["100.64.3.4"], ["198.51.100.7"], True),
        (["0b1c.local"], ["198.51.100.7"], True),
        ([], ["198.51.100.7"], False),
    ],
)
def test_private_addresses_are_unreachable_from_other_networks(
    own: list[str], others: list[str], expected: bool
) -> None:
    mine = [candidate("host", address) for address in own]
    theirs = [candidate("host", address) for address in others]
    assert are_unreachable(mine, theirs) is expected


def test_a_nat_shows_by_its_reflexive_addresses() -> None:
    assert is_behind_nat((HERE, HERE_SEEN))
    assert not is_behind_nat((HERE,))
    assert not is_behind_nat((PUBLIC, HERE_SEEN))
    assert not maps_by_destination((HERE_SEEN, HERE_SEEN))
    assert maps_by_destination((HERE_SEEN, replace(HERE_SEEN, port=1)))
    hidden = candidate("srflx", "198.51.100.5", 1, related=("0.0.0.0", 0))
    assert not maps_by_destination((hidden, replace(hidden, port=2)))


# --- anything at all

_COUNTS = st.integers(0, 3)
_SECONDS = st.sampled_from([0.0, 3.0, 7.0, 100.0])
_CANDIDATES = st.lists(
    st.sampled_from(
        [HERE, THERE, HERE_SEEN, THERE_SEEN, RELAY, PUBLIC, candidate("host", "x.local")]
    ),
    max_size=3,
).map(tuple)
_SERVERS = st.lists(
    st.builds(
        ServerFacts,
        st.just("turn:x"),
        st.booleans(),
        _SECONDS,
        st.none() | st.sampled_from(ServerProblem),
        st.sampled_from([0, 401, 403, 441, 486, 508, 701]),
        st.just("text"),
        st.none() | st.sampled_from([-5.0, 5.0]),
        st.booleans(),
    ),
    max_size=3,
).map(tuple)
_ICE = st.builds(
    IceFacts,
    state=st.sampled_from(["new", "checking", "completed", "disconnected", "failed", "closed"]),
    checking_for=_SECONDS,
    relay_only=st.booleans(),
    local=_CANDIDATES,
    local_ended=st.booleans(),
    remote=_CANDIDATES,
    remote_ended=st.booleans(),
    signalled=_COUNTS,
    unresolved=_COUNTS,
    resolving=_COUNTS,
    servers=_SERVERS,
    pairs=st.lists(st.builds(pair, _COUNTS, _COUNTS, _COUNTS), max_size=2).map(tuple),
    refused_checks=_COUNTS,
    refused_by_remote=_COUNTS,
    forbidden=st.sampled_from([(), (("10.0.0.1", 403),)]),
    was_connected=st.booleans(),
    has_path=st.booleans(),
    loop_blocked_for=_SECONDS,
)
_DTLS = st.builds(
    DtlsFacts,
    state=st.sampled_from(["new", "connecting", "connected", "closed", "failed"]),
    problem=st.sampled_from(DtlsProblem),
    role=st.sampled_from(["auto", "client", "server"]),
    remote_role=st.sampled_from(["auto", "client", "server"]),
    seconds=_SECONDS,
    received=_COUNTS,
    hello_received=st.booleans(),
)
_SCTP = st.builds(SctpFacts, st.sampled_from(["new", "connecting", "connected", "closed"]))
_MEDIA = st.builds(
    MediaFacts,
    kind=st.sampled_from(["audio", "video"]),
    rejected=st.booleans(),
    sends=st.booleans(),
    receives=st.booleans(),
    seconds=_SECONDS,
    sent=_COUNTS,
    received=_COUNTS,
    decoded=_COUNTS,
    key_frame=st.booleans(),
    read=st.booleans(),
)
_FACTS = st.builds(
    ConnectionFacts,
    seconds=_SECONDS,
    local_described=st.booleans(),
    remote_described=st.booleans(),
    peer_left=st.sampled_from(["", "left"]),
    signaling_lost=st.booleans(),
    ice=st.none() | _ICE,
    dtls=_DTLS,
    sctp=st.none() | _SCTP,
    media=st.lists(_MEDIA, max_size=2).map(tuple),
    closed_by=st.sampled_from(ClosedBySide),
)


@given(_FACTS, st.booleans())
def test_whatever_the_facts_there_is_a_verdict(facts: ConnectionFacts, gave_up: bool) -> None:
    verdict = diagnose(facts, gave_up=gave_up)
    assert isinstance(verdict, Verdict)
    assert verdict == diagnose(facts, gave_up=gave_up)
    assert verdict.phase is PHASE_OF.get(verdict.cause, verdict.phase) or verdict.cause in (
        VerdictCause.NO_RELAY,
    )
    assert verdict.advice == ADVICE[verdict.cause]


@given(_FACTS, _ICE)
def test_a_connection_that_failed_is_never_said_to_work(
    facts: ConnectionFacts, ice: IceFacts
) -> None:
    failed = replace(facts, ice=replace(ice, state="failed"))
    assert cause(failed, gave_up=True) is not VerdictCause.NOTHING_WRONG
