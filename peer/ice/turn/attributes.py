"""The STUN attribute REQUESTED-ADDRESS-FAMILY, which aioice lacks, for IPv6 allocations."""

from aioice import stun

REQUESTED_ADDRESS_FAMILY = "REQUESTED-ADDRESS-FAMILY"
"""The attribute's name (RFC 8656 section 18.6), registered with aioice on import."""

_FAMILY_ATTRIBUTE = (0x0017, REQUESTED_ADDRESS_FAMILY, stun.pack_unsigned, stun.unpack_unsigned)
stun.ATTRIBUTES_BY_TYPE.setdefault(0x0017, _FAMILY_ATTRIBUTE)
stun.ATTRIBUTES_BY_NAME.setdefault(REQUESTED_ADDRESS_FAMILY, _FAMILY_ATTRIBUTE)
