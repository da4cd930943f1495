"""Join tokens: JSON Web Tokens (RFC 7519) that say who may enter which room, and do what there.

No I/O: the time is passed in. The size and the form of a token are checked before it is parsed,
and its signature before its claims are looked at. A key is used with its own algorithm only, so a
token cannot choose how it is verified (RFC 8725 section 3.1).
"""

import base64
import fnmatch
import hashlib
import json
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from .errors import ErrorCode, TokenRefused
from .messages import Label
from .rights import GUEST_RIGHTS, Right
from .token_keys import Algorithm, TokenKeys

MAX_TOKEN_BYTES = 4096
"""The largest token; it is measured before anything else is looked at."""

_MAX_RIGHTS = 16
_MAX_AUDIENCES = 16

_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
"""Three parts in base64url without padding (RFC 7515 section 7.1); ``none`` has an empty third."""

_Text = Annotated[str, Meta(min_length=1, max_length=256)]
_Time = Annotated[float, Meta(ge=0, le=2**53)]


class _Header(Struct):
    alg: Annotated[str, Meta(max_length=32)]
    kid: Annotated[str, Meta(max_length=256)] = ""


class _Claims(Struct):
    exp: _Time
    may: Annotated[list[Annotated[str, Meta(max_length=64)]], Meta(max_length=_MAX_RIGHTS)]
    room: Label | None = None
    rooms: Label | None = None
    name: Label | None = None
    nbf: _Time | None = None
    aud: _Text | Annotated[list[_Text], Meta(max_length=_MAX_AUDIENCES)] | None = None
    jti: _Text | None = None


_header = msgspec.json.Decoder(_Header)
_claims = msgspec.json.Decoder(_Claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """The claims of a join token.

    Attributes:
        room: The room; ``None`` if ``rooms`` is given.
        rooms: A pattern of rooms, with the wildcards of a shell: ``team-*``. Do not make it of text
            that a user has chosen; ``room`` takes a name as it is.
        name: The name that the holder has in the room; ``None`` leaves it the choice.
        rights: What the holder may do.
        expires: The time from which it admits nobody, in seconds since the epoch.
        not_before: The time before which it admits nobody, likewise; ``None`` for none.
        audience: The servers that it is for; empty for any that does not ask for one.
        id: The id of the token. One without ``jti`` has the hash of what was signed.
    """

    room: str | None = None
    rooms: str | None = None
    name: str | None = None
    rights: frozenset[Right] = GUEST_RIGHTS
    expires: float
    not_before: float | None = None
    audience: tuple[str, ...] = ()
    id: str = ""

    def admits_to(self, room: str) -> bool:
        """Return whether the token is for a room."""
        if self.room is not None:
            return self.room == room
        return self.rooms is not None and fnmatch.fnmatchcase(room, self.rooms)


def make_token(
    keys: TokenKeys,
    *,
    room: str | None = None,
    rooms: str | None = None,
    name: str | None = None,
    rights: Iterable[Right | str] = GUEST_RIGHTS,
    seconds: float = 3600.0,
    not_before: float | None = None,
    audience: str | None = None,
    id: str | None = None,
    now: float | None = None,
) -> str:
    """Return a token that admits its holder to a room.

    Args:
        keys: The keys, the first of which that can sign signs it.
        room: The room.
        rooms: A pattern of rooms in its place, as ``team-*``.
        name: The name that the holder has to take in the room.
        rights: What it may do: ``join``, ``send`` and ``moderate``.
        seconds: Seconds until it expires.
        not_before: The time before which it admits nobody, in seconds since the epoch.
        audience: The server that it is for, if that asks for an audience.
        id: The id of the token, by which it is refused after its holder was removed; by default a
            random one.
        now: The present time in seconds since the epoch; by default that of the clock.

    Raises:
        ValueError: Not exactly one of ``room`` and ``rooms`` is given, or a value is not valid.
        InvalidTokenKeys: No key can sign.
    """
    if (room is None) == (rooms is None):
        raise ValueError("A token is for one `room`, or for the `rooms` of a pattern")
    if seconds <= 0:
        raise ValueError("`seconds` must be positive")
    begun = time.time() if now is None else now
    claims = {
        "room": room,
        "rooms": rooms,
        "name": name,
        "may": sorted(Right(right) for right in rights),
        "iat": int(begun),
        "exp": int(begun + seconds),
        "nbf": not_before,
        "aud": audience,
        "jti": secrets.token_urlsafe(12) if id is None else id,
    }
    text = json.dumps({key: value for key, value in claims.items() if value is not None}).encode()
    try:
        _claims.decode(text)
    except msgspec.ValidationError as error:
        raise ValueError(f"This token would not be valid: {error}") from error
    return keys.sign(text)


def verify_token(
    token: str | None,
    keys: TokenKeys,
    *,
    room: str,
    name: str,
    now: float,
    audience: str | None = None,
) -> JoinToken:
    """Return the claims of a token that admits to a room under a name.

    Args:
        token: The token; ``None`` if the client has none.
        keys: The keys of the server.
        room: The room that the client asks for.
        name: The name that the client asks for.
        now: The present time in seconds since the epoch.
        audience: The audience that a token must be for; ``None`` takes any token.

    Raises:
        TokenRefused: The token does not admit; ``code`` says why.
    """
    if not token:
        raise TokenRefused(ErrorCode.TOKEN_MISSING, "This server admits by tokens only.")
    claims = _verified_claims(token, keys)
    if claims.expires <= now:
        raise TokenRefused(ErrorCode.TOKEN_EXPIRED, "The token has expired.")
    if claims.not_before is not None and now < claims.not_before:
        raise TokenRefused(ErrorCode.TOKEN_NOT_YET, "The token is not valid yet.")
    if audience is not None and audience not in claims.audience:
        raise TokenRefused(ErrorCode.TOKEN_AUDIENCE, "The token is for another server.")
    if not claims.admits_to(room):
        raise TokenRefused(ErrorCode.TOKEN_ROOM, "The token is for another room.")
    if claims.name is not None and claims.name != name:
        raise TokenRefused(ErrorCode.TOKEN_NAME, "The token is for another name.")
    if Right.JOIN not in claims.rights:
        raise TokenRefused(ErrorCode.TOKEN_RIGHTS, "The token does not give the right to join.")
    return claims


def _verified_claims(token: str, keys: TokenKeys) -> JoinToken:
    """Return the claims of a token whose signature is right."""
    if len(token) > MAX_TOKEN_BYTES or not _FORM.fullmatch(token):
        raise _malformed(f"It is no token in base64url of at most {MAX_TOKEN_BYTES} bytes.")
    signed = token.rpartition(".")[0]
    try:
        header = _header.decode(_decode_base64(signed.partition(".")[0]))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _malformed("The header of the token is not valid.") from error
    if header.alg not in tuple(Algorithm) or not keys.candidates(header.alg, ""):
        sentence = "The algorithm of the token is not one of this server's keys."
        raise TokenRefused(ErrorCode.TOKEN_ALGORITHM, sentence)
    payload = keys.verify(token, header.alg, header.kid)
    if payload is None:
        sentence = "The token was not signed with a key of this server."
        raise TokenRefused(ErrorCode.TOKEN_SIGNATURE, sentence)
    try:
        claims = _to_token(_claims.decode(payload))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _malformed("The claims of the token are not valid.") from error
    if (claims.room is None) == (claims.rooms is None):
        raise _malformed("The token must name one room, or one pattern of rooms.")
    # The signed part, and not the signature: nobody without the key can write it differently.
    digest = hashlib.sha256(signed.encode()).hexdigest()
    return replace(claims, id=f"jti {claims.id}" if claims.id else f"sha256 {digest}")


def _to_token(claims: _Claims) -> JoinToken:
    audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
    known = {str(right) for right in Right}
    return JoinToken(
        room=claims.room,
        rooms=claims.rooms,
        name=claims.name,
        rights=frozenset(Right(right) for right in claims.may if right in known),
        expires=claims.exp,
        not_before=claims.nbf,
        audience=tuple(audience),
        id=claims.jti or "",
    )


def _malformed(sentence: str) -> TokenRefused:
    return TokenRefused(ErrorCode.TOKEN_MALFORMED, sentence)


def _decode_base64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
