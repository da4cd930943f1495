"""Messages of STUN and multicast DNS that cost more than their size, or are none."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any, cast

import dns.message
import dns.name
import dns.rdata
import dns.rdataset
import dns.rdatatype
import pytest
from aioice import mdns, stun
from hypothesis import given, strategies as st

from icefloe.peer.ice.gather import multicast_dns
from icefloe.peer.ice.stun_parser import MAX_PEER_MESSAGE, MAX_SERVER_MESSAGE, parse

FINGERPRINT = struct.pack("!HH", 0x8028, 4)
FROM = ("192.0.2.66", 5353)
LONG_NAME = b"\1a" * 126 + b"\0"
POINTER = b"\xc0\x0c"
ANY, IN = struct.pack("!H", 255), struct.pack("!H", 1)


def request(**attributes: Any) -> stun.Message:
    """Make a STUN message."""
    named = {name.replace("_", "-"): value for name, value in attributes.items()}
    return stun.Message(stun.Method.BINDING, stun.Class.REQUEST, attributes=named)


def with_fingerprints(count: int) -> bytes:
    """Make a STUN message with so many of them, each right for what is before it."""
    data = struct.pack("!HHI12s", 1, 8 * count, stun.COOKIE, b"x" * 12)
    for _ in range(count):
        data += FINGERPRINT + struct.pack("!I", stun.message_fingerprint(data))
    return data


def test_a_message_is_read() -> None:
    message = request(USERNAME="here:there", PRIORITY=1)
    message.add_message_integrity(b"password")
    parsed = parse(bytes(message))
    assert parsed is not None
    assert parsed.attributes == message.attributes
    assert parsed.check_message_integrity(b"password")


def test_one_fingerprint_is_computed_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    real: Callable[[bytes], int] = stun.message_fingerprint

    def counted(data: bytes) -> int:
        computed.append(len(data))
        return real(data)

    flood = with_fingerprints(8000)
    one = with_fingerprints(1)
    monkeypatch.setattr(stun, "message_fingerprint", counted)
    assert parse(flood, MAX_SERVER_MESSAGE) is None
    assert computed == []
    assert parse(one) is not None
    assert computed == [20]


def test_data_that_looks_like_fingerprints_is_no_fingerprint() -> None:
    message = request(DATA=(FINGERPRINT + b"data") * 100)
    message.add_fingerprint()
    parsed = parse(bytes(message))
    assert parsed is not None
    assert parsed.attributes["DATA"] == message.attributes["DATA"]


def test_the_size_is_bounded() -> None:
    fits = bytes(request(SOFTWARE="x" * (MAX_PEER_MESSAGE - 24)))
    assert len(fits) == MAX_PEER_MESSAGE
    assert parse(fits) is not None
    assert parse(bytes(request(SOFTWARE="x" * (MAX_PEER_MESSAGE - 20)))) is None
    assert parse(bytes(request(DATA=bytes(65_000))), MAX_SERVER_MESSAGE) is not None


def test_a_check_with_the_longest_names_fits() -> None:
    message = request(USERNAME=f"{'x' * 256}:{'y' * 256}", PRIORITY=1, ICE_CONTROLLING=1)
    message.add_message_integrity(b"password")
    assert parse(bytes(message)) is not None


ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "USERNAME": st.text(max_size=40),
        "PRIORITY": st.integers(0, 2**32 - 1),
        "ICE-CONTROLLING": st.integers(0, 2**64 - 1),
        "ICE-CONTROLLED": st.integers(0, 2**64 - 1),
        "USE-CANDIDATE": st.none(),
        "XOR-MAPPED-ADDRESS": st.tuples(st.ip_addresses().map(str), st.integers(0, 65535)),
        "ERROR-CODE": st.tuples(st.integers(300, 699), st.text(max_size=20)),
        "SOFTWARE": st.text(max_size=20),
    },
)


def by_aioice(data: bytes) -> stun.Message | None:
    """Return what aioice makes of a datagram."""
    try:
        return stun.parse_message(data)
    except (ValueError, struct.error, IndexError, TypeError):
        return None


def assert_alike(data: bytes, key: bytes) -> None:
    """Make sure that a datagram is read as aioice reads it."""
    expected, parsed = by_aioice(data), parse(data)
    assert (parsed is None) == (expected is None)
    if parsed is not None and expected is not None:
        assert list(parsed.attributes.items()) == list(expected.attributes.items())
        assert parsed.transaction_id == expected.transaction_id
        assert parsed.message_class is expected.message_class
        assert parsed.message_method is expected.message_method
        for password in (key, b"another", b""):
            expectation = expected.check_message_integrity(password)
            assert parsed.check_message_integrity(password) is expectation


@given(st.sampled_from(list(stun.Class)), ATTRIBUTES, st.binary(max_size=70), st.data())
def test_a_signed_message_is_read_as_aioice_reads_it(
    kind: stun.Class, attributes: dict[str, Any], key: bytes, choices: st.DataObject
) -> None:
    order = choices.draw(st.permutations(list(attributes)))
    message = stun.Message(
        stun.Method.BINDING, kind, attributes={name: attributes[name] for name in order}
    )
    message.add_message_integrity(key)
    data = bytearray(bytes(message))
    assert_alike(bytes(data), key)
    position = choices.draw(st.integers(0, len(data) - 1))
    data[position] ^= 1 << choices.draw(st.integers(0, 7))
    assert_alike(bytes(data), key)
    # What somebody can do who gets the fingerprint right.
    whole = bytes(data[:-8])
    crc = stun.message_fingerprint(whole)
    assert_alike(whole + FINGERPRINT + struct.pack("!I", crc), key)


@given(st.binary(max_size=64), st.sampled_from([0x0001, 0x0101, 0x0111]))
def test_attributes_of_any_kind_are_read_as_aioice_reads_them(body: bytes, kind: int) -> None:
    size = len(body) + stun.INTEGRITY_LENGTH
    signed = struct.pack("!HHI12s", kind, size, stun.COOKIE, b"x" * 12) + body
    signed += struct.pack("!HH", 8, 20) + bytes(20)
    data = signed[:2] + struct.pack("!H", size + 8) + signed[4:]
    assert_alike(data + FINGERPRINT + struct.pack("!I", stun.message_fingerprint(data)), b"key")


def test_a_message_that_is_signed_anew_is_checked_anew() -> None:
    message = request(USERNAME="here:there", PRIORITY=1)
    message.add_message_integrity(b"password")
    parsed = parse(bytes(message))
    assert parsed is not None
    parsed.attributes["PRIORITY"] = 2
    parsed.add_message_integrity(b"another")
    assert parsed.check_message_integrity(b"another")
    assert not parsed.check_message_integrity(b"password")


class Zone(multicast_dns.Protocol):
    """The socket of multicast DNS, with a transport that is itself."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.connection_made(cast(asyncio.BaseTransport, self))

    def sendto(self, data: bytes, addr: object) -> None:
        """Take an answer."""
        self.sent.append(data)

    def own(self, name: str) -> None:
        """Give it a name."""
        rdata = dns.rdata.GenericRdata(mdns.MDNS_RDCLASS, dns.rdatatype.A, bytes([192, 0, 2, 1]))
        rdataset = dns.rdataset.from_rdata(120, rdata)
        self.zone.replace_rdataset(dns.name.from_text(name), rdataset)


def questions(count: int, first: bytes) -> bytes:
    """Make a message with so many questions, all for one name."""
    header = struct.pack("!6H", 0, 0, count, 0, 0, 0)
    return header + first + ANY + IN + (POINTER + ANY + IN) * (count - 1)


async def test_names_are_still_told() -> None:
    zone = Zone()
    zone.own("own.local")
    zone.datagram_received(questions(1, b"\3own\5local\0"), FROM)
    zone.datagram_received(questions(multicast_dns.MAX_RECORDS, b"\3own\5local\0"), FROM)
    assert len(zone.sent) == 1 + multicast_dns.MAX_RECORDS


@pytest.mark.parametrize("count", [multicast_dns.MAX_RECORDS + 1, 205, 1400, 10_000])
async def test_a_message_with_too_many_records_is_not_read(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    monkeypatch.setattr(dns.message, "from_wire", read.append)
    zone = Zone()
    zone.datagram_received(questions(count, LONG_NAME), FROM)
    zone.datagram_received(bytes(multicast_dns.MAX_MESSAGE_SIZE + 1), FROM)
    assert read == []
    assert zone.sent == []


@pytest.mark.parametrize("size", [0, 3, 5, 16])
@pytest.mark.parametrize("kind", [1, 28])
async def test_an_address_of_another_length_is_ignored(size: int, kind: int) -> None:
    header = struct.pack("!6H", 0, 0x8400, 0, 1, 0, 0)
    record = b"\1a\5local\0" + struct.pack("!HHIH", kind, 0x8001, 120, size) + bytes(size)
    zone = Zone()
    zone.datagram_received(header + record, FROM)
    zone.datagram_received(header + record[:-1], FROM)
    assert zone.sent == []
