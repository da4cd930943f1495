"""What a description says of ICE and DTLS, section by section. No I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from .errors import InvalidDescription
from .lines import Attribute, Block

_SETUPS = ("actpass", "active", "passive")
_HASHES = {"sha-512": 64, "sha-384": 48, "sha-256": 32}
"""Bytes of a fingerprint by hash, the strongest first; as aiortc knows them."""
_FINGERPRINTS = 8
_FINGERPRINT_LINES = 16
"""Fingerprints that are read; those of the session are read for each section."""
_OPTIONS = 255
"""Characters of ``ice-options`` that are read; those of the session go into each section."""
_HEX = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2})*")
_CREDENTIAL = 256
"""Characters of a username fragment or password at most (RFC 8839 section 5.4)."""


@dataclass(frozen=True, slots=True)
class Transport:
    """What a media section says of its transport; empty where it says nothing.

    Attributes:
        ufrag: The ICE username fragment.
        password: The ICE password.
        options: Tokens of ``ice-options``.
        fingerprints: As ``hash value``, of the strongest hash that is known.
        setup: ``actpass``, ``active`` or ``passive``.
    """

    ufrag: str = ""
    password: str = field(default="", repr=False)
    options: str = ""
    fingerprints: tuple[str, ...] = ()
    setup: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether ICE and DTLS can begin with it."""
        return bool(self.ufrag and self.password and self.fingerprints)

    def lines(self) -> list[str]:
        """Write it as attributes."""
        lines = [f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.password}"]
        if self.options:
            lines.append(f"a=ice-options:{self.options}")
        lines += [f"a=fingerprint:{fingerprint}" for fingerprint in self.fingerprints]
        return [*lines, f"a=setup:{self.setup or 'actpass'}"]


def read_transport(session: Block, section: Block) -> Transport:
    """Read a section's transport; what it does not say the session says (RFC 8839 section 5.4).

    Raises:
        InvalidDescription: An attribute cannot be what it is.
    """

    def found(name: str) -> Attribute | None:
        return section.first(name) or session.first(name)

    level = section if section.has("fingerprint") else session
    own = [*islice(level.all("fingerprint"), _FINGERPRINT_LINES)]
    options = found("ice-options")
    return Transport(
        ufrag=_credential(found("ice-ufrag")),
        password=_credential(found("ice-pwd")),
        options=" ".join(options.value[:_OPTIONS].split()) if options else "",
        fingerprints=_fingerprints(own),
        setup=_setup(found("setup")),
    )


def _credential(attribute: Attribute | None) -> str:
    if attribute is None:
        return ""
    value = attribute.value
    if not value or len(value) > _CREDENTIAL or not value.isascii() or " " in value:
        # Its value stays out: it may be a password, but for a blank.
        raise InvalidDescription(
            f"{attribute.name} is not 1 to {_CREDENTIAL} characters of ASCII", attribute.number
        )
    return value


def _setup(attribute: Attribute | None) -> str:
    if attribute is None:
        return ""
    value = attribute.value.lower()
    if value not in _SETUPS:
        raise InvalidDescription(f"setup cannot be {value[:40]!r}", attribute.number)
    return value


def _fingerprints(attributes: list[Attribute]) -> tuple[str, ...]:
    by_hash: dict[str, list[str]] = {}
    for attribute in attributes:
        name, _, value = attribute.value.partition(" ")
        name, value = name.lower(), value.strip().upper()
        if name not in _HASHES:
            continue
        if not _HEX.fullmatch(value) or len(value) != _HASHES[name] * 3 - 1:
            raise InvalidDescription(f"it is no fingerprint of {name}", attribute.number)
        by_hash.setdefault(name, []).append(f"{name} {value}")
    if attributes and not by_hash:
        raise InvalidDescription(
            f"none of its fingerprints is of {', '.join(_HASHES)}", attributes[0].number
        )
    # RFC 8122 section 5: one certificate has a fingerprint for each hash, and the strongest counts.
    strongest = next((by_hash[name] for name in _HASHES if name in by_hash), [])
    return tuple(dict.fromkeys(strongest))[:_FINGERPRINTS]


def shared(transports: Iterable[Transport]) -> Transport:
    """Return the transport of a bundle, of what its sections say; the tagged one is the first.

    What only the tagged section has to say (RFC 9143 section 7.1.3) need not stand in the others.
    """
    known = Transport()
    for transport in transports:
        if transport.is_usable:
            return transport
        known = replace(
            transport,
            ufrag=known.ufrag or transport.ufrag,
            password=known.password or transport.password,
            options=known.options or transport.options,
            fingerprints=known.fingerprints or transport.fingerprints,
            setup=known.setup or transport.setup,
        )
    return known
