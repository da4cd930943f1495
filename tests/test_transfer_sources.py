"""``icefloe send`` with what a disk may hold, and with what is no file, as processes."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import event, process, receive_arguments
from tests.helpers.transfers import contents, random_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="makes pipes and devices")

YEAR = 365 * 24 * 3600 * 10**9


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def arrives(paths: list[Path | str], target: Path, **options: Any) -> list[Path]:
    """Transfer with the command; return where it arrived."""
    async with process("send", *map(str, paths), "--json", **options) as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target)) as receiver:
            files = (await event(receiver, "done"))["files"]
            assert await receiver.wait() == 0
        await event(sender, "done")
        assert await sender.wait() == 0
    return [Path(name) for name in files]


async def refused(*arguments: str, **options: Any) -> str:
    """Run a command that cannot read what it is to send; return the line that it says."""
    async with process("send", *arguments, **options) as sender:
        out, err = await sender.communicate()
    assert (sender.returncode, out) == (14, b""), err.decode()
    (line,) = err.decode().splitlines()
    assert line.startswith("icefloe: ")
    return line


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and /sys")
async def test_files_that_tell_a_wrong_size_are_read_to_their_end(tmp_path: Path) -> None:
    made_up = ["/proc/version", "/proc/self/limits", "/proc/cpuinfo"]
    attribute = "/sys/kernel/mm/transparent_hugepage/enabled"
    if os.path.exists(attribute):
        made_up.append(attribute)  # tells 4096, and has some 20
    assert os.stat("/proc/version").st_size == 0
    empty = tmp_path / "empty"
    empty.touch()
    hole = tmp_path / "hole"
    with hole.open("wb") as file:
        file.truncate(3_000_000)
    places = await arrives([*made_up, empty, hole], tmp_path / "target")
    names = [*map(os.path.basename, made_up), "empty", "hole"]
    assert [place.name for place in places] == names
    arrived = [place.read_bytes() for place in places]
    assert arrived[0] == Path("/proc/version").read_bytes()
    assert b"Max open files" in arrived[1]
    assert arrived[2].count(b"processor") == Path("/proc/cpuinfo").read_bytes().count(b"processor")
    if attribute in made_up:
        assert arrived[3] == Path(attribute).read_bytes()
    assert arrived[-2:] == [b"", bytes(3_000_000)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_a_folder_with_files_that_tell_no_size(tmp_path: Path) -> None:
    (place,) = await arrives(["/proc/sys/net/core"], tmp_path / "target")
    arrived = contents(place)
    for name in ("somaxconn", "rmem_max"):
        if (Path("/proc/sys/net/core") / name).exists():
            assert arrived[name] == (Path("/proc/sys/net/core") / name).read_bytes()
    assert arrived


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or not os.path.exists("/proc/kmsg"),
    reason="needs root on Linux",
)
async def test_a_file_without_an_end_is_not_waited_for(tmp_path: Path) -> None:
    # What the kernel has logged since somebody read it last, and then nothing for now.
    told: dict[str, Any] = {}
    async with process("send", "/proc/kmsg", "--json") as sender:
        while line := await sender.stdout.readline():  # type: ignore[union-attr]
            told = json.loads(line)
            if told["event"] == "error":
                break
            if told["event"] != "code":
                continue
            async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
                assert "no end" in (await event(receiver, "error"))["message"]
                assert await receiver.wait() == 14
        assert (told["code"], "no end" in told["message"]) == (14, True)
        assert await sender.wait() == 14


async def test_what_is_neither_file_nor_folder_is_refused(tmp_path: Path) -> None:
    fifo, link, file = tmp_path / "fifo", tmp_path / "link", random_file(tmp_path / "a", 5)
    os.mkfifo(fifo)
    link.symlink_to(fifo)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path, kind in (
            (fifo, "a pipe"),
            (link, "a pipe"),
            (tmp_path / "socket", "a socket"),
            ("/dev/null", "a device"),
        ):
            line = await refused(str(file), str(path))
            assert f"it is {kind}" in line
            assert "icefloe send - <" in line


async def test_what_a_shell_gives_in_place_of_a_file_is_refused() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    try:
        # As `icefloe send <(...)` passes it.
        line = await refused(f"/dev/fd/{reading}", anew=True, pass_fds=(reading,))
    finally:
        os.close(reading)
    assert "it is a pipe" in line


@pytest.mark.parametrize("name", ["", "nowhere", "loop", "broken", "file/below", "n" * 300])
async def test_names_of_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    file = random_file(tmp_path / "file", 5)
    if name:
        await refused(str(file), name, cwd=tmp_path)
        return
    async with process("send", str(file), "", cwd=tmp_path) as sender:
        out, err = await sender.communicate()
    assert (sender.returncode, out) == (2, b"")
    assert "an empty name" in err.decode()


async def test_a_folder_of_work_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"rmdir {gone}; exec {sys.executable} -m icefloe send ."
    running = await asyncio.create_subprocess_shell(
        script, cwd=gone, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, err = await running.communicate()
    assert running.returncode == 14, err.decode()
    assert "No such file" in err.decode()
    assert "Traceback" not in err.decode()


async def test_times_beyond_what_can_be_said_do_not_matter(tmp_path: Path) -> None:
    source = tmp_path / "source"
    times = {
        "late": 200 * YEAR,  # in 2169
        "very late": 2**63 - 1,
        "early": -1,
        "very early": -140 * YEAR,
        "earliest": -200 * YEAR,
        "epoch": 0,
        "odd": 1_234_567_890_123_456_789,
    }
    for name, when in times.items():
        file = random_file(source / name, 10)
        os.utime(file, ns=(0, when))
    os.utime(source, ns=(0, 200 * YEAR))
    # What the file system of this machine keeps.
    kept = {name: (source / name).stat().st_mtime_ns for name in times}
    assert max(kept.values()) >= 2**62, "this file system has no such times"
    (place,) = await arrives([source], tmp_path / "target")
    for name, when in kept.items():
        assert (place / name).read_bytes() == (source / name).read_bytes()
        if -(2**62) <= when < 2**62:
            assert (place / name).stat().st_mtime_ns == when, name
    # Again: what tells its time is there.
    for name, when in kept.items():
        if not -(2**62) <= when < 2**62:
            (source / name).unlink()
    (again,) = await arrives([source], tmp_path / "target")
    assert again == place


async def test_names_that_are_no_unicode_or_differ_in_little(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    raw = [b"\xff\xfe", b"\xff\xfd", b"a\nb", b"-", b"--json", b"*", b" ", b"~", b"a\tb"]
    raw += [unicodedata.normalize(form, "\u00e9").encode() for form in ("NFC", "NFD")]
    raw += [b"Case", b"case", "\u202egpj.exe".encode()]
    for number, name in enumerate(raw):
        (Path(os.fsdecode(os.fsencode(source) + b"/" + name))).write_bytes(bytes([number]))
    (place,) = await arrives([source], tmp_path / "target")
    arrived = sorted(contents(place).values(), key=repr)
    assert arrived == sorted((bytes([number]) for number in range(len(raw))), key=repr)
    # Each of them alone, as an argument.
    paths = [os.fsencode(source) + b"/" + name for name in raw[:4]]
    places = await arrives([os.fsdecode(path) for path in paths], tmp_path / "alone")
    assert [place.read_bytes() for place in places] == [b"\0", b"\1", b"\2", b"\3"]


@pytest.mark.parametrize("given", [".", "../source", "source/", "source/sub/..", "both"])
async def test_ways_to_name_a_folder(tmp_path: Path, given: str) -> None:
    source = tmp_path / "source"
    random_file(source / "sub" / "a", 5)
    (source / "empty").mkdir()
    paths = [source, source] if given == "both" else [given]
    cwd = source if given.startswith(".") else tmp_path
    places = await arrives([*paths], tmp_path / "target", cwd=cwd)
    names = ["source", "source (2)"] if given == "both" else ["source"]
    assert [place.name for place in places] == names
    for place in places:
        assert contents(place) == contents(source)


async def test_folders_that_are_nested_too_deeply_are_refused_before_a_code_is_shown(
    tmp_path: Path,
) -> None:
    deep = tmp_path / "top"
    for _ in range(70):
        deep /= "d"
    deep.mkdir(parents=True)
    assert "Send an archive" in await refused(str(tmp_path / "top"))


async def test_a_file_that_is_gone_when_its_turn_comes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("a", "b"):
        random_file(source / name, 1000)
    async with process("send", str(source), "--json") as sender:
        told = await event(sender, "code")
        (source / "b").unlink()
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            for one in (receiver, sender):
                error = await event(one, "error")
                assert error["code"] == 14
                assert "'source/b': No such file" in error["message"]
                assert await one.wait() == 14


@pytest.mark.parametrize("put", ["fifo", "folder", "link"])
async def test_a_file_in_whose_place_is_something_else(tmp_path: Path, put: str) -> None:
    file = random_file(tmp_path / "source" / "a", 1000)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        file.unlink()
        if put == "fifo":
            os.mkfifo(file)  # which nobody will ever write to
        elif put == "folder":
            file.mkdir()
        else:
            file.symlink_to(file)
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            for one in (receiver, sender):
                assert (await event(one, "error"))["code"] == 14
                assert await one.wait() == 14


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_standard_input_that_cannot_be_read(tmp_path: Path) -> None:
    nothing_there = os.open("/proc/self/mem", os.O_RDONLY)  # at address 0
    try:
        async with process("send", "-", "--json", stdin=nothing_there) as sender:
            told = await event(sender, "code")
            async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
                for one in (receiver, sender):
                    assert (await event(one, "error"))["code"] == 14
                    assert await one.wait() == 14
    finally:
        os.close(nothing_there)
