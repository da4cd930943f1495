"""Parts that a lab can be made of, and the addresses that they get; nothing is built."""

import ipaddress
import itertools

import pytest

from tests.natlab.plan import SERVERS, plan
from tests.natlab.rules import What, cut_rules, router_rules
from tests.natlab.sites import Site, apart, same_carrier
from tests.natlab.spec import Ipv6, LabSpec, Nat, Peer, Router

PLACES = list(itertools.combinations_with_replacement(Site, 2))


@pytest.mark.parametrize("nat", [Nat.PORT_RESTRICTED, Nat.SYMMETRIC, Nat.UDP_BLOCKED])
def test_only_a_router_that_learns_can_hairpin(nat: Nat) -> None:
    with pytest.raises(ValueError, match="ra: hairpinning needs"):
        Router("ra", nat, hairpin=True)


def test_what_hangs_off_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="a: no router ra"):
        LabSpec(peers=(Peer("a", ("ra",)),))
    with pytest.raises(ValueError, match="home: no router 'carrier' before it"):
        LabSpec(peers=(), routers=(Router("home", uplink="carrier"), Router("carrier")))
    with pytest.raises(ValueError, match="only a router right below the core has IPv6"):
        Router("home", uplink="carrier", ipv6=Ipv6.WORKING)


@pytest.mark.parametrize(("first", "second"), PLACES)
def test_no_two_interfaces_have_the_same_address(first: Site, second: Site) -> None:
    addresses = [a.address for link in plan(apart(first, second)).links for a in link.addresses]
    assert len(addresses) == len(set(addresses))


def test_an_address_and_its_gateway_are_in_one_prefix() -> None:
    spec = LabSpec(
        peers=(Peer("a", ("ra",)), Peer("b", ipv6=Ipv6.BROKEN)),
        routers=(Router("ra", ipv6=Ipv6.WORKING),),
    )
    for link in plan(spec).links:
        assert link.addresses
        for address in link.addresses:
            assert ipaddress.ip_address(address.gateway) in ipaddress.ip_network(address.network)
    assert plan(spec).broken == ("2001:db8:0:2::/64",)


def test_behind_one_carrier_two_peers_share_its_link() -> None:
    planned = plan(same_carrier(hairpin=False))
    assert planned.top_links_of("a") == planned.top_links_of("b")
    assert [link.node for link in planned.top_links_of("a")] == ["carrier"]


def test_with_two_interfaces_there_are_two_ways_out() -> None:
    spec = LabSpec(peers=(Peer("a", ("ra", "rb")),), routers=(Router("ra"), Router("rb")))
    assert [link.node for link in plan(spec).top_links_of("a")] == ["ra", "rb"]


def test_no_address_of_a_lab_is_anybody_elses() -> None:
    reserved = [
        ipaddress.ip_network(network)
        for network in ("198.18.0.0/15", "203.0.113.0/24", "192.168.0.0/16", "100.64.0.0/10")
    ]
    addresses = [
        a.address for site in Site for link in plan(apart(site, site)).links for a in link.addresses
    ]
    for address in (*addresses, *(ipv4 for ipv4, _ in SERVERS)):
        assert any(ipaddress.ip_address(address) in network for network in reserved)


def test_rules_do_not_mix_families() -> None:
    rules = cut_rules([(("198.18.1.0/24", "2001:db8::/64"), ("198.18.2.0/24",), What.UDP)])
    assert "ip saddr 198.18.1.0/24 ip daddr 198.18.2.0/24 meta l4proto udp drop" in rules
    assert "ip6" not in rules


def test_only_a_symmetric_router_draws_its_ports() -> None:
    drawn = [nat for nat in Nat if "fully-random" in router_rules(Router("r", nat), "198.18.1.2")]
    assert drawn == [Nat.SYMMETRIC]
