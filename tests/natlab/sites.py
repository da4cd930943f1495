"""Places where a peer may be, and labs with ``a`` in one place and ``b`` in another. No I/O."""

from enum import StrEnum

from tests.natlab.spec import CORE, LabSpec, Nat, Peer, Router


class Site(StrEnum):
    """A place from which people call."""

    NONE = "none"
    FULL_CONE = "full-cone"
    ADDRESS_RESTRICTED = "address-restricted"
    PORT_RESTRICTED = "port-restricted"
    SYMMETRIC = "symmetric"
    CGN = "cgn"
    UDP_BLOCKED = "udp-blocked"


MEANING = {
    Site.NONE: "a public address and no firewall",
    Site.FULL_CONE: "endpoint-independent mapping and filtering",
    Site.ADDRESS_RESTRICTED: "endpoint-independent mapping, address-dependent filtering",
    Site.PORT_RESTRICTED: "endpoint-independent mapping, address- and port-dependent filtering; "
    "most home routers",
    Site.SYMMETRIC: "address- and port-dependent mapping and filtering, random ports",
    Site.CGN: "a port-restricted home router behind a port-restricted carrier's one (RFC 6598)",
    Site.UDP_BLOCKED: "nothing but TCP to port 443 goes out",
}
"""Each place, in the terms of RFC 4787."""


def place(site: Site, name: str) -> tuple[Peer, tuple[Router, ...]]:
    """Return a peer of this name at such a place, and the routers in front of it."""
    home = f"r{name}"
    match site:
        case Site.NONE:
            return Peer(name, (CORE,)), ()
        case Site.CGN:
            carrier = f"c{name}"
            routers = (Router(carrier, carrier=True), Router(home, uplink=carrier))
            return Peer(name, (home,)), routers
        case _:
            return Peer(name, (home,)), (Router(home, Nat(site.value)),)


def apart(first: Site, second: Site) -> LabSpec:
    """Return a lab with ``a`` at one place and ``b`` at another; routers are ``ra``, ``rb``."""
    (a, above_a), (b, above_b) = place(first, "a"), place(second, "b")
    return LabSpec(peers=(a, b), routers=(*above_a, *above_b))


def same_carrier(*, hairpin: bool) -> LabSpec:
    """Return a lab with ``a`` and ``b`` behind home routers of their own at one carrier's router.

    Args:
        hairpin: Whether that router lets them reach each other at its public address.
    """
    nat = Nat.FULL_CONE if hairpin else Nat.PORT_RESTRICTED
    return LabSpec(
        peers=(Peer("a", ("ra",)), Peer("b", ("rb",))),
        routers=(
            Router("carrier", nat, hairpin=hairpin, carrier=True),
            Router("ra", uplink="carrier"),
            Router("rb", uplink="carrier"),
        ),
    )


def same_lan() -> LabSpec:
    """Return a lab with ``a`` and ``b`` in one home."""
    return LabSpec(peers=(Peer("a", ("r",)), Peer("b", ("r",))), routers=(Router("r"),))
