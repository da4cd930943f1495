"""``PeerConnection``: aiortc's ``RTCPeerConnection`` with what W3C has and it lacks."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiortc
from aiortc import (
    InvalidAccessError,
    InvalidStateError,
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceTransport,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.rtcicetransport import candidate_from_aioice
from aiortc.sdp import MediaDescription, SessionDescription

from . import sdp
from ._aiortc import (
    Gatherer,
    PeerConnectionSeam,
    Stable,
    agent_of,
    describe_transport,
    guard,
)
from .candidates import (
    RemoteCandidate,
    RTCIceCandidateInit,
    RTCIceCandidatePair,
    local_candidate,
    parse_candidate,
    parse_remote,
)
from .configuration import complete
from .description import DescriptionWriter
from .errors import InvalidCandidate
from .ice.agent import IceAgent
from .ice.generation import Listener
from .ice.servers import RTCPeerConnectionIceErrorEvent, parse_servers
from .negotiation import MediaSection, needs_negotiation
from .trickle import RemoteCandidates, Verdict

logger = logging.getLogger(__name__)

_WITHOUT_SENDING = {"sendrecv": "recvonly", "sendonly": "inactive"}


class PeerConnection(PeerConnectionSeam):
    """A WebRTC peer connection; a drop-in for ``aiortc.RTCPeerConnection``.

    Beside aiortc's events it emits

    * ``icecandidate`` with an :class:`RTCIceCandidate` for each local candidate as it is found, and
      with ``None`` at the end,
    * ``icecandidateerror`` with an :class:`RTCPeerConnectionIceErrorEvent` for each STUN or TURN
      server that gave none,
    * ``negotiationneeded``, without an argument.

    A handler that raises is logged and does no harm to the connection. Operations that are called
    while another one runs wait for it (W3C webrtc-pc 4.4.1.2, "operations chain").

    Args:
        configuration: aiortc's ``RTCConfiguration`` or icefloe's :class:`PeerConfiguration`.
            Without one no server is contacted.

    Raises:
        InvalidServerUrl: A URL in ``iceServers`` is malformed.
    """

    def __init__(self, configuration: RTCConfiguration | None = None) -> None:
        self._configuration = complete(configuration)
        self._servers = parse_servers(self._configuration.iceServers)
        self._operations = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._writer = DescriptionWriter()
        self._stable_point = Stable()
        self._remote_candidates = RemoteCandidates()
        self._found: deque[tuple[RTCIceTransport, aiortc.RTCIceCandidate | None]] = deque()
        self._holding_found = False
        self._negotiation_needed = False
        self._check_scheduled = False
        self._channels_created = False
        super().__init__(replace(self._configuration, iceServers=[]))

    # --- descriptions

    @property
    def localDescription(self) -> RTCSessionDescription:
        """The local description, with the candidates found so far."""
        return self._wrap("pendingLocal") or self._wrap("currentLocal")  # type: ignore[return-value]

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """The local description that was last agreed on (W3C webrtc-pc 4.4.1)."""
        return self._wrap("currentLocal")

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """The local description that is being negotiated."""
        return self._wrap("pendingLocal")

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description that was last agreed on."""
        return self._wrap("currentRemote")

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description that is being negotiated."""
        return self._wrap("pendingRemote")

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """Whether the other side takes trickled candidates; ``None`` while it said nothing yet."""
        remote = self._latest("Remote")
        if remote is None:
            return None
        return any(sdp.TRICKLE in (m.ice_options or "").split() for m in remote.media)

    def _latest(self, side: str) -> SessionDescription | None:
        return self._description(f"pending{side}") or self._description(f"current{side}")

    def _wrap(self, which: str) -> RTCSessionDescription | None:
        description = self._description(which)
        if description is None:
            return None
        for media in description.media if which.endswith("Local") else ():
            self._refresh(media)
        return RTCSessionDescription(sdp=str(description), type=str(description.type))

    def _refresh(self, media: MediaDescription) -> None:
        dtls = self._dtls_of(media)
        if dtls is not None:
            describe_transport(media, dtls)
        media.ice_options = sdp.TRICKLE
        if media.rtp.muxId in self._writer.rejected:
            self._writer.reject(media)

    async def createOffer(self) -> RTCSessionDescription:
        """Create an offer; what was negotiated keeps its payload types and extension ids.

        Raises:
            InvalidStateError: The connection is closed.
        """
        return self._finish(await super().createOffer())

    async def createAnswer(self) -> RTCSessionDescription:
        """Create an answer to the offer that was applied.

        Raises:
            InvalidStateError: There is no offer to answer, or the connection is closed.
        """
        return self._finish(await super().createAnswer())

    def _finish(self, created: RTCSessionDescription) -> RTCSessionDescription:
        return self._writer.finish(created, self._transceivers_by_index(), self._stable_point)

    # --- operations

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[None]:
        """One operation of the chain; after it, what it left to negotiate is looked at."""
        try:
            async with self._operations:
                yield
                if self.signalingState == "stable":
                    self._settle()
        finally:
            self._negotiation_may_be_needed()

    def _settle(self) -> None:
        self._settle_descriptions()
        self._writer.learn(self.getTransceivers(), self._latest("Remote"))
        self._stable_point = self._stable()
        self._negotiation_needed = False

    async def setLocalDescription(
        self, sessionDescription: RTCSessionDescription | None = None
    ) -> None:
        """Apply a local description, or one made to fit the state if none is given.

        With a listener to ``icecandidate`` it waits for no server. Without one it waits for their
        candidates, as aiortc does, for at most the configuration's ``gatheringTimeout``.

        Args:
            sessionDescription: An offer or answer made here; of type ``rollback`` to take back the
                pending offer.

        Raises:
            InvalidStateError: It does not fit the state, or the connection is closed.
            ValueError: The description is malformed.
        """
        async with self._operation():
            if sessionDescription is not None and sessionDescription.type == "rollback":
                await self._roll_back("have-local-offer")
                return
            if self.signalingState == "have-remote-offer":
                self._settle_unoffered()
            # Whoever sends the description next sends it before its candidates.
            self._holding_found = True
            try:
                await super().setLocalDescription(sessionDescription)
            finally:
                self._holding_found = False
                self._emit_found_soon()
        if not self.listeners("icecandidate"):
            await self._wait_until_gathered()

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Apply a remote description; never waits for the network.

        An offer that comes while an own one is pending takes that one back first (RFC 9429 section
        4.1.10.2). If it fails, the connection is as it was.

        Args:
            sessionDescription: The offer or answer; of type ``rollback`` to take back its offer.

        Raises:
            InvalidStateError: It does not fit the state, or the connection is closed.
            OperationError: A media section has no codec that both sides know.
            ValueError: The description is malformed.
        """
        async with self._operation():
            kind = sessionDescription.type
            if kind == "rollback":
                await self._roll_back("have-remote-offer")
                return
            if kind == "offer" and self.signalingState == "have-local-offer":
                await self._roll_back("have-local-offer")
            text, rejected = sdp.complete_rejected(
                sessionDescription.sdp, donor=self._remote_text()
            )
            text, candidates = sdp.split_candidates(text)
            was_stable = self.signalingState == "stable"
            try:
                self._release_recycled(text)
                self._mark_bundled()
                await super().setRemoteDescription(RTCSessionDescription(sdp=text, type=kind))
            except BaseException as error:
                if was_stable:
                    await self._restore(self._stable_point, drop=self._called_for())
                if isinstance(error, AssertionError | AttributeError | LookupError | TypeError):
                    # aiortc takes for granted what RFC 8866 and RFC 9429 ask for.
                    raise ValueError(f"malformed remote description: {error!r}") from error
                raise
            await self._take_rejections(rejected)
            await self._take_candidates(sdp.fragments(text), candidates)

    def _remote_text(self) -> str:
        """Return the remote description in force; empty before there is one."""
        current = self._description("currentRemote")
        return str(current) if current is not None else ""

    def _release_recycled(self, text: str) -> None:
        # RFC 9429 section 5.2.2: a rejected section may be used again, under another mid.
        for index, media in enumerate(SessionDescription.parse(text).media):
            self._release_index(index, media.rtp.muxId)

    async def _roll_back(self, state: str) -> None:
        if self.signalingState != state:
            raise InvalidStateError(f'Cannot roll back in signaling state "{self.signalingState}"')
        remote = state == "have-remote-offer"
        await self._restore(self._stable_point, drop=self._called_for() if remote else ())
        if remote:
            self._remote_candidates.rolled_back(sdp.fragments(self._remote_text()))

    def _called_for(self) -> list[Any]:
        """Return what only the remote offer called for: nothing is sent over it."""
        unwanted: list[Any] = [
            transceiver
            for transceiver in self.getTransceivers()
            if not self._stable_point.knows(transceiver)
            and transceiver.direction == "recvonly"
            and transceiver.sender.track is None
        ]
        if self.sctp and not self._stable_point.knows(self.sctp) and not self._channels_created:
            unwanted.append(self.sctp)
        return unwanted

    async def _take_rejections(self, rejected: set[int]) -> None:
        remote = self._latest("Remote")
        by_index = self._transceivers_by_index()
        for index, media in enumerate(remote.media if remote else ()):
            transceiver = by_index.get(index)
            if index in rejected and transceiver is not None:
                self._writer.rejected.add(media.rtp.muxId)
                await transceiver.stop()

    async def _wait_until_gathered(self) -> None:
        deadline = asyncio.get_running_loop().time() + self._configuration.gatheringTimeout
        for ice in self._ice_transports():
            left = deadline - asyncio.get_running_loop().time()
            await agent_of(ice).wait_until_gathered(max(left, 0))

    # --- local candidates

    def _make_agent(self, ice: RTCIceTransport, username: str, password: str) -> IceAgent:
        listener = Listener(
            candidate=lambda found: self._on_found(ice, candidate_from_aioice(found)),
            error=lambda event: self._on_server_error(event),
            complete=lambda: self._on_found(ice, None),
        )
        return IceAgent(
            self._configuration, self._servers, listener, username=username, password=password
        )

    def _on_server_error(self, event: RTCPeerConnectionIceErrorEvent) -> None:
        self.emit("icecandidateerror", event)

    def _on_found(self, ice: RTCIceTransport, candidate: aiortc.RTCIceCandidate | None) -> None:
        if candidate is None and not self.listeners("icecandidate"):
            self._complete(ice)  # setLocalDescription() waits for it
        self._found.append((ice, candidate))
        if not self._holding_found:
            self._emit_found_soon()
            if candidate is not None and ice.state == "new":
                # aiortc does not start a transport without a local candidate: with the relay
                # policy the first one comes later.
                self._resume_connecting()

    def _emit_found_soon(self) -> None:
        if self._found:
            asyncio.get_running_loop().call_soon(self._emit_found)

    def _emit_found(self) -> None:
        while self._found and not self._holding_found and self._closing is None:
            ice, candidate = self._found.popleft()
            if candidate is not None:
                mid, index = self._section_of(ice, "Local")
                fragment = agent_of(ice).local_username
                event = local_candidate(candidate, mid=mid, index=index, fragment=fragment)
                self.emit("icecandidate", event)
            else:
                self._complete(ice)
                if self.iceGatheringState == "complete":
                    self.emit("icecandidate", None)

    def _complete(self, ice: RTCIceTransport) -> None:
        gatherer = ice.iceGatherer
        if isinstance(gatherer, Gatherer):
            gatherer.finish()

    def _section_of(self, ice: RTCIceTransport, side: str) -> tuple[str | None, int | None]:
        """Return mid and index of the media section that stands for a transport."""
        description = self._latest(side)
        for index, media in enumerate(description.media if description else ()):
            dtls = self._dtls_of(media)
            rejected = media.rtp.muxId in self._writer.rejected
            if dtls is not None and dtls.transport is ice and not rejected:
                return media.rtp.muxId, index
        return None, None

    # --- remote candidates

    async def addIceCandidate(
        self,
        candidate: aiortc.RTCIceCandidate | RTCIceCandidateInit | Mapping[str, Any] | None = None,
    ) -> None:
        """Add a candidate of the other side, or the end of them; never waits for the network.

        What comes before its description is kept until then, and what belongs to an earlier
        generation is dropped.

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
        if verdict is Verdict.KEEP or (verdict is Verdict.APPLY and not await self._apply(remote)):
            self._remote_candidates.keep(remote)
        elif verdict is Verdict.DROP:
            logger.info("dropped a candidate of generation %s", remote.usernameFragment)

    async def _take_candidates(
        self, fragments: set[str], sections: list[sdp.SectionCandidates]
    ) -> None:
        ready = self._remote_candidates.described(fragments)
        for index, section in enumerate(sections):
            for attribute in section.candidates:
                try:
                    parsed = parse_candidate(attribute)
                except InvalidCandidate as error:
                    logger.debug("ignored in the remote description: %s", error)
                    continue
                await self._apply(RemoteCandidate(parsed, sdpMLineIndex=index))
        for index, section in enumerate(sections):
            if section.complete:
                await self._apply(RemoteCandidate(None, sdpMLineIndex=index))
        for remote in ready:
            if not await self._apply(remote):
                self._remote_candidates.keep(remote)

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
        for index, media in enumerate(description.media):
            if remote.sdpMid is not None:
                named = media.rtp.muxId == remote.sdpMid
            else:
                named = index == remote.sdpMLineIndex
            if named:
                await self._apply_to(media, remote.candidate)
                return True
        return False

    async def _apply_to(
        self, media: MediaDescription, candidate: aiortc.RTCIceCandidate | None
    ) -> None:
        dtls = self._dtls_of(media)
        if dtls is None:
            return
        if candidate is not None:
            media.ice_candidates.append(candidate)
            await dtls.transport.addRemoteCandidate(candidate)
            return
        media.ice_candidates_complete = True
        # In a bundle only the section that stands for the transport ends its candidates: Firefox
        # ends the others' before the first candidate of that one.
        if self._section_of(dtls.transport, "Remote")[0] == media.rtp.muxId:
            await dtls.transport.addRemoteCandidate(None)

    @property
    def iceTransport(self) -> RTCIceTransport | None:
        """The ICE transport; of several, where media is not bundled, the first."""
        local = self._latest("Local") or self._latest("Remote")
        for media in local.media if local else ():
            dtls = self._dtls_of(media)
            if dtls is not None:
                return dtls.transport
        return None

    @property
    def maxMessageSize(self) -> int:
        """The largest data channel message that the other side takes, in bytes; 0 is no limit."""
        return self._remote_max_message_size()

    @property
    def selectedCandidatePair(self) -> RTCIceCandidatePair | None:
        """The pair of candidates that carries the data, once there is one."""
        ice = self.iceTransport
        agent = agent_of(ice) if ice is not None else None
        pair = agent.selected_pair if agent is not None else None
        if agent is None or pair is None:
            return None
        local, remote = (
            local_candidate(candidate_from_aioice(c), mid=None, index=None, fragment=fragment)
            for c, fragment in (
                (pair.local_candidate, agent.local_username),
                (pair.remote_candidate, agent.remote_username),
            )
        )
        return RTCIceCandidatePair(local, remote, agent.round_trip_time)

    # --- what is sent

    def addTrack(self, track: MediaStreamTrack) -> RTCRtpSender:
        """Add a track to send.

        Raises:
            InvalidAccessError: The track is sent already.
            InvalidStateError: The connection is closed.
        """
        reused = next(
            (t for t in self.getTransceivers() if t.kind == track.kind and t.sender.track is None),
            None,
        )
        if reused is not None and reused.stopped:
            return self.addTransceiver(track).sender  # aiortc would revive the stopped one
        sender = super().addTrack(track)
        self._negotiation_may_be_needed()
        return sender

    def removeTrack(self, sender: RTCRtpSender) -> None:
        """Stop sending a track; the track itself is not stopped (W3C webrtc-pc 5.1).

        Raises:
            InvalidAccessError: The sender is not one of this connection's.
            InvalidStateError: The connection is closed.
        """
        if self.signalingState == "closed":
            raise InvalidStateError("RTCPeerConnection is closed")
        transceiver = next((t for t in self.getTransceivers() if t.sender is sender), None)
        if transceiver is None:
            raise InvalidAccessError("The sender was not created by this connection")
        if sender.track is None:
            return
        sender.replaceTrack(None)
        transceiver.direction = _WITHOUT_SENDING.get(transceiver.direction, transceiver.direction)

    def createDataChannel(self, *args: Any, **kwargs: Any) -> RTCDataChannel:
        """Create a data channel; takes what aiortc's takes, labels in any language.

        Raises:
            InvalidStateError: The connection is closed.
            ValueError: The arguments contradict each other.
        """
        if self.signalingState == "closed":
            raise InvalidStateError("RTCPeerConnection is closed")
        self._channels_created = True
        channel = super().createDataChannel(*args, **kwargs)
        guard(channel)
        return channel

    def negotiateDataChannels(self) -> None:
        """Have a section for data channels in the next offer, although there is no channel yet."""
        self._channels_created = True
        self._ensure_sctp()

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Emit an event; what comes with it is guarded against handlers that raise."""
        if event in ("datachannel", "track"):
            guard(args[0])
        return super().emit(event, *args, **kwargs)

    # --- negotiation

    def _negotiation_may_be_needed(self) -> None:
        if not self._check_scheduled and self._closing is None:
            self._check_scheduled = True
            asyncio.get_running_loop().call_soon(self._check_negotiation)

    def _check_negotiation(self) -> None:
        # W3C webrtc-pc 4.7.3: fired once, until the state is stable again; and not while something
        # is pending, after which it is looked at again.
        self._check_scheduled = False
        if not self._negotiation_needed and self._closing is None and self._is_needed():
            self._negotiation_needed = True
            self.emit("negotiationneeded")

    def _is_needed(self) -> bool:
        if self.signalingState != "stable" or self._operations.locked():
            return False
        local, remote = self._description("currentLocal"), self._description("currentRemote")
        locals_, remotes = (
            {m.rtp.muxId: m.direction for m in (d.media if d else ())} for d in (local, remote)
        )
        sections = [
            MediaSection(
                wanted=t.direction,
                stopped=t.stopped,
                associated=t.mid is not None,
                rejected=t.mid in self._writer.rejected,
                local=locals_.get(t.mid or ""),
                remote=remotes.get(t.mid or ""),
                offered_here=local is not None and local.type == "offer",
            )
            for t in self.getTransceivers()
        ]
        has_channels = self.sctp is not None
        negotiated = self.sctp is not None and self.sctp.mid in locals_
        return needs_negotiation(
            sections, has_channels=has_channels, channels_negotiated=negotiated
        )

    # --- the end

    async def close(self) -> None:
        """Close the connection and free everything it holds; a second call waits for the first.

        Takes at most the configuration's ``closeTimeout`` for TURN servers that do not answer.

        Cancellation: safe; the closing goes on.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(super().close(), name="PeerConnection.close")
            self._found.clear()
        await asyncio.shield(self._closing)
