"""Sender and receiver as state machines: any interleaving, a break at any message, and nonsense."""

from collections import deque
from typing import Any

from hypothesis import given, strategies as st

from icefloe.peer.files import receiver as receiving, sender as sending
from icefloe.peer.files.protocol import (
    FILE_COST,
    HEADER,
    Ack,
    Begin,
    Data,
    Done,
    End,
    Entry,
    Finish,
    Finished,
    Kept,
    decode_from_receiver,
    decode_from_sender,
    encode,
    new_hash,
)
from icefloe.peer.files.receiver import Receiver, ReceiverState
from icefloe.peer.files.sender import Sender, SenderState

BLOCK = HEADER.size + 100
WINDOW = 3 * FILE_COST + 1000

Files = list[bytes | None]  # contents; `None` is a folder


class Link:
    """Both machines, the files of one side, and the disk of the other, which outlives a break."""

    def __init__(self, files: Files, disk: dict[int, bytes], finished: set[int]) -> None:
        self.files, self.disk, self.finished = files, disk, finished
        entries = [
            Entry(f"f{i}", folder=True) if data is None else Entry(f"f{i}", len(data))
            for i, data in enumerate(files)
        ]
        self.sender, self.receiver = Sender(entries, block=BLOCK, window=WINDOW), Receiver()
        self.to_receiver: deque[str | bytes] = deque()
        self.to_sender: deque[str | bytes] = deque()
        self._read_up_to = 0

    def step_sender(self) -> bool:
        if (step := self.sender.poll_step()) is None:
            return False
        match step:
            case sending.Send():
                self.to_receiver.append(encode(step.message))
            case sending.Open():
                data = self.files[step.index] or b""
                kept = step.kept
                right = kept is not None and hash_of(data[: kept.size]) == kept.hash
                self._reading = data
                self._read_up_to = kept.size if kept is not None and right else 0
                self.sender.opened(step.index, kept_is_right=right)
            case sending.Read():
                read = self._reading[self._read_up_to :][: step.size]
                self._read_up_to += len(read)
                ended = self._read_up_to == len(self._reading)
                self.sender.read(read, digest=hash_of(self._reading) if ended else None)
        return True

    def step_receiver(self) -> bool:
        if self.receiver.state is ReceiverState.OFFERED:
            kept = [Kept(i, len(data), hash_of(data)) for i, data in self.disk.items()]
            self.receiver.accept(kept)
            self.do()
            return True
        if not self.to_receiver:
            return False
        self.receiver.receive(decode_from_sender(self.to_receiver.popleft()))
        self.do()
        return True

    def do(self, *, closes: bool = True) -> None:
        while (step := self.receiver.poll_step()) is not None:
            match step:
                case receiving.Send():
                    self.to_sender.append(encode(step.message))
                case receiving.Open():
                    self.disk[step.index] = self.disk.get(step.index, b"")[: step.offset]
                case receiving.Write():
                    assert len(self.disk[step.index]) == step.offset
                    self.disk[step.index] += step.data
                    self.receiver.written(step.index, step.offset + len(step.data))
                case receiving.Close() if closes:
                    assert hash_of(self.disk[step.index]) == step.hash
                    self.finished.add(step.index)
                    self.receiver.closed(step.index)
                case receiving.Complete():
                    self.receiver.completed()

    def step_replies(self) -> bool:
        if not self.to_sender:
            return False
        self.sender.receive(decode_from_receiver(self.to_sender.popleft()))
        return True

    def run(self, order: list[int], most: int) -> None:
        """Take steps in an order of somebody's choice, at most so many, until none is left."""
        steps = (self.step_sender, self.step_receiver, self.step_replies)
        for taken in range(most):
            first = order[taken % len(order)] if order else 0
            if not any(steps[(first + i) % 3]() for i in range(3)):
                return
            assert self.sender.in_flight <= WINDOW + BLOCK + FILE_COST
            waiting = sum(len(m) for m in self.to_receiver if isinstance(m, bytes))
            assert waiting <= 2 * WINDOW
            assert self.sender.error is None
            assert self.receiver.error is None


def hash_of(data: bytes) -> str:
    digest = new_hash()
    digest.update(data)
    return digest.hexdigest()


contents = st.lists(
    st.none() | st.integers(0, 5000).map(lambda size: bytes(i * 7 % 251 for i in range(size))),
    max_size=6,
)
orders = st.lists(st.integers(0, 2), max_size=40)


@given(contents, orders, st.lists(st.integers(0, 300), max_size=3))
def test_whatever_the_order_and_wherever_it_breaks_all_arrives_once(
    files: Files, order: list[int], breaks: list[int]
) -> None:
    disk: dict[int, bytes] = {}
    size = sum(len(data or b"") for data in files)

    def attempt(most: int) -> Link:
        missing = size - sum(map(len, disk.values()))
        link = Link(files, disk, set())
        link.run(order, most)
        assert link.sender.sent <= missing
        return link

    for most in breaks:
        attempt(most)
    link = attempt(10_000)
    assert link.sender.state is SenderState.FINISHED
    assert link.receiver.state is ReceiverState.FINISHED
    whole = {i: data for i, data in enumerate(files) if data is not None}
    assert disk == whole
    assert link.finished == set(whole)
    assert link.sender.acknowledged == sum(map(len, whole.values()))


@given(contents.filter(lambda files: any(files)), orders)
def test_a_wrong_part_is_sent_anew(files: Files, order: list[int]) -> None:
    index = next(i for i, data in enumerate(files) if data)
    disk = {index: b"wrong"}
    Link(files, disk, set()).run(order, 10_000)
    assert disk == {i: data for i, data in enumerate(files) if data is not None}


from_receiver = st.one_of(
    st.builds(Ack, st.integers(0, 5), st.integers(0, 6000)),
    st.builds(Done, st.integers(0, 5)),
    st.just(Finished()),
)
from_sender = st.one_of(
    st.builds(Begin, st.integers(0, 5), st.integers(0, 6000)),
    st.builds(Data, st.integers(0, 5), st.integers(0, 6000), st.binary(min_size=1, max_size=9)),
    st.builds(End, st.integers(0, 5), st.integers(0, 6000), st.just("0" * 64)),
    st.just(Finish()),
)


@given(contents, orders, st.integers(0, 100), st.lists(st.tuples(st.booleans(), st.data())))
def test_nonsense_never_finishes_what_is_not_there(
    files: Files, order: list[int], most: int, nonsense: list[tuple[bool, Any]]
) -> None:
    disk: dict[int, bytes] = {}
    link = Link(files, disk, set())
    link.run(order, most)
    for to_sender, data in nonsense:
        if to_sender:
            link.sender.receive(data.draw(from_receiver))
            while link.sender.state is SenderState.SENDING and link.step_sender():
                pass
        elif link.receiver.state is ReceiverState.RECEIVING:
            link.receiver.receive(data.draw(from_sender))
            # A hash of zeros is never right: that is as far as closing goes.
            link.do(closes=False)
    if link.receiver.state is ReceiverState.FINISHED:
        assert set(disk) == {i for i, entry in enumerate(files) if entry is not None}
