"""The peer connection, with its private parts under names of their own."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
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

from ..configuration import PeerConfiguration
from ..errors import TrackNotSent
from ..rtp.receive.decoder_pool import DecoderPool
from .certificate import Certificate
from .dtls import DtlsTransport
from .ice import Gatherer, IceTransport, agent_of
from .sctp import SctpTransport
from .sections import SectionedConnection
from .sender import Sender
from .transceiver import Negotiated, Stable, Transceiver, make_receiver

logger = get_logger(__name__)


def guard(emitter: AsyncIOEventEmitter) -> None:
    """Log what a handler of this emitter raises, instead of letting it tear down a transport."""
    if not emitter.listeners("error"):
        emitter.on("error", _log_handler_error)


def _log_handler_error(error: BaseException) -> None:
    logger.error("an event handler raised %r", error, exc_info=error)


class PeerConnectionSeam(SectionedConnection):
    """``RTCPeerConnection`` with its private parts under names of their own."""

    _configuration: PeerConfiguration
    """A subclass sets it, before this is made."""
    _decoders: DecoderPool

    def __init__(self, configuration: RTCConfiguration) -> None:
        own = self._configuration
        self._decoders = DecoderPool(own.maxDecoders, own.maxVideoPixels)
        super().__init__(configuration)
        self._connecting: set[asyncio.Task[None]] = set()
        certificates = self._private("certificates")
        certificates[:] = [Certificate(key=c._key, cert=c._cert) for c in certificates]
        guard(self)

    # What a subclass supplies.

    def _make_agent(self, ice: RTCIceTransport, username: str, password: str) -> Any:
        raise NotImplementedError

    def _negotiation_may_be_needed(self) -> None:
        raise NotImplementedError

    def _is_certain_extension(self, uri: str, id: int) -> bool:
        raise NotImplementedError

    # What aiortc calls.

    def _RTCPeerConnection__createDtlsTransport(self) -> RTCDtlsTransport:
        dtls: RTCDtlsTransport = _create_dtls_transport(self)
        ice = dtls.transport
        gatherer = ice.iceGatherer
        parameters = gatherer.getLocalParameters()
        gatherer.__class__ = Gatherer
        ice.__class__ = IceTransport
        agent = self._make_agent(ice, str(parameters.usernameFragment), str(parameters.password))
        gatherer._connection = ice._connection = agent
        dtls.__class__ = DtlsTransport
        assert isinstance(dtls, DtlsTransport)
        dtls.begin()
        agent.take = dtls.receive_now
        ice._recv, ice._send = agent.recv, agent.send
        for emitter in (gatherer, ice, dtls):
            guard(emitter)
        dtls.on("statechange", lambda: self._on_dtls_state(dtls))
        return dtls

    async def _RTCPeerConnection__connect(self) -> None:
        # aiortc starts one transport after the other. Two sides that begin with another one each
        # wait for each other's for ever, and one that does not connect holds up the others.
        if self._private("isClosed"):
            return
        self._begin_checks()
        users: dict[RTCDtlsTransport, list[Any]] = {}
        for user in (*self.getTransceivers(), *([self.sctp] if self.sctp else [])):
            if user in self._private("remoteIce"):
                owner: Any = user.receiver if isinstance(user, RTCRtpTransceiver) else user
                users.setdefault(owner.transport, []).append(user)
        await asyncio.gather(*(self._connect_over(dtls, of) for dtls, of in users.items()))

    async def _connect_over(self, dtls: RTCDtlsTransport, users: list[Any]) -> None:
        """Start a transport, and then those who send and receive over it."""
        if not dtls.transport.iceGatherer.getLocalCandidates():
            return
        for user in users:
            remote = self._private("remoteIce").get(user)
            if remote is None:
                continue  # rejected meanwhile
            await dtls.transport.start(remote)
            if dtls.state == "new":
                await dtls.start(self._private("remoteDtls")[user])
            if dtls.state != "connected":
                continue
            if not isinstance(user, RTCRtpTransceiver):
                caps, port = self._private("sctpRemoteCaps"), self._private("sctpRemotePort")
                await user.start(caps, port)
                continue
            if user.currentDirection in ("sendonly", "sendrecv"):
                await user.sender.send(self._private("localRtp")(user))
            if user.currentDirection in ("recvonly", "sendrecv"):
                await user.receiver.receive(self._private("remoteRtp")(user))

    def _on_dtls_state(self, dtls: RTCDtlsTransport) -> None:
        # What was negotiated while the handshake ran was passed over: aiortc starts senders and
        # receivers once after each description, and only where the transport is connected by then.
        if dtls.state == "connected":
            self._resume_connecting()

    def _RTCPeerConnection__updateIceConnectionState(self) -> None:
        # W3C webrtc-pc 5.6.4, "RTCIceConnectionState"; aiortc knows no ``disconnected``.
        states = {transport.state for transport in self._private("iceTransports")}
        live = states - {"closed"}
        if self._private("isClosed"):
            state = "closed"
        elif named := next((s for s in ("failed", "disconnected") if s in states), None):
            state = named
        elif live == {"completed"}:
            state = "completed"
        else:
            state = "checking" if live & {"checking", "completed"} else "new"
        self._change("iceConnectionState", state)

    def _RTCPeerConnection__updateConnectionState(self) -> None:
        # W3C webrtc-pc 4.3.3, "RTCPeerConnectionState", likewise.
        dtls = {transport.state for transport in self._private("dtlsTransports")}
        ice = {transport.state for transport in self._private("iceTransports")}
        if self._private("isClosed"):
            state = "closed"
        elif "failed" in ice | dtls:
            state = "failed"
        elif "disconnected" in ice:
            state = "disconnected"
        elif ice | dtls <= {"new", "closed"}:
            state = "new"
        elif "checking" in ice or dtls & {"new", "connecting"}:
            state = "connecting"
        else:
            state = "connected"
        self._change("connectionState", state)
        is_closing = self._private("isClosed") or self._private("closeTask") is not None
        if dtls == {"closed"} and not is_closing:
            # The other side has closed the connection.
            self._set_private("closeTask", asyncio.ensure_future(self.close()))

    def _change(self, name: str, state: str) -> None:
        if state != self._private(name):
            self._set_private(name, state)
            self.emit(name.lower() + "change")

    def _RTCPeerConnection__createSctpTransport(self) -> None:
        _create_sctp_transport(self)
        assert self.sctp is not None
        self.sctp.__class__ = SctpTransport
        assert isinstance(self.sctp, SctpTransport)
        self.sctp.begin(self._configuration.maxDataChannels)
        guard(self.sctp)
        self._negotiation_may_be_needed()

    def _RTCPeerConnection__createTransceiver(
        self, direction: str, kind: str, sender_track: MediaStreamTrack | None = None
    ) -> RTCRtpTransceiver:
        shared = self._transport_to_share(kind)
        dtls = shared or self._RTCPeerConnection__createDtlsTransport()
        sender, receiver = RTCRtpSender(sender_track or kind, dtls), make_receiver(kind, dtls)
        transceiver = Transceiver(direction=direction, kind=kind, sender=sender, receiver=receiver)
        receiver.begin(self._decoders)
        receiver._set_rtcp_ssrc(sender._ssrc)
        sender.__class__ = Sender
        assert isinstance(sender, Sender)
        sender._stream_id = self._private("stream_id")
        sender.is_certain = self._is_certain_extension
        sender.begin()
        sender.outgoing.report = self._report
        transceiver._bundled = shared is not None
        transceiver.on_change = self._negotiation_may_be_needed
        self._private("transceivers").append(transceiver)
        self._negotiation_may_be_needed()
        return transceiver

    def _transport_to_share(self, kind: str) -> RTCDtlsTransport | None:
        """Return the transport that another transceiver of a kind is to be bundled on."""
        transceivers: list[RTCRtpTransceiver] = self._private("transceivers")
        policy = self._private("configuration").bundlePolicy
        if policy is RTCBundlePolicy.MAX_BUNDLE and transceivers:
            return transceivers[0].receiver.transport
        if policy is RTCBundlePolicy.MAX_BUNDLE and self.sctp is not None:
            return self.sctp.transport
        if policy is RTCBundlePolicy.BALANCED:
            return next((t.receiver.transport for t in transceivers if t.kind == kind), None)
        return None

    def _report(self, error: TrackNotSent) -> None:
        self.emit("senderror", error)

    # What icefloe calls.

    def _description(self, which: str) -> SessionDescription | None:
        """Return ``currentLocal``, ``pendingRemote`` and so on, as aiortc holds it."""
        found: SessionDescription | None = self._private(f"{which}Description")
        return found

    def _settle_descriptions(self) -> None:
        """Make what was pending current (W3C webrtc-pc 4.4.1.5, on entering ``stable``)."""
        for side in ("Local", "Remote"):
            pending = self._description(f"pending{side}")
            if pending is not None:
                self._set_private(f"current{side}Description", pending)
                self._set_private(f"pending{side}Description", None)

    def _remote_dtls_role(self) -> str:
        """Return ``active`` or ``passive`` as the other side is in DTLS; empty if that is open."""
        roles = {dtls._role for dtls in self._dtls_in_use()}
        return {"client": "passive", "server": "active"}.get(next(iter(roles), ""), "")

    async def _drop_sctp(self) -> None:
        """Close the data channels and what carries them; the next one begins anew."""
        sctp = self.sctp
        if sctp is None:
            return
        self._set_private("sctp", None)
        self._set_private("sctp_mline_index", None)
        for known in ("remoteIce", "remoteDtls"):
            self._private(known).pop(sctp, None)
        await sctp.stop()
        await self._discard_unused_transports()

    def _send_certain_extensions(self) -> None:
        for transceiver in self.getTransceivers():
            if isinstance(transceiver.sender, Sender):
                transceiver.sender.send_certain_extensions()

    def _enter_signaling_state(self, state: str) -> None:
        if state != self.signalingState:
            self._private("setSignalingState")(state)

    def _ensure_sctp(self) -> None:
        if self.sctp is None:
            self._RTCPeerConnection__createSctpTransport()

    def _begin_checks(self) -> None:
        """Have the ICE transports check, as far as the other side's credentials are known."""
        remote: dict[RTCIceTransport, RTCIceParameters] = {}
        for user, parameters in self._private("remoteIce").items():
            owner = user.receiver if isinstance(user, RTCRtpTransceiver) else user
            remote.setdefault(owner.transport.transport, parameters)
        for ice, parameters in remote.items():
            if isinstance(ice, IceTransport) and ice in self._private("iceTransports"):
                ice.begin(parameters)

    def _resume_connecting(self) -> None:
        """Start what can be started: transports, senders, receivers, the SCTP association."""
        connect: Callable[[], Coroutine[Any, Any, None]] = self._private("connect")
        task = asyncio.get_running_loop().create_task(connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    def _stable(self) -> Stable:
        """Note what a rollback comes back to."""
        return Stable(
            transceivers={
                t: Negotiated(
                    t.mid,
                    t._get_mline_index(),
                    t._codecs,
                    t._headerExtensions,
                    t._offerDirection,
                    t.receiver._track,
                )
                for t in self.getTransceivers()
            },
            has_sctp=self.sctp is not None,
            sctp_mid=self.sctp.mid if self.sctp else None,
            sctp_index=self._private("sctp_mline_index"),
            remote_ice=dict(self._private("remoteIce")),
            remote_dtls=dict(self._private("remoteDtls")),
        )

    async def _restore(self, stable: Stable, *, drop: Iterable[Any] = ()) -> None:
        """Undo an offer, local or remote (RFC 9429 section 4.1.10.2).

        Args:
            stable: What :meth:`_stable` noted.
            drop: Transceivers, and the SCTP transport, that only the offer called for.
        """
        for unwanted in drop:
            if unwanted is self.sctp:
                self._set_private("sctp", None)
            else:
                self._private("transceivers").remove(unwanted)
        for transceiver in self.getTransceivers():
            was = stable.transceivers.get(transceiver, Negotiated())
            transceiver._set_mid(was.mid)  # type: ignore[arg-type]
            transceiver._set_mline_index(was.index)  # type: ignore[arg-type]
            transceiver._codecs = was.codecs
            transceiver._headerExtensions = was.extensions
            transceiver._offerDirection = was.offer_direction
            transceiver.receiver._track = was.track
        if self.sctp is not None:
            self.sctp.mid = stable.sctp_mid
        self._set_private("sctp_mline_index", stable.sctp_index)
        self._set_private("remoteIce", dict(stable.remote_ice))
        self._set_private("remoteDtls", dict(stable.remote_dtls))
        for side in ("Local", "Remote"):
            self._set_private(f"pending{side}Description", None)
        for ice in self._ice_transports():
            agent = agent_of(ice)
            agent.discard_next()
            if agent.has_gathered and isinstance(ice.iceGatherer, Gatherer):
                ice.iceGatherer.finish()
            if ice.state == "new":
                # The role goes with who made the offer, and that offer never was.
                ice._role_set = False
                ice._connection.ice_controlling = False
        await self._discard_unused_transports()
        if self.signalingState != "stable":
            self._private("setSignalingState")("stable")

    def _path_changed(self, *, was_lost: bool) -> None:
        if isinstance(self.sctp, SctpTransport):
            self.sctp.shell.path_changed(was_lost=was_lost)

    def _remote_max_message_size(self) -> int:
        """Return the largest message that the other side takes, in bytes; 0 is no limit."""
        return self.sctp._remote_max_message_size if self.sctp is not None else 0


_create_dtls_transport = RTCPeerConnection.__dict__["_RTCPeerConnection__createDtlsTransport"]
_create_sctp_transport = RTCPeerConnection.__dict__["_RTCPeerConnection__createSctpTransport"]
