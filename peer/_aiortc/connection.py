"""Adapter of ``RTCPeerConnection``: makes icefloe's transports, senders and receivers for it."""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCDtlsTransport,
    RTCIceParameters,
    RTCIceTransport,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
)
from aiortc.sdp import SessionDescription
from pyee.asyncio import AsyncIOEventEmitter

from icefloe.logs import get_logger

from .._util.uninterrupted import to_the_end
from ..configuration import PeerConfiguration
from ..errors import TrackNotSent
from ..rtp.receive.decoder_pool import DecoderPool
from .certificate import Certificate
from .ice import Gatherer, IceTransport
from .private import Private
from .sections import MediaSections
from .transport_feedback import has_stream_feedback

if TYPE_CHECKING:
    from .dtls import DtlsTransport
    from .sctp import SctpTransport
    from .sender import Sender

logger = get_logger(__name__)


def guard(emitter: AsyncIOEventEmitter) -> None:
    """Log what a handler of this emitter raises, instead of letting it tear down a transport."""
    if not emitter.listeners("error"):
        emitter.on("error", _log_handler_error)


def _log_handler_error(error: BaseException) -> None:
    logger.error("an event handler raised %r", error, exc_info=error)


class IceConnectionState(Protocol):
    """Derives ``iceConnectionState`` from the states of the ICE transports."""

    def __call__(self, ice: Collection[str], *, is_closed: bool) -> str: ...


class ConnectionState(Protocol):
    """Derives ``connectionState`` from the states of the ICE and the DTLS transports."""

    def __call__(self, ice: Collection[str], dtls: Collection[str], *, is_closed: bool) -> str: ...


@dataclass(frozen=True, slots=True)
class Hooks:
    """The functions of a connection that its adapter calls.

    Attributes:
        make_agent: Makes the ICE agent of a transport, with the username fragment and the password
            that aiortc chose for it.
        negotiation_may_be_needed: Checks soon whether negotiation is needed.
        is_certain_extension: Tells whether the remote peer can take a number of a header extension
            for one URI alone.
        ice_connection_state: Derives the state of that name.
        connection_state: Likewise.
    """

    make_agent: Callable[[RTCIceTransport, str, str], Any]
    negotiation_may_be_needed: Callable[[], None]
    is_certain_extension: Callable[[str, int], bool]
    ice_connection_state: IceConnectionState
    connection_state: ConnectionState


class ConnectionAdapter:
    """Puts icefloe's transports, senders and receivers into an ``RTCPeerConnection``.

    It replaces the methods of that name in which aiortc makes these objects, starts them, and
    derives states; :attr:`private` and the methods below are the way to the rest of its private
    state. What stands behind an object (ICE and DTLS, SCTP, RTP) is loaded when the first one is
    made.

    Args:
        connection: The connection, whose ``__init__`` has run.
        configuration: Its configuration.
        hooks: The functions of it that are called here.
    """

    def __init__(
        self, connection: RTCPeerConnection, configuration: PeerConfiguration, hooks: Hooks
    ) -> None:
        self._connection = connection
        self._hooks = hooks
        self._decoders = DecoderPool(configuration.max_decoders, configuration.max_video_pixels)
        self._max_data_channels = configuration.max_data_channels
        self._connecting: set[asyncio.Task[None]] = set()
        self.on_transport_state: Callable[[str, str, str], None] = lambda of, state, reason: None
        """Called with ``dtls`` or ``sctp``, the state and the reason when a state has changed."""
        self.on_first_packet: Callable[[str, str, int], None] = lambda kind, way, ssrc: None
        """Called with the first packet of each stream: its kind, ``in`` or ``out``, its SSRC."""
        self.on_first_key_frame: Callable[[str], None] = lambda mid: None
        """Called with the mid of each video track when its first key frame came."""
        self.on_closed_by_remote: Callable[[], None] = lambda: None
        """Called when the remote peer has closed the connection, before it is closed here."""
        private = Private(connection, RTCPeerConnection)
        self.private: Private = private
        self.sections: MediaSections = MediaSections(connection, private, self.resume_connecting)
        certificates = private["certificates"]
        certificates[:] = [Certificate(key=c._key, cert=c._cert) for c in certificates]
        guard(connection)
        gather = private["gather"]
        private["gather"] = lambda: to_the_end(gather())
        private["createDtlsTransport"] = self._create_dtls_transport
        private["createSctpTransport"] = self._create_sctp_transport
        private["createTransceiver"] = self._create_transceiver
        private["connect"] = self._connect
        private["updateIceConnectionState"] = self._update_ice_connection_state
        private["updateConnectionState"] = self._update_connection_state

    # --- called by aiortc

    def _create_dtls_transport(self) -> RTCDtlsTransport:
        from .dtls import DtlsTransport

        dtls: RTCDtlsTransport = _create_dtls_transport(self._connection)
        ice = dtls.transport
        gatherer = ice.iceGatherer
        parameters = gatherer.getLocalParameters()
        gatherer.__class__ = Gatherer
        ice.__class__ = IceTransport
        agent = self._hooks.make_agent(
            ice, str(parameters.usernameFragment), str(parameters.password)
        )
        gatherer._connection = ice._connection = agent
        dtls.__class__ = DtlsTransport
        assert isinstance(dtls, DtlsTransport)
        dtls.begin()
        agent.received.take = dtls.receive_now
        ice._recv, ice._send = agent.received.get, agent.send
        for emitter in (gatherer, ice, dtls):
            guard(emitter)
        dtls.on("statechange", lambda: self._on_dtls_state(dtls))
        return dtls

    def _create_sctp_transport(self) -> None:
        from .sctp import SctpTransport

        _create_sctp_transport(self._connection)
        sctp = self._connection.sctp
        assert sctp is not None
        sctp.__class__ = SctpTransport
        assert isinstance(sctp, SctpTransport)
        sctp.begin(self._max_data_channels)
        sctp.shell.on_state = self._on_sctp_state
        guard(sctp)
        self._hooks.negotiation_may_be_needed()

    def _create_transceiver(
        self, direction: str, kind: str, sender_track: MediaStreamTrack | None = None
    ) -> RTCRtpTransceiver:
        from .sender import Sender
        from .transceiver import Transceiver, make_receiver

        shared = self._transport_to_share(kind)
        dtls = shared or self._create_dtls_transport()
        sender, receiver = RTCRtpSender(sender_track or kind, dtls), make_receiver(kind, dtls)
        transceiver = Transceiver(direction=direction, kind=kind, sender=sender, receiver=receiver)
        receiver.begin(self._decoders)
        receiver._set_rtcp_ssrc(sender._ssrc)
        sender.__class__ = Sender
        assert isinstance(sender, Sender)
        sender._stream_id = self.private["stream_id"]
        sender.is_certain = self._hooks.is_certain_extension
        sender.on_first_packet = receiver.on_first_packet = self._on_first_packet
        receiver.on_first_key_frame = self._on_first_key_frame
        sender.begin()
        sender.outgoing.report = self._report
        transceiver._bundled = shared is not None
        transceiver.on_change = self._hooks.negotiation_may_be_needed
        self.private["transceivers"].append(transceiver)
        self._hooks.negotiation_may_be_needed()
        return transceiver

    def _transport_to_share(self, kind: str) -> RTCDtlsTransport | None:
        """Return the transport that another transceiver of a kind is to be bundled on."""
        transceivers: list[RTCRtpTransceiver] = self.private["transceivers"]
        policy = self.private["configuration"].bundlePolicy
        if policy is RTCBundlePolicy.MAX_BUNDLE and transceivers:
            return transceivers[0].receiver.transport
        if policy is RTCBundlePolicy.MAX_BUNDLE and self._connection.sctp is not None:
            return self._connection.sctp.transport
        if policy is RTCBundlePolicy.BALANCED:
            return next((t.receiver.transport for t in transceivers if t.kind == kind), None)
        return None

    def _on_first_packet(self, kind: str, way: str, ssrc: int) -> None:
        self.on_first_packet(kind, way, ssrc)

    def _on_first_key_frame(self, mid: str) -> None:
        self.on_first_key_frame(mid)

    def _on_sctp_state(self, state: str, reason: str) -> None:
        self.on_transport_state("sctp", state, reason)

    def _report(self, error: TrackNotSent) -> None:
        self._connection.emit("senderror", error)

    async def _connect(self) -> None:
        # aiortc starts one transport after the other. Two sides that begin with another one each
        # wait for each other's for ever, and one that does not connect holds up the others.
        if self.private["isClosed"]:
            return
        self.begin_checks()
        sctp = self._connection.sctp
        users: dict[RTCDtlsTransport, list[Any]] = {}
        for user in (*self._connection.getTransceivers(), *([sctp] if sctp else [])):
            if user in self.private["remoteIce"]:
                owner: Any = user.receiver if isinstance(user, RTCRtpTransceiver) else user
                users.setdefault(owner.transport, []).append(user)
        if len(users) == 1:
            await self._connect_over(*users.popitem())
        else:
            await asyncio.gather(*(self._connect_over(dtls, of) for dtls, of in users.items()))

    async def _connect_over(self, dtls: RTCDtlsTransport, users: list[Any]) -> None:
        """Start a transport, and then the senders, receivers and SCTP transport that use it."""
        from .dtls import DtlsTransport

        if not dtls.transport.iceGatherer.getLocalCandidates():
            return
        assert isinstance(dtls, DtlsTransport)
        dtls.use_stream_feedback(
            enabled=any(
                has_stream_feedback(user._codecs)
                for user in users
                if isinstance(user, RTCRtpTransceiver)
            )
        )
        for user in users:
            remote = self.private["remoteIce"].get(user)
            if remote is None:
                continue  # rejected meanwhile
            await dtls.transport.start(remote)
            if dtls.state == "new":
                await dtls.start(self.private["remoteDtls"][user])
            if dtls.state != "connected":
                continue
            if not isinstance(user, RTCRtpTransceiver):
                await user.start(self.private["sctpRemoteCaps"], self.private["sctpRemotePort"])
                continue
            if user.currentDirection in ("sendonly", "sendrecv"):
                await user.sender.send(self.private["localRtp"](user))
            if user.currentDirection in ("recvonly", "sendrecv"):
                await user.receiver.receive(self.private["remoteRtp"](user))

    def _on_dtls_state(self, dtls: "DtlsTransport") -> None:
        # What was negotiated while the handshake ran was passed over: aiortc starts senders and
        # receivers once after each description, and only where the transport is connected by then.
        reason = str(dtls.problem)
        self.on_transport_state("dtls", dtls.state, reason)
        if dtls.state == "connected":
            self.resume_connecting()

    def _states(self) -> tuple[set[str], set[str]]:
        return (
            {transport.state for transport in self.private["iceTransports"]},
            {transport.state for transport in self.private["dtlsTransports"]},
        )

    def _update_ice_connection_state(self) -> None:
        ice, _ = self._states()
        is_closed = bool(self.private["isClosed"])
        state = self._hooks.ice_connection_state(ice, is_closed=is_closed)
        self._change("iceConnectionState", state)

    def _update_connection_state(self) -> None:
        ice, dtls = self._states()
        is_closed = bool(self.private["isClosed"])
        self._change(
            "connectionState", self._hooks.connection_state(ice, dtls, is_closed=is_closed)
        )
        if dtls == {"closed"} and not is_closed and self.private["closeTask"] is None:
            # The remote peer has closed the connection.
            self.on_closed_by_remote()
            self.private["closeTask"] = asyncio.ensure_future(self._connection.close())

    def _change(self, name: str, state: str) -> None:
        if state != self.private[name]:
            self.private[name] = state
            self._connection.emit(name.lower() + "change")

    # --- called by the connection

    def description(self, which: str) -> SessionDescription | None:
        """Return ``currentLocal``, ``pendingRemote`` and so on, as aiortc holds it."""
        found: SessionDescription | None = self.private[f"{which}Description"]
        return found

    def latest(self, side: str) -> SessionDescription | None:
        """Return the pending description of a side (``Local``, ``Remote``), or the current one."""
        return self.description(f"pending{side}") or self.description(f"current{side}")

    def settle_descriptions(self) -> None:
        """Make pending descriptions current (W3C webrtc-pc 4.4.1.5, on entering ``stable``)."""
        for side in ("Local", "Remote"):
            pending = self.description(f"pending{side}")
            if pending is not None:
                self.private[f"current{side}Description"] = pending
                self.private[f"pending{side}Description"] = None

    def remote_dtls_role(self) -> str:
        """Return the remote peer's DTLS role, ``active`` or ``passive``; empty if undecided."""
        roles = {dtls._role for dtls in self.sections.dtls_in_use()}
        return {"client": "passive", "server": "active"}.get(next(iter(roles), ""), "")

    async def drop_sctp(self) -> None:
        """Close the data channels and their transport; the next one begins anew."""
        sctp = self._connection.sctp
        if sctp is None:
            return
        self.private["sctp"] = None
        self.private["sctp_mline_index"] = None
        for known in ("remoteIce", "remoteDtls"):
            self.private[known].pop(sctp, None)
        await to_the_end(sctp.stop())
        await self.sections.discard_unused_transports()

    def ensure_sctp(self) -> None:
        """Make the SCTP transport, unless there is one."""
        if self._connection.sctp is None:
            self._create_sctp_transport()

    def send_certain_extensions(self) -> None:
        """Have senders send header extensions whose numbers have become certain."""
        for transceiver in self._connection.getTransceivers():
            cast("Sender", transceiver.sender).send_certain_extensions()

    def enter_signaling_state(self, state: str) -> None:
        """Change ``signalingState``."""
        if state != self._connection.signalingState:
            self.private["setSignalingState"](state)

    def begin_checks(self) -> None:
        """Begin connectivity checks, as far as the remote peer's credentials are known."""
        remote: dict[RTCIceTransport, RTCIceParameters] = {}
        for user, parameters in self.private["remoteIce"].items():
            owner = user.receiver if isinstance(user, RTCRtpTransceiver) else user
            remote.setdefault(owner.transport.transport, parameters)
        for ice, parameters in remote.items():
            if isinstance(ice, IceTransport) and ice in self.private["iceTransports"]:
                ice.begin(parameters)

    def resume_connecting(self) -> None:
        """Start whatever can be started: transports, senders, receivers, the association."""
        connect: Callable[[], Coroutine[Any, Any, None]] = self.private["connect"]
        task = asyncio.get_running_loop().create_task(connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def path_changed(self, *, was_lost: bool) -> None:
        """Tell the SCTP association that ICE has selected another path."""
        sctp = self._connection.sctp
        if sctp is not None:
            cast("SctpTransport", sctp).shell.path_changed(was_lost=was_lost)

    def remote_max_message_size(self) -> int:
        """Return the largest message that the remote peer takes, in bytes; 0 is no limit."""
        sctp = self._connection.sctp
        return sctp._remote_max_message_size if sctp is not None else 0


_create_dtls_transport = RTCPeerConnection.__dict__["_RTCPeerConnection__createDtlsTransport"]
_create_sctp_transport = RTCPeerConnection.__dict__["_RTCPeerConnection__createSctpTransport"]
