"""The ends of ``icefloe send`` and ``receive``: exit codes, last events, and who goes on."""

import asyncio
import json
import re
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiortc import RTCIceTransportPolicy

from icefloe.peer import PeerConfiguration
from icefloe.peer.files.protocol import (
    Accept,
    Ack,
    Entries,
    Entry,
    Offer,
    decode_from_receiver,
    decode_from_sender,
    encode,
)
from icefloe.signaling import SignalingServer, serve
from tests.helpers.command import run
from tests.helpers.commands import event, process, receive_arguments
from tests.helpers.other_side import come, receiver_of_the_command, sender_to_the_command
from tests.helpers.transfers import contents, random_file

MB = 1024 * 1024
ROOT = Path(__file__).parents[1]
DOCUMENT = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
CODE = "7-amber-falcon"


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    async with serve("127.0.0.1", 0) as server:
        yield server


async def last_event(running: Process) -> dict[str, Any]:
    """Wait for the end; return the last of the events."""
    out, err = await running.communicate()
    assert b"Traceback" not in err, err.decode()
    lines = out.decode().splitlines()
    found: dict[str, Any] = json.loads(lines[-1])
    assert running.returncode == (0 if found["event"] == "done" else found["code"])
    return found


# --- every exit code that is documented


async def code_0(file: Path, target: Path) -> int:
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target)) as receiver:
            assert (await last_event(receiver))["event"] == "done"
            await last_event(sender)
            assert sender.returncode == 0
            return 0


async def code_2(file: Path, target: Path) -> int:
    for words in ("nonsense", "", "7", "7-amber", "7-amber-falcon-acorn", "7-amber-nothing"):
        code, out, err = await run("receive", words, "--server", "127.0.0.1:1", "--yes")
        assert (code, out, len(err.splitlines())) == (2, "", 1), err
        assert "is not a code" in err
    return 2


async def code_10(file: Path, target: Path) -> int:
    code, out, err = await run("send", str(file), "--server", "127.0.0.1:1")
    assert (out, len(err.splitlines())) == ("", 1), err
    return code


async def code_11(file: Path, target: Path) -> int:
    async with process("send", str(file), "--json", "--wait", "0.5") as sender:
        last = await last_event(sender)
        assert last["kind"] == "NobodyThere"
        assert "sender" not in last["message"]
        return int(last["code"])


async def code_12(file: Path, target: Path) -> int:
    # Somebody who has the code, and no address that could be reached.
    nowhere = PeerConfiguration(iceServers=[], iceTransportPolicy=RTCIceTransportPolicy.RELAY)
    async with process("send", "-", "--json", stdin=PIPE) as sender:
        told = await event(sender, "code")
        async with receiver_of_the_command(told, nowhere) as meeting:
            await come(meeting)
            last = await last_event(sender)
            assert last["kind"] == "ConnectFailed"
            return int(last["code"])


async def code_13(file: Path, target: Path) -> int:
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with receiver_of_the_command(told) as meeting:
            peer = await come(meeting)
            await (await peer.next_files()).decline("no, thank you")
            last = await last_event(sender)
            assert "no, thank you" in last["message"]
            return int(last["code"])


async def code_14(file: Path, target: Path) -> int:
    code, out, err = await run("send", str(target / "nowhere"))
    assert (out, len(err.splitlines())) == ("", 1), err
    return code


async def code_15(file: Path, target: Path) -> int:
    async with process("send", "-", "--json", stdin=PIPE) as sender:
        told = await event(sender, "code")
        async with receiver_of_the_command(told) as meeting:
            await (await come(meeting)).next_files()
        last = await last_event(sender)
        assert last["kind"] == "TransferBroken"
        return int(last["code"])


async def code_130(file: Path, target: Path) -> int:
    async with process("send", str(file), "--json") as sender:
        await event(sender, "code")
        sender.send_signal(signal.SIGINT)
        return int((await last_event(sender))["code"])


async def code_143(file: Path, target: Path) -> int:
    async with process("send", str(file), "--json") as sender:
        await event(sender, "code")
        sender.send_signal(signal.SIGTERM)
        return int((await last_event(sender))["code"])


WAYS: dict[int, Callable[[Path, Path], Awaitable[int]]] = {
    0: code_0,
    2: code_2,
    10: code_10,
    11: code_11,
    12: code_12,
    13: code_13,
    14: code_14,
    15: code_15,
    130: code_130,
    143: code_143,
}


def documented() -> list[int]:
    """Return the exit codes of the table."""
    table = DOCUMENT.partition("| exit code | |")[2].partition("\n\n")[0]
    return [int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)]


def test_every_exit_code_of_the_document_is_tried() -> None:
    assert documented() == [*WAYS]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("code", documented())
async def test_an_exit_code_is_what_the_document_says(tmp_path: Path, code: int) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    assert await WAYS[code](file, tmp_path / "target") == code


async def test_the_help_names_every_exit_code() -> None:
    for command in ("send", "receive"):
        code, out, _ = await run(command, "--help", COLUMNS="200")
        told = re.sub(r"\s+", " ", out.partition("Exit codes:")[2])
        assert code == 0
        for number in documented():
            assert re.search(rf"\b{number} ", told), number


# --- who stops


@pytest.mark.timeout(120)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("who", ["receiver", "sender"])
async def test_who_is_stopped_leaves_the_other_waiting_and_may_go_on(
    tmp_path: Path, who: str, number: signal.Signals
) -> None:
    size = 100 * MB
    file = random_file(tmp_path / "source" / "a.bin", size)
    send = ("send", str(file), "--json")
    async with process(*send) as sender:
        told = await event(sender, "code")
        receive = receive_arguments(told, tmp_path / "target")
        async with process(*receive) as receiver:
            await event(receiver, "progress", done=size // 8)
            stopped, other = (receiver, sender) if who == "receiver" else (sender, receiver)
            stopped.send_signal(number)
            assert (await last_event(stopped))["kind"] == "Stopped"
            assert stopped.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
            await event(other, "waiting")
            assert other.returncode is None
            async with process(*(receive if who == "receiver" else send)) as again:
                assert (await last_event(again))["event"] == "done"
                assert (await last_event(other))["event"] == "done"
    assert contents(tmp_path / "target") == contents(file.parent)


@pytest.mark.timeout(120)
async def test_a_sender_whose_receiver_does_not_come_back_says_so(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    async with process("send", str(file), "--json", "--wait", "8") as sender:
        told = await event(sender, "code")
        async with receiver_of_the_command(told) as meeting:
            await (await come(meeting)).next_files()
        await event(sender, "waiting")
        assert (await last_event(sender))["code"] == 15


@pytest.mark.timeout(120)
async def test_a_stream_that_is_stopped_ends_both_sides(tmp_path: Path) -> None:
    async with process("send", "-", "--json", stdin=PIPE) as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            assert sender.stdin is not None
            sender.stdin.write(bytes(MB))
            await event(receiver, "progress", done=1)
            receiver.send_signal(signal.SIGINT)
            await last_event(receiver)
        assert (await event(sender, "error"))["code"] == 15
        assert await sender.wait() == 15


async def test_who_stops_for_good_ends_the_other_side_with_13(tmp_path: Path) -> None:
    # As a program does it, and a page whose user presses Cancel.
    file = random_file(tmp_path / "source" / "a.bin", 100 * MB)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with receiver_of_the_command(told) as meeting:
            offer = await (await come(meeting)).next_files()
            begun = asyncio.Event()
            receiving = asyncio.create_task(
                offer.accept(tmp_path / "target", on_progress=lambda _: begun.set())
            )
            await begun.wait()
            receiving.cancel()
            last = await last_event(sender)
            assert "the receiver stopped it (cancelled)" in last["message"]
            assert last["code"] == 13
            await asyncio.wait((receiving,))


# --- a second receiver


@pytest.mark.timeout(120)
async def test_a_second_receiver_is_told_why_it_waits(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with receiver_of_the_command(told) as meeting:
            peer = await come(meeting)
            offer = await peer.next_files()
            second = receive_arguments(told, tmp_path / "second", "--wait", "6")
            async with process(*second) as waiting:
                assert "another receiver" in (await event(waiting, "waiting"))["message"]
                # The first one is not disturbed, and the second gives up when its time is over.
                last = await last_event(waiting)
                assert (last["code"], last["kind"]) == (11, "SenderBusy")
            assert not peer.has_ended
            await offer.accept(tmp_path / "first")
        assert (await last_event(sender))["event"] == "done"
    assert contents(tmp_path / "first") == contents(file.parent)
    assert not (tmp_path / "second").exists()


@pytest.mark.timeout(120)
async def test_a_second_receiver_takes_over_from_one_that_leaves(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with AsyncExitStack() as first:
            meeting = await first.enter_async_context(receiver_of_the_command(told))
            await (await come(meeting)).next_files()
            second = receive_arguments(told, tmp_path / "second")
            async with process(*second) as receiver:
                await event(receiver, "waiting")
                await first.aclose()
                assert (await last_event(receiver))["event"] == "done"
        assert (await last_event(sender))["event"] == "done"
    assert contents(tmp_path / "second") == contents(file.parent)


# --- another side that does not keep to the protocol


def an_offer(**changes: Any) -> str:
    entry = {"path": "a", "size": 4, "mode": 420, "mtime": 0, **changes}
    return json.dumps({"type": "entries", "entries": [entry]})


@pytest.mark.parametrize(
    "messages",
    [
        [an_offer(mtime=2**62)],
        [an_offer(mtime=-(2**62) - 1)],
        [an_offer(mtime=1e300)],
        [an_offer(size=-1)],
        [an_offer(size=2**53 + 1)],
        [an_offer(path="")],
        [an_offer(path="x" * 4097)],
        [an_offer(mode=0o1777)],
        ['{"type":"entries","entries":[{"path":"\\ud800"}]}'],
        ["nonsense"],
        [""],
        ["[" * 5000],
        [b"\0" * 100],
        [an_offer(), encode(Offer(2, 4))],
        [an_offer(), encode(Offer(1, 5))],
        ['{"type":"finish"}'],
        ['{"type":"unknown"}'],
    ],
    ids=lambda messages: repr(messages)[:60],
)
async def test_an_offer_that_cannot_be_read_is_answered(
    server: SignalingServer, tmp_path: Path, messages: list[str | bytes]
) -> None:
    arguments = ["receive", CODE, "--server", server.url, "--yes", "--json", "--wait", "20"]
    async with (
        process(*arguments, "--out", str(tmp_path / "target")) as receiver,
        sender_to_the_command(server.url, CODE) as (_, channel),
    ):
        for message in messages:
            await channel.send(message)
        answer = json.loads(await channel.receive())
        assert (answer["type"], answer["code"]) == ("failed", "protocol")
        last = await last_event(receiver)
        assert (last["code"], last["kind"]) == (14, "TransferFailed")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize(
    "answers",
    [
        ["nonsense"],
        [b"\0" * 100],
        [encode(Ack(0, 5))],
        ['{"type":"finished"}'],
        [encode(Accept()), encode(Accept())],
        [encode(Accept()), encode(Ack(7, 5))],
    ],
    ids=lambda answers: repr(answers)[:60],
)
async def test_answers_that_cannot_be_read_end_the_sender(
    tmp_path: Path, answers: list[str | bytes]
) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 50 * MB)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with receiver_of_the_command(told) as meeting:
            peer = await come(meeting)
            channel = await peer._transfers.take()
            assert channel is not None
            while not isinstance(decode_from_sender(await channel.receive()), Offer):
                pass
            for answer in answers:
                await channel.send(answer)
            last = await last_event(sender)
            assert (last["code"], "(protocol)" in last["message"]) == (14, True)


async def test_words_of_the_other_side_cannot_get_at_the_terminal(
    server: SignalingServer, tmp_path: Path
) -> None:
    arguments = ["receive", CODE, "--server", server.url, "--yes"]
    async with (
        process(*arguments, "--out", str(tmp_path), stdin=DEVNULL) as receiver,
        sender_to_the_command(server.url, CODE) as (_, channel),
    ):
        words = "\x1b]0;title\x07\r\nicefloe: all is well\u2028\x9b31m"
        await channel.send(json.dumps({"type": "failed", "code": "odd\x1b[2J", "detail": words}))
        _, err = await receiver.communicate()
    assert receiver.returncode == 14
    (line,) = err.decode().splitlines()
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028]", line)


async def test_a_sender_that_speaks_as_documented_is_understood(
    server: SignalingServer, tmp_path: Path
) -> None:
    arguments = ["receive", CODE, "--server", server.url, "--yes", "--json"]
    async with (
        process(*arguments, "--out", str(tmp_path / "target")) as receiver,
        sender_to_the_command(server.url, CODE) as (_, channel),
    ):
        for message in (Entries([Entry("a", 0)]), Offer(1, 0)):
            await channel.send(encode(message))
        assert isinstance(decode_from_receiver(await channel.receive()), Accept)
        hash_of_nothing = "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
        for text in (
            '{"type":"begin","index":0,"offset":0}',
            json.dumps({"type": "end", "index": 0, "size": 0, "hash": hash_of_nothing}),
            '{"type":"finish"}',
        ):
            await channel.send(text)
        assert (await last_event(receiver))["event"] == "done"
    assert contents(tmp_path / "target") == {"a": b""}
