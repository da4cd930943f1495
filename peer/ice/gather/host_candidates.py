"""Host candidates: one UDP socket per local address, with mDNS names and external addresses."""

import ipaddress
import random
from collections.abc import Callable, Iterator
from logging import Logger

import dns.name
from aioice import mdns
from aioice.ice import StunProtocol

from icefloe.logs import get_logger

from ..configuration import IceConfiguration
from ..mux.shared_socket import Sharing
from ..mux.udp_mux import sockets_of
from ..turn.transports import UDP_RECEIVE_BUFFER
from ..udp import open_udp
from .interface_monitor import chosen_interfaces
from .interfaces import MAX_ADDRESSES, Address, local_preference
from .local_candidate import Foundations, LocalCandidate, network_type
from .multicast_dns import MulticastDns

logger: Logger = get_logger(__name__)

PREFERENCE_STEP = 256
"""Difference between the local preferences of two server-reflexive candidates of one base. It is
greater than the number of addresses, so candidates of different bases never have equal
preferences."""


def gatherable(configuration: IceConfiguration) -> tuple[Address, ...]:
    """Return the addresses to gather host candidates on, the most preferred first."""
    return chosen_interfaces(configuration.selection)


class Names:
    """mDNS names for local addresses, published while they are in use.

    draft-ietf-mmusic-mdns-ice-candidates section 3.1: a random name for each address.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._multicast = MulticastDns()
        self._responder: mdns.MDnsProtocol | None = None

    async def publish(self, address: str) -> str | None:
        """Publish a name for an address.

        Returns:
            The name; ``None`` if multicast DNS is unavailable.
        """
        if address in self._names:
            return self._names[address]
        name = mdns.create_mdns_hostname()
        try:
            self._responder = await self._multicast.open()
            await self._responder.publish(name, address)
        except OSError as error:
            logger.info(
                "multicast DNS unavailable, so the host candidate %s is not announced: %s",
                address,
                error,
            )
            return None
        self._names[address] = name
        return name

    async def close(self) -> None:
        """Withdraw the names; a second call does nothing."""
        if self._responder is None:
            return
        for name in self._names.values():
            self._responder.zone.delete_node(dns.name.from_text(name))
        self._names.clear()
        self._responder = None
        await self._multicast.close()


class HostSockets:
    """Opens the sockets of the host candidates.

    Args:
        configuration: The settings.
        foundations: The foundations of the generation.
        protocol_factory: Creates the protocol of each socket.
        sharing: The generation, if it is to use the shared port of the configuration.
    """

    def __init__(
        self,
        configuration: IceConfiguration,
        foundations: Foundations,
        protocol_factory: Callable[[], StunProtocol],
        sharing: Sharing | None = None,
    ) -> None:
        self._sharing = sharing
        self._configuration = configuration
        self._foundations = foundations
        self._protocol_factory = protocol_factory
        self._external = configuration.external_addresses
        self.names: Names = Names()

    async def open(self, addresses: tuple[Address, ...], found: Callable[..., None]) -> None:
        """Open a socket on each address; addresses that cannot be bound are skipped.

        Args:
            addresses: The addresses, the most preferred first.
            found: Called with each candidate as soon as its socket is open.

        Raises:
            UdpMuxUnusable: The shared port is closed, or belongs to another event loop.
            FragmentInUse: Another agent of the shared port has the same username fragment.

        Cancellation: safe; the sockets of reported candidates stay open.
        """
        for rank, address in enumerate(addresses):
            protocol = await self._bind(str(address))
            if protocol is None:
                continue
            try:
                candidates = await self._candidates(protocol, address, local_preference(rank))
            except BaseException:
                protocol.transport.abort()
                raise
            protocol.local_candidate = candidates[0]
            for candidate in candidates:
                found(candidate)

    async def open_private(self, address: Address, rank: int) -> LocalCandidate | None:
        """Open a socket beside the shared one of an address; its candidate is not announced.

        The remote peer learns it from the checks that come from it.

        Args:
            address: The local address.
            rank: Its rank among those that are gathered on.

        Returns:
            The candidate; ``None`` if no socket can be opened.

        Cancellation: safe.
        """
        try:
            protocol = await open_udp(self._protocol_factory, str(address), 0, UDP_RECEIVE_BUFFER)
        except OSError as error:
            logger.warning("no private socket on %s: %s", address, error)
            return None
        local = protocol.transport.get_extra_info("sockname")[:2]
        candidate = LocalCandidate(
            base=protocol,
            foundation=self._foundations.of("host", "udp", local[0], "private"),
            type="host",
            address=(str(ipaddress.ip_address(local[0])), local[1]),
            local_preference=local_preference(MAX_ADDRESSES + rank),
            network_type=network_type(address.kind),
            announced_host=None,
        )
        protocol.local_candidate = candidate
        return candidate

    async def _bind(self, address: str) -> StunProtocol | None:
        mux = self._configuration.udp_mux
        if mux is not None and self._sharing is not None:
            try:
                return await sockets_of(mux).attach(address, self._protocol_factory, self._sharing)
            except OSError as error:
                logger.warning("no host candidate on %s, port %d: %s", address, mux.port, error)
                return None
        reason: OSError | None = None
        for port in self._ports():
            try:
                return await open_udp(self._protocol_factory, address, port, UDP_RECEIVE_BUFFER)
            except OSError as error:
                reason = error
        logger.warning("no host candidate on %s: %s", address, reason)
        return None

    def _ports(self) -> Iterator[int]:
        """Yield the ports to try, from a random one: with many connections most ports are taken."""
        if self._configuration.port_range is None:
            yield 0
            return
        first, last = self._configuration.port_range
        start = random.randint(first, last)
        yield from range(start, last + 1)
        yield from range(first, start)

    async def _candidates(
        self, protocol: StunProtocol, address: Address, preference: int
    ) -> list[LocalCandidate]:
        local = protocol.transport.get_extra_info("sockname")[:2]
        local = (str(ipaddress.ip_address(local[0])), local[1])
        external = self._external.get(local[0]) or self._external.get(address.ip.version)
        as_host = external is not None and self._configuration.external_as_host
        hides = self._configuration.hide_host_addresses
        announced: str | None = local[0]
        if as_host:
            announced = external
        elif hides:
            announced = await self.names.publish(local[0])
        candidates = [
            LocalCandidate(
                base=protocol,
                foundation=self._foundations.of("host", "udp", local[0]),
                type="host",
                address=local,
                local_preference=preference,
                network_type=network_type(address.kind),
                announced_host=announced,
            )
        ]
        if external is not None and not as_host:
            candidates.append(
                LocalCandidate(
                    base=protocol,
                    foundation=self._foundations.of("srflx", "udp", local[0], "external"),
                    type="srflx",
                    address=(external, local[1]),
                    local_preference=preference,
                    related=local,
                    network_type=network_type(address.kind),
                    hides_related=hides,
                )
            )
        return candidates
