"""ICE restarts: asked for by the application, by the other side, and by the connection itself."""

import asyncio
from collections.abc import Callable, Mapping

from aiortc import RTCConfiguration, RTCIceTransport, RTCSessionDescription

from icefloe._util.token_bucket import TokenBucket

from .. import sdp
from .._aiortc import agent_of
from .._util.peer_logger import NamingLogger
from ..configuration import PeerConfiguration
from ..ice.agent import IceAgent
from ..ice.checks.state import IceState
from ..ice.gather.interface_monitor import watch
from ..ice.gather.interfaces import Address
from ..ice.server_urls import Server
from .restart_schedule import Recovery
from .trickle import TricklingConnection

RESTARTS_AT_ONCE = 8
"""Restarts of the other side that are carried out one after the other without a pause."""

RESTARTS_A_SECOND = 1.0
"""How many are from then on: each takes sockets, allocations and checks on this machine."""

logger = NamingLogger(__name__)


def restart_budget(now: float) -> TokenBucket:
    """Make the budget of ICE restarts of another side.

    Args:
        now: The time of the event loop.
    """
    return TokenBucket(RESTARTS_A_SECOND, RESTARTS_AT_ONCE, now)


class RestartingConnection(TricklingConnection):
    """A connection whose path can be replaced while DTLS, SCTP and SRTP go on.

    RFC 8445 section 9, RFC 8839 section 4.4.1.1.1, W3C webrtc-pc 4.4.2 (``restartIce``).
    """

    def __init__(
        self,
        configuration: RTCConfiguration,
        *,
        own: PeerConfiguration,
        servers: tuple[Server, ...],
    ) -> None:
        self._replacing: frozenset[str] = frozenset()
        """The username fragments to be replaced; W3C calls it [[LocalIceCredentialsToReplace]]."""
        self._recovery = Recovery()
        self._asked_to_restart: TokenBucket | None = None
        self._recovery_timer: asyncio.TimerHandle | None = None
        self._unwatch: Callable[[], None] | None = None
        super().__init__(configuration, own=own, servers=servers)

    def restartIce(self) -> None:
        """Ask for an ICE restart: ``negotiationneeded`` follows, and the next offer has it.

        The path in use carries the data until the new one works. W3C webrtc-pc, restartIce.
        """
        if self._closing is not None:
            return
        self._replacing = frozenset(agent.local_username for agent in self._agents())
        if self._replacing:
            self._recovery.restarted(self._now(), still_in_trouble=self._is_in_trouble())
            self._arm_recovery()
            self._negotiation_may_be_needed()

    def _agents(self) -> list[IceAgent]:
        return [agent_of(ice) for ice in self._ice_transports()]

    # --- descriptions

    async def createOffer(self) -> RTCSessionDescription:
        """Create an offer; what was negotiated keeps its payload types and extension ids.

        After :meth:`restartIce` it carries new ICE credentials.

        Raises:
            InvalidStateError: The connection is closed.
        """
        restarting = self._agents() if self._replacing else []
        for agent in restarting:
            agent.prepare_restart()
            agent.describe_prepared(True)
        try:
            offer = await super().createOffer()
        finally:
            for agent in restarting:
                agent.describe_prepared(False)
        if restarting:  # of what was prepared there are no candidates yet
            offer.sdp = sdp.without_end(offer.sdp)
        return offer

    def _adopt_offered(self, offered: set[str]) -> None:
        """Make the generations that a local description speaks of, by their fragments."""
        for agent in self._agents():
            for fragment in offered:
                agent.adopt(fragment)

    def _restarts(self, fragments: Mapping[str, str]) -> bool:
        """Whether an offer of the other side has new credentials for a path that there is.

        Args:
            fragments: Its username fragments, by mid.
        """
        return any(
            agent_of(dtls.transport).remote_username not in (None, fragments[mid])
            for mid, dtls in self._dtls_by_mid().items()
            if mid in fragments
        )

    def limit_restarts(self, budget: TokenBucket) -> None:
        """Take the other side's ICE restarts from a budget that others take from, too.

        Args:
            budget: One of :func:`restart_budget`.
        """
        self._asked_to_restart = budget

    async def _wait_for_restart(self) -> None:
        """Wait until the other side may restart ICE once more."""
        now = self._now()
        if self._asked_to_restart is None:
            self._asked_to_restart = restart_budget(now)
        self._asked_to_restart.take(1, now)
        if wait := self._asked_to_restart.wait(now):
            logger.info("the other side restarts ICE too often: this one waits for %.1f s", wait)
            await asyncio.sleep(wait)

    def _adopt_remote(self, fragments: Mapping[str, str], kind: str) -> None:
        """Make another generation where the other side's description has new credentials."""
        by_transport: dict[RTCIceTransport, str] = {}
        for mid, dtls in self._dtls_by_mid().items():
            if mid in fragments:
                by_transport.setdefault(dtls.transport, fragments[mid])
        for ice, fragment in by_transport.items():
            agent = agent_of(ice)
            if kind == "offer" and agent.remote_username not in (None, fragment):
                agent.prepare_restart()
                agent.adopt()
                self._recovery.restarted(self._now(), still_in_trouble=self._is_in_trouble())
                self._arm_recovery()
            elif kind == "answer" and agent.is_refused(fragment):
                logger.info("the other side does not restart ICE")
                agent.discard_next()
                self._replacing = frozenset()
            elif kind == "answer":
                agent.take_answer()

    def _settle(self) -> None:
        super()._settle()
        if self._replacing.isdisjoint(agent.local_username for agent in self._agents()):
            self._replacing = frozenset()

    # --- by itself

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _is_in_trouble(self) -> bool:
        return any(
            agent.state in (IceState.DISCONNECTED, IceState.FAILED) for agent in self._agents()
        )

    def _on_ice_state(self, ice: RTCIceTransport) -> None:
        super()._on_ice_state(ice)
        if agent_of(ice).state is IceState.COMPLETED and not self._is_in_trouble():
            self._recovery.healthy(self._now())
            self._arm_recovery()
            self._path_changed(was_lost=True)

    def _on_selected(self, ice: RTCIceTransport, *, was_lost: bool) -> None:
        super()._on_selected(ice, was_lost=was_lost)
        self._path_changed(was_lost=was_lost)

    def _on_trouble(self, reason: str, *, silent: bool) -> None:
        if self._closing is not None or not self._configuration.restartAutomatically:
            return
        logger.info("ICE is to be restarted: %s", reason)
        courteous = silent and not any(agent.ice_controlling for agent in self._agents())
        self._recovery.trouble(self._now(), courteous=courteous)
        self._arm_recovery()

    def _arm_recovery(self) -> None:
        self._stop_recovering()
        due = self._recovery.due if self._closing is None else float("inf")
        if due < float("inf") and self._configuration.restartAutomatically:
            loop = asyncio.get_running_loop()
            self._recovery_timer = loop.call_at(due, self._recover)

    def _recover(self) -> None:
        self._recovery_timer = None
        if self._closing is not None:
            return
        if self._replacing:  # the restart before is not agreed on yet: another would not help
            self._recovery.restarted(self._now(), still_in_trouble=self._is_in_trouble())
            self._arm_recovery()
        else:
            self.restartIce()

    def _watch_addresses(self) -> None:
        """Follow the machine's addresses, from the first gathering on until the end."""
        if self._unwatch is None and self._closing is None:
            self._unwatch = watch(self._configuration.selection, self._on_addresses)

    def _on_addresses(self, addresses: frozenset[Address]) -> None:
        logger.info("the machine has %d other addresses", len(addresses))
        for agent in self._agents():
            agent.addresses_changed({str(address) for address in addresses})

    def _stop_watching(self) -> None:
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _stop_recovering(self) -> None:
        if self._recovery_timer is not None:
            self._recovery_timer.cancel()
            self._recovery_timer = None
