"""Packets of strangers: nothing changes by them, nothing grows, and little is said in return."""

import random
import struct
from collections.abc import Callable, Sized
from typing import Any

import pytest
from aioice import stun
from hypothesis import given, strategies as st

from icefloe.peer.ice.candidate_socket import IceSocket
from icefloe.peer.ice.checks import binding
from icefloe.peer.ice.checks.binding import Credentials, Role
from icefloe.peer.ice.checks.checklist import MAX_PAIRS, MAX_REFLEXIVE
from icefloe.peer.ice.checks.connectivity import MAX_ERRORS_PER_SECOND
from icefloe.peer.ice.checks.liveness import SilenceLimits
from icefloe.peer.ice.checks.pair import Address
from icefloe.peer.ice.checks.state import IceState, Settings
from icefloe.peer.ice.configuration import MAX_REMOTES
from icefloe.peer.ice.stun_parser import is_stun
from tests.helpers.puppet import BASE, Puppet, local_candidate

FRIEND: Address = ("198.51.100.2", 2000)
FINGERPRINT = 8
"""Bytes at the end of a message which the integrity does not cover."""

STRANGER: Address = ("192.0.2.66", 666)


class Target:
    """A side with a path that works, and the socket through which all of this comes."""

    def __init__(self) -> None:
        self.puppet = Puppet(controlling=True)
        self.puppet.offer(FRIEND, answers=True)
        self.puppet.wait(5.0)
        assert self.checks.state is IceState.COMPLETED
        self.socket = IceSocket(self)
        self.packets: list[tuple[bytes, Address]] = []
        self._before = self.snapshot()

    @property
    def checks(self) -> Any:
        return self.puppet.checks

    def stun_received(self, message: stun.Message, source: Address, base: object) -> None:
        self.checks.receive(message, source, BASE, self.puppet.now)

    def packet_received(self, data: bytes, source: Address, base: object) -> None:
        if self.checks.receive_data(BASE, source, len(data), self.puppet.now):
            self.packets.append((data, source))

    def socket_lost(self, base: object) -> None:
        raise AssertionError

    def send(self, data: bytes, source: Address = STRANGER) -> None:
        """Have a datagram come in."""
        self.socket.datagram_received(data, source)

    def snapshot(self) -> tuple[object, ...]:
        """Return all that a stranger must not change."""
        checks = self.checks
        pair = checks.selected
        return (
            checks.state,
            checks.failure,
            checks.role.controlling,
            checks.role.tie_breaker,
            checks.nominated,
            pair,
            [(p, p.state, p.heard_at, p.answered_at, p.unanswered) for p in checks.list],
            sorted(checks.list.remotes),
            len(checks.list.reflexive),
            checks.path(self.puppet.now),
        )

    def assert_untouched(self) -> None:
        """Make sure that nothing has changed."""
        assert self.snapshot() == self._before
        assert self.packets == []

    def replies(self) -> list[stun.Message]:
        """Take what is sent in return."""
        return [stun.parse_message(item.message) for item in self.checks.take_datagrams()]


def sizes(thing: object, depth: int = 3) -> int:
    """Count what the containers in something hold."""
    attributes = vars(thing).values() if hasattr(thing, "__dict__") else ()
    total = 0
    for value in attributes:
        if isinstance(value, Sized) and not isinstance(value, str | bytes):
            total += len(value)
        elif depth and type(value).__module__.startswith("icefloe."):
            total += sizes(value, depth - 1)
    return total


def forged(
    credentials: Credentials | None = None, *, change: Callable[[stun.Message], None] | None = None
) -> bytes:
    """Make a check as somebody might who knows all but what was changed."""
    known = credentials or Credentials("there", "x", "here", "a guess")
    role = Role(False, 99)
    _, data = binding.request(known, role, local_preference=65535, use_candidate=True)
    if change is None:
        return data
    message = stun.parse_message(data)
    change(message)
    message.add_message_integrity(b"here-password")
    return bytes(message)


def without(name: str) -> Callable[[stun.Message], None]:
    """Return what takes an attribute out of a message."""
    return lambda message: void(message.attributes.pop(name))


def username(name: str) -> Callable[[stun.Message], None]:
    """Return what writes another user name into a message."""
    return lambda message: message.attributes.update(USERNAME=name)


def void(_: object) -> None:
    """Return nothing."""


REFUSED = {
    "wrong password": (forged(), 401),
    "wrong local fragment": (forged(change=username("elsewhere:there")), 401),
    "wrong remote fragment": (forged(change=username("here:elsewhere")), 401),
    "no colon": (forged(change=username("here")), 401),
    "empty name": (forged(change=username("")), 401),
    "no user name": (forged(change=without("USERNAME")), 400),
    "no priority": (forged(change=without("PRIORITY")), 400),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("source", [STRANGER, FRIEND], ids=["stranger", "friend's address"])
def test_a_check_that_is_not_authentic_is_refused(what: str, source: Address) -> None:
    target = Target()
    data, code = REFUSED[what]
    target.send(data, source)
    target.assert_untouched()
    (reply,) = target.replies()
    assert (reply.message_class, reply.error_code) == (stun.Class.ERROR, code)
    assert reply.transaction_id == stun.parse_message(data).transaction_id
    assert "MESSAGE-INTEGRITY" not in reply.attributes  # it would help in guessing


def test_a_check_without_integrity_is_refused() -> None:
    target = Target()
    message = stun.Message(stun.Method.BINDING, stun.Class.REQUEST)
    message.attributes.update({"USERNAME": "here:there", "PRIORITY": 1, "USE-CANDIDATE": None})
    target.send(bytes(message))
    target.assert_untouched()
    assert [reply.error_code for reply in target.replies()] == [400]


@pytest.mark.parametrize("method", [m for m in stun.Method if m is not stun.Method.BINDING])
def test_a_request_that_is_no_binding_request_is_refused(method: stun.Method) -> None:
    target = Target()
    message = stun.Message(method, stun.Class.REQUEST)
    message.attributes.update({"USERNAME": "here:there", "PRIORITY": 1})
    message.add_message_integrity(b"here-password")
    target.send(bytes(message))
    target.assert_untouched()
    assert [reply.error_code for reply in target.replies()] == [400]


def test_what_follows_the_integrity_does_not_count() -> None:
    # RFC 8489 section 14.5: whoever is on the way may have put it there.
    target = Target()
    puppet = target.puppet
    message = puppet.request()
    del message.attributes["FINGERPRINT"]
    data = bytes(message) + struct.pack("!HH", 0x0025, 0)  # USE-CANDIDATE
    data = data[:2] + struct.pack("!H", len(data) - 20) + data[4:]
    parsed = stun.parse_message(data)
    assert "USE-CANDIDATE" not in parsed.attributes


@pytest.mark.parametrize("kind", [stun.Class.RESPONSE, stun.Class.ERROR, stun.Class.INDICATION])
def test_answers_that_nobody_asked_for_are_dropped(kind: stun.Class) -> None:
    target = Target()
    message = stun.Message(stun.Method.BINDING, kind)
    message.attributes["XOR-MAPPED-ADDRESS"] = STRANGER
    message.add_message_integrity(b"there-password")
    for source in (STRANGER, FRIEND):
        target.send(bytes(message), source)
    target.assert_untouched()
    assert target.replies() == []


def test_a_forged_answer_to_a_probe_that_is_under_way_is_dropped() -> None:
    target = Target()
    puppet = target.puppet
    puppet.answers.clear()
    target.checks.probe_path(puppet.now)
    request = stun.parse_message(target.checks.take_datagrams()[-1].message)
    before = target.snapshot()
    for password in (b"a guess", b"here-password"):
        for kind in (stun.Class.RESPONSE, stun.Class.ERROR):
            message = stun.Message(stun.Method.BINDING, kind, request.transaction_id)
            message.attributes["XOR-MAPPED-ADDRESS"] = STRANGER
            if kind is stun.Class.ERROR:
                message.attributes["ERROR-CODE"] = binding.ROLE_CONFLICT
            message.add_message_integrity(password)
            target.send(bytes(message), FRIEND)
    assert target.snapshot() == before


def test_data_of_strangers_is_dropped() -> None:
    target = Target()
    for first in range(256):
        target.send(bytes([first]) * 50)
    target.send(b"")
    target.assert_untouched()


def test_a_flood_of_forged_checks_is_answered_sparingly() -> None:
    target = Target()
    held = sizes(target.checks)
    addresses = [(f"192.0.2.{number}", port) for number in range(100) for port in (1, 2)]
    for second in range(5):
        for address in addresses:
            target.send(forged(), address)
        assert len(target.replies()) == MAX_ERRORS_PER_SECOND, second
        target.puppet.now += 1.0
    assert target.checks.state is IceState.COMPLETED
    assert len(target.checks.list) == len(target.checks.list.remotes) == 1
    assert sizes(target.checks) <= held + MAX_ERRORS_PER_SECOND


def test_checks_of_the_other_side_from_everywhere_fill_nothing_beyond_its_limits() -> None:
    # As from a NAT that maps each packet anew, or from who records a check and sends it again.
    target = Target()
    puppet = target.puppet
    for number in range(2000):
        source = (f"192.0.2.{number % 250}", 1000 + number)
        puppet.check(source)
        if number % 100 == 0:
            puppet.wait(0.1)
    assert len(puppet.checks.list) <= MAX_PAIRS
    assert len(puppet.checks.list.remotes) <= MAX_REMOTES
    puppet.wait(100.0)
    assert puppet.checks.state is IceState.COMPLETED
    assert puppet.checks.selected is puppet.pair(FRIEND)
    assert sizes(puppet.checks) < MAX_PAIRS + MAX_REMOTES + 2 * MAX_PAIRS + 200


def test_mapped_addresses_that_never_repeat_fill_nothing_beyond_their_limit() -> None:
    often = Settings(limits=SilenceLimits(consent=0.5))
    puppet = Puppet(controlling=True, settings=often)
    pair = puppet.offer(FRIEND)
    for port in range(1000, 1500):
        request, address = puppet.requests[-1]
        answer = binding.success(request, ("203.0.113.9", port), puppet.credentials)
        puppet.receive(stun.parse_message(answer), address)
        assert pair.valid_local.port == port
        puppet.wait(0.6)
    assert len(puppet.checks.list.reflexive) <= MAX_REFLEXIVE
    assert puppet.checks.state is IceState.COMPLETED


def test_more_candidates_than_anybody_has_are_ignored() -> None:
    puppet = Puppet(controlling=True)
    for number in range(1000):
        puppet.offer_quietly((f"192.0.2.{number % 250}", 1000 + number))
    assert len(puppet.checks.list.remotes) == MAX_REMOTES
    assert len(puppet.checks.list) <= MAX_PAIRS


def test_many_sockets_and_many_candidates_make_a_hundred_pairs_and_the_best_ones() -> None:
    puppet = Puppet(controlling=True)
    for number in range(20):
        local = local_candidate("relay" if number < 10 else "host", base=f"socket {number}")
        puppet.checks.add_local(local, puppet.now)
    for number in range(30):
        puppet.offer_quietly((f"192.0.2.{number}", 1000))
    assert len(puppet.checks.list) == MAX_PAIRS
    hosts = sum(pair.local.type == "host" for pair in puppet.checks.list)
    assert hosts > MAX_PAIRS // 2


# --- what is no message at all


@given(st.binary(max_size=200))
def test_no_bytes_do_any_harm(data: bytes) -> None:
    target = Target()
    for source in (STRANGER, FRIEND):
        target.send(data, source)
    assert target.checks.state is IceState.COMPLETED
    assert len(target.checks.list) == len(target.checks.list.remotes) == 1


HEADER = st.builds(
    lambda kind, body, identity: (
        struct.pack("!HHI", kind, len(body), stun.COOKIE) + identity + body
    ),
    st.one_of(st.sampled_from([0x0001, 0x0101, 0x0111, 0x0011]), st.integers(0, 0x3FF)),
    st.lists(
        st.builds(
            lambda number, value: (
                struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)
            ),
            st.one_of(st.sampled_from(sorted(stun.ATTRIBUTES_BY_TYPE)), st.integers(0, 0xFFFF)),
            st.binary(max_size=24),
        ),
        max_size=6,
    ).map(b"".join),
    st.binary(min_size=12, max_size=12),
)


@given(HEADER)
def test_no_attributes_do_any_harm(data: bytes) -> None:
    assert is_stun(data)
    target = Target()
    for source in (STRANGER, FRIEND):
        target.send(data, source)
    target.assert_untouched()


@given(st.randoms(use_true_random=False), st.sampled_from(["cut", "flip", "insert"]))
def test_a_damaged_check_does_no_harm(chance: random.Random, damage: str) -> None:
    target = Target()
    data = bytearray(bytes(target.puppet.request(nominate=True)))
    position = chance.randrange(len(data) - FINGERPRINT)
    if damage == "cut":
        del data[position:]
    elif damage == "flip":
        data[position] ^= 1 << chance.randrange(8)
    else:
        data.insert(position, chance.randrange(256))
    target.send(bytes(data))
    target.assert_untouched()


@given(st.randoms(use_true_random=False))
def test_a_damaged_answer_does_no_harm(chance: random.Random) -> None:
    target = Target()
    target.checks.probe_path(target.puppet.now)
    target.puppet.wait(0.0)  # it is heard now: what looks like data is no news
    target.puppet.answers.clear()
    target.checks.probe_path(target.puppet.now)
    request = stun.parse_message(target.checks.take_datagrams()[-1].message)
    before = target.snapshot()
    data = bytearray(binding.success(request, ("203.0.113.9", 9), target.puppet.credentials))
    position = chance.randrange(len(data) - FINGERPRINT)
    data[position] ^= 1 << chance.randrange(8)
    target.send(bytes(data), FRIEND)
    assert target.snapshot() == before
