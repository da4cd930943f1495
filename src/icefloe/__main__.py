# Longer than 400 lines: typer reads the flags of each command from its signature.
"""The ``icefloe`` command."""

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn
from urllib.parse import urlsplit

import typer

from icefloe import __version__
from icefloe._options import (
    AllowedPeers,
    Browser,
    Certificate,
    CodeWords,
    ConfigOut,
    Expires,
    ExternalAddresses,
    ExternalIps,
    FirstModerates,
    Host,
    Hosts,
    IceCredential,
    IceUrls,
    IceUsername,
    Json,
    Key,
    Level,
    LogLevel,
    MaxPort,
    May,
    MinPort,
    Name,
    Open,
    Origins,
    Out,
    Overwrite,
    Paths,
    PerAddress,
    Play,
    Port,
    ProxyHeaderKind,
    ProxyHeaders,
    Qr,
    Realm,
    RedisFile,
    RedisPrefix,
    RedisUrl,
    RoomName,
    SelfSigned,
    Server,
    ShowSecret,
    TcpPort,
    TokenAudience,
    TokenFile,
    TokenName,
    TokenRoom,
    TokenRooms,
    TokenSecretFile,
    TotalQuota,
    TrustedProxies,
    TurnCertificate,
    TurnKey,
    TurnLifetime,
    TurnPort,
    TurnRate,
    TurnSecretFile,
    TurnTlsPort,
    UdpPort,
    UserQuota,
    Wait,
    WebhookSecretFile,
    WebhookUrls,
    Yes,
)
from icefloe._secrets import token_source
from icefloe._server_flags import ServerFlags, with_server_flags
from icefloe._streams import secure_streams, show_message
from icefloe.logs import LogFormat

if TYPE_CHECKING:
    from icefloe._serving import Guest, Settings
    from icefloe.signaling import Proxies

_EPILOG = (
    "Every flag is an environment variable as well: for --log-level it is ICEFLOE_LOG_LEVEL.\n\n"
    "Exit codes: 0 all is well, or a server was ended by SIGTERM; 1 an error; 2 wrong usage; 10 "
    "the port cannot be had, or signaling failed; of transfers: 11 the codes differ, or nobody "
    "came; 12 no connection; 13 declined, or stopped by the other side; 14 a file could not be "
    "read or written; 15 broken off, and the other side did not come back; 143 ended by SIGTERM; "
    "130 ended by Ctrl-C. Ending takes at most two seconds, after --drain-seconds if SIGTERM ends "
    "a server; a second signal ends at once. Logs go to standard error."
)

app: typer.Typer = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    epilog=_EPILOG,
    help="Video calls and data between browsers and Python.",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"icefloe {__version__}\n")
        raise typer.Exit


@app.callback()
def icefloe(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Handle the options of all commands: only ``--version``."""


@app.command(epilog=_EPILOG)
@with_server_flags
def serve(
    flags: ServerFlags,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    log_level: Level = LogLevel.INFO,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    tls_self_signed: SelfSigned = False,
    ice_server: IceUrls = [],  # noqa: B006
    ice_username: IceUsername = None,
    ice_credential: IceCredential = None,
    turn_secret_file: TurnSecretFile = None,
    turn_lifetime: TurnLifetime = 600,
    allowed_origin: Origins = [],  # noqa: B006
    allowed_host: Hosts = [],  # noqa: B006
    address_limits: PerAddress = True,
    token_secret_file: TokenSecretFile = None,
    token_audience: TokenAudience = None,
    open: Open = False,
    first_moderates: FirstModerates = False,
    proxy_headers: ProxyHeaders = None,
    trusted_proxy: TrustedProxies = [],  # noqa: B006
    redis: RedisUrl = None,
    redis_file: RedisFile = None,
    redis_prefix: RedisPrefix = "icefloe",
    webhook: WebhookUrls = [],  # noqa: B006
    webhook_secret_file: WebhookSecretFile = None,
) -> None:
    """Serve signaling and the call page."""
    from icefloe._ice_options import ice_settings
    from icefloe._redis_options import redis_settings
    from icefloe._serving import Settings
    from icefloe._webhook_options import webhooks

    settings = Settings(
        host=host,
        port=port,
        certificate=tls_cert,
        key=_checked_key(tls_cert, tls_key, tls_self_signed),
        self_signed=tls_self_signed,
        **ice_settings(ice_server, ice_username, ice_credential, turn_secret_file, turn_lifetime),
        origins=_checked_origins(allowed_origin),
        hosts=_checked_hosts(allowed_host),
        limits_addresses=address_limits,
        **flags.settings(),
        token_secret_file=token_secret_file,
        audience=token_audience,
        is_open=open,
        first_moderates=first_moderates,
        proxies=_proxies(proxy_headers, trusted_proxy),
        redis=redis_settings(redis, redis_file, redis_prefix),
        webhooks=webhooks(webhook, webhook_secret_file),
    )
    _run(settings, log_level, flags.log_format)


@app.command(epilog=_EPILOG)
@with_server_flags
def demo(
    flags: ServerFlags,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    log_level: Level = LogLevel.INFO,
    tls_cert: Certificate = None,
    tls_key: Key = None,
    tls_self_signed: SelfSigned = False,
    ice_server: IceUrls = [],  # noqa: B006
    ice_username: IceUsername = None,
    ice_credential: IceCredential = None,
    turn_secret_file: TurnSecretFile = None,
    turn_lifetime: TurnLifetime = 600,
    allowed_origin: Origins = [],  # noqa: B006
    allowed_host: Hosts = [],  # noqa: B006
    address_limits: PerAddress = True,
    token_secret_file: TokenSecretFile = None,
    token_audience: TokenAudience = None,
    open: Open = False,
    first_moderates: FirstModerates = False,
    proxy_headers: ProxyHeaders = None,
    trusted_proxy: TrustedProxies = [],  # noqa: B006
    room: RoomName = "lobby",
    name: Name = "python",
    play: Play = None,
    udp_port: UdpPort = None,
    tcp_port: TcpPort = None,
    external_address: ExternalAddresses = [],  # noqa: B006
    browser: Browser = False,
) -> None:
    """Serve, and take part: a video call between a browser and Python.

    Open the page that it names: the participant sends you your own picture with an effect, and
    takes commands in the chat.
    """
    from icefloe._ice_options import ice_settings
    from icefloe._participant import participant
    from icefloe._serving import Settings

    settings = Settings(
        host=host,
        port=port,
        certificate=tls_cert,
        key=_checked_key(tls_cert, tls_key, tls_self_signed),
        self_signed=tls_self_signed,
        **ice_settings(ice_server, ice_username, ice_credential, turn_secret_file, turn_lifetime),
        origins=_checked_origins(allowed_origin),
        hosts=_checked_hosts(allowed_host),
        limits_addresses=address_limits,
        **flags.settings(),
        token_secret_file=token_secret_file,
        audience=token_audience,
        is_open=open,
        first_moderates=first_moderates,
        proxies=_proxies(proxy_headers, trusted_proxy),
        room=_checked_name(room, "--room"),
        browser=browser,
    )
    _checked_name(name, "--name")
    _check_external(external_address)
    guest = participant(room, name, play, udp_port, tcp_port, external_address)
    _run(settings, log_level, flags.log_format, guest)


@app.command(epilog=_EPILOG)
def token(
    token_secret_file: TokenSecretFile = None,
    token_audience: TokenAudience = None,
    room: TokenRoom = None,
    rooms: TokenRooms = None,
    name: TokenName = None,
    may: May = [],  # noqa: B006
    expires: Expires = 3600.0,
    log_level: Level = LogLevel.WARNING,
) -> None:
    """Print a token that admits to a room of a server with the same keys."""
    from icefloe._tokens import print_token

    if (room is None) == (rooms is None):
        raise typer.BadParameter("give --room or --rooms", param_hint="--room")
    if room is not None:
        _checked_name(room, "--room")
    if rooms is not None:
        _checked_name(rooms, "--rooms")
    if name is not None:
        _checked_name(name, "--name")
    rights = _checked_rights(may)
    _end(
        lambda: print_token(
            token_secret_file,
            room=room,
            rooms=rooms,
            name=name,
            rights=rights,
            seconds=expires,
            audience=token_audience,
        ),
        log_level,
    )


@app.command(epilog=_EPILOG)
def send(
    paths: Paths,
    server: Server = None,
    wait: Wait = 3600.0,
    json: Json = False,
    qr: Qr = False,
    token_file: TokenFile = None,
    log_level: Level = LogLevel.WARNING,
) -> None:
    """Send files and folders to another machine.

    It prints a code, and the command for the other side. After a break, give the same command
    again: it goes on where it stopped.
    """
    from icefloe._transfer import SendSettings, send

    if "" in paths:
        raise typer.BadParameter("an empty name names no file", param_hint="PATH")
    settings = SendSettings(
        paths=tuple(paths),
        server=server,
        wait=wait,
        json=json,
        qr=qr,
        token=token_source(token_file),
    )
    _end(lambda: send(settings), log_level)


@app.command(epilog=_EPILOG)
def receive(
    code: CodeWords,
    server: Server = None,
    out: Out = ".",
    yes: Yes = False,
    overwrite: Overwrite = False,
    wait: Wait = 60.0,
    json: Json = False,
    token_file: TokenFile = None,
    log_level: Level = LogLevel.WARNING,
) -> None:
    """Receive what somebody sends under a code.

    After a break, give the same command again: it goes on where it stopped.
    """
    from icefloe._transfer import ReceiveSettings, receive

    if out == "":
        raise typer.BadParameter("an empty name names no folder", param_hint="--out")
    if server is None:
        raise typer.BadParameter("give the one that the sender shows", param_hint="--server")
    if not yes and not sys.stdin.isatty():
        raise typer.BadParameter("give it where nobody can be asked", param_hint="--yes")
    settings = ReceiveSettings(
        code=code,
        server=server,
        out=out,
        yes=yes,
        overwrite=overwrite,
        wait=wait,
        json=json,
        token=token_source(token_file),
    )
    _end(lambda: receive(settings), log_level)


@app.command(name="turn-config", epilog=_EPILOG)
def turn_config(
    realm: Realm,
    turn_secret_file: TurnSecretFile = None,
    external_ip: ExternalIps = [],  # noqa: B006
    tls_cert: TurnCertificate = None,
    tls_key: TurnKey = None,
    port: TurnPort = 3478,
    tls_port: TurnTlsPort = 5349,
    min_port: MinPort = 49152,
    max_port: MaxPort = 65535,
    user_quota: UserQuota = 24,
    total_quota: TotalQuota = 4800,
    max_rate: TurnRate = 8_000_000,
    allow_peer: AllowedPeers = [],  # noqa: B006
    show_secret: ShowSecret = False,
    out: ConfigOut = None,
) -> None:
    """Print a configuration of coturn that is closed to abuse.

    It takes the credentials that `icefloe serve --turn-secret-file` gives to participants. The
    secret is left out unless it is asked for.
    """
    from icefloe._ice_options import secrets_from
    from icefloe._turn_config import InvalidTurnConfig, TurnConfig, coturn_configuration
    from icefloe._turn_secrets import write_private

    secrets = secrets_from(turn_secret_file)
    if secrets is None and (show_secret or out is not None):
        raise typer.BadParameter("give the file with the secret", param_hint="--turn-secret-file")
    try:
        config = TurnConfig(
            realm=realm,
            external_ips=tuple(external_ip),
            certificate=tls_cert,
            key=_checked_key(tls_cert, tls_key, False),
            port=port,
            tls_port=tls_port,
            min_port=min_port,
            max_port=max_port,
            user_quota=user_quota,
            total_quota=total_quota,
            rate=max_rate,
            allowed=tuple(allow_peer),
        )
    except InvalidTurnConfig as error:
        raise typer.BadParameter(str(error), param_hint=error.flag) from error
    if out is None:
        sys.stdout.write(coturn_configuration(config, secrets if show_secret else None))
    else:
        try:
            write_private(out, coturn_configuration(config, secrets))
        except OSError as error:
            show_message(f"{out} cannot be written: {error.strerror}.")
            raise typer.Exit(1) from error


def _run(
    settings: "Settings",
    log_level: LogLevel,
    log_format: LogFormat,
    guest: "Guest | None" = None,
) -> NoReturn:
    from icefloe._serving import run

    _end(lambda: run(settings, guest), log_level, log_format)


def _end(
    work: Callable[[], int], log_level: LogLevel, log_format: LogFormat = LogFormat.TEXT
) -> NoReturn:
    from icefloe._serving import CommandError, set_up_logging

    set_up_logging(log_level, log_format)
    try:
        code = work()
    except CommandError as error:
        show_message(str(error))
        code = error.exit_code
    raise typer.Exit(code)


# --- validation of options ----------------------------------------------------------------------


def _checked_key(certificate: Path | None, key: Path | None, self_signed: bool) -> Path | None:
    if self_signed and (certificate or key):
        raise typer.BadParameter(
            "leave it out, or --tls-cert and --tls-key", param_hint="--tls-self-signed"
        )
    if key and not certificate:
        raise typer.BadParameter("give --tls-cert with it", param_hint="--tls-key")
    return key


def _checked_origins(origins: Iterable[str]) -> frozenset[str]:
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}" != origin:
            raise typer.BadParameter(
                f"{origin!r} is no origin; write it like https://example.org",
                param_hint="--allowed-origin",
            )
    return frozenset(origins)


def _checked_hosts(hosts: Iterable[str]) -> frozenset[str]:
    for host in hosts:
        if not re.fullmatch(r"\*|(\*\.)?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", host):
            raise typer.BadParameter(
                f"{host!r} is no host name; write it like call.example.org, without a port",
                param_hint="--allowed-host",
            )
    return frozenset(hosts)


def _check_external(addresses: list[str]) -> None:
    from icefloe.peer import InvalidConfiguration, PeerConfiguration

    try:
        PeerConfiguration(external_addresses=addresses)
    except InvalidConfiguration as error:
        raise typer.BadParameter(str(error), param_hint="--external-address") from error


def _checked_rights(rights: Iterable[str]) -> tuple[str, ...]:
    for right in rights:
        if right not in ("join", "send", "moderate"):
            raise typer.BadParameter("give join, send or moderate", param_hint="--may")
    return tuple(rights) or ("join", "send")


def _proxies(header: ProxyHeaderKind | None, networks: Iterable[str]) -> "Proxies | None":
    if header is None:
        if networks:
            raise typer.BadParameter("give --proxy-headers with it", param_hint="--trusted-proxy")
        return None
    from icefloe.signaling import Proxies, ProxyHeader

    given = {"networks": tuple(networks)} if networks else {}
    try:
        return Proxies(header=ProxyHeader(header.value), **given)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--trusted-proxy") from error


def _checked_name(name: str, flag: str) -> str:
    if not 1 <= len(name) <= 64 or re.search(r"[\x00-\x1f\x7f-\x9f]", name):
        raise typer.BadParameter("give 1 to 64 characters", param_hint=flag)
    return name


def main() -> None:
    """Run the command line."""
    secure_streams()
    app()


if __name__ == "__main__":
    main()
