"""Cutting TURN messages out of a byte stream (RFC 8656 section 3.1), and racing for a server."""

import asyncio
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aioice import stun
from hypothesis import given, strategies as st

from icefloe.peer.ice.gather.happy_eyeballs import first_to_succeed
from icefloe.peer.ice.turn.transports import Framer


def channel_data(number: int, payload: bytes) -> bytes:
    return struct.pack("!HH", number, len(payload)) + payload


def padded(message: bytes) -> bytes:
    return message + bytes(-len(message) % 4)


messages = st.one_of(
    st.builds(channel_data, st.integers(0x4000, 0x4FFF), st.binary(max_size=50)),
    st.builds(
        lambda data: bytes(
            stun.Message(stun.Method.DATA, stun.Class.INDICATION, attributes={"DATA": data})
        ),
        st.binary(max_size=50),
    ),
)


@given(st.lists(messages), st.data())
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    sent: list[bytes], data: st.DataObject
) -> None:
    stream = b"".join(map(padded, sent))
    framer, received = Framer(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += framer.feed(stream[:size])
        stream = stream[size:]
    assert received == sent


@given(st.binary(min_size=20))
def test_what_is_no_turn_is_refused_or_waited_for(data: bytes) -> None:
    try:
        messages = Framer().feed(data)
    except ValueError:
        return
    assert all(message[0] >> 6 in (0, 1) for message in messages)


@pytest.mark.parametrize(
    "data", [b"\x80\0\0\0", b"\xff" * 20, b"\0\1\0\0" + bytes(16), b"\0\1\0\1\x21\x12\xa4\x42"]
)
def test_what_can_be_no_turn_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="STUN"):
        Framer().feed(data)


# --- the race


class Attempts:
    """Attempts that end when told to."""

    def __init__(self, count: int) -> None:
        self.outcomes: list[asyncio.Future[str]] = [asyncio.Future() for _ in range(count)]
        self.begun: list[int] = []
        self.discarded: list[str] = []

    def _attempt(self, index: int) -> Callable[[], Coroutine[Any, Any, str]]:
        async def attempt() -> str:
            self.begun.append(index)
            return await self.outcomes[index]

        return attempt

    async def race(self, delay: float) -> str:
        return await first_to_succeed(
            [self._attempt(index) for index in range(len(self.outcomes))],
            delay=delay,
            discard=self.discarded.append,
            failures=(OSError,),
        )


async def test_the_next_begins_when_one_fails() -> None:
    attempts = Attempts(3)
    attempts.outcomes[0].set_exception(OSError("no"))
    attempts.outcomes[1].set_result("second")
    assert await attempts.race(delay=1000) == "second"
    assert attempts.begun == [0, 1]


async def test_the_next_begins_after_a_while_and_the_first_may_still_win() -> None:
    attempts = Attempts(2)
    race = asyncio.create_task(attempts.race(delay=0.01))
    while attempts.begun != [0, 1]:
        await asyncio.sleep(0.001)
    attempts.outcomes[0].set_result("slow")
    assert await race == "slow"
    assert attempts.outcomes[1].cancelled()


async def test_what_succeeds_too_late_is_discarded() -> None:
    attempts = Attempts(2)
    race = asyncio.create_task(attempts.race(delay=0))
    while len(attempts.begun) < 2:
        await asyncio.sleep(0)
    attempts.outcomes[0].set_result("a")
    attempts.outcomes[1].set_result("b")
    assert {await race, *attempts.discarded} == {"a", "b"}
    assert len(attempts.discarded) == 1


async def test_if_all_fail_the_first_reason_is_told() -> None:
    attempts = Attempts(2)
    attempts.outcomes[0].set_exception(OSError("first"))
    attempts.outcomes[1].set_exception(OSError("second"))
    with pytest.raises(OSError, match="first"):
        await attempts.race(delay=0)


async def test_a_mistake_is_not_a_failure() -> None:
    attempts = Attempts(2)
    attempts.outcomes[0].set_exception(TypeError("mistake"))
    with pytest.raises(TypeError):
        await attempts.race(delay=1000)
    assert attempts.begun == [0]


async def test_cancelling_the_race_cancels_the_attempts() -> None:
    attempts = Attempts(2)
    race = asyncio.create_task(attempts.race(delay=0))
    while len(attempts.begun) < 2:
        await asyncio.sleep(0)
    race.cancel()
    with pytest.raises(asyncio.CancelledError):
        await race
    assert all(outcome.cancelled() for outcome in attempts.outcomes)
