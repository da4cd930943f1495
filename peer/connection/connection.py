# Longer than 400 lines: the interface of W3C in one class, most of it docstrings.
"""``PeerConnection``: aiortc's ``RTCPeerConnection`` with the parts of W3C webrtc-pc that it lacks.

The class is the interface of W3C, most of it documentation. Its collaborators own their state:
:mod:`.descriptions`, :mod:`.trickle_ice`, :mod:`.remote_candidates`, :mod:`.ice_restart`,
:mod:`.negotiation_needed` and :mod:`.stats`; the adapter in :mod:`icefloe.peer._aiortc` is the way
to what aiortc keeps to itself.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import aiortc
from aiortc import (
    InvalidAccessError,
    InvalidStateError,
    MediaStreamTrack,
    RTCConfiguration,
    RTCDataChannel,
    RTCIceTransport,
    RTCInboundRtpStreamStats,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
    RTCStatsReport,
)

from .. import sdp
from .._aiortc import ConnectionAdapter, Hooks, agent_of, guard
from .._util.uninterrupted import cancelled_at_the_end
from ..configuration import PeerConfiguration, complete
from ..errors import InvalidModification
from ..ice.server_urls import parse_servers
from ..sctp import options
from .candidates import RTCIceCandidateInit, RTCIceCandidatePair
from .context import Context
from .description_applier import DescriptionApplier
from .descriptions import Descriptions
from .ice_restart import IceRestart
from .negotiation_needed import NegotiationNeeded
from .remote_candidates import RemoteTrickle, parse_remote
from .states import connection_state, ice_connection_state
from .trickle_ice import TrickleIce

if TYPE_CHECKING:
    from icefloe._util.token_bucket import TokenBucket

    from .._aiortc import Sender
    from ..diagnosis.timeline import Timeline
    from ..diagnosis.verdict import Verdict
    from .history import History
    from .stats import StatsWriter

_WITHOUT_SENDING = {"sendrecv": "recvonly", "sendonly": "inactive"}


class PeerConnection(RTCPeerConnection):
    """A WebRTC peer connection; a drop-in for ``aiortc.RTCPeerConnection``.

    Beside aiortc's events it emits

    * ``icecandidate`` with an :class:`RTCIceCandidate` for each local candidate as it is found, and
      with ``None`` at the end,
    * ``icecandidateerror`` with an :class:`RTCPeerConnectionIceErrorEvent` for each STUN or TURN
      server that gave none,
    * ``remotecandidateerror`` with an :class:`UnknownSection` for each candidate of the remote peer
      that names a media section which it has not described,
    * ``senderror`` with a :class:`TrackNotSent` for each reason why something of a track that is
      sent could not be sent,
    * ``negotiationneeded``, without an argument,
    * ``selectedcandidatepairchange``, without an argument, when :attr:`selected_candidate_pair` is
      another one,
    * ``warning`` with a :class:`Verdict` when something is known to be wrong, once for each cause:
      while connecting, as soon as it shows and while other paths are tried, and later.

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
        context = Context(own, parse_servers(own.iceServers))
        # aiortc is told of no server: the agent asks them all.
        without_servers = copy(own)  # which validates nothing once more
        without_servers.iceServers = []
        super().__init__(without_servers)
        self._context = context
        self._history = _history(self, context)
        self._operations = asyncio.Lock()
        self._negotiation = NegotiationNeeded(
            self,
            context,
            is_busy=self._operations.locked,
            replacing=lambda: self._ice_restart.replacing,
        )
        self._ice_restart = IceRestart(self, context, self._negotiation.check_soon)
        self._trickle = TrickleIce(self, context, self._ice_restart, self._history.record_ice)
        self._remote_candidates = RemoteTrickle(self, context, self._history.remote_candidate)
        hooks = Hooks(
            make_agent=self._trickle.make_agent,
            negotiation_may_be_needed=self._negotiation.check_soon,
            is_certain_extension=self._is_certain_extension,
            ice_connection_state=ice_connection_state,
            connection_state=connection_state,
        )
        self._adapter = ConnectionAdapter(self, own, hooks)
        self._history.begin(self._adapter)
        self._descriptions = Descriptions(self, self._adapter)
        parts = (self._negotiation, self._ice_restart, self._trickle, self._remote_candidates)
        for part in parts:
            part.begin(self._adapter, self._descriptions)
        self._applier = DescriptionApplier(
            self,
            context,
            self._adapter,
            self._descriptions,
            self._remote_candidates,
            self._ice_restart,
            set_local=super().setLocalDescription,
        )

    def _is_certain_extension(self, uri: str, id: int) -> bool:
        return self._descriptions.writer.numbering.is_certain(uri, id)

    # --- configuration

    def getConfiguration(self) -> PeerConfiguration:
        """Return the configuration in force (W3C webrtc-pc, getConfiguration)."""
        return replace(self._context.configuration)

    def setConfiguration(self, configuration: RTCConfiguration) -> None:
        """Set another configuration (W3C webrtc-pc, setConfiguration).

        New servers and policies hold from the next gathering on, which is the next ICE restart;
        new credentials of TURN servers in use hold at once. If the path in use has a relay of such
        a server, ICE is restarted, since an allocation keeps its user name (RFC 8656 section 5) and
        may end with it; not if ``restart_automatically`` is off.

        Args:
            configuration: All of it; what is left out takes its default.

        Raises:
            InvalidModification: ``bundlePolicy`` differs from what it was; a ``ValueError``.
            InvalidServerUrl: A URL in ``iceServers`` is malformed.
            InvalidStateError: The connection is closed.
        """
        context = self._context
        if context.is_closing:
            raise InvalidStateError("RTCPeerConnection is closed")
        own = complete(configuration)
        if own.bundlePolicy is not context.configuration.bundlePolicy:
            raise InvalidModification("bundlePolicy")
        servers = parse_servers(own.iceServers)
        context.configuration, context.servers = own, servers
        for ice in self._adapter.sections.ice_transports():
            agent_of(ice).configure(own.ice, servers)
        self._ice_restart.on_new_credentials()

    # --- descriptions

    @property
    def localDescription(self) -> RTCSessionDescription:
        """The local description, with the candidates found so far."""
        return self._descriptions.wrap("pendingLocal") or self._descriptions.wrap("currentLocal")  # type: ignore[return-value]

    @property
    def remoteDescription(self) -> RTCSessionDescription:
        """The remote description, as it was understood."""
        return self._descriptions.wrap("pendingRemote") or self._descriptions.wrap("currentRemote")  # type: ignore[return-value]

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """The local description that was last agreed on (W3C webrtc-pc 4.4.1)."""
        return self._descriptions.wrap("currentLocal")

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """The local description that is being negotiated."""
        return self._descriptions.wrap("pendingLocal")

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description that was last agreed on."""
        return self._descriptions.wrap("currentRemote")

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description that is being negotiated."""
        return self._descriptions.wrap("pendingRemote")

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """True if the remote peer takes trickled candidates; ``None`` before its description."""
        remote = self._adapter.latest("Remote")
        if remote is None:
            return None
        return any(sdp.TRICKLE in (m.ice_options or "").split() for m in remote.media)

    async def createOffer(self) -> RTCSessionDescription:
        """Create an offer; what was negotiated keeps its payload types and extension ids.

        After :meth:`restartIce` it carries new ICE credentials.

        Raises:
            InvalidStateError: The connection is closed.

        Cancellation: safe.
        """
        with self._ice_restart.offering() as has_new_credentials:
            offer = self._descriptions.finish_offer(await super().createOffer())
        if has_new_credentials:  # there are no candidates for them yet
            offer.sdp = sdp.without_end(offer.sdp)
        return offer

    async def createAnswer(self) -> RTCSessionDescription:
        """Create an answer to the offer that was applied.

        Raises:
            InvalidStateError: There is no offer to answer, or the connection is closed.

        Cancellation: safe.
        """
        return await self._descriptions.finish_answer(await super().createAnswer())

    @asynccontextmanager
    async def _operation(self) -> AsyncIterator[None]:
        """Run an operation of the chain (W3C webrtc-pc 4.4.1.2), and check negotiation after it."""
        try:
            async with cancelled_at_the_end(), self._operations:
                yield
                if self.signalingState == "stable":
                    self._descriptions.settle()
                    self._ice_restart.settle()
                    self._negotiation.reset()
        finally:
            self._negotiation.check_soon()

    async def setLocalDescription(
        self, sessionDescription: RTCSessionDescription | None = None
    ) -> None:
        """Apply a local description, or one made to fit the state if none is given.

        With a listener to ``icecandidate`` it waits for no server. Without one it waits for their
        candidates, as aiortc does, for at most the configuration's ``gathering_timeout``.

        Args:
            sessionDescription: An offer or answer made here; of type ``rollback`` to take back the
                pending offer.

        Raises:
            InvalidStateError: It does not fit the state, or the connection is closed.
            InvalidDescription: The description is malformed; a ``ValueError``.

        Cancellation: safe. Before the description takes effect it is given up, and the connection
        is as it was. After that it is applied to its end, for which cancelling waits: milliseconds,
        as no server is waited for. Cancelled while it waits for candidates, the description is in
        force, and they go on to be found.
        """
        async with self._operation():
            if sessionDescription is not None and sessionDescription.type == "rollback":
                await self._descriptions.roll_back("have-local-offer")
                self._history.rolled_back("local")
                return
            if self.signalingState == "have-remote-offer":
                self._descriptions.settle_unoffered()
            # The application sends the description before its candidates.
            self._trickle.hold()
            try:
                if sessionDescription is None:
                    answering = self.signalingState == "have-remote-offer"
                    create = self.createAnswer if answering else self.createOffer
                    sessionDescription = await create()
                await self._applier.apply_local(sessionDescription)
                self._history.described("local", sessionDescription)
            finally:
                self._trickle.release()
        if not self.listeners("icecandidate"):
            await self._trickle.wait_until_gathered()

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Apply a remote description; never waits for the network.

        An offer that restarts ICE waits where there were too many: eight are carried out at once,
        and then one a second. So the remote peer cannot have this one open sockets without end.

        An offer that comes while a local one is pending takes that one back first (RFC 9429 section
        4.1.10.2). If it fails, the connection is as it was.

        A media section that cannot be used (of an unknown kind, without a codec that both sides
        know, a second one of data channels) is answered as rejected, and the rest works (RFC 3264
        section 6). The data channels of a section that is rejected are closed.

        Args:
            sessionDescription: The offer or answer; of type ``rollback`` to take back its offer.

        Raises:
            InvalidDescription: The description is malformed, or does not fit what was negotiated
                before; a ``ValueError``. The connection is as it was.
            InvalidStateError: It does not fit the state, or the connection is closed.
            OperationError: An answer accepts a media section without a codec that both sides know.

        Cancellation: safe. Before the description takes effect, as while it is read or waits for
        its turn, it is given up, and the connection is as it was. After that it is applied to its
        end, for which cancelling waits: milliseconds, unless transports of a bundle are closed that
        have allocations at TURN servers (``close_timeout``).
        """
        async with self._operation():
            if sessionDescription.type == "rollback":
                await self._descriptions.roll_back("have-remote-offer")
                self._remote_candidates.rolled_back()
                self._history.rolled_back("remote")
            else:
                await self._applier.apply_remote(sessionDescription)
                self._history.described("remote", sessionDescription)

    # --- ICE

    async def addIceCandidate(
        self,
        candidate: aiortc.RTCIceCandidate | RTCIceCandidateInit | Mapping[str, Any] | None = None,
    ) -> None:
        """Add a candidate of the remote peer, or the end of them; never waits for the network.

        What comes before its description is kept until then, and what belongs to an earlier
        generation is dropped. One for a media section that the description in force does not have
        is kept as well, for the next one may have it; the log says so, and the event
        ``remotecandidateerror``.

        Args:
            candidate: A candidate, or the dictionary that a browser sends for one. ``None``, or a
                dictionary whose ``candidate`` is empty, ends the candidates.

        Raises:
            InvalidCandidate: It cannot be read, or names no media section; a ``ValueError``.

        Cancellation: safe; the candidate is added whole, or not at all.
        """
        self._remote_candidates.add(parse_remote(candidate), candidate)

    @property
    def remote_candidates(self) -> RemoteTrickle:
        """The way of candidates that were read already, as those of signaling are."""
        return self._remote_candidates

    def restartIce(self) -> None:
        """Ask for an ICE restart: ``negotiationneeded`` follows, and the next offer has it.

        The path in use carries the data until the new one works. W3C webrtc-pc, restartIce.
        """
        self._ice_restart.restart()

    def probe_paths(self) -> None:
        """Check at once whether the paths in use work, such as when there is word of trouble.

        An idle path is checked once in :attr:`PeerConfiguration.consent_interval` otherwise.
        """
        self._ice_restart.probe_paths()

    def limit_restarts(self, budget: "TokenBucket") -> None:
        """Take the remote peer's ICE restarts from a budget that other connections share.

        Args:
            budget: One of :func:`~.ice_restart.restart_budget`.
        """
        self._ice_restart.limit(budget)

    @property
    def ice_transport(self) -> RTCIceTransport | None:
        """The ICE transport; of several, where media is not bundled, the first."""
        return self._descriptions.ice_transport()

    @property
    def selected_candidate_pair(self) -> RTCIceCandidatePair | None:
        """The pair of candidates that carries the data, once there is one."""
        return self._trickle.selected_pair()

    # --- what is sent

    def addTrack(self, track: MediaStreamTrack) -> "Sender":
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
            # aiortc would revive the stopped one.
            return cast("Sender", self.addTransceiver(track).sender)
        return cast("Sender", super().addTrack(track))

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

    def createDataChannel(
        self,
        label: str,
        maxPacketLifeTime: int | None = None,
        maxRetransmits: int | None = None,
        ordered: bool = True,
        protocol: str = "",
        negotiated: bool = False,
        id: int | None = None,
    ) -> RTCDataChannel:
        """Create a data channel; what cannot be is refused here (W3C webrtc-pc 6.1).

        Args:
            label: Its name, in any language: at most 65,535 bytes in UTF-8.
            maxPacketLifeTime: Milliseconds before a message is given up, 0 to 65,535.
            maxRetransmits: Retransmissions before one is given up, 0 to 65,535; not both.
            ordered: Whether messages arrive in order.
            protocol: The subprotocol, likewise.
            negotiated: Whether the remote peer creates it by itself, under the same ``id``.
            id: Its stream, 0 to 65,534 and below the number that both sides have; given by the
                transport unless ``negotiated``.

        Raises:
            InvalidChannel: It cannot be so; a ``TypeError`` as well as a ``ValueError``.
            ChannelUnavailable: The stream is used or beyond what there is, or none is left; also
                an ``OperationError``.
            InvalidStateError: The connection is closed.
        """
        if self.signalingState == "closed":
            raise InvalidStateError("RTCPeerConnection is closed")
        # Before there is a section for data in the next offer.
        options.check(
            label,
            max_packet_life_time=maxPacketLifeTime,
            max_retransmits=maxRetransmits,
            protocol=protocol,
            negotiated=bool(negotiated),
            id=id,
        )
        channel = super().createDataChannel(
            label,
            maxPacketLifeTime=maxPacketLifeTime,
            maxRetransmits=maxRetransmits,
            ordered=bool(ordered),
            protocol=protocol,
            negotiated=bool(negotiated),
            id=id,
        )
        self._descriptions.channels_created = True
        guard(channel)
        return channel

    def negotiate_data_channels(self) -> None:
        """Have a section for data channels in the next offer, although there is no channel yet."""
        self._descriptions.channels_created = True
        self._adapter.ensure_sctp()

    @property
    def max_message_size(self) -> int:
        """The largest data channel message that the remote peer takes, in bytes; 0 is no limit."""
        return self._adapter.remote_max_message_size()

    def emit(self, event: str, *args: Any, **kwargs: Any) -> bool:
        """Emit an event; what comes with it is guarded against handlers that raise."""
        if event in ("datachannel", "track"):
            guard(args[0])
        self._history.emitted(event, args)
        return super().emit(event, *args, **kwargs)

    # --- diagnosis

    @property
    def timeline(self) -> "Timeline":
        """The history of the connection: what happened, and when; see ``timeline_events``."""
        return self._history.timeline

    def diagnose(self, *, gave_up: bool = False) -> "Verdict":
        """Return what is wrong with the connection, or that nothing is.

        The verdict about a connection that is closed is the one from before.

        Args:
            gave_up: ``True`` if nobody waits any longer: the likeliest cause is then named,
                whatever time there was.
        """
        return self._history.diagnose(gave_up=gave_up)

    @property
    def history(self) -> "History":
        """The part that records and judges, for those who know more, such as a room."""
        return self._history

    # --- statistics

    @cached_property
    def _stats(self) -> "StatsWriter":
        from .stats import StatsWriter

        return StatsWriter()

    async def getStats(self) -> RTCStatsReport:
        """Return what is known and was counted so far, in any state of the connection.

        The entries of aiortc for what is sent and received, and those of :mod:`~.stats`.

        Cancellation: safe.
        """
        from .._aiortc import DtlsTransport, Receiver, transport_stats

        report = await super().getStats()
        # A sender's or receiver's report may still have the transport from before it was bundled.
        for stale in [key for key, stats in report.items() if stats.type == "transport"]:
            del report[stale]
        for receiver in self.getReceivers():
            known = report.get(f"inbound-rtp_{id(receiver)}")
            if isinstance(receiver, Receiver) and isinstance(known, RTCInboundRtpStreamStats):
                report.add(self._stats.inbound(receiver, known))
        now = asyncio.get_running_loop().time()
        for dtls in self._adapter.sections.dtls_in_use():
            agent = agent_of(dtls.transport)
            discarded = bitrate = None
            if isinstance(dtls, DtlsTransport):
                discarded, bitrate = dtls.discarded, dtls.available_bitrate
            counted = transport_stats(dtls)
            for stats in self._stats.transport(counted, agent, now, discarded, bitrate):
                report.add(stats)
        self._add_channel_stats(report)
        return report

    def _add_channel_stats(self, report: RTCStatsReport) -> None:
        opened = closed = refused = 0
        if self.sctp is not None:
            # A call without data channels loads none of it, which would hold up its media.
            from .._aiortc import SctpTransport

            if isinstance(self.sctp, SctpTransport):
                opened, closed = self.sctp.channels_opened, self.sctp.channels_closed
                refused = self.sctp.shell.channels.refused
                for channel in self.sctp.channels:
                    report.add(self._stats.channel(channel))
        report.add(self._stats.connection(opened, closed, refused))

    # --- negotiation

    @property
    def is_settled(self) -> bool:
        """True if both sides have agreed to everything that this side wants."""
        # An operation that goes on may be about to leave the state.
        is_stable = self.signalingState == "stable" and not self._operations.locked()
        return is_stable and not self._negotiation.is_needed()

    def wanted(self) -> object:
        """Return what the next offer would ask for, to be compared with what another one did."""
        return self._negotiation.wanted()

    def await_change(self) -> None:
        """Take what is wanted as not to be had: the next change asks for negotiation again."""
        self._negotiation.reset()

    # --- the end

    async def close(self) -> None:
        """Close the connection and free everything it holds; a second call waits for the first.

        Takes at most the configuration's ``close_timeout`` for TURN servers that do not answer.

        Cancellation: safe; the closing goes on.
        """
        context = self._context
        if context.closing is None:
            self._history.closing()
            context.closing = asyncio.create_task(super().close(), name="PeerConnection.close")
            self._trickle.drop_found()
            self._ice_restart.close()
        await asyncio.shield(context.closing)


def _history(connection: RTCPeerConnection, context: Context) -> "History":
    from .history import History  # who imports the class alone does not load it

    return History(connection, context)
