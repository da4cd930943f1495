"""Demo of forwarding media without decoding: each participant gets their own media back.

::

    icefloe serve                     # in one terminal
    python -m icefloe.demos.echo      # in another; then open the page, and see yourself

The packets are neither decoded nor encoded, so the echo takes very little processor time. Packets
lost on the way back are retransmitted from here. A request for a key frame goes on to the browser
that sends the track.
"""

import typer

from icefloe.peer import PeerConfiguration, RemotePeer, forward, join

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
    *,
    room: str = "lobby",
    name: str = "echo",
    configuration: PeerConfiguration | None = None,
) -> None:
    """Send each participant of a room its own audio and video back, until cancelled.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        room: The room.
        name: The name of the demo in the room.
        configuration: The configuration of the peer connections.

    Raises:
        SignalingError: The server cannot be reached, refuses, or is lost for good.

    Cancellation: safe; the demo leaves the room and closes all connections.
    """
    async with join(
        url, room=room, name=name, token=own_token(), configuration=configuration
    ) as joined:
        announce(url, room, joined, "Open {page} and join: you see and hear yourself.")
        await joined.attend(echo)


async def echo(peer: RemotePeer) -> None:
    """Send one participant each of its audio and video tracks back, until it leaves.

    Cancellation: safe.
    """
    async for track in peer.tracks():
        # The sender stops the track when the connection ends.
        peer.add_track(forward(track))


def main(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "echo",
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Send each participant of a room its own audio and video back."""
    run(
        over_ports(
            udp_port,
            tcp_port,
            external_address,
            lambda configuration: take_part(
                server, room=room, name=name, configuration=configuration
            ),
        )
    )


if __name__ == "__main__":
    typer.run(main)
