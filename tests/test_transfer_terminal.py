"""The terminal of ``icefloe send`` and ``receive``: what a person sees there, and answers."""

import asyncio
import io
import os
import re
import signal
from pathlib import Path

import pytest
import segno
from aiortc import RTCIceServer, RTCIceTransportPolicy

from icefloe._transfer.reporter import path_in_short
from icefloe.peer import PeerConfiguration
from icefloe.peer.pairing.key_exchange import PairingCode, PairingSide
from icefloe.peer.pairing.rendezvous import meet
from icefloe.signaling import serve
from tests.helpers.commands import event, process, receive_arguments
from tests.helpers.netns import ADDRESS
from tests.helpers.terminal import Terminal, terminal
from tests.helpers.transfers import random_file
from tests.helpers.turn import PASSWORD, USER, coturn

MB = 1024 * 1024
AS_ON_A_SCREEN = {"TERM": "xterm", "COLUMNS": "120"}


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return random_file(tmp_path / "source" / "a.bin", 10)


async def command_of(screen: Terminal) -> list[str]:
    """Return what a sender tells to give on the other machine."""
    return (await screen.shows(r"On the other machine: icefloe (.+?)\r\n"))[1].split()


async def test_a_sender_tells_the_whole_command_with_an_address_of_the_network(
    file: Path,
) -> None:
    async with process("send", str(file)) as sender:
        assert sender.stdout is not None
        code = re.fullmatch(r"Code: (\d+-\w+-\w+)\n", (await sender.stdout.readline()).decode())
        line = (await sender.stdout.readline()).decode()
        told = re.fullmatch(
            r"On the other machine: icefloe receive (\S+) --server ws://(\S+):(\d+)/ws\n", line
        )
        assert code
        assert told
        assert told[1] == code[1]
        if "ICEFLOE_TEST_NETNS" in os.environ:
            assert told[2] == ADDRESS
        # It really listens there.
        _, writer = await asyncio.open_connection(told[2], int(told[3]))
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(("answer", "exit_code"), [("y", 0), ("n", 13), ("", 13)])
async def test_a_receiver_asks(tmp_path: Path, file: Path, answer: str, exit_code: int) -> None:
    odd = random_file(file.with_name("b\x1b[31m\n.bin"), 5)
    with terminal() as screen:
        async with process("send", str(file), str(odd), "--json") as sender:
            told = await event(sender, "code")
            arguments = [*told["command"].split()[1:], "--out", str(tmp_path / "target")]
            async with process(
                *arguments, stdin=screen.slave, stderr=screen.slave, environment=AS_ON_A_SCREEN
            ) as receiver:
                await screen.shows(r"Receive\? \[y/N\] $")
                # The name of a file does not get at the terminal.
                assert "a.bin, b_[31m_.bin: 2 files and folders, 15 bytes." in screen.text
                screen.type(f"{answer}\n")
                assert await receiver.wait() == exit_code, screen.text
                assert await sender.wait() == exit_code
    assert (tmp_path / "target" / "a.bin").exists() is (exit_code == 0)


async def test_ctrl_c_at_the_question_ends_it_and_the_sender_waits(
    tmp_path: Path, file: Path
) -> None:
    with terminal() as screen:
        async with process("send", str(file), "--json") as sender:
            told = await event(sender, "code")
            arguments = [*told["command"].split()[1:], "--out", str(tmp_path / "target")]
            async with process(
                *arguments, stdin=screen.slave, stderr=screen.slave, environment=AS_ON_A_SCREEN
            ) as receiver:
                await screen.shows(r"Receive\?")
                receiver.send_signal(signal.SIGINT)
                assert await receiver.wait() == 130, screen.text
            assert "Traceback" not in screen.text
            async with process(*receive_arguments(told, tmp_path / "target")) as again:
                await event(again, "done")
            assert await sender.wait() == 0


async def test_a_bar_shows_how_far_it_is_and_over_which_path(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "big\x07.bin", 40 * MB)
    with terminal() as near, terminal() as far:
        async with process(
            "send", str(file), stdout=near.slave, stderr=near.slave, environment=AS_ON_A_SCREEN
        ) as sender:
            arguments = [*await command_of(near), "--yes", "--out", str(tmp_path / "target")]
            async with process(
                *arguments, stdout=far.slave, stderr=far.slave, environment=AS_ON_A_SCREEN
            ) as receiver:
                for screen in (near, far):
                    # Name, bar, how much of how much, rate, time left, path.
                    await screen.shows(
                        r"big_\.bin [━╸╺]+ \d+\.\d/41\.9 MB \d+\.\d MB/s \d:\d\d:\d\d "
                        r"direct, host/udp"
                    )
                assert await receiver.wait() == 0
                assert await sender.wait() == 0
        await near.shows(r"Sent 41943040 bytes\.")
        await far.shows(r"Received .*big_\.bin\.")
    assert "\a" not in near.text + far.text


async def test_the_progress_of_a_sender_is_what_the_receiver_has(tmp_path: Path) -> None:
    size = 150 * MB  # more than goes over between two views of the progress
    file = random_file(tmp_path / "source" / "big.bin", size)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            await event(receiver, "progress", done=size // 4)
            receiver.send_signal(signal.SIGSTOP)
            try:
                (part,) = (tmp_path / "target").glob("*.part")
                written = part.stat().st_size
                done = 0
                while True:
                    try:
                        async with asyncio.timeout(1):
                            done = (await event(sender, "progress"))["done"]
                    except TimeoutError:
                        break
                assert 0 < done <= written < size
            finally:
                receiver.send_signal(signal.SIGCONT)
            last = await event(sender, "progress", done=size)
            assert (last["total"], last["file"]) == (size, "big.bin")
            assert last["path"] == "direct, host/udp"
            assert await receiver.wait() == 0


@pytest.mark.system("coturn", "netns")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_relayed_path_is_named(tmp_path: Path, transport: str) -> None:
    code = PairingCode.make()
    async with coturn(tmp_path, "127.0.0.1") as turn, serve("127.0.0.1", 0) as server:
        relay = PeerConfiguration(
            iceServers=[RTCIceServer(turn.turn(transport), USER, PASSWORD)],
            iceTransportPolicy=RTCIceTransportPolicy.RELAY,
        )
        async with (
            meet(server.url, code, side=PairingSide.SENDER, configuration=relay) as sender,
            meet(server.url, code, side=PairingSide.RECEIVER) as receiver,
        ):
            near, far = await asyncio.gather(anext(aiter(sender)), anext(aiter(receiver)))
            await asyncio.gather(near.connected(), far.connected())
            assert path_in_short(near) == f"relay, turn/{transport}"
            assert path_in_short(far).startswith("relay, ")


async def test_the_command_as_a_code_to_be_scanned(file: Path) -> None:
    async with process("send", str(file), "--qr") as sender:
        assert sender.stdout is not None
        assert sender.stderr is not None
        await sender.stdout.readline()
        command = (await sender.stdout.readline()).decode().partition(": ")[2].strip()
        height = len(_shown(segno.make(command, error="l")))
        lines = [(await sender.stderr.readline()).decode() for _ in range(height)]
        assert lines == _shown(segno.make(command, error="l"))
        sender.send_signal(signal.SIGINT)
        assert await sender.wait() == 130


def _shown(code: segno.QRCode) -> list[str]:
    out = io.StringIO()
    code.terminal(out=out, compact=True)
    return out.getvalue().splitlines(keepends=True)
