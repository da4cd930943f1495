"""Attacks of a peer with SCTP and data channels."""

import random
import struct
from itertools import count

from icefloe.peer.sctp import dcep
from icefloe.peer.sctp.packet import (
    FIRST,
    LAST,
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
from tests.bench.hostility.means import Means, attack

_WINDOW = 1 << 20
_BODY = bytes(1100)


def _data(tsn: int, flags: int, body: bytes, *, stream: int = 1, ssn: int = 0) -> bytes:
    head = (Kind.DATA, flags, 16 + len(body), tsn & 0xFFFFFFFF, stream, ssn & 0xFFFF, 53)
    return data_header.pack(*head) + body + padding(len(body))


def _i_data(
    tsn: int, flags: int, body: bytes, *, stream: int = 1, mid: int = 0, x: int = 53
) -> bytes:
    head = (Kind.I_DATA, flags, 20 + len(body), tsn & 0xFFFFFFFF, stream, 0, mid & 0xFFFFFFFF, x)
    return i_data_header.pack(*head) + body + padding(len(body))


def _next(means: Means) -> int:
    """Return the next TSN, after which the peer's own stack sends nothing."""
    means.go_deaf()
    sender = means.association.sender
    assert sender is not None
    return sender.recovery.next_tsn


def _acknowledged(means: Means) -> int:
    sender = means.association._receiver
    return sender.cumulative & 0xFFFFFFFF


@attack
async def gap_blocks_without_end(means: Means) -> None:
    """SACKs whose gap blocks overlap, again and again, and take back what they said."""
    means.go_deaf()
    while await means.goes_on():
        tsn = _acknowledged(means)
        gaps = encode_sack(tsn, _WINDOW, [(1, 65535)] * 300 + [(1, 1)], [])
        means.chunks(*[gaps + encode_sack(tsn, _WINDOW, [], [])] * 20)


@attack
async def gaps_that_come_and_go(means: Means) -> None:
    """Acknowledges all that is under way but the first, and takes it back, in turn."""
    means.go_deaf()
    while await means.goes_on():
        tsn = _acknowledged(means)
        means.chunks(*[encode_sack(tsn, _WINDOW, [(2, 2000)], []), encode_sack(tsn, 0, [], [])] * 5)


@attack
async def a_message_that_never_ends(means: Means) -> None:
    """Fragments of one message, as many as there is time for."""
    tsn, number = _next(means), count()
    while await means.goes_on():
        parts = [next(number) for _ in range(20)]
        means.chunks(*(_i_data(tsn + n, 0 if n else FIRST, _BODY, mid=7, x=n or 53) for n in parts))


@attack
async def messages_that_never_end(means: Means) -> None:
    """The begin of a large message on each stream."""
    tsn, number = _next(means), count()
    while await means.goes_on():
        for n in (next(number) for _ in range(20)):
            stream, part = n % 30_000, n // 30_000
            means.chunks(
                _i_data(
                    tsn + n, 0 if part else FIRST, _BODY, stream=stream, mid=1 << 20, x=part or 53
                )
            )


@attack
async def tiny_fragments(means: Means) -> None:
    """Fragments of a byte, each of a message of its own."""
    tsn, number, some = _next(means), count(), [0]
    while await means.goes_on():
        for _ in range(10):
            some = [next(number) for _ in range(50)]
            means.chunks(
                b"".join(_i_data(tsn + n, FIRST, b"x", stream=n % 60_000, mid=n) for n in some)
            )


@attack
async def fragments_with_gaps(means: Means) -> None:
    """Fragments of a byte, at every other TSN, in packets that are as large as they can be."""
    tsn, number = _next(means), count()
    while await means.goes_on():
        for _ in range(4):
            some = [next(number) for _ in range(600)]
            means.chunks(b"".join(_data(tsn + 2 * n, 0, b"x") for n in some))


@attack
async def skipping_what_is_held(means: Means) -> None:
    """FORWARD TSN and I-FORWARD-TSN over tens of thousands of fragments."""
    tsn, number, some = _next(means), count(), [0]
    while await means.goes_on():
        for _ in range(10):
            some = [next(number) for _ in range(50)]
            means.chunks(b"".join(_i_data(tsn + n, FIRST, b"x", stream=n % 60_000) for n in some))
        last = tsn + some[0]
        skips = [(65000, False, 0)] * 140
        means.chunks(
            encode_i_forward_tsn(last & 0xFFFFFFFF, skips),
            b"".join(encode_forward_tsn(last + n & 0xFFFFFFFF, []) for n in range(140)),
        )


@attack
async def resets_of_streams(means: Means) -> None:
    """RE-CONFIG with hundreds of streams each."""
    _next(means)
    number = count(means.association.sender.recovery.next_tsn)  # type: ignore[union-attr]
    while await means.goes_on():
        for _ in range(20):
            body = struct.pack("!LLL", next(number) & 0xFFFFFFFF, 0, 0)
            body += struct.pack("!690H", *random.sample(range(65535), 690))
            request = encode_parameters([(Parameter.OUTGOING_RESET_REQUEST, body)])
            means.chunks(chunk(Kind.RE_CONFIG, 0, request))


@attack
async def answers_to_everything(means: Means) -> None:
    """HEARTBEATs, INITs, COOKIE-ECHOs and chunks that there are none of."""
    means.go_deaf()
    beat = chunk(Kind.HEARTBEAT, 0, encode_parameters([(1, bytes(1000))]))
    unknown = chunk(0xC7, 0, bytes(8))
    echo = chunk(Kind.COOKIE_ECHO, 0, bytes(200))
    while await means.goes_on():
        means.chunks(*[beat] * 20, *[unknown * 90] * 20, *[echo] * 5)


@attack
async def channels_without_end(means: Means) -> None:
    """Opens a channel on each stream."""
    message = dcep.Open("x", "").encode()
    for id in range(65535):
        if means.sctp.state != "connected" or (not id % 50 and not await means.goes_on()):
            return
        means.sctp.shell.channels.send_raw(id, dcep.Protocol.DCEP, message)
        means.sent += 1


@attack
async def long_labels(means: Means) -> None:
    """Opens channels with labels of 64 kB."""
    message = dcep.Open("x" * 65_000, "").encode()
    for id in range(65535):
        while means.association.queue.size > 2_000_000 and await means.goes_on():
            pass
        if means.sctp.state != "connected" or not await means.goes_on():
            return
        means.sctp.shell.channels.send_raw(id, dcep.Protocol.DCEP, message)
        means.sent += 1


@attack
async def opening_and_closing(means: Means) -> None:
    """Opens channels and closes them, as fast as that goes."""
    while await means.goes_on():
        if means.connection.connectionState != "connected":
            return
        channels = [means.connection.createDataChannel("x") for _ in range(20)]
        means.sent += 20
        while await means.goes_on():
            if all(channel.readyState != "connecting" for channel in channels):
                break
        for channel in channels:
            channel.close()


@attack
async def malformed_channel_messages(means: Means) -> None:
    """DCEP messages that are none, and text that is no UTF-8."""
    id = next(iter(means.sctp.channels)).id or 0
    while await means.goes_on():
        if means.sctp.state != "connected":
            return
        if means.association.queue.size < 200_000:
            for protocol, data in ((50, b"\xff"), (50, b"\x03"), (51, b"\xff\xfe"), (999, b"x")):
                means.sctp.shell.channels.send_raw(id, protocol, data)
                means.sent += 1


@attack
async def many_messages_at_once(means: Means) -> None:
    """Messages of a byte, as fast as they go, on a stream that nobody opened and on one."""
    tsn, number, some = _next(means), count(), [0]
    while await means.goes_on():
        for _ in range(10):
            some = [next(number) for _ in range(50)]
            means.chunks(
                b"".join(_i_data(tsn + n, FIRST | LAST, b"x", stream=1, mid=n) for n in some)
            )


@attack
async def large_packets_of_tiny_messages(means: Means) -> None:
    """Packets of 16 kB with hundreds of messages each, which IP puts together."""
    tsn, number = _next(means), count()
    while await means.goes_on():
        for _ in range(4):
            some = [next(number) for _ in range(600)]
            means.chunks(
                b"".join(_i_data(tsn + n, FIRST | LAST, b"x", stream=n % 2, mid=n) for n in some)
            )
