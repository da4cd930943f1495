"""The command ``python -m icefloe.demos.fleet``."""

from typing import Annotated

import typer

from icefloe.logs import get_logger
from icefloe.signaling import ListenFailed

from .._attending import ExternalAddresses, Name, TcpPort, UdpPort, run
from .runner import Fleet, FleetSettings
from .worker import find

logger = get_logger(__name__)


async def serve_rooms(settings: FleetSettings) -> None:
    """Serve, with a bot in each room, until cancelled; then drain."""
    async with Fleet(settings) as fleet:
        logger.info("Open %s?room=any, as often as you like.", fleet.server.page_url)
        await fleet.failed()


def main(
    host: Annotated[
        str, typer.Option(envvar="ICEFLOE_HOST", metavar="ADDRESS", help="Where to listen.")
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(envvar="ICEFLOE_PORT", metavar="PORT", min=0, max=65535, help="TCP port."),
    ] = 8080,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes with bots.")] = 2,
    bot: Annotated[
        str,
        typer.Option(metavar="MODULE:FUNCTION", help="What runs for each participant."),
    ] = "icefloe.demos.echo:echo",
    name: Name = "bot",
    idle: Annotated[
        float, typer.Option(min=0, help="Seconds until a bot leaves an empty room.")
    ] = 10.0,
    drain: Annotated[
        float, typer.Option(min=0, help="Seconds that calls may go on when a worker ends.")
    ] = 30.0,
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
) -> None:
    """Serve signaling and the page, with a bot in each room, in several processes."""
    try:
        find(bot)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--bot") from error
    settings = FleetSettings(
        host=host,
        port=port,
        workers=workers,
        bot=bot,
        name=name,
        idle=idle,
        drain=drain,
        udp_port=udp_port,
        tcp_port=tcp_port,
        external_addresses=tuple(external_address),
    )
    run(serve_rooms(settings), ListenFailed)


if __name__ == "__main__":
    typer.run(main)
