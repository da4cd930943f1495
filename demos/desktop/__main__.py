"""The command ``python -m icefloe.demos.desktop``."""

from typing import Annotated

import typer

from icefloe.media import DeviceUnavailable

from .._attending import (
    LOCAL,
    ExternalAddresses,
    Name,
    RoomName,
    Server,
    TcpPort,
    UdpPort,
    over_ports,
    run,
)
from .consent import ask_on_terminal, everybody
from .sharing import take_part
from .target import InputUnavailable


def main(
    server: Server = LOCAL,
    room: RoomName = "lobby",
    name: Name = "desktop",
    display: Annotated[
        str | None,
        typer.Option(help="The screen, as :0; that of the environment without."),
    ] = None,
    rate: Annotated[float, typer.Option(min=1, max=60, help="Pictures a second.")] = 15.0,
    control: Annotated[
        bool,
        typer.Option(
            "--control",
            help="Let others use mouse and keyboard, one at a time; each is asked about here.",
        ),
    ] = False,
    allow_control: Annotated[
        bool,
        typer.Option(
            "--allow-control", help="As --control, for anybody in the room and without asking."
        ),
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who may ask, by name; may be given several times."),
    ] = None,
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Show everybody in a room this screen, and with --control let one of them use it."""
    if allow_control and allow:
        raise typer.BadParameter(
            "a name proves nothing: give --control, and you are asked", param_hint="--allow-control"
        )
    if allow and not control:
        raise typer.BadParameter(
            "it says who may ask for control: give --control as well", param_hint="--allow"
        )
    sharing = over_ports(
        udp_port,
        tcp_port,
        external_address,
        lambda configuration: take_part(
            server,
            room=room,
            name=name,
            display=display,
            rate=rate,
            control=control or allow_control,
            allowed=allow or (),
            consent=everybody if allow_control else ask_on_terminal,
            configuration=configuration,
        ),
    )
    run(sharing, DeviceUnavailable, InputUnavailable)


if __name__ == "__main__":
    typer.run(main)
