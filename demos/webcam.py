"""This demonstrates one camera for many viewers: its picture is encoded once, and not for each.

::

    icefloe serve                     # in one terminal
    python -m icefloe.demos.webcam    # in another; then open the page, as often as you like

Whoever receives badly gets a smaller picture, for which there is one more encoder; the others do
not notice. While nobody looks, nothing is read and nothing encoded.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
from aiortc import MediaStreamTrack

from icefloe.logs import get_logger
from icefloe.media import Camera, DeviceUnavailable, EncodedFanout, TestPatternTrack
from icefloe.peer import PeerConfiguration, RemotePeer, join

from ._attending import LOCAL, Name, RoomName, Server, run, tell

logger = get_logger(__name__)


@asynccontextmanager
async def picture(device: str | None = None) -> AsyncIterator[MediaStreamTrack]:
    """Open a camera, or a test pattern if there is none; to be used with ``async with``.

    Args:
        device: The camera, such as ``/dev/video0``; the first one if ``None``.

    Raises:
        DeviceUnavailable: The camera that was named cannot be used; the error lists what is there.

    Cancellation: safe; the camera is free within a second.
    """
    camera = None
    try:
        camera = await Camera.open(device)
    except DeviceUnavailable as error:
        if device is not None:
            raise  # who asks for a camera is not to get a pattern
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
    """Show everybody in a room what a camera sees, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The own name in it.
        device: The camera; the first one if ``None``, or a test pattern without any.
        configuration: For the peer connections.

    Raises:
        DeviceUnavailable: The camera that was named cannot be used.
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: leaves the room, and nothing behind.
    """
    async with picture(device) as source:
        # The source outlives its viewers: whoever comes after the last one has left sees it too.
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
    """Show everybody in a room what is encoded once, until cancelled; see :func:`take_part`."""

    async def serve_viewer(peer: RemotePeer) -> None:
        # Who cannot be reached is no viewer, and needs no encoder.
        await peer.connected()
        # A track for each, of packets that all of them get; its sender stops it at the end.
        peer.add_track(fanout.subscribe())
        logger.info("%s looks: %s", peer.name, _told(fanout))

    async with join(url, room=room, name=name, configuration=configuration) as joined:
        hint = "Open {page} and join: you see the picture; so does everybody else who joins."
        tell(url, room, joined, hint)
        await joined.attend(serve_viewer)


def _told(fanout: EncodedFanout) -> str:
    encoders = ", ".join(f"{report.codec} for {report.viewers}" for report in fanout.encoders)
    return f"{fanout.subscribers} viewers; encoded: {encoders or 'nothing yet'}"


def main(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "webcam",
    device: Annotated[
        str | None, typer.Option(help="The camera, as /dev/video0; the first one without.")
    ] = None,
) -> None:
    """Show everybody in a room what a camera sees, encoded once."""
    run(take_part(server, room=room, name=name, device=device), DeviceUnavailable)


if __name__ == "__main__":
    typer.run(main)
