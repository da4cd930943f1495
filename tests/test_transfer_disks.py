"""``icefloe send`` and ``icefloe receive`` with disks and sources that fail, as processes."""

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import event, process, receive_arguments
from tests.helpers.transfers import contents, random_file

MB = 1024 * 1024
NOBODY = 65534

_EVERYTHING = "-dac_override,-dac_read_search"
LIKE_ANYBODY = ("setpriv", f"--bounding-set={_EVERYTHING}", f"--inh-caps={_EVERYTHING}", "--")
"""Starts a program for which permissions hold, though its user is root."""

needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root on Linux, and setpriv",
)


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def both_fail(paths: list[Path], target: Path, words: str, **options: Any) -> None:
    """Transfer, and see that both sides say why it failed, and end with 14."""
    await fail(paths, target, words, (14, words), **options)


async def receiver_fails(paths: list[Path], target: Path, words: str, **options: Any) -> None:
    """Transfer, and see that the receiver says why it failed, and the sender knows nothing."""
    await fail(paths, target, words, (13, "declined the files: it gave no reason"), **options)


async def fail(
    paths: list[Path], target: Path, words: str, at_sender: tuple[int, str], **options: Any
) -> None:
    async with process("send", *map(str, paths), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target), **options) as receiver:
            for one, code, text in ((receiver, 14, words), (sender, *at_sender)):
                error = await event(one, "error")
                assert (error["code"], text in error["message"]) == (code, True), error
                assert await one.wait() == code


@needs_root
async def test_a_receiver_that_may_not_write_there(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    os.chown(target, NOBODY, NOBODY)
    await both_fail([file], target, "(permission)", through=LIKE_ANYBODY)
    assert not list(target.iterdir())


@needs_root
async def test_a_folder_that_is_there_and_may_not_be_entered(tmp_path: Path) -> None:
    random_file(tmp_path / "source" / "a.bin", 1000)
    there = tmp_path / "target" / "source"
    there.mkdir(parents=True)
    there.chmod(0)
    os.chown(there, NOBODY, NOBODY)
    sent = [tmp_path / "source"]
    await receiver_fails(sent, there.parent, "(permission)", through=LIKE_ANYBODY)


@pytest.mark.parametrize("kind", ["file", "broken", "loop", "fifo"])
async def test_a_target_that_is_no_folder_is_refused_and_the_sender_waits(
    tmp_path: Path, kind: str
) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    target = tmp_path / "target"
    if kind == "file":
        random_file(target, 5)
    elif kind == "fifo":
        os.mkfifo(target)
    else:
        target.symlink_to(target if kind == "loop" else tmp_path / "nowhere")
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target)) as receiver:
            error = await event(receiver, "error")
            assert (error["code"], "is no folder" in error["message"]) == (14, True), error
            assert await receiver.wait() == 14
        target.unlink()
        # A link to a folder is as good as the folder.
        (tmp_path / "folder").mkdir()
        target.symlink_to(tmp_path / "folder")
        async with process(*receive_arguments(told, target)) as receiver:
            await event(receiver, "done")
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
    assert contents(tmp_path / "folder") == contents(file.parent)


@pytest.mark.timeout(180)
async def test_a_target_that_goes_away_meanwhile(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 40 * MB)
    target = tmp_path / "target"
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target)) as receiver:
            await event(receiver, "progress", done=1)
            shutil.rmtree(target)
            for one in (receiver, sender):
                error = await event(one, "error")
                assert (error["code"], "(unwritable)" in error["message"]) == (14, True), error
                assert await one.wait() == 14


@needs_root
async def test_a_sender_that_may_not_read(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 1000)
    file.chmod(0o600)
    os.chown(file, NOBODY, NOBODY)
    async with process("send", str(file), "--json", through=LIKE_ANYBODY) as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            for one in (receiver, sender):
                error = await event(one, "error")
                assert (error["code"], "(unreadable)" in error["message"]) == (14, True), error
                assert await one.wait() == 14


@needs_root
async def test_a_full_disk_and_the_same_again_with_room(tmp_path: Path, small_disk: Path) -> None:
    file = random_file(tmp_path / "source" / "a.bin", 6 * MB)
    await both_fail([file], small_disk, "(disk-full)")
    (part,) = small_disk.iterdir()
    kept = part.stat().st_size
    assert kept > 3 * MB
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, small_disk)) as receiver:
            await event(receiver, "done")
            assert await receiver.wait() == 0
        assert (await event(sender, "done"))["sent"] == 6 * MB - kept
    assert contents(small_disk) == contents(file.parent)


@pytest.mark.parametrize("how", ["shorter", "longer", "written"])
async def test_a_source_that_changes_while_it_is_sent(tmp_path: Path, how: str) -> None:
    size = 160 * MB
    file = random_file(tmp_path / "source" / "a.bin", size)
    target = tmp_path / "target"
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target)) as receiver:
            await event(receiver, "progress", done=size // 8)
            sender.send_signal(signal.SIGSTOP)
            if how == "written":
                with file.open("r+b") as again:
                    again.write(b"new")
            else:
                os.truncate(file, size // 4 if how == "shorter" else size * 2)
            sender.send_signal(signal.SIGCONT)
            for one in (receiver, sender):
                error = await event(one, "error")
                assert (error["code"], "(changed)" in error["message"]) == (14, True), error
                assert await one.wait() == 14
    assert not (target / "a.bin").exists()


async def test_names_times_modes_holes_and_links(tmp_path: Path) -> None:
    source, target = tmp_path / "source" / "s", tmp_path / "target"
    names = ["NUL", "com1.txt", "a\x1b[2Jb", "c\nd", "\u202egnp.exe", "e\\f", "g.", "é", "Ä", "ä"]
    for size, name in enumerate(names):
        random_file(source / name, size)
    (source / "ä").chmod(0o640)
    os.utime(source / "ä", ns=(0, 1_234_567_890_123_456_789))
    (source / "link").symlink_to("/etc/passwd")
    with (source / "holes").open("wb") as sparse:
        sparse.seek(30 * MB)
        sparse.write(b"end")
    async with process("send", str(source), str(source / "ä"), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target)) as receiver:
            await event(receiver, "done")
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
        assert sender.stderr is not None
        assert "link, or no file" in (await sender.stderr.read()).decode()
    arrived = {path.name: path for path in (target / "s").iterdir()}
    safe = ["_NUL", "_com1.txt", "a_[2Jb", "c_d", "_gnp.exe", "e_f", "g_", "é", "Ä", "ä"]
    assert {*arrived} == {*safe, "holes"}
    assert [arrived[name].stat().st_size for name in safe] == list(range(len(names)))
    kept = arrived["ä"].stat()
    assert (stat.S_IMODE(kept.st_mode), kept.st_mtime_ns) == (0o640, 1_234_567_890_123_456_789)
    assert arrived["holes"].read_bytes() == (source / "holes").read_bytes()
    assert arrived["holes"].stat().st_blocks * 512 < MB
    assert (target / "ä").stat().st_size == 9


async def test_two_of_the_same_name_both_arrive(tmp_path: Path) -> None:
    one = random_file(tmp_path / "one" / "a.tar.gz", 10)
    two = random_file(tmp_path / "two" / "a.tar.gz", 20)
    async with process("send", str(one), str(two), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            files = (await event(receiver, "done"))["files"]
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
    assert [Path(name).stat().st_size for name in files] == [10, 20]
    assert Path(files[0]).name == "a.tar.gz"


async def test_what_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    file = random_file(tmp_path / "source" / "a", 1000)
    target = tmp_path / "target"
    old = random_file(target / "a", 1000).read_bytes()
    await receiver_fails([file], target, "(exists)")
    assert (target / "a").read_bytes() == old
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, target, "--overwrite")) as receiver:
            await event(receiver, "done")
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
    assert contents(target) == contents(file.parent)
