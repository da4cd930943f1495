"""The address of a client behind proxies is the one that a trusted proxy has seen."""

import pytest
from hypothesis import given, strategies as st
from websockets.datastructures import Headers

from icefloe.signaling import Proxies, ProxyHeader
from icefloe.signaling.forwarded import MAX_HEADER_LENGTH, MAX_HOPS, ForwardedAddresses

PROXY = "10.0.0.1"
NETWORKS = ("10.0.0.0/8", "2001:db8:ffff::/48")


def client(*values: str, header: str = "X-Forwarded-For", peer: str = PROXY) -> str:
    proxies = Proxies(header=ProxyHeader(header.lower()), networks=NETWORKS)
    return ForwardedAddresses(proxies).client(peer, Headers([(header, v) for v in values]))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7:4711"], "192.0.2.7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["[2001:db8::7]:4711"], "2001:db8::7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7"], "192.0.2.7"),
        (["203.0.113.9, 192.0.2.7, 10.0.0.2"], "192.0.2.7"),
        (["203.0.113.9", "192.0.2.7", "10.9.9.9,10.0.0.2"], "192.0.2.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ([], PROXY),
        ([""], PROXY),
        (["unknown"], PROXY),
        (["192.0.2.7, unknown"], PROXY),
        (["192.0.2.7, nonsense, 10.0.0.2"], "10.0.0.2"),
        (["192.0.2.7,"], PROXY),
        (["127.0.0.1"], "127.0.0.1"),
        (["0x7f.1"], PROXY),
        (["192.0.2.7 192.0.2.8"], PROXY),
    ],
)
def test_the_rightmost_address_that_is_no_proxy_counts(values: list[str], expected: str) -> None:
    assert client(*values) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=192.0.2.7", "192.0.2.7"),
        ('For="192.0.2.7:80"; proto=https; by=10.0.0.1', "192.0.2.7"),
        ('for="[2001:db8::7]:4711"', "2001:db8::7"),
        ("for=203.0.113.9, for=192.0.2.7, for=10.0.0.2", "192.0.2.7"),
        ("for=unknown", PROXY),
        ("for=_hidden", PROXY),
        ("by=192.0.2.7", PROXY),
        ("for=192.0.2.7;for=192.0.2.8", PROXY),
        ('for="192.0.2.7', PROXY),
        ('for="192.0.2.7,192.0.2.8"', PROXY),
    ],
)
def test_the_header_of_the_standard_is_read(value: str, expected: str) -> None:
    assert client(value, header="Forwarded") == expected


def test_others_are_not_believed() -> None:
    assert client("192.0.2.7", peer="203.0.113.9") == "203.0.113.9"
    assert client("192.0.2.7", peer="") == ""


def test_the_header_that_the_proxy_does_not_set_is_not_read() -> None:
    reader = ForwardedAddresses(Proxies(networks=NETWORKS))
    headers = Headers([("Forwarded", "for=192.0.2.1"), ("X-Forwarded-For", "192.0.2.7")])
    assert reader.client(PROXY, headers) == "192.0.2.7"


def test_long_lists_are_read_from_the_right_and_not_to_their_end() -> None:
    many = ["10.0.0.2"] * MAX_HOPS
    assert client(", ".join(["192.0.2.7", *many[1:]])) == "192.0.2.7"
    assert client(", ".join(["192.0.2.7", *many])) == "10.0.0.2"
    assert client(f"192.0.2.7,{' ' * MAX_HEADER_LENGTH}10.0.0.2") == PROXY
    assert client("1" * 1_000_000) == PROXY


@given(
    st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), max_size=300),
    st.sampled_from(list(ProxyHeader)),
)
def test_whatever_is_written_is_an_address_or_ignored(text: str, header: ProxyHeader) -> None:
    reader = ForwardedAddresses(Proxies(header=header, networks=NETWORKS))
    found = reader.client(PROXY, Headers([(header.value, text)]))
    assert found
    assert len(found) < 64


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        Proxies(networks=("proxy.example",))
