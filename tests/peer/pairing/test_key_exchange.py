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

from icefloe.peer import (
    FingerprintMismatch,
    InvalidPairingCode,
    NoRoomFree,
    PairingCodeUsedUp,
    PairingError,
    PeerLeft,
    WrongPairingCode,
)
from icefloe.peer.pairing.code_words import WORDS
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
from icefloe.peer.pairing.meeting import MAX_GUESSES, Meeting
from icefloe.peer.pairing.rendezvous import MAX_CODES_TRIED, meet
from icefloe.signaling import (
    Description,
    Message,
    PeerMessage,
    SessionDescription,
    SignalingClient,
    SignalingServer,
    connect,
    serve,
)

CODE = PairingCode(7, ("amber", "falcon"))
OTHER = PairingCode(7, ("amber", "salmon"))
SDP = "v=0\r\na=fingerprint:sha-256 AB:CD\r\na=fingerprint:sha-384 01:02\r\n"


# --- codes and the exchange, without a network


def test_the_words_are_told_apart() -> None:
    assert len(set(WORDS)) == 256
    assert not [(a, b) for a in WORDS for b in WORDS if a != b and b.startswith(a)]


@given(st.lists(st.integers(0, 255), min_size=3, max_size=3))
def test_codes_are_read_as_they_are_written(numbers: list[int]) -> None:
    rest = iter(numbers)
    code = PairingCode.make(lambda _: next(rest))
    assert PairingCode.parse(str(code)) == code
    assert PairingCode.parse(f"  {str(code).upper().replace('-', ' ')}\n") == code
    assert code.words[0] not in repr(code)


@pytest.mark.parametrize(
    ("text", "hint"),
    [("", "number"), ("amber-falcon", "number"), ("7", "two words"), ("7-amber-falkon", "falcon")],
)
def test_what_is_no_code_is_explained(text: str, hint: str) -> None:
    with pytest.raises(InvalidPairingCode, match=hint):
        PairingCode.parse(text)


def exchange(one: PairingCode, two: PairingCode) -> tuple[Pairing, Pairing]:
    sender, receiver = Pairing(one, PairingSide.SENDER), Pairing(two, PairingSide.RECEIVER)
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


EVIL = "a=fingerprint:sha-256 66:66"


@pytest.mark.parametrize(
    "line",
    [
        "a=fingerprint:sha-256  66:66",
        "a=fingerprint:sha-256\t66:66",
        "a=fingerprint:sha-256 66:66 ",
        "a=fingerprint: sha-256 66:66",
        "a=fingerprint:sha-256 66:66:",
        "A=Fingerprint:sha-256 66:66",
        " " + EVIL,
        *(f"a=x{separator}{EVIL}" for separator in "\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"),
    ],
)
@pytest.mark.parametrize("at_the_end", [True, False])
def test_a_fingerprint_that_another_reader_would_find_is_found(line: str, at_the_end: bool) -> None:
    # aiortc splits lines where others do not, and takes any blanks: what is signed would then be
    # in a section that nobody uses, and what counts would not be signed.
    sender, receiver = exchange(CODE, CODE)
    signed = sender.sign(SDP)
    text = f"{SDP}{line}\r\n" if at_the_end else f"v=0\r\n{line}\r\n{SDP[5:]}"
    assert not receiver.verify(signed, text)


def test_what_is_said_is_good_for_one_exchange_and_one_side() -> None:
    sender, receiver = exchange(CODE, CODE)
    old_half, old_proof = receiver.pake, receiver.confirmation
    old_signature = receiver.sign(SDP)
    again = Pairing(CODE, PairingSide.SENDER)
    again.receive(old_half)
    with pytest.raises(WrongPairingCode):
        again.check(old_proof)  # replayed
    assert not again.is_paired
    assert not again.verify(old_signature, SDP)
    with pytest.raises(WrongPairingCode):
        again.check(again.confirmation)  # its own, sent back
    with pytest.raises(WrongPairingCode):
        again.receive(old_half)  # a second one
    assert not sender.verify(sender.sign(SDP), SDP)
    # Two of the same side do not pair, nor does one with itself.
    for half in (Pairing(CODE, PairingSide.SENDER).pake, sender.pake):
        with pytest.raises(WrongPairingCode):
            Pairing(CODE, PairingSide.SENDER).receive(half)


def test_nothing_is_shown_or_signed_without_a_key() -> None:
    pairing = Pairing(CODE, PairingSide.RECEIVER)
    with pytest.raises(WrongPairingCode):
        _ = pairing.confirmation
    with pytest.raises(WrongPairingCode):
        pairing.sign(SDP)
    with pytest.raises(WrongPairingCode):
        pairing.check(Confirm("00" * 32))
    with pytest.raises(WrongPairingCode):
        pairing.verify(Fingerprints("00" * 32), SDP)


def test_another_code_is_noticed_on_both_sides() -> None:
    with pytest.raises(WrongPairingCode):
        exchange(CODE, OTHER)
    sender, receiver = Pairing(CODE, PairingSide.SENDER), Pairing(OTHER, PairingSide.RECEIVER)
    receiver.receive(sender.pake)
    with pytest.raises(WrongPairingCode):
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
    pairing = Pairing(CODE, PairingSide.SENDER)
    with pytest.raises(WrongPairingCode):
        pairing.check(pairing.receive(Pake(data.hex())))
    with pytest.raises(WrongPairingCode):
        pairing.receive(Pake(pairing.pake.data))  # its own, sent back


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_anything_else_is_not_about_pairing(data: Any) -> None:
    assert decode(data) is None


# --- over signaling


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    async with serve("127.0.0.1", 0) as server:
        yield server


async def paired(meeting: Meeting) -> Any:
    async for peer in meeting:
        try:
            await peer.connected()
        except PeerLeft:
            continue  # the sender is busy
        return peer
    raise AssertionError("the meeting ended without a word")


async def test_two_meet_by_a_code(server: SignalingServer) -> None:
    async with (
        meet(server.url, CODE, side=PairingSide.SENDER) as sender,
        meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver,
    ):
        one, two = await asyncio.gather(paired(sender), paired(receiver))
        channel = await one.open_channel("x")
        await channel.send("hello")
        assert await (await anext(aiter(two.channels()))).receive() == "hello"


async def test_the_order_of_arrival_does_not_matter(server: SignalingServer) -> None:
    async with (
        meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver,
        meet(server.url, CODE, side=PairingSide.SENDER) as sender,
    ):
        await asyncio.gather(paired(sender), paired(receiver))


async def test_a_side_that_comes_again_takes_its_own_place(server: SignalingServer) -> None:
    async with (
        meet(server.url, CODE, side=PairingSide.SENDER) as sender,
        meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver,
    ):
        first, _ = await asyncio.gather(paired(sender), paired(receiver))
        async with meet(server.url, CODE, side=PairingSide.RECEIVER) as again:
            second, _ = await asyncio.gather(paired(sender), paired(again))
            assert await first.ended() == "superseded"
            assert not second.has_ended


async def test_a_busy_sender_lets_another_receiver_wait(server: SignalingServer) -> None:
    async with (
        meet(server.url, CODE, side=PairingSide.SENDER) as sender,
        meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver,
    ):
        first, _ = await asyncio.gather(paired(sender), paired(receiver))
        sender.is_busy = True
        # However often it asks, it is no guess, and nothing of it harms the first.
        async with meet(server.url, CODE, side=PairingSide.RECEIVER) as again:
            told = asyncio.Semaphore(0)
            again.on_busy = told.release
            for _ in range(2):
                await told.acquire()
            assert not first.has_ended
            sender.is_busy = False
            second, _ = await asyncio.gather(paired(sender), paired(again))
            assert await first.ended() == "superseded"
            assert not second.has_ended


async def test_a_busy_sender_takes_another_receiver_once_the_first_is_gone(
    server: SignalingServer,
) -> None:
    async with meet(server.url, CODE, side=PairingSide.SENDER) as sender:
        async with meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver:
            await asyncio.gather(paired(sender), paired(receiver))
            sender.is_busy = True
        async with meet(server.url, CODE, side=PairingSide.RECEIVER) as again:
            await asyncio.gather(paired(sender), paired(again))


async def test_only_who_has_the_code_can_say_that_it_is_busy(server: SignalingServer) -> None:
    async with meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver:
        receiver.on_busy = lambda: pytest.fail("it believed somebody who has no code")
        ending = asyncio.create_task(ends(receiver))
        async with connect(server.url, room=CODE.room, name=f"{PairingSide.SENDER}-0") as stranger:
            assert isinstance(await said_by_the_other(stranger), Pake)
            await stranger.send(Message(to=stranger.peers[0].id, data=encode(Refused("busy"))))
            assert isinstance(await ending, WrongPairingCode)


async def test_a_wrong_code_is_refused_and_guesses_are_limited(server: SignalingServer) -> None:
    async with meet(server.url, CODE, side=PairingSide.SENDER) as sender:
        waiting = asyncio.create_task(paired(sender))
        for _ in range(MAX_GUESSES):
            async with meet(server.url, OTHER, side=PairingSide.RECEIVER) as guesser:
                with pytest.raises(WrongPairingCode):
                    await paired(guesser)
        with pytest.raises(PairingCodeUsedUp, match=str(MAX_GUESSES)):
            await waiting
        async with meet(server.url, CODE, side=PairingSide.RECEIVER) as late:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await paired(late)


async def test_a_wrong_guess_does_not_harm_the_right_one(server: SignalingServer) -> None:
    async with meet(server.url, CODE, side=PairingSide.SENDER) as sender:
        waiting = asyncio.create_task(paired(sender))
        async with meet(server.url, OTHER, side=PairingSide.RECEIVER) as guesser:
            with pytest.raises(WrongPairingCode):
                await paired(guesser)
        async with meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver:
            await asyncio.gather(waiting, paired(receiver))


async def test_a_receiver_shows_what_can_be_guessed_on_to_few(server: SignalingServer) -> None:
    # Who takes the sender's place gets a proof to try one pair of words on, and need not answer.
    shown = 0
    async with meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver:
        ending = asyncio.create_task(ends(receiver))
        for number in range(MAX_GUESSES + 1):
            name = f"{PairingSide.SENDER}-{number}"
            async with connect(server.url, room=CODE.room, name=name) as guesser:
                half = await said_by_the_other(guesser)
                assert isinstance(half, Pake)
                await guesser.send(
                    Message(
                        to=guesser.peers[0].id, data=encode(Pairing(OTHER, PairingSide.SENDER).pake)
                    )
                )
                if number < MAX_GUESSES:
                    assert isinstance(await said_by_the_other(guesser), Confirm)
                    shown += 1
                else:
                    assert isinstance(await ending, PairingCodeUsedUp)
    assert shown == MAX_GUESSES


async def said_by_the_other(client: SignalingClient) -> object:
    async for event in client:
        if isinstance(event, PeerMessage):
            return decode(event.data)
    raise AssertionError("nothing was said")


async def test_nothing_is_told_to_who_does_not_show_that_it_has_the_code(
    server: SignalingServer,
) -> None:
    async with (
        meet(server.url, CODE, side=PairingSide.SENDER),
        connect(server.url, room=CODE.room, name="x") as stranger,
    ):
        to = stranger.peers[0].id
        half = Pairing(OTHER, PairingSide.RECEIVER).pake
        offer = SessionDescription(type="offer", sdp=SDP)
        for message in (
            Description(to=to, description=offer),
            Message(to=to, data=encode(half)),
            Message(to=to, data=encode(Fingerprints("00" * 32))),
            Description(to=to, description=offer),
            Message(to=to, data=encode(Confirm("00" * 32))),
            Description(to=to, description=offer),
            # A second exchange, whose answer shows that all before was dealt with.
            Message(to=to, data=encode(half)),
        ):
            await stranger.send(message)
        told: list[object] = []
        async for event in stranger:
            assert isinstance(event, PeerMessage), event
            told.append(decode(event.data))
            if len(told) == 3:
                break
    assert [type(one) for one in told] == [Pake, Refused, Pake]
    assert told[0] != told[2]


async def test_a_new_code_has_a_room_without_another_sender(
    server: SignalingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = PairingCode(8, ("amber", "falcon"))
    made = iter((CODE, free, free))
    monkeypatch.setattr(PairingCode, "make", lambda: next(made))
    async with meet(server.url, OTHER) as receiver, meet(server.url) as first:
        assert (receiver.side, first.side) == (PairingSide.RECEIVER, PairingSide.SENDER)
        assert first.code == CODE  # a receiver takes no place
        async with meet(server.url) as second:
            assert second.code == free
    async with meet(server.url) as third:
        assert third.code == free  # the room of the second one is empty again


async def test_a_server_full_of_senders_is_said_to_be(
    server: SignalingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = iter([CODE] * MAX_CODES_TRIED)
    monkeypatch.setattr(PairingCode, "make", lambda: next(tried))
    async with meet(server.url, OTHER, side=PairingSide.SENDER):
        with pytest.raises(NoRoomFree):
            async with meet(server.url):
                pytest.fail("two senders are in one room")
    assert list(tried) == []


async def test_a_code_is_taken_as_text(server: SignalingServer) -> None:
    async with meet(server.url) as sender, meet(server.url, str(sender.code).upper()) as receiver:
        assert receiver.code == sender.code
        await asyncio.gather(paired(sender), paired(receiver))


async def test_what_is_no_code_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(InvalidPairingCode):
        async with meet("ws://127.0.0.1:1/ws", "7-amber"):
            pytest.fail("it is no code")
    with pytest.raises(ValueError, match="needs the code"):
        async with meet("ws://127.0.0.1:1/ws", side=PairingSide.RECEIVER):
            pytest.fail("a receiver makes no code")


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


def hide_fingerprints(message: dict[str, Any]) -> None:
    """Leave what is signed where nobody looks, and say another in a way that aiortc reads."""
    if message["type"] == "description":
        lines = message["description"]["sdp"].split("\r\n")
        real = [line for line in lines if line.startswith("a=fingerprint:")]
        lines = [line.replace("sha-", " sha-") if line in real else line for line in lines]
        unused = ["m=audio 0 UDP/TLS/RTP/SAVPF 0", "c=IN IP4 0.0.0.0", "a=inactive", *real]
        message["description"]["sdp"] = "\r\n".join([*lines[:-1], *unused, ""])


def swap_and_drop_signatures(message: dict[str, Any]) -> None:
    swap_fingerprints(message)
    if message["type"] == "message" and message["data"].get("pairing") == "fingerprints":
        message["data"] = {"pairing": "nothing"}


def forge_signatures(message: dict[str, Any]) -> None:
    swap_fingerprints(message)
    if message["type"] == "message" and message["data"].get("pairing") == "fingerprints":
        message["data"]["mac"] = "00" * 32


@pytest.mark.parametrize(
    "change",
    [swap_fingerprints, hide_fingerprints, swap_and_drop_signatures, forge_signatures],
)
async def test_a_server_that_swaps_fingerprints_is_found_out(
    server: SignalingServer, change: Change
) -> None:
    async with (
        tampering(server.url, change) as bent,
        meet(server.url, CODE, side=PairingSide.SENDER) as sender,
        meet(bent, CODE, side=PairingSide.RECEIVER) as receiver,
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
            message["data"] = encode(Pairing(OTHER, PairingSide.SENDER).pake)

    async with (
        tampering(server.url, own_half) as bent,
        meet(server.url, CODE, side=PairingSide.SENDER) as sender,
        meet(bent, CODE, side=PairingSide.RECEIVER) as receiver,
    ):
        waiting = asyncio.create_task(ends(sender))
        assert isinstance(await ends(receiver), WrongPairingCode)
        waiting.cancel()
        await asyncio.wait((waiting,))
