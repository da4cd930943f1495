"""The shell of an association has a timer for whatever is due, and what fails is tried again."""

import asyncio
import random

import pytest

from icefloe.peer import DataChannel
from icefloe.peer._aiortc import DtlsTransport, SctpTransport
from icefloe.peer.sctp.transport import DataChannelTransport
from tests.helpers.pairs import closing, make, negotiate


def check(shells: list[DataChannelTransport], looks: list[int]) -> None:
    """Look, in each turn of the event loop, whether each shell will be woken in time."""
    for shell in shells:
        association = shell.association
        if association is not None and shell.state == "connected":
            assert shell.wakes_at <= association.deadline
            looks[0] += 1


async def watch(shells: list[DataChannelTransport], looks: list[int]) -> None:
    while True:
        check(shells, looks)
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", range(4))
async def test_it_is_woken_for_whatever_is_due(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = make("icefloe"), make("icefloe")
    chances = random.Random(seed)
    cut = [False]

    async with closing(a, b):
        near = DataChannel(a.createDataChannel("bulk"))
        pulse = a.createDataChannel("pulse", ordered=False, maxRetransmits=0)
        far: asyncio.Future[DataChannel] = asyncio.get_running_loop().create_future()

        def on_channel(channel: object) -> None:
            if getattr(channel, "label", None) == "bulk":
                far.set_result(DataChannel(channel))  # type: ignore[arg-type]

        b.on("datachannel", on_channel)
        await negotiate(a, b)
        await near.opened()
        receiver = await far
        shells = []
        for connection in (a, b):
            transport = connection.sctp
            assert isinstance(transport, SctpTransport)
            shells.append(transport.shell)
            link = transport.transport
            assert isinstance(link, DtlsTransport)

            def carry(packets: list[bytes], send: object = link.send_all) -> None:
                if cut[0]:
                    if chances.random() < 0.3:
                        raise ConnectionError("there is no path")
                    return
                send([p for p in packets if chances.random() > 0.02])  # type: ignore[operator]

            monkeypatch.setattr(link, "send_all", carry)

        async def disturb() -> None:
            for _ in range(6):
                await asyncio.sleep(chances.uniform(0, 0.1))
                cut[0] = True
                await asyncio.sleep(chances.uniform(0, 0.3))
                cut[0] = False
                for _ in range(chances.randrange(3)):
                    chances.choice(shells).path_changed(was_lost=chances.random() < 0.5)
                if pulse.readyState == "open":
                    pulse.send("now")

        looks = [0]
        watching = asyncio.create_task(watch(shells, looks))
        disturbing = asyncio.create_task(disturb())
        sent = [chances.randbytes(20_000) for _ in range(150)]

        async def send() -> None:
            for message in sent:
                await near.send(message)

        sending = asyncio.create_task(send())
        got = [await receiver.receive() for _ in sent]
        await asyncio.gather(sending, disturbing)
        assert got == sent
        assert not watching.done(), watching.exception()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        assert looks[0] > 1000
