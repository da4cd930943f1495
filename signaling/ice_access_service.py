"""Gives each participant ICE servers with credentials that expire, and renews them in time.

:mod:`.ice_access` decides what a participant is given and at which time; this module has the timers
and the calls of a provider, which are bounded in time and in number.
"""

import asyncio
import inspect
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from logging import Logger

from icefloe._util.deadlines import timeout_at
from icefloe.logs import get_logger

from .configuration import Admission, ServerConfiguration
from .ice_access import (
    RETRY_PAUSE,
    Held,
    IceAccess,
    IceRequest,
    RenewalTimes,
    combine,
    until_renewal,
)
from .messages import Join, NewIceServers
from .quotas import JoinRate, network_of

logger: Logger = get_logger(__name__)

MAX_PROVIDER_CALLS = 32
"""The most calls of the provider that run at a time; others wait, within its timeout."""


class Outcome(StrEnum):
    """The outcome of giving a participant ICE servers, by which it is counted."""

    GIVEN = "given"
    """The participant was given them when it joined."""

    RENEWED = "renewed"
    """It was given new ones before they expired."""

    FAILED = "failed"
    """The provider failed, took too long or returned something else."""

    LIMITED = "limited"
    """The provider was not asked, because too many joins came from the address."""


@dataclass(slots=True, eq=False)
class _Holder:
    """A connection that was given ICE servers.

    Attributes:
        request: The participant.
        network: The network of the client.
        admission: The permission to join, with the servers that are not renewed here.
        minted: Those with credentials that were made here.
        provided: Those of the provider.
        mint_at: The time at which the former are to be renewed, on the loop's clock.
        ask_at: The time at which the provider is to be asked again.
    """

    request: IceRequest
    network: str
    admission: Admission
    minted: Held = field(default_factory=Held)
    provided: Held = field(default_factory=Held)
    mint_at: float = 0.0
    ask_at: float = 0.0

    @property
    def due(self) -> float:
        """The time of the next renewal."""
        return min(self.mint_at, self.ask_at)

    def held(self, now: float) -> Held:
        """Return all servers, without those of the provider whose credentials have expired.

        Args:
            now: Seconds since the epoch.
        """
        fixed = Held(self.admission.ice_servers, self.admission.expires)
        provided = self.provided if self.provided.holds(now) else Held()
        return combine((fixed, self.minted, provided))


class IceAccessService:
    """Gives participants ICE servers, and renews them.

    Args:
        configuration: The configuration of the server.
        renew: Called with a connection and the message for it. Returns whether the connection has
            joined, so that it was sent.

    Attributes:
        outcomes: The number of times, by outcome.
    """

    def __init__(
        self, configuration: ServerConfiguration, renew: Callable[[int, NewIceServers], bool]
    ) -> None:
        self.outcomes: Counter[str] = Counter({outcome.value: 0 for outcome in Outcome})
        self._turn = configuration.turn
        self._provider = configuration.ice_provider
        self._timeout = configuration.ice_provider_timeout
        self._rate = JoinRate(configuration.limits.address.joins)
        self._renew_message = renew
        self._holders: dict[int, _Holder] = {}
        self._times = RenewalTimes()
        self._changed = asyncio.Event()
        self._calls = asyncio.Semaphore(MAX_PROVIDER_CALLS)
        self._renewals: dict[int, asyncio.Task[None]] = {}
        self._running: asyncio.Task[None] | None = None
        self._has_warned = False

    def start(self) -> None:
        """Start the timer of the renewals, if anything is to be renewed."""
        if self._turn or self._provider is not None:
            self._running = asyncio.create_task(self._run(), name="ICE server renewals")

    async def close(self) -> None:
        """End the timer and the calls of the provider. A second call has no effect."""
        running, self._running = self._running, None
        tasks = [task for task in (running, *self._renewals.values()) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._holders.clear()

    async def grant(
        self, connection: int, join: Join, admission: Admission, address: str
    ) -> Admission:
        """Return an admission with the ICE servers for a participant.

        Args:
            connection: The number of its connection, which has not joined.
            join: Its ``join``.
            admission: The permission to join, with the servers that are not renewed here.
            address: The IP address of the client; empty if unknown.

        Cancellation: safe; the provider is cancelled.
        """
        if not self._turn and self._provider is None:
            return admission
        request = IceRequest(join.room, join.name)
        holder = self._holders[connection] = _Holder(request, network_of(address), admission)
        await self._update(holder)
        self._set_time(connection, holder)
        self.outcomes[Outcome.GIVEN] += 1
        held = holder.held(time.time())
        return replace(admission, ice_servers=held.ice_servers, expires=held.expires)

    def forget(self, connection: int) -> None:
        """Renew nothing for a connection any more: it is closed."""
        self._holders.pop(connection, None)
        self._times.forget(connection)
        if renewal := self._renewals.get(connection):
            renewal.cancel()

    # ---- what a participant is given -----------------------------------------------------------

    async def _update(self, holder: _Holder) -> bool:
        """Renew what is due of a participant's ICE servers; return whether anything is new.

        Cancellation: safe.
        """
        now = asyncio.get_running_loop().time
        is_new = False
        if holder.ask_at <= now():
            access = await self._provided(holder)
            if access is not None:
                holder.provided = Held.since(access, time.time())
                is_new = True
            holder.ask_at = now() + self._until_asked(access)
        if holder.mint_at <= now():
            request = holder.request
            lifetimes = [servers.lifetime for servers in self._turn]
            lifetime = min(lifetimes, default=None)
            servers = (
                each.server_for(request.room, request.name, time.time()) for each in self._turn
            )
            holder.minted = Held.since(IceAccess(tuple(servers), lifetime), time.time())
            holder.mint_at = now() + _pause(lifetime)
            is_new = is_new or bool(self._turn)
        return is_new

    def _until_asked(self, access: IceAccess | None) -> float:
        """Return the seconds until the provider is asked again, after what it returned."""
        if self._provider is None:
            return float("inf")
        return RETRY_PAUSE if access is None else _pause(access.lifetime)

    async def _provided(self, holder: _Holder) -> IceAccess | None:
        """Return the ICE servers of the provider; ``None`` without one, and if it fails."""
        if self._provider is None:
            return None
        if not self._rate.allow(holder.network, asyncio.get_running_loop().time()):
            self.outcomes[Outcome.LIMITED] += 1
            return None
        try:
            async with asyncio.timeout(self._timeout), self._calls:
                answer = self._provider(holder.request)
                access = await answer if inspect.isawaitable(answer) else answer
            if not isinstance(access, IceAccess):
                raise TypeError("`ice_provider` must return an IceAccess")
        except Exception as error:
            # Whatever is wrong with another service must not keep anybody from joining.
            self.outcomes[Outcome.FAILED] += 1
            self._warn(error)
            return None
        self._has_warned = False
        return access

    def _warn(self, error: Exception) -> None:
        """Log a failure of the provider, once until it succeeds again."""
        if isinstance(error, TimeoutError):
            reason = f"it took longer than {self._timeout:g} s"
        else:
            # Not the text of the error, which may quote a credential or a key of an API.
            reason = type(error).__name__
        if self._has_warned:
            logger.debug("`ice_provider` failed: %s", reason)
            return
        self._has_warned = True
        logger.warning(
            "`ice_provider` failed: %s. Participants join without its ICE servers; it is asked "
            "again every %g s. Further failures are counted and not logged until it succeeds.",
            reason,
            RETRY_PAUSE,
        )

    # ---- renewals ------------------------------------------------------------------------------

    def _set_time(self, connection: int, holder: _Holder) -> None:
        if holder.due < float("inf") and self._holders.get(connection) is holder:
            self._times.set(connection, holder.due)
            self._changed.set()

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            try:
                async with timeout_at(self._times.deadline):
                    await self._changed.wait()
            except TimeoutError:
                for connection in self._times.take_due(asyncio.get_running_loop().time()):
                    self._renew_in_task(connection)

    def _renew_in_task(self, connection: int) -> None:
        task = asyncio.create_task(self._renew(connection), name=f"ICE servers of {connection}")
        self._renewals[connection] = task
        task.add_done_callback(lambda _: self._renewals.pop(connection, None))

    async def _renew(self, connection: int) -> None:
        holder = self._holders.get(connection)
        if holder is None:
            return
        is_new = await self._update(holder)
        if self._holders.get(connection) is not holder:
            return
        if is_new and self._renew_message(connection, holder.held(time.time()).message):
            self.outcomes[Outcome.RENEWED] += 1
        self._set_time(connection, holder)


def _pause(lifetime: float | None) -> float:
    return float("inf") if lifetime is None else until_renewal(lifetime)
