"""``icefloe send`` and ``icefloe receive``, as processes, with all that ends processes."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from icefloe.peer.transfer.protocol import WINDOW
from icefloe.signaling import serve
from tests.helpers.command import run
from tests.helpers.transfers import contents, random_file

MB = 1024 * 1024


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@asynccontextmanager
async def process(*arguments: str, **pipes: Any) -> AsyncIterator[Process]:
    running = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "icefloe", *arguments, **{"stdout": PIPE, "stderr": PIPE, **pipes}
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def event(running: Process, kind: str, **least: int) -> dict[str, Any]:
    """Return the next event of a kind whose numbers are at least these."""
    assert running.stdout is not None
    while line := await running.stdout.readline():
        found: dict[str, Any] = json.loads(line)
        if found["event"] == kind and all(found[key] >= value for key, value in least.items()):
            return found
    assert running.stderr is not None
    raise AssertionError((await running.stderr.read()).decode())


def receive_arguments(told: dict[str, Any], out: Path) -> list[str]:
    return [*told["command"].split()[1:], "--yes", "--json", "--out", str(out)]


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


@pytest.mark.parametrize("killed", ["sender", "receiver"])
async def test_killed_in_the_middle_the_same_command_goes_on(tmp_path: Path, killed: str) -> None:
    size = 40 * MB
    source, target = tmp_path / "source", tmp_path / "target"
    file = random_file(source / "big.bin", size)
    send = ("send", str(file), "--json")
    async with process(*send) as sender:
        told = await event(sender, "code")
        receive = receive_arguments(told, target)
        async with process(*receive) as receiver:
            await event(receiver, "progress", done=size // 4)
            victim = sender if killed == "sender" else receiver
            victim.send_signal(signal.SIGKILL)
            await victim.wait()
            if killed == "receiver":
                (part,) = target.iterdir()
                kept = part.stat().st_size
                async with process(*receive) as again:
                    await event(again, "done")
                    assert await again.wait() == 0
                sent = (await event(sender, "done"))["sent"]
                assert sent <= size - kept
            else:
                async with process(*send) as again:
                    retold = await event(again, "code")
                    assert retold["command"] == told["command"]
                    await event(receiver, "done")
                    assert await receiver.wait() == 0
                    sent = (await event(again, "done"))["sent"]
                assert sent <= size - size // 4 + WINDOW
    assert contents(target) == contents(source)


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
        (["receive", "nonsense", "--server", "127.0.0.1:1", "--yes"], 11, "is not a code"),
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


async def test_an_existing_file_stops_both_sides(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a", 10)
    random_file(tmp_path / "target" / "a", 7)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            assert (await event(receiver, "error"))["code"] == 14
            assert await receiver.wait() == 14
        assert await sender.wait() == 14
        retry = await event(sender, "error")
        assert "The other side reports" in retry["message"]


@pytest.mark.parametrize("what", ["file", "-"])
async def test_ctrl_c_while_waiting_is_clean(tmp_path: Path, what: str) -> None:
    path = str(random_file(tmp_path / "a", 10)) if what == "file" else "-"
    async with process("send", path, "--json", stdin=PIPE) as sender:
        await event(sender, "code")
        sender.send_signal(signal.SIGINT)
        assert await sender.wait() == 130
        assert sender.stderr is not None
        assert await sender.stderr.read() == b""


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    size = 300 * MB
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    with (source / "big.bin").open("wb") as made:
        for _ in range(300):
            made.write(os.urandom(MB))
    async with process("send", str(source / "big.bin"), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target)) as receiver:
            await event(receiver, "progress", done=size - 10 * MB)
            peaks = [_peak(one.pid) for one in (sender, receiver)]
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
    assert max(peaks) < 150 * MB, peaks
    assert (target / "big.bin").stat().st_size == size


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kilobytes) * 1024
