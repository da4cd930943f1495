"""SPAKE2 key exchange from a short code, and authentication of DTLS fingerprints with its key.

No I/O. A code is ``7-amber-falcon``: a number that names the room of the rendezvous, and two words
that are the secret. SPAKE2 (RFC 9382, in the form of the Python library ``spake2``) derives a
strong key from it. An eavesdropper learns nothing. An active attacker can test one guess per
exchange, and the remote peer notices a wrong one. The receiver proves first that it has the key, so
that the sender counts a wrong guess before it reveals anything.

Each side then authenticates the fingerprints of its DTLS certificates (RFC 8122) with an HMAC under
the key. A server that replaces the fingerprints cannot compute that, and is detected before the
connection is made.
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

from .code_words import WORDS
from .errors import InvalidPairingCode, WrongPairingCode

_NUMBERS = 1000
"""Codes begin with a number below this one."""

_IDENTITIES = {"idA": b"icefloe sender", "idB": b"icefloe receiver"}
_PAKE_SIZE = 33
"""Bytes of a SPAKE2 message: the side that it is from, and a point of the curve."""

_FINGERPRINT = re.compile(
    r"^a=fingerprint:([A-Za-z0-9-]+) ([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2})*)\r?$", re.MULTILINE
)

_Hex = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{2}){1,128}\Z")]


class PairingSide(StrEnum):
    """The role of a program in a rendezvous."""

    SENDER = "sender"
    """The program that made the code."""

    RECEIVER = "receiver"
    """The program that was given the code."""

    @property
    def other(self) -> "PairingSide":
        """The opposite role."""
        return PairingSide.RECEIVER if self is PairingSide.SENDER else PairingSide.SENDER


@dataclass(frozen=True, slots=True)
class PairingCode:
    """A code that pairs two programs, as ``7-amber-falcon``.

    Attributes:
        place: The number, which the signaling server learns as part of the name of the room.
        words: The secret words.
    """

    place: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return "-".join((str(self.place), *self.words))

    def __repr__(self) -> str:
        return f"PairingCode({self.place}-…)"  # no secrets in logs

    @property
    def room(self) -> str:
        """The room on the signaling server in which the two programs meet."""
        return f"files-{self.place}"

    @classmethod
    def make(cls, choose: Callable[[int], int] = secrets.randbelow) -> "PairingCode":
        """Return a new random code.

        Args:
            choose: Returns an unpredictable number from 0 to below its argument.
        """
        words = tuple(WORDS[choose(len(WORDS))] for _ in range(2))
        return cls(1 + choose(_NUMBERS - 1), words)

    @classmethod
    def parse(cls, text: str) -> "PairingCode":
        """Parse a code; case is ignored, and spaces may take the place of hyphens.

        Raises:
            InvalidPairingCode: The text is not a code.
        """
        place, *words = re.split(r"[-\s]+", text.strip().lower()) or [""]
        if not re.fullmatch(r"[0-9]{1,6}", place):
            raise InvalidPairingCode(text, "it does not begin with a number")
        if len(words) != 2:
            raise InvalidPairingCode(text, "two words follow the number")
        for word in words:
            if word not in WORDS:
                near = [known for known in WORDS if known[:2] == word[:2]]
                hint = f" (is it {' or '.join(near)}?)" if near else ""
                raise InvalidPairingCode(text, f"{word!r} is no word of a code{hint}")
        return cls(int(place), tuple(words))


# ---- messages, carried as the data of signaling messages -----------------------------------------


class Pake(Struct, frozen=True, tag_field="pairing", tag="pake"):
    """A SPAKE2 message (pA or pB of RFC 9382)."""

    data: _Hex


class Confirm(Struct, frozen=True, tag_field="pairing", tag="confirm"):
    """Key confirmation: proves that its sender has the key."""

    mac: _Hex


class Fingerprints(Struct, frozen=True, tag_field="pairing", tag="fingerprints"):
    """Authenticates the fingerprints in the next description of its sender."""

    mac: _Hex


class Refused(Struct, frozen=True, tag_field="pairing", tag="refused"):
    """The sender of this message makes no connection; with ``busy`` it may do so later."""

    reason: Literal["wrong-code", "used-up", "fingerprints", "busy"]


PairingMessage = Pake | Confirm | Fingerprints | Refused


def decode(data: object) -> PairingMessage | None:
    """Return the pairing message in the data of a ``message``; ``None`` if it is not one."""
    try:
        return msgspec.convert(data, PairingMessage)  # type: ignore[no-any-return]
    except msgspec.ValidationError:
        return None


def encode(message: PairingMessage) -> object:
    """Return a pairing message as the data of a ``message``."""
    return msgspec.to_builtins(message)


# ---- the exchange --------------------------------------------------------------------------------


class Pairing:
    """One side of one key exchange; the remote peer can test one guess of the code with it.

    Args:
        code: The code of this side.
        side: The role of this side.

    Attributes:
        pake: The SPAKE2 message of this side, to be sent first.
        is_paired: Whether the remote peer has proved that it has the key.
    """

    def __init__(self, code: PairingCode, side: PairingSide) -> None:
        kind = SPAKE2_A if side is PairingSide.SENDER else SPAKE2_B
        self._spake = kind(str(code).encode(), **_IDENTITIES)
        self._side = side
        self._key: bytes | None = None
        self.pake: Pake = Pake(self._spake.start().hex())
        self.is_paired: bool = False

    @property
    def has_key(self) -> bool:
        """True if the SPAKE2 message of the remote peer has arrived; its key may be another one."""
        return self._key is not None

    def receive(self, pake: Pake) -> Confirm:
        """Process the SPAKE2 message of the remote peer; only the first one is accepted.

        Returns:
            The key confirmation of this side. A sender must not send it before :meth:`check`.

        Raises:
            WrongPairingCode: The message is invalid, or is not the first.
        """
        if self._key is not None:
            raise WrongPairingCode
        data = bytes.fromhex(pake.data)
        if len(data) != _PAKE_SIZE:
            # The library accepts a truncated point, and bytes after the point.
            raise WrongPairingCode
        try:
            self._key = self._spake.finish(data)
        except (SPAKEError, NotOnCurve, ValueError) as error:
            raise WrongPairingCode from error
        return self.confirmation

    @property
    def confirmation(self) -> Confirm:
        """The key confirmation of this side.

        Raises:
            WrongPairingCode: There is no key yet.
        """
        return Confirm(self._mac(b"confirm", self._side))

    def check(self, confirm: Confirm) -> None:
        """Check the key confirmation of the remote peer.

        Raises:
            WrongPairingCode: The remote peer does not have the same key.
        """
        if self._key is None or not hmac.compare_digest(
            confirm.mac, self._mac(b"confirm", self._side.other)
        ):
            raise WrongPairingCode
        self.is_paired = True

    def sign(self, sdp: str) -> Fingerprints:
        """Return the authentication of the fingerprints in a description of this side.

        Raises:
            WrongPairingCode: There is no key yet.
        """
        return Fingerprints(self._mac(b"fingerprints", self._side, *_fingerprints(sdp)))

    def verify(self, signed: Fingerprints | None, sdp: str) -> bool:
        """Return whether the fingerprints in a description are authentic.

        Args:
            signed: The authentication from the remote peer; ``None`` if none has arrived.
            sdp: The description from the remote peer.
        """
        fingerprints = _fingerprints(sdp)
        if signed is None or not fingerprints:
            return False
        expected = self._mac(b"fingerprints", self._side.other, *fingerprints)
        return hmac.compare_digest(signed.mac, expected)

    def _mac(self, purpose: bytes, side: PairingSide, *parts: str) -> str:
        if self._key is None:
            raise WrongPairingCode
        message = b"\0".join((purpose, side.encode(), *(part.encode() for part in parts)))
        return hmac.digest(self._key, message, "sha256").hex()


def begin(code: PairingCode, side: PairingSide, pake: Pake | None) -> tuple[Pairing, bool]:
    """Begin a key exchange, and process the SPAKE2 message of the remote peer if it came.

    It takes milliseconds of processor time; call it in a thread.

    Returns:
        The exchange, and whether the message was valid.
    """
    pairing = Pairing(code, side)
    if pake is not None:
        try:
            pairing.receive(pake)
        except WrongPairingCode:
            return pairing, False
    return pairing, True


def _fingerprints(sdp: str) -> list[str]:
    """Return the fingerprints in a description; none if other parsers might find different ones."""
    found = _FINGERPRINT.findall(sdp)
    # aiortc splits lines at more characters and accepts more spaces, and browsers differ again. A
    # fingerprint that this pattern misses must not be valid to them.
    if len(found) != sdp.casefold().count("fingerprint"):
        return []
    return sorted({f"{kind.lower()} {value.upper()}" for kind, value in found})
