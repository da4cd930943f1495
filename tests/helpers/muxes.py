"""Connections over one UDP port, and what is looked at in them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiortc import RTCPeerConnection

from icefloe.peer import PeerConfiguration, PeerConnection, UdpMux
from icefloe.peer.ice.mux.shared_socket import SharedSocket
from icefloe.peer.ice.mux.udp_mux import sockets_of

from .calls import eventually
from .pairs import closing, negotiate, opened


def over(mux: UdpMux | None, **settings: Any) -> PeerConnection:
    """Make a connection that uses a mux, or none, with loopback addresses."""
    return PeerConnection(PeerConfiguration(udp_mux=mux, include_loopback=True, **settings))


def sockets(mux: UdpMux) -> list[SharedSocket]:
    """Return the sockets of a mux."""
    return list(sockets_of(mux)._sockets.values())


def is_empty(mux: UdpMux) -> bool:
    """Return whether nothing is left of the connections that used a mux."""
    stats = mux.stats()
    return (stats.generations, stats.remote_addresses, stats.requests) == (0, 0, 0)


async def link(offerer: RTCPeerConnection, answerer: RTCPeerConnection) -> tuple[Any, Any]:
    """Connect two ends; return both ends of a data channel between them."""
    arrived: list[Any] = []
    answerer.on("datachannel", arrived.append)
    channel = offerer.createDataChannel("link")
    await negotiate(offerer, answerer)
    await opened(channel)
    await eventually(lambda: arrived)
    return channel, arrived[0]


@asynccontextmanager
async def linked(
    offerer: RTCPeerConnection, answerer: RTCPeerConnection
) -> AsyncIterator[tuple[Any, Any]]:
    """Have two connected ends; yield both ends of a data channel, and close all at the end."""
    async with closing(offerer, answerer):
        yield await link(offerer, answerer)


async def says(sender: Any, receiver: Any, text: str) -> None:
    """Send a text and see that it arrives."""
    got: list[object] = []
    receiver.on("message", got.append)
    sender.send(text)
    await eventually(lambda: text in got)
    receiver.remove_listener("message", got.append)


Route = tuple[str | None, int | None, str | None, int | None]


def route(connection: PeerConnection) -> Route:
    """Return the local and the remote address and port of the pair in use."""
    pair = connection.selected_candidate_pair
    assert pair is not None
    return pair.local.ip, pair.local.port, pair.remote.ip, pair.remote.port


def path(connection: PeerConnection) -> tuple[int | None, int | None]:
    """Return the local and the remote port of the pair in use."""
    _, near, _, far = route(connection)
    return near, far
