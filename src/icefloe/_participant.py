"""The participant of ``icefloe demo``, with the ports and addresses that the command names."""

import ssl as tls
from collections.abc import Sequence
from pathlib import Path

from icefloe._serving import EXIT_SIGNALING, CommandError, Guest, TokenMaker
from icefloe.demos._attending import over_ports
from icefloe.demos.call import take_part
from icefloe.peer import TcpPortUnavailable, UdpPortUnavailable


def participant(
    room: str,
    name: str,
    film: Path | None,
    udp_port: int | None,
    tcp_port: int | None,
    external_addresses: Sequence[str],
) -> Guest:
    """Return the participant of a demo.

    Args:
        room: The room.
        name: The name of the participant in the room.
        film: The file that it plays when it is told to; ``None`` for a test pattern.
        udp_port: The UDP port of all its connections, 0 for any; ``None`` for one for each.
        tcp_port: The TCP port for peers whose networks block UDP, 0 for any; ``None`` for none.
        external_addresses: The addresses of this machine that others see.
    """

    async def guest(url: str, *, token: TokenMaker | None, ssl: tls.SSLContext | None) -> None:
        try:
            await over_ports(
                udp_port,
                tcp_port,
                external_addresses,
                lambda configuration: take_part(
                    url,
                    room=room,
                    name=name,
                    film=film,
                    token=token,
                    ssl=ssl,
                    configuration=configuration,
                ),
            )
        except (TcpPortUnavailable, UdpPortUnavailable) as error:
            raise CommandError(str(error), EXIT_SIGNALING) from error

    return guest
