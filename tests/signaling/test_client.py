"""The client over real sockets: joining, sending, receiving, leaving, failing."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve as serve_websocket

from icefloe.signaling import (
    Admission,
    Bye,
    Candidate,
    Description,
    Error,
    Event,
    IceCandidate,
    IceServer,
    InvalidUrl,
    Join,
    JoinRefused,
    Message,
    MessageError,
    PeerAway,
    PeerBack,
    PeerBye,
    PeerCandidate,
    PeerDescription,
    PeerGone,
    PeerInfo,
    PeerJoined,
    PeerMessage,
    ServerConfiguration,
    SessionDescription,
    SignalingClient,
    SignalingClosed,
    SignalingLost,
    SignalingServer,
    Unreachable,
    connect,
    serve,
)
from icefloe.signaling.timing import pauses, until_renewal


async def take(client: SignalingClient, count: int) -> list[Event]:
    return [await anext(client) for _ in range(count)]


async def test_whoever_joins_sees_who_is_there(server: SignalingServer) -> None:
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(server.url, room="lobby", name="bob") as bob,
    ):
        assert bob.peers == [PeerInfo(alice.id, "alice")]
        assert alice.peers == []
        assert await anext(alice) == PeerJoined(PeerInfo(bob.id, "bob"))
        assert alice.peers == [PeerInfo(bob.id, "bob")]
        assert (bob.ice_servers, bob.expires, bob.is_connected) == ([], None, True)
    assert not bob.is_connected


async def test_messages_of_every_kind_arrive_in_order(server: SignalingServer) -> None:
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(server.url, room="lobby", name="bob") as bob,
    ):
        offer = SessionDescription("offer", "v=0\r\n")
        candidate = IceCandidate("candidate:1", sdpMid="0", usernameFragment="u")
        data = {"big": 10**30, "float": 0.1, "text": "é😀", "none": None, "list": [True]}
        for message in (
            Description(alice.id, offer),
            Candidate(alice.id, candidate),
            Candidate(alice.id, IceCandidate("", sdpMid="0")),
            Candidate(alice.id),
            Message(alice.id, data),
            Bye(alice.id),
        ):
            await bob.send(message)
        assert await take(alice, 7) == [
            PeerJoined(PeerInfo(bob.id, "bob")),
            PeerDescription(bob.id, offer, 1),
            PeerCandidate(bob.id, candidate, 2),
            PeerCandidate(bob.id, IceCandidate("", sdpMid="0"), 3),
            PeerCandidate(bob.id, None, 4),
            PeerMessage(bob.id, data, 5),
            PeerBye(bob.id, 6),
        ]


async def test_leaving_is_told_to_the_others(server: SignalingServer) -> None:
    async with connect(server.url, room="lobby", name="alice") as alice:
        async with connect(server.url, room="lobby", name="bob") as bob:
            pass
        assert await take(alice, 2) == [
            PeerJoined(PeerInfo(bob.id, "bob")),
            PeerGone(bob.id, "left"),
        ]
        assert alice.peers == []


async def test_an_error_comes_with_the_ref(server: SignalingServer) -> None:
    async with connect(server.url, room="lobby", name="alice") as alice:
        await alice.send(Bye("nobody", ref="b1"))
        error = await anext(alice)
        assert isinstance(error, Error)
        assert (error.code, error.ref) == ("peer-unavailable", "b1")


async def test_a_host_that_is_not_there_is_named() -> None:
    client = connect("ws://no-such-host.invalid:8080/ws", room="lobby", name="alice")
    with pytest.raises(Unreachable, match=r"the host 'no-such-host.invalid' was not found"):
        await client.__aenter__()


async def test_a_refusal_to_join_is_raised(server: SignalingServer) -> None:
    async with connect(server.url, room="lobby", name="alice"):
        with pytest.raises(JoinRefused, match="Take another name") as caught:
            async with connect(server.url, room="lobby", name="alice"):
                pass
        assert caught.value.code == "name-taken"


async def test_the_token_and_the_servers_of_whoever_is_admitted() -> None:
    turn = IceServer("turn:turn.example", "u", "c")

    def admit(join: Join) -> Admission | None:
        return Admission(ice_servers=(turn,), expires=2**40) if join.token == "right" else None

    configuration = ServerConfiguration(admit=admit)
    async with serve(port=0, configuration=configuration) as server:
        async with connect(server.url, room="lobby", name="bob", token="right") as bob:
            assert (bob.ice_servers, bob.expires) == ([turn], 2**40)
        with pytest.raises(JoinRefused, match="Ask for a new token") as caught:
            async with connect(server.url, room="lobby", name="bob"):
                pass
        assert caught.value.code == "unauthorized"


@pytest.mark.parametrize("url", ["http://localhost/ws", "localhost:8080", "", "ws://", "wss:///ws"])
async def test_a_url_that_is_none_is_told(url: str) -> None:
    with pytest.raises(InvalidUrl, match="ws://host:8080/ws"):
        async with connect(url, room="lobby", name="bob"):
            pass


@pytest.mark.parametrize(("room", "name"), [("", "bob"), ("lobby", "x" * 65), ("a\n", "bob")])
def test_a_room_or_name_that_cannot_be_is_told_before_connecting(room: str, name: str) -> None:
    with pytest.raises(MessageError):
        connect("ws://localhost/ws", room=room, name=name)


async def test_no_server_is_told(server: SignalingServer) -> None:
    await server.close()
    with pytest.raises(Unreachable, match="Check the address"):
        async with connect(server.url, room="lobby", name="bob"):
            pass


@pytest.mark.parametrize("path", ["/", "/nothing"])
async def test_a_wrong_path_is_told(server: SignalingServer, path: str) -> None:
    with pytest.raises(Unreachable, match="its path"):
        async with connect(server.url.removesuffix("/ws") + path, room="lobby", name="bob"):
            pass


async def test_what_cannot_be_sent_is_told_and_numbers_go_on(server: SignalingServer) -> None:
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(server.url, room="lobby", name="bob") as bob,
    ):
        for wrong in (float("nan"), "x" * 65536, object()):
            with pytest.raises(MessageError):
                await bob.send(Message(alice.id, wrong))
        await bob.send(Message(alice.id, "right"))
        await anext(alice)
        assert await anext(alice) == PeerMessage(bob.id, "right", 1)


async def test_a_client_is_for_one_use(server: SignalingServer) -> None:
    client = connect(server.url, room="lobby", name="bob")
    with pytest.raises(SignalingClosed):
        await client.send(Bye("p"))
    with pytest.raises(SignalingClosed):
        assert client.id
    await client.close()
    async with client:
        with pytest.raises(SignalingClosed):
            await client.__aenter__()
    with pytest.raises(SignalingClosed):
        await client.send(Bye("p"))
    with pytest.raises(SignalingClosed):
        await client.__aenter__()


async def test_iterating_ends_when_the_client_is_closed(server: SignalingServer) -> None:
    async with connect(server.url, room="lobby", name="bob") as bob:

        async def collect() -> list[Event]:
            return [event async for event in bob]

        async with asyncio.TaskGroup() as group:
            collecting = group.create_task(collect())
            await asyncio.sleep(0)
            await asyncio.gather(bob.close(), bob.close())
        assert collecting.result() == []
        assert [event async for event in bob] == []


async def test_a_program_that_takes_slowly_loses_nothing() -> None:
    count = 2000  # several times what is kept in between
    configuration = ServerConfiguration(rate=1e6, burst=1e6)
    async with (
        serve(port=0, configuration=configuration) as server,
        connect(server.url, room="lobby", name="alice") as alice,
        connect(server.url, room="lobby", name="bob") as bob,
    ):
        for number in range(count):
            await bob.send(Message(alice.id, number))
        await bob.send(Bye("nobody"))
        assert isinstance(await anext(bob), Error)  # the server has handed on all before
        _, *messages = await take(alice, count + 1)
        assert [m.data for m in messages if isinstance(m, PeerMessage)] == list(range(count))


# ---- TLS ---------------------------------------------------------------------------------------


async def test_tls_protects_the_connection_and_the_certificate_is_verified() -> None:
    authority = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server_side)
    client_side = ssl.create_default_context()
    authority.configure_trust(client_side)
    async with serve("127.0.0.1", 0, ssl=server_side) as server:
        assert server.url.startswith("wss://")
        assert server.page_url.startswith("https://")
        async with (
            connect(server.url, room="lobby", name="alice", ssl=client_side) as alice,
            connect(server.url, room="lobby", name="bob", ssl=client_side) as bob,
        ):
            await anext(alice)
            text = "x" * 60000
            await bob.send(Message(alice.id, text))
            assert await anext(alice) == PeerMessage(bob.id, text, 1)
        with pytest.raises(Unreachable, match="certificate"):
            async with connect(server.url, room="lobby", name="carol"):
                pass


# ---- cancellation ------------------------------------------------------------------------------


async def cancel_when(task: "asyncio.Task[Any]", waiting: Awaitable[Any]) -> None:
    await waiting
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_while_joining_leaves_nothing() -> None:
    asked = asyncio.Event()

    async def never_answers(connection: ServerConnection) -> None:
        await connection.recv()
        asked.set()
        await connection.wait_closed()

    async with scripted(never_answers) as url:
        client = connect(url, room="lobby", name="bob")
        await cancel_when(asyncio.create_task(client.__aenter__()), asked.wait())


async def test_cancelling_while_receiving_loses_nothing(server: SignalingServer) -> None:
    async with (
        connect(server.url, room="lobby", name="alice") as alice,
        connect(server.url, room="lobby", name="bob") as bob,
    ):
        await anext(alice)
        receiving = asyncio.ensure_future(anext(alice))
        await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.wait((receiving,))
        await bob.send(Message(alice.id, 1))
        assert await anext(alice) == PeerMessage(bob.id, 1, 1)


async def test_cancelling_while_closing_leaves_nothing() -> None:
    left = asyncio.Event()

    async def says_no_goodbye(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('{"type":"joined","id":"p1","peers":[],"resume":"s"}')
        await connection.recv()
        left.set()
        await connection.wait_closed()

    async with scripted(says_no_goodbye) as url:
        client = await connect(url, room="lobby", name="bob").__aenter__()
        await cancel_when(asyncio.create_task(client.close()), left.wait())
        await client.close()


async def test_closing_is_bounded_when_the_server_says_no_goodbye() -> None:
    async def says_no_goodbye(connection: ServerConnection) -> None:
        await connection.recv()
        await connection.send('{"type":"joined","id":"p1","peers":[],"resume":"s"}')
        await connection.wait_closed()

    async with scripted(says_no_goodbye) as url, connect(url, room="lobby", name="bob") as bob:
        assert bob.id == "p1"


# ---- servers that are not ours -----------------------------------------------------------------


@asynccontextmanager
async def scripted(
    handler: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[str]:
    """A WebSocket server that does what it is told to."""
    async with serve_websocket(handler, "127.0.0.1", 0, close_timeout=0.2) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws"


def answering(*frames: str) -> Callable[[ServerConnection], Awaitable[None]]:
    async def handler(connection: ServerConnection) -> None:
        await connection.recv()
        for frame in frames:
            await connection.send(frame)
        await connection.recv()

    return handler


JOINED = json.dumps({"type": "joined", "id": "p1", "peers": [], "resume": "s", "new": 1})


async def test_messages_of_a_newer_server_are_skipped() -> None:
    known = '{"type":"message","from":"p2","data":1}'
    script = answering('{"type":"weather"}', JOINED, '{"type":"wind"}', known)
    async with scripted(script) as url, connect(url, room="lobby", name="bob") as bob:
        assert await anext(bob) == PeerMessage("p2", 1)


async def test_a_server_that_speaks_nonsense_is_told_apart() -> None:
    script = answering(JOINED, "nonsense")
    async with scripted(script) as url, connect(url, room="lobby", name="bob") as bob:
        with pytest.raises(SignalingLost, match="keep to the protocol"):
            await anext(bob)
        with pytest.raises(SignalingClosed):
            await bob.send(Bye("p2"))
    async with scripted(answering("nonsense")) as url:
        with pytest.raises(SignalingLost, match="keep to the protocol"):
            async with connect(url, room="lobby", name="bob"):
                pass


async def test_a_server_that_hangs_up_on_whoever_joins_is_unreachable() -> None:
    async def hangs_up(connection: ServerConnection) -> None:
        await connection.recv()

    async with scripted(hangs_up) as url:
        with pytest.raises(Unreachable, match="closed the connection"):
            async with connect(url, room="lobby", name="bob"):
                pass


async def test_ice_servers_are_renewed_before_they_lapse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icefloe.signaling.timing._RENEW_AHEAD", 0.2)
    asked = 0

    def admit(join: Join) -> Admission:
        nonlocal asked
        asked += 1
        lapses = int(time.time()) + (1 if asked == 1 else 1000)
        return Admission(ice_servers=(IceServer("turn:t", str(asked), "c"),), expires=lapses)

    configuration = ServerConfiguration(admit=admit)
    async with (
        serve(port=0, configuration=configuration) as server,
        connect(server.url, room="quiet", name="bob") as bob,
    ):
        first = bob.id
        async with connect(server.url, room="quiet", name="watcher") as watcher:
            assert await take(watcher, 2) == [PeerAway(bob.id), PeerBack(bob.id)]
        assert bob.ice_servers[0].username == "3"
        assert bob.id == first


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (86400.0, 86340.0),
        (120.0, 60.0),
        (60.0, 30.0),
        (3.0, 1.5),
        (0.5, 1.0),
        (-1.0, 60.0),
        (10**400, 2_592_000.0),
        (-(10**400), 60.0),
    ],
)
def test_ice_servers_of_any_lifetime_are_renewed_while_they_hold(
    left: float, seconds: float
) -> None:
    assert until_renewal(left) == seconds


def test_pauses_grow_to_seven_seconds_and_half_of_each_is_random() -> None:
    shortest = list(islice(pauses(lambda: 0.0), 8))
    longest = list(islice(pauses(lambda: 1.0), 8))
    assert longest == [0.3, 0.6, 1.2, 2.4, 4.8, 7.0, 7.0, 7.0]
    assert shortest == [pause / 2 for pause in longest]
    assert all(
        low <= pause <= high for low, pause, high in zip(shortest, pauses(), longest, strict=False)
    )
