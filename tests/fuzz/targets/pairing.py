"""Pairing by a short code: what anybody in the room says, in JSON, and descriptions of peers.

An input is a sequence of messages as signaling hands them on; one that begins with a letter other
than ``{`` is a description, whose fingerprints are compared with those that were signed.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from zlib import crc32

import msgspec

from icefloe.peer.pairing.attempts import Attempt, Attempts
from icefloe.peer.pairing.errors import WrongPairingCode
from icefloe.peer.pairing.key_exchange import (
    Confirm,
    Fingerprints,
    Pairing,
    PairingCode,
    PairingSide,
    Pake,
    Refused,
    decode,
    encode,
)
from tests.fuzz.target import Target, join, split

COMPUTED = 64
"""One half in so many is computed with, chosen by what it is: each costs milliseconds."""

_CODE = PairingCode.parse("7-amber-falcon")
_SDP = "v=0\r\na=fingerprint:sha-256 " + ":".join(["AB"] * 32) + "\r\n"


def _listen(begun: tuple[Pairing, Pairing], data: bytes) -> bool:
    """Hear what is said; ``begun`` is a sender and a receiver that have each other's key."""
    sender, receiver = begun
    attempts, signed, now = Attempts(), None, 1000.0
    for part in split(data):
        if part[:1] != b"{":
            sender.verify(signed, part.decode("utf-8", "replace"))
            continue
        try:
            saying = decode(msgspec.json.decode(part))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # signaling takes none such
        match saying:
            case Pake():
                now += 1.0
                if attempts.add(Attempt(str(part[-1] % 4), saying)):
                    attempts.next(now)
                if crc32(part) % COMPUTED == 0:
                    _compute(saying)
            case Confirm():
                for one in (sender, receiver):
                    with suppress(WrongPairingCode):
                        one.check(saying)
            case Fingerprints():
                signed = saying
            case Refused():
                encode(saying)
        attempts.queue_message("1", saying)
    return sender.verify(signed, _SDP)


def _compute(half: Pake) -> None:
    pairing = Pairing(_CODE, PairingSide.SENDER)
    try:
        pairing.receive(half)
    except WrongPairingCode:
        return
    assert pairing.has_key


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what hears what is said in one room."""
    begun = _paired()
    yield lambda data: _listen(begun, data)


def _paired() -> tuple[Pairing, Pairing]:
    sender, receiver = Pairing(_CODE, PairingSide.SENDER), Pairing(_CODE, PairingSide.RECEIVER)
    sender.receive(receiver.pake)
    receiver.receive(sender.pake)
    return sender, receiver


def seeds() -> Sequence[bytes]:
    """Return exchanges that go well, and what a description may have of fingerprints."""
    _, receiver = _paired()
    half, confirm, signed = receiver.pake, receiver.confirmation, receiver.sign(_SDP)
    told = [json.dumps(encode(one)).encode() for one in (half, confirm, signed)]
    refused = [
        json.dumps(encode(Refused(reason))).encode()
        for reason in ("wrong-code", "used-up", "fingerprints", "busy")
    ]
    bad = [Pake("00" * 33), Pake("53" + "ff" * 32), Pake("ab"), Pake("52" + "00" * 32)]
    line = "a=fingerprint:sha-256 "
    descriptions = [
        _SDP,
        line + "AB:CD\n" + line.upper() + "ab:cd",
        "a=fingerprint:" + "sha-" * 100 + " A" * 100,
        line + "AB:" * 3000,
    ]
    return [
        join([*told, _SDP.encode()]),
        join(refused),
        join(json.dumps(encode(one)).encode() for one in bad),
        join(one.encode() for one in descriptions),
        join([told[0]] * 20),
    ]


TARGET = Target(
    name="pairing",
    seeds=seeds,
    tokens=(
        *(b'"pairing":"%s"' % kind for kind in (b"pake", b"confirm", b"fingerprints", b"refused")),
        b'"data":"',
        b'"mac":"',
        b"a=fingerprint:sha-256 ",
        b"fingerprint",
        b":AB",
        b"\r\n",
        b"\xe2\x80\xa8",
        b"{",
        b"[[[[",
        b"\\u0000",
    ),
    documented=(),
    start=start,
)
