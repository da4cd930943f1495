"""Data channels that cannot be: refused at the call, and none holds up another."""

import asyncio
import logging
import struct
from typing import Any

import pytest
from aiortc import RTCDataChannel, RTCDataChannelParameters, RTCSctpTransport
from aiortc.exceptions import OperationError

from icefloe.peer import (
    ChannelClosed,
    ChannelUnavailable,
    ClosedBy,
    DataChannel,
    InvalidChannel,
    InvalidMessage,
    PeerConnection,
    RequestFailed,
)
from icefloe.peer._aiortc import SctpTransport
from icefloe.peer.sctp import options
from tests.helpers.pairs import closing, make, negotiate, opened, until

HALF = "\ud83d"
"""Half a surrogate pair, as it comes out of a text that was cut in JavaScript."""

IMPOSSIBLE: dict[str, tuple[Any, dict[str, Any], str]] = {
    "half a pair": (HALF, {}, "label"),
    "the other half": ("chat \udc00", {}, "label"),
    "the halves in the wrong order": ("\udc00\ud83d", {}, "label"),
    "65,536 bytes": ("x" * 65536, {}, "label"),
    "65,537 bytes of few characters": ("é" * 32768 + "x", {}, "label"),
    "no text": (None, {}, "label"),
    "bytes": (b"chat", {}, "label"),
    "a number": (7, {}, "label"),
    "a protocol of half a pair": ("x", {"protocol": HALF}, "protocol"),
    "a protocol of 65,536 bytes": ("x", {"protocol": "p" * 65536}, "protocol"),
    "no protocol": ("x", {"protocol": None}, "protocol"),
    "negative retransmissions": ("x", {"maxRetransmits": -1}, "maxRetransmits"),
    "65,536 retransmissions": ("x", {"maxRetransmits": 65536}, "maxRetransmits"),
    "2**40 retransmissions": ("x", {"maxRetransmits": 2**40}, "maxRetransmits"),
    "half a retransmission": ("x", {"maxRetransmits": 0.5}, "maxRetransmits"),
    "no number of retransmissions": ("x", {"maxRetransmits": "3"}, "maxRetransmits"),
    "True retransmissions": ("x", {"maxRetransmits": True}, "maxRetransmits"),
    "a negative lifetime": ("x", {"maxPacketLifeTime": -1}, "maxPacketLifeTime"),
    "a lifetime of 65,536": ("x", {"maxPacketLifeTime": 65536}, "maxPacketLifeTime"),
    "a lifetime that is none": ("x", {"maxPacketLifeTime": float("nan")}, "maxPacketLifeTime"),
    "two lifetimes": ("x", {"maxPacketLifeTime": 0, "maxRetransmits": 0}, "maxRetransmits"),
    "negotiated without an id": ("x", {"negotiated": True}, "id"),
    "a negative id": ("x", {"negotiated": True, "id": -1}, "id"),
    "the id 65,535": ("x", {"negotiated": True, "id": 65535}, "id"),
    "the id 65,535 of its own": ("x", {"id": 65535}, "id"),
    "the id True": ("x", {"negotiated": True, "id": True}, "id"),
    "an id that is a text": ("x", {"negotiated": True, "id": "1"}, "id"),
}


@pytest.mark.parametrize("what", IMPOSSIBLE)
async def test_what_cannot_be_is_refused_and_leaves_nothing_behind(what: str) -> None:
    label, given, field = IMPOSSIBLE[what]
    connection = PeerConnection()
    async with closing(connection):
        with pytest.raises(InvalidChannel) as caught:
            connection.createDataChannel(label, **given)
        assert isinstance(caught.value, TypeError) and isinstance(caught.value, ValueError)
        assert caught.value.field == field
        assert len(str(caught.value)) < 300
        str(caught.value).encode()
        assert connection.sctp is None
        offer = await connection.createOffer()
        assert "m=application" not in offer.sdp


@pytest.mark.parametrize("wanted", ["before", "after"])
async def test_one_that_is_refused_holds_up_no_other(wanted: str) -> None:
    a, b = make("icefloe"), make("icefloe")
    made: list[str] = []
    b.on("datachannel", lambda channel: made.append(channel.label))
    async with closing(a, b):
        first = a.createDataChannel("first")
        if wanted == "after":
            await negotiate(a, b)
            await opened(first)
        for label, given, _ in IMPOSSIBLE.values():
            with pytest.raises(InvalidChannel):
                a.createDataChannel(label, **given)
        last = a.createDataChannel("last")
        if wanted == "before":
            await negotiate(a, b)
        await opened(last)
        await until(b, "datachannel", lambda: len(made) == 2)
        assert made == ["first", "last"]


async def test_the_largest_of_all_that_may_be_are_taken() -> None:
    a, b = make("icefloe"), make("icefloe")
    made: list[RTCDataChannel] = []
    b.on("datachannel", made.append)
    async with closing(a, b):
        text = "é" * 32767 + "x"
        channel = a.createDataChannel(text, protocol=text, maxRetransmits=65535)
        timed = a.createDataChannel("", maxPacketLifeTime=65535, ordered=False)
        await negotiate(a, b)
        await opened(channel)
        await opened(timed)
        await until(b, "datachannel", lambda: len(made) == 2)
        second, whole = sorted(made, key=lambda channel: len(channel.label))
        assert (whole.label, whole.protocol, whole.maxRetransmits) == (text, text, 65535)
        assert (second.label, second.maxPacketLifeTime, second.ordered) == ("", 65535, False)


async def test_a_channel_made_past_the_connection_is_looked_at_too() -> None:
    a, b = make("icefloe"), make("icefloe")
    async with closing(a, b):
        first = a.createDataChannel("first")
        await negotiate(a, b)
        await opened(first)
        assert isinstance(a.sctp, RTCSctpTransport)
        with pytest.raises(InvalidChannel):
            RTCDataChannel(a.sctp, RTCDataChannelParameters(label=HALF))
        last = RTCDataChannel(a.sctp, RTCDataChannelParameters(label="last"))
        await opened(last)


async def test_an_id_that_is_used_or_beyond_the_streams_is_refused() -> None:
    a, b = make("icefloe"), make("icefloe")
    async with closing(a, b):
        first = a.createDataChannel("first", negotiated=True, id=7)
        with pytest.raises(ChannelUnavailable, match="another channel") as caught:
            a.createDataChannel("second", negotiated=True, id=7)
        assert isinstance(caught.value, OperationError | ValueError)
        b.createDataChannel("first", negotiated=True, id=7)
        await negotiate(a, b)
        await opened(first)
        with pytest.raises(OperationError):
            a.createDataChannel("second", id=7)
        with pytest.raises(ValueError, match="give either"):
            options.check("x", max_retransmits=1, max_packet_life_time=1)


async def test_streams_that_the_other_side_does_not_have_close_their_channel_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("icefloe.peer.sctp.handshake.MAX_STREAMS", 4)
    a, b = make("icefloe"), make("icefloe")
    caplog.set_level(logging.WARNING, "icefloe.peer")
    async with closing(a, b):
        beyond = DataChannel(a.createDataChannel("beyond", negotiated=True, id=4))
        made = [DataChannel(a.createDataChannel(f"channel {n}")) for n in range(4)]
        await negotiate(a, b)
        for channel in made[:2]:
            await channel.opened()
        for channel in (beyond, *made[2:]):
            with pytest.raises(ChannelUnavailable):
                await channel.opened()
            with pytest.raises(ChannelUnavailable):
                await channel.send("x")
            assert channel.closed
        assert len([r for r in caplog.records if "is closed" in r.message]) == 3
        with pytest.raises(ChannelUnavailable, match="4 streams"):
            a.createDataChannel("beyond", negotiated=True, id=4)
        with pytest.raises(ChannelUnavailable, match="no stream is left"):
            a.createDataChannel("one too many")
        made[0].close()
        await until(made[0].channel, "close", lambda: made[0].channel.readyState == "closed")
        await opened(a.createDataChannel("instead"))


@pytest.mark.parametrize("given", [{}, {"negotiated": True, "id": 9}], ids=["new", "negotiated"])
async def test_a_channel_of_an_association_that_is_over_is_closed(given: dict[str, Any]) -> None:
    a, b = make("icefloe"), make("icefloe")
    async with closing(a, b):
        first = a.createDataChannel("first")
        await negotiate(a, b)
        await opened(first)
        assert isinstance(b.sctp, SctpTransport)
        b.sctp.shell.stop()
        await until(first, "close", lambda: first.readyState == "closed")
        late = DataChannel(a.createDataChannel("late", **given))
        with pytest.raises(ChannelClosed) as caught:
            await late.opened()
        assert caught.value.by is ClosedBy.CONNECTION
        assert late.channel.readyState == "closed"


@pytest.mark.parametrize("message", [HALF, "text \udfff", "\udc00\ud83d"])
async def test_a_text_that_has_no_bytes_is_refused_and_the_channel_goes_on(message: str) -> None:
    a, b = make("icefloe"), make("icefloe")
    got: asyncio.Queue[str] = asyncio.Queue()
    b.on("datachannel", lambda channel: channel.on("message", got.put_nowait))
    async with closing(a, b):
        raw = a.createDataChannel("x")
        channel = DataChannel(raw)
        await negotiate(a, b)
        await channel.opened()
        for send in (channel.send, channel.try_send):
            with pytest.raises(InvalidMessage):
                await send(message)  # type: ignore[misc]
        with pytest.raises((InvalidMessage, TypeError)):
            await channel.send_json({"text": message})
        with pytest.raises(ValueError):
            raw.send(message)
        assert raw.bufferedAmount == channel.counts.sent == 0
        await channel.send("still there")
        assert await got.get() == "still there"


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1", None, 2**32])
async def test_a_buffer_is_a_number_of_bytes(value: Any) -> None:
    connection = PeerConnection()
    async with closing(connection):
        channel = connection.createDataChannel("x")
        for field in ("send_buffer", "receive_buffer"):
            with pytest.raises(ValueError, match=field):
                DataChannel(channel, **{field: value})


@pytest.mark.parametrize(
    "message",
    [b'"\xff"', "[" * 100_000, "{", b"\x00", ""],
    ids=["not UTF-8", "too deep", "cut off", "a NUL", "empty"],
)
async def test_json_that_cannot_be_read_is_told_and_the_channel_goes_on(
    message: str | bytes,
) -> None:
    a, b = make("icefloe"), make("icefloe")
    async with closing(a, b):
        raw = a.createDataChannel("x", negotiated=True, id=1)
        near = DataChannel(raw)
        far = DataChannel(b.createDataChannel("x", negotiated=True, id=1))
        asking = DataChannel(a.createDataChannel("asks", negotiated=True, id=2))
        asked = DataChannel(b.createDataChannel("asks", negotiated=True, id=2))
        await negotiate(a, b)
        await asyncio.gather(near.opened(), far.opened(), asking.opened(), asked.opened())
        await near.send(message)
        await near.send_json({"x": 1})
        with pytest.raises(InvalidMessage):
            await far.receive_json()
        assert await far.receive_json() == {"x": 1}

        async def refuse(value: object) -> object:
            raise RequestFailed(HALF, f"no {HALF}")

        serving = asyncio.create_task(asked.serve_requests(refuse))
        await asking.send(message)
        with pytest.raises(RequestFailed) as caught:
            await asking.request("anything")
        assert (caught.value.code, "no ?" in str(caught.value)) == ("?", True)
        with pytest.raises(InvalidMessage):
            await asking.request(HALF)
        asking.close()
        await serving
        await asking.aclose()
        await asked.aclose()


# --- what the other side opens


def an_open(
    kind: int = 0, label: bytes = b"x", protocol: bytes = b"", reliability: int = 0
) -> bytes:
    return (
        struct.pack("!BBHLHH", 3, kind, 0, reliability, len(label), len(protocol))
        + label
        + protocol
    )


UNREADABLE = {
    "cut off": b"\x03",
    "a label that is cut off": an_open(label=b"chat")[:-1],
    "a label that is not UTF-8": an_open(label=b"\xff\xfe"),
    "half a surrogate pair": an_open(label=b"\xed\xa0\xbd"),
    "a protocol that is not UTF-8": an_open(protocol=b"\xff"),
}


@pytest.mark.parametrize("what", UNREADABLE)
async def test_an_open_that_cannot_be_read_is_closed_and_no_other(what: str) -> None:
    a, b = make("icefloe"), make("icefloe")
    made: list[str] = []
    b.on("datachannel", lambda channel: made.append(channel.label))
    async with closing(a, b):
        first = a.createDataChannel("first")
        await negotiate(a, b)
        await opened(first)
        assert isinstance(a.sctp, SctpTransport)
        # This side believes in it, and must learn that there is none.
        bad = RTCDataChannel(a.sctp, RTCDataChannelParameters(label="bad", negotiated=True, id=101))
        a.sctp.shell.channels.send_raw(101, 50, UNREADABLE[what])
        await until(bad, "close", lambda: bad.readyState == "closed")
        again = RTCDataChannel(a.sctp, RTCDataChannelParameters(label="again", id=101))
        await opened(again)
        last = a.createDataChannel("last")
        await opened(last)
        assert made == ["first", "again", "last"]
        assert first.readyState == again.readyState == last.readyState == "open"


@pytest.mark.parametrize("kind", [0x03, 0x04, 0x7F, 0x83, 0xFF])
async def test_a_channel_of_an_unknown_type_is_opened(kind: int) -> None:
    a, b = make("icefloe"), make("icefloe")
    made: list[RTCDataChannel] = []
    b.on("datachannel", made.append)
    async with closing(a, b):
        first = a.createDataChannel("first")
        await negotiate(a, b)
        await opened(first)
        assert isinstance(a.sctp, SctpTransport)
        a.sctp.shell.channels.send_raw(101, 50, an_open(kind, reliability=2**32 - 1))
        await until(b, "datachannel", lambda: len(made) == 2)
        assert made[1].id == 101
        made[1].send("hello")
        again = a.createDataChannel("again")
        await opened(again)
