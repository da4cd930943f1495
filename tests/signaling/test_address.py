"""Addresses of signaling servers, as people write them."""

import pytest
from hypothesis import given, strategies as st

from icefloe.signaling import InvalidUrl, SignalingError, Unreachable, connect
from icefloe.signaling.address import check_url, server_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("host", "ws://host/ws"),
        ("host:8080", "ws://host:8080/ws"),
        (" host:8080\n", "ws://host:8080/ws"),
        ("host:8080/rooms", "ws://host:8080/rooms"),
        ("[::1]:8080", "ws://[::1]:8080/ws"),
        ("https://host/", "wss://host/ws"),
        ("HTTP://host", "ws://host/ws"),
        ("wss://host/ws?a=b", "wss://host/ws?a=b"),
        ("ws://user:word@host/ws", "ws://user:word@host/ws"),
        ("user:word@host", "ws://user:word@host/ws"),
    ],
)
def test_addresses_in_short(text: str, url: str) -> None:
    assert server_url(text) == url
    check_url(url)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "names no host"),
        (" ", "names no host"),
        ("ws://", "names no host"),
        ("http://", "names no host"),
        (":8080", "names no host"),
        ("/ws", "names no host"),
        ("//host", "names no host"),
        ("host:", "port"),
        ("host:0", "port"),
        ("host:99999", "port"),
        ("host:-1", "port"),
        ("host:8_0", "port"),
        ("host:\uff18\uff10", "port"),
        ("host:port", "port"),
        ("ws://host:65536/ws", "port"),
        ("::1", "brackets"),
        ("fe80::1:8080", "brackets"),
        ("ws://[::1", "IPv6"),
        ("ws://[nonsense]/ws", "address"),
        ("ftp://host", "ws:// or wss://"),
        ("://host", "ws:// or wss://"),
        ("host name", "blank"),
        ("ho\x00st", "blank"),
        ("ws://host\\ws", "no URL has"),
        ("ws://host/ws#part", "#"),
    ],
)
def test_what_is_no_address_is_quoted_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidUrl) as caught:
        server_url(text)
    assert reason in caught.value.reason
    assert caught.value.url == text
    # What follows a # may be a secret, such as the code of a transfer.
    shown, mark, _ = text.partition("#")
    assert repr(f"{shown}#…" if mark else shown) in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text() | st.text(alphabet="ws:/[]@.#?%1 \\", max_size=20))
def test_any_text_is_an_address_or_an_error(text: str) -> None:
    try:
        url = server_url(text)
    except InvalidUrl:
        return
    assert check_url(url).hostname


@pytest.mark.parametrize("url", ["ws://host:99999/ws", "ws://[::1/ws", "ws:///ws", "host"])
def test_a_client_refuses_them_at_once(url: str) -> None:
    with pytest.raises(InvalidUrl):
        connect(url, room="r", name="n")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 64 + ".invalid"])
async def test_a_host_that_is_not_found_is_said_as_such(host: str) -> None:
    with pytest.raises(Unreachable, match=f"the host '{host}' was not found") as caught:
        async with connect(f"ws://{host}/ws", room="r", name="n"):
            pass
    assert isinstance(caught.value, SignalingError)
