"""Parts of a lab: routers with their behaviour (RFC 4787), and peers behind them. No I/O."""

from dataclasses import dataclass, field
from enum import StrEnum

CORE = "core"
"""The uplink of what has a public address: the network in the middle."""


class Nat(StrEnum):
    """The behaviour of a router towards UDP, in the terms of RFC 4787 sections 4.1 and 5."""

    FULL_CONE = "full-cone"
    """Endpoint-independent mapping and filtering."""

    ADDRESS_RESTRICTED = "address-restricted"
    """Endpoint-independent mapping, address-dependent filtering."""

    PORT_RESTRICTED = "port-restricted"
    """Endpoint-independent mapping, address- and port-dependent filtering; most home routers."""

    SYMMETRIC = "symmetric"
    """Address- and port-dependent mapping and filtering, with random ports."""

    UDP_BLOCKED = "udp-blocked"
    """Nothing but TCP to port 443 goes out, as from some companies' networks."""


LEARNING = (Nat.FULL_CONE, Nat.ADDRESS_RESTRICTED)
"""The behaviours that let in packets of strangers, from a table of what went out."""


class Ipv6(StrEnum):
    """The IPv6 of a network."""

    NONE = "none"
    WORKING = "working"
    BROKEN = "broken"
    """There is an address and a route, and every packet is lost in the core."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The effect of a link on packets, in each direction.

    Attributes:
        delay: Seconds that each takes.
        jitter: Seconds by which that varies either way; it reorders packets.
        loss: The part of them that is lost, 0 to 1.
        rate: Bits a second; 0 is no limit.
        queue: Seconds' worth of packets that wait for a limited rate; what comes then is lost.
        seed: What the chances are drawn from.
    """

    delay: float = 0.0
    jitter: float = 0.0
    loss: float = 0.0
    rate: float = 0.0
    queue: float = 0.3
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Router:
    """A router with a LAN.

    Attributes:
        name: Its name.
        nat: What it does to UDP.
        uplink: The router above it, or :data:`CORE`.
        hairpin: Whether what its LAN sends to its public address comes back in (RFC 4787 section
            6); only with the behaviours that learn.
        carrier: Whether its LAN is a carrier's shared address space (RFC 6598).
        ipv6: What IPv6 its LAN has; not translated, with a stateful firewall (RFC 6092).
        wire: What its uplink does to packets; ``None`` is a perfect link, which costs no CPU.
    """

    name: str
    nat: Nat = Nat.PORT_RESTRICTED
    uplink: str = CORE
    hairpin: bool = False
    carrier: bool = False
    ipv6: Ipv6 = Ipv6.NONE
    wire: Wire | None = None

    def __post_init__(self) -> None:
        if self.hairpin and self.nat not in LEARNING:
            raise ValueError(f"{self.name}: hairpinning needs one of {', '.join(LEARNING)}")
        if self.ipv6 is not Ipv6.NONE and self.uplink != CORE:
            raise ValueError(f"{self.name}: only a router right below the core has IPv6")


@dataclass(frozen=True, slots=True)
class Peer:
    """A host; its interfaces are ``eth0``, ``eth1`` and so on, the first is preferred.

    Attributes:
        name: Its name.
        uplinks: For each interface the router it hangs off, or :data:`CORE`.
        down: The interfaces that are down at first.
        ipv4: Whether it has IPv4 at all.
        ipv6: What IPv6 it has on an interface at the core; behind a router it is the router's.
        wire: What its interfaces do to packets.
    """

    name: str
    uplinks: tuple[str, ...] = (CORE,)
    down: tuple[str, ...] = ()
    ipv4: bool = True
    ipv6: Ipv6 = Ipv6.NONE
    wire: Wire | None = None


@dataclass(frozen=True, slots=True)
class LabSpec:
    """A whole lab.

    Attributes:
        peers: The hosts.
        routers: The routers, each after the one above it.
    """

    peers: tuple[Peer, ...]
    routers: tuple[Router, ...] = field(default=())

    def __post_init__(self) -> None:
        known = {CORE}
        for router in self.routers:
            if router.uplink not in known:
                raise ValueError(f"{router.name}: no router {router.uplink!r} before it")
            known.add(router.name)
        for peer in self.peers:
            if unknown := set(peer.uplinks) - known:
                raise ValueError(f"{peer.name}: no router {', '.join(sorted(unknown))}")
