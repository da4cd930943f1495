"""Senders that mean harm: to files of others, to what is there already, to memory and time."""

import asyncio
import errno
import fcntl
import importlib
import json
import os
import stat
import subprocess
import sys
import tracemalloc
from hashlib import blake2b
from pathlib import Path

import pytest

from icefloe.peer.files import file_names, partial_file
from icefloe.peer.files.destination import Destination
from icefloe.peer.files.disk_thread import Disk, Stop, Stopped
from icefloe.peer.files.errors import TransferErrorCode, TransferFailed
from icefloe.peer.files.file_names import arrange, gather, part_name
from icefloe.peer.files.partial_file import MAX_PARTS, unwritable
from icefloe.peer.files.protocol import (
    MAX_ENTRIES,
    MAX_OFFER_BYTES,
    MAX_PATH_BYTES,
    MESSAGE_LIMIT,
    Entries,
    Entry,
    Failed,
    decode_from_receiver,
    decode_from_sender,
)
from icefloe.peer.files.receiver import Receiver, ReceiverState

MTIME = 1_700_000_000_123_456_789
GOOD, EVIL = b"good " * 40_000, b"EVIL " * 40_000
ENTRY = Entry("setup.sh", size=len(GOOD), mtime=MTIME, mode=0o755)


def hash_of(data: bytes) -> str:
    return blake2b(data, digest_size=32).hexdigest()


def ready(folder: Path, *entries: Entry, overwrite: bool = False) -> Destination:
    destination = Destination(folder, entries, overwrite=overwrite)
    destination.check()
    destination.make_folders()
    return destination


# --- parts


def test_two_transfers_of_the_same_file_keep_apart(tmp_path: Path) -> None:
    one, two = ready(tmp_path, ENTRY), ready(tmp_path, ENTRY)
    assert one.kept() == two.kept() == []
    good, evil = one.open(0, 0), two.open(0, 0)
    good.write(0, GOOD[:100_000])
    evil.write(0, EVIL[:150_000])
    good.write(100_000, GOOD[100_000:])
    good.finish(len(GOOD), hash_of(GOOD))
    good.close()
    evil.write(150_000, EVIL[150_000:])
    assert (tmp_path / "setup.sh").read_bytes() == GOOD
    with pytest.raises(TransferFailed) as caught:
        evil.finish(len(EVIL), hash_of(EVIL))
    assert caught.value.code == TransferErrorCode.EXISTS
    evil.close()
    assert (tmp_path / "setup.sh").read_bytes() == GOOD


def test_what_another_program_wrote_to_a_part_is_noticed(tmp_path: Path) -> None:
    file = ready(tmp_path, ENTRY).open(0, 0)
    file.write(0, GOOD)
    (written,) = tmp_path.glob("*.part")
    with written.open("r+b") as other:
        other.seek(70_000)
        other.write(b"EVIL")
    with pytest.raises(TransferFailed) as caught:
        file.finish(len(GOOD), hash_of(GOOD))
    assert caught.value.code == TransferErrorCode.MISMATCH
    file.close()
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_process_is_left_alone(tmp_path: Path) -> None:
    written = tmp_path / part_name("setup.sh", ENTRY)
    written.write_bytes(EVIL[:1000])
    hold = "import fcntl,sys; f=open(sys.argv[1]); fcntl.flock(f, 2); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(written)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        destination = ready(tmp_path, ENTRY)
        assert destination.kept() == []
        file = destination.open(0, 0)
        file.write(0, GOOD)
        file.finish(len(GOOD), hash_of(GOOD))
        file.close()
        other.communicate(b"\n")
    assert written.read_bytes() == EVIL[:1000]
    assert (tmp_path / "setup.sh").read_bytes() == GOOD


def test_a_part_is_gone_on_with_by_one(tmp_path: Path) -> None:
    file = ready(tmp_path, ENTRY).open(0, 0)
    file.write(0, GOOD[:1000])
    file.close()
    one, two = ready(tmp_path, ENTRY), ready(tmp_path, ENTRY)
    assert [kept.size for kept in (*one.kept(), *two.kept())] == [1000, 1000]
    first = one.open(0, 1000)
    with pytest.raises(TransferFailed, match="another transfer"):
        two.open(0, 1000)
    first.write(1000, GOOD[1000:])
    first.finish(len(GOOD), hash_of(GOOD))
    first.close()


def test_there_are_so_many_parts_and_no_more(tmp_path: Path) -> None:
    files = [ready(tmp_path, ENTRY).open(0, 0) for _ in range(MAX_PARTS)]
    with pytest.raises(TransferFailed, match="another transfer"):
        ready(tmp_path, ENTRY).open(0, 0)
    for file in files:
        file.close()


def test_a_file_system_without_locks_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    file = ready(tmp_path, ENTRY).open(0, 0)
    file.write(0, GOOD)
    file.finish(len(GOOD), hash_of(GOOD))
    file.close()
    assert (tmp_path / "setup.sh").read_bytes() == GOOD


# --- what is there already


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_that_are_there_keep_permissions_and_times(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    os.utime(tmp_path / ".ssh", ns=(MTIME, MTIME))
    offered = [Entry(name, folder=True, mode=0o777, mtime=1) for name in (".ssh", "new")]
    destination = ready(tmp_path, *offered)
    destination.complete()
    assert mode_of(tmp_path / ".ssh") == 0o700
    assert (tmp_path / ".ssh").stat().st_mtime_ns == MTIME
    assert (tmp_path / "new").stat().st_mtime_ns == 1


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_what_is_new_follows_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        entries = [Entry("d", folder=True, mode=0o777), Entry("f", size=0, mode=0o777)]
        destination = ready(tmp_path, *entries, Entry("g", size=0))
        for index in (1, 2):
            file = destination.open(index, 0)
            file.finish(0, hash_of(b""))
            file.close()
        destination.complete()
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "d") == mode_of(tmp_path / "f") == 0o777 & ~umask
    assert mode_of(tmp_path / "g") == 0o666 & ~umask


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("mtime", [None, 1, MTIME + 10**10])
def test_nothing_is_told_of_a_file_that_no_transfer_left(
    tmp_path: Path, mtime: int | None, overwrite: bool
) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("PIN=4711")
    os.utime(secret, ns=(MTIME, MTIME))
    entry = Entry("secret.txt", size=8, mtime=mtime)
    assert Destination(tmp_path, [entry], overwrite=overwrite).kept() == []
    if not overwrite:
        with pytest.raises(TransferFailed) as caught:
            ready(tmp_path, entry)
        assert Failed.of(caught.value) == Failed("cancelled", "the receiver stopped it")
        assert str(secret) in str(caught.value)  # for the user of this machine


def test_a_file_that_a_transfer_left_is_not_sent_again(tmp_path: Path) -> None:
    file = ready(tmp_path, ENTRY).open(0, 0)
    file.write(0, GOOD)
    file.finish(len(GOOD), hash_of(GOOD))
    file.close()
    again = ready(tmp_path, ENTRY)
    (kept,) = again.kept()
    assert (kept.size, kept.hash) == (len(GOOD), hash_of(GOOD))
    whole = again.open(0, len(GOOD))
    with pytest.raises(TransferFailed, match="complete already"):
        whole.write(len(GOOD), b"more")
    whole.finish(len(GOOD), hash_of(GOOD))
    # Changed behind the back of the transfer, it is read again.
    (tmp_path / "setup.sh").write_bytes(EVIL)
    with pytest.raises(TransferFailed) as caught:
        whole.finish(len(GOOD), hash_of(GOOD))
    assert caught.value.code == TransferErrorCode.MISMATCH
    whole.close()


def test_errors_of_the_system_do_not_tell_places_to_the_other_side(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(TransferFailed) as caught:
        Destination(place, [ENTRY])
    for error in (caught.value, unwritable("a", OSError(f"at {tmp_path}"), str(tmp_path))):
        told = Failed.of(error)
        assert str(tmp_path) not in f"{told.detail}{told.path}"
        assert str(tmp_path) in str(error)


@pytest.mark.parametrize("number", ["EACCES", "EPERM", "EEXIST", "ENOTDIR", "EISDIR", "ELOOP"])
def test_errors_of_the_system_that_tell_what_is_there_are_not_told(number: str) -> None:
    error = OSError(getattr(errno, number), "words of the system")
    failed = unwritable("a/b", error)
    assert Failed.of(failed) == Failed("cancelled", "the receiver stopped it")
    assert "a/b" in str(failed)
    # The folder that the receiver chose is not the sender's guess.
    assert Failed.of(unwritable("", error, "/folder")).code == unwritable("", error).code


def test_other_errors_of_the_system_are_told() -> None:
    for number, code in ((errno.ENOSPC, "disk-full"), (errno.EIO, "unwritable")):
        told = Failed.of(unwritable("a", OSError(number, "words")))
        assert (told.code, told.path, told.detail) == (code, "a", "words")


# --- time


@pytest.mark.parametrize("case_sensitive", [True, False])
def test_equal_names_take_no_square_of_the_time(
    monkeypatch: pytest.MonkeyPatch, case_sensitive: bool
) -> None:
    tried = 0

    def counting(name: str, longest: int) -> str:
        nonlocal tried
        tried += 1
        return name

    monkeypatch.setattr(file_names, "shortened", counting)
    names = ["a.txt", "A.TXT", *(f"a ({number}).txt" for number in range(2, 2000))]
    entries = [Entry(name, size=0) for name in names] + [Entry("a.txt", size=0)] * 20_000
    places = arrange(entries, case_sensitive=case_sensitive)
    assert len(set(places)) == len(entries)
    assert places[-1] != places[-2]
    assert tried <= 3 * len(entries)


def test_folders_that_are_only_implied_are_limited() -> None:
    deep = "/x" * 60
    with pytest.raises(TransferFailed, match="folders"):
        arrange([Entry(f"{number}{deep}", size=0) for number in range(MAX_ENTRIES // 50)])


async def test_a_cancellation_ends_long_work_on_the_disk(tmp_path: Path) -> None:
    size = 2**42  # 4 TiB of hole, which would be hashed for an hour
    entry = Entry("big", size=size, mtime=1)
    with (tmp_path / part_name("big", entry)).open("wb") as file:
        try:
            file.truncate(size)
        except OSError:
            pytest.skip("files cannot be so large here")
    disk = Disk()
    destination = await disk.run(Destination, tmp_path, [entry], stop=disk.stop)
    hashing = asyncio.create_task(disk.run(destination.kept))
    await asyncio.sleep(0)
    hashing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hashing
    await disk.close()


def test_all_that_goes_through_many_files_can_be_stopped(tmp_path: Path) -> None:
    stop = Stop()
    destination = Destination(tmp_path, [ENTRY, Entry("d", folder=True)], stop=stop)
    stop.set()
    for work in (destination.check, destination.kept, destination.make_folders):
        with pytest.raises(Stopped):
            work()
    with pytest.raises(Stopped):
        Destination(tmp_path, [ENTRY], stop=stop)


# --- memory


def entries_message(entries: list[Entry]) -> str:
    told = [{"path": entry.path, "size": entry.size} for entry in entries]
    return json.dumps({"type": "entries", "entries": told}, ensure_ascii=False)


def test_sizes_count_bytes() -> None:
    wide = "\U0001d400"
    longest = Entry(wide * (MAX_PATH_BYTES // 4), size=0)
    read = decode_from_sender(entries_message([longest]))
    assert isinstance(read, Entries)
    for path in (wide * (MAX_PATH_BYTES // 4) + "x", "日" * (MAX_PATH_BYTES // 3 + 1)):
        with pytest.raises(TransferFailed, match=f"{MAX_PATH_BYTES} bytes"):
            decode_from_sender(entries_message([Entry(path, size=0)]))
    large = "{" + wide * (MESSAGE_LIMIT // 4)
    for decode in (decode_from_sender, decode_from_receiver):
        with pytest.raises(TransferFailed, match=f"{MESSAGE_LIMIT} bytes"):
            decode(large)


@pytest.mark.parametrize("letter", ["a", "\U0001d400"])
def test_an_offer_is_bounded_in_memory(letter: str) -> None:
    machine = Receiver()
    path = letter * (4000 // len(letter.encode()))
    tracemalloc.start()
    try:
        batches = 0
        while batches < 1000 and machine.state is not ReceiverState.FAILED:
            machine.receive(Entries([Entry(f"{batches}-{n}{path}", size=0) for n in range(60)]))
            batches += 1
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert machine.error is not None
    assert machine.error.code == TransferErrorCode.PROTOCOL
    assert (batches - 1) * 60 * 4000 <= MAX_OFFER_BYTES
    assert taken < 3 * MAX_OFFER_BYTES


def test_an_offer_that_nobody_takes_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").touch()
    monkeypatch.setattr(file_names, "MAX_OFFER_BYTES", 64)
    with pytest.raises(TransferFailed, match="more than 64 bytes"):
        gather([tmp_path / "a"])


# --- Windows


def test_files_are_opened_as_binary_where_there_is_another_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "O_BINARY", 0x8000, raising=False)
        name = partial_file.__name__
        module = sys.modules.pop(name)
        try:
            assert importlib.import_module(name).BINARY == 0x8000
        finally:
            sys.modules[name] = module
            importlib.import_module("icefloe.peer.files").part = module  # type: ignore[attr-defined]
