"""Trickle ICE (RFC 8838): local and remote candidates, one by one."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import aiortc
from aiortc import RTCDtlsTransport, RTCIceTransport, RTCPeerConnection
from aiortc.rtcicetransport import candidate_from_aioice
from aiortc.sdp import MediaDescription

from .. import sdp
from .._aiortc import ConnectionAdapter, Gatherer, agent_of
from .._util.peer_logger import NamingLogger
from ..errors import InvalidCandidate, UnknownSection
from ..ice.agent import AgentListener, IceAgent
from ..ice.gather.local_candidate import LocalCandidate
from ..ice.server_urls import RTCPeerConnectionIceErrorEvent
from ..sdp.steps import Turns
from .candidates import (
    RemoteCandidate,
    RTCIceCandidate,
    RTCIceCandidateInit,
    RTCIceCandidatePair,
    local_candidate,
    parse_candidate,
    parse_remote,
)
from .context import Context
from .descriptions import Descriptions
from .remote_candidates import RemoteCandidates, Verdict

_CANDIDATE_WORK = 10
"""Lines of a description that are as much work as one candidate in it."""

logger = NamingLogger(__name__)


class PathListener(Protocol):
    """Is told when the path of a connection changes, or is in trouble."""

    def on_ice_state(self, ice: RTCIceTransport) -> None:
        """Take note of another state of an ICE transport."""

    def on_selected(self, ice: RTCIceTransport, *, was_lost: bool) -> None:
        """Take note of another selected pair."""

    def on_trouble(self, reason: str, *, silent: bool) -> None:
        """Take note of a path that may not work any more."""


class TrickleIce:
    """The ICE agents of a connection, and the candidates of both sides.

    Local candidates are announced once the description that they belong to is set; remote ones are
    applied once their description has come.

    Args:
        connection: The connection.
        context: Its configuration.
        path: Is told of states and selected pairs.
    """

    def __init__(self, connection: RTCPeerConnection, context: Context, path: PathListener) -> None:
        self._connection = connection
        self._context = context
        self._path = path
        self._remote_candidates = RemoteCandidates()
        self._found: deque[tuple[RTCIceTransport, LocalCandidate | None, str]] = deque()
        self._holds_found = False

    def begin(self, adapter: ConnectionAdapter, descriptions: Descriptions) -> None:
        """Take the parts that need :meth:`make_agent` to be made."""
        self._adapter = adapter
        self._descriptions = descriptions

    # --- local candidates

    def make_agent(self, ice: RTCIceTransport, username: str, password: str) -> IceAgent:
        """Make the ICE agent of a transport."""
        listener = AgentListener(
            candidate=lambda found, of: self._on_found(ice, found, of),
            error=self._on_server_error,
            complete=lambda of: self._on_found(ice, None, of),
            state=lambda: self._path.on_ice_state(ice),
            selected=lambda was_lost: self._path.on_selected(ice, was_lost=was_lost),
            trouble=self._path.on_trouble,
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
        self, ice: RTCIceTransport, candidate: LocalCandidate | None, fragment: str
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
            ice, candidate, fragment = self._found.popleft()
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
        """Wait for the end of gathering, at most the ``gatheringTimeout``."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._context.configuration.gatheringTimeout
        for ice in self._adapter.sections.ice_transports():
            await agent_of(ice).wait_until_gathered(max(deadline - loop.time(), 0))

    # --- remote candidates

    async def add(
        self, candidate: aiortc.RTCIceCandidate | RTCIceCandidateInit | Mapping[str, Any] | None
    ) -> None:
        """Add a remote candidate, as ``PeerConnection.addIceCandidate`` documents it."""
        remote = parse_remote(candidate)
        if self._context.is_closing:
            return
        verdict = self._remote_candidates.judge(remote)
        if verdict is Verdict.KEEP:
            self._remote_candidates.keep(remote)
        elif verdict is Verdict.APPLY:
            if not await self._apply(remote):
                self._remote_candidates.keep(remote)
                error = UnknownSection(candidate, remote.sdpMid, remote.sdpMLineIndex)
                logger.warning("%s", error)
                self._connection.emit("remotecandidateerror", error)
        elif verdict is Verdict.DROP:
            logger.info("dropped a candidate of generation %s", remote.usernameFragment)

    def rolled_back(self) -> None:
        """Record that the remote offer was rolled back."""
        self._remote_candidates.rolled_back(sdp.fragments(self._descriptions.remote_text()))

    async def take_described(
        self, fragments: set[str], sections: Sequence[sdp.SectionCandidates]
    ) -> None:
        """Take the candidates in a remote description, and those that waited for it.

        Args:
            fragments: The username fragments in it.
            sections: The candidates of each media section.
        """
        ready = self._remote_candidates.described(fragments)
        remote = self._adapter.latest("Remote")
        described = list(zip(remote.media if remote else (), sections, strict=True))
        transports, tagged = self._adapter.sections.dtls_by_mid(), self._tagged()
        turns = Turns()
        for media, section in described:
            dtls = transports.get(media.rtp.muxId)
            for attribute in section.candidates:
                await turns.after(_CANDIDATE_WORK)
                try:
                    parsed = parse_candidate(attribute)
                except InvalidCandidate as error:
                    logger.debug("ignored in the remote description: %s", error)
                    continue
                await _apply_to(media, dtls, parsed)
        for media, section in described:
            if section.complete:
                mid = media.rtp.muxId
                await _apply_to(media, transports.get(mid), None, tagged=mid in tagged)
        for early in ready:
            if not await self._apply(early):
                self._remote_candidates.keep(early)

    async def _apply(self, remote: RemoteCandidate) -> bool:
        """Hand a candidate to its transport; return whether its media section exists."""
        description = self._adapter.latest("Remote")
        if description is None:
            return False
        sections = self._adapter.sections
        if remote.is_for_all:
            for media in description.media:
                media.ice_candidates_complete = True
            for ice in sections.ice_transports():
                await ice.addRemoteCandidate(None)
            return True
        mid = self._descriptions.layout.target(remote.sdpMid, remote.sdpMLineIndex)
        if mid == "":
            return True  # of a section that is rejected: there is nothing to be done with it
        for media in description.media:
            if media.rtp.muxId == mid:
                dtls = sections.dtls_by_mid().get(mid)
                await _apply_to(media, dtls, remote.candidate, tagged=mid in self._tagged())
                return True
        return False

    def _tagged(self) -> set[str]:
        """Return the mids of the remote sections that stand for a transport."""
        return {mid for mid, _ in self._descriptions.sections_of_transports("Remote").values()}

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


async def _apply_to(
    media: MediaDescription,
    dtls: RTCDtlsTransport | None,
    candidate: aiortc.RTCIceCandidate | None,
    *,
    tagged: bool = False,
) -> None:
    if dtls is None:
        return
    if candidate is not None:
        media.ice_candidates.append(candidate)
        await dtls.transport.addRemoteCandidate(candidate)
        return
    media.ice_candidates_complete = True
    # In a bundle only the section that stands for the transport ends its candidates: Firefox ends
    # the others' before the first candidate of that one.
    if tagged:
        await dtls.transport.addRemoteCandidate(None)


def _complete(ice: RTCIceTransport) -> None:
    gatherer = ice.iceGatherer
    if isinstance(gatherer, Gatherer):
        gatherer.finish()


def _as_found(
    found: LocalCandidate, *, mid: str | None = None, index: int | None = None, fragment: str
) -> RTCIceCandidate:
    return local_candidate(
        candidate_from_aioice(found.announced() or found),
        mid=mid,
        index=index,
        fragment=fragment,
        url=found.url,
        relay_protocol=found.relay_protocol,
    )
