"""Names: a second copy of a program gets a free one, and one that was killed has its own back."""

import asyncio
import signal
import sys
from typing import Any

import pytest

from icefloe.signaling import (
    Admission,
    CloseCode,
    Join,
    JoinRefused,
    Leave,
    ServerConfiguration,
    SignalingServer,
    connect,
    serve,
)
from icefloe.signaling.codec import decode_client, encode_client
from tests.signaling.test_rooms import House, code

HERE, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Street(House):
    """Rooms whose connections come from addresses."""

    def arrive(self, origin: str = HERE) -> int:
        connection = self.connect()
        self.rooms.disconnect(connection, self.now)
        self.rooms.connect(connection, self.now, origin)
        return connection

    def ask(
        self, name: str, origin: str = HERE, *, may_rename: bool = True, **more: Any
    ) -> tuple[int, list[dict[str, Any]]]:
        """Ask to join; return the connection and what it was answered at once."""
        connection = self.arrive(origin)
        join = decode_client(encode_client(Join(room="lobby", name=name, **more)))
        admission = Admission(rename=may_rename)
        self.rooms.receive(connection, join, self.now, admission)
        self.do()
        return connection, self.heard(connection)


@pytest.fixture
def street() -> Street:
    return Street()


def test_a_taken_name_gets_a_number(street: Street) -> None:
    street.ask("bot")
    names = [street.ask("bot", rename=True)[1][0].get("name") for _ in range(3)]
    assert names == ["bot-2", "bot-3", "bot-4"]
    watcher, _ = street.ask("watcher", rename=True)
    assert "name" not in street.joined[watcher]
    peers = [peer["name"] for peer in street.joined[watcher]["peers"]]
    assert peers == ["bot", *names]


def test_a_long_name_stays_within_its_limit(street: Street) -> None:
    for expected in ("n" * 64, "n" * 62 + "-2", "n" * 62 + "-3"):
        _, [joined] = street.ask("n" * 64, rename=True)
        assert joined.get("name", "n" * 64) == expected


@pytest.mark.parametrize("more", [{}, {"rename": False}])
def test_who_wants_this_name_alone_is_refused(street: Street, more: dict[str, Any]) -> None:
    street.ask("bot")
    assert code(street.ask("bot", **more)[1]) == "name-taken"


def test_a_token_for_one_name_gives_no_other(street: Street) -> None:
    street.ask("bot")
    _, answer = street.ask("bot", rename=True, may_rename=False)
    assert code(answer) == "name-taken"


def test_a_seat_is_resumed_under_the_name_that_was_given(street: Street) -> None:
    street.ask("bot")
    second, [joined] = street.ask("bot", rename=True)
    street.lose(second)
    _, [again, *_] = street.ask("bot-2", rename=True, resume=joined["resume"])
    assert (again["type"], again["id"], "name" in again) == ("joined", joined["id"], False)


# ---- a program that was killed -----------------------------------------------------------------


def test_who_was_killed_has_its_name_back(street: Street) -> None:
    watcher, _ = street.ask("watcher")
    killed, [before] = street.ask("bot")
    street.heard(watcher)
    street.lose(killed)
    again, answer = street.ask("bot", rename=True)
    assert answer == []
    street.tick(0.9)
    assert street.heard(again) == []
    street.tick(0.1)
    [joined] = street.heard(again)
    assert (joined["type"], "name" in joined) == ("joined", False)
    assert joined["id"] != before["id"]
    assert [message["type"] for message in street.heard(watcher)] == [
        "peer-away",
        "peer-left",
        "peer-joined",
    ]
    _, answer = street.ask("bot", resume=before["resume"])
    assert code(answer) == "resume-failed"


def test_who_comes_back_in_time_keeps_name_and_seat(street: Street) -> None:
    holder, [before] = street.ask("bot")
    street.lose(holder)
    newcomer, _ = street.ask("bot")
    second, _ = street.ask("bot", rename=True)
    street.tick(0.5)
    _, [resumed, *_] = street.ask("bot", resume=before["resume"])
    assert resumed["id"] == before["id"]
    street.tick(0.5)
    assert code(street.heard(newcomer)) == "name-taken"
    assert street.heard(second)[0]["name"] == "bot-2"


@pytest.mark.parametrize("origin", [ELSEWHERE, ""])
def test_a_stranger_does_not_get_the_name_of_who_is_away(street: Street, origin: str) -> None:
    holder, _ = street.ask("bot", origin=HERE if origin else "")
    street.lose(holder)
    assert code(street.ask("bot", origin)[1]) == "name-taken"
    assert street.ask("bot", origin, rename=True)[1][0]["name"] == "bot-2"


def test_who_is_here_does_not_lose_the_name(street: Street) -> None:
    street.ask("bot")
    newcomer, answer = street.ask("bot")
    assert code(answer) == "name-taken"
    street.tick(5)
    assert street.heard(newcomer) == []


def test_of_two_who_wait_the_first_gets_it(street: Street) -> None:
    holder, _ = street.ask("bot")
    street.lose(holder)
    waiting = [street.ask("bot", rename=True)[0] for _ in range(2)]
    street.tick(1)
    assert [street.heard(each)[0].get("name") for each in waiting] == [None, "bot-2"]


def test_who_waits_may_go_and_say_nothing_else(street: Street) -> None:
    holder, _ = street.ask("bot")
    street.lose(holder)
    lost, _ = street.ask("bot")
    gone, _ = street.ask("bot")
    waits, _ = street.ask("bot")
    assert code(street.say(waits, Join(room="lobby", name="bot"))) == "already-joined"
    street.heard(waits)
    street.lose(lost)
    assert street.say(gone, Leave()) == []
    assert street.closed[gone] == CloseCode.NORMAL
    assert street.rooms.deadline == 1.0
    street.tick(1)
    assert street.heard(waits)[0]["type"] == "joined"
    assert street.rooms.seats == 1


def test_the_name_is_free_when_its_holder_times_out_first() -> None:
    street = Street(away_seconds=0.5)
    holder, _ = street.ask("bot")
    street.lose(holder)
    waits, _ = street.ask("bot")
    street.tick(0.5)
    assert street.rooms.rooms == 0
    street.tick(0.5)
    assert street.heard(waits)[0]["type"] == "joined"


# ---- over sockets ------------------------------------------------------------------------------

PROGRAM = """
import asyncio, sys
from icefloe.signaling import connect

async def main():
    async with connect(sys.argv[1], room="lobby", name="bot") as client:
        print(client.id, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def start(server: SignalingServer) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, server.url, stdout=asyncio.subprocess.PIPE
    )


async def test_a_program_that_is_killed_and_started_again_joins_under_its_name() -> None:
    async with serve(port=0) as server:
        ids = set()
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL):
            program = await start(server)
            assert program.stdout is not None
            line = await program.stdout.readline()
            assert line
            ids.add(line)
            program.send_signal(number)
            await program.communicate()
        assert len(ids) == 3


async def test_a_client_tells_its_name() -> None:
    async with serve(port=0) as server:
        here: dict[str, Any] = {"room": "lobby", "name": "bot", "rename": True}
        async with connect(server.url, **here) as one, connect(server.url, **here) as two:
            assert (one.name, two.name) == ("bot", "bot-2")
            assert [peer.name for peer in two.peers] == ["bot"]


async def test_a_server_with_tokens_says_who_may_be_renamed() -> None:
    def admit(join: Join) -> Admission:
        return Admission(rename=join.room == "open")

    async with serve(port=0, configuration=ServerConfiguration(admit=admit)) as server:
        async with (
            connect(server.url, room="open", name="bot"),
            connect(server.url, room="open", name="bot", rename=True) as second,
        ):
            assert second.name == "bot-2"
        async with connect(server.url, room="named", name="bot"):
            with pytest.raises(JoinRefused, match="Take another name"):
                async with connect(server.url, room="named", name="bot", rename=True):
                    pass


def test_who_asked_in_time_is_not_sent_away_while_it_waits_for_a_name(street: Street) -> None:
    killed, _ = street.ask("bot")
    late = street.arrive()
    street.tick(9.5)
    street.lose(killed)
    join = decode_client(encode_client(Join(room="lobby", name="bot")))
    street.rooms.receive(late, join, street.now, Admission())
    street.tick(0.5)
    assert late not in street.closed
    street.tick(0.5)
    assert [message["type"] for message in street.heard(late)] == ["joined"]
