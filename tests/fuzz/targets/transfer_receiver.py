"""A receiver of files, and what a sender says to it."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from icefloe.peer.files.errors import TransferFailed
from icefloe.peer.files.file_names import arrange, part_name
from icefloe.peer.files.protocol import (
    HEADER,
    Begin,
    End,
    Entries,
    Entry,
    Failed,
    Finish,
    FromSender,
    Kept,
    Offer,
    decode_from_sender,
    encode,
)
from icefloe.peer.files.receiver import Close, Complete, Open, Receiver, ReceiverState, Send, Write
from tests.fuzz.target import Target, join, split

_HASH = "0" * 64
_TEXT = 0
"""The first byte of a message that is text; another one is data."""


def _receive(data: bytes) -> ReceiverState:
    receiver = Receiver()
    for part in split(data):
        if not part:
            continue
        message: str | bytes = part[1:]
        if part[0] == _TEXT:
            message = part[1:].decode("utf-8", "replace")  # as DCEP hands on what is UTF-8
        try:
            receiver.receive(decode_from_sender(message))
        except TransferFailed as error:
            receiver.fail(error)
        if receiver.state is ReceiverState.OFFERED:
            _accept(receiver)
        while (step := receiver.poll_step()) is not None:
            match step:
                case Open(index, offset):
                    assert receiver.entries[index].folder is False
                    assert offset >= 0
                case Write(index, offset, written):
                    receiver.written(index, offset + len(written))
                case Close(index):
                    receiver.closed(index)
                case Complete():
                    receiver.completed()
                case Send(message=said):
                    encode(said)
    return receiver.state


def _accept(receiver: Receiver) -> None:
    try:
        places = arrange(receiver.entries)
    except TransferFailed as error:
        receiver.fail(error)
        return
    assert len(places) == len(receiver.entries)
    for place, entry in zip(places, receiver.entries, strict=True):
        for name in place:
            assert name not in ("", ".", "..")
            assert not {"/", "\\", "\0"} & set(name)
            assert len(name.encode()) <= 255
        part_name(place[-1], entry)
    kept = [
        Kept(index=index, size=3, hash=_HASH)
        for index, entry in enumerate(receiver.entries[:2])
        if not entry.folder
    ]
    receiver.accept(kept)


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what hears one sender."""
    yield _receive


def _text(message: FromSender) -> bytes:
    told = encode(message)
    assert isinstance(told, str)
    return bytes([_TEXT]) + told.encode()


def seeds() -> Sequence[bytes]:
    """Return whole transfers, and some that end early."""
    entries = [
        Entry(path="a/b.txt", size=5, mode=0o644, mtime=1_700_000_000_000_000_000),
        Entry(path="a/\u00e4 \U0001f600", size=None),
        Entry(path="d", folder=True, mode=0o755),
    ]
    offer = [_text(Entries(entries)), _text(Offer(count=3, size=5))]
    files = [
        *(_text(Begin(index=0, offset=3)), b"\1" + HEADER.pack(0, 3) + b"lo"),
        _text(End(index=0, size=5, hash=_HASH)),
        *(_text(Begin(index=1, offset=0)), b"\1" + HEADER.pack(1, 0) + b"hello"),
        _text(End(index=1, size=5, hash=_HASH)),
    ]
    names = [Entry(path=path, size=1) for path in ("x", "x", "X", "x (2)", "CON", "a.", "b\u202e")]
    bad = [{"path": path, "size": 1} for path in ("../x", "/x", "C:\\x", "a//b", "a\\..\\b")]
    return [
        join([*offer, *files, _text(Finish())]),
        join([*offer, *files[:2], _text(Failed(code="cancelled", detail="y", path="z"))]),
        join([_text(Entries(names)), _text(Offer(count=7, size=7))]),
        *(
            join(
                [
                    b"\0" + json.dumps({"type": "entries", "entries": [entry]}).encode(),
                    _text(Offer(count=1, size=1)),
                ]
            )
            for entry in bad
        ),
        join([_text(Offer(count=0, size=0)), _text(Finish())]),
    ]


TARGET = Target(
    name="transfer-receiver",
    seeds=seeds,
    tokens=(
        b'"type":"',
        *(
            b'"%s"' % kind
            for kind in (b"entries", b"offer", b"begin", b"end", b"finish", b"failed")
        ),
        b'"folder":true,',
        b'"size":',
        b"9007199254740992",
        b"-1",
        b"1e3",
        b"null",
        b"[[[[[[[[",
        b"\\ud800",
        b"\\u0000",
        b"\\u202e",
        b"../",
        b"/",
        b"\\\\",
        b"C:\\\\",
        b"CON",
        b".",
        b" ",
    ),
    documented=(),
    start=start,
)
