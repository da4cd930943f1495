"""Statistics beyond aiortc's: the path, its candidates, transports and data channels.

Names and meanings are those of W3C webrtc-stats (https://www.w3.org/TR/webrtc-stats/), except for
names with underscores, which are icefloe's own. Durations are seconds, sizes bytes. Points in time
are ``datetime`` objects, as in aiortc. A field that is ``None`` is one that W3C would leave out.
"""

import itertools
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import aiortc
from aiortc import clock
from aiortc.rtcicetransport import candidate_from_aioice
from aiortc.stats import RTCStats

from ..ice.checks.pair import NEVER, Pair, Remote
from ..ice.tcp.transport import TcpTransport
from ..rtp.receive.packet_validation import DiscardCounters

if TYPE_CHECKING:
    from .._aiortc import CountedChannel, Receiver
    from ..ice.agent import IceAgent
    from ..ice.generation import Generation

PEER_CONNECTION = "peer-connection"
"""Type and id of the entry of the connection itself."""


@dataclass
class RTCIceCandidatePairStats(RTCStats):
    """A pair of candidates (``candidate-pair``), and what is known of the path between them."""

    transportId: str
    localCandidateId: str
    """The local candidate as the remote peer sees it: behind a NAT a reflexive one."""
    remoteCandidateId: str
    state: str
    """``frozen``, ``waiting``, ``in-progress``, ``failed`` or ``succeeded``."""
    nominated: bool
    packetsSent: int
    packetsReceived: int
    bytesSent: int
    """Bytes of the datagrams, without their headers and without ICE's own."""
    bytesReceived: int
    lastPacketSentTimestamp: datetime | None
    lastPacketReceivedTimestamp: datetime | None
    totalRoundTripTime: float
    """Sum of all round trips measured, in seconds."""
    currentRoundTripTime: float | None
    """The latest round trip, in seconds."""
    requestsReceived: int
    """Checks of the remote peer, those for consent included (RFC 7675)."""
    requestsSent: int
    """Checks, without those for consent."""
    responsesReceived: int
    responsesSent: int
    consentRequestsSent: int
    availableOutgoingBitrate: int | None = None
    """Bits per second that the path of the selected pair can carry, all headers included. ``None``
    for other pairs, and while the remote peer sends no transport-wide feedback."""
    packetsDiscardedOnSend: int | None = None
    """Of a pair over TCP, datagrams that were dropped because the connection took no more."""


@dataclass
class RTCIceCandidateStats(RTCStats):
    """A candidate of this side (``local-candidate``) or of the other (``remote-candidate``)."""

    transportId: str
    address: str | None
    """``None`` for a remote one that hides behind an mDNS name."""
    port: int
    protocol: str
    candidateType: str
    """``host``, ``srflx``, ``prflx`` or ``relay``."""
    priority: int
    foundation: str
    relatedAddress: str | None
    relatedPort: int | None
    usernameFragment: str | None
    tcpType: str | None = None
    """Of a TCP candidate, RFC 6544's ``active``, ``passive`` or ``so``."""
    url: str | None = None
    """Of a local one, the server that it was learned from."""
    relayProtocol: str | None = None
    """Of a local relayed one, how its server is spoken to: ``udp``, ``tcp``, ``tls``, ``dtls``."""
    networkType: str | None = None
    """Of a local one, the kind of network; W3C took it out of what web pages may see."""


@dataclass
class RTCTransportStats(aiortc.RTCTransportStats):
    """A transport (``transport``): one, where all is bundled."""

    iceLocalUsernameFragment: str
    iceState: str
    """As ``iceConnectionState``; ``completed`` stands for ``connected`` as well."""
    selectedCandidatePairId: str | None
    selectedCandidatePairChanges: int
    datagrams_discarded: int = 0
    """Datagrams that are empty, or of no protocol that is spoken here; this field and those after
    it are not in W3C's."""
    rtp_packets_discarded: int = 0
    """RTP packets that are not authentic, came before, do not parse or belong to no track."""
    rtcp_packets_discarded: int = 0
    """RTCP packets likewise; each part of a compound packet counts by itself."""
    header_extensions_discarded: int = 0
    """Elements of RTP header extensions that do not parse; the rest of their packet is used."""


@dataclass
class RTCDataChannelStats(RTCStats):
    """A data channel (``data-channel``) that is not closed yet."""

    label: str
    protocol: str
    dataChannelIdentifier: int | None
    """``None`` before it has one."""
    state: str
    """``connecting``, ``open`` or ``closing``."""
    messagesSent: int
    """Messages that have left the channel's buffer, see ``bufferedAmount``."""
    bytesSent: int
    messagesReceived: int
    bytesReceived: int


@dataclass
class RTCPeerConnectionStats(RTCStats):
    """The connection (``peer-connection``)."""

    dataChannelsOpened: int
    """Channels that were ever open."""
    dataChannelsClosed: int
    """Those of them that no longer are."""
    data_channels_refused: int = 0
    """Channels of the remote peer that were refused, see ``max_data_channels``; not in W3C's."""


@dataclass
class RTCInboundRtpStreamStats(aiortc.RTCInboundRtpStreamStats):
    """A stream that is received (``inbound-rtp``).

    Samples are those of one channel, at the rate that the track has. ``None`` is what makes no
    sense for the kind.
    """

    jitterBufferDelay: float | None = None
    """Sum of the seconds that each sample has waited; by ``jitterBufferEmittedCount``, the mean."""
    jitterBufferTargetDelay: float | None = None
    """Likewise of the delay that was aimed at."""
    jitterBufferEmittedCount: int | None = None
    """Samples that came out of the jitter buffer."""
    totalSamplesReceived: int | None = None
    """Samples that were heard, those that were made up included."""
    concealedSamples: int | None = None
    """Samples that were made up, because theirs did not come in time."""
    silentConcealedSamples: int | None = None
    """Those of them that are silent."""
    concealmentEvents: int | None = None
    """Count of concealment events; samples concealed in a row are one."""
    insertedSamplesForDeceleration: int | None = None
    removedSamplesForAcceleration: int | None = None
    fecPacketsReceived: int | None = None
    """Packets that carried the one before them as well (Opus in-band FEC)."""
    packetsDiscarded: int | None = None
    """Packets that are malformed, or of a source that is not played; of audio also those that came
    too late or twice, or too many at once."""
    framesDropped: int | None = None
    """Pictures that were not decoded, or not read, for want of time; or refused for their size."""


class StatsWriter:
    """Writes the entries of one connection; a thing keeps its id from report to report."""

    def __init__(self) -> None:
        self._numbers: WeakKeyDictionary[object, int] = WeakKeyDictionary()
        self._next_number = itertools.count(1)
        self._origin: datetime | None = None

    def id(self, kind: str, thing: object) -> str:
        """Return the id of a thing; no other of this connection ever has it."""
        number = self._numbers.get(thing)
        if number is None:
            number = self._numbers[thing] = next(self._next_number)
        return f"{kind}_{number}"

    def transport(
        self,
        known: aiortc.RTCTransportStats,
        agent: "IceAgent",
        now: float,
        discarded: DiscardCounters | None = None,
        available_bitrate: int | None = None,
    ) -> Iterator[RTCStats]:
        """Write a transport, its candidates and their pairs.

        Args:
            known: What aiortc knows of the transport.
            agent: Its ICE agent.
            now: The time of the event loop's clock, in seconds.
            discarded: What was dropped of what came.
            available_bitrate: Estimate of the bandwidth, in bits per second.
        """
        discarded = discarded or DiscardCounters()
        used, selected = agent.generation, agent.selected_pair
        selected_id = self.id("candidate-pair", selected) if selected else None
        yield RTCTransportStats(
            **vars(known),
            iceLocalUsernameFragment=(
                used.checks.credentials.local_username if used else agent.local_username
            ),
            iceState=str(agent.state),
            selectedCandidatePairId=selected_id,
            selectedCandidatePairChanges=agent.selected_pair_changes,
            datagrams_discarded=discarded.datagrams,
            rtp_packets_discarded=discarded.rtp,
            rtcp_packets_discarded=discarded.rtcp,
            header_extensions_discarded=discarded.extensions,
        )
        if self._origin is None:
            # As a browser's: a clock that is set meanwhile does not move what has happened.
            self._origin = known.timestamp - timedelta(seconds=now)
        for generation in agent.generations:
            for stats in self._generation(generation, known.id, known.timestamp):
                if stats.id == selected_id and isinstance(stats, RTCIceCandidatePairStats):
                    stats.availableOutgoingBitrate = available_bitrate
                yield stats

    def _generation(
        self, generation: "Generation", transport_id: str, timestamp: datetime
    ) -> Iterator[RTCStats]:
        checks = generation.checks
        pairs = list(checks.list)
        # What the remote peer sees of this one may be in no list, but in the pair.
        seen = [c for pair in pairs for c in (pair.local, pair.valid_local)]
        for local in dict.fromkeys([*generation.local_candidates, *seen]):
            stats = RTCIceCandidateStats(
                timestamp,
                "local-candidate",
                self.id("local-candidate", local),
                transport_id,
                local.host,
                *_described(candidate_from_aioice(local)),
                usernameFragment=checks.credentials.local_username,
                url=local.url,
                networkType=str(local.network_type),
                tcpType=local.tcptype,
            )
            if local.relay_protocol is not None:
                stats.relayProtocol = str(local.relay_protocol)
            yield stats
        for remote in dict.fromkeys([*checks.list.remotes.values(), *(p.remote for p in pairs)]):
            yield RTCIceCandidateStats(
                timestamp,
                "remote-candidate",
                self.id("remote-candidate", remote),
                transport_id,
                _shown(remote),
                *_described(remote.candidate),
                usernameFragment=checks.credentials.remote_username,
                tcpType=remote.candidate.tcpType,
            )
        for pair in pairs:
            yield self._pair(pair, transport_id, timestamp)

    def _pair(self, pair: Pair, transport_id: str, timestamp: datetime) -> RTCStats:
        return RTCIceCandidatePairStats(
            timestamp,
            "candidate-pair",
            self.id("candidate-pair", pair),
            transportId=transport_id,
            localCandidateId=self.id("local-candidate", pair.valid_local),
            remoteCandidateId=self.id("remote-candidate", pair.remote),
            state=str(pair.state),
            nominated=pair.nominated,
            packetsSent=pair.packets_sent,
            packetsReceived=pair.packets_received,
            bytesSent=pair.bytes_sent,
            bytesReceived=pair.bytes_received,
            lastPacketSentTimestamp=self._date(pair.last_packet_sent_at),
            lastPacketReceivedTimestamp=self._date(pair.last_packet_received_at),
            totalRoundTripTime=pair.total_round_trip_time,
            currentRoundTripTime=pair.current_round_trip_time,
            requestsReceived=pair.requests_received,
            requestsSent=pair.requests_sent,
            responsesReceived=pair.responses_received,
            responsesSent=pair.responses_sent,
            consentRequestsSent=pair.consent_requests_sent,
            packetsDiscardedOnSend=_discarded_on_send(pair),
        )

    def _date(self, seconds: float) -> datetime | None:
        if seconds == NEVER or self._origin is None:
            return None
        return self._origin + timedelta(seconds=seconds)

    def inbound(self, receiver: "Receiver", known: aiortc.RTCInboundRtpStreamStats) -> RTCStats:
        """Write what is received.

        Args:
            receiver: Who receives it.
            known: What aiortc knows of it.
        """
        fields = vars(known)
        heard = receiver.audio_stats
        if heard is not None:
            counts = asdict(heard)
            counts["packetsDiscarded"] += receiver.packets_discarded
            return RTCInboundRtpStreamStats(**fields, **counts)
        return RTCInboundRtpStreamStats(
            **fields,
            packetsDiscarded=receiver.packets_discarded,
            framesDropped=receiver.frames_dropped,
        )

    def channel(self, channel: "CountedChannel") -> RTCStats:
        """Write a data channel."""
        return RTCDataChannelStats(
            clock.current_datetime(),
            "data-channel",
            self.id("data-channel", channel),
            label=channel.label,
            protocol=channel.protocol,
            dataChannelIdentifier=channel.id,
            state=channel.readyState,
            messagesSent=channel.messages_sent,
            bytesSent=channel.bytes_sent,
            messagesReceived=channel.messages_received,
            bytesReceived=channel.bytes_received,
        )

    def connection(self, opened: int, closed: int, refused: int) -> RTCStats:
        """Write the connection itself.

        Args:
            opened: Data channels that were ever open.
            closed: Those of them that no longer are.
            refused: Those of the remote peer that were refused.
        """
        return RTCPeerConnectionStats(
            clock.current_datetime(), PEER_CONNECTION, PEER_CONNECTION, opened, closed, refused
        )


def _described(
    candidate: aiortc.RTCIceCandidate,
) -> tuple[int, str, str, int, str, str | None, int | None]:
    return (
        candidate.port,
        candidate.protocol.lower(),
        candidate.type,
        candidate.priority,
        candidate.foundation,
        candidate.relatedAddress,
        candidate.relatedPort,
    )


def _discarded_on_send(pair: Pair) -> int | None:
    transport = pair.local.base.transport
    return transport.dropped(pair.remote.address) if isinstance(transport, TcpTransport) else None


def _shown(remote: Remote) -> str | None:
    # W3C hides as well what was learned from a check alone, from a web page. Here the program is
    # the user agent, which has the address from its own socket.
    return None if remote.is_named else remote.address[0]
