"""Traps of aiortc's that a drop-in must not have."""

import asyncio
import datetime
import itertools
import struct
from typing import Any

import aiortc
import pytest
from aiortc import InvalidAccessError, InvalidStateError, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.rtcdtlstransport import RTCCertificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from icefloe.peer import InvalidDescription, PeerConnection
from icefloe.peer._aiortc import SctpTransport
from tests.helpers.calls import eventually
from tests.helpers.pairs import closing, connected, make, negotiate, opened, until

ROLLBACK = RTCSessionDescription(sdp="", type="rollback")


async def test_an_answer_leaves_an_unoffered_track_for_later() -> None:
    a, b = PeerConnection(), PeerConnection()
    a.createDataChannel("x")
    b.addTrack(AudioStreamTrack())
    needed = asyncio.Event()
    async with closing(a, b):
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        b.on("negotiationneeded", needed.set)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await connected(a, b)
        await needed.wait()
        tracks: list[Any] = []
        a.on("track", tracks.append)
        await negotiate(b, a)
        assert [track.kind for track in tracks] == ["audio"]
        await tracks[0].recv()


@pytest.mark.parametrize("own", [(), ("audio",), ("video",), ("video", "audio"), ("channel",)])
@pytest.mark.parametrize(
    "offered", list(itertools.permutations(("audio", "video", "channel"))), ids="-".join
)
async def test_what_was_added_before_an_offer_may_come_anywhere_in_it(
    own: tuple[str, ...], offered: tuple[str, ...]
) -> None:
    tracks = {"audio": AudioStreamTrack, "video": VideoStreamTrack}

    def add(connection: RTCPeerConnection, kinds: tuple[str, ...]) -> None:
        for kind in kinds:
            if kind == "channel":
                connection.createDataChannel("x")
            else:
                connection.addTrack(tracks[kind]())

    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        add(a, offered)
        add(b, own)
        await negotiate(a, b)
        await connected(a, b)


@pytest.mark.parametrize("event", ["datachannel", "message"])
async def test_a_handler_that_raises_does_no_harm(
    event: str, caplog: pytest.LogCaptureFixture
) -> None:
    a, b = PeerConnection(), PeerConnection()
    answers: asyncio.Queue[str] = asyncio.Queue()

    def on_message(channel: aiortc.RTCDataChannel, message: str) -> None:
        channel.send(message.upper())
        if event == "message":
            raise RuntimeError("a bug in a handler")

    @b.on("datachannel")
    def _(channel: aiortc.RTCDataChannel) -> None:
        channel.on("message", lambda message: on_message(channel, message))
        if event == "datachannel":
            raise RuntimeError("a bug in a handler")

    channel = a.createDataChannel("x")
    channel.on("message", answers.put_nowait)
    async with closing(a, b):
        await negotiate(a, b)
        await opened(channel)
        for word in ("one", "two"):
            channel.send(word)
            assert await answers.get() == word.upper()
    assert "a bug in a handler" in caplog.text


@pytest.mark.parametrize("event", ["track", "signalingstatechange", "connectionstatechange"])
async def test_a_state_handler_that_raises_does_no_harm(event: str) -> None:
    a, b = PeerConnection(), PeerConnection()
    a.addTrack(AudioStreamTrack())

    def broken(*_: object) -> None:
        raise RuntimeError("a bug in a handler")

    for connection in (a, b):
        connection.on(event, broken)
    async with closing(a, b):
        await negotiate(a, b)
        await connected(a, b)
        assert a.connectionState == b.connectionState == "connected"


@pytest.mark.parametrize("label", ["plain", "Gespräch", "チャット", "🎥" * 20, ""])
async def test_labels_and_protocols_in_any_language_arrive(label: str) -> None:
    a, b = PeerConnection(), RTCPeerConnection()
    arrived: asyncio.Queue[aiortc.RTCDataChannel] = asyncio.Queue()
    b.on("datachannel", arrived.put_nowait)
    a.createDataChannel(label, protocol=label)
    b_configured = RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    b_configured.on("datachannel", arrived.put_nowait)
    async with closing(a, b, b_configured):
        await negotiate(a, b_configured)
        channel = await arrived.get()
        assert (channel.label, channel.protocol) == (label, label)


@pytest.mark.parametrize(
    ("protocol_id", "message"),
    [
        (50, b"\x03"),  # DATA_CHANNEL_OPEN, cut off
        (50, struct.pack("!BBHLHH", 3, 0, 0, 0, 2, 0) + b"\xff\xfe"),  # a label that is not UTF-8
        (50, b"\x02"),  # DATA_CHANNEL_ACK for no channel
        (51, b"\xff\xff"),  # a string that is not UTF-8
    ],
)
async def test_a_malformed_channel_message_does_not_end_the_association(
    protocol_id: int, message: bytes
) -> None:
    a, b = PeerConnection(), PeerConnection()
    answers: asyncio.Queue[str] = asyncio.Queue()
    b.on("datachannel", lambda channel: channel.on("message", channel.send))
    channel = a.createDataChannel("x")
    channel.on("message", answers.put_nowait)
    async with closing(a, b):
        await negotiate(a, b)
        await opened(channel)
        assert isinstance(a.sctp, SctpTransport)
        stream = channel.id if protocol_id == 51 else 101
        assert stream is not None
        a.sctp.shell.channels.send_raw(stream, protocol_id, message)
        channel.send("still there")
        assert await answers.get() == "still there"


async def test_a_local_offer_can_be_rolled_back() -> None:
    a, b = PeerConnection(), PeerConnection()
    a.addTrack(AudioStreamTrack())
    a.createDataChannel("a")
    b.createDataChannel("b")
    labels: list[str] = []
    for connection in (a, b):
        connection.on("datachannel", lambda channel: labels.append(channel.label))
    async with closing(a, b):
        await a.setLocalDescription()
        await a.setLocalDescription(ROLLBACK)
        assert a.signalingState == "stable"
        assert a.localDescription is None
        await negotiate(b, a)
        await connected(a, b)
        await negotiate(a, b)
        assert [t.kind for t in b.getTransceivers()] == ["audio"]
        await eventually(lambda: len(labels) == 2)  # either may come last
    assert sorted(labels) == ["a", "b"]


async def test_a_remote_offer_can_be_rolled_back() -> None:
    a, b = PeerConnection(), PeerConnection()
    a.addTrack(VideoStreamTrack())
    async with closing(a, b):
        await a.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        await b.setRemoteDescription(ROLLBACK)
        assert b.signalingState == "stable"
        assert b.getTransceivers() == []
        assert b.remoteDescription is None
        await b.setRemoteDescription(a.localDescription)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await connected(a, b)


async def test_an_offer_takes_back_the_own_one() -> None:
    a, b = PeerConnection(), PeerConnection()
    a.addTrack(AudioStreamTrack())
    b.addTrack(AudioStreamTrack())
    async with closing(a, b):
        await a.setLocalDescription()
        await b.setLocalDescription()
        await b.setRemoteDescription(a.localDescription)
        assert b.signalingState == "have-remote-offer"
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await connected(a, b)
        assert [t.currentDirection for t in a.getTransceivers()] == ["sendrecv"]


@pytest.mark.parametrize("setter", ["setLocalDescription", "setRemoteDescription"])
async def test_there_must_be_an_offer_to_roll_back(setter: str) -> None:
    a = PeerConnection()
    with pytest.raises(InvalidStateError):
        await getattr(a, setter)(ROLLBACK)
    await a.close()


async def test_a_failed_remote_description_changes_nothing() -> None:
    a, b = PeerConnection(), PeerConnection()
    a.addTrack(AudioStreamTrack())
    a.addTrack(VideoStreamTrack())
    async with closing(a, b):
        await a.setLocalDescription()
        good = a.localDescription
        bad = good.sdp.replace("a=mid:1", "a=mid:0")
        with pytest.raises(InvalidDescription, match="two sections"):
            await b.setRemoteDescription(RTCSessionDescription(sdp=bad, type="offer"))
        assert b.signalingState == "stable"
        assert b.getTransceivers() == []
        for garbage in ("", "v=0", "m=audio", good.sdp.replace("a=fingerprint:", "a=finger:")):
            with pytest.raises((ValueError, InvalidStateError)):
                await b.setRemoteDescription(RTCSessionDescription(sdp=garbage, type="answer"))
        await b.setRemoteDescription(good)
        await b.setLocalDescription()
        await a.setRemoteDescription(b.localDescription)
        await connected(a, b)


class RsaCertificate(RTCCertificate):
    """The kind of certificate that GStreamer's webrtcbin comes with."""

    @classmethod
    def generate(cls) -> "RsaCertificate":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rsa")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .sign(key, hashes.SHA256())
        )
        return cls(key=key, cert=certificate)  # type: ignore[arg-type]

    def _create_ssl_context(self, srtp_profiles: Any) -> Any:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(b"ECDHE-RSA-AES128-GCM-SHA256")
        return context


@pytest.mark.parametrize("client", ["icefloe", "rsa"])
async def test_a_peer_with_an_rsa_certificate_connects(client: str) -> None:
    ours = PeerConnection()
    theirs = RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    theirs._RTCPeerConnection__certificates[:] = [RsaCertificate.generate()]  # type: ignore[attr-defined]
    if client == "rsa":
        # As the client it must offer a suite that fits the ECDSA certificate of the server.
        RsaCertificate._create_ssl_context = RTCCertificate._create_ssl_context  # type: ignore[method-assign]
    # The answerer is the DTLS client.
    offerer, answerer = (theirs, ours) if client == "icefloe" else (ours, theirs)
    offerer.createDataChannel("x")
    async with closing(ours, theirs):
        await negotiate(offerer, answerer)
        await connected(ours, theirs)
        assert ours.connectionState == theirs.connectionState == "connected"


async def test_a_track_can_be_removed_and_another_added() -> None:
    a, b = PeerConnection(), PeerConnection()
    first, second = AudioStreamTrack(), AudioStreamTrack()
    sender = a.addTrack(first)
    async with closing(a, b):
        await negotiate(a, b)
        await connected(a, b)
        needed: list[str] = []
        a.on("negotiationneeded", lambda: needed.append("needed"))
        a.removeTrack(sender)
        await negotiate(a, b)
        assert [t.currentDirection for t in b.getTransceivers()] == ["inactive"]
        assert first.readyState == "live"
        a.addTrack(second)
        await negotiate(a, b)
        assert [t.currentDirection for t in b.getTransceivers()] == ["recvonly"]
        with pytest.raises(InvalidAccessError):
            a.removeTrack(b.addTrack(AudioStreamTrack()))
    first.stop()


async def test_an_empty_datagram_from_anywhere_is_ignored() -> None:
    a, b = PeerConnection(), PeerConnection()
    channel = a.createDataChannel("x")
    answers: asyncio.Queue[str] = asyncio.Queue()
    b.on("datachannel", lambda opened: opened.on("message", opened.send))
    channel.on("message", answers.put_nowait)
    async with closing(a, b):
        await negotiate(a, b)
        await opened(channel)
        pair = a.selected_candidate_pair
        assert pair is not None
        loop = asyncio.get_running_loop()
        stranger, _ = await loop.create_datagram_endpoint(
            asyncio.DatagramProtocol, remote_addr=(pair.local.ip, pair.local.port)
        )
        for _ in range(10):
            stranger.sendto(b"")
            stranger.sendto(b"\x00")
        channel.send("still there")
        assert await answers.get() == "still there"
        stranger.close()


@pytest.mark.parametrize("other", ["icefloe", "aiortc"])
async def test_a_stopped_transceiver_is_rejected_once_and_not_used_again(other: str) -> None:
    a = PeerConnection()
    b = make(other)
    a.addTrack(AudioStreamTrack())
    a.addTrack(VideoStreamTrack())
    needed: list[str] = []
    async with closing(a, b):
        await negotiate(a, b)
        await connected(a, b)
        a.on("negotiationneeded", lambda: needed.append("needed"))
        await a.getTransceivers()[0].stop()
        await until(a, "negotiationneeded", lambda: bool(needed))
        await negotiate(a, b)
        assert "m=audio 0 " in a.localDescription.sdp
        assert "a=group:BUNDLE 1\r\n" in a.localDescription.sdp
        assert a._negotiation.is_needed() is False
        if other == "icefloe":
            assert [t.stopped for t in b.getTransceivers()] == [True, False]
            assert "m=audio 0 " in b.localDescription.sdp
        a.addTrack(AudioStreamTrack())
        tracks: list[Any] = []
        b.on("track", tracks.append)
        await negotiate(a, b)
        assert [t.mid for t in a.getTransceivers()] == ["0", "1", "2"]
        await tracks[0].recv()
