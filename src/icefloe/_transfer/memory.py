"""What a sender needs to go on where it was, when the same command is given again."""

import json
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from icefloe.peer.transfer.pairing import Code

from .._tls import cache_folder


class Memory:
    """The code and port of a transfer that is not done, for the same command given again."""

    def __init__(self, server: str | None, paths: Sequence[str]) -> None:
        told = [str(Path(path).resolve()) for path in paths]
        name = sha256(json.dumps([server, told]).encode()).hexdigest()[:32]
        self._path = cache_folder() / "sends" / f"{name}.json"

    def recall(self) -> tuple[Code, int] | None:
        """Return them, if there are any."""
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return Code.parse(kept["code"]), int(kept["port"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def keep(self, code: Code, port: int) -> None:
        """Note them, for this user alone; where that is not possible there is no memory."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            self._path.write_text(json.dumps({"code": str(code), "port": port}), encoding="utf-8")
        except OSError as error:
            sys.stderr.write(f"this transfer cannot be gone on with later: {error}\n")

    def forget(self) -> None:
        """Forget them: a code is good for one transfer."""
        self._path.unlink(missing_ok=True)
