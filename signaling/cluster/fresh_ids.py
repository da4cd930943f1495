"""Ids and secrets that each replica makes alike, out of random bytes in the log. No I/O."""

from base64 import urlsafe_b64encode
from hashlib import blake2b

_STATE_BYTES = 32
_ID_BYTES = 9
_SECRET_BYTES = 24


class FreshIds:
    """A generator of ids and secrets. Nobody can guess them who does not know all seeds.

    Attributes:
        state: Its state, for a snapshot; what it made before cannot be told from it.
    """

    def __init__(self) -> None:
        self.state: bytes = bytes(_STATE_BYTES)

    def mix(self, seed: bytes) -> None:
        """Add random bytes."""
        self.state = blake2b(seed, key=self.state, digest_size=_STATE_BYTES).digest()

    def new_id(self) -> str:
        """Return a new id."""
        return self._take(_ID_BYTES)

    def new_secret(self) -> str:
        """Return a new secret."""
        return self._take(_SECRET_BYTES)

    def _take(self, size: int) -> str:
        taken = blake2b(b"taken", key=self.state, digest_size=size).digest()
        self.state = blake2b(b"next", key=self.state, digest_size=_STATE_BYTES).digest()
        return urlsafe_b64encode(taken).decode().rstrip("=")
