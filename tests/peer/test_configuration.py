"""``PeerConfiguration``: what is refused, and what says why."""

import ssl
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCBundlePolicy, RTCConfiguration, RTCIceServer

from icefloe.peer import InvalidConfiguration, PeerConfiguration
from icefloe.peer.configuration import complete
from icefloe.peer.ice.configuration import external_pairs

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "configuration.md"


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("server_timeout", -1, "negative"),
        ("close_timeout", -0.1, "negative"),
        ("consent_interval", 0, "more than 0"),
        ("consent_interval", -1, "more than 0"),
        ("consent_interval", 15.1, "at most 15"),
        ("interfaces", "eth0", "sequence"),
        ("interfaces", ("",), "empty"),
        ("interfaces", (1,), "interfaces=(1,)"),
        ("addresses", "10.0.0.0/8", "sequence"),
        ("addresses", ("ten",), "ten"),
        ("addresses", ("!10.0.0.0/33",), "10.0.0.0/33"),
        ("port_range", (0, 10), "first and the last"),
        ("port_range", (10, 9), "first and the last"),
        ("port_range", (1, 65536), "first and the last"),
        ("port_range", 5000, "first and the last"),
        ("port_range", ("a", "b"), "first and the last"),
        ("external_addresses", "203.0.113.1", "sequence"),
        ("external_addresses", ("somewhere",), "somewhere"),
        ("external_addresses", ("203.0.113.1", "203.0.113.2"), "mapping"),
        ("external_addresses", {"10.0.0.1": "2001:db8::1"}, "different IP versions"),
        ("external_addresses", {"10.0.0.1": ""}, "external_addresses="),
        ("external_address_type", "relay", "'host' or 'srflx'"),
        ("tls_ca_file", "/nowhere/ca.pem", "no such file"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(field: str, value: Any, said: str) -> None:
    with pytest.raises(InvalidConfiguration) as refused:
        PeerConfiguration(**{field: value})
    assert isinstance(refused.value, ValueError)
    assert refused.value.field == field
    assert refused.value.value == value
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "fits",
    [
        {"interfaces": ("eth*", "!eth1")},
        {"interfaces": lambda name: name == "eth0"},
        {"addresses": ["10.0.0.0/8", "!fd00::/8", "192.0.2.1"]},
        {"port_range": (50000, 50000)},
        {"external_addresses": {"10.0.0.4": "203.0.113.4", "fd00::4": "2001:db8::4"}},
        {"external_addresses": ("203.0.113.4", "2001:db8::4"), "external_address_type": "srflx"},
        {"hide_host_addresses": True, "include_loopback": True},
        {"tls_context": ssl.create_default_context()},
    ],
)
def test_what_makes_sense_is_taken_and_survives_a_copy(fits: dict[str, Any]) -> None:
    copy = complete(PeerConfiguration(**fits))
    assert {name: getattr(copy, name) for name in fits} == fits


def test_a_name_and_an_external_address_cannot_both_stand_for_the_local_one() -> None:
    external = ("203.0.113.4",)
    with pytest.raises(InvalidConfiguration, match="srflx"):
        PeerConfiguration(external_addresses=external, hide_host_addresses=True)
    PeerConfiguration(
        external_addresses=external, hide_host_addresses=True, external_address_type="srflx"
    )


def test_a_certificate_file_and_a_context_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    PeerConfiguration(tls_ca_file=tmp_path / "ca.pem")
    with pytest.raises(InvalidConfiguration, match="not both"):
        PeerConfiguration(tls_ca_file=tmp_path / "ca.pem", tls_context=ssl.create_default_context())


def test_external_addresses_are_read_in_canonical_form() -> None:
    assert external_pairs({"10.0.0.4": "203.0.113.4"}) == {"10.0.0.4": "203.0.113.4"}
    assert external_pairs({"FD00:0::4": "2001:DB8::4"}) == {"fd00::4": "2001:db8::4"}
    assert external_pairs(["203.0.113.4", "2001:db8:0::4"]) == {4: "203.0.113.4", 6: "2001:db8::4"}


def test_the_selection_is_made_of_the_three_fields() -> None:
    selection = PeerConfiguration(
        interfaces=("eth*",), addresses=("10.0.0.0/8",), include_loopback=True
    ).selection
    assert (selection.interfaces, selection.addresses) == (("eth*",), ("10.0.0.0/8",))
    assert selection.loopback


def test_aiortcs_configuration_is_completed_and_taken_at_its_word() -> None:
    servers = [RTCIceServer("stun:127.0.0.1")]
    own = complete(RTCConfiguration(iceServers=servers))
    assert own.iceServers == servers
    assert own.bundlePolicy is RTCBundlePolicy.BALANCED
    assert complete(None).bundlePolicy is RTCBundlePolicy.MAX_BUNDLE
    wanted = complete(PeerConfiguration(bundlePolicy=RTCBundlePolicy.BALANCED))
    assert wanted.bundlePolicy is RTCBundlePolicy.BALANCED


def test_every_field_has_its_row_in_the_documentation() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    own = {f.name for f in fields(PeerConfiguration)} - {f.name for f in fields(RTCConfiguration)}
    assert {name for name in own if f"| `{name}` |" not in text} == set()
