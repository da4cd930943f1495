"""This demonstrates how to pass media on without decoding it: everybody gets their own back.

::

    icefloe serve                     # in one terminal
    python -m icefloe.demos.echo      # in another; then open the page, and see yourself

What comes is not even looked at, so an echo takes next to no processor time. What is lost on its
way back is repaired from here; a key frame that your browser asks for, your browser is asked for.
"""

import typer

from icefloe.peer import PeerConfiguration, RemotePeer, forward, join

from ._attending import LOCAL, Name, RoomName, Server, run, tell


async def take_part(
    url: str,
    *,
    room: str = "lobby",
    name: str = "echo",
    configuration: PeerConfiguration | None = None,
) -> None:
    """Send everybody in a room back what they send, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The own name in it.
        configuration: For the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: leaves the room, and nothing behind.
    """
    async with join(url, room=room, name=name, configuration=configuration) as joined:
        tell(url, room, joined, "Open {page} and join: you see and hear yourself.")
        await joined.attend(echo)


async def echo(peer: RemotePeer) -> None:
    """Send one participant back each track that comes, audio and video, until it leaves.

    Cancellation: safe.
    """
    async for track in peer.tracks():
        # A track like any other to the sender, which stops it when the connection ends.
        peer.add_track(forward(track))


def main(server: Server = LOCAL, room: RoomName = "lobby", name: Name = "echo") -> None:
    """Send everybody in a room back what they send."""
    run(take_part(server, room=room, name=name))


if __name__ == "__main__":
    typer.run(main)
