"""ICE servers with credentials that expire: what is decided, and a server that gives them."""

import asyncio
import base64
import hashlib
import hmac
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, strategies as st

from icefloe.signaling import (
    AddressLimits,
    Admission,
    IceAccess,
    IceRequest,
    IceServer,
    JoinRefused,
    Limits,
    Renewed,
    ServerConfiguration,
    SignalingServer,
    TurnServers,
    connect,
    ice_access,
    ice_access_service,
    serve,
)
from icefloe.signaling.ice_access import Held, RenewalTimes, combine, until_renewal
from icefloe.signaling.timing import until_renewal as clients_renewal

SECRET = "0123456789abcdef"
TURN = TurnServers(urls=("turn:turn.example.org",), secrets=(SECRET,), lifetime=600)
Provide = Callable[[IceRequest], IceAccess | Awaitable[IceAccess]]


def given_servers(name: str = "u", lifetime: float | None = None) -> IceAccess:
    return IceAccess((IceServer("turn:provided", name, "c"),), lifetime)


# --- decisions


@given(st.floats(1, 1e7), st.floats(0, 1))
def test_a_renewal_comes_before_the_client_asks_and_before_the_end(
    lifetime: float, chance: float
) -> None:
    pause = until_renewal(lifetime, lambda: chance)
    assert 1.0 <= pause <= 86_400
    assert pause <= max(clients_renewal(lifetime), 1.0)
    if lifetime >= 300:
        assert lifetime - pause >= 90


def test_all_servers_expire_with_the_first_of_them() -> None:
    parts = (Held((IceServer("stun:a"),)), Held((IceServer("turn:b"),), 20), Held((), 10))
    assert combine(parts) == Held((IceServer("stun:a"), IceServer("turn:b")), 10)
    assert combine(()) == Held()


@pytest.mark.parametrize(
    ("servers", "lifetime"),
    [
        ((IceServer(["turn:t"] * 33),), None),
        ((IceServer("turn:t", "u" * 16_384),), None),
        ((IceServer(5),), None),  # type: ignore[arg-type]
        (({"urls": "turn:t"},), None),
        ((), 0),
        ((), -1.0),
        ((), math.nan),
        ((), math.inf),
    ],
)
def test_what_no_client_could_use_is_refused(servers: Any, lifetime: float | None) -> None:
    with pytest.raises(ValueError):
        IceAccess(servers, lifetime)


def test_a_lifetime_beyond_all_years_is_a_number_that_a_client_reads() -> None:
    assert Held.since(IceAccess((), 1e300), 1e9).expires == 1_000_000_000 + 366 * 86_400


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=200))
def test_renewal_times_are_those_set_last(steps: list[tuple[int, int]]) -> None:
    times, model = RenewalTimes(), dict[int, float]()
    for connection, due in steps:
        if due == 0:
            times.forget(connection)
            model.pop(connection, None)
        elif due == 20:
            taken = times.take_due(10)
            assert sorted(taken) == sorted(c for c, at in model.items() if at <= 10)
            model = {c: at for c, at in model.items() if at > 10}
        else:
            times.set(connection, due)
            model[connection] = due
        assert times.deadline == min(model.values(), default=math.inf)
        assert len(times) == len(model)
        assert len(times._heap) <= 2 * len(model) + 65


# --- a server


@asynccontextmanager
async def serving(**configuration: Any) -> AsyncIterator[SignalingServer]:
    async with serve(port=0, configuration=ServerConfiguration(**configuration)) as server:
        yield server


def outcomes(server: SignalingServer) -> dict[str, int]:
    return dict(server._hub.ice_access_outcomes)


async def test_each_participant_gets_credentials_of_its_own_that_hold() -> None:
    async with serving(turn=(TURN,), ice_servers=(IceServer("stun:s"),)) as server:
        got = []
        for name in ("alice", "bob:\u00e9 "):
            async with connect(server.url, room="lobby", name=name) as client:
                fixed, turn = client.ice_servers
                assert fixed == IceServer("stun:s")
                assert turn.username is not None
                digest = hmac.digest(SECRET.encode(), turn.username.encode(), hashlib.sha1)
                assert turn.credential == base64.b64encode(digest).decode()
                expires = int(turn.username.partition(":")[0])
                assert client.expires is not None
                assert abs(client.expires - expires) <= 1
                assert 590 < expires - time.time() <= 600
                got.append(turn.username.partition(":")[2])
        assert len(set(got)) == 2


async def test_an_admission_keeps_its_servers_and_the_earlier_expiry() -> None:
    soon = int(time.time()) + 100
    admission = Admission(ice_servers=(IceServer("turn:own", "u", "c"),), expires=soon)
    async with (
        serving(turn=(TURN,), admit=lambda join: admission) as server,
        connect(server.url, room="lobby", name="alice") as client,
    ):
        assert [each.urls for each in client.ice_servers] == ["turn:own", ["turn:turn.example.org"]]
        assert client.expires == soon


async def test_new_credentials_come_over_the_same_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def provide(request: IceRequest) -> IceAccess:
        nonlocal asked
        asked += 1
        assert request == IceRequest("quiet", "bob")
        return given_servers(str(asked), 4.0)

    async with (
        serving(ice_provider=provide) as server,
        connect(server.url, room="quiet", name="bob") as bob,
    ):
        socket, id = bob._socket, bob.id
        first = bob.expires
        event = await anext(bob)
        assert event == Renewed((IceServer("turn:provided", "2", "c"),))
        assert bob.ice_servers[0].username == "2"
        assert bob.expires is not None
        assert first is not None
        assert bob.expires > first
        assert (bob._socket, bob.id) == (socket, id)
        assert outcomes(server) == {"given": 1, "renewed": 1, "failed": 0, "limited": 0}


async def fails(request: IceRequest) -> IceAccess:
    raise RuntimeError("key=hunter2")


async def hangs(request: IceRequest) -> IceAccess:
    await asyncio.Event().wait()
    raise AssertionError


def returns_nonsense(request: IceRequest) -> Any:
    return [{"urls": "turn:t"}]


@pytest.mark.parametrize("provide", [fails, hangs, returns_nonsense])
async def test_a_provider_that_fails_keeps_nobody_out(
    provide: Provide, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(ice_provider=provide, ice_provider_timeout=0.05, turn=(TURN,)) as server:
        for name in ("alice", "bob"):
            async with connect(server.url, room="lobby", name=name) as client:
                assert [each.urls for each in client.ice_servers] == [["turn:turn.example.org"]]
        assert outcomes(server)["failed"] == 2
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "ice_provider" in warnings[0]
    assert "hunter2" not in caplog.text


async def test_servers_come_later_when_the_provider_works_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ice_access_service, "RETRY_PAUSE", 0.05)
    works = False

    def provide(request: IceRequest) -> IceAccess:
        if not works:
            raise ConnectionError
        return given_servers()

    async with (
        serving(ice_provider=provide, turn=(TURN,)) as server,
        connect(server.url, room="lobby", name="alice") as client,
    ):
        assert len(client.ice_servers) == 1
        works = True
        assert isinstance(await anext(client), Renewed)
        assert [each.urls for each in client.ice_servers] == [
            ["turn:turn.example.org"],
            "turn:provided",
        ]


async def test_calls_of_a_provider_are_bounded_in_number() -> None:
    running = most = 0

    async def provide(request: IceRequest) -> IceAccess:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return given_servers()

    limits = Limits(members=200)
    async with serving(ice_provider=provide, limits=limits) as server:

        async def come(number: int) -> int:
            async with connect(server.url, room="lobby", name=f"p{number}") as client:
                return len(client.ice_servers)

        assert await asyncio.gather(*map(come, range(80))) == [1] * 80
    assert 1 < most <= ice_access_service.MAX_PROVIDER_CALLS


async def test_an_address_makes_the_provider_work_no_more_often_than_it_may_join() -> None:
    asked = 0

    def provide(request: IceRequest) -> IceAccess:
        nonlocal asked
        asked += 1
        return given_servers()

    limits = Limits(members=1, address=AddressLimits(joins=3))
    async with serving(ice_provider=provide, limits=limits) as server:
        async with connect(server.url, room="lobby", name="alice"):
            for number in range(5):
                with pytest.raises(JoinRefused):
                    async with connect(server.url, room="lobby", name=f"p{number}"):
                        pass
        assert asked <= 4  # a bucket of three, and the one that begins to be filled
        assert outcomes(server)["limited"] >= 2


async def test_a_join_that_is_not_admitted_asks_nobody() -> None:
    asked = 0

    def provide(request: IceRequest) -> IceAccess:
        nonlocal asked
        asked += 1
        return given_servers()

    async with serving(ice_provider=provide, admit=lambda join: None) as server:
        with pytest.raises(JoinRefused):
            async with connect(server.url, room="lobby", name="alice"):
                pass
    assert asked == 0


async def test_the_server_closes_while_a_provider_hangs() -> None:
    begun = asyncio.Event()

    async def provide(request: IceRequest) -> IceAccess:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(ice_provider=provide, shutdown_timeout=0.2) as server:
        client = connect(server.url, room="lobby", name="alice")
        joining = asyncio.create_task(client.__aenter__())
        await begun.wait()
    with pytest.raises(Exception, match=r"closed|reached|answer"):
        await joining


@pytest.mark.parametrize("timeout", [0, -1, 9, math.nan])
def test_a_provider_has_a_bounded_time(timeout: float) -> None:
    with pytest.raises(ValueError, match="ice_provider_timeout"):
        ServerConfiguration(ice_provider_timeout=timeout)


def test_no_more_urls_than_clients_use() -> None:
    many = TurnServers(urls=("turn:t",) * 16, secrets=(SECRET,))
    ServerConfiguration(turn=(many, many))
    with pytest.raises(ValueError, match="32"):
        ServerConfiguration(turn=(many, many, TURN))
    assert ice_access.MAX_URLS == 32
