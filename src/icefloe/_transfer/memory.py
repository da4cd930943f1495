"""What a sender needs to go on where it was, when the same command is given again."""

import json
import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from icefloe._streams import say
from icefloe._tls import cache_folder
from icefloe.peer.pairing.key_exchange import Code


class Memory:
    """The code and port of a transfer that is not done, for the same command given again."""

    def __init__(self, server: str | None, paths: Sequence[str]) -> None:
        told = [os.path.realpath(path) for path in paths]
        name = sha256(json.dumps([server, told]).encode()).hexdigest()[:32]
        self._path: Path | None = None
        try:
            self._path = cache_folder() / "sends" / f"{name}.json"
        except RuntimeError as error:  # nobody's home
            say(f"this transfer cannot be gone on with later: {error}")

    def recall(self) -> tuple[Code, int] | None:
        """Return them, if there are any."""
        if self._path is None:
            return None
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return Code.parse(kept["code"]), int(kept["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, code: Code, port: int) -> None:
        """Note them, for this user alone; where that is not possible there is no memory."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._path.write_text(json.dumps({"code": str(code), "port": port}), encoding="utf-8")
        except OSError as error:
            say(f"this transfer cannot be gone on with later: {error}")

    def forget(self) -> None:
        """Forget them: a code is good for one transfer."""
        if self._path is None:
            return
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            say(f"the code of this transfer stays in {self._path}: {error}")
