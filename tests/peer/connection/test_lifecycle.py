"""Ends at awkward moments; the fixture of all tests looks for what is left."""

import asyncio
from contextlib import suppress

import pytest
from aiortc import InvalidStateError, RTCIceServer

from icefloe.peer import PeerConfiguration, PeerConnection
from tests.helpers.pairs import negotiate, opened, trickle


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("turns", range(14))
async def test_a_connection_that_is_closed_while_it_gathers(turns: int, hides: bool) -> None:
    servers = [RTCIceServer("stun:198.18.0.99")]
    connection = PeerConnection(PeerConfiguration(iceServers=servers, hide_host_addresses=hides))
    connection.createDataChannel("chat")
    gathering = asyncio.create_task(connection.setLocalDescription())
    for _ in range(turns):
        await asyncio.sleep(0)
    await connection.close()
    with suppress(InvalidStateError):
        await gathering
    assert states(connection) == {"closed"}


@pytest.mark.parametrize("turns", range(0, 30, 3))
async def test_a_connection_that_is_closed_while_it_restarts(turns: int) -> None:
    a, b = PeerConnection(), PeerConnection()
    trickle(a, b)
    trickle(b, a)
    channel = a.createDataChannel("chat")
    await negotiate(a, b)
    await opened(channel)
    a.restartIce()
    restarting = asyncio.create_task(negotiate(a, b))
    for _ in range(turns):
        await asyncio.sleep(0)
    await asyncio.gather(a.close(), b.close())
    with suppress(InvalidStateError):
        await restarting
    assert states(a) == states(b) == {"closed"}
    assert channel.readyState == "closed"


def states(connection: PeerConnection) -> set[str]:
    return {
        connection.signalingState,
        connection.connectionState,
        connection.iceConnectionState,
    }
