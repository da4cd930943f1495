"""Stores the code and port of an unfinished ``icefloe send``, so that it can be resumed later."""

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from icefloe._streams import show_message
from icefloe._tls import cache_folder
from icefloe.peer import PairingCode


class Memory:
    """The code and port of an unfinished transfer, in the cache folder of the user.

    Args:
        server: The signaling server that was given to the command.
        paths: The paths that were given; server and paths identify the transfer.
    """

    def __init__(self, server: str | None, paths: Sequence[str]) -> None:
        resolved = [os.path.realpath(path) for path in paths]
        name = sha256(json.dumps([server, resolved]).encode()).hexdigest()[:32]
        self._path: Path | None = None
        try:
            self._path = cache_folder() / "sends" / f"{name}.json"
        except RuntimeError as error:  # the user has no home folder
            show_message(f"this transfer cannot be resumed later: {error}")

    def load(self) -> tuple[PairingCode, int] | None:
        """Return the stored code and port, or ``None`` if there are none."""
        if self._path is None:
            return None
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return PairingCode.parse(kept["code"]), int(kept["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def store(self, code: PairingCode, port: int) -> None:
        """Store code and port, readable only by this user; show a message if that fails."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._path.write_text(json.dumps({"code": str(code), "port": port}), encoding="utf-8")
        except OSError as error:
            show_message(f"this transfer cannot be resumed later: {error}")

    def clear(self) -> None:
        """Delete the stored code and port: a code is valid for one transfer only."""
        if self._path is None:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            show_message(f"the code of this transfer stays in {self._path}: {error}")
