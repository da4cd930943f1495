"""Join tokens of clients, as the server verifies them; and the header of a reverse proxy."""

import contextlib
import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from websockets.datastructures import Headers

from icefloe.signaling import (
    Proxies,
    ProxyHeader,
    TokenKeys,
    TokenRefused,
    make_token,
    verify_token,
)
from icefloe.signaling.forwarded import ForwardedAddresses

from ..target import Target, stateless

SECRET = "s" * 32
KEYS = TokenKeys(SECRET)
HEADER = b'{"alg":"HS256"}'
CLAIMS = b'{"room":"lobby","may":["join","send"],"exp":2000000000,"aud":["us"],"jti":"t"}'
_NOT_IN_HEADERS = re.compile(r"[^ -~]")
READERS = [ForwardedAddresses(Proxies(header=header)) for header in ProxyHeader]


def seeds() -> Sequence[bytes]:
    token = make_token(KEYS, room="lobby", now=1_800_000_000)
    lists = (
        b"203.0.113.1, 192.0.2.7, 127.0.0.1",
        b'for="[2001:db8::1]:4711";proto=https, for=192.0.2.7;by=_x',
    )
    return (token.encode(), CLAIMS, *lists)


def run(data: bytes) -> None:
    """Verify the data as a token, and as claims that the right key has signed."""
    text = data.decode("latin-1")
    signed = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in (HEADER, data))
    seal = urlsafe_b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).rstrip(b"=")
    for token in (text, b".".join((signed, seal)).decode()):
        with contextlib.suppress(TokenRefused):
            verify_token(token, KEYS, room="lobby", name="bob", now=1_800_000_000.0)
    for reader, header in zip(READERS, ProxyHeader, strict=True):
        reader.client("127.0.0.1", Headers([(header.value, _NOT_IN_HEADERS.sub("", text))]))


TARGET = Target(
    name="join-token",
    seeds=seeds,
    tokens=(b'"exp":', b'"rooms":"*"', b"eyJhbGciOiJub25lIn0.", b".", b'for="', b", ", b"::1"),
    documented=(),
    start=lambda: stateless(run),
)
