"""The seam: the one file that touches private names of aiortc and aioice.

Everything here is a thin, named way to something that aiortc 1.16 or aioice 0.13 keeps to itself;
what is done with it stands elsewhere. It is long because it is the only such file: it is what to
look through when aiortc or aioice change. :func:`check` runs at import, so that versions which lack
one of the names are refused with an error that says so, and not in the middle of a call.

aiortc builds its ICE objects in one method, ``RTCPeerConnection.__createDtlsTransport``. It is
overridden to put an :class:`~icefloe.peer.ice.agent.IceAgent` in the place of the
``aioice.Connection``; of that object aiortc uses the fifteen names of :data:`AGENT_CONTRACT`.
"""

import asyncio
import logging
import weakref
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import Any

from aioice import stun
from aioice.mdns import is_mdns_hostname
from aiortc import (
    MediaStreamTrack,
    RTCCertificate,
    RTCConfiguration,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceCandidate,
    RTCIceGatherer,
    RTCIceParameters,
    RTCIceTransport,
    RTCPeerConnection,
    RTCRtpReceiver,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSctpTransport,
    RTCStatsReport,
    RTCTransportStats,
    rtp,
)
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcdtlstransport import State as DtlsState
from aiortc.rtcicetransport import candidate_to_aioice
from aiortc.rtcpeerconnection import add_transport_description
from aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
    RTCRtpReceiveParameters,
    RTCRtpSendParameters as Negotiated,
)
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.rtcsctptransport import RTCSctpCapabilities
from aiortc.rtp import (
    AnyRtcpPacket,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtcpSrPacket,
    RtpPacket,
    unpack_remb_fci,
)
from aiortc.sdp import MediaDescription, SessionDescription
from aiortc.stats import RTCInboundRtpStreamStats, RTCOutboundRtpStreamStats as AiortcOutbound
from aiortc.utils import uint16_add
from OpenSSL import SSL
from pyee.asyncio import AsyncIOEventEmitter
from pylibsrtp import Error as SrtpError

from .capture import FrameClock
from .decoding import AudioDecoding, VideoDecoding
from .errors import IncompatibleVersions
from .hearing import AudioStats, Hearing
from .origin import Origin
from .outgoing import Outgoing
from .parameters import RTCRtpSendParameters, checked
from .remote_track import RemoteTrack
from .repair import Repair, Step
from .rtp import RtpStream
from .sctp.congestion import Controller
from .sctp.congestion.model import Model
from .sctp.dcep import Open
from .sctp.transport import Channel, Channels
from .sending_stats import outbound

logger = logging.getLogger(__name__)

AGENT_CONTRACT = (
    "gather_candidates",
    "ice_controlling",
    "local_candidates",
    "local_password",
    "local_username",
    "recv",
    "remote_candidates",
    "send",
)
"""What aiortc uses of ``RTCIceTransport._connection``, where :class:`IceTransport` does not take
its place."""

_METHODS: dict[type, tuple[str, ...]] = {
    RTCPeerConnection: (
        "_RTCPeerConnection__connect",
        "_RTCPeerConnection__createDtlsTransport",
        "_RTCPeerConnection__createSctpTransport",
        "_RTCPeerConnection__createTransceiver",
        "_RTCPeerConnection__setSignalingState",
        "_RTCPeerConnection__updateConnectionState",
        "_RTCPeerConnection__updateIceConnectionState",
        "_RTCPeerConnection__updateIceGatheringState",
    ),
    RTCCertificate: ("_create_ssl_context",),
    RTCDataChannel: ("_addBufferedAmount", "_setId", "_setReadyState"),
    RTCDtlsTransport: (
        "_get_stats",
        "_register_data_receiver",
        "_register_rtp_receiver",
        "_unregister_data_receiver",
    ),
    RTCRtpReceiver: (
        "_RTCRtpReceiver__stop_decoder",
        "_handle_rtcp_packet",
        "_handle_rtp_packet",
        "_run_rtcp",
        "_send_rtcp_nack",
        "_send_rtcp_pli",
    ),
    RTCRtpSender: ("_handle_rtcp_packet", "_run_rtp"),
    RTCRtpTransceiver: ("_get_mline_index", "_set_mid", "_set_mline_index"),
    RTCSctpTransport: (
        "_data_channel_add_negotiated",
        "_data_channel_close",
        "_data_channel_open",
        "_data_channel_send",
        "_handle_data",
    ),
}

_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    RTCPeerConnection: (
        "_RTCPeerConnection__certificates",
        "_RTCPeerConnection__closeTask",
        "_RTCPeerConnection__connectionState",
        "_RTCPeerConnection__currentLocalDescription",
        "_RTCPeerConnection__currentRemoteDescription",
        "_RTCPeerConnection__dtlsTransports",
        "_RTCPeerConnection__iceConnectionState",
        "_RTCPeerConnection__iceTransports",
        "_RTCPeerConnection__isClosed",
        "_RTCPeerConnection__pendingLocalDescription",
        "_RTCPeerConnection__pendingRemoteDescription",
        "_RTCPeerConnection__remoteDtls",
        "_RTCPeerConnection__remoteIce",
        "_RTCPeerConnection__sctp",
        "_RTCPeerConnection__sctp_mline_index",
        "_RTCPeerConnection__transceivers",
    ),
    RTCCertificate: ("_cert", "_key"),
    RTCDtlsTransport: (
        "_RTCDtlsTransport__rx_bytes",
        "_RTCDtlsTransport__rx_packets",
        "_RTCDtlsTransport__tx_bytes",
        "_RTCDtlsTransport__tx_packets",
        "_data_receiver",
        "_ssl",
        "_state",
        "_tx_srtp",
    ),
    RTCIceGatherer: ("_connection",),
    JitterBuffer: ("_origin", "_packets"),
    RTCRtpReceiver: (
        "_RTCRtpReceiver__codecs",
        "_RTCRtpReceiver__decoder_error",
        "_RTCRtpReceiver__decoder_queue",
        "_RTCRtpReceiver__decoder_thread",
        "_RTCRtpReceiver__jitter_buffer",
        "_RTCRtpReceiver__kind",
        "_RTCRtpReceiver__nack_generator",
        "_RTCRtpReceiver__remote_streams",
        "_RTCRtpReceiver__rtcp_task",
        "_RTCRtpReceiver__rtcp_ssrc",
        "_RTCRtpReceiver__rtx_ssrc",
        "_RTCRtpReceiver__started",
        "_RTCRtpReceiver__timestamp_mapper",
        "_track",
    ),
    RTCIceTransport: ("_connection", "_recv", "_role_set", "_send"),
    RTCRtpSender: (
        "_RTCRtpSender__ntp_timestamp",
        "_RTCRtpSender__octet_count",
        "_RTCRtpSender__packet_count",
        "_RTCRtpSender__rtp_exited",
        "_RTCRtpSender__rtp_started",
        "_RTCRtpSender__rtp_timestamp",
        "_RTCRtpSender__rtt",
        "_enabled",
        "_rtx_ssrc",
        "_ssrc",
    ),
    RTCRtpTransceiver: (
        "_bundled",
        "_codecs",
        "_headerExtensions",
        "_offerDirection",
        "_preferred_codecs",
    ),
    RTCSctpTransport: ("_remote_max_message_size",),
}


def check() -> None:
    """Make sure that the names this file builds on are there.

    Raises:
        IncompatibleVersions: Some are not; the message names them and the versions found.
    """
    missing = [
        f"{cls.__module__}.{cls.__name__}.{name}"
        for cls, names in _METHODS.items()
        for name in names
        if not callable(getattr(cls, name, None))
    ]
    missing += [
        f"{cls.__module__}.{cls.__name__}.{name}"
        for cls, names in _ATTRIBUTES.items()
        for name in names
        if name not in cls.__init__.__code__.co_names  # type: ignore[misc]
    ]
    if missing:
        found = f"aiortc {version('aiortc')} and aioice {version('aioice')}"
        raise IncompatibleVersions(missing, found)


check()


# --- aiortc -------------------------------------------------------------------------------------


class _Candidates(list[RTCIceCandidate]):
    """Candidates of which the one at index 0 is the default candidate of RFC 8839.

    aiortc writes its address into the ``c=`` line, which takes no mDNS name: where all are names,
    that is the address and port that stand for none.
    """

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        if index == 0 and is_mdns_hostname(found.ip):
            return replace(found, ip="0.0.0.0", port=9)
        return found


class Gatherer(RTCIceGatherer):
    """``RTCIceGatherer`` that is complete when the agent says so, not when ``gather()`` returns."""

    _connection: Any
    _state = "new"

    @property
    def state(self) -> str:
        return self._state

    async def gather(self) -> None:
        if self._connection.wants_to_gather:
            self._enter("gathering")
            await self._connection.gather_candidates()

    def getLocalCandidates(self) -> list[RTCIceCandidate]:
        found = super().getLocalCandidates()
        return _Candidates(sorted(found, key=lambda candidate: is_mdns_hostname(candidate.ip)))

    def finish(self) -> None:
        """Note that no further candidate will come."""
        if self._state == "gathering":
            self._enter("completed")

    def _enter(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self.emit("statechange")


class IceTransport(RTCIceTransport):
    """``RTCIceTransport`` whose states are the agent's, and which can be started again.

    aiortc's knows neither ``disconnected`` nor a restart, and is over once its path is lost.
    """

    _connection: Any

    @property
    def state(self) -> str:
        return str(self._connection.state)

    def begin(self, remote: RTCIceParameters) -> None:
        """Begin to check with the other side's credentials; those in use change nothing."""
        username, password = str(remote.usernameFragment), str(remote.password)
        self._connection.start(username, password, lite=remote.iceLite)

    async def start(self, remoteParameters: RTCIceParameters) -> None:
        self.begin(remoteParameters)
        await self._connection.usable()

    async def stop(self) -> None:
        if self.state == "closed":
            await self._connection.close()
            return
        closing = asyncio.ensure_future(self._connection.close())
        # The agent is closed once its task has begun; who listens is told then, as by aiortc.
        await asyncio.sleep(0)
        self.emit("statechange")
        self.iceGatherer.remove_all_listeners()
        self.remove_all_listeners()
        await closing

    async def addRemoteCandidate(self, candidate: RTCIceCandidate | None) -> None:
        await self._connection.add_remote_candidate(
            candidate_to_aioice(candidate) if candidate is not None else None
        )


class Certificate(RTCCertificate):
    """A certificate whose DTLS client also takes servers with an RSA certificate.

    RFC 8827 section 6.5 makes one ECDSA suite mandatory and allows others; GStreamer's webrtcbin
    comes with RSA. OpenSSL lists stay in order, so that two ECDSA ends choose what they chose.
    """

    CIPHERS = (
        b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
        b"ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
        b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:"
        b"ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA"
    )

    def _create_ssl_context(self, srtp_profiles: list[Any]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(self.CIPHERS)
        return context


class CountedChannel(RTCDataChannel):
    """``RTCDataChannel`` that counts its messages, as W3C webrtc-stats has it."""

    messages_sent = 0
    bytes_sent = 0
    messages_received = 0
    bytes_received = 0
    messages_abandoned = 0
    """Messages of an unreliable channel that were given up."""

    messages_skipped = 0
    """Messages of an ordered one that the other side gave up and that never came."""

    def sent(self, size: int) -> None:
        """Count a message that has left the buffer."""
        self.messages_sent += 1
        self.bytes_sent += size

    def received(self, size: int) -> None:
        """Count a message that came."""
        self.messages_received += 1
        self.bytes_received += size

    def abandoned(self, size: int) -> None:
        """Count a message that was given up."""
        self.messages_abandoned += 1

    def skipped(self, count: int) -> None:
        """Count messages that the other side gave up."""
        self.messages_skipped += count

    def assign(self, id: int) -> None:
        """Give it its stream identifier."""
        self._setId(id)

    def change(self, state: str) -> None:
        """Change its state."""
        self._setReadyState(state)

    def buffered(self, amount: int) -> None:
        """Add to :attr:`bufferedAmount`, in bytes."""
        self._addBufferedAmount(amount)

    def _setReadyState(self, state: str) -> None:
        before = self.readyState
        if state != before and isinstance(self.transport, SctpTransport):
            self.transport.channel_changes(self, before, state)
        super()._setReadyState(state)


class SctpTransport(RTCSctpTransport):
    """``RTCSctpTransport`` over icefloe's association; aiortc's is never begun."""

    channels: dict[CountedChannel, None]
    """Those that are not closed, in the order in which they were made."""
    channels_opened: int
    """How many were ever open."""
    channels_closed: int
    """How many of them no longer are."""
    shell: Channels
    """What does the work."""
    controller: type[Controller] = Model
    """Makes the congestion control."""

    def begin(self) -> None:
        """Take the place of aiortc's."""
        self.channels = {}
        self.channels_opened = self.channels_closed = 0
        self.shell = Channels(self, controller=self.controller, port=self.port)

    def channel_changes(self, channel: CountedChannel, before: str, after: str) -> None:
        """Count a channel that enters or leaves ``open``."""
        if after == "open":
            self.channels_opened += 1
        elif before == "open":
            self.channels_closed += 1
        if after == "closed":
            self.channels.pop(channel, None)

    def _with(self, channel: RTCDataChannel, add: Callable[[Channel], None]) -> None:
        channel.__class__ = CountedChannel
        assert isinstance(channel, CountedChannel)
        add(channel)
        self.channels[channel] = None

    # What aiortc calls.

    @property
    def state(self) -> str:
        return self.shell.state

    @property
    def maxChannels(self) -> int | None:
        return self.shell.streams or None

    async def start(self, remoteCaps: RTCSctpCapabilities | None, remotePort: int) -> None:
        if self.state == "new":
            if remoteCaps is not None:
                self._remote_max_message_size = remoteCaps.maxMessageSize
            self.transport._register_data_receiver(self)
            self.shell.start(remotePort)

    async def stop(self) -> None:
        self.shell.stop()
        self.transport._unregister_data_receiver(self)

    async def _handle_data(self, data: bytes) -> None:
        self.shell.receive(data)

    def _data_channel_add_negotiated(self, channel: RTCDataChannel) -> None:
        self._with(channel, self.shell.add_negotiated)

    def _data_channel_open(self, channel: RTCDataChannel) -> None:
        self._with(channel, self.shell.open)

    def _data_channel_close(self, channel: RTCDataChannel) -> None:
        assert isinstance(channel, CountedChannel)
        self.shell.close(channel)

    def _data_channel_send(self, channel: RTCDataChannel, data: bytes | str) -> None:
        assert isinstance(channel, CountedChannel)
        self.shell.send(channel, data, self._remote_max_message_size)

    def hold(self, size: int) -> None:
        """Note that so many bytes wait to be read: the other side is offered as much less."""
        self.shell.hold(size)

    def release(self, size: int) -> None:
        """Note that so many bytes have been read."""
        self.shell.hold(-size)

    # What the channels call.

    def transmit(self, packets: list[bytes]) -> None:
        """Send packets.

        Raises:
            ConnectionError: DTLS is not connected.
        """
        assert isinstance(self.transport, DtlsTransport)
        self.transport.send_all(packets)

    def transmit_probe(self, packet: bytes) -> bool:
        """Send a packet that is not to be fragmented; return whether its size can be sent at all.

        Raises:
            ConnectionError: DTLS is not connected.
        """
        assert isinstance(self.transport, DtlsTransport)
        return self.transport.send_probe(packet)

    def accept(self, opened: Open, id: int) -> CountedChannel:
        """Make a channel that the other side has opened."""
        parameters = RTCDataChannelParameters(
            label=opened.label,
            ordered=opened.ordered,
            maxPacketLifeTime=opened.max_packet_life_time,
            maxRetransmits=opened.max_retransmits,
            protocol=opened.protocol,
            id=id,
        )
        channel = CountedChannel(self, parameters, False)
        self.channels[channel] = None
        channel.change("open")
        return channel

    def announce(self, channel: Channel) -> None:
        """Tell the application of it."""
        self.emit("datachannel", channel)

    def ended(self) -> None:
        """Let go of whoever listens: there will be no further event."""
        self.remove_all_listeners()


class DtlsTransport(RTCDtlsTransport):
    """``RTCDtlsTransport`` that carries data without a coroutine for each packet."""

    _APPLICATION_DATA = 23
    _RECORD_HEADER = 13
    """Bytes before a record's content (RFC 6347 section 4.1)."""
    KNOWN_LAYOUTS = frozenset({"DTLSv1", "DTLSv1.2"})
    """Versions whose records begin with such a header: RFC 9147 gives DTLS 1.3 another one."""
    _batches: bool | None = None
    _AT_ONCE = 40
    """Packets encrypted before they are sent."""
    _OVERHEAD = 128
    """Bytes by which a record is longer than its content, at most."""
    _RTCDtlsTransport__rx_bytes: int
    _RTCDtlsTransport__rx_packets: int
    _RTCDtlsTransport__tx_bytes: int
    _RTCDtlsTransport__tx_packets: int

    def getLocalParameters(self) -> RTCDtlsParameters:
        """Return the fingerprint with the hash of the certificate's signature (RFC 8829 5.2.1).

        aiortc tells those with other hashes as well, as RFC 8122 allows. When ICE is fast,
        libdatachannel sometimes compares one with the certificate by the hash of another.
        """
        told = super().getLocalParameters().fingerprints
        return RTCDtlsParameters([one for one in told if one.algorithm == "sha-256"])

    def receive_now(self, packet: bytes) -> bool:
        """Take a datagram if it carries data of a connection that is established.

        Returns:
            Whether it was taken; otherwise it goes through :meth:`_recv_next`, as media,
            handshakes and alerts do.
        """
        receiver = self._data_receiver
        if (
            packet[0] != self._APPLICATION_DATA
            or self._state is not DtlsState.CONNECTED
            or not isinstance(receiver, SctpTransport)
            or self._ssl is None
            or len(packet) < self._RECORD_HEADER
        ):
            return False
        self._RTCDtlsTransport__rx_packets += 1
        self._RTCDtlsTransport__rx_bytes += len(packet)
        self._ssl.bio_write(packet)
        end = self._RECORD_HEADER + (packet[11] << 8 | packet[12])
        try:
            receiver.shell.receive(self._ssl.recv(len(packet)))
            while end < len(packet):  # a datagram may have several records
                receiver.shell.receive(self._ssl.recv(len(packet)))
        except SSL.Error:
            return True  # not authentic, a replay, or no further record
        return True

    def send_all(self, packets: list[bytes]) -> None:
        """Send packets of data, in order.

        Raises:
            ConnectionError: The transport is not connected.
        """
        ssl = self._ssl
        if self._state is not DtlsState.CONNECTED or ssl is None:
            raise ConnectionError("DTLS is not connected")
        agent: Any = agent_of(self.transport)
        if self._batches is None:
            self._batches = ssl.get_protocol_version_name() in self.KNOWN_LAYOUTS
        at_once = self._AT_ONCE if self._batches else 1
        if len(packets) == 1:
            agent.send_all([self._encrypted(ssl, packets[0])])
            return
        for start in range(0, len(packets), at_once):
            some = packets[start : start + at_once]
            for packet in some:
                ssl.send(packet)
            size = sum(map(len, some)) + len(some) * self._OVERHEAD
            written = ssl.bio_read(size)
            records = self._records(written) if self._batches else [written]
            self._count(records)
            agent.send_all(records)

    def send_probe(self, packet: bytes) -> bool:
        """Send a packet of data that is not to be fragmented; see :meth:`IceAgent.send_probe`.

        Raises:
            ConnectionError: The transport is not connected.
        """
        ssl = self._ssl
        if self._state is not DtlsState.CONNECTED or ssl is None:
            raise ConnectionError("DTLS is not connected")
        return bool(agent_of(self.transport).send_probe(self._encrypted(ssl, packet)))

    def _encrypted(self, ssl: SSL.Connection, packet: bytes) -> bytes:
        ssl.send(packet)
        record = ssl.bio_read(len(packet) + self._OVERHEAD)
        self._RTCDtlsTransport__tx_packets += 1
        self._RTCDtlsTransport__tx_bytes += len(record)
        return record

    def send_media(self, packets: list[bytes]) -> None:
        """Send RTP packets, in order.

        Raises:
            ConnectionError: The transport is not connected.
        """
        srtp = self._tx_srtp
        if self._state is not DtlsState.CONNECTED or srtp is None:
            raise ConnectionError("DTLS is not connected")
        protected = []
        for packet in packets:
            try:
                protected.append(srtp.protect(packet))
            except SrtpError:
                logger.debug("srtp.refused size=%d", len(packet))  # too old to be sent again
        self._count(protected)
        agent_of(self.transport).send_all(protected)

    def send_control(self, packet: bytes) -> None:
        """Send an RTCP packet.

        Raises:
            ConnectionError: The transport is not connected.
        """
        srtp = self._tx_srtp
        if self._state is not DtlsState.CONNECTED or srtp is None:
            raise ConnectionError("DTLS is not connected")
        protected = srtp.protect_rtcp(packet)
        self._count([protected])
        agent_of(self.transport).send_all([protected])

    def _records(self, written: bytes) -> list[bytes]:
        """Cut what OpenSSL has written into a datagram for each record."""
        records, start = [], 0
        while start + self._RECORD_HEADER <= len(written):
            end = start + self._RECORD_HEADER + (written[start + 11] << 8 | written[start + 12])
            records.append(written[start:end])
            start = end
        return records

    def _count(self, datagrams: list[bytes]) -> None:
        self._RTCDtlsTransport__tx_packets += len(datagrams)
        self._RTCDtlsTransport__tx_bytes += sum(map(len, datagrams))


class _Tap:
    """Stands where the receiver has the queue of its decoder: sees each frame that is whole."""

    def __init__(self, receiver: "TappedReceiver", queue: Any) -> None:
        self.receiver, self.queue = receiver, queue

    def put(self, task: Any) -> None:
        """Take a frame and its codec, or the end."""
        if task is not None and self.receiver.kind == "video":
            codec, frame = task
            if not self.receiver.origin.take(codec, frame.data, frame.timestamp):
                return
        self.queue.put(task)

    def get(self) -> Any:
        """Wait for the next one, in the decoder's thread."""
        return self.queue.get()


class TappedReceiver(RTCRtpReceiver):
    """``RTCRtpReceiver`` that hands on what it receives before it is decoded.

    Pictures are whole and in order; audio comes as it arrives.
    """

    origin: Origin
    """Where it goes."""

    def tap(self) -> None:
        """Begin to hand on."""
        self.origin = Origin(self.ask_for_key_frame)
        _receivers.add(self)

    @property
    def kind(self) -> str:
        """``audio`` or ``video``."""
        kind: str = getattr(self, "_RTCRtpReceiver__kind")  # noqa: B009
        return kind

    @property
    def _RTCRtpReceiver__decoder_queue(self) -> _Tap:
        return _Tap(self, vars(self)["_RTCRtpReceiver__decoder_queue"])

    @_RTCRtpReceiver__decoder_queue.setter
    def _RTCRtpReceiver__decoder_queue(self, queue: Any) -> None:
        vars(self)["_RTCRtpReceiver__decoder_queue"] = queue

    @property
    def _RTCRtpReceiver__decoder_thread(self) -> Any:
        return vars(self)["_RTCRtpReceiver__decoder_thread"]

    @_RTCRtpReceiver__decoder_thread.setter
    def _RTCRtpReceiver__decoder_thread(self, thread: Any) -> None:
        vars(self)["_RTCRtpReceiver__decoder_thread"] = thread
        if thread is None:
            self.origin.end()

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        if self.kind == "audio" and self.origin.is_forwarded:
            codec = getattr(self, "_RTCRtpReceiver__codecs").get(packet.payload_type)  # noqa: B009
            if codec is not None and packet.payload:
                self.origin.take_sound(codec, packet.payload, packet.timestamp)
        await super()._handle_rtp_packet(packet, arrival_time_ms)

    def ask_for_key_frame(self) -> None:
        """Send a PLI (RFC 4585 section 6.3.1), if anything was received yet."""
        own = getattr(self, "_RTCRtpReceiver__rtcp_ssrc")  # noqa: B009
        repairing = getattr(self, "_RTCRtpReceiver__rtx_ssrc")  # noqa: B009
        streams = getattr(self, "_RTCRtpReceiver__remote_streams")  # noqa: B009
        media = [ssrc for ssrc in streams if ssrc not in repairing]
        if own is None or not media or not isinstance(self.transport, DtlsTransport):
            return
        request = RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI, ssrc=own, media_ssrc=media[-1])
        try:
            self.transport.send_control(bytes(request))
        except ConnectionError:
            logger.debug("receiver.pli.dropped reason=closed")


_receivers: weakref.WeakSet[TappedReceiver] = weakref.WeakSet()


def origin_of(track: MediaStreamTrack) -> Origin | None:
    """Return where a remote track comes from; ``None`` if it is no remote track of ours."""
    return next((r.origin for r in _receivers if r.track is track), None)


class _Intake:
    """Stands where aiortc has its jitter buffer for audio, and its numbering of pictures."""

    def __init__(self, receiver: "Receiver") -> None:
        self.receiver = receiver
        self.clock = FrameClock(90000)
        self.ssrc = 0

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet of audio."""
        codec = self.receiver._hidden("codecs")[packet.payload_type]
        decoding = self.receiver.decoding
        if isinstance(decoding, AudioDecoding):
            decoding.put(codec, packet)
        return False, None

    def map(self, timestamp: int) -> int:
        """Number a picture."""
        pts = self.clock.pts(asyncio.get_running_loop().time(), self.ssrc, timestamp)
        track = self.receiver._track
        if isinstance(track, RemoteTrack):
            track.times.note(pts, 90000, self.ssrc, timestamp, 90000)
        return pts


class Receiver(TappedReceiver):
    """``RTCRtpReceiver`` that plays audio by the clock, and insists on lost pictures.

    aiortc's audio stands still for 300 ms where a packet is lost, and is late for ever after. Its
    queues grow where nobody reads, and the event loop waits for its threads. It writes the
    statistics of every stream under one id: retransmissions (RFC 4588) hide what they repair.
    """

    CLOSE_TIMEOUT = 1.0
    """Seconds to wait at most for a decoder that is at something."""
    _repair: Repair | None = None
    decoding: AudioDecoding | VideoDecoding | None = None
    """The thread, once there is one."""
    _intake: _Intake

    def begin(self) -> None:
        """Take the place of aiortc's."""
        self._intake = _Intake(self)
        self._set_hidden("timestamp_mapper", self._intake)

    def _hidden(self, name: str) -> Any:
        return getattr(self, f"_RTCRtpReceiver__{name}")

    def _set_hidden(self, name: str, value: Any) -> None:
        setattr(self, f"_RTCRtpReceiver__{name}", value)

    @property
    def _track(self) -> RemoteStreamTrack | None:
        track: RemoteStreamTrack | None = self.__dict__.get("_track")
        return track

    @_track.setter
    def _track(self, track: RemoteStreamTrack | None) -> None:
        if track is not None and not isinstance(track, RemoteTrack):
            track.__class__ = RemoteTrack
            assert isinstance(track, RemoteTrack)
            track.begin()
        self.__dict__["_track"] = track

    async def receive(self, parameters: RTCRtpReceiveParameters) -> None:
        track = self._track
        if self._hidden("started") or not isinstance(track, RemoteTrack):
            return
        codecs: dict[int | None, RTCRtpCodecParameters] = self._hidden("codecs")
        codecs.update((codec.payloadType, codec) for codec in parameters.codecs)
        self._hidden("rtx_ssrc").update(
            (encoding.rtx.ssrc, encoding.ssrc) for encoding in parameters.encodings if encoding.rtx
        )
        if track.kind == "audio":
            self.decoding = AudioDecoding(track.frames, Hearing(track.times))
            self._set_hidden("jitter_buffer", self._intake)
        else:
            self.decoding = VideoDecoding(track.frames, self._hidden("decoder_error").set)
            self._set_hidden("decoder_queue", self.decoding)
            self._set_hidden("decoder_thread", self.decoding)
        self.transport._register_rtp_receiver(self, parameters)
        self._set_hidden("rtcp_task", asyncio.ensure_future(self._run_rtcp()))
        self._set_hidden("started", True)

    def _RTCRtpReceiver__stop_decoder(self) -> None:
        if self.decoding is not None:
            self.decoding.close()
        self._set_hidden("decoder_thread", None)

    async def stop(self) -> None:
        await super().stop()
        if self.decoding is not None:
            await self.decoding.closed(self.CLOSE_TIMEOUT)

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        await super()._handle_rtcp_packet(packet)
        if isinstance(packet, RtcpSrPacket) and isinstance(self._track, RemoteTrack):
            sent = packet.sender_info
            self._track.times.report(packet.ssrc, sent.ntp_timestamp, sent.rtp_timestamp)

    async def _handle_rtp_packet(self, packet: RtpPacket, arrival_time_ms: int) -> None:
        original = self._hidden("rtx_ssrc").get(packet.ssrc, packet.ssrc)
        self._intake.ssrc = original
        await super()._handle_rtp_packet(packet, arrival_time_ms)
        nacks, buffer = self._hidden("nack_generator"), self._hidden("jitter_buffer")
        if nacks is None or nacks.max_seq is None or buffer._origin is None:
            return  # audio, or nothing yet
        if self._repair is None:
            self._repair = Repair()
        now = asyncio.get_running_loop().time()
        has_gap = any(kept is None for kept in _waiting(buffer, nacks.max_seq))
        match self._repair.look(now, buffer._origin, has_gap=has_gap):
            case Step.ASK_AGAIN if nacks.missing:
                await self._send_rtcp_nack(original, sorted(nacks.missing))
            case Step.SKIP:
                buffer.remove(_unusable(_waiting(buffer, nacks.max_seq)))
                nacks.missing.clear()
                await self._send_rtcp_pli(original)
            case Step.ASK_FOR_KEY_FRAME:
                await self._send_rtcp_pli(original)

    @property
    def frames_dropped(self) -> int:
        """How many pictures were not decoded, or not read, for want of time."""
        undecoded = self.decoding.dropped if isinstance(self.decoding, VideoDecoding) else 0
        return undecoded + (self._track.dropped if isinstance(self._track, RemoteTrack) else 0)

    @property
    def audio_stats(self) -> AudioStats | None:
        """What was heard so far; ``None`` for video, and before anything is received."""
        return self.decoding.stats if isinstance(self.decoding, AudioDecoding) else None

    async def getStats(self) -> RTCStatsReport:
        report = await super().getStats()
        streams, repairing = self._hidden("remote_streams"), self._hidden("rtx_ssrc")
        media = [ssrc for ssrc in streams if ssrc not in repairing]
        for id, stats in list(report.items()):
            if not isinstance(stats, RTCInboundRtpStreamStats) or stats.ssrc not in repairing:
                continue
            if not media:
                del report[id]
                continue
            stats.ssrc, stream = media[-1], streams[media[-1]]
            stats.packetsReceived = stream.packets_received
            stats.packetsLost = stream.packets_lost
            stats.jitter = stream.jitter
        return report


def _waiting(buffer: JitterBuffer, newest: int) -> list[RtpPacket | None]:
    """Return what a jitter buffer holds up to the newest packet, in order; ``None`` for gaps."""
    origin = buffer._origin
    ahead = uint16_add(newest, 1 - (origin or 0))
    if origin is None or ahead > buffer.capacity:  # the newest one was dropped
        return []
    return [buffer._packets[(origin + i) % buffer.capacity] for i in range(ahead)]


def _unusable(waiting: list[RtpPacket | None]) -> int:
    """Return how many of these come before the first frame that is whole at its beginning."""
    after_gap = len(waiting) - waiting[::-1].index(None)
    stamps = [packet.timestamp for packet in waiting[after_gap:] if packet is not None]
    return after_gap + stamps.count(stamps[0])  # that frame may lack its beginning


class Sender(RTCRtpSender):
    """``RTCRtpSender`` with limits, that takes encoded tracks, and leaves tracks alive.

    aiortc's ends the application's track when it ends itself, and ends for good with its track.
    """

    outgoing: Outgoing
    """What does the work."""

    def begin(self) -> None:
        """Take the place of aiortc's."""
        stream = RtpStream(self._ssrc, self._rtx_ssrc)
        self.outgoing = Outgoing(self.kind, stream, self._transmit, lambda: self._enabled)
        self.outgoing.replace(self.track)

    def getParameters(self) -> RTCRtpSendParameters:
        """Return a copy of the limits in force (W3C webrtc-pc 5.2)."""
        return RTCRtpSendParameters(encodings=[replace(self.outgoing.encoding)])

    async def setParameters(self, parameters: RTCRtpSendParameters) -> None:
        """Set limits; nothing is negotiated.

        Raises:
            InvalidParameters: They make no sense; those in force stay so.

        Cancellation: safe.
        """
        self.outgoing.limit(checked(parameters))

    def replaceTrack(self, track: MediaStreamTrack | None) -> None:
        """Send another track from now on, or none; nothing is negotiated.

        The track before it is not stopped.

        Raises:
            TypeError: It is of the other kind.
        """
        if track is not None and track.kind != self.kind:
            raise TypeError(f"a sender of {self.kind} cannot send a track of {track.kind}")
        super().replaceTrack(track)
        self.outgoing.replace(track)

    async def send(self, parameters: Negotiated) -> None:
        extensions = [(extension.uri, extension.id) for extension in parameters.headerExtensions]
        self.outgoing.negotiated(parameters.codecs, extensions, parameters.muxId)
        await super().send(parameters)

    async def _run_rtp(self, codec: RTCRtpCodecParameters) -> None:
        getattr(self, "_RTCRtpSender__rtp_started").set()  # noqa: B009
        try:
            await self.outgoing.run()
        finally:
            getattr(self, "_RTCRtpSender__rtp_exited").set()  # noqa: B009

    def _transmit(self, packets: list[bytes]) -> None:
        assert isinstance(self.transport, DtlsTransport)
        self.transport.send_media(packets)
        numbers, stream = vars(self), self.outgoing.stream
        ntp, timestamp = self.outgoing.reported
        numbers["_RTCRtpSender__ntp_timestamp"] = ntp
        numbers["_RTCRtpSender__rtp_timestamp"] = timestamp
        numbers["_RTCRtpSender__packet_count"] = stream.packets
        numbers["_RTCRtpSender__octet_count"] = stream.octets

    async def _handle_rtcp_packet(self, packet: AnyRtcpPacket) -> None:
        match packet:
            case RtcpRrPacket() | RtcpSrPacket():
                await super()._handle_rtcp_packet(packet)
                rtt = getattr(self, "_RTCRtpSender__rtt")  # noqa: B009
                for report in packet.reports:
                    if report.ssrc == self._ssrc:
                        self.outgoing.reported_on(report.fraction_lost / 256, rtt)
            case RtcpRtpfbPacket(fmt=rtp.RTCP_RTPFB_NACK):
                try:
                    self.outgoing.lacks(packet.lost)
                except ConnectionError:
                    logger.debug("sender.repair.dropped reason=closed")
            case RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_PLI):
                self.outgoing.asked_for_key_frame("pli")
            case RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_FIR):
                self.outgoing.asked_for_key_frame("fir")
            case RtcpPsfbPacket(fmt=rtp.RTCP_PSFB_APP):
                try:
                    bitrate, ssrcs = unpack_remb_fci(packet.fci)
                except ValueError:
                    return  # another application's, or malformed
                if self._ssrc in ssrcs:
                    self.outgoing.estimated(bitrate)

    async def getStats(self) -> RTCStatsReport:
        report = await super().getStats()
        for id, stats in list(report.items()):
            if isinstance(stats, AiortcOutbound):
                report[id] = outbound(stats, self.outgoing)
        return report


class Transceiver(RTCRtpTransceiver):
    """``RTCRtpTransceiver`` that tells when it is changed."""

    on_change: Callable[[], None] | None = None

    @property
    def direction(self) -> str:
        return super().direction

    @direction.setter
    def direction(self, direction: str) -> None:
        changed = direction != super().direction
        RTCRtpTransceiver.direction.fset(self, direction)  # type: ignore[attr-defined]
        if changed:
            self._changed()

    async def stop(self) -> None:
        was_stopped = self.stopped
        await super().stop()
        if not was_stopped:
            self._changed()

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


@dataclass
class _Negotiated:
    """What offer and answer decided for one transceiver."""

    mid: str | None = None
    index: int | None = None
    codecs: list[Any] = field(default_factory=list)
    extensions: list[Any] = field(default_factory=list)
    offer_direction: str | None = None
    track: RemoteStreamTrack | None = None


@dataclass
class Stable:
    """The negotiated state of a connection, to come back to by a rollback."""

    transceivers: dict[RTCRtpTransceiver, _Negotiated] = field(default_factory=dict)
    has_sctp: bool = False
    sctp_mid: str | None = None
    sctp_index: int | None = None
    remote_ice: dict[Any, Any] = field(default_factory=dict)
    remote_dtls: dict[Any, Any] = field(default_factory=dict)

    def knows(self, thing: Any) -> bool:
        """Whether a transceiver, or the SCTP transport, was there already."""
        return self.has_sctp if isinstance(thing, RTCSctpTransport) else thing in self.transceivers

    def agreed_on(self, transceiver: RTCRtpTransceiver) -> tuple[list[Any], list[Any]]:
        """Return the codecs and header extensions of a transceiver; empty if there are none."""
        was = self.transceivers.get(transceiver)
        return (was.codecs, was.extensions) if was and was.mid is not None else ([], [])


def negotiated_media(transceiver: RTCRtpTransceiver) -> tuple[list[Any], list[Any]]:
    """Return the codecs and header extensions that a transceiver uses."""
    return transceiver._codecs, transceiver._headerExtensions


def set_media(transceiver: RTCRtpTransceiver, codecs: list[Any], extensions: list[Any]) -> None:
    """Set the codecs and header extensions that a transceiver uses."""
    transceiver._codecs, transceiver._headerExtensions = codecs, extensions


def prefers_codecs(transceiver: RTCRtpTransceiver) -> bool:
    """Whether ``setCodecPreferences()`` was called."""
    return bool(transceiver._preferred_codecs)


def guard(emitter: AsyncIOEventEmitter) -> None:
    """Log what a handler of this emitter raises, instead of letting it tear down a transport."""
    if not emitter.listeners("error"):
        emitter.on("error", _log_handler_error)


def _log_handler_error(error: BaseException) -> None:
    logger.error("an event handler raised %r", error, exc_info=error)


class PeerConnectionSeam(RTCPeerConnection):
    """``RTCPeerConnection`` with its private parts under names of their own."""

    def __init__(self, configuration: RTCConfiguration) -> None:
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
        agent.take = dtls.receive_now
        ice._recv, ice._send = agent.recv, agent.send
        for emitter in (gatherer, ice, dtls):
            guard(emitter)
        dtls.on("statechange", lambda: self._on_dtls_state(dtls))
        return dtls

    async def _RTCPeerConnection__connect(self) -> None:
        if not self._private("isClosed"):
            self._begin_checks()
        await _connect(self)

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
        self.sctp.begin()
        guard(self.sctp)
        self._negotiation_may_be_needed()

    def _RTCPeerConnection__createTransceiver(self, *args: Any, **kwargs: Any) -> RTCRtpTransceiver:
        transceiver: RTCRtpTransceiver = _create_transceiver(self, *args, **kwargs)
        transceiver.__class__ = Transceiver
        transceiver.receiver.__class__ = Receiver
        assert isinstance(transceiver.receiver, Receiver)
        transceiver.receiver.tap()
        transceiver.sender.__class__ = Sender
        assert isinstance(transceiver.sender, Sender)
        transceiver.sender.begin()
        assert isinstance(transceiver, Transceiver)
        transceiver.receiver.begin()
        transceiver.on_change = self._negotiation_may_be_needed
        self._negotiation_may_be_needed()
        return transceiver

    # What icefloe calls.

    def _private(self, name: str) -> Any:
        return getattr(self, f"_RTCPeerConnection__{name}")

    def _set_private(self, name: str, value: Any) -> None:
        setattr(self, f"_RTCPeerConnection__{name}", value)

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

    def _transceivers_by_index(self) -> dict[int | None, RTCRtpTransceiver]:
        return {t._get_mline_index(): t for t in self.getTransceivers()}

    def _release_index(self, index: int, mid: str) -> None:
        """Take a media section away from the stopped transceiver that another one replaces."""
        for transceiver in self.getTransceivers():
            if transceiver._get_mline_index() == index and transceiver.mid not in (None, mid):
                transceiver._set_mline_index(None)  # type: ignore[arg-type]
                # aiortc starts whatever it has remote credentials for, by its index.
                self._private("remoteIce").pop(transceiver, None)

    def _mark_bundled(self, *, one_transport: bool) -> None:
        """Note who shares a transport, whatever the order in which they were created.

        aiortc closes the transport of a bundle if the one that it was created for does not come
        first in the bundle. With ``max-bundle`` there is one transport, also for what an offer is
        about to add.
        """
        users: dict[Any, RTCDtlsTransport] = {
            t: t.receiver.transport for t in self.getTransceivers()
        }
        if self.sctp is not None:
            users[self.sctp] = self.sctp.transport
        shared = list(users.values())
        for user, transport in users.items():
            user._bundled = user._bundled or one_transport or shared.count(transport) > 1

    def _settle_unoffered(self, offered: set[str]) -> None:
        """Keep transceivers that the offer has no section for out of the answer."""
        for transceiver in self.getTransceivers():
            if transceiver.mid not in offered:
                transceiver._offerDirection = "inactive"

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
                t: _Negotiated(
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
            was = stable.transceivers.get(transceiver, _Negotiated())
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

    async def _discard_unused_transports(self) -> None:
        used = {t.receiver.transport for t in self.getTransceivers()}
        if self.sctp is not None:
            used.add(self.sctp.transport)
        for dtls in self._private("dtlsTransports") - used:
            await dtls.stop()
            await dtls.transport.stop()
            self._private("dtlsTransports").discard(dtls)
            self._private("iceTransports").discard(dtls.transport)
        for state in ("IceGatheringState", "IceConnectionState", "ConnectionState"):
            self._private(f"update{state}")()

    def _dtls_of(self, media: MediaDescription) -> RTCDtlsTransport | None:
        """Return the transport of a media section of an applied description."""
        mid = media.rtp.muxId
        if self.sctp is not None and media.kind == "application" and self.sctp.mid == mid:
            return self.sctp.transport
        return next((t.receiver.transport for t in self.getTransceivers() if t.mid == mid), None)

    def _dtls_in_use(self) -> list[RTCDtlsTransport]:
        """Return the transports that carry something, each once."""
        transports = [t.receiver.transport for t in self.getTransceivers()]
        if self.sctp is not None:
            transports.append(self.sctp.transport)
        return list(dict.fromkeys(transports))

    def _ice_transports(self) -> set[RTCIceTransport]:
        return {dtls.transport for dtls in self._dtls_in_use()}

    def _path_changed(self, *, was_lost: bool) -> None:
        if isinstance(self.sctp, SctpTransport):
            self.sctp.shell.path_changed(was_lost=was_lost)

    def _remote_max_message_size(self) -> int:
        """Return the largest message that the other side takes, in bytes; 0 is no limit."""
        return self.sctp._remote_max_message_size if self.sctp is not None else 0


_connect = RTCPeerConnection.__dict__["_RTCPeerConnection__connect"]
_create_dtls_transport = RTCPeerConnection.__dict__["_RTCPeerConnection__createDtlsTransport"]
_create_sctp_transport = RTCPeerConnection.__dict__["_RTCPeerConnection__createSctpTransport"]
_create_transceiver = RTCPeerConnection.__dict__["_RTCPeerConnection__createTransceiver"]


def describe_transport(media: MediaDescription, dtls: RTCDtlsTransport) -> None:
    """Write the transport's candidates and credentials, as they are now, into a media section."""
    add_transport_description(media, dtls)


def transport_stats(dtls: RTCDtlsTransport) -> RTCTransportStats:
    """Return what aiortc has counted of a transport."""
    (stats,) = dtls._get_stats().values()
    assert isinstance(stats, RTCTransportStats)
    return stats


def agent_of(ice: RTCIceTransport) -> Any:
    """Return the ICE agent behind a transport."""
    return ice._connection


# --- aioice -------------------------------------------------------------------------------------

REQUESTED_ADDRESS_FAMILY = "REQUESTED-ADDRESS-FAMILY"
"""The attribute of RFC 8656 section 18.6, which aioice does not know of itself."""

_FAMILY_ATTRIBUTE = (0x0017, REQUESTED_ADDRESS_FAMILY, stun.pack_unsigned, stun.unpack_unsigned)
stun.ATTRIBUTES_BY_TYPE.setdefault(0x0017, _FAMILY_ATTRIBUTE)
stun.ATTRIBUTES_BY_NAME.setdefault(REQUESTED_ADDRESS_FAMILY, _FAMILY_ATTRIBUTE)
