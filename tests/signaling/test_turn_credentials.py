"""TURN credentials that expire: how they are made, and what is refused."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given, strategies as st

from icefloe.signaling import IceServer, TurnServers
from icefloe.signaling.messages import Label
from icefloe.signaling.turn_credentials import MAX_NAME, mint, read_secrets, user_of

SECRET = "0123456789abcdef"
URLS = ("turn:turn.example.org", "turns:turn.example.org:443?transport=tcp")


def test_credentials_are_those_of_the_draft() -> None:
    username, credential = mint(SECRET, "alice", 1_700_000_000.9, 600)
    assert username == "1700000600:alice"
    digest = hmac.new(SECRET.encode(), username.encode(), hashlib.sha1).digest()
    assert credential == base64.b64encode(digest).decode()
    # openssl dgst -sha1 -hmac 0123456789abcdef -binary | base64
    assert credential == "X7ZMlwjsIJFB6UlEdWYcxNzOWk0="


@pytest.mark.parametrize(
    "name", ["", "a:b", ":", "with space", "new\nline", "nul\0", "del\x7f", "é", "x" * 129, "👾"]
)
def test_a_name_that_a_turn_server_could_misread_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="neither spaces nor colons"):
        mint(SECRET, name, 1_700_000_000, 600)


@given(st.text(min_size=1, max_size=64), st.text(min_size=1, max_size=64))
def test_every_participant_has_a_name_that_a_turn_server_takes(room: str, name: str) -> None:
    user = user_of(
        SECRET, room.encode(errors="replace").decode(), name.encode(errors="replace").decode()
    )
    username, _ = mint(SECRET, user, 1_700_000_000, 300)
    assert len(user) <= MAX_NAME
    assert username.isascii()
    assert username.count(":") == 1
    assert len(username) < 509


def test_the_name_tells_neither_room_nor_name_and_depends_on_both() -> None:
    assert Label is not None
    users = {user_of(SECRET, r, n) for r in ("lobby", "lob") for n in ("alice", "by")}
    assert len(users) == 4
    assert not any("alice" in user or "lob" in user for user in users)
    assert user_of(SECRET, "lobby", "alice") != user_of("another secret of 16", "lobby", "alice")
    assert user_of(SECRET, "lobby", "alice") == user_of(SECRET, "lobby", "alice")


@pytest.mark.parametrize(
    ("text", "secrets"),
    [
        (SECRET, (SECRET,)),
        (f"# new\n{SECRET}\n\n# old\n{'o' * 16}\n", (SECRET, "o" * 16)),
        (f"  {SECRET}\r\n", (SECRET,)),
    ],
)
def test_secrets_are_read(text: str, secrets: tuple[str, ...]) -> None:
    assert read_secrets(text) == secrets


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "short",
        "x" * 257,
        "two words in a line of it",
        "n\0ul" * 8,
        f"{SECRET}\n" * 3,
        "geheimnisse mit umlaut ä",
    ],
)
def test_what_is_no_secret_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError) as refused:
        read_secrets(text)
    for line in text.split():
        assert len(line) < 4 or line not in str(refused.value).replace("openssl rand -hex 32", "")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"urls": ()}, "1 to 16"),
        ({"urls": ("turn:t",) * 17}, "1 to 16"),
        ({"urls": ("stun:s",)}, "turn: or turns:"),
        ({"urls": ("turn:a b",)}, "turn: or turns:"),
        ({"urls": ("turn:" + "x" * 301,)}, "turn: or turns:"),
        ({"secrets": ()}, "1 or 2"),
        ({"secrets": (SECRET,) * 3}, "1 or 2"),
        ({"secrets": ("short",)}, "16 to 256"),
        ({"lifetime": 299}, "from 300 to 3600"),
        ({"lifetime": 3601}, "from 300 to 3600"),
    ],
)
def test_a_configuration_outside_its_bounds_is_refused(wrong: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"urls": URLS, "secrets": (SECRET,), "lifetime": 600}
    TurnServers(**good)
    with pytest.raises(ValueError, match=words) as refused:
        TurnServers(**{**good, **wrong})
    assert "short" not in str(refused.value)


def test_the_first_secret_makes_the_credentials_of_all_urls() -> None:
    servers = TurnServers(urls=URLS, secrets=(SECRET, "o" * 16), lifetime=300)
    username, credential = mint(SECRET, user_of(SECRET, "lobby", "alice"), 1_700_000_000, 300)
    assert servers.server_for("lobby", "alice", 1_700_000_000) == IceServer(
        list(URLS), username, credential
    )
    assert SECRET not in repr(servers)
