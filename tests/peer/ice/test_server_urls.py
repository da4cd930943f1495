"""URLs of STUN and TURN servers (RFC 7064, RFC 7065)."""

from typing import Any

import pytest
from aiortc import RTCIceServer
from hypothesis import example, given, strategies as st

from icefloe.peer.errors import InvalidServerUrl
from icefloe.peer.ice.server_urls import Server, Transport, parse_servers, parse_url

UDP, TCP, TLS, DTLS = Transport


@pytest.mark.parametrize(
    ("url", "host", "port", "transport", "is_turn"),
    [
        ("stun:stun.example.org", "stun.example.org", 3478, UDP, False),
        ("stun:stun.example.org:19302", "stun.example.org", 19302, UDP, False),
        ("stuns:stun.example.org", "stun.example.org", 5349, TLS, False),
        ("stuns:stun.example.org:443", "stun.example.org", 443, TLS, False),
        ("turn:turn.example.org", "turn.example.org", 3478, UDP, True),
        ("turn:turn.example.org:80", "turn.example.org", 80, UDP, True),
        ("turn:turn.example.org?transport=udp", "turn.example.org", 3478, UDP, True),
        ("turn:turn.example.org?transport=tcp", "turn.example.org", 3478, TCP, True),
        ("turn:turn.example.org:80?transport=tcp", "turn.example.org", 80, TCP, True),
        ("turns:turn.example.org", "turn.example.org", 5349, TLS, True),
        ("turns:turn.example.org:443", "turn.example.org", 443, TLS, True),
        ("turns:turn.example.org:443?transport=tcp", "turn.example.org", 443, TLS, True),
        ("stun:192.0.2.1", "192.0.2.1", 3478, UDP, False),
        ("turn:192.0.2.1:1?transport=tcp", "192.0.2.1", 1, TCP, True),
        ("stun:[2001:db8::1]", "2001:db8::1", 3478, UDP, False),
        ("stun:[::1]:65535", "::1", 65535, UDP, False),
        ("turn:[::ffff:192.0.2.1]:3479?transport=tcp", "::ffff:192.0.2.1", 3479, TCP, True),
        ("turns:[2001:DB8::1]", "2001:DB8::1", 5349, TLS, True),
        ("STUN:stun.example.org", "stun.example.org", 3478, UDP, False),
        ("Turns:turn.example.org:443?Transport=TCP", "turn.example.org", 443, TLS, True),
        ("stun:localhost", "localhost", 3478, UDP, False),
        ("stun:stun-1.ex_ample.org.", "stun-1.ex_ample.org.", 3478, UDP, False),
    ],
)
def test_a_url_is_read(url: str, host: str, port: int, transport: Transport, is_turn: bool) -> None:
    assert parse_url(url) == Server(url, host, port, transport, is_turn)


def test_the_credentials_go_with_the_url() -> None:
    server = parse_url("turn:turn.example.org", "alice", "secret")
    assert (server.username, server.credential) == ("alice", "secret")


MALFORMED: list[object] = [
    "",
    "stun",
    "stun:",
    "stun.example.org",
    "stun.example.org:3478",
    "http://stun.example.org",
    "stun://stun.example.org",
    "turn://user:password@turn.example.org",
    "turn:user@turn.example.org",
    "turn:turn.example.org/path",
    "stunx:stun.example.org",
    "stun:stun.example.org:port",
    "stun:stun.example.org:0",
    "stun:stun.example.org:65536",
    "stun:stun.example.org:123456",
    "stun:stun.example.org:-1",
    "stun:stun.example.org:1:2",
    "stun::3478",
    "stun:2001:db8::1",
    "stun:[2001:db8::1",
    "stun:2001:db8::1]",
    "stun:[2001:db8::1]3478",
    "stun:[]",
    "stun:[stun.example.org]",
    "stun:stun.example.org?transport=udp",
    "stuns:stun.example.org?transport=tcp",
    "turn:turn.example.org?",
    "turn:turn.example.org?transport",
    "turn:turn.example.org?transport=",
    "turn:turn.example.org?transport=tls",
    "turn:turn.example.org?transport=sctp",
    "turn:turn.example.org?proto=udp",
    "turn:turn.example.org?transport=udp&x=1",
    "turn:turn.example.org?transport=udp?transport=tcp",
    "turn:?transport=udp",
    " stun:stun.example.org",
    "stun:stun.example.org ",
    "stun:stun.example.org\n",
    "stun: stun.example.org",
    "stun:stun.example.org:3478\r\n",
    "stun:stun.example.org:\u0663\u0664",
    None,
    5,
    b"stun:stun.example.org",
    ["stun:stun.example.org"],
]

NO_HOST = [
    "stun:stun.example.org#fragment",
    "turn:turn.example.org#x?transport=udp",
    "stun:[:::::]",
    "stun:[1:2]",
    "stun:[192.0.2.1]",
    "stun:[2001:db8::1::2]",
]
"""Characters that RFC 3986 section 3.2.2 does not allow in a host."""

LOOKALIKES = ["\u017ftun:stun.example.org", "stun\u017f:stun.example.org"]
"""U+017F is an "s" to a regular expression that ignores case, and to nobody else."""


@pytest.mark.parametrize("url", MALFORMED + NO_HOST + LOOKALIKES, ids=repr)
def test_a_malformed_url_is_refused(url: Any) -> None:
    with pytest.raises(InvalidServerUrl) as caught:
        parse_url(url)
    assert caught.value.url == url


def test_turn_over_dtls_is_a_server_that_gives_no_candidate() -> None:
    # A form of RFC 7065 section 3.1, for RFC 7350: one such URL must not spoil the others.
    assert parse_url("turns:turn.example.org?transport=udp").transport is DTLS


@given(st.text() | st.from_regex(r"(?i)(stun|turn)s?:.*", fullmatch=True))
@example("stun:\x00")
def test_any_text_is_read_or_refused(url: str) -> None:
    try:
        server = parse_url(url)
    except InvalidServerUrl:
        return
    assert 0 < server.port < 65536
    assert server.host
    assert server.host in url
    assert server.is_turn is url.lower().startswith("turn")


def test_no_servers_are_none() -> None:
    assert parse_servers(None) == parse_servers([]) == ()


def test_every_url_of_every_server_counts_in_order() -> None:
    servers = [
        RTCIceServer(["turn:b.example.org?transport=tcp", "stun:a.example.org"], "alice", "secret"),
        RTCIceServer("stun:c.example.org"),
        RTCIceServer(("turns:d.example.org",), "bob", "other"),  # type: ignore[arg-type]
        RTCIceServer([]),
    ]
    assert parse_servers(servers) == (
        parse_url("turn:b.example.org?transport=tcp", "alice", "secret"),
        parse_url("stun:a.example.org", "alice", "secret"),
        parse_url("stun:c.example.org"),
        parse_url("turns:d.example.org", "bob", "other"),
    )


def test_what_is_listed_twice_counts_once_where_it_came_first() -> None:
    servers = [
        RTCIceServer(["stun:a.example.org", "stun:b.example.org", "stun:a.example.org"]),
        RTCIceServer("stun:a.example.org"),
        RTCIceServer("stun:c.example.org"),
    ]
    found = [server.url for server in parse_servers(servers)]
    assert found == ["stun:a.example.org", "stun:b.example.org", "stun:c.example.org"]


def test_the_same_url_with_other_credentials_is_another_server() -> None:
    servers = [RTCIceServer("turn:a.example.org", name, "secret") for name in ("alice", "bob")]
    assert [server.username for server in parse_servers(servers)] == ["alice", "bob"]


def test_one_malformed_url_is_named_among_good_ones() -> None:
    servers = [RTCIceServer("stun:a.example.org"), RTCIceServer(["stun:b.example.org", "b:c"])]
    with pytest.raises(InvalidServerUrl, match="'b:c'"):
        parse_servers(servers)
