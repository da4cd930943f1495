"""How two that know the same short code find out that they do, and nobody else. No I/O.

A code is ``7-amber-falcon``: a number that says where to meet, and two words that are the secret.
SPAKE2 (RFC 9382, in the form of the Python library of that name) makes of them a key that is as
strong as any: who listens learns nothing, and who guesses learns whether that one guess was right,
which the other side notices. The side that receives shows first that it has the key, so that a
wrong guess is counted before anything is given away.

With the key each side signs the fingerprints of its DTLS certificates (RFC 8122). A server that
puts its own in their place cannot, and is found out before a connection is tried.
"""

import hmac
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from ..files.errors import InvalidCode, WrongCode
from .code_words import WORDS

_PLACES = 1000
_IDENTITIES = {"idA": b"icefloe sender", "idB": b"icefloe receiver"}
_HALF = 33
"""Bytes of a half: which side it is of, and a point."""

_FINGERPRINT = re.compile(
    r"^a=fingerprint:([A-Za-z0-9-]+) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)\r?$", re.MULTILINE
)

_Hex = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{2}){1,128}\Z")]


class Side(StrEnum):
    """Who somebody is."""

    SENDER = "sender"
    """Made the code."""

    RECEIVER = "receiver"
    """Was told the code."""

    @property
    def other(self) -> "Side":
        """The one that it pairs with."""
        return Side.RECEIVER if self is Side.SENDER else Side.SENDER


@dataclass(frozen=True, slots=True)
class Code:
    """A code.

    Attributes:
        place: The number, which the signaling server gets to know.
        words: The secret.
    """

    place: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return "-".join((str(self.place), *self.words))

    def __repr__(self) -> str:
        return f"Code({self.place}-…)"  # no secrets in logs

    @property
    def room(self) -> str:
        """The room at the signaling server in which the two meet."""
        return f"files-{self.place}"

    @classmethod
    def make(cls, choose: Callable[[int], int] = secrets.randbelow) -> "Code":
        """Make a new one.

        Args:
            choose: Gives a number from 0 to below its argument, which nobody can foresee.
        """
        words = tuple(WORDS[choose(len(WORDS))] for _ in range(2))
        return cls(1 + choose(_PLACES - 1), words)

    @classmethod
    def parse(cls, text: str) -> "Code":
        """Read a code as people write it: in any case, with spaces or hyphens.

        Raises:
            InvalidCode: It is none.
        """
        place, *words = re.split(r"[-\s]+", text.strip().lower()) or [""]
        if not re.fullmatch(r"[0-9]{1,6}", place):
            raise InvalidCode(text, "it does not begin with a number")
        if len(words) != 2:
            raise InvalidCode(text, "two words follow the number")
        for word in words:
            if word not in WORDS:
                near = [known for known in WORDS if known[:2] == word[:2]]
                hint = f" (is it {' or '.join(near)}?)" if near else ""
                raise InvalidCode(text, f"{word!r} is no word of a code{hint}")
        return cls(int(place), tuple(words))


# ---- what is said, as data of signaling's messages -----------------------------------------------


class Pake(Struct, frozen=True, tag_field="pairing", tag="pake"):
    """One side's half of SPAKE2."""

    data: _Hex


class Confirm(Struct, frozen=True, tag_field="pairing", tag="confirm"):
    """Shows that a side has the key."""

    mac: _Hex


class Fingerprints(Struct, frozen=True, tag_field="pairing", tag="fingerprints"):
    """Signs the fingerprints in the descriptions that follow."""

    mac: _Hex


class Refused(Struct, frozen=True, tag_field="pairing", tag="refused"):
    """No connection is made; with ``busy`` not now."""

    reason: Literal["wrong-code", "used-up", "fingerprints", "busy"]


Saying = Pake | Confirm | Fingerprints | Refused


def read(data: object) -> Saying | None:
    """Return what somebody said; ``None`` if it is nothing about pairing."""
    try:
        return msgspec.convert(data, Saying)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        return None


def said(saying: Saying) -> object:
    """Return something to say as data of a ``message``."""
    return msgspec.to_builtins(saying)


# ---- the exchange --------------------------------------------------------------------------------


class Pairing:
    """One side of one exchange, good for one guess.

    Args:
        code: The code that this side has.
        side: Which side this is.

    Attributes:
        pake: What to say first.
        is_paired: Whether the other side has shown that it has the key.
    """

    def __init__(self, code: Code, side: Side) -> None:
        kind = SPAKE2_A if side is Side.SENDER else SPAKE2_B
        self._spake = kind(str(code).encode(), **_IDENTITIES)
        self._side = side
        self._key: bytes | None = None
        self.pake = Pake(self._spake.start().hex())
        self.is_paired = False

    @property
    def has_key(self) -> bool:
        """Whether the other side's half came; it may have another key."""
        return self._key is not None

    def receive(self, pake: Pake) -> Confirm:
        """Take the other side's half, once.

        Returns:
            What shows that this side has the key. A sender keeps it until :meth:`check`.

        Raises:
            WrongCode: It is no half at all, or not the first.
        """
        if self._key is not None:
            raise WrongCode
        half = bytes.fromhex(pake.data)
        if len(half) != _HALF:
            raise WrongCode  # the library would take a point that is cut off, or followed by more
        try:
            self._key = self._spake.finish(half)
        except (SPAKEError, NotOnCurve, ValueError) as error:
            raise WrongCode from error
        return self.confirmation

    @property
    def confirmation(self) -> Confirm:
        """What shows that this side has the key.

        Raises:
            WrongCode: It has none yet.
        """
        return Confirm(self._mac(b"confirm", self._side))

    def check(self, confirm: Confirm) -> None:
        """See whether the other side has the same key.

        Raises:
            WrongCode: It does not.
        """
        if self._key is None or not hmac.compare_digest(
            confirm.mac, self._mac(b"confirm", self._side.other)
        ):
            raise WrongCode
        self.is_paired = True

    def sign(self, sdp: str) -> Fingerprints:
        """Sign the fingerprints in a description of this side."""
        return Fingerprints(self._mac(b"fingerprints", self._side, *_fingerprints(sdp)))

    def verify(self, signed: Fingerprints | None, sdp: str) -> bool:
        """Tell whether the fingerprints in a description are those that the other side signed."""
        told = _fingerprints(sdp)
        if signed is None or not told:
            return False
        return hmac.compare_digest(signed.mac, self._mac(b"fingerprints", self._side.other, *told))

    def _mac(self, purpose: bytes, side: Side, *parts: str) -> str:
        if self._key is None:
            raise WrongCode
        told = b"\0".join((purpose, side.encode(), *(part.encode() for part in parts)))
        return hmac.digest(self._key, told, "sha256").hex()


def _fingerprints(sdp: str) -> list[str]:
    """Return the fingerprints in a description; none if not every reader would find the same."""
    found = _FINGERPRINT.findall(sdp)
    # aiortc also splits lines at other characters and takes more blanks, and a browser is another
    # reader yet: what this one overlooks must not be a fingerprint to them.
    if len(found) != sdp.casefold().count("fingerprint"):
        return []
    return sorted({f"{kind.lower()} {value.upper()}" for kind, value in found})
