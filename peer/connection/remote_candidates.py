"""Assigns remote candidates to descriptions by username fragment. No I/O.

Signaling may bring a candidate before the description that it goes with, and after a new one has
replaced it. The first are kept, the second dropped (RFC 8838 section 11; RFC 8839 section 4.4.3).
"""

from collections import deque
from enum import StrEnum

from .candidates import RemoteCandidate

CAPACITY = 256
"""Candidates that are kept for a description that has not come; the oldest are dropped."""


class Verdict(StrEnum):
    """The decision about a remote candidate."""

    APPLY = "apply"
    KEEP = "keep"
    DROP = "drop"


class RemoteCandidates:
    """Candidates that wait for their description, and the generations seen so far."""

    def __init__(self) -> None:
        self._waiting: deque[RemoteCandidate] = deque(maxlen=CAPACITY)
        self._current: frozenset[str] = frozenset()
        self._stale: deque[str] = deque(maxlen=CAPACITY)

    def judge(self, candidate: RemoteCandidate) -> Verdict:
        """Tell what to do with a candidate that has just come."""
        if not self._current:
            return Verdict.KEEP
        fragment = candidate.usernameFragment
        if fragment is None or fragment in self._current:
            return Verdict.APPLY
        return Verdict.DROP if fragment in self._stale else Verdict.KEEP

    def keep(self, candidate: RemoteCandidate) -> None:
        """Put a candidate aside until :meth:`described`."""
        self._waiting.append(candidate)

    def described(self, fragments: set[str]) -> list[RemoteCandidate]:
        """Record that a remote description with these username fragments was applied.

        Returns:
            The candidates that can be applied now, in the order in which they came.
        """
        if fragments:
            self._stale.extend(self._current - fragments)
            self._current = frozenset(fragments)
        ready, kept = [], []
        for candidate in self._waiting:
            verdict = self.judge(candidate)
            if verdict is Verdict.APPLY:
                ready.append(candidate)
            elif verdict is Verdict.KEEP:
                kept.append(candidate)
        self._waiting.clear()
        self._waiting.extend(kept)
        return ready

    def rolled_back(self, fragments: set[str]) -> None:
        """Record that the latest description was taken back, and these fragments are in force."""
        self._current = frozenset(fragments)
