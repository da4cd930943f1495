"""Keys of join tokens: HS256 secrets and Ed25519 keys, as a file lists them. No I/O.

A file has one HS256 secret a line, after the id of the key and a blank if it has an id, and
Ed25519 keys in PEM. Lines that begin with ``#`` are comments. The first key that can sign makes
tokens, and all verify them: to rotate, put the new key first and remove the old one when the last
of its tokens has expired.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from .errors import InvalidTokenKeys

if TYPE_CHECKING:
    from jwt.api_jws import PyJWS

MAX_KEYS = 8
"""Keys in one file. A token without the id of a key is tried with each key of its algorithm."""

MAX_KEYS_TEXT = 64 * 1024
"""Characters of a file of keys."""

_MIN_SECRET_BYTES = 32  # RFC 7518 section 3.2: a key of HS256 has at least 256 bits
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class Algorithm(StrEnum):
    """An algorithm that signs join tokens (RFC 7518 section 3.1, RFC 8037)."""

    HS256 = "HS256"
    EDDSA = "EdDSA"


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key, which is used with its own algorithm only, whatever the header of a token says.

    Attributes:
        algorithm: The algorithm.
        material: The secret, or a key object of ``cryptography``.
        id: The id of the key, the ``kid`` of its tokens; may be empty.
        can_sign: Whether it makes tokens; a public key only verifies them.
    """

    algorithm: Algorithm
    material: Any = field(repr=False)
    id: str = ""
    can_sign: bool = True


class TokenKeys:
    """The keys that make and verify join tokens, at most eight.

    Args:
        text: HS256 secrets of at least 32 bytes, one a line, with the id of the key and a blank
            before it if it has one; Ed25519 keys in PEM, private or public.

    Raises:
        InvalidTokenKeys: There is no key in the text, or one that cannot be used.
    """

    def __init__(self, text: str) -> None:
        if len(text) > MAX_KEYS_TEXT:
            raise InvalidTokenKeys(f"it has more than {MAX_KEYS_TEXT} characters")
        self._keys = _read_keys(text)
        if not self._keys:
            raise InvalidTokenKeys("there is no key in it")
        if len(self._keys) > MAX_KEYS:
            raise InvalidTokenKeys(f"there are more than {MAX_KEYS} keys in it")

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"TokenKeys(<{len(self._keys)} keys>)"

    @property
    def can_sign(self) -> bool:
        """True if a key can make tokens."""
        return any(key.can_sign for key in self._keys)

    @property
    def signing_key(self) -> TokenKey:
        """The first key that can sign.

        Raises:
            InvalidTokenKeys: All are public keys.
        """
        key = next((key for key in self._keys if key.can_sign), None)
        if key is None:
            raise InvalidTokenKeys("it has public keys only, which cannot make tokens")
        return key

    def candidates(self, algorithm: str, id: str) -> list[TokenKey]:
        """Return the keys that may have signed a token.

        Args:
            algorithm: The algorithm that the token names.
            id: The id of the key that the token names; empty if it names none.
        """
        return [
            key
            for key in self._keys
            if key.algorithm == algorithm and (not id or not key.id or key.id == id)
        ]

    def sign(self, payload: bytes) -> str:
        """Return a signed token (RFC 7515 section 7.1).

        Raises:
            InvalidTokenKeys: No key can sign.
        """
        key = self.signing_key
        headers = {"kid": key.id} if key.id else None
        return jws().encode(payload, key.material, algorithm=key.algorithm, headers=headers)

    def verify(self, token: str, algorithm: str, id: str) -> bytes | None:
        """Return the payload of a token, or ``None`` if none of the keys has signed it.

        The comparison takes a time that does not depend on where signatures differ.

        Args:
            token: The token, of which the caller has checked form and size.
            algorithm: The algorithm that its header names.
            id: The id of the key that its header names; may be empty.
        """
        from jwt.exceptions import PyJWTError

        for key in self.candidates(algorithm, id):
            try:
                return bytes(jws().decode(token, key.material, algorithms=[key.algorithm]))
            except PyJWTError:
                continue
        return None


@lru_cache(maxsize=1)
def jws() -> "PyJWS":
    """Return PyJWT's signer for the two algorithms; it is loaded here, since that takes a while."""
    from jwt.api_jws import PyJWS

    return PyJWS(algorithms=[*Algorithm])


def _read_keys(text: str) -> Sequence[TokenKey]:
    keys: list[TokenKey] = []
    position = 0
    for block in _PEM.finditer(text):
        keys += _read_secrets(text[position : block.start()])
        keys.append(_read_pem(block[0]))
        position = block.end()
    return [*keys, *_read_secrets(text[position:])]


def _read_secrets(text: str) -> list[TokenKey]:
    keys = []
    for line in text.splitlines():
        words = line.split()
        if not words or line.lstrip().startswith("#"):
            continue
        if len(words) > 2 or line.lstrip().startswith("-----"):
            raise InvalidTokenKeys("a line is neither a secret, an id and a secret, nor PEM")
        secret = words[-1].encode()
        if len(secret) < _MIN_SECRET_BYTES:
            raise InvalidTokenKeys(
                f"a secret has {len(secret)} bytes, and HS256 needs {_MIN_SECRET_BYTES}"
            )
        keys.append(TokenKey(Algorithm.HS256, secret, words[0] if len(words) == 2 else ""))
    return keys


def _read_pem(block: str) -> TokenKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )
    from cryptography.hazmat.primitives.serialization import (
        load_pem_private_key,
        load_pem_public_key,
    )

    is_public = block.startswith("-----BEGIN PUBLIC KEY")
    try:
        key = (
            load_pem_public_key(block.encode())
            if is_public
            else load_pem_private_key(block.encode(), password=None)
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidTokenKeys("a key in PEM cannot be read, or is encrypted") from error
    if not isinstance(key, Ed25519PrivateKey | Ed25519PublicKey):
        raise InvalidTokenKeys("a key in PEM is no Ed25519 key")
    return TokenKey(Algorithm.EDDSA, key, can_sign=not is_public)
