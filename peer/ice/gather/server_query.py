"""Queries to one STUN or TURN server: mapped addresses and TURN allocations."""

import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

from aioice import stun
from aioice.ice import StunProtocol

from icefloe._util.threads import in_thread

from ..facts import ServerProblem
from ..server_urls import SERVER_UNREACHABLE, Server, Transport, refusal
from ..turn.client import RelayTransport, allocate
from ..turn.transactions import ALLOCATION_MISMATCH, Credentials
from ..turn.transports import Endpoint
from .happy_eyeballs import first_to_succeed
from .resolver import family

ATTEMPT_DELAY = 0.5
"""Seconds before the next address of a server is tried concurrently: the time of the first STUN
retransmission (RFC 8489 section 6.2.1)."""

FAILURES = (OSError, stun.TransactionError, ValueError)
"""Exceptions for failures of the server or of the network path to it."""

Allocation = tuple[RelayTransport, StunProtocol]
MappedAddress = tuple[tuple[str, int], str]
"""A mapped address, and the server's IP address that reported it."""


def unsupported(server: Server) -> str | None:
    """Return the reason if the server's URL is unsupported; else ``None``."""
    if not server.is_turn and server.transport is Transport.TLS:
        return "STUN over TLS cannot report a UDP address; use stun:"
    if server.transport is Transport.DTLS:
        return "TURN over DTLS is not supported; use turns: with transport=tcp"
    return None


def problem_of(error: Exception) -> ServerProblem:
    """Return the kind of problem that a failure of a server is.

    Args:
        error: One of :data:`FAILURES`, or ``TimeoutError``.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return ServerProblem.CERTIFICATE
    if isinstance(error, socket.gaierror):
        return ServerProblem.NAME
    if isinstance(error, stun.TransactionFailed):
        return ServerProblem.REFUSED
    return ServerProblem.UNREACHABLE


def describe_failure(error: Exception, timeout: float) -> tuple[int, str]:
    """Return the code and text of an ``icecandidateerror`` (W3C webrtc-pc 4.8.3).

    Args:
        error: One of :data:`FAILURES`, or ``TimeoutError``.
        timeout: The server's time limit in seconds, for the text.
    """
    if isinstance(error, stun.TransactionFailed):
        return refusal(error, (SERVER_UNREACHABLE, "error response without an error code"))
    if isinstance(error, TimeoutError | stun.TransactionTimeout):
        return SERVER_UNREACHABLE, f"no answer within {timeout:g} s"
    if isinstance(error, ValueError) and not isinstance(error, OSError):
        return SERVER_UNREACHABLE, f"malformed response: {error}"
    return SERVER_UNREACHABLE, str(error) or type(error).__name__


async def mapped_address(base: StunProtocol, addresses: Sequence[str], port: int) -> MappedAddress:
    """Query a STUN server for the mapped address of a socket (RFC 8445 section 5.1.1.2).

    Args:
        base: The socket.
        addresses: The server's IP addresses of the socket's IP version.
        port: The server's port.

    Returns:
        The mapped address, and the IP address of the server that reported it.

    Raises:
        OSError: The server is unreachable, or its response is unusable.
        stun.TransactionError: The server sent an error response or did not answer.

    Cancellation: safe.
    """

    async def ask(address: str) -> MappedAddress:
        request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
        response, _ = await base.request(request, (address, port))
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is None or not mapped[1] or ipaddress.ip_address(mapped[0]).is_unspecified:
            raise ConnectionError("the Binding response has no usable XOR-MAPPED-ADDRESS")
        return mapped, address

    return await first_to_succeed(
        [lambda address=address: ask(address) for address in addresses],  # type: ignore[misc]
        delay=ATTEMPT_DELAY,
        discard=lambda _: None,
        failures=FAILURES,
    )


class TurnAllocator:
    """Creates allocations on one TURN server.

    The last four arguments are those of :func:`~icefloe.peer.ice.turn.client.allocate`.

    Args:
        server: The server.
        addresses: Its IP addresses, the most preferred first.
        context: TLS context; ``None`` for other transports.
        credentials: Returns user name and password.
        protocol_factory: Creates the protocol of each allocation.
        on_lost: Called if an allocation ends before it is closed.
        close_timeout: Maximum time that closing waits for the server, in seconds.
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

    def address_families(self) -> list[int]:
        """Return the IP versions of the relayed addresses to request.

        IPv4 always, because most peers have it; IPv6, for peers with IPv6 only, if the server has
        an IPv6 address.
        """
        return [6, 4] if any(family(a) == 6 for a in self._addresses) else [4]

    async def allocate(self, version: int) -> Allocation:
        """Create an allocation whose relayed address has an IP version.

        The server's addresses of the same version are tried first; for IPv4, its IPv6 addresses
        follow (RFC 8656 section 7.1 allows the two versions to differ).

        Args:
            version: 4 or 6.

        Raises:
            OSError: The server is unreachable, or its response is unusable.
            stun.TransactionError: The server sent an error response (440 if it does not support the
                IP version) or did not answer.

        Cancellation: safe; running attempts are abandoned.
        """
        same = [a for a in self._addresses if family(a) == version]
        others = [a for a in self._addresses if family(a) != version] if version == 4 else []
        return await first_to_succeed(
            [lambda a=a: self._attempt(a, version) for a in (*same, *others)],  # type: ignore[misc]
            delay=ATTEMPT_DELAY,
            discard=lambda late: late[0].close(),
            failures=FAILURES,
        )

    async def _attempt(self, address: str, version: int) -> Allocation:
        try:
            return await self._allocate(address, version)
        except stun.TransactionFailed as error:
            if error.response.error_code != ALLOCATION_MISMATCH:
                raise
        # RFC 8656 section 7.4: the server still has an allocation of an earlier user of this local
        # port. The next attempt uses another port.
        return await self._allocate(address, version)

    async def _allocate(self, address: str, version: int) -> Allocation:
        server = self._server
        return await allocate(
            self._protocol_factory,
            Endpoint(address, server.port, server.transport, server.host, self._context),
            self._credentials,
            on_lost=self._on_lost,
            # IPv4-only servers may not support the attribute.
            address_family=version if version == 6 else None,
            close_timeout=self._close_timeout,
        )


async def tls_context(ca_file: str | Path | None) -> ssl.SSLContext:
    """Return a TLS context that trusts the system's certificate authorities.

    Args:
        ca_file: A PEM file with additional authorities, or ``None``.

    Raises:
        OSError: The file cannot be read, or contains no certificate.

    Cancellation: safe.
    """

    def load() -> ssl.SSLContext:
        # The modification time is part of the cache key, so a replaced file is read again.
        modified = Path(ca_file).stat().st_mtime_ns if ca_file is not None else 0
        return _tls_context(ca_file, modified)

    return await in_thread(load, "icefloe-certificates")


@lru_cache(maxsize=8)
def _tls_context(ca_file: str | Path | None, _modified: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context
