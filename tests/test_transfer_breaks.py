"""``icefloe send`` and ``icefloe receive`` when they are killed, and what they need of memory."""

import asyncio
import hashlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from icefloe.peer.files.protocol import WINDOW
from tests.helpers.at_once import at_once
from tests.helpers.commands import event, on_the_wire, process, receive_arguments, usage
from tests.helpers.transfers import contents, random_file

MB = 1024 * 1024

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


async def _kill(*victims: Process) -> None:
    for victim in victims:
        victim.send_signal(signal.SIGKILL)
    for victim in victims:
        await victim.wait()


@pytest.mark.parametrize("killed", ["nobody", "sender", "receiver", "both"])
async def test_killed_in_the_middle_the_same_command_goes_on(tmp_path: Path, killed: str) -> None:
    size = 160 * MB
    source, target = tmp_path / "source", tmp_path / "target"
    file = random_file(source / "big.bin", size)
    send = ("send", str(file), "--json")
    before = on_the_wire()
    async with AsyncExitStack() as stack:
        sender = await stack.enter_async_context(process(*send))
        told = await event(sender, "code")
        receive = receive_arguments(told, target)
        receiver = await stack.enter_async_context(process(*receive))
        await event(receiver, "progress", done=size // 2)
        if killed in ("receiver", "both"):
            await _kill(*((sender, receiver) if killed == "both" else (receiver,)))
        elif killed == "sender":
            await _kill(sender)
        parts = list(target.glob("*.part"))
        if killed in ("sender", "both"):
            sender = await stack.enter_async_context(process(*send))
            assert (await event(sender, "code"))["command"] == told["command"]
        if killed in ("receiver", "both"):
            receiver = await stack.enter_async_context(process(*receive))
        await event(receiver, "done")
        assert await receiver.wait() == 0
        sent = (await event(sender, "done"))["sent"]
        assert await sender.wait() == 0
    assert contents(target) == contents(source)
    if killed != "nobody":
        assert len(parts) == 1
        # The last attempt did not send again what was there.
        assert sent <= size - size // 2
    # All that crossed the network, of all attempts: the file once, what was on its way when it
    # broke, and headers: 28 bytes of UDP and IP, 37 of DTLS, 32 of SCTP for about 1100 of data,
    # acknowledgements of 100 for every other packet, and little else.
    twice = 0 if killed == "nobody" else WINDOW
    assert on_the_wire() - before < (size + twice) * 1.2


@pytest.mark.slow
async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    size = 300 * MB
    file = random_file(tmp_path / "source" / "big.bin", size)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        async with process(*receive_arguments(told, tmp_path / "target")) as receiver:
            await event(receiver, "progress", done=size - 10 * MB)
            peaks = [usage(one.pid).peak for one in (sender, receiver)]
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
    assert max(peaks) < 150 * MB, peaks
    assert (tmp_path / "target" / "big.bin").stat().st_size == size


async def test_who_reads_nothing_stops_the_sender(tmp_path: Path) -> None:
    size = 60 * MB
    file = random_file(tmp_path / "source" / "big.bin", size)
    async with process("send", str(file), "--json") as sender:
        told = await event(sender, "code")
        arguments = receive_arguments(told, "-")
        async with process(*arguments, stdout=PIPE, limit=64 * 1024) as receiver:
            assert receiver.stdout is not None
            digest = hashlib.blake2b(await receiver.stdout.readexactly(MB))
            acknowledged = await _until_it_stands_still(sender)
            # What nobody reads is on the way, and no more: a window, the pipe, and its reader.
            assert acknowledged < MB + WINDOW + MB
            peaks = [usage(one.pid).peak for one in (sender, receiver)]
            while data := await receiver.stdout.read(MB):
                digest.update(data)
            assert await receiver.wait() == 0
        assert await sender.wait() == 0
    assert digest.digest() == hashlib.blake2b(file.read_bytes()).digest()
    assert max(peaks) < 150 * MB, peaks


async def _until_it_stands_still(sender: Process) -> int:
    """Return how much was acknowledged, once no more is for a second."""
    done = 0
    while True:
        try:
            async with asyncio.timeout(1):
                done = (await event(sender, "progress"))["done"]
        except TimeoutError:
            if done:
                return done


@pytest.mark.slow
async def test_a_stream_cannot_be_gone_on_with_and_that_is_said(tmp_path: Path) -> None:
    await at_once(_a_stream_breaks, ("sender", tmp_path), ("receiver", tmp_path))


async def _a_stream_breaks(end: str, folder: Path) -> None:
    """Kill one end; the other waits for it, and ends."""
    environment = {"XDG_CACHE_HOME": str(folder / end)}
    send = ("send", "-", "--json", "--wait", "10")
    async with process(*send, environment=environment, stdin=PIPE) as sender:
        told = await event(sender, "code")
        receive = receive_arguments(told, "-", "--wait", "10")
        async with process(*receive, environment=environment, stdout=PIPE) as receiver:
            assert sender.stdin is not None
            assert receiver.stdout is not None
            sender.stdin.write(os.urandom(MB))
            await receiver.stdout.readexactly(MB // 2)
            victim, other = (sender, receiver) if end == "sender" else (receiver, sender)
            await _kill(victim)
            out, err = await other.communicate()
            assert other.returncode == 15, err.decode()
            assert b"Traceback" not in out + err
