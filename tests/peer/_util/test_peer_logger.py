"""The log at INFO names the peer in each line, and says each thing once."""

import logging
from collections import Counter

import pytest

from icefloe.peer import join
from icefloe.signaling import serve
from tests.helpers.calls import eventually


async def test_each_line_names_its_peer_and_nothing_is_said_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "icefloe.peer")
    async with (
        serve(port=0) as server,
        join(server.url, room="r", name="50% off") as one,
        join(server.url, room="r", name="two") as two,
    ):
        peers = await one.peer("two"), await two.peer("50% off")
        for peer in peers:
            await peer.connected()
        done = Counter[str]()
        peers[0].connection.restartIce()
        await eventually(lambda: sum("ICE restart done" in line for line in caplog.messages) == 2)
    assert len(caplog.messages) >= 8
    for line in caplog.messages:
        assert line.startswith(("two: ", "50% off: ")), line
    for line in caplog.messages:
        done[line] += "connected by" in line or "call is over" in line
    assert max(done.values()) == 1
    assert sum(done.values()) == 4
