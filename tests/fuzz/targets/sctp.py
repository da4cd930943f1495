"""An SCTP association, in all of its states, and the packets that its peer makes up.

An input is a byte that says how the association begins, and then steps. The first byte of each says
what comes before it (time, messages of this side) and how its packet is sealed: the tag and the
checksum are right in most, so that the fuzzer gets past them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from icefloe.peer.sctp.association import Association
from icefloe.peer.sctp.handshake import Cookies, Peer, init
from icefloe.peer.sctp.outbound import Message
from icefloe.peer.sctp.packet import (
    FIRST,
    IMMEDIATE,
    LAST,
    UNORDERED,
    Header,
    Init,
    Kind,
    Parameter,
    chunk,
    data_header,
    encode_forward_tsn,
    encode_i_forward_tsn,
    encode_parameters,
    encode_sack,
    i_data_header,
    padding,
)
from icefloe.peer.sctp.states import Settings, State
from tests.fuzz.target import Target, join, split

PEER_TAG, OWN_TAG = 0xAAAA0001, 0xBBBB0001
PEER_TSN, OWN_TSN = 1000, 5000
LARGEST = 16384
"""Bytes of a packet at most: those of a DTLS record."""

INTERLEAVES, SHUTS_DOWN, IS_SMALL = 1, 2, 4
"""Bits of the first byte: I-DATA is understood; a SHUTDOWN came; the window is small."""
BEGINNINGS = 8
"""Its next three bits: 0 to 3 is established, otherwise how far the handshake is."""

RAW, INIT_TAG, SENDS, SENDS_LOSSY, RESETS, PATH_CHANGES, LATER, MUCH_LATER = (
    1 << bit for bit in range(8)
)
"""Bits of a step: the packet is taken as it is; it has the tag of an INIT; before it this side
sends, sends what may expire, resets a stream, has another path; a while passes, or a long one."""

_SECRET = b"secret of cookies"
_NOW = 1000.0
_sealed = Header(5000, 5000, OWN_TAG).seal
_sealed_init = Header(5000, 5000, 0).seal


def _peer(*, interleaves: bool) -> Init:
    body = init(PEER_TAG, PEER_TSN, 1 << 20, interleaves=interleaves)
    return Init.decode(body)


def _cookie(*, interleaves: bool) -> bytes:
    return Cookies(_SECRET).make(Peer.from_init(_peer(interleaves=interleaves)), _NOW)


_COOKIE_ECHOES = {
    interleaves: _sealed(chunk(Kind.COOKIE_ECHO, 0, _cookie(interleaves=interleaves)))
    for interleaves in (False, True)
}
_INIT_ACK = _sealed(
    chunk(
        Kind.INIT_ACK,
        0,
        init(PEER_TAG, PEER_TSN, 1 << 20, interleaves=True, cookie=b"a cookie of the peer"),
    )
)


def begun(first: int) -> Association:
    """Return an association that has come as far as a first byte says."""
    interleaves = bool(first & INTERLEAVES)
    association = Association(
        Settings(
            tag=OWN_TAG,
            tsn=OWN_TSN,
            secret=_SECRET,
            interleaves=interleaves,
            window=64 * 1024 if first & IS_SMALL else 8 * 1024 * 1024,
        )
    )
    beginning = first // BEGINNINGS & 7
    if beginning != 7:
        association.connect(_NOW)
    if beginning == 6:
        association.receive(_INIT_ACK, _NOW)
    if beginning <= 3:
        association.receive(_COOKIE_ECHOES[interleaves], _NOW)
        assert association.state is State.ESTABLISHED
    if first & SHUTS_DOWN:
        association.receive(_sealed(chunk(Kind.SHUTDOWN, 0, bytes(4))), _NOW)
    _settle(association, _NOW)
    return association


def _settle(association: Association, now: float) -> None:
    """Take all that came out of it, as whoever drives it does."""
    association.take_datagrams(now)
    association.take_probe()
    while association.poll_event() is not None:
        pass
    association.poll_changes()


def _step(association: Association, part: bytes, now: float) -> float:
    how, body = part[0], part[1 : LARGEST + 1]
    if how & LATER:
        now += 0.05
    if how & MUCH_LATER:
        now += 3.0
    if now >= association.deadline:
        association.handle_timeout(now)
    if how & SENDS:
        for stream, size in ((0, 40), (1, 3000)):
            association.send(Message(stream, 53, bytes(size)))
    if how & SENDS_LOSSY:
        association.send(Message(2, 53, bytes(900), ordered=False, max_retransmits=0))
        association.send(Message(3, 53, bytes(3000), expires=now + 0.02))
    if how & RESETS:
        association.reset(len(body) % 4)
    if how & PATH_CHANGES:
        association.path_changed(now, was_lost=bool(len(body) & 1))
    if how & (SENDS | SENDS_LOSSY | RESETS):
        association.take_datagrams(now)
    if not how & RAW:
        body = (_sealed_init if how & INIT_TAG else _sealed)(body)
    association.receive(body, now)
    _settle(association, now)
    return now


@contextmanager
def start() -> Iterator[Callable[[bytes], object]]:
    """Yield what gives one input to a fresh association."""

    def run(data: bytes) -> State:
        beginning, *parts = split(data) or [b""]
        association, now = begun(beginning[0] if beginning else 0), _NOW
        for part in parts:
            if part:
                now = _step(association, part, now)
        return association.state

    yield run


# --- seeds


def data(tsn: int, stream: int, number: int, body: bytes, flags: int = FIRST | LAST) -> bytes:
    """Return a DATA chunk whose TSN is so many after the peer's first."""
    told = PEER_TSN + tsn & 0xFFFFFFFF
    fields = data_header.pack(Kind.DATA, flags, 16 + len(body), told, stream, number, 53)
    return fields + body + padding(len(body))


def i_data(
    tsn: int, stream: int, number: int, index: int, body: bytes, flags: int = FIRST | LAST
) -> bytes:
    """Return an I-DATA chunk, likewise; the index is a payload protocol in a first fragment."""
    told = PEER_TSN + tsn & 0xFFFFFFFF
    fields = (Kind.I_DATA, flags, 20 + len(body), told, stream, 0, number, index)
    return i_data_header.pack(*fields) + body + padding(len(body))


def reset(number: int, last: int, *streams: int) -> bytes:
    """Return a request of the peer to reset streams (RFC 6525 section 4.1)."""
    fields = (PEER_TSN + number, OWN_TSN - 1, PEER_TSN + last)
    content = b"".join(field.to_bytes(4, "big") for field in fields)
    content += b"".join(stream.to_bytes(2, "big") for stream in streams)
    parameter = (Parameter.OUTGOING_RESET_REQUEST, content)
    return chunk(Kind.RE_CONFIG, 0, encode_parameters([parameter]))


def steps(first: int, *parts: tuple[int, bytes]) -> bytes:
    """Return an input."""
    return join([bytes([first]), *(bytes([how]) + body for how, body in parts)])


def seeds() -> Sequence[bytes]:
    """Return valid conversations, of each kind of chunk and in each state."""
    plain, inter = 0, INTERLEAVES
    own = OWN_TSN
    peer_init = init(PEER_TAG, PEER_TSN, 1 << 20, interleaves=True)
    answer = (own - 1, 0)
    performed = b"".join(field.to_bytes(4, "big") for field in (own, 1))
    response = chunk(Kind.RE_CONFIG, 0, encode_parameters([(Parameter.RESET_RESPONSE, performed)]))
    heartbeat = encode_parameters([(Parameter.HEARTBEAT_INFO, b"\0\0\x05\x98")])
    return [
        steps(plain, *((0, data(n, 1, n, b"hello")) for n in range(4))),
        steps(
            plain,
            (0, data(0, 1, 0, b"a" * 1000, FIRST) + data(2, 1, 0, b"c", LAST)),
            (0, data(1, 1, 0, b"b" * 1000, 0) + data(5, 2, 1, b"early")),
            (0, data(4, 2, 0, b"x", FIRST | LAST | UNORDERED | IMMEDIATE)),
            (0, encode_forward_tsn(PEER_TSN + 3, [(2, 0), (1, 0)])),
        ),
        steps(
            inter,
            (0, i_data(0, 1, 0, 53, b"a" * 500, FIRST) + i_data(1, 2, 0, 53, b"b", FIRST)),
            (0, i_data(3, 2, 0, 1, b"d", LAST) + i_data(2, 1, 0, 1, b"c", LAST)),
            (0, i_data(4, 3, 7, 53, b"u", FIRST | LAST | UNORDERED)),
            (0, i_data(5, 1, 3, 53, b"early") + i_data(7, 1, 2, 2, b"early", LAST)),
            (0, encode_i_forward_tsn(PEER_TSN + 9, [(1, False, 4), (3, True, 9)])),
        ),
        steps(
            plain,
            (SENDS, encode_sack(own - 1, 1 << 20, [], [])),
            (SENDS, encode_sack(own, 1 << 20, [(2, 3), (5, 5)], [own])),
            (LATER, encode_sack(own + 2, 0, [(2, 2)], [])),
            (MUCH_LATER, encode_sack(own + 3, 1 << 20, [], [own + 1, own + 2])),
            (SENDS_LOSSY | LATER, encode_sack(own + 3, 5000, [(3, 4)], [])),
            (PATH_CHANGES, encode_sack(own + 4, 1 << 20, [], [])),
        ),
        steps(
            inter,
            (SENDS_LOSSY, encode_sack(*answer, [(2, 2)], [])),
            (MUCH_LATER, encode_sack(own + 1, 1 << 16, [], [])),
            (RESETS, response),
            (0, reset(0, -1, 1, 2) + i_data(0, 1, 0, 53, b"anew")),
            (0, reset(1, 4, 1)),
            (0, reset(0, -1, 1, 2)),
        ),
        steps(
            plain,
            (0, chunk(Kind.HEARTBEAT, 0, heartbeat) + chunk(Kind.HEARTBEAT_ACK, 0, heartbeat)),
            (0, chunk(Kind.ERROR, 0, encode_parameters([(3, bytes(4)), (9, bytes(4))]))),
            (0, chunk(Kind.PAD, 0, bytes(40)) + chunk(Kind.COOKIE_ACK, 0, b"")),
            (0, chunk(Kind.COOKIE_ECHO, 0, _cookie(interleaves=False))),
            (0, chunk(Kind.SHUTDOWN, 0, bytes(4)) + chunk(Kind.SHUTDOWN_COMPLETE, 0, b"")),
        ),
        steps(plain, (SENDS, chunk(Kind.ABORT, 0, b"")), (0, data(0, 0, 0, b"late"))),
        steps(plain, (INIT_TAG, chunk(Kind.INIT, 0, peer_init)), (RAW, _COOKIE_ECHOES[False])),
        *(
            steps(
                beginning * BEGINNINGS | INTERLEAVES,
                (INIT_TAG, chunk(Kind.INIT, 0, peer_init)),
                (RAW, _INIT_ACK),
                (LATER, chunk(Kind.ERROR, 0, encode_parameters([(3, bytes(4))]))),
                (RAW, _COOKIE_ECHOES[True]),
                (MUCH_LATER, chunk(Kind.COOKIE_ACK, 0, b"")),
                (0, i_data(0, 0, 0, 53, b"hello")),
            )
            for beginning in range(4, 8)
        ),
        steps(SHUTS_DOWN, (SENDS, chunk(Kind.SHUTDOWN_COMPLETE, 0, b""))),
        steps(IS_SMALL, *((0, data(n, 0, 0, bytes(1200), 0)) for n in range(1, 12))),
    ]


TARGET = Target(
    name="sctp",
    seeds=seeds,
    tokens=(
        *(bytes([kind, 3]) for kind in Kind),
        *(int(kind).to_bytes(2, "big") for kind in Parameter),
        b"\0\0\x03\xe8",  # the peer's first TSN
        b"\0\0\x03\xe7",
        b"\0\0\x13\x88",  # this side's
        b"\0\0\x13\x87",
        b"\xff\xff\xff\xff",
        b"\x7f\xff\xff\xff",
        b"\0\0\0\0",
        b"\xff\xff",
        b"\0\x04",
        b"\0\x10",
        b"\0\x14",
    ),
    documented=(),
    start=start,
)
