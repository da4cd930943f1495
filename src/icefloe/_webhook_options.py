"""The webhooks that the options of a command name, and the secret that signs them."""

import os
from pathlib import Path

import typer

from icefloe._secrets import MAX_FILE_BYTES
from icefloe.signaling import InvalidWebhook, Webhooks

SECRET_VARIABLE = "ICEFLOE_WEBHOOK_SECRET"
"""The environment variable with the secret, or two of them with a line break between."""


def webhooks(urls: list[str], secret_file: Path | None) -> Webhooks | None:
    """Return the webhooks of a server; ``None`` if there are none.

    Args:
        urls: Their URLs.
        secret_file: The file with the secret.

    Raises:
        typer.BadParameter: The options do not fit together. The error quotes no secret.
    """
    if not urls:
        if secret_file is not None:
            raise typer.BadParameter("give --webhook with it", param_hint="--webhook-secret-file")
        return None
    text = os.environ.get(SECRET_VARIABLE, "") if secret_file is None else _read(secret_file)
    lines = (line.strip() for line in text.splitlines())
    secrets = tuple(line for line in lines if line and not line.startswith("#"))
    if not secrets:
        raise typer.BadParameter(
            f"it needs a secret: give --webhook-secret-file, or the variable {SECRET_VARIABLE}",
            param_hint="--webhook",
        )
    try:
        return Webhooks(urls=tuple(urls), secrets=secrets)
    except InvalidWebhook as error:
        raise typer.BadParameter(str(error), param_hint="--webhook") from error


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise typer.BadParameter(
            f"{file} cannot be read: {error.strerror}", param_hint="--webhook-secret-file"
        ) from error
    if len(data) > MAX_FILE_BYTES:
        raise typer.BadParameter(
            f"{file} has more than {MAX_FILE_BYTES} bytes", param_hint="--webhook-secret-file"
        )
    return data.decode("utf-8", errors="replace")
