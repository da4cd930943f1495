"""Transport parameters of media sections: ICE credentials, DTLS fingerprints and roles. No I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice

from .errors import InvalidDescription
from .lines import Attribute, Block

_SETUPS = ("actpass", "active", "passive")
_HASH_SIZES = {"sha-512": 64, "sha-384": 48, "sha-256": 32}
"""Size of a fingerprint in bytes by hash function, the strongest first: those aiortc supports."""
_MAX_FINGERPRINTS = 8
"""Maximum number of fingerprints of one hash function in a section."""
_MAX_FINGERPRINT_LINES = 16
"""Maximum number of fingerprint lines parsed for a section; those on the session level are parsed
again for each section."""
_MAX_OPTIONS_LENGTH = 255
"""Maximum length of ``ice-options`` in characters, which the session level adds to each section."""
_HEX = re.compile(r"[0-9A-F]{2}(?::[0-9A-F]{2})*")
_MAX_CREDENTIAL_LENGTH = 256
"""Maximum length of a username fragment or password in characters (RFC 8839 section 5.4)."""


@dataclass(frozen=True, slots=True)
class Transport:
    """The transport parameters of a media section; fields are empty for absent attributes.

    Attributes:
        ufrag: ICE username fragment.
        password: ICE password.
        options: Tokens of ``ice-options``, separated by spaces.
        fingerprints: Certificate fingerprints as ``hash value``, of the strongest supported hash.
        setup: DTLS role: ``actpass``, ``active`` or ``passive``.
    """

    ufrag: str = ""
    password: str = field(default="", repr=False)
    options: str = ""
    fingerprints: tuple[str, ...] = ()
    setup: str = ""

    @property
    def is_usable(self) -> bool:
        """True if ICE credentials and a fingerprint are present."""
        return bool(self.ufrag and self.password and self.fingerprints)

    def lines(self) -> list[str]:
        """Return the parameters as SDP lines."""
        lines = [f"a=ice-ufrag:{self.ufrag}", f"a=ice-pwd:{self.password}"]
        if self.options:
            lines.append(f"a=ice-options:{self.options}")
        lines += [f"a=fingerprint:{fingerprint}" for fingerprint in self.fingerprints]
        return [*lines, f"a=setup:{self.setup or 'actpass'}"]


def read_transport(session: Block, section: Block) -> Transport:
    """Parse the transport parameters of a section.

    Absent attributes are taken from the session level (RFC 8839 section 5.4).

    Raises:
        InvalidDescription: An attribute is malformed.
    """

    def found(name: str) -> Attribute | None:
        return section.first(name) or session.first(name)

    level = section if section.has("fingerprint") else session
    own = [*islice(level.all("fingerprint"), _MAX_FINGERPRINT_LINES)]
    options = found("ice-options")
    return Transport(
        ufrag=_credential(found("ice-ufrag")),
        password=_credential(found("ice-pwd")),
        options=" ".join(options.value[:_MAX_OPTIONS_LENGTH].split()) if options else "",
        fingerprints=_fingerprints(own),
        setup=_setup(found("setup")),
    )


def _credential(attribute: Attribute | None) -> str:
    if attribute is None:
        return ""
    value = attribute.value
    if not value or len(value) > _MAX_CREDENTIAL_LENGTH or not value.isascii() or " " in value:
        # The value is not shown: it may be a password.
        raise InvalidDescription(
            f"{attribute.name} must have 1 to {_MAX_CREDENTIAL_LENGTH} ASCII characters, no blanks",
            attribute.number,
        )
    return value


def _setup(attribute: Attribute | None) -> str:
    if attribute is None:
        return ""
    value = attribute.value.lower()
    if value not in _SETUPS:
        raise InvalidDescription(
            f"setup must be actpass, active or passive, not {value[:40]!r}", attribute.number
        )
    return value


def _fingerprints(attributes: list[Attribute]) -> tuple[str, ...]:
    by_hash: dict[str, list[str]] = {}
    for attribute in attributes:
        name, _, value = attribute.value.partition(" ")
        name, value = name.lower(), value.strip().upper()
        if name not in _HASH_SIZES:
            continue
        if not _HEX.fullmatch(value) or len(value) != _HASH_SIZES[name] * 3 - 1:
            raise InvalidDescription(f"the {name} fingerprint is malformed", attribute.number)
        by_hash.setdefault(name, []).append(f"{name} {value}")
    if attributes and not by_hash:
        raise InvalidDescription(
            f"no fingerprint uses one of the supported hashes {', '.join(_HASH_SIZES)}",
            attributes[0].number,
        )
    # RFC 8122 section 5: of a certificate's fingerprints, only the strongest hash is used.
    strongest = next((by_hash[name] for name in _HASH_SIZES if name in by_hash), [])
    return tuple(dict.fromkeys(strongest))[:_MAX_FINGERPRINTS]


def bundle_transport(transports: Iterable[Transport]) -> Transport:
    """Return the transport parameters of a BUNDLE group.

    Args:
        transports: The parameters of the group's sections, the tagged section's first. Only the
            tagged section must have them (RFC 9143 section 7.1.3); for peers that put them
            elsewhere, the first complete section is used, or else they are merged.
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
