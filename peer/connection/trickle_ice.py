"""Trickle ICE (RFC 8838): local candidates, one by one, and the selected pair."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from aiortc import RTCIceTransport, RTCPeerConnection
from aiortc.rtcicetransport import candidate_from_aioice

from .._aiortc import ConnectionAdapter, Gatherer, agent_of
from ..ice.server_urls import RTCPeerConnectionIceErrorEvent
from .candidates import RTCIceCandidate, RTCIceCandidatePair, local_candidate
from .context import Context
from .descriptions import Descriptions

if TYPE_CHECKING:
    from ..ice.agent import IceAgent
    from ..ice.events import IceEvent
    from ..ice.gather.local_candidate import LocalCandidate


class PathListener(Protocol):
    """Is told when the path of a connection changes, or is in trouble."""

    def on_ice_state(self, ice: RTCIceTransport) -> None:
        """Take note of another state of an ICE transport."""

    def on_selected(self, ice: RTCIceTransport, *, was_lost: bool) -> None:
        """Take note of another selected pair."""

    def on_trouble(self, reason: str, *, silent: bool) -> None:
        """Take note of a path that may not work any more."""


class TrickleIce:
    """The ICE agents of a connection, and the candidates that they find.

    These are announced once the description that they belong to is set.

    Args:
        connection: The connection.
        context: Its configuration.
        path: Is told of states and selected pairs.
        record: Takes the events of the agents.
    """

    def __init__(
        self,
        connection: RTCPeerConnection,
        context: Context,
        path: PathListener,
        record: "Callable[[IceEvent], None]",
    ) -> None:
        self._record = record
        self._connection = connection
        self._context = context
        self._path = path
        self._found: list[tuple[RTCIceTransport, LocalCandidate | None, str]] = []
        self._holds_found = False

    def begin(self, adapter: ConnectionAdapter, descriptions: Descriptions) -> None:
        """Take the parts that need :meth:`make_agent` to be made."""
        self._adapter = adapter
        self._descriptions = descriptions

    # --- local candidates

    def make_agent(self, ice: RTCIceTransport, username: str, password: str) -> "IceAgent":
        """Make the ICE agent of a transport."""
        from ..ice.agent import AgentListener, IceAgent

        listener = AgentListener(
            candidate=lambda found, of: self._on_found(ice, found, of),
            error=self._on_server_error,
            complete=lambda of: self._on_found(ice, None, of),
            state=lambda: self._path.on_ice_state(ice),
            selected=lambda was_lost: self._path.on_selected(ice, was_lost=was_lost),
            trouble=self._path.on_trouble,
            record=self._record,
        )
        context = self._context
        return IceAgent(
            context.configuration.ice,
            context.servers,
            listener,
            username=username,
            password=password,
        )

    def _on_server_error(self, event: RTCPeerConnectionIceErrorEvent) -> None:
        self._connection.emit("icecandidateerror", event)

    def _on_found(
        self, ice: RTCIceTransport, candidate: "LocalCandidate | None", fragment: str
    ) -> None:
        if fragment != agent_of(ice).local_username:
            return  # of a generation that another has replaced
        if candidate is None and not self._connection.listeners("icecandidate"):
            _complete(ice)  # setLocalDescription() waits for it
        self._found.append((ice, candidate, fragment))
        if not self._holds_found:
            self._emit_found_soon()
            if candidate is not None and len(agent_of(ice).local_candidates) == 1:
                # aiortc does not start a transport without a local candidate: with the relay
                # policy the first one comes later.
                self._adapter.resume_connecting()

    def hold(self) -> None:
        """Keep candidates back until the local description that is being set is there."""
        self._holds_found = True

    def release(self) -> None:
        """Announce the candidates that were kept back, and those to come."""
        self._holds_found = False
        self._emit_found_soon()

    def drop_found(self) -> None:
        """Announce nothing any more."""
        self._found.clear()

    def _emit_found_soon(self) -> None:
        if self._found:
            asyncio.get_running_loop().call_soon(self._emit_found)

    def _emit_found(self) -> None:
        while self._found and not self._holds_found and not self._context.is_closing:
            ice, candidate, fragment = self._found.pop(0)
            if fragment != agent_of(ice).local_username:
                continue
            if candidate is not None:
                mid, index = self._descriptions.section_of(ice, "Local")
                if mid is None:
                    continue  # its offer was rolled back: the next one has this candidate
                event = _as_found(candidate, mid=mid, index=index, fragment=fragment)
                self._connection.emit("icecandidate", event)
            else:
                _complete(ice)
                if self._connection.iceGatheringState == "complete":
                    self._connection.emit("icecandidate", None)

    async def wait_until_gathered(self) -> None:
        """Wait for the end of gathering, at most the ``gathering_timeout``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._context.configuration.gathering_timeout
        for ice in self._adapter.sections.ice_transports():
            await agent_of(ice).wait_until_gathered(max(deadline - loop.time(), 0))

    def selected_pair(self) -> RTCIceCandidatePair | None:
        """Return the selected candidate pair of the first transport, once there is one."""
        ice = self._descriptions.ice_transport()
        agent = agent_of(ice) if ice is not None else None
        pair = agent.selected_pair if agent is not None else None
        if agent is None or pair is None:
            return None
        credentials = agent.generation.checks.credentials
        local = _as_found(pair.valid_local, fragment=credentials.local_username)
        remote = local_candidate(
            pair.remote.candidate,
            mid=None,
            index=None,
            fragment=credentials.remote_username,
        )
        return RTCIceCandidatePair(local, remote, pair.current_round_trip_time)


def _complete(ice: RTCIceTransport) -> None:
    gatherer = ice.iceGatherer
    if isinstance(gatherer, Gatherer):
        gatherer.finish()


def _as_found(
    found: "LocalCandidate", *, mid: str | None = None, index: int | None = None, fragment: str
) -> RTCIceCandidate:
    return local_candidate(
        candidate_from_aioice(found.announced() or found),
        mid=mid,
        index=index,
        fragment=fragment,
        url=found.url,
        relay_protocol=found.relay_protocol,
    )
