"""Admission to a real server: tokens, a coroutine that decides, moderators, proxies."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
import trustme
from websockets.exceptions import ConnectionClosed, InvalidStatus

from icefloe.signaling import (
    AddressLimits,
    Admission,
    Bye,
    CloseRoom,
    ErrorCode,
    HandOver,
    Join,
    JoinRefused,
    Limits,
    Lock,
    MessageError,
    ModerationRefused,
    PeerBye,
    PeerGone,
    PeerInfo,
    PeerJoined,
    PeerRights,
    Proxies,
    Rejoined,
    Remove,
    RemovedFromRoom,
    Right,
    RoomClosed,
    RoomLocked,
    ServerConfiguration,
    SignalingClosed,
    SignalingServer,
    TokenKeys,
    TokenRefused,
    TokenUnavailable,
    Unreachable,
    connect,
    make_token,
    verify_token,
)
from tests.signaling import shells
from tests.signaling.shells import serve

pytestmark = pytest.mark.shells(shells.OWN, "uvicorn", "hypercorn")

OpenRaw = Callable[..., Awaitable[Any]]
KEYS = TokenKeys("s" * 32)
MODERATOR = frozenset({Right.JOIN, Right.SEND, Right.MODERATE})


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[SignalingServer]:
    configuration = ServerConfiguration(shutdown_timeout=2.0, **settings)
    async with serve(port=0, configuration=configuration) as server:
        yield server


@pytest.fixture
async def guarded() -> AsyncIterator[SignalingServer]:
    async with serving(token_keys=KEYS, audience="us") as server:
        yield server


def token(**claims: Any) -> str:
    return make_token(KEYS, **{"room": "lobby", "audience": "us", **claims})


def lobby(server: SignalingServer, name: str, **options: Any) -> Any:
    return connect(server.url, room="lobby", name=name, **options)


async def refusal(server: SignalingServer, name: str = "bob", **options: Any) -> str:
    with pytest.raises(JoinRefused) as raised:
        async with lobby(server, name, **options):
            pass
    return raised.value.code


# ---- tokens ------------------------------------------------------------------------------------


async def test_a_token_admits(guarded: SignalingServer) -> None:
    async with lobby(guarded, "bob", token=token(name="bob")) as bob:
        assert bob.rights == {Right.JOIN, Right.SEND}


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (None, "token-missing"),
        ("nonsense", "token-malformed"),
        ("x" * 50_000, "token-malformed"),
        (make_token(KEYS, room="lobby"), "token-audience"),
        (token(room="other"), "token-room"),
        (token(name="alice"), "token-name"),
        (token(seconds=1, now=1e9), "token-expired"),
        (token(not_before=time.time() + 3600), "token-not-yet"),
        (token(rights=["send"]), "token-rights"),
        (
            make_token(TokenKeys("f" * 32), room="lobby", audience="us"),
            "token-signature",
        ),
        ("eyJhbGciOiJub25lIn0.eyJyb29tIjoibG9iYnkifQ.", "token-algorithm"),
    ],
)
async def test_what_does_not_admit_is_refused_with_its_code(
    guarded: SignalingServer, given: str | None, code: str
) -> None:
    assert await refusal(guarded, token=given) == code
    assert guarded._hub.rooms.refused[code] == 1


async def test_a_token_that_names_its_holder_is_for_no_other_name(
    guarded: SignalingServer,
) -> None:
    async with lobby(guarded, "bob", token=token(name="bob")):
        assert await refusal(guarded, token=token(name="bob"), rename=True) == "name-taken"
        async with lobby(guarded, "bob", token=token(), rename=True) as other:
            assert other.name == "bob-2"


async def test_a_refused_token_costs_more_than_another_message(
    guarded: SignalingServer, open_raw: OpenRaw
) -> None:
    client = await open_raw(guarded.url)
    join = {"type": "join", "version": 1, "room": "lobby", "name": "x", "token": "a.b.c"}
    for _ in range(34):
        await client.say(join)
    codes = [(await client.hear())["code"] for _ in range(35)]
    assert "rate-limited" in codes


async def test_a_seat_is_resumed_after_the_token_has_expired(
    guarded: SignalingServer, proxy_to: Callable[[SignalingServer], Awaitable[Any]]
) -> None:
    proxy = await proxy_to(guarded)
    now = time.time()
    expiring = token(seconds=2.0, now=now)
    async with (
        connect(proxy.url, room="lobby", name="bob", token=expiring) as bob,
        lobby(guarded, "alice", token=token()) as alice,
    ):
        id = bob.id
        while time.time() < now + 2:
            await asyncio.sleep(0.05)
        assert await refusal(guarded, "carol", token=expiring) == "token-expired"
        proxy.cut()
        names = [type(await anext(alice)).__name__ for _ in range(2)]
        assert names == ["PeerAway", "PeerBack"]
        assert bob.id == id


async def test_a_function_gives_a_new_token_for_each_connection() -> None:
    given: list[str] = []
    port = 0

    async def source() -> str:
        given.append(token())
        return given[-1]

    async with AsyncExitStack() as stack:
        configuration = ServerConfiguration(token_keys=KEYS, shutdown_timeout=1.0)
        server = await stack.enter_async_context(serve(port=0, configuration=configuration))
        port = server.port
        bob = await stack.enter_async_context(lobby(server, "bob", token=source))
        await server.close()
        # Another process: the seat is gone, and a token is needed again.
        again = await stack.enter_async_context(serve(port=port, configuration=configuration))
        assert isinstance(await anext(bob), Rejoined)
        assert again.port == port
    assert len(given) >= 2
    assert len(set(given)) == len(given)


@pytest.mark.parametrize("problem", [ConnectionError("no answer"), TimeoutError(), 7, "x" * 99_999])
async def test_a_function_that_gives_no_token_is_told(
    guarded: SignalingServer, problem: object
) -> None:
    async def source() -> Any:
        if isinstance(problem, Exception):
            raise problem
        return problem

    with pytest.raises(TokenUnavailable):
        async with lobby(guarded, "bob", token=source):
            pass


async def test_a_resume_needs_no_token_from_a_function_that_fails(
    guarded: SignalingServer, proxy_to: Callable[[SignalingServer], Awaitable[Any]]
) -> None:
    proxy = await proxy_to(guarded)
    given = [token()]

    async def source() -> str:
        return given.pop()

    async with (
        connect(proxy.url, room="lobby", name="bob", token=source) as bob,
        lobby(guarded, "alice", token=token()) as alice,
    ):
        proxy.cut()
        names = [type(await anext(alice)).__name__ for _ in range(2)]
        assert names == ["PeerAway", "PeerBack"]
        await alice.send(Bye(to=bob.id))
        while not isinstance(await anext(bob), PeerBye):
            pass


async def test_keys_are_replaced_while_the_server_runs(guarded: SignalingServer) -> None:
    new = TokenKeys("n" * 32)
    fresh = make_token(new, room="lobby", audience="us")
    assert await refusal(guarded, token=fresh) == "token-signature"
    async with lobby(guarded, "alice", token=token()):
        guarded.use_token_keys(new)
        async with lobby(guarded, "bob", token=fresh):
            assert await refusal(guarded, "carol", token=token()) == "token-signature"


@pytest.mark.shells(shells.OWN)
async def test_a_server_without_keys_gets_none(server: SignalingServer) -> None:
    with pytest.raises(ValueError, match="without token keys"):
        server.use_token_keys(KEYS)
    with pytest.raises(ValueError, match="without TLS"):
        server.use_certificate(ssl.create_default_context())


# ---- moderation --------------------------------------------------------------------------------


async def test_a_moderator_removes_and_the_token_is_void(guarded: SignalingServer) -> None:
    used = token()
    async with (
        lobby(guarded, "host", token=token(rights=MODERATOR)) as host,
        lobby(guarded, "bob", token=used) as bob,
    ):
        assert bob.peers == [PeerInfo(host.id, "host", may=("moderate", "send"))]
        await host.moderate(Remove(to=bob.id))
        with pytest.raises(RemovedFromRoom):
            async for _ in bob:
                pass
        events = [await anext(host) for _ in range(2)]
        assert events == [PeerJoined(PeerInfo(bob.id, "bob")), PeerGone(bob.id, "removed")]
        assert await refusal(guarded, token=used) == "removed"
        async with lobby(guarded, "bob", token=token()):
            pass
        with pytest.raises(SignalingClosed):
            await bob.moderate(Lock(locked=True))


async def test_a_moderator_locks_hands_over_and_closes(guarded: SignalingServer) -> None:
    async with (
        lobby(guarded, "host", token=token(rights=MODERATOR)) as host,
        lobby(guarded, "bob", token=token()) as bob,
    ):
        await host.moderate(Lock(locked=True))
        assert await anext(bob) == RoomLocked(True)
        assert await refusal(guarded, "carol", token=token()) == "room-locked"
        with pytest.raises(ModerationRefused) as raised:
            await bob.moderate(Lock(locked=False))
        assert raised.value.code == "not-allowed"
        await host.moderate(HandOver(to=bob.id))
        assert await anext(bob) == PeerRights(bob.id, ("moderate", "send"))
        assert bob.rights == MODERATOR
        assert host.rights == {Right.JOIN, Right.SEND}
        assert await anext(bob) == PeerRights(host.id, ("send",))
        assert not bob.peers[0].may_moderate
        await bob.moderate(CloseRoom())
        for client in (bob, host):
            with pytest.raises(RoomClosed):
                async for _ in client:
                    pass
        assert await refusal(guarded, "carol", token=token()) == "room-closed"


async def test_a_moderator_whose_connection_is_broken_is_told(
    server: SignalingServer, proxy: Any
) -> None:
    async with connect(proxy.url, room="lobby", name="host") as host:
        proxy.swallows = True
        asking = asyncio.create_task(host.moderate(Lock(locked=True)))
        await proxy.swallowed.acquire()
        proxy.refuses = True
        proxy.cut()
        with pytest.raises(Unreachable):
            await asking
        with pytest.raises(Unreachable):
            await host.moderate(Lock(locked=True))
        with pytest.raises((MessageError, Unreachable)):
            await host.moderate(Remove(to=""))


# ---- a coroutine that decides ------------------------------------------------------------------


async def test_a_coroutine_decides() -> None:
    async def admit(join: Join) -> Admission | None:
        await asyncio.sleep(0)
        return Admission(rights=MODERATOR) if join.token == "yes" else None

    async with serving(admit=admit) as server:
        async with lobby(server, "bob", token="yes") as bob:
            assert bob.rights == MODERATOR
        assert await refusal(server) == "unauthorized"


async def test_the_token_is_verified_before_the_application_is_asked() -> None:
    asked: list[str] = []

    async def admit(join: Join) -> Admission:
        asked.append(join.name)
        return Admission()

    async with serving(admit=admit, token_keys=KEYS) as server:
        assert await refusal(server, "mallory") == "token-missing"
        async with lobby(server, "bob", token=token(rights=MODERATOR)) as bob:
            assert bob.rights == MODERATOR
    assert asked == ["bob"]


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_what_it_raises_refuses_the_join_and_is_logged(
    is_coroutine: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(join: Join) -> Admission:
        if join.name == "verified":
            verify_token(None, KEYS, room="lobby", name="x", now=0)
        if join.name == "banned":
            raise JoinRefused("unauthorized", "You are banned.")
        raise ConnectionError("no database")

    async def fail_later(join: Join) -> Admission:
        await asyncio.sleep(0)
        return fail(join)

    async with serving(admit=fail_later if is_coroutine else fail) as server:
        assert await refusal(server, "verified") == "token-missing"
        assert await refusal(server, "banned") == "unauthorized"
        assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
        assert await refusal(server) == ErrorCode.ADMISSION_FAILED
    [record] = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert record.exc_info is not None
    assert "no database" in str(record.exc_info[1])
    caplog.clear()  # it was expected


async def test_what_is_no_admission_refuses_the_join(caplog: pytest.LogCaptureFixture) -> None:
    async def later(_: Join) -> Any:
        return True

    def at_once(_: Join) -> Any:
        return True

    for admit in (later, at_once):
        async with serving(admit=admit) as server:
            assert await refusal(server) == "admission-failed"
    assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 2
    caplog.clear()  # it was expected


async def test_it_has_a_time_limit_and_a_number_at_once() -> None:
    running = most = 0
    may_end = asyncio.Event()

    async def admit(join: Join) -> Admission:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await may_end.wait()
        finally:
            running -= 1
        return Admission()

    async with serving(admit=admit, admit_timeout=0.3, admits_at_once=2) as server:
        names = ("a", "b", "c", "d")
        codes = await asyncio.gather(*(refusal(server, name) for name in names))
        assert codes == ["admission-failed"] * 4
        assert (running, most) == (0, 2)
        may_end.set()
        async with lobby(server, "bob"):
            pass


async def test_it_is_cancelled_when_its_client_is_gone(open_raw: OpenRaw) -> None:
    asked, cancelled = asyncio.Event(), asyncio.Event()

    async def admit(join: Join) -> Admission:
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return Admission()

    async with serving(admit=admit, admit_timeout=200) as server:
        client = await open_raw(server.url)
        await client.say({"type": "join", "version": 1, "room": "lobby", "name": "bob"})
        await asked.wait()
        await client.socket.close()
        await cancelled.wait()
        assert server._hub.rooms.seats == 0


async def test_a_server_that_closes_waits_for_no_decision(open_raw: OpenRaw) -> None:
    asked = asyncio.Event()

    async def admit(join: Join) -> Admission:
        asked.set()
        await asyncio.Event().wait()
        return Admission()

    async with serving(admit=admit, admit_timeout=200) as server:
        client = await open_raw(server.url)
        await client.say({"type": "join", "version": 1, "room": "lobby", "name": "bob"})
        await asked.wait()
    with pytest.raises(ConnectionClosed):
        await client.hear()


async def test_a_client_comes_back_when_the_application_answers_again(
    proxy_to: Callable[[SignalingServer], Awaitable[Any]],
) -> None:
    failures = 0

    async def admit(join: Join) -> Admission:
        nonlocal failures
        if isinstance(join.resume, str) and failures < 2:
            failures += 1
            raise TokenRefused(ErrorCode.ADMISSION_FAILED, "The database is away.")
        return Admission()

    async with serving(admit=admit) as server:
        proxy = await proxy_to(server)
        async with (
            connect(proxy.url, room="lobby", name="bob") as bob,
            lobby(server, "alice") as alice,
        ):
            id = bob.id
            proxy.cut()
            names = [type(await anext(alice)).__name__ for _ in range(2)]
            assert names == ["PeerAway", "PeerBack"]
            assert (bob.id, failures) == (id, 2)


# ---- TLS and proxies ---------------------------------------------------------------------------


@pytest.mark.shells(shells.OWN)
async def test_new_connections_get_the_new_certificate() -> None:
    authorities = [trustme.CA(), trustme.CA()]
    contexts, trusting = [], []
    for authority in authorities:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        contexts.append(context)
        client = ssl.create_default_context()
        authority.configure_trust(client)
        trusting.append(client)
    async with (
        serve(port=0, ssl=contexts[0]) as server,
        lobby(server, "alice", ssl=trusting[0]) as alice,
    ):
        server.use_certificate(contexts[1])
        async with lobby(server, "bob", ssl=trusting[1]) as bob:
            assert await anext(alice) == PeerJoined(PeerInfo(bob.id, "bob"))
        with pytest.raises(Unreachable):
            async with lobby(server, "carol", ssl=trusting[0]):
                pass


async def test_clients_behind_a_proxy_are_counted_by_their_own_address(
    open_raw: OpenRaw,
) -> None:
    limits = Limits(address=AddressLimits(sockets=2, seats=2))
    async with serving(limits=limits, proxies=Proxies()) as server:

        async def from_(address: str) -> Any:
            headers = {"X-Forwarded-For": address}
            return await open_raw(server.url, additional_headers=headers)

        for name in ("a", "b"):
            await (await from_("192.0.2.7")).join(name)
        with pytest.raises(InvalidStatus) as raised:
            await from_("203.0.113.1, 192.0.2.7")
        assert raised.value.response.status_code == 429
        await (await from_("192.0.2.8")).join("c")
        assert server._sockets_of.refused == 1
        for _ in range(3):
            await open_raw(server.url)  # of the proxy itself


async def test_without_a_trusted_proxy_the_header_is_ignored(open_raw: OpenRaw) -> None:
    limits = Limits(address=AddressLimits(seats=1))
    proxies = Proxies(networks=("192.0.2.0/24",))
    for settings in ({}, {"proxies": proxies}):
        async with serving(limits=limits, **settings) as server:
            one, other = [
                await open_raw(server.url, additional_headers={"X-Forwarded-For": f"192.0.2.{n}"})
                for n in range(2)
            ]
            await one.join("a")
            await other.say({"type": "join", "version": 1, "room": "lobby", "name": "b"})
            assert (await other.hear())["code"] == "room-full"
