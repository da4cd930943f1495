"""Demo of one camera for many viewers, whose video is encoded only once.

::

    icefloe serve                     # in one terminal
    python -m icefloe.demos.webcam    # in another; then open the page, as often as you like

A viewer with a bad connection gets a smaller picture from a second encoder, which does not affect
the others. Without viewers nothing is captured or encoded.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging import Logger
from typing import Annotated

import typer
from aiortc import MediaStreamTrack

from icefloe.logs import get_logger
from icefloe.media import Camera, DeviceUnavailable, EncodedFanout, TestPatternTrack
from icefloe.peer import PeerConfiguration, RemotePeer, join

from ._attending import (
    LOCAL,
    ExternalAddresses,
    Name,
    RoomName,
    Server,
    TcpPort,
    UdpPort,
    announce,
    over_ports,
    own_token,
    run,
)

logger: Logger = get_logger(__name__)


@asynccontextmanager
async def picture(device: str | None = None) -> AsyncIterator[MediaStreamTrack]:
    """Open a camera, or a test pattern if there is no camera; use it with ``async with``.

    Args:
        device: The camera, such as ``/dev/video0``; the first one if ``None``.

    Raises:
        DeviceUnavailable: The given camera cannot be used; the error lists the cameras that exist.

    Cancellation: safe; the camera is closed within a second.
    """
    camera = None
    try:
        camera = await Camera.open(device)
    except DeviceUnavailable as error:
        if device is not None:
            raise  # a test pattern does not replace a camera that the user has named
        logger.info("a test pattern in place of a camera: %s", error)
    source = camera.video if camera is not None else TestPatternTrack()
    try:
        if source is None:
            raise DeviceUnavailable(device or "camera", "it gives no picture", {})
        yield source
    finally:
        if source is not None:
            source.stop()
        if camera is not None:
            await camera.aclose()


async def take_part(
    url: str,
    *,
    room: str = "lobby",
    name: str = "webcam",
    device: str | None = None,
    configuration: PeerConfiguration | None = None,
) -> None:
    """Send the video of a camera to all participants of a room, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The name of the demo in the room.
        device: The camera; if ``None`` the first one, or a test pattern if there is no camera.
        configuration: The configuration of the peer connections.

    Raises:
        DeviceUnavailable: The given camera cannot be used.
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: safe; the demo leaves the room, and closes all connections and the camera.
    """
    async with picture(device) as source:
        # The source is not stopped with its last viewer, since other viewers may come later.
        fanout = EncodedFanout(source, stop_source=False)
        try:
            await show(url, fanout, room=room, name=name, configuration=configuration)
        finally:
            fanout.close()


async def show(
    url: str,
    fanout: EncodedFanout,
    *,
    room: str = "lobby",
    name: str = "webcam",
    configuration: PeerConfiguration | None = None,
) -> None:
    """Send video that is encoded once to all participants of a room; see :func:`take_part`."""

    async def serve_viewer(peer: RemotePeer) -> None:
        # Encoding is not needed before the connection works.
        await peer.connected()
        # Each viewer has a track of its own with the shared packets; its sender stops the track.
        peer.add_track(fanout.subscribe())
        logger.info("%s looks: %s", peer.name, _summary(fanout))

    async with join(
        url, room=room, name=name, token=own_token(), configuration=configuration
    ) as joined:
        hint = "Open {page} and join: you see the picture; so does everybody else who joins."
        announce(url, room, joined, hint)
        await joined.attend(serve_viewer)


def _summary(fanout: EncodedFanout) -> str:
    encoders = ", ".join(f"{report.codec} for {report.viewers}" for report in fanout.encoders)
    return f"{fanout.subscribers} viewers; encoded: {encoders or 'nothing yet'}"


def main(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "webcam",
    device: Annotated[
        str | None, typer.Option(help="The camera, as /dev/video0; the first one without.")
    ] = None,
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Show everybody in a room what a camera sees, encoded once."""
    run(
        over_ports(
            udp_port,
            tcp_port,
            external_address,
            lambda configuration: take_part(
                server, room=room, name=name, device=device, configuration=configuration
            ),
        ),
        DeviceUnavailable,
    )


if __name__ == "__main__":
    typer.run(main)
