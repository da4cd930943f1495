"""The options of a data channel, checked before there is one (W3C webrtc-pc 6.1, RFC 8832)."""

from operator import index
from typing import SupportsIndex

from .errors import ChannelUnavailable, InvalidChannel

MAX_TEXT = 65535
"""Bytes that a label or a protocol may have in UTF-8 (RFC 8832 section 5.1)."""

MAX_RELIABILITY = 65535
"""Retransmissions, and milliseconds, at most: W3C's ``unsigned short``."""

MAX_ID = 65534
"""The highest identifier of a stream (RFC 8832 section 6)."""


def check(
    label: object,
    *,
    max_packet_life_time: object = None,
    max_retransmits: object = None,
    protocol: object = "",
    negotiated: bool = False,
    id: object = None,
) -> None:
    """Look whether a data channel can be as it is asked for.

    Raises:
        InvalidChannel: It cannot.
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
            label, "maxRetransmits", max_retransmits, "give either it or maxPacketLifeTime"
        )
    if negotiated and id is None:
        raise InvalidChannel(label, "id", id, "a negotiated channel needs one, on both sides")


def _whole(value: object) -> int:
    """Return a whole number of any type; -1 for what is none, and for a bool, which is no number
    that anybody means."""
    return index(value) if isinstance(value, SupportsIndex) and not isinstance(value, bool) else -1


def _check_text(label: object, field: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidChannel(label, field, value, "give a str")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        demand = "half a surrogate pair is no character, so UTF-8 has no bytes for it"
        raise InvalidChannel(label, field, value, demand) from error
    if size > MAX_TEXT:
        demand = f"it has {size} bytes in UTF-8, and may have {MAX_TEXT}"
        raise InvalidChannel(label, field, value, demand)


def check_id(label: str, id: int, *, streams: int, is_used: bool) -> None:
    """Look whether a channel may have an identifier.

    Args:
        label: The channel's label.
        id: The identifier.
        streams: Streams that both sides have; 0 while that is not known.
        is_used: Whether another channel has it.

    Raises:
        ChannelUnavailable: It may not.
    """
    if is_used:
        raise ChannelUnavailable(label, "id", id, "another channel is already registered under it")
    if streams and id >= streams:
        raise ChannelUnavailable(label, "id", id, f"the two sides have {streams} streams")
