"""Addresses gathered on, and their order; and what the system tells of interfaces."""

import ipaddress
import json
import socket
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from icefloe.peer.ice.gather import interfaces
from icefloe.peer.ice.gather.interfaces import (
    MAX_ADDRESSES,
    Address,
    Kind,
    Selection,
    choose,
    kind_by_name,
    local_preference,
    read_interfaces,
)
from tests.helpers.netns import ADDRESS

TIERS = {kind: rank for rank, tier in enumerate(interfaces._TIERS) for kind in tier}


def address(
    text: str, interface: str = "eth0", kind: Kind = Kind.ETHERNET, temporary: bool = False
) -> Address:
    ip, _, prefix = text.partition("/")
    return Address(ipaddress.ip_address(ip), int(prefix or 24), interface, kind, temporary)


LOOPBACK = [address("127.0.0.1", "lo", Kind.LOOPBACK), address("::1", "lo", Kind.LOOPBACK)]


def chosen(*found: Address, **selection: object) -> list[str]:
    return [str(a) for a in choose(found, Selection(**selection))]  # type: ignore[arg-type]


# --- order (RFC 8421 section 4)


def test_families_alternate_and_ipv6_comes_first() -> None:
    v4 = [address(f"198.51.100.{n}") for n in (1, 2, 3)]
    v6 = [address(f"2001:db8:{n}::1/64") for n in (1, 2)]
    assert chosen(*v4, *v6) == [
        "2001:db8:1::1",
        "198.51.100.1",
        "2001:db8:2::1",
        "198.51.100.2",
        "198.51.100.3",
    ]


def test_links_come_before_vpns_and_those_before_containers() -> None:
    found = [
        address("172.17.0.1", "docker0", Kind.CONTAINER),
        address("10.8.0.2", "tun0", Kind.VPN),
        address("fd00:8::2/64", "tun0", Kind.VPN),
        address("192.0.2.7", "wlan0", Kind.WIFI),
        address("192.0.2.8", "eth0", Kind.ETHERNET),
    ]
    assert chosen(*found) == ["192.0.2.8", "192.0.2.7", "fd00:8::2", "10.8.0.2", "172.17.0.1"]


def test_every_rank_has_a_preference_of_its_own() -> None:
    preferences = [local_preference(rank) for rank in range(MAX_ADDRESSES)]
    assert preferences == sorted(set(preferences), reverse=True)
    assert preferences[0] == 65535


addresses = st.builds(
    Address,
    ip=st.ip_addresses(),
    prefix=st.sampled_from([24, 32]),
    interface=st.sampled_from(["eth0", "wlan0", "tun0"]),
    kind=st.sampled_from(list(Kind)),
    temporary=st.booleans(),
)


@given(st.lists(addresses, max_size=40))
def test_whatever_is_found_the_order_holds(found: list[Address]) -> None:
    ranked = choose(found, Selection())
    assert len(ranked) <= MAX_ADDRESSES
    assert set(ranked) <= set(found)
    assert not any(a.ip.is_link_local or a.ip.is_multicast for a in ranked)
    tiers = [TIERS[a.kind] for a in ranked]
    assert tiers == sorted(tiers)
    for _, members in groupby(ranked, key=lambda a: TIERS[a.kind]):
        versions = [a.ip.version for a in members]
        pairs = min(versions.count(4), versions.count(6))
        if len(ranked) < MAX_ADDRESSES:
            assert versions[: 2 * pairs] == [6, 4] * pairs


# --- choice


def test_loopback_counts_if_there_is_nothing_else_or_if_it_is_wanted() -> None:
    lan = address("198.51.100.1")
    assert chosen(*LOOPBACK) == ["::1", "127.0.0.1"]
    assert chosen(*LOOPBACK, lan) == ["198.51.100.1"]
    assert chosen(*LOOPBACK, address("fe80::1/64")) == ["::1", "127.0.0.1"]
    assert chosen(*LOOPBACK, lan, loopback=True) == ["198.51.100.1", "::1", "127.0.0.1"]


def test_a_filter_that_leaves_nothing_does_not_bring_loopback_back() -> None:
    assert chosen(*LOOPBACK, address("198.51.100.1"), interfaces=("wlan0",)) == []


@pytest.mark.parametrize(
    ("patterns", "passing"),
    [
        ((), {"eth0", "eth1", "docker0"}),
        (("eth*",), {"eth0", "eth1"}),
        (("!docker*",), {"eth0", "eth1"}),
        (("eth*", "!eth1"), {"eth0"}),
        (("!eth1", "eth*"), {"eth0"}),
        (("*",), {"eth0", "eth1", "docker0"}),
        ((lambda name: name == "docker0"), {"docker0"}),
    ],
)
def test_interfaces_are_chosen_by_name(patterns: object, passing: set[str]) -> None:
    names = ("eth0", "eth1", "docker0")
    found = [address(f"198.51.100.{n}", name) for n, name in enumerate(names)]
    selection = Selection(interfaces=patterns)  # type: ignore[arg-type]
    assert {a.interface for a in choose(found, selection)} == passing


@pytest.mark.parametrize(
    ("networks", "passing"),
    [
        (("10.0.0.0/8",), ["10.1.1.1"]),
        (("!10.0.0.0/8",), ["fd00::1", "192.0.2.1"]),
        (("!fd00::/8", "!10.0.0.0/8"), ["192.0.2.1"]),
        (("10.0.0.0/8", "!10.1.0.0/16"), []),
        (("192.0.2.1",), ["192.0.2.1"]),
    ],
)
def test_addresses_are_chosen_by_network(networks: tuple[str, ...], passing: list[str]) -> None:
    found = [address("10.1.1.1"), address("192.0.2.1"), address("fd00::1/64")]
    assert chosen(*found, addresses=networks) == passing


def test_a_temporary_address_stands_in_for_the_permanent_one_of_its_network() -> None:
    found = [
        address("2001:db8::aaaa/64"),
        address("2001:db8::1/64", temporary=True),
        address("2001:db8:9::1/64"),
        address("198.51.100.1"),
    ]
    assert chosen(*found) == ["2001:db8::1", "198.51.100.1", "2001:db8:9::1"]


def test_a_host_of_many_containers_gathers_on_its_own_links_first() -> None:
    bridges = [address(f"172.17.{n}.1", f"br-{n}", Kind.CONTAINER) for n in range(100)]
    ranked = chosen(*bridges, address("198.51.100.1"))
    assert len(ranked) == MAX_ADDRESSES
    assert ranked[0] == "198.51.100.1"


# --- names


@pytest.mark.parametrize(
    ("name", "description", "kind"),
    [
        ("en0", "", Kind.ETHERNET),
        ("utun3", "", Kind.VPN),
        ("docker0", "", Kind.CONTAINER),
        ("br-4f1c", "", Kind.CONTAINER),
        ("wlp3s0", "", Kind.WIFI),
        ("{6E8A}", "Wi-Fi", Kind.WIFI),
        ("{6E8B}", "vEthernet (WSL)", Kind.CONTAINER),
        ("{6E8C}", "OpenVPN Wintun", Kind.VPN),
        ("rmnet0", "", Kind.CELLULAR),
        ("strange7", "", Kind.UNKNOWN),
    ],
)
def test_a_name_tells_what_an_interface_is(name: str, description: str, kind: Kind) -> None:
    assert kind_by_name(name, description) is kind


# --- the system


@pytest.mark.system("iproute2", "netns")
def test_the_tests_own_network_is_read() -> None:
    found = read_interfaces()
    assert ADDRESS in map(str, found)
    assert {"lan0", "lo"} <= {a.interface for a in found}
    assert [str(a) for a in choose(found, Selection())] == [ADDRESS]


SETUP = """
mount -t sysfs none /sys
ip link set lo up
ip tuntap add corp mode tun
ip link add docker0 type bridge
ip link add eth0 index 77 type veth peer name peer0
ip link add off0 index 78 type veth peer name peer1
for name in docker0 eth0 peer0; do ip link set $name up; done
ip addr add 10.9.0.1/24 dev eth0
ip addr add 10.9.9.9/24 dev off0
ip addr add 172.17.0.1/16 dev docker0
ip addr add 2001:db8:1::1/64 dev eth0 nodad
ip addr add 2001:db8:2::1/64 dev eth0 preferred_lft 0 nodad
"""

REPORT = """
import json, sys
from icefloe.peer.ice.gather.interfaces import kind_of, read_interfaces
kinds = {name: kind_of(name) for name in ("corp", "docker0", "eth0", "lo")}
print(json.dumps([kinds, sorted(str(a) for a in read_interfaces())]))
"""


@pytest.mark.system("iproute2", "netns")
def test_linux_tells_what_an_interface_is_and_what_is_down() -> None:
    script = f"{SETUP}\nexec '{sys.executable}' -c '{REPORT}'"
    done = subprocess.run(
        ["unshare", "--net", "--mount", "sh", "-ec", script],
        capture_output=True,
        text=True,
        check=True,
    )
    kinds, found = json.loads(done.stdout)
    assert kinds == {
        "corp": "vpn",
        "docker0": "container",
        "eth0": "ethernet",  # though it is one end of a veth: this is how a container sees it
        "lo": "loopback",
    }
    # Neither the deprecated address nor that of the interface that is down.
    assert found == ["10.9.0.1", "127.0.0.1", "172.17.0.1", "2001:db8:1::1", "::1"]


def sysfs(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="ascii")
    return folder


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({"uevent": "DEVTYPE=wlan\nINTERFACE=x\n"}, Kind.WIFI),
        ({"uevent": "DEVTYPE=wireguard\n"}, Kind.VPN),
        ({"uevent": "DEVTYPE=wwan\n"}, Kind.CELLULAR),
        ({"uevent": "DEVTYPE=bluetooth\n"}, Kind.BLUETOOTH),
        ({"wireless/status": ""}, Kind.WIFI),
        ({"type": "512\n"}, Kind.VPN),
        ({"type": "519\n"}, Kind.CELLULAR),
        ({"type": "65534\n", "tun_flags": "0x1002"}, Kind.VPN),
        ({"type": "1\n", "device/vendor": ""}, Kind.ETHERNET),
        ({"bridge/x": "", "brif/eth0/x": ""}, Kind.ETHERNET),
        ({"bridge/x": "", "brif/veth0/x": ""}, Kind.CONTAINER),
    ],
)
def test_hardware_that_no_test_machine_has(
    tmp_path: Path, files: dict[str, str], kind: Kind
) -> None:
    """The files that Linux shows of it under /sys/class/net, as its documentation says."""
    sysfs(tmp_path / "eth0" / "device", vendor="")
    assert interfaces._kind_in_sysfs(sysfs(tmp_path / "net0", **files)) is kind


def test_a_machine_without_these_files_still_tells_its_addresses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = {str(a) for a in read_interfaces()}
    monkeypatch.setattr(interfaces, "_SYSFS", tmp_path)
    monkeypatch.setattr(interfaces, "_IF_INET6", tmp_path / "none")
    assert {str(a) for a in read_interfaces()} == expected
    assert socket.if_nametoindex("lo")
