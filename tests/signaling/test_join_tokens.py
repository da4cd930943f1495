"""A token admits to what it says, and nothing that somebody else wrote admits to anything."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, strategies as st

from icefloe.signaling import (
    ErrorCode,
    InvalidTokenKeys,
    JoinToken,
    Right,
    TokenKeys,
    TokenRefused,
    make_token,
    verify_token,
)
from icefloe.signaling.join_tokens import MAX_TOKEN_BYTES
from icefloe.signaling.token_keys import MAX_KEYS, MAX_KEYS_TEXT

NOW = 1_800_000_000.0
SECRET = "s" * 32
OTHER = "o" * 32
KEYS = TokenKeys(SECRET)
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PRIVATE_PEM = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
PUBLIC_PEM = (
    PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
)


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def signed(header: Any, claims: Any, secret: bytes = SECRET.encode()) -> str:
    """Return a token with whatever header and claims, signed by HMAC-SHA-256."""
    parts = [
        base64url(part if isinstance(part, bytes) else json.dumps(part).encode())
        for part in (header, claims)
    ]
    text = ".".join(parts)
    return f"{text}.{base64url(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def claims(**more: Any) -> dict[str, Any]:
    return {"room": "lobby", "may": ["join"], "exp": NOW + 60, **more}


def verify(token: str | None, keys: TokenKeys = KEYS, **asked: Any) -> JoinToken:
    return verify_token(token, keys, **{"room": "lobby", "name": "bob", "now": NOW, **asked})


def code(token: str | None, keys: TokenKeys = KEYS, **asked: Any) -> ErrorCode:
    with pytest.raises(TokenRefused) as raised:
        verify(token, keys, **asked)
    assert raised.value.reason.endswith(".")
    return raised.value.code


@pytest.mark.parametrize("keys", [KEYS, TokenKeys(PRIVATE_PEM)], ids=["HS256", "EdDSA"])
def test_a_token_says_who_may_do_what(keys: TokenKeys) -> None:
    token = make_token(
        keys,
        room="lobby",
        name="bob",
        rights=["join", "moderate"],
        seconds=60,
        not_before=NOW - 1,
        audience="us",
        id="t1",
        now=NOW,
    )
    assert verify(token, keys, audience="us") == JoinToken(
        room="lobby",
        name="bob",
        rights=frozenset({Right.JOIN, Right.MODERATE}),
        expires=NOW + 60,
        not_before=NOW - 1,
        audience=("us",),
        id="jti t1",
    )


def test_a_public_key_verifies_and_makes_none() -> None:
    token = make_token(TokenKeys(PRIVATE_PEM), room="lobby", now=NOW)
    public = TokenKeys(PUBLIC_PEM)
    assert verify(token, public).room == "lobby"
    with pytest.raises(InvalidTokenKeys):
        make_token(public, room="lobby")


def test_each_token_has_an_id_of_its_own() -> None:
    ids = {verify(make_token(KEYS, room="lobby", now=NOW)).id for _ in range(3)}
    assert len(ids) == 3


def test_a_token_without_an_id_is_known_by_what_was_signed() -> None:
    one, same = signed({"alg": "HS256"}, claims()), signed({"alg": "HS256"}, claims())
    other = signed({"alg": "HS256"}, claims(exp=NOW + 61))
    assert verify(one).id == verify(same).id != verify(other).id
    assert verify(one).id.startswith("sha256 ")


@pytest.mark.parametrize(
    ("rooms", "room", "admits"),
    [
        ("team-*", "team-7", True),
        ("team-*", "team-", True),
        ("team-*", "xteam-7", False),
        ("team-?", "team-77", False),
        ("*", "anything", True),
        ("team-*", "TEAM-7", False),
        ("*a" * 31 + "*", "a" * 30 + "b", False),
    ],
)
def test_a_pattern_has_the_wildcards_of_a_shell(rooms: str, room: str, admits: bool) -> None:
    token = make_token(KEYS, rooms=rooms, now=NOW)
    if admits:
        assert verify(token, room=room).rooms == rooms
    else:
        assert code(token, room=room) is ErrorCode.TOKEN_ROOM


def test_a_room_is_no_pattern() -> None:
    token = make_token(KEYS, room="*", now=NOW)
    assert verify(token, room="*").room == "*"
    assert code(token, room="lobby") is ErrorCode.TOKEN_ROOM


@pytest.mark.parametrize(
    ("token", "asked", "expected"),
    [
        (None, {}, "token-missing"),
        ("", {}, "token-missing"),
        (signed({"alg": "HS256"}, claims(exp=NOW)), {}, "token-expired"),
        (signed({"alg": "HS256"}, claims(nbf=NOW + 1)), {}, "token-not-yet"),
        (signed({"alg": "HS256"}, claims()), {"audience": "us"}, "token-audience"),
        (signed({"alg": "HS256"}, claims(aud="them")), {"audience": "us"}, "token-audience"),
        (signed({"alg": "HS256"}, claims(aud=["a", "b"])), {"audience": "us"}, "token-audience"),
        (signed({"alg": "HS256"}, claims()), {"room": "other"}, "token-room"),
        (signed({"alg": "HS256"}, claims(name="alice")), {}, "token-name"),
        (signed({"alg": "HS256"}, claims(may=["send", "moderate"])), {}, "token-rights"),
        (signed({"alg": "HS256"}, claims(may=["everything"])), {}, "token-rights"),
        (signed({"alg": "HS256"}, claims(), OTHER.encode()), {}, "token-signature"),
        (signed({"alg": "EdDSA"}, claims()), {}, "token-algorithm"),
        (signed({"alg": "none"}, claims()), {}, "token-algorithm"),
        (signed({"alg": "HS512"}, claims()), {}, "token-algorithm"),
        (signed({"alg": "hs256"}, claims()), {}, "token-algorithm"),
    ],
)
def test_a_refusal_has_its_code(token: str | None, asked: dict[str, Any], expected: str) -> None:
    assert code(token, **asked) == expected


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_a_token_that_nobody_signed_is_refused(alg: str) -> None:
    text = signed({"alg": alg}, claims()).rpartition(".")[0]
    assert code(f"{text}.") is ErrorCode.TOKEN_ALGORITHM


def test_a_public_key_is_no_secret() -> None:
    """Algorithm confusion: HS256 with the public key, which anybody has, as the secret."""
    for secret in (PUBLIC_PEM.encode(), PUBLIC_PEM.strip().encode(), b"", b"\0" * 32):
        forged = signed({"alg": "HS256"}, claims(), secret)
        assert code(forged, TokenKeys(PUBLIC_PEM)) is ErrorCode.TOKEN_ALGORITHM
        assert code(forged, TokenKeys(f"{PUBLIC_PEM}\n{SECRET}")) is ErrorCode.TOKEN_SIGNATURE


@pytest.mark.parametrize(
    "token",
    [
        "x" * (MAX_TOKEN_BYTES + 1),
        "a.b." + "c" * 1_000_000,
        "a.b",
        "a.b.c.d",
        "..",
        "é.é.é",
        "a=.b=.c=",
        "e30\n.e30.e30",
        signed(b"[" * 1500, {}),
        signed(b'{"alg":"HS256","x":' + b"[" * 1500, {}),
        signed([], claims()),
        signed({}, claims()),
        signed({"alg": 7}, claims()),
        signed({"alg": "HS256", "kid": 7}, claims()),
        signed({"alg": "HS256"}, b"not JSON"),
        signed({"alg": "HS256"}, b'{"room":' + b"[" * 1500),
        signed({"alg": "HS256"}, []),
        signed({"alg": "HS256"}, {"room": "lobby", "may": ["join"]}),
        signed({"alg": "HS256"}, {"room": "lobby", "exp": NOW + 1}),
        signed({"alg": "HS256"}, {"may": ["join"], "exp": NOW + 1}),
        signed({"alg": "HS256"}, claims(rooms="*")),
        signed({"alg": "HS256"}, claims(exp=str(NOW + 1))),
        signed({"alg": "HS256"}, claims(exp=True)),
        signed({"alg": "HS256"}, claims(exp=1e300)),
        signed({"alg": "HS256"}, claims(exp=-1)),
        signed({"alg": "HS256"}, claims(room="x" * 65)),
        signed({"alg": "HS256"}, claims(room=7)),
        signed({"alg": "HS256"}, claims(name="")),
        signed({"alg": "HS256"}, claims(name="a\nb")),
        signed({"alg": "HS256"}, claims(may="join")),
        signed({"alg": "HS256"}, claims(may=["join"] * 17)),
        signed({"alg": "HS256"}, claims(aud=["us"] * 17)),
        signed({"alg": "HS256"}, claims(jti="x" * 257)),
    ],
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert code(token) is ErrorCode.TOKEN_MALFORMED


def test_headers_that_ask_for_something_else_are_refused() -> None:
    for more in ({"crit": ["x"], "x": 1}, {"b64": False, "crit": ["b64"]}):
        assert code(signed({"alg": "HS256", **more}, claims())) is ErrorCode.TOKEN_SIGNATURE
    embedded = {"jwk": {"kty": "oct", "k": base64url(OTHER.encode())}, "jku": "http://127.0.0.1/"}
    forged = signed({"alg": "HS256", **embedded}, claims(), OTHER.encode())
    assert code(forged) is ErrorCode.TOKEN_SIGNATURE


def test_every_changed_character_is_noticed() -> None:
    token = make_token(KEYS, room="lobby", now=NOW)
    for index, character in enumerate(token):
        changed = token[:index] + ("A" if character != "A" else "B") + token[index + 1 :]
        with pytest.raises(TokenRefused):
            verify(changed)


@given(st.text(max_size=200) | st.binary(max_size=300).map(base64url))
def test_whatever_is_sent_is_refused(token: str) -> None:
    with pytest.raises(TokenRefused):
        verify(token)
    with pytest.raises(TokenRefused):
        verify(".".join((base64url(b'{"alg":"HS256"}'), token, token)))


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def record(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", record)
    assert code(signed({"alg": "HS256"}, claims(), OTHER.encode())) is ErrorCode.TOKEN_SIGNATURE
    assert verify(signed({"alg": "HS256"}, claims()))
    assert len(compared) == 2


# ---- keys --------------------------------------------------------------------------------------


def test_the_first_key_signs_and_all_verify() -> None:
    old, new = TokenKeys(OTHER), TokenKeys(f"# rotated\n\n{SECRET}\n{OTHER}\n")
    assert len(new) == 2
    assert verify(make_token(old, room="lobby", now=NOW), new)
    assert verify(make_token(new, room="lobby", now=NOW), KEYS)
    assert code(make_token(new, room="lobby", now=NOW), old) is ErrorCode.TOKEN_SIGNATURE


def test_a_key_with_an_id_verifies_the_tokens_that_name_it() -> None:
    keys = TokenKeys(f"new {SECRET}\nold {OTHER}")
    token = make_token(keys, room="lobby", now=NOW)
    assert verify(token, keys)
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    assert header["kid"] == "new"
    assert verify(token, KEYS)  # the key has no id, and is tried
    assert code(token, TokenKeys(f"old {SECRET}")) is ErrorCode.TOKEN_SIGNATURE


def test_files_have_secrets_and_keys_together() -> None:
    keys = TokenKeys(f"{SECRET}\n{PRIVATE_PEM}\nb {OTHER}\n{PUBLIC_PEM}")
    assert len(keys) == 4
    assert verify(make_token(TokenKeys(PRIVATE_PEM), room="lobby", now=NOW), keys)


RSA_PEM = (
    generate_private_key(65537, 2048)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "short",
        "a b " + SECRET,
        RSA_PEM,
        PRIVATE_PEM.replace("M", "!", 3),
        "-----BEGIN PRIVATE KEY-----\n" + SECRET,
        f"{SECRET}\n" * (MAX_KEYS + 1),
        "#" * (MAX_KEYS_TEXT + 1),
    ],
    ids=range(9),
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidTokenKeys) as raised:
        TokenKeys(text)
    assert SECRET not in str(raised.value)


def test_keys_do_not_show_themselves() -> None:
    assert SECRET not in repr(KEYS)
    assert SECRET not in repr(KEYS.signing_key)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"room": "a", "rooms": "b"},
        {"room": ""},
        {"room": "x" * 65},
        {"room": "a", "name": "x\n"},
        {"room": "a", "seconds": 0},
        {"room": "a", "rights": ["dance"]},
        {"room": "a", "audience": ""},
    ],
)
def test_a_token_that_would_never_admit_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        make_token(KEYS, **wrong)
