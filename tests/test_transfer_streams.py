"""``icefloe send`` and ``icefloe receive`` whose standard streams are closed, broken or odd."""

import asyncio
import json
import os
import shlex
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from icefloe.signaling import serve
from tests.helpers.commands import event, process, receive_arguments
from tests.helpers.transfers import contents, random_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="closes streams by a shell")

MB = 1024 * 1024


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return random_file(tmp_path / "source" / "a.bin", 2 * MB)


async def shell(
    arguments: list[str], redirections: str, environment: dict[str, str] | None = None
) -> tuple[int, bytes, bytes]:
    """Run the command to its end with redirections of a shell."""
    command = shlex.join([sys.executable, "-m", "icefloe", *arguments])
    running = await asyncio.create_subprocess_shell(
        f"exec {command} {redirections}",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **(environment or {})},
    )
    out, err = await running.communicate()
    assert running.returncode is not None
    return running.returncode, out, err


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "redirections", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"]
)
async def test_a_receiver_without_its_streams(
    tmp_path: Path, file: Path, redirections: str
) -> None:
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        arguments = receive_arguments(told, tmp_path / "target")
        code, out, err = await shell(arguments, redirections)
        assert code == 0, err.decode()
        assert b"Traceback" not in err + out
        assert b"Exception" not in err + out
        await event(sender, "done")
        assert await sender.wait() == 0
    assert contents(tmp_path / "target") == contents(file.parent)
    where = err if redirections == ">&-" else out
    if redirections in ("<&-", ">&-", "2>&-"):
        assert json.loads(where.decode().splitlines()[-1])["event"] == "done"


@pytest.mark.timeout(120)
@pytest.mark.parametrize("redirections", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">/dev/full"])
async def test_a_sender_without_its_streams(tmp_path: Path, file: Path, redirections: str) -> None:
    async with serve("127.0.0.1", 0) as server:
        arguments = ["send", str(file), "--server", server.url, "--json"]
        # The same command has the same code again, so it is known where nobody is told of it.
        async with process(*arguments) as first:
            told = await event(first, "code")
        sending = asyncio.create_task(shell(arguments, redirections))
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            await event(receiver, "done")
            assert await receiver.wait() == 0
        code, out, err = await sending
    assert code == 0, err.decode()
    assert b"Traceback" not in err + out
    assert contents(tmp_path / "target") == contents(file.parent)
    where = err if redirections == ">&-" else out
    if redirections in ("<&-", ">&-", "2>&-"):
        assert json.loads(where.decode().splitlines()[-1])["event"] == "done"


async def test_a_sender_whose_reader_has_read_enough_goes_on(tmp_path: Path, file: Path) -> None:
    # As under `head -1`.
    async with process("send", str(file)) as sender:
        assert sender.stdout is not None
        code = (await sender.stdout.readline()).decode().partition(": ")[2].strip()
        command = (await sender.stdout.readline()).decode().partition(": ")[2].split()
        assert command[2] == code
        sender.stdout._transport.close()  # type: ignore[attr-defined]
        arguments = [*command[1:], "--yes", "--out", str(tmp_path / "target")]
        async with process(*arguments) as receiver:
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
        assert sender.stderr is not None
        err = (await sender.stderr.read()).decode()
        assert err.splitlines() in ([], [f"icefloe: {BROKEN}"]), err


BROKEN = "standard output is closed ([Errno 32] Broken pipe); it goes on without"


async def test_events_that_nobody_takes_any_more(tmp_path: Path, file: Path) -> None:
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        assert sender.stdout is not None
        sender.stdout._transport.close()  # type: ignore[attr-defined]
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            await event(receiver, "done")
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
        assert sender.stderr is not None
        assert (await sender.stderr.read()).decode().splitlines() == [f"icefloe: {BROKEN}"]


async def test_data_that_nobody_takes_any_more_ends_both_sides(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 20 * MB)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, "-")) as receiver:
            assert receiver.stdout is not None
            await receiver.stdout.readexactly(1000)
            receiver.stdout._transport.close()  # type: ignore[attr-defined]
            assert await receiver.wait() == 14
            assert receiver.stderr is not None
            (line,) = (await receiver.stderr.read()).decode().splitlines()
            assert "the output is closed" in line
        assert (await event(sender, "error"))["code"] == 14
        assert await sender.wait() == 14


async def test_a_full_output_ends_both_sides(tmp_path: Path, file: Path) -> None:
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        code, _, err = await shell(receive_arguments(told, "-"), ">/dev/full")
        assert code == 14, err.decode()
        assert len(err.decode().splitlines()) == 1
        assert (await event(sender, "error"))["code"] == 14
        assert await sender.wait() == 14


@pytest.mark.parametrize(
    ("arguments", "redirections", "code"),
    [
        (["send", "-"], "<&-", 14),
        (
            ["receive", "7-amber-falcon", "--server", "127.0.0.1:1", "--yes", "--out", "-"],
            ">&-",
            14,
        ),
        (["receive", "7-amber-falcon", "--server", "127.0.0.1:1"], "<&-", 2),
        (["receive", "nonsense", "--server", "127.0.0.1:1", "--yes"], ">&- 2>&-", 2),
    ],
)
async def test_a_stream_that_is_needed_and_closed(
    arguments: list[str], redirections: str, code: int
) -> None:
    found, _, err = await shell(arguments, redirections)
    assert found == code, err.decode()
    assert b"Traceback" not in err
    if "2>&-" not in redirections and code != 2:
        assert len(err.decode().splitlines()) == 1


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"TERM": "dumb"},
        {"TERM": "", "COLUMNS": "1"},
    ],
    ids=lambda environment: " ".join(environment),
)
async def test_names_that_the_terminal_cannot_show(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    file = random_file(tmp_path / "source" / "日本.bin", 10)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        arguments = [*told["command"].split()[1:], "--yes", "--out", str(tmp_path / "target é")]
        async with process(*arguments, environment=environment, anew=True) as receiver:
            out, err = await receiver.communicate()
            assert (receiver.returncode, err) == (0, b""), err.decode()
            assert out.startswith(b"Received ")
        assert await sender.wait() == 0
    # Where the names of files are ASCII, the name is changed.
    name = "__.bin" if "LC_ALL" in environment else "日本.bin"
    assert (tmp_path / "target é" / name).stat().st_size == 10


async def test_a_user_whose_home_cannot_be_written_to(file: Path) -> None:
    nowhere = {"XDG_CACHE_HOME": "", "HOME": "/proc/nowhere"}
    async with process("send", str(file), "--json", "--wait", "0.5", environment=nowhere) as sender:
        _, err = await sender.communicate()
    assert sender.returncode == 11
    lines = err.decode().splitlines()
    assert ["cannot be resumed later" in line for line in lines] == [True, False]
