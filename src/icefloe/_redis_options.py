"""The Redis that the options of ``icefloe serve`` name."""

from pathlib import Path

import typer

from icefloe._secrets import read_secret
from icefloe.signaling import RedisConfiguration


def redis_settings(url: str | None, file: Path | None, prefix: str) -> RedisConfiguration | None:
    """Return where Redis is; ``None`` for a server that runs alone.

    Args:
        url: The URL.
        file: A file that has it.
        prefix: The first part of the names of keys.

    Raises:
        typer.BadParameter: They do not fit together, or cannot be used.
    """
    hint = "--redis" if file is None else "--redis-file"
    try:
        if file is not None:
            if url is not None:
                raise ValueError("give --redis or --redis-file")
            url = read_secret(file).strip()
        return None if url is None else RedisConfiguration(url=url, prefix=prefix)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{error}", param_hint=hint) from error
