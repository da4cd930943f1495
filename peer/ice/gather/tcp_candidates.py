"""TCP host candidates (RFC 6544 section 4): active ones, and passive ones of a listener."""

import ipaddress
from collections.abc import Callable
from typing import Protocol

from aioice.ice import StunProtocol

from ..configuration import IceConfiguration
from .host_candidates import Names
from .interfaces import Address, local_preference
from .local_candidate import Foundations, LocalCandidate, network_type


class TcpOpener(Protocol):
    """Opens the sockets of TCP candidates."""

    def open_active(self, host: str) -> StunProtocol | None:
        """Return a socket that opens connections from a local address; ``None`` if it may not."""

    def open_passive(self, host: str) -> StunProtocol | None:
        """Return the socket of a listener at a local address; ``None`` if there is none."""


class TcpCandidates:
    """Gathers the TCP candidates of a generation; none is asked of a server.

    Args:
        configuration: The settings.
        foundations: The foundations of the generation.
        names: The mDNS names of its addresses.
        opener: Opens the sockets.
    """

    def __init__(
        self,
        configuration: IceConfiguration,
        foundations: Foundations,
        names: Names,
        opener: TcpOpener,
    ) -> None:
        self._configuration = configuration
        self._foundations = foundations
        self._names = names
        self._opener = opener

    async def open(
        self, addresses: tuple[Address, ...], found: Callable[[LocalCandidate], None]
    ) -> None:
        """Open the sockets of all candidates.

        Args:
            addresses: The addresses, the most preferred first.
            found: Called with each candidate as soon as its socket is open.

        Cancellation: safe; the sockets of reported candidates stay open.
        """
        for rank, address in enumerate(addresses):
            for tcptype, opened in (
                ("passive", self._opener.open_passive),
                ("active", self._opener.open_active),
            ):
                protocol = opened(str(address))
                if protocol is None:
                    continue
                try:
                    candidates = await self._candidates(protocol, tcptype, address, rank)
                except BaseException:
                    protocol.transport.abort()
                    raise
                protocol.local_candidate = candidates[0]
                for candidate in candidates:
                    found(candidate)

    async def _candidates(
        self, protocol: StunProtocol, tcptype: str, address: Address, rank: int
    ) -> list[LocalCandidate]:
        host, port = protocol.transport.get_extra_info("sockname")
        local = (str(ipaddress.ip_address(host.partition("%")[0])), port)
        addresses = self._configuration.external_addresses
        external = addresses.get(local[0]) or addresses.get(address.ip.version)
        as_host = external is not None and self._configuration.external_as_host
        hides = self._configuration.hide_host_addresses
        announced: str | None = local[0]
        if as_host:
            announced = external
        elif hides:
            announced = await self._names.publish(local[0])
        candidates = [
            LocalCandidate(
                base=protocol,
                foundation=self._foundations.of("host", f"tcp-{tcptype}", local[0]),
                type="host",
                address=local,
                local_preference=local_preference(rank),
                network_type=network_type(address.kind),
                announced_host=announced,
                tcptype=tcptype,
            )
        ]
        if external is not None and not as_host and tcptype == "passive":
            candidates.append(
                LocalCandidate(
                    base=protocol,
                    foundation=self._foundations.of("srflx", "tcp-passive", local[0], "external"),
                    type="srflx",
                    address=(external, local[1]),
                    local_preference=local_preference(rank),
                    related=local,
                    network_type=network_type(address.kind),
                    hides_related=hides,
                    tcptype=tcptype,
                )
            )
        return candidates
