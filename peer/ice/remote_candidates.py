"""Admission of signalled remote candidates: limits, mDNS resolution, unusable addresses."""

import asyncio
from collections.abc import Callable
from logging import Logger

from aioice import mdns
from aiortc import RTCIceCandidate

from icefloe.logs import get_logger
from icefloe.text import printable

from .checks.address_scope import canonical, may_connect
from .checks.connectivity import Checks
from .events import (
    Record,
    RemoteCandidatesEnded,
    RemoteCandidateTaken,
    RemoteNameUnresolved,
    ignore,
)
from .gather.interface_monitor import current_broadcasts
from .gather.multicast_dns import MulticastDns
from .plain_facts import LONGEST_ADDRESS, remote_facts

logger: Logger = get_logger(__name__)

MAX_MDNS_QUERIES = 64
"""Maximum number of concurrent mDNS queries; candidates beyond are ignored."""


class RemoteCandidates:
    """Admits the remote candidates of one generation to its checks.

    Args:
        checks: The checks, to which what is admitted goes.
        limit: Maximum number of candidates; further ones are ignored.
        tcp: True to take passive TCP candidates; active ones need no pair before they connect (RFC
            6544 section 6.2).
        relay_only: True to ignore candidates with an mDNS name: a relayed candidate is not paired
            with them (draft-ietf-mmusic-mdns-ice-candidates section 3.2).
        flush: Called after a change of the checks, to send what they have to say.
        record: Takes the events of the timeline.

    Attributes:
        unresolved: Candidates whose mDNS name did not resolve.
    """

    def __init__(
        self,
        checks: Checks,
        *,
        limit: int,
        relay_only: bool,
        flush: Callable[[], None],
        tcp: bool = False,
        record: Record = ignore,
    ) -> None:
        self._checks = checks
        self._limit = limit
        self._relay_only = relay_only
        self._tcp = tcp
        self._flush = flush
        self._record = record
        self.unresolved: int = 0
        self._now = asyncio.get_running_loop().time
        self._multicast = MulticastDns()
        self._queries: set[asyncio.Task[None]] = set()
        self._pending = 0
        self._count = 0
        self._has_ended = False
        self._is_stopped = False
        self._broadcasts: frozenset[str] | None = None

    @property
    def signalled(self) -> int:
        """Number of candidates that were signalled, those that are ignored included."""
        return self._count

    @property
    def resolving(self) -> int:
        """Number of mDNS names that are being resolved."""
        return self._pending

    def add(self, candidate: RTCIceCandidate | None) -> None:
        """Add a candidate; ``None`` is the end of candidates. Never waits.

        An mDNS name is resolved in the background. Candidates after the end are taken like the
        others. RFC 8838 section 14 has them ignored, but browsers take them, so that signaling
        which does not keep the order, as one HTTP request for each, goes unnoticed there.
        """
        if self._is_stopped:
            return
        if candidate is None:
            self._has_ended = True
            self._maybe_end()
            return
        self._count += 1
        if self._count <= self._limit:
            self._record(RemoteCandidateTaken(remote_facts(candidate)))
        if self._count > self._limit:
            if self._count == self._limit + 1:
                logger.warning(
                    "more than %d remote candidates: further ones are ignored", self._limit
                )
        elif not mdns.is_mdns_hostname(candidate.ip):
            self._admit(candidate, candidate.ip, named=False)
        elif not self._relay_only and self._pending < MAX_MDNS_QUERIES:
            self._pending += 1
            query = asyncio.get_running_loop().create_task(self._resolve(candidate))
            self._queries.add(query)
            query.add_done_callback(self._queries.discard)

    def stop(self) -> None:
        """Cancel the mDNS queries and ignore further candidates."""
        self._is_stopped = True
        for query in self._queries:
            query.cancel()

    async def close(self) -> None:
        """Stop, and release the multicast DNS socket; a second call does nothing."""
        self.stop()
        if self._queries:
            await asyncio.wait(self._queries)
        await self._multicast.close()

    def _admit(self, candidate: RTCIceCandidate, host: str, *, named: bool) -> None:
        try:
            address = (canonical(host), candidate.port)
        except ValueError:
            logger.debug("ignored a remote candidate without an IP address: %s", host)
            return
        if self._broadcasts is None:
            self._broadcasts = current_broadcasts()
        if address[0] in self._broadcasts:
            logger.debug("ignored a remote candidate with a broadcast address: %s", host)
            return
        if candidate.component != 1 or not candidate.port:
            return
        if candidate.protocol.lower() != "udp" and not self._is_passive_tcp(candidate, address):
            return
        self._checks.add_remote(candidate, address, self._now(), named=named)
        self._flush()

    def _is_passive_tcp(self, candidate: RTCIceCandidate, address: tuple[str, int]) -> bool:
        return (
            self._tcp
            and candidate.protocol.lower() == "tcp"
            and candidate.tcpType == "passive"
            and may_connect(address)
        )

    async def _resolve(self, candidate: RTCIceCandidate) -> None:
        try:
            host = await self._multicast.resolve(candidate.ip)
            if host is not None and not self._is_stopped:
                self._admit(candidate, host, named=True)
            elif host is None:
                self._note_unresolved(candidate)
        except OSError as error:
            logger.debug("%s not resolved: multicast DNS unavailable (%s)", candidate.ip, error)
            self._note_unresolved(candidate)
        finally:
            self._pending -= 1
            self._maybe_end()

    def _note_unresolved(self, candidate: RTCIceCandidate) -> None:
        self.unresolved += 1
        self._record(RemoteNameUnresolved(printable(candidate.ip, LONGEST_ADDRESS)))

    def _maybe_end(self) -> None:
        if self._has_ended and not self._pending and not self._is_stopped:
            if not self._checks.remote_ended:
                self._record(RemoteCandidatesEnded())
            self._checks.end_remote(self._now())
            self._flush()
