# Longer than 400 lines: one class in the place of one of aiortc's, with all that passes through it.
"""The DTLS transport: data and media without a coroutine for each packet."""

import asyncio
import secrets
from collections.abc import Callable
from functools import cached_property
from typing import Any, cast

from aiortc import (
    RTCCertificate,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCTransportStats,
)
from aiortc.rtcdtlstransport import X509_DIGEST_ALGORITHMS, State as DtlsState, certificate_digest
from aiortc.rtp import RtpPacket, is_rtcp
from OpenSSL import SSL
from pylibsrtp import Error as SrtpError

from icefloe.logs import get_logger

from ..diagnosis.facts import DtlsFacts, DtlsProblem
from ..rtp.congestion import ccfb
from ..rtp.congestion.ccfb import CongestionFeedback
from ..rtp.congestion.errors import MalformedFeedback
from ..rtp.congestion.feedback_recorder import FeedbackRecorder
from ..rtp.congestion.stream_recorder import StreamRecorder
from ..rtp.congestion.transport_feedback import TransportFeedback
from ..rtp.receive.packet_validation import (
    DiscardCounters,
    HeaderExtensionParser,
    SrtpReceiver,
    fir_ssrcs,
    read_rtcp,
    read_rtp,
)
from ..rtp.send.allocation import DATAGRAM_OVERHEAD
from ..rtp.send.congestion_controller import CongestionController
from ..rtp.send.data_share import DataProgress
from ..rtp.send.rtp_stream import ntp_time
from .certificate import Certificate
from .ice import agent_of
from .lazy_srtp import LazySrtp, Sessions

logger = get_logger(__name__)


class DtlsTransport(RTCDtlsTransport):
    """``RTCDtlsTransport`` that carries data without a coroutine for each packet.

    What arrives of RTP and RTCP and is of no use is dropped and counted; aiortc's ends with the
    first packet that its parsers did not expect.
    """

    discarded: DiscardCounters
    """Datagrams and packets dropped so far, by reason."""
    _stream_recorder: StreamRecorder | None = None
    """Records packets if feedback of RFC 8888 was negotiated."""
    _ntp_offset = 0
    _feedback_timer: asyncio.TimerHandle | None = None
    _feedback_at = 0.0
    _fingerprints: tuple[RTCDtlsFingerprint, ...] = ()
    _learned: set[int]
    _failures: int
    problem = DtlsProblem.NONE
    """The reason of the state ``failed``."""
    _began_at: float | None = None
    _handshake_received = 0
    _handshake_largest = 0
    _hello_received = False
    _sharing: tuple[Callable[[], DataProgress], Callable[[float], None]] | None = None
    _uses_stream_feedback = False

    take_data: Callable[[bytes], None] | None = None
    """Takes each packet of data, while there is somebody to take it."""
    _APPLICATION_DATA = 23
    _HANDSHAKE = 22
    _RTP_HEADER = 12
    """Bytes of an RTP header without sources and extensions (RFC 3550 section 5.1)."""
    _RECORD_HEADER = 13
    """Bytes before a record's content (RFC 6347 section 4.1)."""
    KNOWN_LAYOUTS = frozenset({"DTLSv1", "DTLSv1.2"})
    """Versions whose records begin with such a header: RFC 9147 gives DTLS 1.3 another one."""
    _batches: bool | None = None
    _AT_ONCE = 40
    """Packets encrypted before they are sent."""
    _OVERHEAD = 128
    """Bytes by which a record is longer than its content, at most."""
    _RTCDtlsTransport__local_certificate: RTCCertificate
    _RTCDtlsTransport__rx_bytes: int
    _RTCDtlsTransport__rx_packets: int
    _RTCDtlsTransport__tx_bytes: int
    _RTCDtlsTransport__tx_packets: int

    def getLocalParameters(self) -> RTCDtlsParameters:
        """Return the fingerprint with the hash of the certificate's signature (RFC 8829 5.2.1).

        aiortc tells those with other hashes as well, as RFC 8122 allows. When ICE is fast,
        libdatachannel sometimes compares one with the certificate by the hash of another.
        """
        if not self._fingerprints:  # descriptions ask for it once for each media section
            certificate = self._RTCDtlsTransport__local_certificate
            value = certificate_digest(certificate._cert, "sha-256")
            self._fingerprints = (RTCDtlsFingerprint("sha-256", value),)
        return RTCDtlsParameters(list(self._fingerprints))

    def begin(self) -> None:
        """Take the place of aiortc's."""
        self.discarded = DiscardCounters()
        self._rtp_header_extensions_map = HeaderExtensionParser(self.discarded)
        self._learned = set()
        self._failures = 0

    def use_stream_feedback(self, *, enabled: bool) -> None:
        """Send the feedback of RFC 8888, or no more of it, and expect it.

        Args:
            enabled: Whether it was negotiated.
        """
        self._uses_stream_feedback = enabled
        if "congestion" in self.__dict__:
            self.congestion.use_stream_feedback(enabled=enabled)
        if not enabled:
            self._stream_recorder = None
        elif self._stream_recorder is None:
            self._stream_recorder = StreamRecorder(self._recorder.sender_ssrc)
            # From here on as the monotonic clock has it, which is not set.
            self._ntp_offset = ntp_time() - _as_ntp(asyncio.get_running_loop().time())

    @cached_property
    def congestion(self) -> CongestionController:
        """Congestion control of the media that is sent; made when there is some."""
        made = CongestionController(self.send_media)
        made.use_stream_feedback(enabled=self._uses_stream_feedback)
        if self._sharing is not None:
            made.begin_sharing(*self._sharing)
        return made

    @cached_property
    def _recorder(self) -> FeedbackRecorder:
        return FeedbackRecorder(secrets.randbits(32))

    @property
    def available_bitrate(self) -> int | None:
        """The estimate for what is sent, in bits per second; ``None`` without feedback."""
        return self.congestion.available_bitrate if "congestion" in self.__dict__ else None

    def begin_sharing(
        self, progress: Callable[[], DataProgress], limit: Callable[[float], None]
    ) -> None:
        """Share the capacity with data channels; see :class:`CongestionController`."""
        self._sharing = progress, limit
        if "congestion" in self.__dict__:
            self.congestion.begin_sharing(progress, limit)

    def end_sharing(self) -> None:
        """Note that there are no data channels any more. Idempotent."""
        self._sharing = None
        if "congestion" in self.__dict__:
            self.congestion.end_sharing()

    async def stop(self) -> None:
        if "congestion" in self.__dict__:
            self.congestion.close()
        if self._feedback_timer is not None:
            self._feedback_timer.cancel()
        await super().stop()

    async def _do_handshake(self) -> None:
        certificate, ssl = self._RTCDtlsTransport__local_certificate, self._ssl
        if isinstance(certificate, Certificate) and ssl is not None:
            certificate.use(ssl)
        self._began_at = asyncio.get_running_loop().time()
        await super()._do_handshake()

    def _validate_peer_identity(self, remoteParameters: RTCDtlsParameters) -> None:
        """Compare the certificate with the fingerprints; one of them must be right.

        RFC 8122 section 5: a description may have those of several certificates, of which the peer
        uses one. aiortc wants all of them to be right. Of a failure the peer is told: for it the
        handshake has succeeded, and it would send its media to nobody.
        """
        ssl, told = self._ssl, remoteParameters.fingerprints
        certificate = ssl.get_peer_certificate(as_cryptography=True) if ssl is not None else None
        if ssl is None or certificate is None:
            self._set_state(DtlsState.FAILED)
            return
        right = [
            each
            for each in told
            if each.algorithm.lower() in X509_DIGEST_ALGORITHMS
            and certificate_digest(certificate, each.algorithm.lower()) == each.value.upper()
        ]
        if not right:
            self.problem = DtlsProblem.FINGERPRINT
            super()._validate_peer_identity(RTCDtlsParameters(told))
        if self._state is DtlsState.FAILED:
            try:
                ssl.shutdown()
                if (path := agent_of(self.transport).path) is not None:
                    path.send_all([ssl.bio_read(self._OVERHEAD)])
            except (SSL.Error, ConnectionError) as error:
                logger.debug("dtls.alert.dropped reason=%s", error)

    def _setup_srtp(self) -> None:
        ssl = self._ssl
        agreed = ssl.get_selected_srtp_profile() if ssl is not None else b""
        if any(agreed == known.openssl_profile for known in self._srtp_profiles):
            self._rx_srtp = self._tx_srtp = LazySrtp(self._make_srtp)  # type: ignore[assignment]
        else:
            self.problem = DtlsProblem.SRTP_PROFILE
            super()._setup_srtp()  # which says what is wrong

    def _set_state(self, state: DtlsState) -> None:
        if state is DtlsState.FAILED and self.problem is DtlsProblem.NONE:
            self.problem = DtlsProblem.HANDSHAKE
        super()._set_state(state)

    def facts(self, now: float, *, remote_role: str) -> DtlsFacts:
        """Return what is known of the handshake.

        Args:
            now: The time of the event loop.
            remote_role: The role that the remote description claims.
        """
        return DtlsFacts(
            state=self.state,
            problem=self.problem,
            role=self._role,
            remote_role=remote_role,
            seconds=now - self._began_at if self._began_at is not None else 0.0,
            received=self._handshake_received,
            largest_received=self._handshake_largest,
            hello_received=self._hello_received,
            sent=self._RTCDtlsTransport__tx_packets,
        )

    def _note_handshake(self, packet: bytes) -> None:
        """Count a datagram of the handshake, for a diagnosis."""
        self._handshake_received += 1
        self._handshake_largest = max(self._handshake_largest, len(packet))
        hello = packet[0] == self._HANDSHAKE and packet[self._RECORD_HEADER :][:1] == b"\x01"
        self._hello_received = self._hello_received or hello

    def _make_srtp(self) -> tuple[Sessions, Sessions]:
        """Make the SRTP sessions, unless they were made; return those that send and receive."""
        if isinstance(self._tx_srtp, LazySrtp):
            try:
                super()._setup_srtp()
            except SSL.Error as error:
                raise SrtpError("no keys") from error
            receiver = SrtpReceiver(self._rx_srtp, self.discarded, self._forget)
            self._rx_srtp = receiver  # type: ignore[assignment]
        return cast("Sessions", self._tx_srtp), cast("Sessions", self._rx_srtp)

    def _forget(self, ssrc: int) -> None:
        """Forget a source that was learned from its packets."""
        if ssrc in self._learned:
            self._learned.discard(ssrc)
            self._rtp_router.ssrc_table.pop(ssrc, None)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        router = self._rtp_router
        congestion_feedback: list[bytes] = []
        for packet in read_rtcp(data, self.discarded, congestion_feedback):
            recipients = router.route_rtcp(packet)
            for ssrc in fir_ssrcs(packet):
                if ssrc in router.senders:
                    recipients.add(router.senders[ssrc])
            for recipient in recipients:
                try:
                    await recipient._handle_rtcp_packet(packet)
                except Exception:
                    self.discarded.rtcp += 1
                    self._failed("RTCP")

        for part in congestion_feedback:
            try:
                if part[0] & 31 == ccfb.FORMAT:
                    self.congestion.on_stream_feedback(CongestionFeedback.parse(part))
                else:
                    self.congestion.on_feedback(TransportFeedback.parse(part))
            except MalformedFeedback as error:
                self.discarded.rtcp += 1
                logger.debug("rtcp.dropped type=congestion-feedback reason=%s", error)

    def _record(self, number: int, packet: RtpPacket, size: int) -> None:
        """Record the arrival of a packet with a transport-wide sequence number."""
        loop = asyncio.get_running_loop()
        self._recorder.on_packet(number, loop.time(), size + DATAGRAM_OVERHEAD, packet.ssrc)
        self._schedule_feedback(loop)

    def _record_by_stream(self, recorder: StreamRecorder, packet: RtpPacket, size: int) -> None:
        loop = asyncio.get_running_loop()
        size += DATAGRAM_OVERHEAD
        recorder.on_packet(packet.ssrc, packet.sequence_number, loop.time(), size)
        self._schedule_feedback(loop)

    def _schedule_feedback(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._recorder.deadline
        if self._stream_recorder is not None:
            due = min(due, self._stream_recorder.deadline)
        if due == float("inf") or self._state is not DtlsState.CONNECTED:
            return
        if self._feedback_timer is None or due < self._feedback_at:
            if self._feedback_timer is not None:
                self._feedback_timer.cancel()
            self._feedback_timer = loop.call_at(due, self._send_feedback)
            self._feedback_at = due

    def _send_feedback(self) -> None:
        self._feedback_timer = None
        loop = asyncio.get_running_loop()
        try:
            now = loop.time()
            for packet in self._recorder.handle_timeout(now):
                self.send_control(packet)
            if (recorder := self._stream_recorder) is not None:
                for packet in recorder.handle_timeout(now, _as_ntp(now) + self._ntp_offset):
                    self.send_control(packet)
        except ConnectionError:
            logger.debug("rtcp.feedback.dropped reason=closed")
            return
        self._schedule_feedback(loop)

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        packet, receiver = self._routed(data)
        if packet is None or receiver is None:
            return
        # aiortc gives the wall clock's, and its estimate goes through each millisecond of a leap.
        arrived = round(asyncio.get_running_loop().time() * 1000)
        try:
            await receiver._handle_rtp_packet(packet, arrival_time_ms=arrived)
        except Exception:
            self.discarded.rtp += 1
            self._failed("RTP")

    def _take_audio(self, datagram: bytes) -> bool:
        """Take an RTP packet of a known source of audio, which needs no answer.

        Returns:
            Whether it was one; otherwise it goes through :meth:`_recv_next`.
        """
        srtp = self._rx_srtp
        if len(datagram) < self._RTP_HEADER or srtp is None or is_rtcp(datagram):
            return False
        known = self._rtp_router.ssrc_table.get(int.from_bytes(datagram[8:12], "big"))
        if self._state is not DtlsState.CONNECTED or not getattr(known, "takes_audio", False):
            return False
        self._RTCDtlsTransport__rx_packets += 1
        self._RTCDtlsTransport__rx_bytes += len(datagram)
        try:
            packet, receiver = self._routed(srtp.unprotect(datagram))
        except SrtpError as error:
            logger.debug("srtp.dropped reason=%s", error)
            return True
        if packet is None or receiver is None:
            return True
        try:
            receiver.take_audio(packet)
        except Exception:
            self.discarded.rtp += 1
            self._failed("RTP")
        return True

    def _routed(self, data: bytes) -> tuple[RtpPacket | None, Any]:
        """Record an RTP packet that came; return it and who receives it, or ``None``."""
        packet = read_rtp(data, self._rtp_header_extensions_map, self.discarded)
        if packet is None:
            return None, None
        if (number := packet.extensions.transport_sequence_number) is not None:
            self._record(number, packet, len(data))
        if self._stream_recorder is not None:
            self._record_by_stream(self._stream_recorder, packet, len(data))
        receiver = self._receiver_of(packet)
        if receiver is None:
            self.discarded.rtp += 1
            logger.debug("rtp.dropped ssrc=%d type=%d", packet.ssrc, packet.payload_type)
        return packet, receiver

    def _receiver_of(self, packet: RtpPacket) -> Any:
        """Return who receives a packet (RFC 8843 section 9.2); ``None`` if nobody does."""
        router, ssrc, mid = self._rtp_router, packet.ssrc, packet.extensions.mid
        if ssrc in router.ssrc_table:
            return router.route_rtp(packet)
        named = None if mid is None else router.mid_table.get(mid)
        if named is not None and named in router.payload_type_table.get(packet.payload_type, ()):
            router.ssrc_table[ssrc] = named
        receiver = router.route_rtp(packet)
        if ssrc in router.ssrc_table:
            self._learned.add(ssrc)
        return receiver

    def _failed(self, what: str) -> None:
        """Log that a packet could not be handled: the first time, the tenth and so on."""
        self._failures += 1
        if str(self._failures).strip("0") == "1":
            logger.exception("%s could not be handled, for the time %d", what, self._failures)

    def receive_now(self, packet: bytes) -> bool:
        """Take a datagram if it carries data or audio of a connection that is established.

        Returns:
            Whether it was taken; otherwise it goes through :meth:`_recv_next`, as pictures,
            reports, handshakes and alerts do.
        """
        take = self.take_data
        if not packet or not (19 < packet[0] < 64 or 127 < packet[0] < 192):
            self.discarded.datagrams += 1
            return True
        if packet[0] > 127:
            return self._take_audio(packet)
        if packet[0] < 64 and self._state is not DtlsState.CONNECTED:
            self._note_handshake(packet)
        if (
            packet[0] != self._APPLICATION_DATA
            or self._state is not DtlsState.CONNECTED
            or take is None
            or self._ssl is None
            or len(packet) < self._RECORD_HEADER
        ):
            return False
        self._RTCDtlsTransport__rx_packets += 1
        self._RTCDtlsTransport__rx_bytes += len(packet)
        self._ssl.bio_write(packet)
        end = self._RECORD_HEADER + (packet[11] << 8 | packet[12])
        try:
            take(self._ssl.recv(len(packet)))
            while end < len(packet):  # a datagram may have several records
                take(self._ssl.recv(len(packet)))
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
        if self._batches is None:
            self._batches = ssl.get_protocol_version_name() in self.KNOWN_LAYOUTS
        at_once = self._AT_ONCE if self._batches else 1
        if len(packets) == 1:
            self._send([self._encrypted(ssl, packets[0])])
            return
        for start in range(0, len(packets), at_once):
            some = packets[start : start + at_once]
            for packet in some:
                ssl.send(packet)
            size = sum(map(len, some)) + len(some) * self._OVERHEAD
            written = ssl.bio_read(size)
            records = self._records(written) if self._batches else [written]
            self._count(records)
            self._send(records)

    def send_probe(self, packet: bytes) -> bool:
        """Send a packet of data that is not to be fragmented; see :meth:`Generation.send_probe`.

        Raises:
            ConnectionError: The transport is not connected.
        """
        ssl = self._ssl
        if self._state is not DtlsState.CONNECTED or ssl is None:
            raise ConnectionError("DTLS is not connected")
        path = agent_of(self.transport).path
        return path is None or bool(path.send_probe(self._encrypted(ssl, packet)))

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
            except (SrtpError, ValueError):
                logger.debug("srtp.refused size=%d", len(packet))  # too old to be sent again
        self._count(protected)
        self._send(protected)

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
        self._send([protected])

    def _send(self, datagrams: list[bytes]) -> None:
        """Send datagrams over the path in use; they are dropped while there is none."""
        path = agent_of(self.transport).path
        if path is not None:
            path.send_all(datagrams)

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


def _as_ntp(seconds: float) -> int:
    """Return seconds of any clock in the units of a 64-bit NTP timestamp."""
    return int(seconds * (1 << 32))


def transport_stats(dtls: RTCDtlsTransport) -> RTCTransportStats:
    """Return what aiortc has counted of a transport."""
    (stats,) = dtls._get_stats().values()
    assert isinstance(stats, RTCTransportStats)
    return stats
