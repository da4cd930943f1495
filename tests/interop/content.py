"""Content of the interoperation tests, which both sides can make and tell apart."""

import hashlib
from collections.abc import Iterable


def content(number: int, size: int) -> bytes:
    """Return the content of a message: its number, in four bytes, again and again."""
    return (number.to_bytes(4, "big") * (size // 4 + 1))[:size]


def digest(parts: Iterable[bytes]) -> str:
    """Return the SHA-256 of parts, one after the other, as hexadecimal digits."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return total.hexdigest()
