"""The relay policy without a relay: it fails, and says why."""

import pytest
from aiortc import RTCIceServer, RTCIceTransportPolicy

from icefloe.peer import ConnectFailed, ConnectPhase, PeerConfiguration, VerdictCause, join
from icefloe.signaling import serve
from tests.helpers.pairs import closing, connected, make, negotiate, until
from tests.helpers.turn import silent


async def test_a_dead_relay_is_named_and_is_not_waited_for() -> None:
    async with silent("127.0.0.1") as dead, serve("127.0.0.1", 0) as server:
        relay = PeerConfiguration(
            iceServers=[RTCIceServer(dead.turn("udp"), "user", "secret")],
            iceTransportPolicy=RTCIceTransportPolicy.RELAY,
            server_timeout=0.3,
        )
        async with (
            join(server.url, room="lobby", name="bob") as bobs,
            join(server.url, room="lobby", name="alice", configuration=relay) as alices,
        ):
            bob = await alices.peer("bob")
            with pytest.raises(ConnectFailed) as caught:
                await bob.connected()
            assert caught.value.phase is ConnectPhase.GATHERING
            assert dead.turn("udp") in str(caught.value)
            assert caught.value.verdict is not None
            assert caught.value.verdict.cause is VerdictCause.TURN_UNREACHABLE
            assert caught.value.verdict.phase is ConnectPhase.TURN
            assert str(caught.value).endswith("docs/troubleshooting.md#turn-unreachable")
            assert "no answer within 0.3 s" in str(caught.value)
            assert await bob.ended() == "failed"
            assert await (await bobs.peer("alice")).ended() in {"bye", "closed"}


async def test_without_any_server_it_fails_as_soon_as_both_sides_have_spoken() -> None:
    configuration = PeerConfiguration(iceTransportPolicy=RTCIceTransportPolicy.RELAY)
    a, b = make("icefloe"), make("icefloe")
    a.setConfiguration(configuration)  # type: ignore[attr-defined]
    async with closing(a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        await until(a, "connectionstatechange", lambda: a.connectionState == "failed")
        assert a.iceConnectionState == "failed"
        assert b.connectionState == "connecting"


async def test_a_failed_connection_can_be_restarted_with_servers_that_work() -> None:
    """W3C webrtc-pc: ``failed`` is not the end, ``restartIce()`` may bring the connection up."""
    a, b = make("icefloe"), make("icefloe")
    a.setConfiguration(PeerConfiguration(iceTransportPolicy=RTCIceTransportPolicy.RELAY))  # type: ignore[attr-defined]
    async with closing(a, b):
        a.createDataChannel("x")
        await negotiate(a, b)
        await until(a, "connectionstatechange", lambda: a.connectionState == "failed")
        a.setConfiguration(PeerConfiguration())  # type: ignore[attr-defined]
        a.restartIce()  # type: ignore[attr-defined]
        await negotiate(a, b)
        await connected(a, b)
        for connection in (a, b):
            assert connection.connectionState == "connected"
