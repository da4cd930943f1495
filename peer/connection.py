"""``PeerConnection``: aiortc's ``RTCPeerConnection`` with what W3C has and it lacks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from aiortc import (
    InvalidAccessError,
    InvalidStateError,
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCInboundRtpStreamStats,
    RTCRtpSender,
    RTCSessionDescription,
    RTCStatsReport,
)

from . import sdp
from ._aiortc import (
    DtlsTransport,
    Receiver,
    SctpTransport,
    agent_of,
    guard,
    transport_stats,
)
from .configuration import complete
from .ice.servers import parse_servers
from .negotiation import MediaSection, needs_negotiation
from .restarting import RestartingConnection
from .stats import StatsWriter

_WITHOUT_SENDING = {"sendrecv": "recvonly", "sendonly": "inactive"}


class PeerConnection(RestartingConnection):
    """A WebRTC peer connection; a drop-in for ``aiortc.RTCPeerConnection``.

    Beside aiortc's events it emits

    * ``icecandidate`` with an :class:`RTCIceCandidate` for each local candidate as it is found, and
      with ``None`` at the end,
    * ``icecandidateerror`` with an :class:`RTCPeerConnectionIceErrorEvent` for each STUN or TURN
      server that gave none,
    * ``negotiationneeded``, without an argument,
    * ``selectedcandidatepairchange``, without an argument, when :attr:`selectedCandidatePair` is
      another one.

    A handler that raises is logged and does no harm to the connection. Operations that are called
    while another one runs wait for it (W3C webrtc-pc 4.4.1.2, "operations chain").

    Args:
        configuration: aiortc's ``RTCConfiguration`` or icefloe's :class:`PeerConfiguration`.
            Without one no server is contacted.

    Raises:
        InvalidServerUrl: A URL in ``iceServers`` is malformed.
    """

    def __init__(self, configuration: RTCConfiguration | None = None) -> None:
        own = complete(configuration)
        self._operations = asyncio.Lock()
        self._negotiation_needed = False
        self._check_scheduled = False
        self._stats = StatsWriter()
        # aiortc is told of no server: the agent asks them all.
        super().__init__(
            replace(own, iceServers=[]), own=own, servers=parse_servers(own.iceServers)
        )

    # --- operations

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[None]:
        """One operation of the chain; after it, what it left to negotiate is looked at."""
        try:
            async with self._operations:
                yield
                if self.signalingState == "stable":
                    self._settle()
                    self._negotiation_needed = False
        finally:
            self._negotiation_may_be_needed()

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
                offer = self._latest("Remote")
                self._settle_unoffered({m.rtp.muxId for m in offer.media} if offer else set())
            # Whoever sends the description next sends it before its candidates.
            self._holding_found = True
            try:
                if sessionDescription is None:
                    answering = self.signalingState == "have-remote-offer"
                    create = self.createAnswer if answering else self.createOffer
                    sessionDescription = await create()
                self._adopt_offered(sessionDescription.sdp)
                self._watch_addresses()
                await super().setLocalDescription(sessionDescription)
                if sessionDescription.type == "answer":
                    self._begin_checks()  # in this operation: the next may be another restart
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
                max_bundle = self._configuration.bundlePolicy is RTCBundlePolicy.MAX_BUNDLE
                self._mark_bundled(one_transport=max_bundle)
                self._adopt_remote(text, kind)
                await super().setRemoteDescription(RTCSessionDescription(sdp=text, type=kind))
                if kind == "answer":
                    self._begin_checks()  # likewise
            except BaseException as error:
                if was_stable:
                    await self._restore(self._stable_point, drop=self._called_for())
                if isinstance(error, AssertionError | AttributeError | LookupError | TypeError):
                    # aiortc takes for granted what RFC 8866 and RFC 9429 ask for.
                    raise ValueError(f"malformed remote description: {error!r}") from error
                raise
            await self._take_rejections(rejected)
            await self._take_candidates(sdp.fragments(text), candidates)

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
        return super().addTrack(track)

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

    @property
    def maxMessageSize(self) -> int:
        """The largest data channel message that the other side takes, in bytes; 0 is no limit."""
        return self._remote_max_message_size()

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Emit an event; what comes with it is guarded against handlers that raise."""
        if event in ("datachannel", "track"):
            guard(args[0])
        return super().emit(event, *args, **kwargs)

    # --- statistics

    async def getStats(self) -> RTCStatsReport:
        """Return what is known and was counted so far, in any state of the connection.

        aiortc's entries for what is sent and received, and those of :mod:`icefloe.peer.stats`.

        Cancellation: safe.
        """
        report = await super().getStats()
        # A sender's or receiver's report may still have the transport from before it was bundled.
        for stale in [key for key, stats in report.items() if stats.type == "transport"]:
            del report[stale]
        for receiver in self.getReceivers():
            known = report.get(f"inbound-rtp_{id(receiver)}")
            if isinstance(receiver, Receiver) and isinstance(known, RTCInboundRtpStreamStats):
                report.add(self._stats.inbound(receiver, known))
        now = asyncio.get_running_loop().time()
        for dtls in self._dtls_in_use():
            agent = agent_of(dtls.transport)
            discarded = dtls.discarded if isinstance(dtls, DtlsTransport) else None
            for stats in self._stats.transport(transport_stats(dtls), agent, now, discarded):
                report.add(stats)
        opened = closed = 0
        if isinstance(self.sctp, SctpTransport):
            opened, closed = self.sctp.channels_opened, self.sctp.channels_closed
            for channel in self.sctp.channels:
                report.add(self._stats.channel(channel))
        report.add(self._stats.connection(opened, closed))
        return report

    # --- negotiation

    def _negotiation_may_be_needed(self) -> None:
        if self._check_scheduled or self._closing is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # built before its loop runs: the first operation looks at it
        self._check_scheduled = True
        loop.call_soon(self._check_negotiation)

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
        return bool(self._replacing) or needs_negotiation(
            sections,
            has_channels=self.sctp is not None,
            channels_negotiated=self.sctp is not None and self.sctp.mid in locals_,
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
            self._stop_recovering()
            self._stop_watching()
        await asyncio.shield(self._closing)
