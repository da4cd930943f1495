"""This demonstrates recording a room: a file for everybody, in step by their own clocks.

::

    icefloe serve                                     # in one terminal
    python -m icefloe.demos.recorder --out calls      # in another, with the extra icefloe[numpy]

Each participant's sound and picture go into ``calls/NAME.mkv``, which can be played while it is
written and after whatever ends the program. ``--mixed`` records all of them into one file instead.
"""

from pathlib import Path
from typing import Annotated

import typer

from icefloe.media import MissingDependency, Recorder, RecordingFailed
from icefloe.peer import PeerConfiguration, RemotePeer, join

from ._attending import LOCAL, Name, RoomName, Server, run, tell


async def take_part(
    url: str,
    path: Path,
    *,
    room: str = "lobby",
    name: str = "recorder",
    configuration: PeerConfiguration | None = None,
) -> None:
    """Record whatever the participants of a room send, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        path: The file; with ``{participant}`` in its name, one for each of them.
        room: The room.
        name: The own name in it.
        configuration: For the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.
        RecordingFailed: The file cannot be begun.
        MissingDependency: NumPy is not installed.

    Cancellation: leaves the room, and ends the files so that all of them is in place.
    """
    async with (
        Recorder(str(path)) as recorder,
        join(url, room=room, name=name, configuration=configuration) as joined,
    ):

        async def record(peer: RemotePeer) -> None:
            async for track in peer.tracks():
                recorder.add_track(track, participant=peer.name)

        tell(url, room, joined, f"Open {{page}} and join: what you say and show goes into {path}.")
        await joined.attend(record)


def main(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "recorder",
    out: Annotated[Path, typer.Option(help="Folder for the recordings.")] = Path(),
    mixed: Annotated[bool, typer.Option("--mixed", help="One file for all.")] = False,
) -> None:
    """Record whatever the participants of a room send."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / ("room.mkv" if mixed else "{participant}.mkv")
    run(take_part(server, path, room=room, name=name), RecordingFailed, MissingDependency)


if __name__ == "__main__":
    typer.run(main)
