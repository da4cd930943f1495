"""ICE restarts: asked for by the application, by the other side, and by the connection itself."""

import asyncio
import logging

from aiortc import RTCConfiguration, RTCIceTransport, RTCSessionDescription

from . import sdp
from ._aiortc import agent_of
from .configuration import PeerConfiguration
from .ice.agent import IceAgent
from .ice.checks import IceState
from .ice.servers import Server
from .recovery import Recovery
from .trickling import TricklingConnection

logger = logging.getLogger(__name__)


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
        self._recovery_timer: asyncio.TimerHandle | None = None
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

    def _adopt_offered(self, text: str) -> None:
        """Make the generations that a local description speaks of."""
        offered = sdp.fragments(text)
        for agent in self._agents():
            for fragment in offered:
                agent.adopt(fragment)

    def _adopt_remote(self, text: str, kind: str) -> None:
        """Make another generation where the other side's description has new credentials."""
        offered = sdp.fragments(text)
        for agent in self._agents():
            if kind == "offer" and offered and agent.remote_username is not None:
                if agent.remote_username not in offered:
                    agent.prepare_restart()
                    agent.adopt()
                    self._recovery.restarted(self._now(), still_in_trouble=self._is_in_trouble())
                    self._arm_recovery()
            elif kind == "answer":
                if any(agent.is_refused(name) for name in offered):
                    logger.info("the other side does not restart ICE")
                    agent.discard_next()
                    self._replacing = frozenset()
                else:
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

    def _on_trouble(self, reason: str, *, silent: bool) -> None:
        if self._closing is not None or not self._configuration.restartAutomatically:
            return
        logger.info("ICE is to be restarted: %s", reason)
        courteous = silent and not any(agent.ice_controlling for agent in self._agents())
        self._recovery.trouble(self._now(), courteous=courteous)
        self._arm_recovery()

    def _arm_recovery(self) -> None:
        self._stop_recovering()
        due = self._recovery.due
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

    def _stop_recovering(self) -> None:
        if self._recovery_timer is not None:
            self._recovery_timer.cancel()
            self._recovery_timer = None
