"""Attacks of a peer with SCTP packets that it writes as it likes."""

import random
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given, settings, strategies as st

from icefloe.peer.sctp.association import Association
from icefloe.peer.sctp.inbound import Arrival, Inbound
from icefloe.peer.sctp.number_map import NumberMap
from icefloe.peer.sctp.outbound import Message
from icefloe.peer.sctp.packet import (
    FIRST,
    LAST,
    Cause,
    Header,
    Kind,
    Parameter,
    chunk,
    chunks,
    data_header,
    encode_forward_tsn,
    encode_i_forward_tsn,
    encode_parameters,
    encode_sack,
    i_data_header,
    padding,
    parameters,
)
from icefloe.peer.sctp.receiving import Receiver
from icefloe.peer.sctp.states import WINDOW, Settings, State
from tests.helpers.sctp import Link, World
from tests.helpers.work import lines_run

LINES_PER_BYTE = 40
"""Lines of Python that a byte from outside may cost."""


class Victim:
    """An association, and the packets that its peer makes up once it is established.

    Attributes:
        tsn: The peer's next TSN.
        messages: How many arrived while packets were poured in.
    """

    def __init__(self, *, interleaves: bool = True, window: int = WINDOW) -> None:
        self.now = 1000.0
        peer = Association(
            Settings(tag=0xAAAA0001, tsn=1000, secret=b"a" * 16, interleaves=interleaves)
        )
        self.association = Association(
            Settings(
                tag=0xBBBB0001,
                tsn=5000,
                secret=b"b" * 16,
                interleaves=interleaves,
                window=window,
            )
        )
        peer.connect(self.now)
        self.association.connect(self.now)
        for _ in range(10):
            for one, other in ((peer, self.association), (self.association, peer)):
                for packet in one.take_datagrams(self.now):
                    other.receive(packet, self.now)
            self.now += 0.01
        assert self.association.state is State.ESTABLISHED
        self._header = Header(5000, 5000, 0xBBBB0001)
        self.tsn = 1000
        self.messages = 0

    @property
    def receiver(self) -> Receiver:
        """The messages received."""
        return self.association._receiver

    @property
    def inbound(self) -> Inbound:
        """The messages of which it has a part."""
        return self.receiver._inbound

    def take(self, *parts: bytes) -> None:
        """Take a packet of these chunks, which must cost no more than its size allows."""
        lines = self.measure(*parts)
        assert lines < LINES_PER_BYTE * sum(map(len, parts)) + 2000

    def measure(self, *parts: bytes) -> int:
        """Take a packet of these chunks; return how many lines of Python that ran."""
        packet = self._header.seal(b"".join(parts))
        self.now += 0.0001
        return lines_run(lambda: self.association.receive(packet, self.now))

    def pour(self, packets: Iterable[list[bytes]]) -> None:
        """Take many packets, and let what they cost be."""
        for parts in packets:
            self.now += 0.0001
            self.association.receive(self._header.seal(b"".join(parts)), self.now)
            self.association.take_datagrams(self.now)
            self.messages += len(self.poll())

    def poll(self) -> list[bytes]:
        """Poll all events; return the messages among them."""
        events = iter(self.association.poll_event, None)
        return [event.data for event in events if isinstance(event, Arrival)]

    def data(
        self, flags: int, body: bytes, *, stream: int = 1, ssn: int = 0, skip: int = 0
    ) -> bytes:
        """Return a DATA chunk with the next TSN, after as many that are left out."""
        self.tsn += skip + 1
        tsn = self.tsn - 1 & 0xFFFFFFFF
        head = data_header.pack(Kind.DATA, flags, 16 + len(body), tsn, stream, ssn & 0xFFFF, 53)
        return head + body + padding(len(body))

    def i_data(
        self, flags: int, body: bytes, *, stream: int = 1, mid: int = 0, x: int = 53
    ) -> bytes:
        """Return an I-DATA chunk with the next TSN."""
        self.tsn += 1
        tsn = self.tsn - 1 & 0xFFFFFFFF
        length = 20 + len(body)
        head = i_data_header.pack(Kind.I_DATA, flags, length, tsn, stream, 0, mid, x)
        return head + body + padding(len(body))

    def send_unacknowledged(self, count: int) -> int:
        """Have messages sent of which nothing is acknowledged; return the TSN before them."""
        association = self.association
        assert association.sender is not None
        association.sender.controller = _Boundless(1000)
        before = association.sender.last_tsn
        self.pour([[encode_sack(before & 0xFFFFFFFF, 1 << 26, [], [])]])
        for _ in range(count):
            association.send(Message(1, 53, b"x" * 900, max_retransmits=0))
        while association.sender.last_tsn < before + count:
            association.take_datagrams(self.now)
            self.now += 0.05
        return before & 0xFFFFFFFF

    def aborted_with(self) -> int | None:
        """Return the cause of the ABORT that was sent; ``None`` if there is none."""
        for packet in self.association.take_datagrams(self.now):
            for kind, _, body in chunks(packet):
                if kind == Kind.ABORT:
                    return parameters(body)[0][0]
        return None


class _Boundless:
    """Congestion control that holds nothing up."""

    window = 1 << 30
    pacing_rate = 1e12

    def __init__(self, segment: int) -> None: ...
    def set_segment(self, size: int) -> None: ...
    def acknowledged(self, ack: object) -> None: ...
    def idle(self, now: float, flight: int) -> None: ...
    def timed_out(self, now: float) -> None: ...


# --- SACKs


@pytest.mark.parametrize(
    "gaps",
    [
        [(1, 65535)] * 300,
        [(5, 9), (1, 3)],
        [(1, 5), (5, 9)],
        [(1, 5), (3, 4)],
        [(2, 1)],
        [(0, 3)],
    ],
    ids=["again and again", "descending", "sharing one", "one in another", "backward", "from 0"],
)
def test_gap_blocks_that_are_none_do_nothing(gaps: list[tuple[int, int]]) -> None:
    victim = Victim()
    before = victim.send_unacknowledged(20)
    victim.take(encode_sack(before, 1 << 20, gaps, []))
    sender = victim.association.sender
    assert sender is not None
    assert sender.recovery.flight == 20 * 900


def test_acknowledging_and_taking_back_in_turn_ends_the_association() -> None:
    victim = Victim()
    before = victim.send_unacknowledged(2000)
    for _ in range(20):
        victim.pour([[encode_sack(before, 1 << 20, [(2, 2000)], [])]])
        victim.pour([[encode_sack(before, 1 << 20, [], [])]])
    assert victim.association.state is State.CLOSED


def test_only_one_sack_of_a_packet_is_work() -> None:
    victim = Victim()
    before = victim.send_unacknowledged(1000)
    all_but_one = encode_sack(before, 1 << 20, [(2, 1000)], [])
    none = encode_sack(before, 1 << 20, [], [])
    once = victim.measure(all_but_one)
    victim = Victim()
    assert before == victim.send_unacknowledged(1000)
    assert victim.measure(*[all_but_one, none] * 40) < once + 1000


def test_losing_thousands_of_messages_at_once_costs_no_more_than_their_number() -> None:
    victim = Victim()
    count = 4000
    before = victim.send_unacknowledged(count)
    victim.now += 1.0
    lines = victim.measure(encode_sack(before, 1 << 20, [(count, count)], []))
    assert lines < 100 * count
    sender = victim.association.sender
    assert sender is not None
    assert len(sender.abandoned) > count // 2


# --- reassembly


@pytest.mark.parametrize("interleaves", [False, True])
def test_a_message_that_never_ends_ends_the_association(interleaves: bool) -> None:
    victim = Victim(interleaves=interleaves)
    part = bytes(1000)
    number = 0
    for number in range(300):
        flags = 0 if number else FIRST
        make = (
            victim.i_data(flags, part, x=number or 53) if interleaves else victim.data(flags, part)
        )
        victim.take(make)
        if victim.association.state is State.CLOSED:
            break
    assert number == 262
    assert victim.aborted_with() == Cause.PROTOCOL_VIOLATION


@pytest.mark.parametrize("flags", [0, FIRST, LAST])
@pytest.mark.parametrize("interleaves", [False, True])
def test_tiny_fragments_are_held_by_what_they_take_of_memory(interleaves: bool, flags: int) -> None:
    window = 512 * 1024
    victim = Victim(interleaves=interleaves, window=window)
    held = victim.inbound
    for packet in range(400):
        if interleaves:
            parts = [
                victim.i_data(flags, b"x", stream=packet % 60_000, mid=n, x=n + 1)
                for n in range(50)
            ]
        else:
            parts = [victim.data(flags, b"x", skip=1) for _ in range(50)]
        victim.pour([parts])
    most = window // 256
    assert most - 8 < held.pieces <= most  # what came then was not taken
    assert victim.association.window == 0


@pytest.mark.parametrize("interleaves", [False, True])
@pytest.mark.parametrize("streams", [1, 40])
def test_one_packet_completes_no_more_messages_than_a_window_has(
    interleaves: bool, streams: int
) -> None:
    window = 512 * 1024
    victim = Victim(interleaves=interleaves, window=window)

    def message(stream: int, number: int) -> bytes:
        flags = FIRST | LAST
        if interleaves:
            return victim.i_data(flags, b"x", stream=stream, mid=number)
        return victim.data(flags, b"x", stream=stream, ssn=number)

    held = victim.inbound
    fits = window // 256 // streams - 1
    for number in range(1, fits + 1):
        victim.pour([[message(stream, number) for stream in range(streams)]])
    assert victim.messages == 0
    assert held.pieces == fits * streams
    packet = [message(stream, 0) for stream in range(streams)]
    lines = victim.measure(*packet)
    assert len(victim.poll()) == (fits + 1) * streams <= window // 256
    assert lines < LINES_PER_BYTE * 4000 + 16 * window // 256
    assert held.pieces == held.size == 0


def test_nothing_is_taken_where_the_window_is_closed() -> None:
    victim = Victim(interleaves=False)
    victim.take(victim.data(0, b"z", skip=60_000))
    first = victim.tsn - 60_001
    victim.association.hold(WINDOW + 1024 * 1024)
    victim.tsn = first
    for _ in range(5000):
        victim.pour([[victim.data(FIRST | LAST, bytes(1100))]])
    assert not victim.poll()
    assert victim.inbound.size < 2000


def test_a_tsn_that_cannot_be_acknowledged_is_not_taken() -> None:
    victim = Victim(interleaves=False)
    victim.take(victim.data(FIRST | LAST, b"far", ssn=0, skip=70_000))
    assert not victim.poll()
    victim.tsn -= 70_001
    victim.take(victim.data(FIRST | LAST, b"near"))
    assert victim.poll() == [b"near"]


def test_asking_whether_there_is_room_again_is_no_attack() -> None:
    victim = Victim(interleaves=False)
    victim.association.hold(WINDOW)
    for _ in range(9_000):  # a packet each ten seconds, for a day
        victim.now += 10
        victim.pour([[victim.data(FIRST | LAST, bytes(1150))]])
        victim.tsn -= 1
    assert victim.association.state is State.ESTABLISHED


def test_two_messages_of_one_number_take_no_window_for_ever() -> None:
    victim = Victim(interleaves=False)
    for _ in range(50):
        victim.take(victim.data(FIRST | LAST, bytes(1000), ssn=7))
    victim.take(encode_forward_tsn(victim.tsn & 0xFFFFFFFF, [(1, 7)]))
    assert victim.inbound.size == 0
    assert victim.inbound.cost == 0


# --- skipping and resetting


def held(victim: Victim, count: int, *, interleaves: bool, stream: int | None = None) -> None:
    """Have so many fragments held, each of a message of its own."""
    for start in range(0, count, 50):
        numbers = range(start, start + 50)
        victim.pour(
            [
                [
                    victim.i_data(FIRST, b"x", stream=stream or n, mid=n if stream else 0)
                    if interleaves
                    else victim.data(0, b"x", skip=1)
                    for n in numbers
                ]
            ]
        )


def test_a_packet_of_forward_tsns_costs_what_it_skips() -> None:
    victim = Victim(interleaves=False)
    held(victim, 5_000, interleaves=False)
    base = victim.receiver.cumulative
    victim.take(*[encode_forward_tsn(base + 1 + 2 * n & 0xFFFFFFFF, []) for n in range(170)])


@pytest.mark.parametrize("stream", [None, 9], ids=["a stream each", "one stream"])
def test_a_packet_of_i_forward_tsns_costs_what_it_skips(stream: int | None) -> None:
    victim = Victim()
    held(victim, 5_000, interleaves=True, stream=stream)
    base = victim.receiver.cumulative
    skips = [(stream or 65000, False, 0)] * 20
    victim.take(*[encode_i_forward_tsn(base + 1 + n & 0xFFFFFFFF, skips) for n in range(7)])


def test_messages_that_came_too_early_are_not_looked_through_for_each_skip() -> None:
    victim = Victim(interleaves=False)
    for start in range(0, 5_000, 50):
        victim.pour(
            [[victim.data(FIRST | LAST, b"x", ssn=n + 5000) for n in range(start, start + 50)]]
        )
    tsn = victim.tsn & 0xFFFFFFFF
    victim.take(encode_forward_tsn(tsn, [(1, ssn) for ssn in range(300)]))


def test_resetting_streams_costs_what_it_names() -> None:
    victim = Victim()
    held(victim, 5_000, interleaves=True)
    cumulative = victim.receiver.cumulative & 0xFFFFFFFF
    body = struct.pack("!LLL", 1000, 0, cumulative)
    body += b"".join(struct.pack("!H", stream) for stream in [65001] * 690)
    request = encode_parameters([(Parameter.OUTGOING_RESET_REQUEST, body)])
    victim.take(chunk(Kind.RE_CONFIG, 0, request))


# --- answers


def test_answers_are_no_more_than_fit_and_share_packets_of_the_usual_size() -> None:
    victim = Victim()
    beat = chunk(Kind.HEARTBEAT, 0, encode_parameters([(1, bytes(1000))]))
    reset = chunk(
        Kind.RE_CONFIG,
        0,
        encode_parameters([(Parameter.OUTGOING_RESET_REQUEST, struct.pack("!LLL", 7, 0, 0))]),
    )
    for _ in range(500):
        victim.take(beat)
        victim.take(*[reset] * 40)
    sizes = [len(packet) for packet in victim.association.take_datagrams(victim.now)]
    assert max(sizes) <= 1200
    assert sum(sizes) < 100_000


def test_a_heartbeat_of_any_size_is_no_reason_to_send_that_much() -> None:
    victim = Victim()
    victim.take(chunk(Kind.HEARTBEAT, 0, encode_parameters([(1, bytes(15_000))])))
    assert not victim.association.take_datagrams(victim.now)


# --- many channels


def test_messages_that_fill_the_window_together_do_not_stall_each_other() -> None:
    world = World(3)
    a, b = world.pair(Link())
    world.connect(a, b)
    for stream in range(300):
        world.send(a, bytes(60_000), stream=stream)
    assert world.run(60.0, lambda: len(b.messages) == 300)


def test_a_sender_that_begins_them_all_at_once_gets_them_through() -> None:
    victim = Victim()
    count, size, part = 300, 60_000, 1000
    for index in range(size // part):
        flags = (FIRST if not index else 0) | (LAST if index == size // part - 1 else 0)
        for stream in range(count):
            victim.pour([[victim.i_data(flags, bytes(part), stream=stream, x=index or 53)]])
            assert victim.association.window > 0
    assert victim.messages == count


# --- the container


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["put", "pop", "take"]), st.integers(0, 60)), max_size=200)
)
def test_numbered_values_come_out_in_order(steps: list[tuple[str, int]]) -> None:
    numbered: NumberMap[int] = NumberMap()
    model: dict[int, int] = {}
    serial = random.Random(1)
    for step, number in steps:
        match step:
            case "put":
                model[number] = value = serial.getrandbits(30)
                numbered.put(number, value)
            case "pop":
                assert numbered.pop(number) == model.pop(number, None)
            case _:
                expected = [(n, model.pop(n)) for n in sorted(model) if n <= number]
                assert numbered.take_through(number) == expected
        assert len(numbered) == len(model)
        assert sorted(numbered) == sorted(model.values())
