"""Peers in a room, over a real signaling server."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from icefloe.peer import (
    ChannelClosed,
    ConnectFailed,
    ConnectPhase,
    DataChannel,
    PeerLeft,
    PeerNotHere,
    RemotePeer,
    Room,
    VerdictCause,
    join,
)
from icefloe.signaling import (
    Description,
    JoinRefused,
    SessionDescription,
    SignalingServer,
    Unreachable,
    connect,
    serve,
)


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    async with serve("127.0.0.1", 0) as server:
        yield server


def enter(server: SignalingServer, name: str, **options: Any) -> Room:
    return join(server.url, room="lobby", name=name, **options)


async def first(things: AsyncIterator[Any]) -> Any:
    return await anext(aiter(things))


async def greet(peer: RemotePeer) -> DataChannel:
    channel = await peer.open_channel("chat")
    await channel.send(f"hello {peer.name}")
    return channel


async def test_two_programs_talk_over_a_channel(server: SignalingServer) -> None:
    async with enter(server, "bob") as bobs, enter(server, "alice") as alices:
        bob, alice = await alices.peer("bob"), await bobs.peer("alice")
        assert (bob.polite, alice.polite) == (False, True)
        channel = await greet(bob)
        answers = await first(alice.channels())
        assert answers.label == "chat"
        assert await answers.receive() == "hello bob"
        await answers.send(b"\x00\xff")
        assert await channel.receive() == b"\x00\xff"
        assert bob.path is not None
        assert "host/udp -> host/udp" in bob.path
        assert bob.path.endswith("direct")


async def test_iterating_a_room_gives_each_participant_once(server: SignalingServer) -> None:
    seen: list[str] = []
    async with enter(server, "a"), enter(server, "b") as room:

        async def watch() -> None:
            async for peer in room:
                seen.append(peer.name)
                await peer.connected()
                if len(seen) == 2:
                    return

        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            async with enter(server, "c") as late:
                await (await late.peer("a")).connected()
                await (await late.peer("b")).connected()
    assert seen == ["a", "c"]


async def test_three_peers_form_a_mesh(server: SignalingServer) -> None:
    async with enter(server, "a") as a, enter(server, "b") as b, enter(server, "c") as c:
        for room in (a, b, c):
            others = {"a", "b", "c"} - {{a: "a", b: "b", c: "c"}[room]}
            for name in others:
                await (await room.peer(name)).connected()
            assert {peer.name for peer in room.peers} == others


async def test_tracks_flow_both_ways_and_can_be_added_later(server: SignalingServer) -> None:
    async with enter(server, "bob") as bobs, enter(server, "alice") as alices:
        bob, alice = await alices.peer("bob"), await bobs.peer("alice")
        bob.add_track(VideoStreamTrack())
        alice.add_track(AudioStreamTrack())
        video, audio = await first(alice.tracks()), await first(bob.tracks())
        assert (video.kind, audio.kind) == ("video", "audio")
        await asyncio.gather(video.recv(), audio.recv())
        sender = bob.add_track(AudioStreamTrack())
        second = await first(alice.tracks())
        await second.recv()
        bob.remove_track(sender)


async def test_everything_ends_when_a_peer_leaves(server: SignalingServer) -> None:
    async with enter(server, "bob") as bobs:
        async with enter(server, "alice") as alices:
            bob, alice = await alices.peer("bob"), await bobs.peer("alice")
            await greet(bob)
            channel = await first(alice.channels())
            assert await channel.receive() == "hello bob"
        assert await alice.ended() in {"left", "closed"}
        with pytest.raises(ChannelClosed):
            await channel.receive()
        assert [message async for message in channel] == []
        assert [c async for c in alice.channels()] == []
        assert [t async for t in alice.tracks()] == []
        with pytest.raises(PeerLeft):
            alice.add_track(AudioStreamTrack())


async def test_a_peer_that_hung_up_can_call_again(server: SignalingServer) -> None:
    async with enter(server, "bob") as bobs, enter(server, "alice") as alices:
        bob, alice = await alices.peer("bob"), await bobs.peer("alice")
        await bob.connected()
        bob.hang_up()
        assert await bob.ended() == "hung-up"
        assert await alice.ended() in {"bye", "closed"}
        assert bobs.client.peers[0].name == "alice"


async def test_the_call_goes_on_while_signaling_is_gone() -> None:
    async with serve("127.0.0.1", 0) as server:
        port = server.port
        bobs, alices = enter(server, "bob"), enter(server, "alice")
        await bobs.__aenter__()
        await alices.__aenter__()
        bob, alice = await alices.peer("bob"), await bobs.peer("alice")
        channel = await greet(bob)
        answers = await first(alice.channels())
        assert await answers.receive() == "hello bob"
    try:
        await channel.send("still here?")
        assert await answers.receive() == "still here?"
        async with serve("127.0.0.1", port):
            again = await alices.peer("bob", timeout=30)
            await again.connected()
    finally:
        await alices.__aexit__(None, None, None)
        await bobs.__aexit__(None, None, None)


async def test_a_call_goes_on_with_the_seats_of_another_server() -> None:
    """A restarted server knows nobody: all take new seats, and the calls belong to these."""
    async with serve("127.0.0.1", 0) as server:
        port = server.port
        bobs, alices = enter(server, "bob"), enter(server, "alice")
        await bobs.__aenter__()
        await alices.__aenter__()
        bob, alice = await alices.peer("bob"), await bobs.peer("alice")
        channel = await greet(bob)
        answers = await first(alice.channels())
        assert await answers.receive() == "hello bob"
        ids = {bob.id, alice.id}
    try:
        async with serve("127.0.0.1", port):
            while not ids.isdisjoint({bob.id, alice.id}):
                await channel.send("still here?")
                assert await answers.receive() == "still here?"
                await asyncio.sleep(0.01)
            assert (bob.id, alice.id) == (bobs.id, alices.id)
            assert alices.peers == (bob,)
            assert bobs.peers == (alice,)
            assert not (bob.away or alice.away)
            # What is negotiated goes over the new seats.
            bob.add_track(VideoStreamTrack())
            assert (await first(alice.tracks())).kind == "video"
            await bob.negotiated()
            await channel.send("the same channel")
            assert await answers.receive() == "the same channel"
    finally:
        await alices.__aexit__(None, None, None)
        await bobs.__aexit__(None, None, None)


async def test_an_absent_participant_is_waited_for_in_bounds(server: SignalingServer) -> None:
    async with enter(server, "alice") as room:
        with pytest.raises(PeerNotHere, match=r"'bob' did not come within 0\.05 s"):
            await room.peer("bob", timeout=0.05)


async def test_a_participant_that_never_answers_is_named_with_the_phase(
    server: SignalingServer,
) -> None:
    async with (
        connect(server.url, room="lobby", name="mute"),
        enter(server, "alice", connect_timeout=0.2) as room,
    ):
        mute = await room.peer("mute")
        with pytest.raises(ConnectFailed) as caught:
            await mute.open_channel("chat")
        assert caught.value.phase is ConnectPhase.SIGNALING
        assert caught.value.evidence.local
        assert caught.value.verdict is not None
        assert caught.value.verdict.cause is VerdictCause.NO_ANSWER
        assert str(caught.value).endswith("docs/troubleshooting.md#no-answer")


async def test_joining_is_refused_with_the_servers_code(server: SignalingServer) -> None:
    async with enter(server, "alice"):
        with pytest.raises(JoinRefused, match="name"):
            async with enter(server, "alice", rename=False):
                pass
        async with enter(server, "alice") as second:
            assert second.name == "alice-2"
    with pytest.raises(Unreachable):
        async with join("ws://127.0.0.1:1/ws", room="r", name="n"):
            pass


@pytest.mark.parametrize("steps", range(0, 60, 4))
async def test_cancelling_at_any_moment_leaves_nothing_behind(
    server: SignalingServer, steps: int
) -> None:
    """The fixture of all tests looks for what is left."""
    async with enter(server, "bob") as bobs:

        async def visit() -> None:
            async with enter(server, "alice") as room:
                peer = await room.peer("bob")
                peer.add_track(VideoStreamTrack())
                await greet(peer)
                await asyncio.Event().wait()

        task = asyncio.create_task(visit())
        for _ in range(steps):
            await asyncio.sleep(0.002)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bobs.id


async def test_a_bad_description_ends_that_call_alone(server: SignalingServer) -> None:
    async with enter(server, "bob") as bobs, enter(server, "alice") as alices:
        alice = await bobs.peer("alice")
        await alice.connected()
        async with connect(server.url, room="lobby", name="mallory") as mallory:
            mallorys = await bobs.peer("mallory")
            broken = SessionDescription("offer", "v=0\r\nm=nonsense\r\n")
            await mallory.send(Description(to=bobs.id, description=broken))
            assert await mallorys.ended() == "failed"
        channel = await greet(await alices.peer("bob"))
        assert not channel.closed


@pytest.mark.system("iproute2", "netns")
async def test_a_new_address_of_the_machine_makes_a_room_look_for_signaling(
    server: SignalingServer,
) -> None:
    async with enter(server, "alice") as room, enter(server, "bob") as bobs:
        await room.peer("bob")
        looked = asyncio.Event()
        room.client.suspect = looked.set  # type: ignore[method-assign]
        await ip("address add 198.18.77.1/24 dev lo")
        try:
            await looked.wait()
        finally:
            await ip("address del 198.18.77.1/24 dev lo")
        assert bobs.id


async def ip(arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("ip", *arguments.split())
    assert await process.wait() == 0
