"""``PeerConnection``: aiortc's ``RTCPeerConnection`` with what W3C has and it lacks."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any, cast

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

from .. import sdp
from .._aiortc import (
    DtlsTransport,
    Receiver,
    RemoteSections,
    SctpTransport,
    agent_of,
    guard,
    prefers_codecs,
    read_sections,
    transport_stats,
)
from .._aiortc.sender import Sender
from ..configuration import complete
from ..errors import InvalidDescription
from ..ice.server_urls import parse_servers
from ..sctp import options
from ..sdp.steps import Turns, in_turns
from .perfect_negotiation import MediaSection, needs_negotiation
from .restart import RestartingConnection
from .stats import StatsWriter

_WITHOUT_SENDING = {"sendrecv": "recvonly", "sendonly": "inactive"}


@contextmanager
def _told_as_invalid() -> Iterator[None]:
    """Tell as an error of the description what aiortc stumbles over within the block.

    It takes for granted what RFC 8866 and RFC 9429 ask for.
    """
    try:
        yield
    except (AssertionError, AttributeError, LookupError, TypeError) as error:
        raise InvalidDescription(f"aiortc cannot apply it: {error!r}") from error


class PeerConnection(RestartingConnection):
    """A WebRTC peer connection; a drop-in for ``aiortc.RTCPeerConnection``.

    Beside aiortc's events it emits

    * ``icecandidate`` with an :class:`RTCIceCandidate` for each local candidate as it is found, and
      with ``None`` at the end,
    * ``icecandidateerror`` with an :class:`RTCPeerConnectionIceErrorEvent` for each STUN or TURN
      server that gave none,
    * ``remotecandidateerror`` with an :class:`UnknownSection` for each candidate of the other side
      that names a media section which it has not described,
    * ``senderror`` with a :class:`TrackNotSent` for each reason why something of a track that is
      sent could not be sent,
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
            InvalidDescription: The description is malformed; a ``ValueError``.
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
                await self._apply_local(sessionDescription)
            finally:
                self._holding_found = False
                self._emit_found_soon()
        if not self.listeners("icecandidate"):
            await self._wait_until_gathered()

    async def _apply_local(self, description: RTCSessionDescription) -> None:
        kind, text = description.type, description.sdp
        await in_turns(sdp.reading(text, answer=kind != "offer", most=sys.maxsize))
        inward = RTCSessionDescription(self._layout.inward(text), kind)
        layout = self._layout.extended(text) if kind == "offer" else self._layout
        fragments = sdp.fragments(text)
        await Turns().after(text.count("\n"))  # before aiortc reads it once more
        self._adopt_offered(fragments)
        self._watch_addresses()
        with _told_as_invalid():
            await super().setLocalDescription(inward)
        self._layout = layout
        if kind == "answer":
            self._begin_checks()  # in this operation: the next may be another restart
            await self._drop_unused_channels()

    async def setRemoteDescription(self, sessionDescription: RTCSessionDescription) -> None:
        """Apply a remote description; never waits for the network.

        An offer that restarts ICE waits where there were too many: eight are carried out at once,
        and then one a second. So the other side cannot have this one open sockets without end.

        An offer that comes while an own one is pending takes that one back first (RFC 9429 section
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
        """
        async with self._operation():
            kind = sessionDescription.type
            if kind == "rollback":
                await self._roll_back("have-remote-offer")
                return
            self._check_state(kind)
            answer = kind != "offer"
            # This side may have offered more than it takes.
            most = max(sdp.SECTIONS, len(self._layout.slots))
            read = sdp.reading(sessionDescription.sdp, answer=answer, most=most)
            description = await in_turns(read)
            decide = sdp.plan_answer if answer else sdp.plan_offer
            plan = await in_turns(decide(description, self._offered(kind)))
            with _told_as_invalid():
                remote = await in_turns(read_sections(kind, plan.session, plan.sections))
            self._check_state(kind)  # it may be closed by now
            if kind == "offer" and self._restarts(plan.fragments):
                await self._wait_for_restart()
                self._check_state(kind)
            # From here on nothing is wrong with it.
            if kind == "offer" and self.signalingState == "have-local-offer":
                await self._roll_back("have-local-offer")
            await self._apply_remote(plan, remote, kind)

    def _check_state(self, kind: str) -> None:
        fitting = {
            "offer": ("stable", "have-local-offer", "have-remote-offer"),
            "answer": ("have-local-offer", "have-remote-pranswer"),
            "pranswer": ("have-local-offer", "have-remote-pranswer"),
        }
        if self.signalingState not in fitting[kind]:
            raise InvalidStateError(
                f'Cannot handle {kind} in signaling state "{self.signalingState}"'
            )

    async def _apply_remote(self, plan: sdp.Plan, remote: RemoteSections, kind: str) -> None:
        was_stable = self.signalingState == "stable"
        is_first = self._latest("Remote") is None
        policy = self._configuration.bundlePolicy
        try:
            if plan.policy is not None and kind == "offer":
                policy = plan.policy
                if is_first:
                    self._separate(by_kind=policy is RTCBundlePolicy.BALANCED)
            self._place(plan.layout.mids())
            self._mark_bundled(one_transport=policy is RTCBundlePolicy.MAX_BUNDLE)
            self._adopt_remote(plan.fragments, kind)
            if plan.drops is not None and kind != "offer":
                self._unoffer(plan.drops)
            with _told_as_invalid(), self._bundling(policy):
                await self._apply_sections(remote)
            self._layout = plan.layout
            self._take_mids(slot.mid for slot in plan.layout.slots)
            self._note_extensions(plan)
            self._forget_remote_of(plan.rejected)
            if kind == "answer":
                self._begin_checks()  # in this operation: the next may be another restart
            elif kind == "pranswer":
                self._enter_signaling_state("have-remote-pranswer")
        except BaseException:
            if was_stable and self.signalingState != "closed":
                await self._restore(self._stable_point, drop=self._called_for())
            raise
        await self._take_rejections(plan.rejected)
        if kind == "answer":
            await self._drop_unused_channels()
        await self._take_candidates(set(plan.fragments.values()), plan.candidates)

    # --- what is sent

    def addTrack(self, track: MediaStreamTrack) -> Sender:
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
            return cast(Sender, self.addTransceiver(track).sender)
        return cast(Sender, super().addTrack(track))

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
            negotiated: Whether the other side creates it by itself, under the same ``id``.
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
        self._channels_created = True
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

        The entries of aiortc for what is sent and received, and those of :mod:`~.stats`.

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
        opened = closed = refused = 0
        if isinstance(self.sctp, SctpTransport):
            opened, closed = self.sctp.channels_opened, self.sctp.channels_closed
            refused = self.sctp.shell.refused
            for channel in self.sctp.channels:
                report.add(self._stats.channel(channel))
        report.add(self._stats.connection(opened, closed, refused))
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

    @property
    def is_settled(self) -> bool:
        """Whether both sides have agreed to everything that this side wants."""
        # An operation that goes on may be about to leave the state.
        is_stable = self.signalingState == "stable" and not self._operations.locked()
        return is_stable and not self._is_needed()

    def wanted(self) -> object:
        """Return what the next offer would ask for, to be compared with what another one did."""
        media = [(t, t.direction, t.stopped, prefers_codecs(t)) for t in self.getTransceivers()]
        return media, self.sctp, self._replacing

    def await_change(self) -> None:
        """Take what is wanted as not to be had: the next change asks for negotiation again."""
        self._negotiation_needed = False

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
