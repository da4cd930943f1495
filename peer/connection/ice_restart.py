"""ICE restarts: by the application, by the remote peer, and automatic ones (RFC 8445 section 9)."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aiortc import RTCIceTransport, RTCPeerConnection

from icefloe._util.token_bucket import TokenBucket

from .._aiortc import ConnectionAdapter, agent_of
from .._util.peer_logger import NamingLogger
from ..ice.gather.interfaces import Address
from .context import Context
from .descriptions import Descriptions
from .restart_schedule import RestartSchedule

if TYPE_CHECKING:
    from ..ice.agent import IceAgent

RESTARTS_AT_ONCE = 8
"""ICE restarts by the remote peer that are carried out without a pause."""

RESTARTS_A_SECOND = 1.0
"""The rate of further ones: each takes sockets, allocations and checks on this machine."""

logger: NamingLogger = NamingLogger(__name__)


def restart_budget(now: float) -> TokenBucket:
    """Make the budget of ICE restarts of a remote peer.

    Args:
        now: The time of the event loop.
    """
    return TokenBucket(RESTARTS_A_SECOND, RESTARTS_AT_ONCE, now)


class IceRestart:
    """Replaces the path of a connection while DTLS, SCTP and SRTP go on.

    RFC 8839 section 4.4.1.1.1, W3C webrtc-pc 4.4.2 (``restartIce``).

    Args:
        connection: The connection.
        context: Its configuration.
        negotiate: Checks soon whether negotiation is needed.
    """

    def __init__(
        self, connection: RTCPeerConnection, context: Context, negotiate: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._context = context
        self._negotiate = negotiate
        self._replacing: frozenset[str] = frozenset()
        self._schedule = RestartSchedule()
        self._budget: TokenBucket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unwatch: Callable[[], None] | None = None

    def begin(self, adapter: ConnectionAdapter, descriptions: Descriptions) -> None:
        """Take the parts that are made after this one."""
        self._adapter = adapter
        self._descriptions = descriptions

    @property
    def replacing(self) -> frozenset[str]:
        """The username fragments to be replaced; W3C calls it [[LocalIceCredentialsToReplace]]."""
        return self._replacing

    def restart(self) -> None:
        """Ask for a restart with the next offer."""
        if self._context.is_closing:
            return
        self._replacing = frozenset(agent.local_username for agent in self.agents())
        if self._replacing:
            self._note_restart()
            self._negotiate()

    def probe_paths(self) -> None:
        """Check at once whether the paths in use work."""
        for agent in self.agents():
            agent.probe_path()

    def agents(self) -> "list[IceAgent]":
        """Return the ICE agents in use."""
        return [agent_of(ice) for ice in self._adapter.sections.ice_transports()]

    # --- descriptions

    @contextmanager
    def offering(self) -> Iterator[bool]:
        """Have new credentials in an offer that is created within the block, if they are due.

        Returns:
            Whether they are: there are no candidates for them yet.
        """
        restarting = self.agents() if self._replacing else []
        for agent in restarting:
            agent.prepare_restart()
            agent.describe_prepared(True)
        try:
            yield bool(restarting)
        finally:
            for agent in restarting:
                agent.describe_prepared(False)

    def adopt_offered(self, fragments: set[str]) -> None:
        """Begin the generations that a local description has, by username fragment."""
        for agent in self.agents():
            for fragment in fragments:
                agent.adopt(fragment)

    def is_restart(self, fragments: Mapping[str, str]) -> bool:
        """Return whether a remote offer has new credentials for a transport in use.

        Args:
            fragments: Its username fragments, by mid.
        """
        return any(
            agent_of(dtls.transport).remote_username not in (None, fragments[mid])
            for mid, dtls in self._adapter.sections.dtls_by_mid().items()
            if mid in fragments
        )

    def limit(self, budget: TokenBucket) -> None:
        """Take the restarts by the remote peer from a budget that is shared with others."""
        self._budget = budget

    async def wait_for_budget(self) -> None:
        """Wait until the remote peer may restart ICE once more."""
        now = self._now()
        if self._budget is None:
            self._budget = restart_budget(now)
        self._budget.take(1, now)
        if wait := self._budget.wait(now):
            logger.info("the other side restarts ICE too often: this one waits for %.1f s", wait)
            await asyncio.sleep(wait)

    def adopt_remote(self, fragments: Mapping[str, str], kind: str) -> None:
        """Begin another generation where a remote description has new credentials.

        Args:
            fragments: Its username fragments, by mid.
            kind: ``offer``, ``answer`` or ``pranswer``.
        """
        by_transport: dict[RTCIceTransport, str] = {}
        for mid, dtls in self._adapter.sections.dtls_by_mid().items():
            if mid in fragments:
                by_transport.setdefault(dtls.transport, fragments[mid])
        for ice, fragment in by_transport.items():
            agent = agent_of(ice)
            if kind == "offer" and agent.remote_username not in (None, fragment):
                agent.prepare_restart()
                agent.adopt()
                self._note_restart()
            elif kind == "answer" and agent.is_refused(fragment):
                logger.info("the other side does not restart ICE")
                agent.discard_next()
                self._replacing = frozenset()
            elif kind == "answer":
                agent.take_answer()

    def settle(self) -> None:
        """Take a restart as done once all credentials were replaced."""
        if self._replacing.isdisjoint(agent.local_username for agent in self.agents()):
            self._replacing = frozenset()

    # --- automatic restarts

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _is_in_trouble(self) -> bool:
        from ..ice.checks.state import IceState

        return any(
            agent.state in (IceState.DISCONNECTED, IceState.FAILED) for agent in self.agents()
        )

    def on_ice_state(self, ice: RTCIceTransport) -> None:
        """Take note of another state of an ICE transport."""
        from ..ice.checks.state import IceState

        ice.emit("statechange")
        if agent_of(ice).state is IceState.COMPLETED and not self._is_in_trouble():
            self._schedule.healthy(self._now())
            self._arm()
            self._adapter.path_changed(was_lost=True)

    def on_selected(self, ice: RTCIceTransport, *, was_lost: bool) -> None:
        """Take note of another selected pair."""
        # W3C has the event on the transport; with one transport the connection is at hand.
        ice.emit("selectedcandidatepairchange")
        if ice is self._descriptions.ice_transport():
            self._connection.emit("selectedcandidatepairchange")
        self._adapter.path_changed(was_lost=was_lost)

    def on_trouble(self, reason: str, *, silent: bool) -> None:
        """Restart soon, unless the configuration forbids it."""
        if self._context.is_closing or not self._context.configuration.restart_automatically:
            return
        logger.info("ICE is to be restarted: %s", reason)
        courteous = silent and not any(agent.ice_controlling for agent in self.agents())
        self._schedule.trouble(self._now(), courteous=courteous)
        self._arm()

    def on_new_credentials(self) -> None:
        """Replace the path if it has a relay whose user name was replaced, as it may expire.

        The new path has a new allocation; the one in use carries the data until it works.
        """
        if self._context.is_closing or not self._context.configuration.restart_automatically:
            return
        if any(agent.relays_by_replaced_credentials for agent in self.agents()):
            logger.info("ICE is restarted: the relay in use has credentials that were replaced")
            self.restart()

    def _note_restart(self) -> None:
        self._schedule.restarted(self._now(), still_in_trouble=self._is_in_trouble())
        self._arm()

    def _arm(self) -> None:
        self._disarm()
        due = self._schedule.due if not self._context.is_closing else float("inf")
        if due < float("inf") and self._context.configuration.restart_automatically:
            self._timer = asyncio.get_running_loop().call_at(due, self._on_due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_due(self) -> None:
        self._timer = None
        if self._context.is_closing:
            return
        if self._replacing:  # the restart before is not agreed on yet: another would not help
            self._note_restart()
        else:
            self.restart()

    def watch_addresses(self) -> None:
        """Follow the machine's addresses, from the first gathering on until :meth:`close`."""
        from ..ice.gather.interface_monitor import watch

        if self._unwatch is None and not self._context.is_closing:
            self._unwatch = watch(self._context.configuration.selection, self._on_addresses)

    def _on_addresses(self, addresses: frozenset[Address]) -> None:
        logger.info("the machine has %d other addresses", len(addresses))
        for agent in self.agents():
            agent.addresses_changed({str(address) for address in addresses})

    def close(self) -> None:
        """End the timer and the watching."""
        self._disarm()
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None
