"""What aioice's STUN lacks for TURN over IPv6."""

from aioice import stun

REQUESTED_ADDRESS_FAMILY = "REQUESTED-ADDRESS-FAMILY"
"""The attribute of RFC 8656 section 18.6, which aioice does not know of itself."""

_FAMILY_ATTRIBUTE = (0x0017, REQUESTED_ADDRESS_FAMILY, stun.pack_unsigned, stun.unpack_unsigned)
stun.ATTRIBUTES_BY_TYPE.setdefault(0x0017, _FAMILY_ATTRIBUTE)
stun.ATTRIBUTES_BY_NAME.setdefault(REQUESTED_ADDRESS_FAMILY, _FAMILY_ATTRIBUTE)
