"""The configuration of a coturn that belongs to a signaling server and is closed to abuse. No I/O.

A TURN server relays to any address that its users name, so one with access to a private network
opens that network to them. Refused are the special-purpose addresses of RFC 6890 and its
registries, and all that IPv6 has for IPv4 addresses, since a translator behind the server could
turn them into private ones.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path

from icefloe.text import PrintableError

DENIED: tuple[str, ...] = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/96",  # unspecified, loopback, and the old form of IPv4 addresses
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "100::/64",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
)
"""Networks to which nothing is relayed: private, shared by a carrier (RFC 6598), loopback,
link-local (169.254.169.254 tells the secrets of a cloud machine), multicast, reserved, for
documentation and benchmarks, and the transitions from IPv4 to IPv6."""

_ADDRESS_PAIR = re.compile(r"[0-9a-fA-F.:]{2,45}(/[0-9a-fA-F.:]{2,45})?")
_REALM = re.compile(r"[A-Za-z0-9._-]{1,127}")
_PATH = re.compile(r"[^\s#'\"\x00-\x1f\x7f]{1,4096}")

SECRET_PLACEHOLDER = "# static-auth-secret=  (left out: give --show-secret or --out)"
"""The line in the place of the secret where it is not shown."""


class InvalidTurnConfig(PrintableError, ValueError):
    """A value cannot be written to coturn's configuration.

    Attributes:
        flag: The flag of the command that has it.
    """

    def __init__(self, flag: str, reason: str) -> None:
        self.flag = flag
        super().__init__(reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnConfig:
    """Settings of the coturn that a configuration is written for.

    Attributes:
        realm: The realm, usually the domain of the server.
        external_ips: The public addresses behind a 1:1 NAT, as ``PUBLIC/PRIVATE`` or ``PUBLIC``.
        certificate: The PEM file of the certificate for ``turns:``; ``None`` for no TLS.
        key: The PEM file of its private key.
        port: The port for UDP and TCP.
        tls_port: The port for TLS.
        min_port: The lowest port of relays.
        max_port: The highest port of relays.
        user_quota: Allocations of one participant at a time.
        total_quota: Allocations of all at a time.
        rate: Bits a second that an allocation may carry, in each direction.
        allowed: Addresses and networks that are relayed to although they are denied.
    """

    realm: str
    external_ips: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None
    port: int = 3478
    tls_port: int = 5349
    min_port: int = 49152
    max_port: int = 65535
    user_quota: int = 24
    total_quota: int = 4800
    rate: int = 8_000_000
    allowed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _REALM.fullmatch(self.realm):
            raise InvalidTurnConfig("--realm", "give a name such as turn.example.org")
        for address in self.external_ips:
            if not _ADDRESS_PAIR.fullmatch(address) or not all(
                map(_is_address, address.split("/"))
            ):
                raise InvalidTurnConfig(
                    "--external-ip", "give an address, or the public and the private one with a /"
                )
        for flag, path in (("--tls-cert", self.certificate), ("--tls-key", self.key)):
            if path is not None and not _PATH.fullmatch(str(path)):
                raise InvalidTurnConfig(flag, "coturn takes no spaces and quotes in a path")
        if not self.min_port < self.max_port:
            raise InvalidTurnConfig("--max-port", "it must be above --min-port")
        if self.user_quota > self.total_quota:
            raise InvalidTurnConfig("--total-quota", "it must not be below --user-quota")
        for network in self.allowed:
            address_range(network)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def address_range(network: str) -> str:
    """Return a network in coturn's form: the first and the last address, or one address.

    Raises:
        InvalidTurnConfig: It is no address and no network, or the unspecified address.
    """
    try:
        parsed = ipaddress.ip_network(network)
    except ValueError as error:
        raise InvalidTurnConfig("--allow-peer", f"{network[:64]!r} is no network") from error
    if parsed.num_addresses == 1 and parsed[0].is_unspecified:
        raise InvalidTurnConfig("--allow-peer", "the unspecified address stands for all to coturn")
    if parsed.num_addresses == 1:
        return str(parsed[0])
    # coturn takes the unspecified address at the beginning of a range for no lower bound, and IPv4
    # for less than IPv6: a range from :: would deny all of IPv4. It refuses :: by itself.
    first = parsed[1] if parsed.version == 6 and parsed[0].is_unspecified else parsed[0]
    return f"{first}-{parsed[-1]}"


def coturn_configuration(config: TurnConfig, secrets: tuple[str, ...] | None) -> str:
    """Return the text of ``turnserver.conf``.

    Args:
        config: What is asked.
        secrets: The secrets shared with the signaling server; ``None`` leaves them out.
    """
    shown = (
        [SECRET_PLACEHOLDER] if secrets is None else [f"static-auth-secret={s}" for s in secrets]
    )
    tls = ["no-tls", "no-dtls"]
    if config.certificate is not None:
        tls = [
            f"tls-listening-port={config.tls_port}",
            f"cert={config.certificate}",
            f"pkey={config.key or config.certificate}",
            "no-tlsv1",
            "no-tlsv1_1",
        ]
    sections = {
        "Made by `icefloe turn-config`, for coturn 4.6.1.": [
            f"realm={config.realm}",
            f"listening-port={config.port}",
            f"min-port={config.min_port}",
            f"max-port={config.max_port}",
            *(f"external-ip={address}" for address in config.external_ips),
        ],
        "Credentials that expire, made with a secret that the signaling server shares.": [
            "use-auth-secret",
            *shown,
            "fingerprint",
            "stale-nonce=600",
        ],
        "TLS, for networks that let nothing else out.": tls,
        "Quotas: allocations of a user and of all; bytes a second of an allocation.": [
            f"user-quota={config.user_quota}",
            f"total-quota={config.total_quota}",
            f"max-bps={config.rate // 8}",
            "max-allocate-lifetime=3600",
        ],
        "Nothing but UDP is relayed, and nobody administrates it over the network.": [
            "no-tcp-relay",
            "no-cli",
            "no-rfc5780",
            "no-stun-backward-compatibility",
            "response-origin-only-with-rfc5780",
        ],
        "Addresses that nothing is relayed to. coturn refuses loopback by itself as well.": [
            "no-multicast-peers",
            *(f"denied-peer-ip={address_range(network)}" for network in DENIED),
            *(f"allowed-peer-ip={address_range(network)}" for network in config.allowed),
        ],
        "Its log.": ["log-file=stdout", "simple-log"],
    }
    blocks = ("\n".join((f"# {title}", *lines)) for title, lines in sections.items())
    return "\n\n".join(blocks) + "\n"
