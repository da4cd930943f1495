"""The secrets shared with TURN servers, from a file or the environment."""

import os
import stat
import tempfile
from collections.abc import Mapping
from logging import Logger
from pathlib import Path

from icefloe.logs import get_logger
from icefloe.signaling.turn_credentials import LONGEST_SECRET, MAX_SECRETS, read_secrets
from icefloe.text import PrintableError

logger: Logger = get_logger(__name__)

SECRET_VARIABLE = "ICEFLOE_TURN_SECRET"
"""The environment variable with the secret, or two of them with a line break between."""

MAX_FILE = (LONGEST_SECRET + 2) * MAX_SECRETS + 4096
"""The most bytes of the file: the secrets, and comments."""


class NoSecret(PrintableError, ValueError):
    """There is no secret, or none that can be used; the text quotes none."""


def turn_secrets(
    file: Path | None, environment: Mapping[str, str] | None = None
) -> tuple[str, ...] | None:
    """Return the secrets, the one in use first; ``None`` if none were given.

    Args:
        file: The file that has them; it takes precedence over the environment.
        environment: The environment variables; by default those of this process.

    Raises:
        NoSecret: The file cannot be read, or has no usable secret.
    """
    if file is not None:
        return _parse(_read(file), str(file))
    text = (os.environ if environment is None else environment).get(SECRET_VARIABLE)
    return None if text is None else _parse(text, SECRET_VARIABLE)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            is_shared = stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & 0o077
            data = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise NoSecret(f"{file} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE:
        raise NoSecret(f"{file} has more than {MAX_FILE} bytes")
    if is_shared and os.name == "posix":
        logger.warning("others may read %s: `chmod 600` it", file)
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise NoSecret(f"{file} has characters other than ASCII") from error


def _parse(text: str, source: str) -> tuple[str, ...]:
    try:
        return read_secrets(text)
    except ValueError as error:
        raise NoSecret(f"{source}: {error}") from error


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read; one that is there is replaced.

    Raises:
        OSError: It cannot be written.
    """
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".turn-config-")  # mode 0600
    try:
        with open(descriptor, "w", encoding="ascii") as opened:
            opened.write(text)
        os.replace(temporary, file)
    except BaseException:
        os.unlink(temporary)
        raise
