"""A sender of files, and what a receiver says to it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from icefloe.peer.files.errors import TransferFailed
from icefloe.peer.files.protocol import (
    WINDOW,
    Accept,
    Ack,
    Decline,
    Done,
    Entry,
    Failed,
    Finished,
    FromReceiver,
    Have,
    Kept,
    decode_from_receiver,
    encode,
)
from icefloe.peer.files.sender import Open, Read, Sender, SenderState
from tests.fuzz.target import Target, join, split

_HASH = "0" * 64
_FILES = (3000, 0, 12)
_ENTRIES = [
    *(Entry(path=f"file {size}", size=size) for size in _FILES),
    Entry(path="folder", folder=True),
]
_STEPS = 64
"""Steps after one message at most; files have fewer."""


def _work(sender: Sender, left: dict[int, int]) -> None:
    for _ in range(_STEPS):
        match sender.poll_step():
            case None:
                return
            case Open(index, kept):
                left[index] = _FILES[index]
                is_right = kept is not None and kept.size <= left[index] and kept.hash == _HASH
                if is_right and kept is not None:
                    left[index] -= kept.size
                sender.opened(index, kept_is_right=is_right)
            case Read(index, size):
                assert size > 0
                part = min(size, left[index])
                left[index] -= part
                ends = part < size
                sender.read(bytes(part), digest=_HASH if ends else None)
            case said:
                encode(said.message)
        assert sender.in_flight <= WINDOW * 2
    raise AssertionError("a sender that goes in circles")


def _send(data: bytes) -> SenderState:
    sender, left = Sender(_ENTRIES, block=1000), dict[int, int]()
    _work(sender, left)
    for part in split(data):
        message = part[1:] if part[:1] == b"\1" else part[1:].decode("utf-8", "replace")
        try:
            sender.receive(decode_from_receiver(message))
        except TransferFailed as error:
            sender.fail(error)
        _work(sender, left)
    return sender.state


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what hears one receiver."""
    yield _send


def _text(message: FromReceiver) -> bytes:
    told = encode(message)
    assert isinstance(told, str)
    return b"\0" + told.encode()


def seeds() -> Sequence[bytes]:
    """Return whole transfers, and some that end early."""
    kept = [Kept(index=0, size=3, hash=_HASH), Kept(index=2, size=12, hash=_HASH)]
    acks: list[FromReceiver] = [Ack(index=0, offset=1000), Ack(index=0, offset=3000), Done(index=0)]
    rest: list[FromReceiver] = [Done(index=1), Ack(index=2, offset=12), Done(index=2), Finished()]
    return [
        join(map(_text, [Accept(), *acks, *rest])),
        join(map(_text, [Have(kept), Accept(), *acks, *rest])),
        join([_text(Decline("no room"))]),
        join(map(_text, [Accept(), acks[0], Failed(code="no-space", detail="x", path="y")])),
        join([b"\1data", _text(Accept())]),
    ]


TARGET = Target(
    name="transfer-sender",
    seeds=seeds,
    tokens=(
        *(
            b'"%s"' % kind
            for kind in (b"accept", b"kept", b"ack", b"done", b"finished", b"decline")
        ),
        b'"index":',
        b'"offset":',
        b"3000",
        b"9007199254740992",
        b"-1",
        b"1e3",
        b"null",
        b"[[[[[[[[",
        b"\\ud800",
        b"\\u0000",
    ),
    documented=(),
    start=start,
)
