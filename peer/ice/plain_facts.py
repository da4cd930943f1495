"""Candidates and pairs as plain values, for events and diagnosis."""

from aioice import Candidate
from aiortc import RTCIceCandidate

from icefloe.text import printable

from .checks.pair import Pair
from .facts import CandidateFacts, PairFacts

LONGEST_ADDRESS = 64
"""Characters of a remote candidate's address that are kept: an mDNS name has 42."""


def local_facts(candidate: Candidate) -> CandidateFacts:
    """Return a local candidate as a plain value."""
    related = None
    if candidate.related_address is not None and candidate.related_port is not None:
        related = (candidate.related_address, candidate.related_port)
    return CandidateFacts(
        candidate.type, candidate.transport, candidate.host, candidate.port, related
    )


def remote_facts(
    candidate: RTCIceCandidate, address: tuple[str, int] | None = None
) -> CandidateFacts:
    """Return a remote candidate as a plain value.

    Args:
        candidate: The candidate as signalled.
        address: Its resolved address, where it has one.
    """
    related = None
    if candidate.relatedAddress is not None and candidate.relatedPort is not None:
        related = (printable(candidate.relatedAddress, LONGEST_ADDRESS), candidate.relatedPort)
    ip, port = address or (printable(candidate.ip, LONGEST_ADDRESS), candidate.port)
    return CandidateFacts(
        printable(candidate.type, 8), printable(candidate.protocol.lower(), 8), ip, port, related
    )


def pair_facts(pair: Pair) -> PairFacts:
    """Return a candidate pair as a plain value."""
    return PairFacts(
        local_facts(pair.valid_local),
        remote_facts(pair.remote.candidate, pair.remote.address),
        str(pair.state),
        pair.requests_sent + pair.consent_requests_sent,
        pair.responses_received,
        pair.requests_received,
        pair.packets_received,
    )
