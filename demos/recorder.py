"""Demo of recording a room: one file per participant, synchronized by the senders' clocks.

::

    icefloe serve                                     # in one terminal
    python -m icefloe.demos.recorder --out calls      # in another

The audio and video of each participant go into ``calls/NAME.mkv``. A file can be played while it is
written, and also if the program was killed. ``--mixed`` records all participants into one file.
"""

from pathlib import Path
from typing import Annotated

import typer

from icefloe.media import Recorder, RecordingFailed
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


async def take_part(
    url: str,
    path: Path,
    *,
    room: str = "lobby",
    name: str = "recorder",
    configuration: PeerConfiguration | None = None,
) -> None:
    """Record the audio and video of all participants of a room, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        path: The file; with ``{participant}`` in its name, one file for each participant.
        room: The room.
        name: The name of the demo in the room.
        configuration: The configuration of the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.
        RecordingFailed: The file cannot be created.

    Cancellation: safe; the demo leaves the room and completes the files.
    """
    async with (
        Recorder(str(path)) as recorder,
        join(url, room=room, name=name, token=own_token(), configuration=configuration) as joined,
    ):

        async def record(peer: RemotePeer) -> None:
            async for track in peer.tracks():
                recorder.add_track(track, participant=peer.name)

        hint = f"Open {{page}} and join: what you say and show goes into {path}."
        announce(url, room, joined, hint)
        await joined.attend(record)


def main(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "recorder",
    out: Annotated[Path, typer.Option(help="Folder for the recordings.")] = Path(),
    mixed: Annotated[bool, typer.Option("--mixed", help="One file for all.")] = False,
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Record the audio and video of all participants of a room."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / ("room.mkv" if mixed else "{participant}.mkv")
    run(
        over_ports(
            udp_port,
            tcp_port,
            external_address,
            lambda configuration: take_part(
                server, path, room=room, name=name, configuration=configuration
            ),
        ),
        RecordingFailed,
    )


if __name__ == "__main__":
    typer.run(main)
