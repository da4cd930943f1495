"""Attempts at pairing: few for each, one at a time, and strangers wait for themselves."""

import asyncio
from collections import Counter
from itertools import pairwise

from icefloe.peer.pairing.attempts import (
    FREE_ATTEMPTS,
    MAX_ATTEMPTS,
    MAX_PARTICIPANTS,
    MAX_PAUSE,
    MAX_QUEUED,
    Attempt,
    Attempts,
)
from icefloe.peer.pairing.key_exchange import Pairing, PairingCode, PairingSide, encode
from icefloe.peer.pairing.rendezvous import meet
from icefloe.signaling import Message, PeerMessage, connect, serve

CODE = PairingCode(7, ("amber", "falcon"))
OTHER = PairingCode(7, ("amber", "salmon"))


def test_one_participant_gets_few_attempts_however_often_it_asks() -> None:
    attempts, done, now = Attempts(), list[float](), 0.0
    while now < 3600:
        for _ in range(30):
            attempts.add(Attempt("a"))
        while (attempt := attempts.next(now)) is not None:
            done.append(now)
            attempts.finish(attempt)
        now += 0.5
    assert len(done) == MAX_ATTEMPTS
    assert done[:FREE_ATTEMPTS] == [0.0] * FREE_ATTEMPTS
    assert max(b - a for a, b in pairwise(done)) <= MAX_PAUSE + 0.5
    assert attempts.deadline == float("inf")


def test_who_asked_least_is_served_first() -> None:
    attempts = Attempts()
    for id in ("a", "b"):
        for _ in range(MAX_QUEUED):
            attempts.add(Attempt(id))
    for _ in range(2):
        attempt = attempts.next(0)
        assert attempt is not None
        attempts.finish(attempt)
    attempts.add(Attempt("late"))
    attempt = attempts.next(0)
    assert attempt is not None
    assert attempt.id == "late"


def test_what_is_said_after_an_attempt_waits_for_it() -> None:
    attempts = Attempts()
    assert not attempts.queue_message("a", "nothing to wait for")
    first, second = Attempt("a"), Attempt("a")
    attempts.add(first)
    assert attempts.queue_message("a", "one")
    attempts.add(second)
    assert attempts.queue_message("a", "two")
    assert attempts.next(0) is first
    assert attempts.finish(first) == ["one"]
    assert attempts.is_pending(second)
    attempts.forget("a")
    assert not attempts.is_pending(second)
    assert attempts.finish(second) == []
    assert attempts.next(0) is None


def test_lines_are_bounded_in_length_and_number() -> None:
    attempts = Attempts()
    assert [attempts.add(Attempt("a")) for _ in range(100)].count(True) == MAX_QUEUED
    for number in range(10 * MAX_PARTICIPANTS):
        attempts.add(Attempt(f"{number}"))
    left = 0
    while (attempt := attempts.next(0)) is not None:
        attempts.finish(attempt)
        left += 1
    assert left < MAX_PARTICIPANTS + MAX_QUEUED


def test_who_has_the_code_may_come_again_at_once() -> None:
    attempts = Attempts()
    for _ in range(5 * MAX_ATTEMPTS):
        assert attempts.add(Attempt("a"))
        attempt = attempts.next(0)
        assert attempt is not None
        attempts.finish(attempt)
        attempts.paired("a")


async def test_strangers_who_flood_a_sender_do_not_hold_up_the_right_one() -> None:
    # On the loop, each of these would take 20 ms, and all of them some seconds.
    asked = 150
    half = encode(Pairing(OTHER, PairingSide.RECEIVER).pake)
    answers: Counter[str] = Counter()
    async with (
        serve("127.0.0.1", 0) as server,
        meet(server.url, CODE, side=PairingSide.SENDER) as sender,
    ):

        async def flood(number: int) -> None:
            name = f"stranger-{number}"
            async with connect(server.url, room=CODE.room, name=name) as stranger:
                to = next(p.id for p in stranger.peers if p.name.startswith("sender-"))

                async def ask() -> None:
                    for _ in range(asked):
                        await stranger.send(Message(to=to, data=half))

                async with asyncio.TaskGroup() as group:
                    asking = group.create_task(ask())
                    try:
                        async for event in stranger:
                            answers[name] += isinstance(event, PeerMessage)
                    finally:
                        asking.cancel()

        flooding = [asyncio.create_task(flood(number)) for number in range(3)]
        while len(answers) < 3:
            await asyncio.sleep(0.01)
        async with meet(server.url, CODE, side=PairingSide.RECEIVER) as receiver:
            async for peer in receiver:
                await peer.connected()
                break
            async for peer in sender:
                await peer.connected()
                break
        for task in flooding:
            task.cancel()
        await asyncio.gather(*flooding, return_exceptions=True)
    assert max(answers.values()) <= MAX_ATTEMPTS
