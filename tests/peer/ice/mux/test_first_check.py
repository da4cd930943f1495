"""The username fragment that a check is addressed to, read before anything is parsed."""

import struct

from aioice import stun
from hypothesis import given, strategies as st

from icefloe.peer.ice.mux.first_check import (
    BINDING_REQUEST,
    MAX_ATTRIBUTES_BEFORE_USERNAME,
    MAX_USERNAME,
    receiving_fragment,
)

HEADER = BINDING_REQUEST + b"\x00\x00" + struct.pack("!I", stun.COOKIE) + bytes(12)


def attribute(kind: int, value: bytes) -> bytes:
    """Encode an attribute with its padding."""
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def test_the_fragment_of_the_receiver_comes_first_in_the_user_name() -> None:
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes["PRIORITY"] = 1
    message.attributes["USERNAME"] = "receiver:sender"
    message.add_message_integrity(b"secret")
    assert bytes(message)[:2] == BINDING_REQUEST
    assert receiving_fragment(bytes(message)) == b"receiver"


def test_other_attributes_may_come_before_it_but_not_many() -> None:
    name = attribute(6, b"ours:theirs")
    few, many = MAX_ATTRIBUTES_BEFORE_USERNAME, MAX_ATTRIBUTES_BEFORE_USERNAME + 1
    assert receiving_fragment(HEADER + attribute(0x8000, b"abc") * few + name) == b"ours"
    assert receiving_fragment(HEADER + attribute(0x8000, b"abc") * many + name) is None


def test_what_names_nobody_is_none() -> None:
    assert receiving_fragment(HEADER) is None
    assert receiving_fragment(HEADER + attribute(6, b"nocolon")) is None
    assert receiving_fragment(HEADER + attribute(6, b"a" * MAX_USERNAME + b":")) is None
    assert receiving_fragment(HEADER + attribute(6, b"ours:theirs")[:-6]) is None
    assert receiving_fragment(HEADER + attribute(6, b"a:b") + bytes(2048)) is None
    assert receiving_fragment(HEADER + attribute(6, b":b")) == b""


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(body: bytes) -> None:
    found = receiving_fragment(HEADER + body)
    assert found is None or b":" not in found
