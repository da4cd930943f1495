"""Messages that were sent and may be lost, and messages that wait."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from icefloe.signaling.outbox import BYTES_KEPT, MESSAGES_KEPT, UNCONFIRMED_SECONDS, Outbox


def payload(number: int) -> bytes:
    return b"%d" % number


def sent(count: int, at: float = 0.0) -> Outbox:
    outbox = Outbox()
    for _ in range(count):
        outbox.record_sent(payload(outbox.next_seq), at)
    return outbox


def test_numbers_begin_at_one_and_have_no_gap() -> None:
    outbox = Outbox()
    assert outbox.next_seq == 1
    outbox.record_sent(b"1", 0.0)
    outbox.enqueue(b"2")
    assert outbox.next_seq == 3


def test_what_did_not_arrive_is_sent_again_before_what_waits() -> None:
    outbox = sent(3)
    outbox.enqueue(payload(4))
    assert outbox.resume(1, 0.0) == [b"2", b"3", b"4"]
    assert outbox.waiting == 0


def test_it_survives_two_breaks_in_a_row() -> None:
    outbox = sent(3)
    assert outbox.resume(1, 0.0) == [b"2", b"3"]
    outbox.enqueue(payload(4))
    assert outbox.resume(2, 0.0) == [b"3", b"4"]
    assert outbox.resume(4, 0.0) == []


def test_a_receiver_that_does_not_count_gets_only_what_waits() -> None:
    outbox = sent(3)
    outbox.enqueue(payload(4))
    assert outbox.resume(None, 0.0) == [b"4"]


def test_a_receiver_cannot_have_what_was_never_sent() -> None:
    outbox = sent(3)
    outbox.enqueue(payload(4))
    assert outbox.resume(4, 0.0) is None


def test_too_much_on_a_dead_socket_cannot_be_resumed() -> None:
    outbox = sent(MESSAGES_KEPT + 1)
    assert outbox.resume(0, 0.0) is None
    assert outbox.resume(1, 0.0) == [payload(n) for n in range(2, MESSAGES_KEPT + 2)]


def test_what_is_kept_is_limited_in_bytes() -> None:
    outbox = Outbox()
    half = b"x" * (BYTES_KEPT // 2)
    for _ in range(3):
        outbox.record_sent(half, 0.0)
    assert outbox.resume(0, 0.0) is None
    assert outbox.resume(1, 0.0) == [half, half]


def test_what_waits_is_limited_in_messages() -> None:
    outbox = sent(MESSAGES_KEPT)  # which take no room from what waits
    assert all(outbox.enqueue(b"x") for _ in range(MESSAGES_KEPT))
    before = outbox.next_seq
    assert not outbox.enqueue(b"x")
    assert (outbox.next_seq, outbox.waiting) == (before, MESSAGES_KEPT)


def test_what_waits_is_limited_in_bytes() -> None:
    outbox = Outbox()
    assert outbox.enqueue(b"x" * (BYTES_KEPT - 1))
    assert not outbox.enqueue(b"xx")
    assert outbox.enqueue(b"x")
    assert outbox.resume(0, 0.0) == [b"x" * (BYTES_KEPT - 1), b"x"]


def test_what_must_have_arrived_is_forgotten() -> None:
    outbox = sent(2, at=0.0)
    outbox.record_sent(b"3", 10.0)
    outbox.forget(UNCONFIRMED_SECONDS)
    assert outbox.keeps_sent
    assert outbox.resume(1, UNCONFIRMED_SECONDS) is None
    assert outbox.resume(2, UNCONFIRMED_SECONDS) == [b"3"]
    outbox.forget(3 * UNCONFIRMED_SECONDS)
    assert not outbox.keeps_sent


class BrokenSockets(RuleBasedStateMachine):
    """A receiver, and sockets that break and lose the end of what was written to them."""

    def __init__(self) -> None:
        super().__init__()
        self.outbox = Outbox()
        self.is_connected = True
        self.written: list[bytes] = []  # on this socket, and not read yet
        self.arrived: list[bytes] = []
        self.accepted: list[bytes] = []

    @rule()
    def send(self) -> None:
        message = payload(self.outbox.next_seq)
        if self.is_connected:
            self.outbox.record_sent(message, 0.0)
            self.written.append(message)
            self.accepted.append(message)
        elif self.outbox.enqueue(message):
            self.accepted.append(message)

    @rule(count=st.integers(1, 5))
    def read(self, count: int) -> None:
        self.arrived += self.written[:count]
        del self.written[:count]

    @precondition(lambda self: self.is_connected)
    @rule()
    def break_socket(self) -> None:
        self.is_connected = False
        self.written.clear()

    @precondition(lambda self: not self.is_connected)
    @rule()
    def resume(self) -> None:
        again = self.outbox.resume(len(self.arrived), 0.0)
        assert again is not None  # fewer messages than are kept
        self.is_connected = True
        self.written = again

    def teardown(self) -> None:
        if not self.is_connected:
            self.resume()
        assert self.arrived + self.written == self.accepted


TestBrokenSockets = BrokenSockets.TestCase
