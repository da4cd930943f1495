"""``icefloe send`` and ``icefloe receive`` as processes: what they say and how they end."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from contextlib import suppress
from pathlib import Path

import pytest

from icefloe.signaling import serve
from tests.helpers.command import run
from tests.helpers.commands import event, process, receive_arguments
from tests.helpers.transfers import contents, random_file

MB = 1024 * 1024


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("own_server", [True, False])
async def test_files_and_folders_arrive(tmp_path: Path, own_server: bool) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    random_file(source / "dir" / "日本.bin", 3 * MB)
    random_file(source / "b.txt", 10)
    async with serve("127.0.0.1", 0) as server:
        flags = [] if own_server else ["--server", f"127.0.0.1:{server.port}"]
        paths = [str(source / "dir"), str(source / "b.txt")]
        async with process("send", *paths, *flags, "--json") as sender:
            told = await event(sender, "code")
            async with process(*receive_arguments(told, target)) as receiver:
                done = await event(receiver, "done")
                assert done["files"] == [str(target / "dir"), str(target / "b.txt")]
                assert await receiver.wait() == 0
            assert (await event(sender, "done"))["sent"] == 3 * MB + 10
            assert await sender.wait() == 0
    assert contents(target) == contents(source)
    # The code is used up: nothing of it is left.
    assert not list((tmp_path / "cache" / "icefloe" / "sends").iterdir())


async def test_standard_input_to_standard_output(tmp_path: Path) -> None:
    data = os.urandom(2 * MB)
    async with process("send", "-", "--json", stdin=PIPE) as sender:
        told = await event(sender, "code")
        arguments = [*told["command"].split()[1:], "--yes", "--out", "-"]
        async with process(*arguments) as receiver:
            assert sender.stdin is not None
            sender.stdin.write(data)
            sender.stdin.close()
            out, err = await receiver.communicate()
            assert receiver.returncode == 0, err.decode()
            assert out == data
        assert await sender.wait() == 0


async def test_a_wrong_code_and_an_absent_sender_have_an_exit_code(tmp_path: Path) -> None:
    file = random_file(tmp_path / "a", 10)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        code, server = told["code"], told["command"].split()[-1]
        place, _, words = code.partition("-")
        wrong = f"{place}-{'-'.join(reversed(words.split('-')))}"
        if wrong != code:
            exit_code, _, err = await run("receive", wrong, "--server", server, "--yes")
            assert (exit_code, "codes of the two sides differ" in err) == (11, True)
        elsewhere = f"{int(place) + 1}-{words}"
        exit_code, _, err = await run(
            "receive", elsewhere, "--server", server, "--yes", "--wait", "0.5"
        )
        assert (exit_code, "Nobody offers" in err) == (11, True)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (["send", "/nowhere/at/all"], 14, "No such file"),
        (["receive", "7-amber-falcon", "--yes"], 2, "--server"),
        (["receive", "7-amber-falcon", "--server", "x"], 2, "--yes"),
        (["receive", "nonsense", "--server", "127.0.0.1:1", "--yes"], 2, "is not a code"),
        (
            ["receive", "7-amber-falcon", "--server", "127.0.0.1:1", "--yes"],
            10,
            "cannot be reached",
        ),
    ],
)
async def test_what_goes_wrong_at_first(arguments: list[str], exit_code: int, words: str) -> None:
    async with process(*arguments, stdin=asyncio.subprocess.DEVNULL) as running:
        _, err = await running.communicate()
    assert running.returncode == exit_code, err.decode()
    assert words in err.decode()
    assert "Traceback" not in err.decode()


async def test_an_existing_file_stops_both_sides_and_is_not_told(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a", 10)
    random_file(tmp_path / "target" / "a", 7)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            error = await event(receiver, "error")
            assert (error["code"], str(tmp_path / "target" / "a") in error["message"]) == (14, True)
            assert await receiver.wait() == 14
        assert await sender.wait() == 13
        told = (await event(sender, "error"))["message"]
        assert told == "The other side declined the files: it gave no reason"


@pytest.mark.parametrize("what", ["file", "-"])
async def test_ctrl_c_while_waiting_is_clean(tmp_path: Path, what: str) -> None:
    path = str(random_file(tmp_path / "a", 10)) if what == "file" else "-"
    async with process("send", path, "--json", stdin=PIPE) as sender:
        await event(sender, "code")
        sender.send_signal(signal.SIGINT)
        assert await sender.wait() == 130
        assert sender.stderr is not None
        assert await sender.stderr.read() == b""


async def test_who_does_not_read_the_events_does_not_hold_up_the_transfer(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 40 * MB)
    reading, writing = os.pipe()
    try:
        os.set_blocking(writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(writing, b"\n" * 4096)  # as if there were events that nobody has read
        os.set_blocking(writing, True)
        async with process("send", str(file), "--json") as sender:
            told = await event(sender, "code")
            arguments = receive_arguments(told, tmp_path / "target")
            async with process(*arguments, stdout=writing) as receiver:
                await event(sender, "done")
                assert await sender.wait() == 0
                os.set_blocking(reading, False)
                lines = b""
                while b"done" not in lines:
                    with suppress(BlockingIOError):
                        lines += os.read(reading, 65536)
                    await asyncio.sleep(0)
                assert await receiver.wait() == 0
    finally:
        os.close(reading)
        os.close(writing)
