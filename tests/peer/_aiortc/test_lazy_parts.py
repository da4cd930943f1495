"""Parts that a data connection needs only for media, made with the first media."""

import asyncio

from aiortc import MediaStreamTrack

from icefloe.media import ToneTrack
from icefloe.peer import PeerConnection
from icefloe.peer._aiortc.dtls import DtlsTransport
from icefloe.peer._aiortc.lazy_srtp import LazySrtp
from icefloe.peer.ice.checks.state import IceState
from tests.helpers.pairs import closing, connected, negotiate, opened


def dtls_of(connection: PeerConnection) -> DtlsTransport:
    """Return the transport of a connection with data channels."""
    assert connection.sctp is not None
    transport = connection.sctp.transport
    assert isinstance(transport, DtlsTransport)
    return transport


async def test_media_that_is_added_to_a_data_connection_flows() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("data")
        await negotiate(a, b)
        await connected(a, b)
        await opened(channel)
        for side in (a, b):
            dtls = dtls_of(side)
            assert isinstance(dtls._tx_srtp, LazySrtp)
            assert isinstance(dtls._rx_srtp, LazySrtp)
            assert "congestion" not in dtls.__dict__
            assert "_recorder" not in dtls.__dict__
            assert dtls.available_bitrate is None
        tracks: asyncio.Queue[MediaStreamTrack] = asyncio.Queue()
        b.on("track", tracks.put_nowait)
        a.addTrack(ToneTrack())
        await negotiate(a, b)
        track = await tracks.get()
        await track.recv()
        assert not isinstance(dtls_of(a)._tx_srtp, LazySrtp)
        assert not isinstance(dtls_of(b)._rx_srtp, LazySrtp)
        assert dtls_of(a).congestion._data is not None  # it shares with the channel


async def test_sessions_are_made_once() -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        channel = a.createDataChannel("data")
        await negotiate(a, b)
        await opened(channel)
        lazy = dtls_of(a)._tx_srtp
        assert isinstance(lazy, LazySrtp)
        first = lazy._make()
        assert lazy._make() == first
        # What was begun with the one that stood for them goes on with the same keys.
        packet = lazy.protect(b"\x80\x00" + bytes(10) + b"sound")
        assert dtls_of(b)._rx_srtp is not None
        assert isinstance(received := dtls_of(b)._rx_srtp, LazySrtp)
        assert received.unprotect(packet).endswith(b"sound")


async def test_each_connection_shows_a_certificate_of_its_own() -> None:
    sides = [PeerConnection() for _ in range(6)]
    async with closing(*sides):
        for a, b in zip(sides[::2], sides[1::2], strict=True):
            channel = a.createDataChannel("data")
            await negotiate(a, b)
            await opened(channel)
        shown = set()
        for side, other in zip(sides, [sides[n ^ 1] for n in range(6)], strict=True):
            ssl = dtls_of(other)._ssl
            assert ssl is not None
            certificate = ssl.get_peer_certificate(as_cryptography=True)
            assert certificate is not None
            assert certificate == dtls_of(side)._RTCDtlsTransport__local_certificate._cert
            shown.add(certificate.serial_number)
            assert dtls_of(side).transport.state == IceState.COMPLETED
        assert len(shown) == len(sides)
