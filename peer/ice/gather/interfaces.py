"""The machine's network interfaces, and which of their addresses ICE should gather on.

Reading the system is one function, :func:`read_interfaces`; choosing and ranking among what it
found is another, :func:`choose`, which does no I/O.
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
from pathlib import Path

import ifaddr

from icefloe.logs import get_logger

if sys.platform == "linux":
    import fcntl

logger = get_logger(__name__)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_ADDRESSES = 24
"""Addresses gathered on; a host of containers has hundreds, and RFC 8445 section 6.1.2.5 would
have most of their pairs dropped. The lowest ranks are left out."""

_SYSFS = Path("/sys/class/net")
_IF_INET6 = Path("/proc/net/if_inet6")

# Of linux/sockios.h, linux/if.h and linux/if_addr.h.
_SIOCGIFFLAGS = 0x8913
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_IFA_F_TEMPORARY, _IFA_F_DADFAILED, _IFA_F_DEPRECATED, _IFA_F_TENTATIVE = 0x01, 0x08, 0x20, 0x40


class Kind(StrEnum):
    """What an interface is, as far as the choice of a path goes."""

    ETHERNET = "ethernet"
    WIFI = "wifi"
    CELLULAR = "cellular"
    BLUETOOTH = "bluetooth"
    UNKNOWN = "unknown"
    VPN = "vpn"
    CONTAINER = "container"
    """A bridge to containers or virtual machines of this machine: nobody else can reach it."""
    LOOPBACK = "loopback"


_TIERS = (
    (Kind.ETHERNET, Kind.WIFI, Kind.UNKNOWN, Kind.CELLULAR, Kind.BLUETOOTH),
    (Kind.VPN,),  # RFC 8445 section 5.1.2.2: a tunnel is the longer way to what it also reaches
    (Kind.CONTAINER,),
    (Kind.LOOPBACK,),
)
"""Kinds by preference: every address of one tier comes before those of the next."""


@dataclass(frozen=True, slots=True)
class Address:
    """An IP address of an interface.

    Attributes:
        ip: The address.
        prefix: Length of its network's prefix, in bits.
        interface: Name of the interface.
        kind: What the interface is.
        temporary: Whether it is a temporary IPv6 address (RFC 8981), made to be shown.
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
    """Which interfaces and addresses may be gathered on.

    Attributes:
        interfaces: Patterns of names with the wildcards of a shell; one that begins with ``!``
            leaves out what it matches. Or a function that is given the name.
        addresses: Networks such as ``10.0.0.0/8``; likewise ``!10.0.0.0/8``.
        loopback: Whether loopback counts although there is something else.

    Raises:
        ValueError: An entry of ``addresses`` is no network, or one of ``interfaces`` is empty.
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
        """Whether an address may be gathered on; loopback is not looked at."""
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
    """Take pairs of whether an entry denies and whether it matches; a denial outweighs all."""
    allowed, limited = False, False
    for denies, matches in entries:
        if denies and matches:
            return False
        limited |= not denies
        allowed |= matches and not denies
    return allowed or not limited


def choose(found: Iterable[Address], selection: Selection) -> tuple[Address, ...]:
    """Choose the addresses to gather on, the most preferred first.

    Families alternate, IPv6 first, so that neither starves behind the other (RFC 8421 section 4);
    physical links come before VPNs and those before bridges to containers. Link-local addresses
    are left out, and permanent IPv6 addresses where a temporary one of the same network is to be
    had. Loopback is taken if the selection says so, or if the machine has nothing else.

    Args:
        found: All addresses of the machine.
        selection: Which may be used.
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

    RFC 8445 section 5.1.2.1: a different one for each address, 65535 being the most.
    """
    return 65535 - rank


# --- reading the system


def read_interfaces() -> list[Address]:
    """Return the addresses of all interfaces that are up, in the system's order.

    Takes a fraction of a millisecond. IPv6 addresses that are not ready or on their way out, and
    interfaces without a carrier, are left out where the system tells (Linux).
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
    """Return the interfaces that are switched off or have no carrier; Linux only."""
    if sys.platform != "linux":
        return set()
    down = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for name in names:
            request = struct.pack("16sH14x", name.encode()[:15], 0)
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFFLAGS, request)
            except OSError:
                continue  # gone meanwhile, or a system that hides it
            (flags,) = struct.unpack_from("16xH", answer)
            if not (flags & _IFF_UP and flags & _IFF_RUNNING):
                down.add(name)
    return down


def _ipv6_flags() -> dict[IPAddress, int]:
    """Return the ``IFA_F_`` flags of the IPv6 addresses; empty where there is no such list."""
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
"""``DEVTYPE`` in an interface's uevent file."""

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
"""ARP hardware types (linux/if_arp.h)."""

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
"""Names that systems and programs give, the first match counts."""


def kind_of(name: str, description: str = "") -> Kind:
    """Say what an interface is: from what Linux tells of it, elsewhere from its name.

    Args:
        name: Its name, such as ``eth0``.
        description: What the system shows a person; Windows names an interface by it.
    """
    folder = _SYSFS / _device(name)
    # A process that changed its network namespace sees the one in which /sys was mounted.
    if _read(folder / "ifindex").strip() == str(_index(_device(name))):
        return _kind_in_sysfs(folder)
    return kind_by_name(name, description)


def _index(name: str) -> int | None:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def kind_by_name(name: str, description: str = "") -> Kind:
    """Say what an interface of this name most likely is."""
    for kind, patterns in _NAMES:
        for text in (name.lower(), description.lower()):
            if any(fnmatch.fnmatchcase(text, pattern) for pattern in patterns):
                return kind
    return Kind.UNKNOWN


def _kind_in_sysfs(folder: Path) -> Kind:
    if (folder / "wireless").exists() or (folder / "phy80211").exists():
        return Kind.WIFI
    if (folder / "bridge").exists():
        # A bridge that a network card is part of is the way out; any other is a way in.
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
    # A card has a device, and inside a container eth0 is one end of a veth: only names that are
    # given to the host's end of such a pair speak against it.
    return Kind.CONTAINER if kind_by_name(folder.name) is Kind.CONTAINER else Kind.ETHERNET


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
