"""Fair queues for what comes in at a shared port."""

from collections import deque

from hypothesis import given, strategies as st

from icefloe.peer.ice.mux import inboxes
from icefloe.peer.ice.mux.inboxes import (
    DATAGRAM_COST,
    MAX_INBOX_BYTES,
    MAX_TOTAL_BYTES,
    SCARCE_INBOX_BYTES,
    Batch,
    Inboxes,
)

SOURCE = ("192.0.2.1", 1000)


def batch(data: bytes = b"data", size: int = 0) -> Batch:
    return Batch(data, 0, size, SOURCE)


def everything(queues: Inboxes[str]) -> list[tuple[str, bytes]]:
    taken = []
    while (item := queues.next()) is not None:
        taken.append((item[0], item[1].data))
    return taken


def test_members_take_turns_whoever_has_more() -> None:
    queues = Inboxes[str]()
    for number in range(4):
        queues.put("much", batch(b"%d" % number))
    queues.put("little", batch(b"one"))
    assert len(queues) == 2
    taken = everything(queues)
    assert [who for who, _ in taken] == ["much", "little", "much", "much", "much"]
    assert [data for who, data in taken if who == "much"] == [b"0", b"1", b"2", b"3"]
    assert (len(queues), queues.size) == (0, 0)


def test_the_rest_of_a_batch_comes_first_after_the_turn_of_others() -> None:
    queues = Inboxes[str]()
    queues.put("a", batch(b"11112222", size=4))
    queues.put("a", batch(b"3333"))
    queues.put("b", batch(b"other"))
    who, taken = queues.next() or ("", batch())
    queues.put_back(who, taken._replace(start=4))
    assert queues.next() == ("b", batch(b"other"))
    assert queues.next() == ("a", Batch(b"11112222", 4, 4, SOURCE))
    assert queues.next() == ("a", batch(b"3333"))
    assert queues.size == 0


def test_the_rest_of_the_only_batch_is_put_back() -> None:
    queues = Inboxes[str]()
    queues.put("a", batch(b"11112222", size=4))
    who, taken = queues.next() or ("", batch())
    queues.put_back(who, taken._replace(start=4))
    assert queues.next() == ("a", Batch(b"11112222", 4, 4, SOURCE))
    assert queues.next() is None
    assert queues.size == 0


def test_a_full_queue_drops_its_own_and_counts_datagrams() -> None:
    queues = Inboxes[str]()
    large = batch(bytes(60_000), size=1000)
    while queues.put("flood", large):
        assert queues.size <= MAX_INBOX_BYTES
    assert queues.dropped == 60
    assert queues.put("other", batch())
    assert queues.dropped == 60


def test_small_datagrams_count_more_than_their_content() -> None:
    queues = Inboxes[str]()
    count = 0
    while queues.put("flood", batch(b"")):
        count += 1
    assert count == MAX_INBOX_BYTES // DATAGRAM_COST


def test_all_queues_together_are_bounded_and_a_newcomer_has_room() -> None:
    queues = Inboxes[str]()
    large = batch(bytes(60_000), size=1000)
    for member in range(50):
        while queues.put(f"flood {member}", large):
            pass
        assert queues.size <= MAX_TOTAL_BYTES
    assert queues.put("newcomer", batch(bytes(SCARCE_INBOX_BYTES // 2)))
    assert not queues.put("newcomer", batch(bytes(SCARCE_INBOX_BYTES)))


def test_what_waits_for_a_member_goes_with_it() -> None:
    queues = Inboxes[str]()
    queues.put("a", batch())
    queues.put("b", batch())
    queues.forget("a")
    queues.forget("a")
    assert everything(queues) == [("b", b"data")]
    assert queues.size == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "next", "forget"]))))
def test_each_member_gets_its_own_in_order(steps: list[tuple[str, str]]) -> None:
    queues = Inboxes[str]()
    expected: dict[str, deque[bytes]] = {who: deque() for who in "abc"}
    for number, (who, step) in enumerate(steps):
        if step == "put":
            assert queues.put(who, batch(b"%d" % number))
            expected[who].append(b"%d" % number)
        elif step == "forget":
            queues.forget(who)
            expected[who].clear()
        elif (item := queues.next()) is not None:
            assert item[1].data == expected[item[0]].popleft()
        else:
            assert not any(expected.values())
    waiting = sum(map(len, expected.values()))
    assert len(queues) == sum(1 for one in expected.values() if one)
    assert queues.size == sum(len(d) for one in expected.values() for d in one) + (
        waiting * inboxes.DATAGRAM_COST
    )
