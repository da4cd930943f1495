"""Collects what an ICE agent knows, for a diagnosis."""

import re
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from .checks.pair import NEVER, Pair
from .checks.state import IceState
from .facts import IceFacts, ServerFacts
from .plain_facts import local_facts, pair_facts, remote_facts
from .server_urls import Server

if TYPE_CHECKING:
    from .agent import IceAgent

MOST_PAIRS_REPORTED = 256
"""Candidate pairs that a diagnosis looks at."""

_TIMED_NAME = re.compile(r"(\d{9,11})(?::|$)", re.ASCII)
"""A user name of TURN credentials with a time limit, as coturn's ``use-auth-secret`` has them."""


def ice_facts(agent: "IceAgent", now: float) -> IceFacts:
    """Return what an agent knows, of the generation that is to work or does.

    Args:
        agent: The agent.
        now: The time of the event loop.
    """
    generation = agent.generation
    if generation is None:
        return IceFacts(state=str(agent.state))
    checks, remotes = generation.checks, generation.remote_candidates
    selected, began = checks.selected, checks.started_at
    blocked_for, blocked_at = generation.late_timer
    heard = selected.heard_at if selected is not None else NEVER
    pairs: Iterable[Pair] = list(checks.list)[:MOST_PAIRS_REPORTED]
    return IceFacts(
        state=str(agent.state),
        checking_for=now - began if began is not None else 0.0,
        relay_only=generation.is_relay_only,
        local=tuple(local_facts(candidate) for candidate in generation.local_candidates),
        local_ended=generation.gathered.is_set(),
        remote=tuple(
            remote_facts(remote.candidate, remote.address)
            for remote in checks.list.remotes.values()
        ),
        remote_ended=checks.remote_ended,
        signalled=remotes.signalled,
        unresolved=remotes.unresolved,
        resolving=remotes.resolving,
        servers=tuple(
            with_lifetime(facts, server, time.time(), generation.configured_at)
            for server, facts in generation.server_outcomes.items()
        ),
        pairs=tuple(map(pair_facts, pairs)),
        refused_checks=checks.refused_checks,
        refused_by_remote=checks.refused_by_remote,
        forbidden=tuple(generation.forbidden.items()),
        was_connected=checks.was_connected or agent.is_restarting,
        has_path=selected is not None and agent.state is not IceState.FAILED,
        silent_for=now - heard if heard != NEVER else 0.0,
        loop_blocked_for=blocked_for,
        loop_blocked_ago=now - blocked_at,
    )


def with_lifetime(
    facts: ServerFacts, server: Server, now: float, configured_at: float
) -> ServerFacts:
    """Add how long the credentials of a TURN server are good, where the user name tells it.

    Args:
        facts: The outcome.
        server: The server.
        now: The wall clock's time.
        configured_at: When the credentials were set, likewise.
    """
    found = _TIMED_NAME.match(server.username or "")
    if found is None:
        return facts
    expiry = int(found[1])
    return replace(facts, expires_in=expiry - now, lapsed_when_set=expiry <= configured_at)
