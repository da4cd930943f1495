"""Enumeration of network interfaces, and selection of the addresses that ICE gathers on.

:func:`read_interfaces` reads the system; :func:`choose` selects and ranks addresses without I/O.
"""

import fnmatch
import ipaddress
import socket
import struct
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import zip_longest
from logging import Logger
from pathlib import Path

import ifaddr

from icefloe.logs import get_logger

if sys.platform == "linux":
    import fcntl

logger: Logger = get_logger(__name__)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_ADDRESSES = 24
"""Maximum number of addresses to gather on; those of the lowest rank are left out. A container host
has hundreds, and the limit of pairs (RFC 8445 section 6.1.2.5) would drop most of them."""

_SYSFS = Path("/sys/class/net")
_IF_INET6 = Path("/proc/net/if_inet6")

# Constants of linux/sockios.h, linux/if.h and linux/if_addr.h.
_SIOCGIFFLAGS = 0x8913
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_IFA_F_TEMPORARY, _IFA_F_DADFAILED, _IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x01, 0x08, 0x20, 0x40


class Kind(StrEnum):
    """The kind of a network interface, for ranking."""

    ETHERNET = "ethernet"
    WIFI = "wifi"
    CELLULAR = "cellular"
    BLUETOOTH = "bluetooth"
    UNKNOWN = "unknown"
    VPN = "vpn"
    CONTAINER = "container"
    """A bridge to local containers or virtual machines, unreachable for other machines."""
    LOOPBACK = "loopback"


_TIERS = (
    (Kind.ETHERNET, Kind.WIFI, Kind.UNKNOWN, Kind.CELLULAR, Kind.BLUETOOTH),
    (Kind.VPN,),  # RFC 8445 section 5.1.2.2: a tunnel is the longer path to the same network
    (Kind.CONTAINER,),
    (Kind.LOOPBACK,),
)
"""Kinds by preference: all addresses of a tier rank before those of the next tier."""


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address of an interface.

    Attributes:
        ip: The address.
        prefix: Length of the network's prefix in bits.
        interface: Name of the interface.
        kind: Kind of the interface.
        temporary: True for a temporary IPv6 address (RFC 8981), which protects privacy.
    """

    ip: IPAddress
    prefix: int
    interface: str
    kind: Kind
    temporary: bool = False

    def __str__(self) -> str:
        return str(self.ip)


@dataclass(frozen=True, slots=True)
class Selection:
    """The interfaces and addresses that ICE may gather on.

    Attributes:
        interfaces: Shell patterns of interface names; a pattern that begins with ``!`` excludes its
            matches. Or a function that returns whether to use the interface with a given name.
        addresses: Networks such as ``10.0.0.0/8``; ``!10.0.0.0/8`` excludes a network.
        loopback: True to use loopback addresses even if there are others.

    Raises:
        ValueError: An entry of ``addresses`` is not a network, or one of ``interfaces`` is empty.
    """

    interfaces: Sequence[str] | Callable[[str], bool] = ()
    addresses: Sequence[str] = ()
    loopback: bool = False
    _networks: tuple[tuple[bool, IPNetwork], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.interfaces) and "" in {p.removeprefix("!") for p in self.interfaces}:
            raise ValueError("an interface name is empty")
        networks = tuple(
            (entry.startswith("!"), ipaddress.ip_network(entry.removeprefix("!"), strict=False))
            for entry in self.addresses
        )
        object.__setattr__(self, "_networks", networks)

    def allows(self, address: Address) -> bool:
        """Return whether ``interfaces`` and ``addresses`` allow an address."""
        return self._allows_interface(address.interface) and self._allows_ip(address.ip)

    def _allows_interface(self, name: str) -> bool:
        if callable(self.interfaces):
            return bool(self.interfaces(name))
        return _passes(
            (pattern.startswith("!"), fnmatch.fnmatchcase(name, pattern.removeprefix("!")))
            for pattern in self.interfaces
        )

    def _allows_ip(self, ip: IPAddress) -> bool:
        return _passes((denies, ip in network) for denies, network in self._networks)


def _passes(entries: Iterable[tuple[bool, bool]]) -> bool:
    """Evaluate the entries of a filter: an exclusion takes precedence over everything.

    Args:
        entries: For each entry, whether it is an exclusion and whether it matches.
    """
    allowed, limited = False, False
    for denies, matches in entries:
        if denies and matches:
            return False
        limited |= not denies
        allowed |= matches and not denies
    return allowed or not limited


def choose(found: Iterable[Address], selection: Selection) -> tuple[Address, ...]:
    """Choose the addresses to gather on, the most preferred first.

    Physical links rank before VPNs, and VPNs before bridges to containers. IPv6 and IPv4 alternate,
    IPv6 first (RFC 8421 section 4). Link-local addresses are left out, and so are permanent IPv6
    addresses of a network in which the interface has a temporary one. Loopback addresses are used
    if the selection includes them, or if the machine has no others.

    Args:
        found: All addresses of the machine.
        selection: The allowed interfaces and addresses.
    """
    usable = [a for a in found if not (a.ip.is_link_local or a.ip.is_multicast)]
    if not selection.loopback and any(not a.ip.is_loopback for a in usable):
        usable = [a for a in usable if not a.ip.is_loopback]
    allowed = [address for address in usable if selection.allows(address)]
    shown = [address for address in allowed if not _has_temporary_twin(address, allowed)]
    ranked: list[Address] = []
    for tier in _TIERS:
        members = sorted((a for a in shown if a.kind in tier), key=lambda a: tier.index(a.kind))
        families = [[a for a in members if a.ip.version == version] for version in (6, 4)]
        ranked += [a for pair in zip_longest(*families) for a in pair if a is not None]
    if len(ranked) > MAX_ADDRESSES:
        logger.info("gathering on %d of %d addresses", MAX_ADDRESSES, len(ranked))
    return tuple(ranked[:MAX_ADDRESSES])


def _has_temporary_twin(address: Address, others: Iterable[Address]) -> bool:
    return (
        address.ip.version == 6
        and not address.temporary
        and any(
            other.temporary
            and other.interface == address.interface
            and other.ip in ipaddress.ip_network(f"{address.ip}/{address.prefix}", strict=False)
            for other in others
        )
    )


def local_preference(rank: int) -> int:
    """Return the local preference of the address at a rank, 0 being the most preferred.

    RFC 8445 section 5.1.2.1: unique for each address, at most 65535.
    """
    return 65535 - rank


# --- reading the system


def read_interfaces() -> list[Address]:
    """Return the addresses of all interfaces that are up, in the system's order.

    Takes a fraction of a millisecond. On Linux, tentative, duplicate and deprecated IPv6 addresses
    are left out, and so are interfaces without a carrier. Scoped addresses are left out everywhere.

    Raises:
        OSError: The system's interfaces cannot be read.
    """
    adapters = list(ifaddr.get_adapters())
    down = _down(adapter.name for adapter in adapters)
    flags = _ipv6_flags()
    found = []
    for adapter in adapters:
        if adapter.name in down:
            continue
        kind = kind_of(adapter.name, adapter.nice_name)
        for entry in adapter.ips:
            text, scope = (entry.ip, 0) if isinstance(entry.ip, str) else (entry.ip[0], entry.ip[2])
            ip = ipaddress.ip_address(text.partition("%")[0])
            state = flags.get(ip, 0)
            if scope or state & (_IFA_F_DADFAILED | _IFA_F_DEPRECATED | _IFA_F_TENTATIVE):
                continue
            found.append(
                Address(
                    ip=ip,
                    prefix=entry.network_prefix,
                    interface=entry.nice_name if sys.platform == "win32" else adapter.name,
                    kind=Kind.LOOPBACK if ip.is_loopback else kind,
                    temporary=bool(state & _IFA_F_TEMPORARY),
                )
            )
    return found


def broadcast_addresses(found: Iterable[Address]) -> frozenset[str]:
    """Return the directed broadcast addresses of the networks of these addresses (RFC 919)."""
    networks = (
        ipaddress.IPv4Network((address.ip, address.prefix), strict=False)
        for address in found
        if address.ip.version == 4 and address.prefix < 31
    )
    return frozenset(str(network.broadcast_address) for network in networks)


def _down(names: Iterable[str]) -> set[str]:
    """Return the interfaces that are down or have no carrier; empty on systems except Linux."""
    if sys.platform != "linux":
        return set()
    down = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for name in names:
            request = struct.pack("16sH14x", name.encode()[:15], 0)
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
            except OSError:
                continue  # the interface has disappeared, or a sandbox hides it
            (flags,) = struct.unpack_from("16xH", answer)
            if not (flags & _IFF_UP and flags & _IFF_RUNNING):
                down.add(name)
    return down


def _ipv6_flags() -> dict[IPAddress, int]:
    """Return the ``IFA_F_`` flags of the IPv6 addresses; empty on systems except Linux."""
    flags: dict[IPAddress, int] = {}
    for line in _read(_IF_INET6).splitlines():
        digits, _, _, _, state, _ = line.split()
        flags[ipaddress.IPv6Address(int(digits, 16))] = int(state, 16)
    return flags


def _device(name: str) -> str:
    return name.partition(":")[0]  # eth0:1 is a label of eth0


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


_DEVTYPES = {
    "wlan": Kind.WIFI,
    "wwan": Kind.CELLULAR,
    "wireguard": Kind.VPN,
    "bluetooth": Kind.BLUETOOTH,
    "vlan": Kind.ETHERNET,
    "bond": Kind.ETHERNET,
}
"""Kinds by ``DEVTYPE`` in the interface's uevent file."""

_HARDWARE = {
    "772": Kind.LOOPBACK,
    "512": Kind.VPN,  # ppp
    "519": Kind.CELLULAR,  # rawip
    "768": Kind.VPN,  # ipip
    "769": Kind.VPN,  # ip6tnl
    "776": Kind.VPN,  # sit
    "778": Kind.VPN,  # gre
    "65534": Kind.VPN,  # none: tun, wireguard
}
"""Kinds by ARP hardware type (linux/if_arp.h)."""

_NAMES = (
    (Kind.CONTAINER, ("docker*", "br-*", "virbr*", "vmnet*", "vboxnet*", "veth*", "cni*", "lxc*")),
    (Kind.CONTAINER, ("lxdbr*", "podman*", "cilium*", "flannel*", "cali*", "vethernet*", "vnic*")),
    (
        Kind.VPN,
        ("utun*", "tun*", "tap*", "wg*", "ppp*", "ipsec*", "zt*", "tailscale*", "nordlynx*"),
    ),
    (Kind.VPN, ("*vpn*", "*wireguard*", "*wintun*")),
    (Kind.CELLULAR, ("wwan*", "rmnet*", "pdp_ip*", "*cellular*", "*mobile*")),
    (Kind.WIFI, ("wlan*", "wlp*", "wlx*", "wi-fi*", "*wireless*")),
    (Kind.BLUETOOTH, ("bnep*", "*bluetooth*")),
    (Kind.LOOPBACK, ("lo", "lo0", "*loopback*")),
    (Kind.ETHERNET, ("eth*", "en*", "*ethernet*")),
)
"""Kinds by patterns of common interface names; the first match counts."""


def kind_of(name: str, description: str = "") -> Kind:
    """Return the kind of an interface, from sysfs on Linux, else from its name.

    Args:
        name: The interface's name, such as ``eth0``.
        description: The system's display name, which is the relevant name on Windows.
    """
    folder = _SYSFS / _device(name)
    # After a change of the network namespace, /sys still shows the namespace of its mount.
    if _read(folder / "ifindex").strip() == str(_index(_device(name))):
        return _kind_in_sysfs(folder)
    return kind_by_name(name, description)


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def kind_by_name(name: str, description: str = "") -> Kind:
    """Return the most likely kind of an interface with this name."""
    for kind, patterns in _NAMES:
        for text in (name.lower(), description.lower()):
            if any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns):
                return kind
    return Kind.UNKNOWN


def _kind_in_sysfs(folder: Path) -> Kind:
    if (folder / "wireless").exists() or (folder / "phy80211").exists():
        return Kind.WIFI
    if (folder / "bridge").exists():
        # A bridge with a network card leads outside; any other leads to containers.
        ports = _entries(folder / "brif")
        wired = any((folder.parent / port.name / "device").exists() for port in ports)
        return Kind.ETHERNET if wired else Kind.CONTAINER
    if (folder / "tun_flags").exists():
        return Kind.VPN
    uevent = dict(
        line.split("=", 1) for line in _read(folder / "uevent").splitlines() if "=" in line
    )
    kind = _DEVTYPES.get(uevent.get("DEVTYPE", ""))
    kind = kind or _HARDWARE.get(_read(folder / "type").strip())
    if kind is not None:
        return kind
    # Inside a container, eth0 is one end of a veth pair and a real link. Only the names given to
    # the host's ends of such pairs indicate a container interface.
    return Kind.CONTAINER if kind_by_name(folder.name) is Kind.CONTAINER else Kind.ETHERNET


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
