"""Secrets of the ``icefloe`` command, from files and the environment, never from its arguments."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from icefloe._streams import show_message

if TYPE_CHECKING:
    from icefloe.signaling import TokenKeys

KEYS_VARIABLE = "ICEFLOE_TOKEN_SECRET"
"""The variable with the keys of join tokens, as a file of them has them."""

TOKEN_VARIABLE = "ICEFLOE_TOKEN"
"""The variable with the token of a participant."""

METRICS_VARIABLE = "ICEFLOE_METRICS_TOKEN"
"""The variable with the token that reads the metrics."""

MAX_FILE_BYTES = 64 * 1024
"""The largest file of secrets."""


def read_keys(file: Path | None) -> "TokenKeys | None":
    """Return the keys of join tokens in a file and in the environment; ``None`` if there are none.

    Raises:
        OSError: The file cannot be read.
        InvalidTokenKeys: There are no keys in it, or some that cannot be used.
    """
    from icefloe.signaling import TokenKeys

    texts = [read_secret(file)] if file is not None else []
    if variable := os.environ.get(KEYS_VARIABLE):
        texts.append(variable)
    if not texts:
        return None
    keys = TokenKeys("\n".join(texts))
    if file is not None and keys.can_sign and _others_may_read(file):
        show_message(f"{file} has a secret, and others can read it: chmod 600 {file}")
    return keys


def token_source(file: Path | None) -> str | Callable[[], Awaitable[str]] | None:
    """Return where the token of a participant comes from; ``None`` if it has none.

    A file is read again for each connection, so that the token in it can be replaced.
    """
    if file is None:
        return os.environ.get(TOKEN_VARIABLE) or None

    async def read() -> str:
        return (await asyncio.to_thread(read_secret, file)).strip()

    return read


def read_metrics_token(file: Path | None) -> str | None:
    """Return the token that reads the metrics, of a file or the environment; ``None`` for none.

    Raises:
        OSError: The file cannot be read, or is too large.
    """
    text = os.environ.get(METRICS_VARIABLE, "") if file is None else read_secret(file)
    return text.strip() or None


def read_secret(file: Path) -> str:
    """Return what a file of secrets has, which is short.

    Raises:
        OSError: The file cannot be read, or is too large.
    """
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(f"it has more than {MAX_FILE_BYTES} bytes")
    return content.decode("utf-8", errors="replace")


def _others_may_read(file: Path) -> bool:
    return os.name == "posix" and bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))
