"""The ICE servers that the options of a command name, and the secret for their credentials."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from icefloe._turn_secrets import NoSecret, turn_secrets
from icefloe.signaling import IceServer, TurnServers
from icefloe.text import public_url


def secrets_from(file: Path | None) -> tuple[str, ...] | None:
    """Return the secrets shared with the TURN servers; ``None`` if none were given.

    Raises:
        typer.BadParameter: The file or the variable has no usable secret.
    """
    try:
        return turn_secrets(file)
    except NoSecret as error:
        raise typer.BadParameter(str(error), param_hint="--turn-secret-file") from error


def ice_settings(
    urls: list[str],
    username: str | None,
    credential: str | None,
    secret_file: Path | None,
    lifetime: int,
) -> dict[str, Any]:
    """Return the settings of ICE: servers as they are, and those with credentials that expire.

    Args:
        urls: The URLs of STUN and TURN servers.
        username: The user name for the TURN servers.
        credential: The password for them.
        secret_file: The file with the secret that the TURN servers know.
        lifetime: Seconds that credentials made with it hold.

    Raises:
        typer.BadParameter: The options do not fit together.
    """
    secrets = secrets_from(secret_file) if secret_file or urls else None
    turn = [url for url in urls if url.lower().startswith("turn")]
    if secrets is None or (username and credential and secret_file is None):
        return {"ice_servers": _ice_servers(urls, username, credential)}
    if username or credential:
        raise typer.BadParameter(
            "leave out --ice-username and --ice-credential with it", param_hint="--turn-secret-file"
        )
    if not turn:
        if secret_file is None:
            return {"ice_servers": _ice_servers(urls, username, credential)}
        raise typer.BadParameter(
            "name the TURN servers that know the secret with --ice-server",
            param_hint="--turn-secret-file",
        )
    # Checks the URLs, for which credentials are only made later.
    _ice_servers(turn, "made", "later")
    try:
        servers = TurnServers(urls=tuple(turn), secrets=secrets, lifetime=lifetime)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--ice-server") from error
    rest = [url for url in urls if url not in turn]
    return {"ice_servers": _ice_servers(rest, None, None), "turn": (servers,)}


def _ice_servers(
    urls: Iterable[str], username: str | None, credential: str | None
) -> tuple[IceServer, ...]:
    if not urls:
        return ()
    from aiortc import RTCIceServer

    # Importing these is slow, and most servers name no others.
    from icefloe.peer import InvalidServerUrl, PeerConfiguration

    servers = []
    for url in urls:
        try:
            PeerConfiguration(iceServers=[RTCIceServer(urls=url)])
        except InvalidServerUrl as error:
            raise typer.BadParameter(str(error), param_hint="--ice-server") from error
        is_turn = url.lower().startswith("turn")
        if is_turn and not (username and credential):
            raise typer.BadParameter(
                f"{public_url(url)} needs --turn-secret-file, or --ice-username and "
                "--ice-credential",
                param_hint="--ice-server",
            )
        secrets = {"username": username, "credential": credential} if is_turn else {}
        servers.append(IceServer(urls=url, **secrets))
    return tuple(servers)
