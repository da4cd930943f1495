"""Files over a real connection: whole, resumed, refused, and in the ways in which disks fail."""

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from icefloe.peer.files.errors import TransferBroken, TransferDeclined, TransferFailed
from icefloe.peer.files.file_names import gather
from icefloe.peer.files.file_source import SourceFile
from icefloe.peer.files.partial_file import PartFile
from icefloe.peer.files.progress import TransferProgress
from icefloe.peer.files.protocol import WINDOW, Data, Entries, Entry, Offer, encode
from icefloe.peer.files.receive_session import FileOffer
from icefloe.peer.files.send_session import send_sources
from tests.helpers.calls import Call, held_call
from tests.helpers.transfers import contents, random_file, transfer, transfer_channel

NAMES = [
    "plain.txt",
    "with space",
    "日本語.txt",
    "naïve – “quoted”.md",
    "🧊🧊.bin",
    ".hidden",
    "-rf",
    "a'b\"c;$(x)&|*?.sh",
    "x" * 230,
]


@pytest.fixture
async def call() -> AsyncIterator[Call]:
    async with held_call() as call:
        yield call


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


async def test_files_folders_and_awkward_names_arrive_as_they_are(
    call: Call, source: Path, target: Path
) -> None:
    for size, name in enumerate(NAMES):
        random_file(source / "in" / name, size * 20_000)
    (source / "empty folder" / "inner").mkdir(parents=True)
    (source / "empty").touch()
    (source / "in" / ".hidden").chmod(0o750)
    (source / "in").chmod(0o555)
    os.utime(source / "in" / "plain.txt", ns=(10**18, 10**18 + 7))
    os.utime(source / "in", ns=(10**18, 10**18))
    sent, places = await transfer(call, [source], target)
    assert places == [target / "source"]
    assert sent == sum(range(len(NAMES))) * 20_000
    assert contents(target / "source") == contents(source)
    arrived = target / "source" / "in"
    assert (arrived / "plain.txt").stat().st_mtime_ns == 10**18 + 7
    assert arrived.stat().st_mtime_ns == 10**18
    assert stat.S_IMODE((arrived / ".hidden").stat().st_mode) == 0o750
    assert stat.S_IMODE(arrived.stat().st_mode) == 0o555
    # Again: it is all there.
    assert await transfer(call, [source], target) == (0, places)


async def test_the_methods_of_a_peer(call: Call, source: Path, target: Path) -> None:
    random_file(source / "a.bin", 300_000)
    seen: list[TransferProgress] = []
    sending = asyncio.create_task(call.ends[0].send_file(source / "a.bin", on_progress=seen.append))
    offer = await anext(aiter(call.ends[1].files()))
    assert (offer.names, offer.size) == (["a.bin"], 300_000)
    assert await offer.accept(target) == [target / "a.bin"]
    assert await sending == 300_000
    assert (target / "a.bin").read_bytes() == (source / "a.bin").read_bytes()
    assert seen[-1] == TransferProgress(300_000, 300_000, 300_000, "a.bin")
    assert [progress.done for progress in seen] == sorted({progress.done for progress in seen})
    with pytest.raises(ValueError, match="once"):
        await offer.accept(target)


async def test_an_offer_may_be_declined(call: Call, source: Path) -> None:
    random_file(source / "a.bin", 10)
    sending = asyncio.create_task(call.ends[0].send_file(source / "a.bin"))
    await (await anext(aiter(call.ends[1].files()))).decline("no room")
    with pytest.raises(TransferDeclined, match="no room"):
        await sending


async def test_a_break_costs_no_more_than_the_window(
    call: Call, source: Path, target: Path
) -> None:
    size = 12 * 1024 * 1024
    file = random_file(source / "a.bin", size)
    near, far = await transfer_channel(call)
    half = asyncio.Event()

    def on_progress(progress: TransferProgress) -> None:
        if progress.done > size // 2:
            half.set()

    sending = asyncio.create_task(send_sources(near, gather([file])[0]))
    receiving = asyncio.create_task(
        (await FileOffer.read(far)).accept(target, on_progress=on_progress)
    )
    await half.wait()
    far.abandon()
    far.channel.close()
    for task in (sending, receiving):
        with pytest.raises(TransferBroken):
            await task
    (part,) = target.glob("a.bin.*.part")
    kept = part.stat().st_size
    assert size // 2 < kept < size
    sent, _ = await transfer(call, [file], target)
    assert sent == size - kept
    assert contents(target) == contents(source)
    assert near.counts.bytes_sent - kept <= WINDOW + 100_000


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_whoever_stops_tells_the_other(
    call: Call, source: Path, target: Path, who: str
) -> None:
    file = random_file(source / "a.bin", 20 * 1024 * 1024)
    near, far = await transfer_channel(call)
    begun = asyncio.Event()
    sending = asyncio.create_task(send_sources(near, gather([file])[0]))
    offer = await FileOffer.read(far)
    receiving = asyncio.create_task(
        offer.accept(target, on_progress=lambda p: p.moved > 0 and begun.set())  # type: ignore[func-returns-value, arg-type]
    )
    await begun.wait()
    stopped, told = (sending, receiving) if who == "sender" else (receiving, sending)
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    with pytest.raises(TransferFailed, match=f"the {who} stopped it") as caught:
        await told
    assert (caught.value.code, caught.value.here) == ("cancelled", False)
    assert len(list(target.glob("*.part"))) == 1


async def fails(call: Call, paths: list[Path], target: Path, code: str, **options: Any) -> None:
    """Transfer, and see that both sides say why it failed."""
    for result in await transfer(call, paths, target, **options):
        assert isinstance(result, TransferFailed), result
        assert result.code == code


async def declines(call: Call, paths: list[Path], target: Path, code: str, **options: Any) -> None:
    """Transfer, and see that the receiver says why it failed, and tells the sender nothing."""
    sent, received = await transfer(call, paths, target, **options)
    assert isinstance(received, TransferFailed), received
    assert (received.code, received.here) == (code, True)
    assert isinstance(sent, TransferDeclined), sent
    assert sent.reason == ""


async def test_an_existing_file_is_replaced_only_when_told(
    call: Call, source: Path, target: Path
) -> None:
    random_file(source / "a.bin", 1000)
    for size in (1000, 7):  # of the same length, it has to be compared
        old = random_file(target / "a.bin", size).read_bytes()
        await declines(call, [source / "a.bin"], target, "exists")
        assert (target / "a.bin").read_bytes() == old
    await transfer(call, [source / "a.bin"], target, overwrite=True)
    assert contents(target) == contents(source)


async def test_a_folder_in_the_way_is_never_replaced(
    call: Call, source: Path, target: Path
) -> None:
    random_file(source / "a", 10)
    (target / "a").mkdir(parents=True)
    await declines(call, [source / "a"], target, "exists", overwrite=True)


async def test_links_in_the_folder_are_not_followed(
    call: Call, source: Path, target: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    random_file(source / "sub" / "a.bin", 10)
    target.mkdir()
    (target / "source").mkdir()
    (target / "source" / "sub").symlink_to(outside)
    await declines(call, [source], target, "exists")
    await declines(call, [source / "sub" / "a.bin", source], target, "exists")
    assert not list(outside.iterdir())
    # In the place of the file itself, and replaced: the link goes, and not what it leads to.
    precious = random_file(outside / "precious", 10)
    before = precious.read_bytes()
    (target / "a.bin").symlink_to(precious)
    await declines(call, [source / "sub" / "a.bin"], target, "exists")
    await transfer(call, [source / "sub" / "a.bin"], target, overwrite=True)
    assert precious.read_bytes() == before
    assert not (target / "a.bin").is_symlink()


async def test_a_way_through_a_link_or_a_file_is_not_told(
    call: Call, source: Path, target: Path
) -> None:
    target.mkdir()
    (target / "link").symlink_to(target)
    random_file(target / "file", 5)
    for name in ("link/a", "file/a"):
        near, far = await transfer_channel(call)
        for message in (Entries([Entry(name, 4)]), Offer(1, 4)):
            await near.send(encode(message))
        with pytest.raises(TransferFailed, match="in the folder") as caught:
            await (await FileOffer.read(far)).accept(target)
        assert caught.value.code == "unsafe-name"
        assert await near.receive() == '{"type":"decline","reason":""}'
        await near.aclose()


async def test_a_file_that_is_made_meanwhile_is_not_told(
    call: Call, source: Path, target: Path
) -> None:
    file = random_file(source / "a.bin", 1000)

    def make(progress: TransferProgress) -> None:
        (target / "a.bin").write_bytes(b"mine")

    sent, received = await transfer(call, [file], target, on_progress=make)
    assert isinstance(received, TransferFailed), received
    assert (received.code, received.detail) == ("exists", "it was made meanwhile")
    assert isinstance(sent, TransferFailed), sent
    assert (sent.code, sent.path, sent.detail) == ("cancelled", "", "the receiver stopped it")
    assert (target / "a.bin").read_bytes() == b"mine"


async def test_names_that_lead_out_are_refused(call: Call, target: Path, tmp_path: Path) -> None:
    for name in ("../evil", "/evil", "a/../../evil", "a//b", "C:\\evil", "..\\evil", "."):
        near, far = await transfer_channel(call)
        for message in (Entries([Entry(name, 4)]), Offer(1, 4)):
            await near.send(encode(message))
        with pytest.raises(TransferFailed) as caught:
            await (await FileOffer.read(far)).accept(target)
        assert caught.value.code == "unsafe-name"
        await near.aclose()
    assert not list(tmp_path.rglob("*evil*"))


async def test_what_breaks_the_protocol_ends_the_transfer(call: Call, target: Path) -> None:
    for message in (b"\0", b"x" * 100, "{}", '{"type":"end"}', encode(Data(0, 5, b"12345"))):
        near, far = await transfer_channel(call)
        for told in (Entries([Entry("a", 4)]), Offer(1, 4)):
            await near.send(encode(told))
        receiving = asyncio.create_task((await FileOffer.read(far)).accept(target))
        await near.send(message)
        with pytest.raises(TransferFailed) as caught:
            await receiving
        assert caught.value.code == "protocol"
        await near.aclose()


@pytest.mark.parametrize("how", ["shorter", "longer", "written"])
async def test_a_source_that_changes_is_noticed(
    call: Call, source: Path, target: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 2_000_000
    file = random_file(source / "a.bin", size)
    read = SourceFile.read
    done = 0

    def reading(self: SourceFile, wanted: int) -> tuple[bytes, str | None]:
        nonlocal done
        done += wanted
        if done > size // 2:
            done = -size * 10
            if how == "written":
                with file.open("r+b") as again:
                    again.write(b"new")
                os.utime(file, ns=(0, 0))
            else:
                os.truncate(file, size // 2 if how == "shorter" else size * 2)
        return read(self, wanted)

    monkeypatch.setattr(SourceFile, "read", reading)
    await fails(call, [file], target, "changed")
    assert not (target / "a.bin").exists()


async def test_what_was_damaged_on_the_way_is_not_put_in_place(
    call: Call, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = random_file(source / "a.bin", 100_000)
    write = PartFile.write

    def damaging(self: PartFile, offset: int, data: bytes) -> None:
        write(self, offset, data[:-1] + b"!")

    monkeypatch.setattr(PartFile, "write", damaging)
    await fails(call, [file], target, "mismatch")
    assert contents(target) == {}


async def test_a_part_that_was_damaged_is_not_gone_on_with(
    call: Call, source: Path, target: Path
) -> None:
    file = random_file(source / "a.bin", 100_000)
    near, far = await transfer_channel(call)
    receiving = asyncio.create_task((await _offer_half(near, far, file)).accept(target))
    with pytest.raises(TransferBroken):
        await receiving
    (part,) = target.iterdir()
    assert part.stat().st_size == 50_000
    with part.open("r+b") as again:
        again.write(b"damaged")
    sent, _ = await transfer(call, [file], target)
    assert sent == 100_000
    assert contents(target) == contents(source)


async def _offer_half(near: Any, far: Any, file: Path) -> FileOffer:
    """Offer a file, send half of it, and leave."""
    entry = gather([file])[0][0].entry
    data = file.read_bytes()[:50_000]
    told = (Entries([entry]), Offer(1, entry.size or 0))
    for message in told:
        await near.send(encode(message))
    offer = await FileOffer.read(far)
    await near.send('{"type":"begin","index":0,"offset":0}')
    await near.send(encode(Data(0, 0, data)))
    await near.drain()
    near.close()
    return offer


async def test_holes_stay_holes(call: Call, source: Path, target: Path) -> None:
    source.mkdir()
    with (source / "sparse").open("wb") as file:
        file.seek(8 * 1024 * 1024)
        file.write(b"end")
        file.truncate(9 * 1024 * 1024)
    await transfer(call, [source / "sparse"], target)
    assert contents(target) == contents(source)
    assert (target / "sparse").stat().st_blocks * 512 < 1024 * 1024


async def test_many_small_files(call: Call, source: Path, target: Path) -> None:
    for number in range(400):
        random_file(source / f"{number % 7}" / f"{number}", number % 5)
    sent, _ = await transfer(call, [source], target)
    assert sent == sum(number % 5 for number in range(400))
    assert contents(target / "source") == contents(source)


async def test_links_and_devices_are_left_out(source: Path) -> None:
    random_file(source / "a", 1)
    (source / "link").symlink_to(source / "a")
    (source / "loop").symlink_to(source)
    os.mkfifo(source / "pipe")
    sources, left_out = gather([source])
    assert [s.entry.path for s in sources] == ["source", "source/a"]
    assert {path.name for path in left_out} == {"link", "loop", "pipe"}
    with pytest.raises(TransferFailed, match="No such file"):
        gather([source / "missing"])


# --- disks that fail


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux, for a file system of 4 MiB")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_keeps_what_arrived(call: Call, source: Path, small_disk: Path) -> None:
    size = 6 * 1024 * 1024
    file = random_file(source / "a.bin", size)
    await fails(call, [file], small_disk, "disk-full")
    (part,) = small_disk.iterdir()
    kept = part.stat().st_size
    assert kept > 3 * 1024 * 1024
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    sent, _ = await transfer(call, [file], small_disk)
    assert sent == size - kept
    assert contents(small_disk) == contents(source)


async def test_a_folder_that_cannot_be_written_to(call: Call, source: Path) -> None:
    random_file(source / "a.bin", 10)
    await fails(call, [source / "a.bin"], Path("/proc/icefloe"), "unwritable")
