"""The command ``icefloe token``: prints a join token."""

from pathlib import Path

from icefloe._secrets import KEYS_VARIABLE
from icefloe._serving import EXIT_OK, EXIT_USAGE, CommandError, token_keys
from icefloe._streams import output, write_line
from icefloe.signaling import make_token


def print_token(
    file: Path | None,
    *,
    room: str | None,
    rooms: str | None,
    name: str | None,
    rights: tuple[str, ...],
    seconds: float,
    audience: str | None,
) -> int:
    """Print a join token; return the exit code.

    Raises:
        CommandError: There are no keys, or they cannot be used.
    """
    keys = token_keys(file)
    if keys is None:
        raise CommandError(
            f"There is no key to sign with: give --token-secret-file, or set {KEYS_VARIABLE}.",
            EXIT_USAGE,
        )
    try:
        token = make_token(
            keys,
            room=room,
            rooms=rooms,
            name=name,
            rights=rights,
            seconds=seconds,
            audience=audience,
        )
    except ValueError as error:
        raise CommandError(f"{error}.", EXIT_USAGE) from error
    write_line(output(), token)
    return EXIT_OK
