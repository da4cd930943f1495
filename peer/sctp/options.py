"""Validation of the options of a data channel (W3C webrtc-pc 6.1, RFC 8832)."""

from operator import index
from typing import SupportsIndex

from .errors import ChannelUnavailable, InvalidChannel

MAX_TEXT = 65535
"""Maximum bytes of a label or protocol in UTF-8 (RFC 8832 section 5.1)."""

MAX_RELIABILITY = 65535
"""Maximum retransmissions or milliseconds: W3C's ``unsigned short``."""

MAX_ID = 65534
"""The highest stream identifier of a channel (RFC 8832 section 6)."""


def check(
    label: object,
    *,
    max_packet_life_time: object = None,
    max_retransmits: object = None,
    protocol: object = "",
    negotiated: bool = False,
    id: object = None,
) -> None:
    """Validate the options of a data channel.

    Raises:
        InvalidChannel: An option is invalid.
    """
    _check_text(label, "label", label)
    _check_text(label, "protocol", protocol)
    for field, value, most in (
        ("maxPacketLifeTime", max_packet_life_time, MAX_RELIABILITY),
        ("maxRetransmits", max_retransmits, MAX_RELIABILITY),
        ("id", id, MAX_ID),
    ):
        if value is not None and not 0 <= _whole(value) <= most:
            raise InvalidChannel(label, field, value, f"give a whole number of 0 to {most}")
    if max_packet_life_time is not None and max_retransmits is not None:
        raise InvalidChannel(
            label, "maxRetransmits", max_retransmits, "give either this or maxPacketLifeTime"
        )
    if negotiated and id is None:
        raise InvalidChannel(
            label, "id", id, "give the same id on both peers of a negotiated channel"
        )


def _whole(value: object) -> int:
    """Return an integer of any type; -1 for other types, and for ``bool``."""
    return index(value) if isinstance(value, SupportsIndex) and not isinstance(value, bool) else -1


def _check_text(label: object, field: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidChannel(label, field, value, "give a str")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        demand = "it has a lone surrogate, which UTF-8 cannot encode"
        raise InvalidChannel(label, field, value, demand) from error
    if size > MAX_TEXT:
        demand = f"it has {size} bytes in UTF-8; the maximum is {MAX_TEXT}"
        raise InvalidChannel(label, field, value, demand)


def check_id(label: str, id: int, *, streams: int, is_used: bool) -> None:
    """Validate the stream identifier of a channel.

    Args:
        label: The label of the channel.
        id: The identifier.
        streams: Number of streams in each direction; 0 if unknown.
        is_used: Whether another channel has the identifier.

    Raises:
        ChannelUnavailable: The identifier is not available.
    """
    if is_used:
        raise ChannelUnavailable(label, "id", id, "it is already registered for another channel")
    if streams and id >= streams:
        raise ChannelUnavailable(label, "id", id, f"there are only {streams} streams")
