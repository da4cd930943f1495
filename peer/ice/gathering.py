"""Asking STUN and TURN servers for candidates: every server, each with its own deadline.

A server that is dead, refuses, or has a name that does not resolve costs only itself, and is
reported as W3C's ``icecandidateerror`` has it.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

from aioice import stun, turn
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol

from .local import LocalCandidate
from .network import family, host_addresses, resolve
from .servers import SERVER_UNREACHABLE, RTCPeerConnectionIceErrorEvent, Server, Transport

logger = logging.getLogger(__name__)

HIDDEN = {4: ("0.0.0.0", 9), 6: ("::", 9)}
"""The related address where the real one is not to be shown (RFC 8839 section 5.1)."""

UDP_RECEIVE_BUFFER = 256 * 1024
"""Bytes; what aioice asks the kernel for."""

_UNUSABLE = {
    (False, Transport.TLS): "STUN over TLS tells no UDP address; use stun:",
    (True, Transport.DTLS): "TURN over DTLS is not supported; use turns: with transport=tcp",
}
"""By whether it is a TURN server and how it is spoken to: why it gives no candidate."""

OnCandidate = Callable[[LocalCandidate], None]
OnError = Callable[[RTCPeerConnectionIceErrorEvent], None]


@dataclass(frozen=True, slots=True)
class Relay:
    """How relayed candidates are made.

    Attributes:
        protocol_factory: Makes the protocol that speaks ICE over the allocation.
        hide_related_address: Whether the own address is left out of the candidate, as RFC 9429
            section 3.5.3 asks under the ``relay`` policy.
        tls_context: How the certificates of ``turns:`` servers are verified.
    """

    protocol_factory: Callable[[], StunProtocol]
    hide_related_address: bool
    tls_context: ssl.SSLContext | None


async def gather_from_servers(
    servers: Iterable[Server],
    *,
    sockets: Iterable[StunProtocol],
    relay: Relay,
    timeout: float,
    on_candidate: OnCandidate,
    on_error: OnError,
) -> None:
    """Ask all servers at the same time and report what each brings, as it comes.

    Args:
        servers: The servers to ask.
        sockets: The host candidates' sockets, from which STUN servers are asked.
        relay: How relayed candidates are made.
        timeout: Seconds that each server has.
        on_candidate: Called with each candidate, and with its protocol if it brings one.
        on_error: Called for each server, and for STUN each socket, that brought none.

    Cancellation: safe; allocations under way are given up.
    """
    bases = list(sockets)
    async with asyncio.TaskGroup() as group:
        for server in servers:
            if unusable := _UNUSABLE.get((server.is_turn, server.transport)):
                on_error(RTCPeerConnectionIceErrorEvent(server.url, SERVER_UNREACHABLE, unusable))
            elif server.is_turn:
                job = _ask_turn(server, relay, on_candidate)
                group.create_task(_reported(server, None, timeout, job, on_error))
            else:
                for base in bases:
                    ask = _ask_stun(server, base, on_candidate)
                    group.create_task(_reported(server, base, timeout, ask, on_error))


async def _reported(
    server: Server,
    base: StunProtocol | None,
    timeout: float,
    job: Coroutine[Any, Any, None],
    on_error: OnError,
) -> None:
    try:
        async with asyncio.timeout(timeout):
            await job
        return
    except stun.TransactionFailed as error:
        code, reason = error.response.attributes.get(
            "ERROR-CODE", (SERVER_UNREACHABLE, "error response without a code")
        )
    except (TimeoutError, stun.TransactionTimeout):
        code, reason = SERVER_UNREACHABLE, f"no answer within {timeout:g} s"
    except (OSError, stun.TransactionError) as error:
        code, reason = SERVER_UNREACHABLE, str(error) or type(error).__name__
    except ValueError as error:
        code, reason = SERVER_UNREACHABLE, f"malformed answer: {error}"
    local = base.local_candidate if base is not None else None
    event = RTCPeerConnectionIceErrorEvent(
        url=server.url,
        errorCode=code,
        errorText=reason,
        address=local.host if local else None,
        port=local.port if local else None,
    )
    logger.info("no candidate from %s: %d %s", event.url, event.errorCode, event.errorText)
    on_error(event)


async def _ask_stun(server: Server, base: StunProtocol, on_candidate: OnCandidate) -> None:
    """Learn the server-reflexive candidate of one socket (RFC 8445 section 5.1.1.2)."""
    local = base.local_candidate
    addresses = await resolve(server.host, server.port)
    same_family = [a for a in addresses if family(a) == family(local.host)]
    if not same_family:
        return  # an IPv4 server has nothing to say about an IPv6 address, and the other way round
    request = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    response, _ = await base.request(request, (same_family[0], server.port))
    mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
    if mapped is None:
        raise ConnectionError("the Binding response has no XOR-MAPPED-ADDRESS")
    on_candidate(
        LocalCandidate(
            foundation=candidate_foundation("srflx", "udp", f"{local.host}|{same_family[0]}"),
            base=base,
            url=server.url,
            priority=candidate_priority(local.component, "srflx"),
            host=mapped[0],
            port=mapped[1],
            type="srflx",
            related_address=local.host,
            related_port=local.port,
        )
    )


async def _ask_turn(server: Server, relay: Relay, on_candidate: OnCandidate) -> None:
    """Get an allocation and its relayed candidate (RFC 8656 section 7)."""
    is_udp = server.transport is Transport.UDP
    # A TLS server is named by its host name, against which its certificate is checked.
    host = (await resolve(server.host, server.port))[0] if is_udp else server.host
    context: ssl.SSLContext | bool = False
    if server.transport is Transport.TLS:
        context = relay.tls_context or True
    transport, protocol = await turn.create_turn_endpoint(
        relay.protocol_factory,
        server_addr=(host, server.port),
        username=server.username,
        password=server.credential,
        ssl=context,
        transport="udp" if is_udp else "tcp",
    )
    address, port = transport.get_extra_info("sockname")
    related = transport.get_extra_info("related_address")
    if relay.hide_related_address:
        related = HIDDEN[family(address)]
    found = protocol.local_candidate = LocalCandidate(
        base=protocol,
        url=server.url,
        relay_protocol=server.transport,
        foundation=candidate_foundation("relay", server.transport, f"{address}|{host}"),
        priority=candidate_priority(1, "relay"),
        host=address,
        port=port,
        type="relay",
        related_address=related[0],
        related_port=related[1],
    )
    on_candidate(found)


class Gathering:
    def __init__(
        self, configuration, servers, *, protocol_factory, on_candidate, on_error, on_relay_lost
    ):
        self.c, self.servers, self.f, self.oc, self.oe = (
            configuration,
            servers,
            protocol_factory,
            on_candidate,
            on_error,
        )
        self.bases = []
        self.seen = []

    def _found(self, c):
        if c.type == "srflx" and (c.host, c.port) == (c.related_address, c.related_port):
            return
        if any((k.host, k.port, k.type) == (c.host, c.port, c.type) for k in self.seen):
            return
        self.seen.append(c)
        self.oc(c)

    async def open_host_sockets(self):
        loop = asyncio.get_running_loop()
        for address in host_addresses():
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    self.f, local_addr=(address, 0)
                )
            except OSError:
                continue
            import socket

            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_RECEIVE_BUFFER
            )
            host, port = transport.get_extra_info("sockname")[:2]
            c = protocol.local_candidate = LocalCandidate(
                foundation=candidate_foundation("host", "udp", address),
                priority=candidate_priority(1, "host"),
                host=host,
                port=port,
                type="host",
                base=protocol,
            )
            self.bases.append(protocol)
            self._found(c)

    async def ask_servers(self):
        relay = Relay(self.f, self.c.iceTransportPolicy.value == "relay", self.c.tlsContext)
        await gather_from_servers(
            self.servers,
            sockets=self.bases,
            relay=relay,
            timeout=self.c.serverTimeout,
            on_candidate=self._found,
            on_error=self.oe,
        )

    async def keep_alive(self):
        await asyncio.Event().wait()
