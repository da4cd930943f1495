"""nftables rule sets: what makes a router a NAT of one behaviour or another. No I/O.

Two things in them are not obvious. A router drops what strangers send to its own address: let in,
the first packet of the other peer would take the port that the masquerading needs next. And every
mapping is endpoint-independent because the kernel keeps the port where it can; only what a
``symmetric`` router does is made differently, by random ports.
"""

from collections.abc import Iterable
from enum import StrEnum

from tests.natlab.plan import DEAD
from tests.natlab.spec import Nat, Router

_FIREWALL = """
table inet firewall {{
  chain input {{
    type filter hook input priority 0; policy drop
    iifname != "wan" accept
    ct state established,related accept
    meta l4proto {{ icmp, ipv6-icmp }} accept
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop
    {blocked}
    ct state established,related accept
    iifname "lan" oifname "wan" accept
    ct status dnat accept
  }}
}}
"""

_BLOCKED = """
    iifname "lan" oifname "wan" meta l4proto udp drop
    iifname "lan" oifname "wan" tcp dport != 443 drop
"""

_MASQUERADE = """
table ip nat {{
  chain post {{
    type nat hook postrouting priority srcnat
    oifname "wan" masquerade {flags}
  }}
}}
"""

# What goes out is learned: which host has a port, and to whom it spoke. What comes in is let
# through to that host, from anybody or from those it spoke to.
_LEARNING = """
table ip nat {{
  map hosts {{
    type inet_service : ipv4_addr; flags dynamic,timeout; timeout 2m
  }}
  set known {{
    type ipv4_addr . inet_service; flags dynamic,timeout; timeout 2m
  }}
  chain learn {{
    type filter hook postrouting priority mangle
    oifname "wan" meta l4proto udp update @hosts {{ udp sport : ip saddr }}
    oifname "wan" meta l4proto udp update @known {{ ip daddr . udp sport }}
  }}
  chain pre {{
    type nat hook prerouting priority dstnat
    iifname "wan" meta l4proto udp {known} dnat to udp dport map @hosts
    {hairpin_in}
  }}
  chain post {{
    type nat hook postrouting priority srcnat
    {hairpin_out}
    oifname "wan" masquerade
  }}
}}
"""


def router_rules(router: Router, public: str) -> str:
    """Return a router's whole rule set; loading it forgets what was learned.

    Args:
        router: The router.
        public: Its IPv4 address towards the core.
    """
    blocked = _BLOCKED if router.nat is Nat.UDP_BLOCKED else ""
    return "flush ruleset\n" + _FIREWALL.format(blocked=blocked) + _translation(router, public)


def _translation(router: Router, public: str) -> str:
    if router.nat in (Nat.PORT_RESTRICTED, Nat.UDP_BLOCKED):
        return _MASQUERADE.format(flags="")
    if router.nat is Nat.SYMMETRIC:
        return _MASQUERADE.format(flags="fully-random")
    hairpin_in = hairpin_out = ""
    if router.hairpin:
        hairpin_in = (
            f'iifname "lan" ip daddr {public} meta l4proto udp dnat to udp dport map @hosts'
        )
        hairpin_out = f'iifname "lan" oifname "lan" ct status dnat snat to {public}'
    known = "ip saddr . udp dport @known" if router.nat is Nat.ADDRESS_RESTRICTED else ""
    return _LEARNING.format(known=known, hairpin_in=hairpin_in, hairpin_out=hairpin_out)


def core_rules(broken: Iterable[str]) -> str:
    """Return the core's rule set.

    Private addresses are not carried, nor anything for the dead server.

    Args:
        broken: The IPv6 prefixes whose packets are lost.
    """
    private = "{ 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10 }"
    lines = [
        f"ip saddr {private} drop",
        f"ip daddr {private} drop",
        f"ip daddr {DEAD[0]} drop",
        f"ip6 daddr {DEAD[1]} drop",
    ]
    for prefix in broken:
        lines += [f"ip6 saddr {prefix} drop", f"ip6 daddr {prefix} drop"]
    return _forward("carriage", 0, lines)


class What(StrEnum):
    """The traffic that a cut takes away."""

    EVERYTHING = "everything"
    UDP = "udp"


def cut_rules(cuts: Iterable[tuple[Iterable[str], Iterable[str] | None, What]]) -> str:
    """Return the core's rule set for cuts, in place of the one before.

    Args:
        cuts: For each the prefixes on one side, those on the other (``None`` is the whole
            world), and what is dropped between them. It is dropped silently.
    """
    lines = []
    for ours, theirs, what in cuts:
        protocol = " meta l4proto udp" if what is What.UDP else ""
        for own in ours:
            family = _family(own)
            if theirs is None:
                lines += [f"{family} {side} {own}{protocol} drop" for side in ("saddr", "daddr")]
                continue
            for other in theirs:
                if _family(other) == family:
                    lines += [
                        f"{family} saddr {own} {family} daddr {other}{protocol} drop",
                        f"{family} saddr {other} {family} daddr {own}{protocol} drop",
                    ]
    return "add table inet cuts\ndelete table inet cuts\n" + _forward("cuts", -10, lines)


def _family(prefix: str) -> str:
    return "ip6" if ":" in prefix else "ip"


def _forward(table: str, priority: int, lines: list[str]) -> str:
    rules = "\n    ".join(lines)
    return (
        f"table inet {table} {{\n  chain forward {{\n"
        f"    type filter hook forward priority {priority}\n    {rules}\n  }}\n}}\n"
    )
