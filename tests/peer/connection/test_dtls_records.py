"""Many packets of data in one turn: each in a record and a datagram of its own, in order."""

import asyncio

import pytest

from icefloe.peer import PeerConnection
from icefloe.peer._aiortc import DtlsTransport, SctpTransport, agent_of
from tests.helpers.pairs import closing, negotiate, opened

MESSAGES = [bytes([number]) * (1 + number * 37) for number in range(120)]


@pytest.mark.parametrize("layouts", [DtlsTransport.KNOWN_LAYOUTS, frozenset()])
async def test_each_record_is_a_datagram_whether_its_layout_is_known_or_not(
    layouts: frozenset[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # OpenSSL has no DTLS 1.3 yet: not to know DTLS 1.2 stands for it.
    monkeypatch.setattr(DtlsTransport, "KNOWN_LAYOUTS", layouts)
    a, b = PeerConnection(), PeerConnection()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()
    b.on("datachannel", lambda channel: channel.on("message", arrived.put_nowait))
    async with closing(a, b):
        channel = a.createDataChannel("x")
        await negotiate(a, b)
        await opened(channel)
        assert isinstance(a.sctp, SctpTransport)
        dtls = a.sctp.transport
        assert isinstance(dtls, DtlsTransport)
        datagrams: list[bytes] = []
        path = agent_of(dtls.transport).path
        send_all = path.send_all

        def watch(packets: list[bytes]) -> None:
            datagrams.extend(packets)
            send_all(packets)

        monkeypatch.setattr(path, "send_all", watch)
        for message in MESSAGES:
            channel.send(message)
        assert [await arrived.get() for _ in MESSAGES] == MESSAGES
        # RFC 6347 section 4.1: type, version, epoch, sequence number, length.
        numbers = [int.from_bytes(datagram[5:11]) for datagram in datagrams]
        assert len(numbers) > len(MESSAGES) / 10
        assert numbers == sorted(set(numbers))
        for datagram in datagrams:
            assert datagram[0] == 23
            assert len(datagram) == 13 + int.from_bytes(datagram[11:13])
