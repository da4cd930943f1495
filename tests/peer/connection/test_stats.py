"""getStats(): what is counted is what was sent, and every id leads to its entry."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiortc import (
    RTCBundlePolicy,
    RTCDataChannel,
    RTCIceCandidate,
    RTCIceServer,
    RTCIceTransportPolicy,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.stats import RTCInboundRtpStreamStats, RTCStats, RTCStatsReport

from icefloe.peer import (
    PeerConfiguration,
    PeerConnection,
    RTCDataChannelStats,
    RTCIceCandidatePairStats,
    RTCIceCandidateStats,
    RTCOutboundRtpStreamStats,
    RTCPeerConnectionStats,
    RTCTransportStats,
)
from icefloe.peer._aiortc import agent_of
from tests.helpers.netns import ADDRESS
from tests.helpers.pairs import closing, connected, negotiate, opened, until
from tests.helpers.proxy import HOST, Proxy, proxy
from tests.helpers.turn import PASSWORD, USER, coturn

DOCUMENT = Path(__file__).parents[3] / "docs" / "statistics.md"

Entry = TypeVar("Entry", bound=RTCStats)

W3C: dict[type, str] = {
    RTCIceCandidatePairStats: """
        transportId localCandidateId remoteCandidateId state nominated packetsSent packetsReceived
        bytesSent bytesReceived lastPacketSentTimestamp lastPacketReceivedTimestamp
        totalRoundTripTime currentRoundTripTime availableOutgoingBitrate availableIncomingBitrate
        requestsReceived requestsSent responsesReceived responsesSent consentRequestsSent
        packetsDiscardedOnSend bytesDiscardedOnSend
    """,
    # networkType: in the specification until W3C hid it from web pages.
    RTCIceCandidateStats: """
        transportId address port protocol candidateType priority url relayProtocol foundation
        relatedAddress relatedPort usernameFragment tcpType networkType
    """,
    RTCTransportStats: """
        packetsSent packetsReceived bytesSent bytesReceived iceRole iceLocalUsernameFragment
        dtlsState iceState selectedCandidatePairId localCertificateId remoteCertificateId tlsVersion
        dtlsCipher dtlsRole srtpCipher selectedCandidatePairChanges
    """,
    RTCDataChannelStats: """
        label protocol dataChannelIdentifier state messagesSent bytesSent messagesReceived
        bytesReceived
    """,
    # trackId: aiortc's, from an earlier draft.
    RTCOutboundRtpStreamStats: """
        ssrc kind transportId packetsSent bytesSent trackId mid active framesSent framesEncoded
        keyFramesEncoded frameWidth frameHeight targetBitrate encoderImplementation
        powerEfficientEncoder retransmittedPacketsSent retransmittedBytesSent
        totalPacketSendDelay nackCount pliCount firCount qualityLimitationReason
        qualityLimitationDurations qualityLimitationResolutionChanges
    """,
    RTCPeerConnectionStats: "dataChannelsOpened dataChannelsClosed",
}
"""The members of the dictionaries of W3C webrtc-stats."""

BEYOND: dict[type, str] = {
    RTCTransportStats: """
        datagrams_discarded rtp_packets_discarded rtcp_packets_discarded header_extensions_discarded
    """,
    RTCOutboundRtpStreamStats: """
        frames_refused frames_skipped retransmissions_refused padding_packets_sent
        padding_bytes_sent
    """,
    RTCPeerConnectionStats: "data_channels_refused",
}
"""Those for which W3C has no name; the document says so."""


@pytest.mark.parametrize("cls", W3C)
def test_every_field_has_a_name_of_w3c(cls: type[RTCStats]) -> None:
    names = {field.name for field in fields(cls)}
    known = set(W3C[cls].split()) | set(BEYOND.get(cls, "").split())
    assert names - {"timestamp", "type", "id"} <= known


@pytest.mark.parametrize("cls", W3C)
def test_every_field_is_in_the_document(cls: type[RTCStats]) -> None:
    row = next(line for line in DOCUMENT.read_text().splitlines() if f"`{cls.__name__}`" in line)
    assert {field.name for field in fields(cls)} - {"timestamp", "type", "id"} == set(
        re.findall(r"`(\w+)`", row.split("|")[3])
    )


# --- helpers


def only(report: RTCStatsReport, cls: type[Entry]) -> Entry:
    (entry,) = every(report, cls)
    return entry


def every(report: RTCStatsReport, cls: type[Entry]) -> list[Entry]:
    return [entry for entry in report.values() if isinstance(entry, cls)]


def selected(report: RTCStatsReport) -> RTCIceCandidatePairStats:
    pair = report[only(report, RTCTransportStats).selectedCandidatePairId]
    assert isinstance(pair, RTCIceCandidatePairStats)
    return pair


@dataclass
class Call:
    """Two connected peers with a channel between them, which sends back what comes."""

    a: PeerConnection
    b: PeerConnection
    channel: RTCDataChannel

    async def echo(self, message: str | bytes) -> str | bytes:
        answer: asyncio.Future[str | bytes] = asyncio.get_running_loop().create_future()
        self.channel.once("message", answer.set_result)
        self.channel.send(message)
        return await answer

    async def at_rest(self) -> tuple[RTCStatsReport, RTCStatsReport]:
        """Wait until what either transport has sent has reached the other."""
        while True:
            one, other = await self.a.getStats(), await self.b.getStats()
            x, y = only(one, RTCTransportStats), only(other, RTCTransportStats)
            if (x.packetsSent, y.packetsSent) == (y.packetsReceived, x.packetsReceived):
                assert (x.bytesSent, y.bytesSent) == (y.bytesReceived, x.bytesReceived)
                return one, other
            await asyncio.sleep(0.01)


@asynccontextmanager
async def call(label: str = "echo") -> AsyncIterator[Call]:
    a, b = PeerConnection(), PeerConnection()
    b.on("datachannel", lambda channel: channel.on("message", channel.send))
    channel = a.createDataChannel(label, protocol="p")
    async with closing(a, b):
        await negotiate(a, b)
        await opened(channel)
        await connected(a, b)
        yield Call(a, b, channel)


def without_candidates(description: RTCSessionDescription) -> RTCSessionDescription:
    sdp = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", description.sdp)
    return RTCSessionDescription(sdp=sdp, type=description.type)


async def negotiate_through(between: Proxy, a: PeerConnection, b: PeerConnection) -> None:
    """Connect two peers: ``b`` knows the proxy in the place of ``a``, and ``a`` knows nothing."""
    await a.setLocalDescription()
    found = re.search(rf"a=candidate:.* {re.escape(HOST)} (\d+) typ host", a.localDescription.sdp)
    assert found is not None
    between.target = (HOST, int(found[1]))
    await b.setRemoteDescription(without_candidates(a.localDescription))
    stand_in = f"candidate:1 1 udp 2130706431 {HOST} {between.port} typ host"
    await b.addIceCandidate({"candidate": stand_in, "sdpMid": "0"})
    await b.setLocalDescription()
    await a.setRemoteDescription(without_candidates(b.localDescription))
    await connected(a, b)


# --- in every state


async def test_there_is_a_report_in_every_state() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        assert list(await a.getStats()) == ["peer-connection"]
        channel = a.createDataChannel("x")
        transport = only(await a.getStats(), RTCTransportStats)
        assert (transport.iceState, transport.dtlsState) == ("new", "new")
        assert transport.selectedCandidatePairId is None
        await a.setLocalDescription()
        gathered = every(await a.getStats(), RTCIceCandidateStats)
        assert {c.type for c in gathered} == {"local-candidate"}
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await opened(channel)
        transport = only(await a.getStats(), RTCTransportStats)
        assert (transport.iceState, transport.dtlsState) == ("completed", "connected")
    report = await a.getStats()
    assert only(report, RTCTransportStats).iceState == "closed"
    assert only(report, RTCPeerConnectionStats).dataChannelsClosed == 1
    assert every(report, RTCDataChannelStats) == []


async def test_a_connection_that_failed_shows_what_was_tried() -> None:
    impatient = PeerConfiguration(patience=0.2, checking_timeout=0.3)
    a, b = PeerConnection(impatient), PeerConnection()
    a.createDataChannel("x")
    async with closing(a, b):
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        answer = b.localDescription
        await b.close()
        await a.setRemoteDescription(answer)
        await until(a, "connectionstatechange", lambda: a.connectionState == "failed")
        report = await a.getStats()
    transport = only(report, RTCTransportStats)
    assert (transport.iceState, transport.selectedCandidatePairId) == ("failed", None)
    pairs = every(report, RTCIceCandidatePairStats)
    assert pairs
    assert all(pair.requestsSent > 0 == pair.responsesReceived for pair in pairs)


# --- ids


def references(entry: RTCStats) -> Iterable[str]:
    return (
        value
        for name, value in vars(entry).items()
        if name.endswith("Id") and name != "trackId" and value is not None
    )


async def test_every_id_leads_to_its_entry_and_stays() -> None:
    async with call() as pair:
        first = await pair.a.getStats()
        await pair.echo("x")
        second = await pair.a.getStats()
    assert set(first) <= set(second)
    for report in (first, second):
        for id, entry in report.items():
            assert entry.id == id
            assert set(references(entry)) <= set(report)
    types = {entry.type for entry in first.values()}
    assert {"candidate-pair", "local-candidate", "remote-candidate"} <= types
    assert {"data-channel", "peer-connection", "transport"} <= types


async def test_a_report_can_be_written_as_json() -> None:
    async with call() as pair:
        report = await pair.a.getStats()
    text = json.dumps({id: asdict(entry) for id, entry in report.items()}, default=str)
    assert set(json.loads(text)) == set(report)


async def test_media_without_a_bundle_has_several_transports() -> None:
    configuration = PeerConfiguration(bundlePolicy=RTCBundlePolicy.BALANCED)
    a, b = PeerConnection(configuration), PeerConnection(configuration)
    a.addTrack(AudioStreamTrack())
    a.createDataChannel("x")
    async with closing(a, b):
        await a.setLocalDescription()
        report = await a.getStats()
        transports = every(report, RTCTransportStats)
        assert len(transports) == 2
        used = {c.transportId for c in every(report, RTCIceCandidateStats)}
        assert used == {transport.id for transport in transports}
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await connected(a, b)
        report = await a.getStats()
        assert only(report, RTCTransportStats).dtlsState == "connected"
        for entry in report.values():
            assert set(references(entry)) <= set(report)


async def test_a_restart_has_ids_of_its_own() -> None:
    async with call() as pair:
        told: list[str] = []
        assert pair.a.ice_transport is not None
        pair.a.ice_transport.on("selectedcandidatepairchange", lambda: told.append("transport"))
        pair.a.on("selectedcandidatepairchange", lambda: told.append("connection"))
        before = await pair.a.getStats()
        pair.a.restartIce()
        await negotiate(pair.a, pair.b)
        await until(pair.a, "selectedcandidatepairchange", lambda: "connection" in told)
        after = await pair.a.getStats()
        assert await pair.echo("x") == "x"
    old, new = only(before, RTCTransportStats), only(after, RTCTransportStats)
    assert old.id == new.id
    assert old.iceLocalUsernameFragment != new.iceLocalUsernameFragment
    assert new.selectedCandidatePairId not in before
    assert (old.selectedCandidatePairChanges, new.selectedCandidatePairChanges) == (1, 2)
    assert told == ["transport", "connection"]
    kinds = ("candidate-pair", "local-candidate", "remote-candidate")
    reused = [id for id in set(before) & set(after) if after[id].type in kinds]
    assert reused == []


# --- the path


async def test_what_one_side_sends_the_other_receives() -> None:
    async with call() as pair:
        before = [selected(report) for report in await pair.at_rest()]
        await pair.echo(bytes(100_000))
        after = [selected(report) for report in await pair.at_rest()]
    assert [pair.id for pair in before] == [pair.id for pair in after]
    (sent, received), (sent_back, received_back) = (
        (
            (new.packetsSent - old.packetsSent, new.bytesSent - old.bytesSent),
            (new.packetsReceived - old.packetsReceived, new.bytesReceived - old.bytesReceived),
        )
        for old, new in zip(before, after, strict=True)
    )
    assert (sent, sent_back) == (received_back, received)
    assert sent[1] > 100_000
    assert sent_back[1] > 100_000


async def test_the_selected_pair_has_a_round_trip_and_times() -> None:
    async with call() as pair:
        await pair.echo("x")
        first = selected(await pair.a.getStats())
        again = selected(await pair.a.getStats())
    assert (first.state, first.nominated) == ("succeeded", True)
    assert first.currentRoundTripTime is not None
    assert 0 < first.currentRoundTripTime <= first.totalRoundTripTime
    assert 0 < first.responsesReceived <= first.requestsSent + first.consentRequestsSent
    assert first.responsesSent == first.requestsReceived > 0
    assert first.lastPacketSentTimestamp is not None
    assert first.lastPacketReceivedTimestamp is not None
    assert first.lastPacketSentTimestamp <= first.timestamp
    assert first.lastPacketReceivedTimestamp == again.lastPacketReceivedTimestamp


async def test_both_ends_describe_the_same_path() -> None:
    async with call() as pair:
        one, other = await pair.at_rest()
        path = pair.a.selected_candidate_pair
    x, y = selected(one), selected(other)
    for mine, theirs in (
        (one[x.localCandidateId], other[y.remoteCandidateId]),
        (one[x.remoteCandidateId], other[y.localCandidateId]),
    ):
        for name in ("address", "port", "protocol", "priority", "usernameFragment"):
            assert getattr(mine, name) == getattr(theirs, name)
    assert path is not None
    assert (path.local.ip, path.local.port) == (
        one[x.localCandidateId].address,
        one[x.localCandidateId].port,
    )
    assert path.currentRoundTripTime == x.currentRoundTripTime


async def test_a_path_through_a_nat_is_that_which_the_other_side_sees() -> None:
    a, b = PeerConnection(), PeerConnection()
    a.createDataChannel("x")
    async with closing(a, b), proxy() as between:
        await negotiate_through(between, a, b)
        await until(b, "selectedcandidatepairchange", lambda: b.selected_candidate_pair is not None)
        report_a, report_b = await a.getStats(), await b.getStats()
        paths = a.selected_candidate_pair, b.selected_candidate_pair
    local = report_b[selected(report_b).localCandidateId]
    remote = report_a[selected(report_a).remoteCandidateId]
    assert isinstance(local, RTCIceCandidateStats)
    assert isinstance(remote, RTCIceCandidateStats)
    assert (local.candidateType, remote.candidateType) == ("prflx", "prflx")
    assert local.address == remote.address == HOST
    assert local.port == remote.port == between.visitor_port
    assert (local.relatedAddress, local.url) == (HOST, None)
    assert local.relatedPort != local.port
    assert [str(path).partition(",")[0] for path in paths] == [
        "prflx/udp -> prflx/udp",
        "prflx/udp -> host/udp",
    ]


async def test_an_address_that_hides_behind_a_name_stays_hidden() -> None:
    a = PeerConnection()
    a.createDataChannel("x")
    async with closing(a):
        await a.setLocalDescription()
        assert a.ice_transport is not None
        checks = agent_of(a.ice_transport).generation.checks
        name = "1f4712db-ea17-4bcf-a596-105139dfd8bf.local"
        hidden = RTCIceCandidate(1, "1", name, 5000, 2113937151, "udp", "host")
        now = asyncio.get_running_loop().time()
        checks.add_remote(hidden, ("192.0.2.7", 5000), now, named=True)
        report = await a.getStats()
    (remote,) = (c for c in every(report, RTCIceCandidateStats) if c.type == "remote-candidate")
    assert (remote.address, remote.port, remote.candidateType) == (None, 5000, "host")
    assert "192.0.2.7" not in str(report)


@pytest.mark.system("coturn", "netns")
async def test_a_relay_is_named_with_its_server(tmp_path: Path) -> None:
    async with coturn(tmp_path, ADDRESS) as server:
        url = server.turn("tcp")
        relay_only = PeerConfiguration(
            iceServers=[RTCIceServer(url, username=USER, credential=PASSWORD)],
            iceTransportPolicy=RTCIceTransportPolicy.RELAY,
        )
        a, b = PeerConnection(relay_only), PeerConnection()
        channel = a.createDataChannel("x")
        async with closing(a, b):
            await negotiate(a, b)
            await opened(channel)
            report, path = await a.getStats(), a.selected_candidate_pair
    local = report[selected(report).localCandidateId]
    assert isinstance(local, RTCIceCandidateStats)
    assert (local.candidateType, local.relayProtocol, local.url) == ("relay", "tcp", url)
    assert path is not None
    assert (path.local.url, path.local.relayProtocol) == (url, "tcp")
    assert str(path).startswith(f"relay/tcp ({url}) -> host/udp")
    assert str(path).endswith(", relayed")


# --- data channels


async def test_messages_are_counted_as_they_come_and_go() -> None:
    messages: list[str | bytes] = ["grüß dich", b"\0" * 70_000, "", b""]
    size = len("grüß dich".encode()) + 70_000
    async with call("écho") as pair:
        for message in messages:
            assert await pair.echo(message) == message
        reports = await pair.at_rest()
    for report in reports:
        entry = only(report, RTCDataChannelStats)
        assert (entry.label, entry.protocol, entry.state) == ("écho", "p", "open")
        assert entry.dataChannelIdentifier == pair.channel.id
        assert (entry.messagesSent, entry.bytesSent) == (len(messages), size)
        assert (entry.messagesReceived, entry.bytesReceived) == (len(messages), size)


async def test_a_channel_is_listed_until_it_is_closed() -> None:
    async with call() as pair:
        agreed = [c.createDataChannel("agreed", negotiated=True, id=100) for c in (pair.a, pair.b)]
        assert all(channel.readyState == "open" for channel in agreed)
        never = pair.a.createDataChannel("never open")
        never.close()
        other = pair.b.createDataChannel("other")
        await opened(other)
        listed = {e.label for e in every(await pair.a.getStats(), RTCDataChannelStats)}
        assert listed == {"echo", "agreed", "other"}
        for connection in (pair.a, pair.b):
            count = only(await connection.getStats(), RTCPeerConnectionStats)
            assert (count.dataChannelsOpened, count.dataChannelsClosed) == (3, 0)
        other.close()
        await until(other, "close", lambda: other.readyState == "closed")
        report = await pair.b.getStats()
        count = only(report, RTCPeerConnectionStats)
        assert (count.dataChannelsOpened, count.dataChannelsClosed) == (3, 1)
        assert {e.label for e in every(report, RTCDataChannelStats)} == {"echo", "agreed"}


async def test_an_id_that_is_taken_leaves_no_entry() -> None:
    async with call() as pair:
        pair.a.createDataChannel("first", negotiated=True, id=100)
        with pytest.raises(ValueError, match="already registered"):
            pair.a.createDataChannel("second", negotiated=True, id=100)
        entries = every(await pair.a.getStats(), RTCDataChannelStats)
    assert {entry.label for entry in entries} == {"echo", "first"}


# --- media


async def test_retransmissions_do_not_hide_the_media() -> None:
    sources: set[bytes] = set()
    count = 0

    def lossy(data: bytes) -> bool:
        nonlocal count
        is_rtp = 127 < data[0] < 192 and not 192 <= data[1] <= 223
        if not is_rtp:
            return True
        sources.add(data[8:12])
        count += 1
        return count % 10 != 0

    a, b = PeerConnection(), PeerConnection()
    a.addTrack(VideoStreamTrack())
    received: list[Any] = []
    b.on("track", received.append)
    async with closing(a, b), proxy() as between:
        between.answer = lossy
        await negotiate_through(between, a, b)
        while len(sources) < 2:
            await received[0].recv()
        await received[0].recv()
        sent = only(await a.getStats(), RTCOutboundRtpStreamStats)
        arrived = only(await b.getStats(), RTCInboundRtpStreamStats)
    assert arrived.ssrc == sent.ssrc
    assert 0 < arrived.packetsReceived < count
