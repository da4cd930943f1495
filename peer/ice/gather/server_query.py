"""Asking one STUN or TURN server: what to send where, and what the answer means."""

import ipaddress
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from aioice import stun
from aioice.ice import StunProtocol

from icefloe._util.threads import in_thread

from ..server_urls import SERVER_UNREACHABLE, Server, Transport, refusal
from ..turn.client import RelayTransport, allocate
from ..turn.transactions import ALLOCATION_MISMATCH, Credentials
from ..turn.transports import Endpoint
from .happy_eyeballs import first_to_succeed
from .resolver import family

HEAD_START = 0.5
"""Seconds that one address of a server has before the next is tried beside it: the first
retransmission of STUN (RFC 8489 section 6.2.1)."""

FAILURES = (OSError, stun.TransactionError, ValueError)
"""What an attempt raises if the server is at fault, or the way to it."""

Allocation = tuple[RelayTransport, StunProtocol]
Bound = tuple[tuple[str, int], str]
"""A mapped address, and the server's IP address that told it."""


def unusable(server: Server) -> str | None:
    """Say why a server can't give a candidate whatever it answers; ``None`` if it may."""
    if not server.is_turn and server.transport is Transport.TLS:
        return "STUN over TLS tells no UDP address; use stun:"
    if server.transport is Transport.DTLS:
        return "TURN over DTLS is not supported; use turns: with transport=tcp"
    return None


def describe_failure(error: Exception, timeout: float) -> tuple[int, str]:
    """Return the code and text of an ``icecandidateerror`` (W3C webrtc-pc 4.8.3).

    Args:
        error: One of :data:`FAILURES`, or ``TimeoutError``.
        timeout: Seconds that the server had.
    """
    if isinstance(error, stun.TransactionFailed):
        return refusal(error, (SERVER_UNREACHABLE, "error response without a code"))
    if isinstance(error, TimeoutError | stun.TransactionTimeout):
        return SERVER_UNREACHABLE, f"no answer within {timeout:g} s"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return SERVER_UNREACHABLE, f"malformed answer: {error}"
    return SERVER_UNREACHABLE, str(error) or type(error).__name__


async def mapped_address(base: StunProtocol, addresses: Sequence[str], port: int) -> Bound:
    """Ask a STUN server for the address that it sees (RFC 8445 section 5.1.1.2).

    Args:
        base: The socket that asks.
        addresses: Those of the server, of the socket's IP version.
        port: The server's.

    Raises:
        OSError: It can't be reached, or its answer is of no use.
        stun.TransactionError: It refused, or did not answer.

    Cancellation: safe.
    """

    async def ask(address: str) -> Bound:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        response, _ = await base.request(request, (address, port))
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is None or not mapped[1] or ipaddress.ip_address(mapped[0]).is_unspecified:
            raise ConnectionError("the Binding response has no usable XOR-MAPPED-ADDRESS")
        return mapped, address

    return await first_to_succeed(
        [lambda address=address: ask(address) for address in addresses],  # type: ignore[misc]
        delay=HEAD_START,
        discard=lambda _: None,
        failures=FAILURES,
    )


class Relaying:
    """Gets allocations from one TURN server.

    Args:
        server: The server.
        addresses: Its IP addresses, the most preferred first.
        context: For TLS, how its certificate is verified.
        credentials: See :func:`~icefloe.peer.ice.turn.client.allocate`.
        protocol_factory: Likewise.
        on_lost: Likewise.
        close_timeout: Likewise, in seconds.
    """

    def __init__(
        self,
        server: Server,
        addresses: Sequence[str],
        *,
        context: ssl.SSLContext | None,
        credentials: Credentials,
        protocol_factory: Callable[[], StunProtocol],
        on_lost: Callable[[StunProtocol, str], None],
        close_timeout: float,
    ) -> None:
        self._server = server
        self._addresses = addresses
        self._context = context
        self._credentials = credentials
        self._protocol_factory = protocol_factory
        self._on_lost = on_lost
        self._close_timeout = close_timeout

    def wanted(self) -> list[int]:
        """Return the IP versions of which relayed addresses are asked for.

        One of IPv6 where the server is reached over IPv6, for peers that have nothing else; one of
        IPv4 always, since it is the version that most peers have.
        """
        return [6, 4] if any(family(a) == 6 for a in self._addresses) else [4]

    async def allocate(self, version: int) -> Allocation:
        """Get an allocation whose relayed address is of an IP version.

        The addresses of the server of the same version are tried first; for IPv4 those of IPv6 come
        after them (RFC 8656 section 7.1 lets the two differ).

        Raises:
            OSError: The server can't be reached, or its answer is of no use.
            stun.TransactionError: It refused (440 if it has no such address), or did not answer.

        Cancellation: safe; attempts under way are given up.
        """
        same = [a for a in self._addresses if family(a) == version]
        others = [a for a in self._addresses if family(a) != version] if version == 4 else []
        return await first_to_succeed(
            [lambda a=a: self._attempt(a, version) for a in (*same, *others)],  # type: ignore[misc]
            delay=HEAD_START,
            discard=lambda late: late[0].close(),
            failures=FAILURES,
        )

    async def _attempt(self, address: str, version: int) -> Allocation:
        try:
            return await self._allocate(address, version)
        except stun.TransactionFailed as error:
            if error.response.error_code != ALLOCATION_MISMATCH:
                raise
        # RFC 8656 section 7.4: the server holds an allocation for this port already, left by who
        # had it before; another port is free.
        return await self._allocate(address, version)

    async def _allocate(self, address: str, version: int) -> Allocation:
        server = self._server
        return await allocate(
            self._protocol_factory,
            Endpoint(address, server.port, server.transport, server.host, self._context),
            self._credentials,
            on_lost=self._on_lost,
            # Servers that know IPv4 alone need not know the attribute.
            address_family=version if version == 6 else None,
            close_timeout=self._close_timeout,
        )


async def tls_context(ca_file: str | Path | None) -> ssl.SSLContext:
    """Return the context that verifies servers with the system's authorities.

    Args:
        ca_file: A PEM file of further ones.

    Raises:
        OSError: The file can't be read, or holds no certificate.

    Cancellation: safe.
    """

    def load() -> ssl.SSLContext:
        # A file that was replaced is read again.
        stamp = Path(ca_file).stat().st_mtime_ns if ca_file is not None else 0
        return _tls_context(ca_file, stamp)

    return await in_thread(load, "icefloe-certificates")


@lru_cache(maxsize=8)
def _tls_context(ca_file: str | Path | None, _stamp: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context
