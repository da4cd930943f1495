"""Every link of a lab with its devices and addresses, worked out beforehand. No I/O.

::

    203.0.113.0/24   2001:db8:ffff::/64   the public servers
    198.18.N.0/24    2001:db8:0:N::/64    between the core and site N
    192.168.N.0/24   2001:db8:1:N::/64    the LAN of site N's router
    100.64.N.0/24                         a carrier's shared addresses

These are the ranges for documentation and benchmarks (RFC 5737, 3849, 2544): no packet of a lab is
for anybody else.
"""

import ipaddress
from dataclasses import dataclass, field

from tests.natlab.spec import CORE, Ipv6, LabSpec, Peer, Router, Wire

PUBLIC = "public"
"""The host of the servers."""

SERVERS = (("203.0.113.10", "2001:db8:ffff::10"), ("203.0.113.11", "2001:db8:ffff::11"))
"""The addresses of the public servers."""

DEAD = ("203.0.113.66", "2001:db8:ffff::66")
"""The addresses of a server that is dead: the core drops what is for it, and tells nobody."""

PUBLIC_GATEWAY = ("203.0.113.1", "2001:db8:ffff::1")


@dataclass(frozen=True, slots=True)
class Address:
    """An interface's address.

    Attributes:
        address: The address.
        length: The length of its prefix.
        gateway: The other end's address.
    """

    address: str
    length: int
    gateway: str

    @property
    def is_ipv6(self) -> bool:
        """True if it is an IPv6 address."""
        return ":" in self.address

    @property
    def network(self) -> str:
        """Its prefix."""
        return str(ipaddress.ip_interface(str(self)).network)

    def __str__(self) -> str:
        return f"{self.address}/{self.length}"


@dataclass(frozen=True, slots=True)
class Link:
    """A link from a node up to a router or the core.

    Attributes:
        number: Counts the links of a lab from 0.
        node: The name of the lower end.
        device: Its interface.
        upper: The name of the upper end.
        wire: What it does to packets.
        addresses: The lower end's addresses.
        gateways: What the upper end has beside them: at the core the other half of the link, at a
            router nothing, for its LAN is one network.
        prefixes: The public prefixes behind this link, if its upper end is the core.
        routes: The prefixes that the core reaches through the lower end, and its address.
        ipv6: What IPv6 there is.
        is_down: Whether it is down at first.
    """

    number: int
    node: str
    device: str
    upper: str
    wire: Wire | None
    addresses: tuple[Address, ...]
    gateways: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    ipv6: Ipv6 = Ipv6.NONE
    is_down: bool = False

    @property
    def upper_device(self) -> str:
        """The interface at the upper end."""
        return f"down{self.number}"


@dataclass(frozen=True, slots=True)
class Lan:
    """A router's LAN: its own addresses there, with their prefix lengths."""

    addresses: tuple[str, ...]


@dataclass
class Plan:
    """All links, each after those above it, and all LANs by their router."""

    links: list[Link] = field(default_factory=list)
    lans: dict[str, Lan] = field(default_factory=dict)

    @property
    def broken(self) -> tuple[str, ...]:
        """The prefixes whose packets are lost in the core."""
        return tuple(
            prefix
            for link in self.links
            if link.ipv6 is Ipv6.BROKEN
            for prefix in link.prefixes
            if ":" in prefix
        )

    def links_of(self, node: str) -> list[Link]:
        """Return a node's links upwards."""
        return [link for link in self.links if link.node == node]

    def top_links_of(self, node: str) -> list[Link]:
        """Return the links to the core that a node's packets take."""
        tops: list[Link] = []
        for link in self.links_of(node):
            tops += [link] if link.upper == CORE else self.top_links_of(link.upper)
        return tops


class _Planner:
    def __init__(self) -> None:
        self.plan = Plan()
        self._sites = 0
        self._hosts: dict[str, int] = {}
        self._prefixes: dict[str, tuple[str, str | None]] = {}

    def add_router(self, router: Router) -> None:
        link = self._link(router.name, "wan", router.uplink, router.wire, ipv6=router.ipv6)
        self.plan.links.append(link)
        number = link.number + 1
        ipv4 = f"{'100.64' if router.carrier else '192.168'}.{number}"
        ipv6 = f"2001:db8:1:{number:x}" if router.ipv6 is not Ipv6.NONE else None
        self._prefixes[router.name] = (ipv4, ipv6)
        addresses = [f"{ipv4}.1/24"] + ([f"{ipv6}::1/64"] if ipv6 else [])
        self.plan.lans[router.name] = Lan(tuple(addresses))

    def add_peer(self, peer: Peer) -> None:
        for number, uplink in enumerate(peer.uplinks):
            device = f"eth{number}"
            link = self._link(
                peer.name,
                device,
                uplink,
                peer.wire,
                ipv4=peer.ipv4,
                ipv6=peer.ipv6 if uplink == CORE else Ipv6.WORKING,
                is_down=device in peer.down,
            )
            self.plan.links.append(link)

    def _link(
        self,
        node: str,
        device: str,
        upper: str,
        wire: Wire | None,
        *,
        ipv4: bool = True,
        ipv6: Ipv6,
        is_down: bool = False,
    ) -> Link:
        number = len(self.plan.links)
        if upper == CORE:
            return self._site(number, node, device, wire, ipv4, ipv6, is_down)
        host = self._hosts[upper] = self._hosts.get(upper, 9) + 1
        prefix4, prefix6 = self._prefixes[upper]
        addresses = [Address(f"{prefix4}.{host}", 24, f"{prefix4}.1")] if ipv4 else []
        if prefix6 is not None and ipv6 is not Ipv6.NONE:
            addresses.append(Address(f"{prefix6}::{host:x}", 64, f"{prefix6}::1"))
        return Link(number, node, device, upper, wire, tuple(addresses), is_down=is_down)

    def _site(
        self,
        number: int,
        node: str,
        device: str,
        wire: Wire | None,
        ipv4: bool,
        ipv6: Ipv6,
        is_down: bool,
    ) -> Link:
        self._sites += 1
        site = self._sites
        addresses, gateways, prefixes, routes = [], [], [], []
        if ipv4:
            addresses.append(Address(f"198.18.{site}.2", 24, f"198.18.{site}.1"))
            gateways.append(f"198.18.{site}.1/24")
            prefixes.append(f"198.18.{site}.0/24")
        if ipv6 is not Ipv6.NONE:
            lower = f"2001:db8:0:{site:x}::2"
            addresses.append(Address(lower, 64, f"2001:db8:0:{site:x}::1"))
            gateways.append(f"2001:db8:0:{site:x}::1/64")
            prefixes.append(f"2001:db8:0:{site:x}::/64")
            if device == "wan":
                behind = f"2001:db8:1:{number + 1:x}::/64"
                prefixes.append(behind)
                routes.append((behind, lower))
        return Link(
            number,
            node,
            device,
            CORE,
            wire,
            tuple(addresses),
            gateways=tuple(gateways),
            prefixes=tuple(prefixes),
            routes=tuple(routes),
            ipv6=ipv6,
            is_down=is_down,
        )


def plan(spec: LabSpec) -> Plan:
    """Give every interface of a lab its address."""
    planner = _Planner()
    for router in spec.routers:
        planner.add_router(router)
    for peer in spec.peers:
        planner.add_peer(peer)
    return planner.plan
