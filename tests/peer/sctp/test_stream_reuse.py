"""A channel's stream identifier is used again, whatever the network does to the answers."""

from collections.abc import Callable

import pytest
from aiortc import RTCDataChannel

from icefloe.peer import ClosedBy, DataChannel
from icefloe.peer._aiortc import DtlsTransport, SctpTransport
from icefloe.peer.sctp.inbound import Arrival
from icefloe.peer.sctp.outbound import Message
from icefloe.peer.sctp.packet import HEADER, Header, Kind, Parameter, chunks, parameters
from icefloe.peer.sctp.states import StreamsReset
from tests.helpers.pairs import closing, make, negotiate, opened, until
from tests.helpers.sctp import Link, World


def answers_a_reset(packet: bytes) -> bool:
    """Return whether a packet says that a reset was carried out (RFC 6525 section 4.4)."""
    return any(
        parameter == Parameter.RESET_RESPONSE
        for kind, _, body in chunks(packet)
        if kind == Kind.RE_CONFIG
        for parameter, _ in parameters(body)
    )


def has_data(packet: bytes) -> bool:
    return any(kind in (Kind.DATA, Kind.I_DATA) for kind, _, _ in chunks(packet))


@pytest.mark.parametrize("fate", ["lost", "late"])
async def test_a_stream_is_used_again_before_the_other_side_knows_that_it_is_free(
    fate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the reset from there is lost, or comes together with the OPEN."""
    a, b = make("icefloe"), make("icefloe")
    made: list[RTCDataChannel] = []
    got: list[str] = []

    def on_channel(channel: RTCDataChannel) -> None:
        made.append(channel)
        channel.on("message", got.append)
        channel.send(f"welcome to {channel.label}")

    b.on("datachannel", on_channel)
    async with closing(a, b):
        channel = a.createDataChannel("first")
        kept = a.createDataChannel("kept")
        await negotiate(a, b)
        await opened(channel)
        channel.send("hello")
        here, there = a.sctp, b.sctp
        assert isinstance(here, SctpTransport) and isinstance(there, SctpTransport)
        link = here.transport
        assert isinstance(link, DtlsTransport)
        transmit: Callable[[list[bytes]], None] = link.send_all
        held: list[bytes] = []
        lost: list[bytes] = []

        def carry(packets: list[bytes]) -> None:
            for packet in packets:
                if fate == "lost" and not lost and answers_a_reset(packet):
                    lost.append(packet)
                elif fate == "late" and (held or answers_a_reset(packet)):
                    held.append(packet)
                else:
                    transmit([packet])
            if any(map(has_data, held)):
                # All in one turn of the event loop.
                for packet in held:
                    there.shell.receive(packet)
                held.clear()
                monkeypatch.setattr(link, "send_all", transmit)

        monkeypatch.setattr(link, "send_all", carry)
        channel.close()
        await until(channel, "close", lambda: channel.readyState == "closed")
        again = a.createDataChannel("again")
        welcome: list[str] = []
        again.on("message", welcome.append)
        await opened(again)
        assert again.id == channel.id
        again.send("hello again")
        await until(again, "message", lambda: bool(welcome))
        assert welcome == ["welcome to again"]
        other = made[-1]
        await until(other, "message", lambda: "hello again" in got)
        assert [c.label for c in made] == ["first", "kept", "again"]
        assert made[0].readyState == "closed" and other.readyState == "open"
        # Once the answers have been exchanged, all goes on as before.
        again.close()
        await until(again, "close", lambda: again.readyState == "closed")
        await until(other, "close", lambda: other.readyState == "closed")
        assert kept.readyState == "open"
        third = a.createDataChannel("third")
        await opened(third)
        assert third.id == channel.id


async def test_a_closed_channel_ends_before_the_next_one_comes() -> None:
    """A program that takes one channel at a time is told in the order in which it was done."""
    a, b = make("icefloe"), make("icefloe")
    wrapped: list[DataChannel] = []
    before: list[bool] = []

    def on_channel(channel: RTCDataChannel) -> None:
        before.append(all(earlier.closed for earlier in wrapped))
        wrapped.append(DataChannel(channel))

    b.on("datachannel", on_channel)
    async with closing(a, b):
        channel = a.createDataChannel("first")
        await negotiate(a, b)
        await opened(channel)
        for number in range(5):
            channel.send(f"the last word {number}")
            channel.close()
            channel = a.createDataChannel(f"next {number}")  # before anything could leave
            await opened(channel)
            assert [message async for message in wrapped[-2]] == [f"the last word {number}"]
            assert wrapped[-2].closed_by is ClosedBy.THEM
        assert before == [True] * 6


@pytest.mark.parametrize("together", [False, True], ids=["two packets", "one packet"])
def test_a_reset_is_told_before_the_messages_that_were_sent_after_it(together: bool) -> None:
    world = World()
    a, b = world.pair(Link())
    world.connect(a, b)
    world.send(a, b"in time", stream=0)
    world.run(1.0)
    a.association.reset(0)
    a.association.send(Message(2, 53, b"afterwards"))
    packets = a.association.take_datagrams(world.now)
    kinds = [kind for packet in packets for kind, _, _ in chunks(packet)]
    assert kinds.index(Kind.RE_CONFIG) < kinds.index(Kind.I_DATA)
    if together:
        body = b"".join(packet[HEADER:] for packet in packets)
        tag = int.from_bytes(packets[0][4:8], "big")
        packets = [Header(5000, 5000, tag).seal(body)]
    for packet in packets:
        b.association.receive(packet, world.now)
    assert b.association.poll_event() == StreamsReset((0,))
    assert b.association.poll_event() == Arrival(2, 53, b"afterwards")
    assert b.association.poll_event() is None
