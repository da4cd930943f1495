"""Candidates of both sides, as they come and go one by one (RFC 8838)."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import aiortc
from aiortc import InvalidStateError, RTCConfiguration, RTCDtlsTransport, RTCIceTransport
from aiortc.rtcicetransport import candidate_from_aioice
from aiortc.sdp import MediaDescription

from .. import sdp
from .._aiortc import Gatherer, agent_of
from .._util.peer_logger import NamingLogger
from ..configuration import PeerConfiguration, complete
from ..errors import InvalidCandidate, InvalidModification, UnknownSection
from ..ice.agent import AgentListener, IceAgent
from ..ice.gather.local_candidate import LocalCandidate
from ..ice.server_urls import RTCPeerConnectionIceErrorEvent, Server, parse_servers
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
from .descriptions import DescribedConnection
from .remote_candidates import RemoteCandidates, Verdict

_CANDIDATE_WORK = 10
"""Lines of a description that are as much work as one candidate in it."""

logger = NamingLogger(__name__)


class TricklingConnection(DescribedConnection):
    """A connection that tells of its candidates as they are found, and takes the other side's.

    Local candidates are announced after the description that they go with was set, remote ones
    applied when the description that they go with has come.
    """

    def __init__(
        self,
        configuration: RTCConfiguration,
        *,
        own: PeerConfiguration,
        servers: tuple[Server, ...],
    ) -> None:
        self._configuration = own
        self._servers = servers
        self._remote_candidates = RemoteCandidates()
        self._found: deque[tuple[RTCIceTransport, LocalCandidate | None, str]] = deque()
        self._holding_found = False
        self._closing: asyncio.Task[None] | None = None
        super().__init__(configuration)

    # --- configuration

    def getConfiguration(self) -> PeerConfiguration:
        """Return the configuration in force (W3C webrtc-pc, getConfiguration)."""
        return replace(self._configuration)

    def setConfiguration(self, configuration: RTCConfiguration) -> None:
        """Set another configuration (W3C webrtc-pc, setConfiguration).

        New servers and policies hold from the next gathering on, which is the next ICE restart;
        new credentials of TURN servers in use hold at once.

        Args:
            configuration: All of it; what is left out takes its default.

        Raises:
            InvalidModification: ``bundlePolicy`` differs from what it was; a ``ValueError``.
            InvalidServerUrl: A URL in ``iceServers`` is malformed.
            InvalidStateError: The connection is closed.
        """
        if self._closing is not None:
            raise InvalidStateError("RTCPeerConnection is closed")
        own = complete(configuration)
        if own.bundlePolicy is not self._configuration.bundlePolicy:
            raise InvalidModification("bundlePolicy")
        servers = parse_servers(own.iceServers)
        self._configuration, self._servers = own, servers
        for ice in self._ice_transports():
            agent_of(ice).configure(own.ice, servers)

    # --- local candidates

    def _make_agent(self, ice: RTCIceTransport, username: str, password: str) -> IceAgent:
        listener = AgentListener(
            candidate=lambda found, of: self._on_found(ice, found, of),
            error=self._on_server_error,
            complete=lambda of: self._on_found(ice, None, of),
            state=lambda: self._on_ice_state(ice),
            selected=lambda was_lost: self._on_selected(ice, was_lost=was_lost),
            trouble=self._on_trouble,
        )
        return IceAgent(
            self._configuration.ice, self._servers, listener, username=username, password=password
        )

    def _on_ice_state(self, ice: RTCIceTransport) -> None:
        ice.emit("statechange")

    def _on_selected(self, ice: RTCIceTransport, *, was_lost: bool) -> None:
        # W3C has the event on the transport; with one transport the connection is at hand.
        ice.emit("selectedcandidatepairchange")
        if ice is self.iceTransport:
            self.emit("selectedcandidatepairchange")

    def _on_trouble(self, reason: str, *, silent: bool) -> None:
        raise NotImplementedError

    def _on_server_error(self, event: RTCPeerConnectionIceErrorEvent) -> None:
        self.emit("icecandidateerror", event)

    def _on_found(
        self, ice: RTCIceTransport, candidate: LocalCandidate | None, fragment: str
    ) -> None:
        if fragment != agent_of(ice).local_username:
            return  # of a generation that another has replaced
        if candidate is None and not self.listeners("icecandidate"):
            self._complete(ice)  # setLocalDescription() waits for it
        self._found.append((ice, candidate, fragment))
        if not self._holding_found:
            self._emit_found_soon()
            if candidate is not None and len(agent_of(ice).local_candidates) == 1:
                # aiortc does not start a transport without a local candidate: with the relay
                # policy the first one comes later.
                self._resume_connecting()

    def _emit_found_soon(self) -> None:
        if self._found:
            asyncio.get_running_loop().call_soon(self._emit_found)

    def _emit_found(self) -> None:
        while self._found and not self._holding_found and self._closing is None:
            ice, candidate, fragment = self._found.popleft()
            if fragment != agent_of(ice).local_username:
                continue
            if candidate is not None:
                mid, index = self._section_of(ice, "Local")
                if mid is None:
                    continue  # its offer was taken back: the next one has this candidate
                event = _as_found(candidate, mid=mid, index=index, fragment=fragment)
                self.emit("icecandidate", event)
            else:
                self._complete(ice)
                if self.iceGatheringState == "complete":
                    self.emit("icecandidate", None)

    def _complete(self, ice: RTCIceTransport) -> None:
        gatherer = ice.iceGatherer
        if isinstance(gatherer, Gatherer):
            gatherer.finish()

    async def _wait_until_gathered(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._configuration.gatheringTimeout
        for ice in self._ice_transports():
            left = deadline - asyncio.get_running_loop().time()
            await agent_of(ice).wait_until_gathered(max(left, 0))

    # --- remote candidates

    async def addIceCandidate(
        self,
        candidate: aiortc.RTCIceCandidate | RTCIceCandidateInit | Mapping[str, Any] | None = None,
    ) -> None:
        """Add a candidate of the other side, or the end of them; never waits for the network.

        What comes before its description is kept until then, and what belongs to an earlier
        generation is dropped. One for a media section that the description in force does not have
        is kept as well, for the next one may have it; the log says so, and the event
        ``remotecandidateerror``.

        Args:
            candidate: A candidate, or the dictionary that a browser sends for one. ``None``, or a
                dictionary whose ``candidate`` is empty, ends the candidates.

        Raises:
            InvalidCandidate: It cannot be read, or names no media section; a ``ValueError``.
        """
        remote = parse_remote(candidate)
        if self._closing is not None:
            return
        verdict = self._remote_candidates.judge(remote)
        if verdict is Verdict.KEEP:
            self._remote_candidates.keep(remote)
        elif verdict is Verdict.APPLY:
            if not await self._apply(remote):
                self._remote_candidates.keep(remote)
                error = UnknownSection(candidate, remote.sdpMid, remote.sdpMLineIndex)
                logger.warning("%s", error)
                self.emit("remotecandidateerror", error)
        elif verdict is Verdict.DROP:
            logger.info("dropped a candidate of generation %s", remote.usernameFragment)

    async def _roll_back(self, state: str) -> None:
        await super()._roll_back(state)
        if state == "have-remote-offer":
            self._remote_candidates.rolled_back(sdp.fragments(self._remote_text()))

    async def _take_candidates(
        self, fragments: set[str], sections: Sequence[sdp.SectionCandidates]
    ) -> None:
        ready = self._remote_candidates.described(fragments)
        remote = self._latest("Remote")
        described = list(zip(remote.media if remote else (), sections, strict=True))
        transports, tagged = self._dtls_by_mid(), self._tagged()
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
                await self._apply_to(media, dtls, parsed)
        for media, section in described:
            if section.complete:
                mid = media.rtp.muxId
                await self._apply_to(media, transports.get(mid), None, tagged=mid in tagged)
        for early in ready:
            if not await self._apply(early):
                self._remote_candidates.keep(early)

    async def _apply(self, remote: RemoteCandidate) -> bool:
        """Hand a candidate to its transport; return whether its media section exists."""
        description = self._latest("Remote")
        if description is None:
            return False
        if remote.is_for_all:
            for media in description.media:
                media.ice_candidates_complete = True
            for ice in self._ice_transports():
                await ice.addRemoteCandidate(None)
            return True
        mid = self._layout.target(remote.sdpMid, remote.sdpMLineIndex)
        if mid == "":
            return True  # of a section that is rejected: there is nothing to be done with it
        for media in description.media:
            if media.rtp.muxId == mid:
                dtls = self._dtls_by_mid().get(mid)
                await self._apply_to(media, dtls, remote.candidate, tagged=mid in self._tagged())
                return True
        return False

    def _tagged(self) -> set[str]:
        """Return the mids of the remote sections that stand for a transport."""
        return {mid for mid, _ in self._sections_of_transports("Remote").values()}

    async def _apply_to(
        self,
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
        # In a bundle only the section that stands for the transport ends its candidates: Firefox
        # ends the others' before the first candidate of that one.
        if tagged:
            await dtls.transport.addRemoteCandidate(None)

    @property
    def selectedCandidatePair(self) -> RTCIceCandidatePair | None:
        """The pair of candidates that carries the data, once there is one."""
        ice = self.iceTransport
        agent = agent_of(ice) if ice is not None else None
        pair = agent.selected_pair if agent is not None else None
        if agent is None or pair is None:
            return None
        credentials = agent.generation.checks.credentials
        local = _as_found(pair.valid_local, fragment=credentials.local_username)
        remote = local_candidate(
            candidate_from_aioice(pair.remote.candidate),
            mid=None,
            index=None,
            fragment=credentials.remote_username,
        )
        return RTCIceCandidatePair(local, remote, pair.current_round_trip_time)


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
