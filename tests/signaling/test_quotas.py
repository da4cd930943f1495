"""The share of a server that one address may take, without sockets."""

import pytest

from icefloe.signaling import AddressLimits, Admission, ErrorCode, Join, Limits
from icefloe.signaling.effects import Send
from icefloe.signaling.outbox import (
    BYTES_KEPT,
    BYTES_KEPT_SCARCE,
    BYTES_KEPT_TOTAL,
    Budget,
    Outbox,
)
from icefloe.signaling.quotas import JoinRate, Tally, network_of
from icefloe.signaling.rooms import Rooms


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("/run/socket", "/run/socket"),
    ],
)
def test_an_address_counts_as_what_one_customer_has(address: str, network: str) -> None:
    assert network_of(address) == network


def test_a_tally_has_room_up_to_its_limit_for_each() -> None:
    tally = Tally(2)
    for _ in range(2):
        assert tally.has_room("a")
        tally.add("a")
    assert not tally.has_room("a")
    assert tally.has_room("b")
    assert tally.refused == 1
    tally.remove("a")
    assert tally.has_room("a")


def test_who_is_not_known_and_a_tally_without_a_limit_refuse_nobody() -> None:
    for tally, who in ((Tally(1), ""), (Tally(None), "a")):
        for _ in range(10):
            assert tally.has_room(who)
            tally.add(who)


def test_joins_come_back_with_time() -> None:
    rate = JoinRate(60)
    assert sum(rate.allow("a", 0.0) for _ in range(100)) == 61
    assert not rate.allow("a", 0.0)
    assert rate.allow("b", 0.0)
    assert rate.allow("a", 2.0)


def test_addresses_without_end_are_not_remembered_without_end() -> None:
    rate = JoinRate(1)
    for number in range(50_000):
        assert rate.allow(f"address {number}", 0.0)
    assert len(rate._buckets) <= 10_000


@pytest.mark.parametrize("field", ["sockets", "seats", "rooms", "joins"])
def test_a_limit_is_at_least_one(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        AddressLimits(**{field: 0})


class House:
    """Rooms, and whoever joins from some address."""

    def __init__(self, address: AddressLimits) -> None:
        numbers = iter(range(1_000_000))
        self.rooms = Rooms(
            Limits(address=address),
            new_id=lambda: f"id{next(numbers)}",
            new_token=lambda: f"token{next(numbers)}",
        )
        self._connections = iter(range(1_000_000))

    def join(self, room: str, name: str, origin: str, now: float = 0.0) -> str:
        """Join; return the type of the answer, or its code if it is an error."""
        connection = next(self._connections)
        self.rooms.connect(connection, now, origin)
        message = Join(room=room, name=name)
        self.rooms.receive(connection, message, now, Admission())
        for effect in self.rooms.take_effects():
            if isinstance(effect, Send) and effect.connection == connection:
                text = effect.payloads[0].decode()
                codes = [code for code in ErrorCode if f'"{code}"' in text]
                return codes[0] if codes else "joined"
        return "nothing"


def test_one_address_does_not_take_all_rooms() -> None:
    house = House(AddressLimits(rooms=3, joins=None))
    answers = [house.join(f"r{n}", "x", "192.0.2.1") for n in range(5)]
    assert answers == ["joined"] * 3 + [ErrorCode.ROOM_FULL] * 2
    assert house.join("r9", "x", "192.0.2.2") == "joined"
    assert house.join("r0", "y", "192.0.2.1") == "joined"
    assert house.rooms.refused_by_address["rooms"] == 2


def test_a_room_that_is_gone_counts_no_more() -> None:
    house = House(AddressLimits(rooms=1, joins=None))
    assert house.join("r0", "x", "192.0.2.1") == "joined"
    house.rooms.disconnect(0, 0.0)
    assert house.join("r1", "x", "192.0.2.1", 1.0) == ErrorCode.ROOM_FULL
    house.rooms.handle_timeout(31.0)
    assert house.join("r1", "x", "192.0.2.1", 31.0) == "joined"


def test_one_address_does_not_take_all_seats_also_away() -> None:
    house = House(AddressLimits(seats=2, joins=None))
    assert house.join("r", "a", "2001:db8::1") == "joined"
    assert house.join("r", "b", "2001:db8::2") == "joined"
    house.rooms.disconnect(0, 0.0)
    assert house.join("r", "c", "2001:db8::3") == ErrorCode.ROOM_FULL
    assert house.join("r", "c", "2001:db8:0:1::3") == "joined"


def test_too_many_joins_of_one_address_are_told_so() -> None:
    house = House(AddressLimits(joins=5))
    answers = [house.join("r", f"n{n}", "192.0.2.1") for n in range(10)]
    assert answers[-1] == ErrorCode.ROOM_FULL
    assert house.join("r", "other", "192.0.2.2") == "joined"


def test_without_limits_an_address_has_all() -> None:
    house = House(AddressLimits.unlimited())
    assert {house.join(f"r{n}", "x", "192.0.2.1") for n in range(900)} == {"joined"}


def test_outboxes_share_what_there_is() -> None:
    budget = Budget()
    full = [Outbox(budget) for _ in range(200)]
    payload = b"x" * 16 * 1024
    for outbox in full:
        while outbox.enqueue(payload):
            pass
    assert budget.used < BYTES_KEPT_TOTAL
    late = Outbox(budget)
    assert late.enqueue(payload)
    assert budget.share == BYTES_KEPT_SCARCE
    for outbox in full:
        outbox.close()
    assert budget.used == len(payload)
    assert budget.share == BYTES_KEPT
    assert late.resume(0, 0.0) == [payload]
    assert budget.used == len(payload)


def test_a_join_that_waits_for_a_name_counts_once() -> None:
    house = House(AddressLimits(joins=1))
    assert house.join("r", "bot", "192.0.2.1") == "joined"
    house.rooms.disconnect(0, 0.0)
    assert house.join("r", "bot", "192.0.2.1") == "nothing"
    house.rooms.handle_timeout(1.0)
    assert house.rooms.has_seat(1)
