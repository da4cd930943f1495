"""Binding messages are the bytes that aioice makes of the same values."""

from aioice import stun
from hypothesis import given, strategies as st

from icefloe.peer.ice.checks.binding_encoder import encode_request, encode_success

NAMES = st.text(min_size=1, max_size=80)
ADDRESSES = st.tuples(st.ip_addresses().map(str), st.integers(0, 65535))


@given(NAMES, NAMES, st.integers(0, 2**32 - 1), st.booleans(), st.integers(0, 2**64 - 1), st.data())
def test_a_request(
    username: str,
    password: str,
    priority: int,
    controlling: bool,
    tie_breaker: int,
    choices: st.DataObject,
) -> None:
    use_candidate = choices.draw(st.booleans())
    identity, made = encode_request(
        username,
        password,
        priority=priority,
        controlling=controlling,
        tie_breaker=tie_breaker,
        use_candidate=use_candidate,
    )
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST, identity)
    message.attributes["USERNAME"] = username
    message.attributes["PRIORITY"] = priority
    message.attributes["ICE-CONTROLLING" if controlling else "ICE-CONTROLLED"] = tie_breaker
    if use_candidate:
        message.attributes["USE-CANDIDATE"] = None
    message.add_message_integrity(password.encode())
    assert made == bytes(message)


@given(st.binary(min_size=12, max_size=12), ADDRESSES, NAMES)
def test_a_success_response(identity: bytes, mapped: tuple[str, int], password: str) -> None:
    message = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, identity)
    message.attributes["XOR-MAPPED-ADDRESS"] = mapped
    message.add_message_integrity(password.encode())
    assert encode_success(identity, mapped, password) == bytes(message)


def test_an_address_with_a_scope() -> None:
    made = encode_success(b"x" * 12, ("fe80::1%eth0", 7), "password")
    assert stun.parse_message(made).attributes["XOR-MAPPED-ADDRESS"] == ("fe80::1", 7)
