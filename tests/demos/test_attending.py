"""The demos as programs, and what all of them do with those who come and go."""

import asyncio
import logging
import queue
import signal
from collections.abc import Awaitable, Callable
from logging.handlers import QueueHandler
from pathlib import Path

import pytest

from icefloe.demos._attending import own_token
from icefloe.peer import ChannelClosed, PeerError, RemotePeer, TransferBroken, join
from icefloe.signaling import SignalingServer, serve
from tests.demos.rooms import running
from tests.helpers import forked


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await forked.start("-m", *arguments, stdin=None, stderr=asyncio.subprocess.STDOUT)


async def attending(server: SignalingServer, hold: Callable[[RemotePeer], Awaitable[None]]) -> None:
    """Attend a lobby, as the demos do."""
    async with join(server.url, room="lobby", name="demo") as room:
        await room.attend(hold)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as a warning or worse."""
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


async def test_a_demo_runs_until_it_is_told_to_end(server: SignalingServer) -> None:
    async with join(server.url, room="den", name="alice") as room:
        program = await start(
            "icefloe.demos.echo", "--server", server.url, "--room", "den", "--name", "parrot"
        )
        peer = await room.peer("parrot")
        await peer.connected()
        program.send_signal(signal.SIGTERM)
        told, _ = await program.communicate()
        assert program.returncode == 0, told.decode()
        assert f"parrot waits in the room 'den' of {server.url}." in told.decode()
        assert f"Open {server.page_url}?room=den and join: you see" in told.decode()
        assert await peer.ended() in ("left", "bye", "closed")


async def test_a_server_that_is_not_there_is_told_in_a_sentence() -> None:
    async with serve(port=0) as gone:
        url = gone.url
    program = await start("icefloe.demos.echo", "--server", url)
    told, _ = await program.communicate()
    assert program.returncode == 1
    assert "Traceback" not in told.decode()
    assert url in told.decode()


async def test_a_call_that_breaks_off_leaves_the_others_alone(
    server: SignalingServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "icefloe.peer")

    async def hold(peer: RemotePeer) -> None:
        if peer.name == "mallory":
            raise ValueError("a fault of the demo")
        await peer.open_channel("hello")
        await peer.ended()

    async with running(attending(server, hold)):
        async with join(server.url, room="lobby", name="mallory") as room:
            await (await room.peer("demo")).connected()
        async with join(server.url, room="lobby", name="alice") as room:
            peer = await room.peer("demo")
            assert (await anext(aiter(peer.channels()))).label == "hello"
    assert "mallory: the call broke off" in caplog.messages
    assert "alice: the call broke off" not in caplog.messages


async def test_nothing_is_said_of_a_channel_that_ends_with_who_has_left(
    server: SignalingServer, caplog: pytest.LogCaptureFixture
) -> None:
    left: asyncio.Queue[PeerError] = asyncio.Queue()

    async def hold(peer: RemotePeer) -> None:
        channel = await peer.open_channel("talk")
        try:
            while True:
                await channel.send(bytes(1000))
        except PeerError as error:
            left.put_nowait(error)
            raise

    async with running(attending(server, hold)):
        async with join(server.url, room="lobby", name="alice") as room:
            peer = await room.peer("demo")
            channel = await anext(aiter(peer.channels()))
            await channel.receive()
            # It goes over the connection, and is there before signaling has told of it.
            await peer.connection.close()
        assert isinstance(await left.get(), ChannelClosed)
    assert not warned(caplog)


async def test_what_ends_in_a_task_group_is_told_like_any_other(
    server: SignalingServer, request: pytest.FixtureRequest
) -> None:
    lines: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    told: list[logging.LogRecord] = []
    handler = QueueHandler(lines)
    handler.prepare = lambda record: record  # type: ignore[method-assign]  # keep its exc_info
    handler.setLevel(logging.WARNING)
    logging.getLogger("icefloe.peer").addHandler(handler)
    request.addfinalizer(lambda: logging.getLogger("icefloe.peer").removeHandler(handler))

    async def breaks(peer: RemotePeer) -> None:
        if peer.name == "mallory":
            raise ValueError("a fault of the demo")
        raise TransferBroken(12, "a reason")

    async def hold(peer: RemotePeer) -> None:
        await peer.connected()
        async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
            inner.create_task(breaks(peer))
            outer.create_task(peer.ended())

    async with running(attending(server, hold)):
        for name in ("mallory", "alice"):
            async with join(server.url, room="lobby", name=name) as room:
                peer = await room.peer("demo")
                await peer.connected()
                told.append(await asyncio.to_thread(lines.get, timeout=20))
    broken, stopped = told
    assert (broken.getMessage(), broken.levelname) == ("mallory: the call broke off", "ERROR")
    assert broken.exc_info is not None
    assert stopped.getMessage().startswith("alice: The transfer stopped after 12 bytes: a reason")
    assert stopped.exc_info is None


async def test_who_leaves_at_once_does_not_take_what_has_just_arrived(
    server: SignalingServer, caplog: pytest.LogCaptureFixture
) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def hold(peer: RemotePeer) -> None:
        await peer.connected()
        channel = await peer.open_channel("talk")
        await peer.ended()
        seen.put_nowait(str(await channel.receive()))
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.put_nowait("cancelled")
            raise

    async with running(attending(server, hold)):
        async with join(server.url, room="lobby", name="alice") as room:
            channel = await anext(aiter((await room.peer("demo")).channels()))
            await channel.send("the last word")
        assert [await seen.get(), await seen.get()] == ["the last word", "cancelled"]
    assert not warned(caplog)


async def test_the_token_comes_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ICEFLOE_TOKEN", raising=False)
    assert own_token() is None
    monkeypatch.setenv("ICEFLOE_TOKEN", "a.b.c")
    assert own_token() == "a.b.c"
    (tmp_path / "token").write_text("d.e.f\n")
    monkeypatch.setenv("ICEFLOE_TOKEN_FILE", str(tmp_path / "token"))
    source = own_token()
    assert callable(source)
    assert await source() == "d.e.f"
