"""Pairing by a code: who has it, who guesses, and who stands in between."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import example, given, strategies as st
from websockets.asyncio.client import connect as open_websocket
from websockets.asyncio.server import ServerConnection, serve as serve_websocket
from websockets.exceptions import ConnectionClosed

from icefloe.peer.transfer.errors import (
    CodeUsedUp,
    FingerprintMismatch,
    InvalidCode,
    PairingError,
    WrongCode,
)
from icefloe.peer.transfer.meeting import GUESSES, Meeting, meet
from icefloe.peer.transfer.pairing import Code, Pairing, Pake, Side, read, said
from icefloe.peer.transfer.words import WORDS
from icefloe.signaling import SignalingServer, serve

CODE = Code(7, ("amber", "falcon"))
OTHER = Code(7, ("amber", "salmon"))
SDP = "v=0\r\na=fingerprint:sha-256 AB:CD\r\na=fingerprint:sha-384 01:02\r\n"


# --- codes and the exchange, without a network


def test_the_words_are_told_apart() -> None:
    assert len(set(WORDS)) == 256
    assert not [(a, b) for a in WORDS for b in WORDS if a != b and b.startswith(a)]


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_codes_are_read_as_they_are_written(numbers: list[int]) -> None:
    rest = iter(numbers)
    code = Code.make(lambda _: next(rest))
    assert Code.parse(str(code)) == code
    assert Code.parse(f"  {str(code).upper().replace('-', ' ')}\n") == code
    assert code.words[0] not in repr(code)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("", "number"), ("amber-falcon", "number"), ("7", "two words"), ("7-amber-falkon", "falcon")],
)
def test_what_is_no_code_is_explained(text: str, hint: str) -> None:
    with pytest.raises(InvalidCode, match=hint):
        Code.parse(text)


def exchange(one: Code, two: Code) -> tuple[Pairing, Pairing]:
    sender, receiver = Pairing(one, Side.SENDER), Pairing(two, Side.RECEIVER)
    shown, hidden = receiver.receive(sender.pake), sender.receive(receiver.pake)
    sender.check(shown)
    receiver.check(hidden)
    return sender, receiver


def test_two_with_the_same_code_sign_for_each_other() -> None:
    sender, receiver = exchange(CODE, CODE)
    signed = sender.sign(SDP)
    assert receiver.verify(signed, SDP)
    assert receiver.verify(signed, SDP.lower().replace("sha-256 ab:cd", "sha-256 Ab:cD"))
    assert not receiver.verify(signed, SDP.replace("AB", "AC"))
    assert not receiver.verify(signed, SDP + "a=fingerprint:sha-1 00\r\n")
    assert not receiver.verify(signed, "v=0\r\n")
    assert not receiver.verify(None, SDP)
    assert not sender.verify(signed, SDP), "what one side signed is no good for the other"


def test_another_code_is_noticed_on_both_sides() -> None:
    with pytest.raises(WrongCode):
        exchange(CODE, OTHER)
    sender, receiver = Pairing(CODE, Side.SENDER), Pairing(OTHER, Side.RECEIVER)
    receiver.receive(sender.pake)
    with pytest.raises(WrongCode):
        receiver.check(sender.receive(receiver.pake))


@given(st.binary(min_size=1, max_size=40) | st.binary(min_size=32, max_size=32).map(b"B".__add__))
@example(b"B")
@example(b"B\x07")
@example(b"B\x07" + bytes(31))  # beside the curve
@example(b"B\x01" + bytes(31))  # the neutral element
@example(b"B" + bytes(32))  # of order 4
@example(b"B" + b"\xff" * 32)
@example(b"A\x07" + bytes(31))
def test_nonsense_for_a_half_is_a_wrong_code(data: bytes) -> None:
    pairing = Pairing(CODE, Side.SENDER)
    with pytest.raises(WrongCode):
        pairing.check(pairing.receive(Pake(data.hex())))
    with pytest.raises(WrongCode):
        pairing.receive(Pake(pairing.pake.data))  # its own, sent back


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_anything_else_is_not_about_pairing(data: Any) -> None:
    assert read(data) is None


# --- over signaling


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    async with serve("127.0.0.1", 0) as server:
        yield server


async def paired(meeting: Meeting) -> Any:
    async for peer in meeting:
        await peer.connected()
        return peer
    raise AssertionError("the meeting ended without a word")


async def test_two_meet_by_a_code(server: SignalingServer) -> None:
    async with (
        meet(server.url, CODE, Side.SENDER) as sender,
        meet(server.url, CODE, Side.RECEIVER) as receiver,
    ):
        one, two = await asyncio.gather(paired(sender), paired(receiver))
        channel = await one.open_channel("x")
        await channel.send("hello")
        assert await (await anext(aiter(two.channels()))).receive() == "hello"


async def test_the_order_of_arrival_does_not_matter(server: SignalingServer) -> None:
    async with (
        meet(server.url, CODE, Side.RECEIVER) as receiver,
        meet(server.url, CODE, Side.SENDER) as sender,
    ):
        await asyncio.gather(paired(sender), paired(receiver))


async def test_a_side_that_comes_again_takes_its_own_place(server: SignalingServer) -> None:
    async with (
        meet(server.url, CODE, Side.SENDER) as sender,
        meet(server.url, CODE, Side.RECEIVER) as receiver,
    ):
        first, _ = await asyncio.gather(paired(sender), paired(receiver))
        async with meet(server.url, CODE, Side.RECEIVER) as again:
            second, _ = await asyncio.gather(paired(sender), paired(again))
            assert await first.ended() == "superseded"
            assert not second.has_ended


async def test_a_wrong_code_is_refused_and_guesses_are_limited(server: SignalingServer) -> None:
    async with meet(server.url, CODE, Side.SENDER) as sender:
        waiting = asyncio.create_task(paired(sender))
        for _ in range(GUESSES):
            async with meet(server.url, OTHER, Side.RECEIVER) as guesser:
                with pytest.raises(WrongCode):
                    await paired(guesser)
        with pytest.raises(CodeUsedUp, match=str(GUESSES)):
            await waiting
        async with meet(server.url, CODE, Side.RECEIVER) as late:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await paired(late)


async def test_a_wrong_guess_does_not_harm_the_right_one(server: SignalingServer) -> None:
    async with meet(server.url, CODE, Side.SENDER) as sender:
        waiting = asyncio.create_task(paired(sender))
        async with meet(server.url, OTHER, Side.RECEIVER) as guesser:
            with pytest.raises(WrongCode):
                await paired(guesser)
        async with meet(server.url, CODE, Side.RECEIVER) as receiver:
            await asyncio.gather(waiting, paired(receiver))


# --- a server that is not to be trusted

Change = Callable[[dict[str, Any]], None]


@asynccontextmanager
async def tampering(url: str, change: Change) -> AsyncIterator[str]:
    """Stand between a client and a server, and change what either says."""

    async def stand(client: ServerConnection) -> None:
        async with open_websocket(url, subprotocols=None) as upstream:

            async def carry(source: Any, sink: Any) -> None:
                try:
                    async for text in source:
                        message = json.loads(text)
                        change(message)
                        await sink.send(json.dumps(message))
                except ConnectionClosed:
                    pass
                await sink.close()

            await asyncio.gather(carry(client, upstream), carry(upstream, client))

    async with serve_websocket(stand, "127.0.0.1", 0) as proxy:
        port = next(iter(proxy.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"


def swap_fingerprints(message: dict[str, Any]) -> None:
    if message["type"] == "description":
        lines = message["description"]["sdp"].split("\r\n")
        for at, line in enumerate(lines):
            if line.startswith("a=fingerprint:"):
                kind, _, value = line.partition(" ")
                lines[at] = f"{kind} {value[::-1]}"
        message["description"]["sdp"] = "\r\n".join(lines)


def swap_and_drop_signatures(message: dict[str, Any]) -> None:
    swap_fingerprints(message)
    if message["type"] == "message" and message["data"].get("pairing") == "fingerprints":
        message["data"] = {"pairing": "nothing"}


def forge_signatures(message: dict[str, Any]) -> None:
    swap_fingerprints(message)
    if message["type"] == "message" and message["data"].get("pairing") == "fingerprints":
        message["data"]["mac"] = "00" * 32


@pytest.mark.parametrize("change", [swap_fingerprints, swap_and_drop_signatures, forge_signatures])
async def test_a_server_that_swaps_fingerprints_is_found_out(
    server: SignalingServer, change: Change
) -> None:
    async with (
        tampering(server.url, change) as bent,
        meet(server.url, CODE, Side.SENDER) as sender,
        meet(bent, CODE, Side.RECEIVER) as receiver,
    ):
        results = await asyncio.gather(ends(sender), ends(receiver))
    assert [type(error) for error in results] == [FingerprintMismatch, FingerprintMismatch]


async def ends(meeting: Meeting) -> PairingError | None:
    try:
        async for _ in meeting:
            pass
    except PairingError as error:
        return error
    return None


async def test_a_server_that_takes_part_itself_learns_nothing(server: SignalingServer) -> None:
    def own_half(message: dict[str, Any]) -> None:
        if message["type"] == "message" and message["data"].get("pairing") == "pake":
            message["data"] = said(Pairing(OTHER, Side.SENDER).pake)

    async with (
        tampering(server.url, own_half) as bent,
        meet(server.url, CODE, Side.SENDER) as sender,
        meet(bent, CODE, Side.RECEIVER) as receiver,
    ):
        waiting = asyncio.create_task(ends(sender))
        assert isinstance(await ends(receiver), WrongCode)
        waiting.cancel()
        await asyncio.wait((waiting,))
