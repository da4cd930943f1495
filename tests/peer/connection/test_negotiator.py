"""``Negotiator`` as an application with signaling of its own uses it."""

import asyncio
import json
from typing import Any

import pytest
from aiortc import RTCSessionDescription

from icefloe.peer import (
    DataChannel,
    InvalidCandidate,
    InvalidDescription,
    Negotiator,
    PeerConnection,
)


class JsonSignaler:
    """Sends as JSON, as over a WebSocket."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[str] = asyncio.Queue()

    async def description(self, description: RTCSessionDescription) -> None:
        sent = {"type": description.type, "sdp": description.sdp}
        await self.sent.put(json.dumps({"description": sent}))

    async def candidate(self, candidate: object) -> None:
        await self.sent.put(json.dumps({"candidate": candidate}))


async def forward(signaler: JsonSignaler, negotiator: Negotiator) -> None:
    while True:
        await negotiator.receive(json.loads(await signaler.sent.get()))


@pytest.mark.parametrize("both", [False, True], ids=["one offers", "both offer at once"])
async def test_two_connections_talk_over_signaling_of_their_own(both: bool) -> None:
    one, other = PeerConnection(), PeerConnection()
    to_other, to_one = JsonSignaler(), JsonSignaler()
    async with (
        asyncio.timeout(30),
        Negotiator(one, polite=False, signaler=to_other) as impolite,
        Negotiator(other, polite=True, signaler=to_one) as polite,
        asyncio.TaskGroup() as group,
    ):
        pumps = [
            group.create_task(forward(to_other, polite)),
            group.create_task(forward(to_one, impolite)),
        ]
        sending = DataChannel(one.createDataChannel("chat", negotiated=True, id=0))
        reading = DataChannel(other.createDataChannel("chat", negotiated=True, id=0))
        if both:
            one.addTransceiver("audio")
            other.addTransceiver("video")
        await sending.send("there")
        assert await reading.receive() == "there"
        await reading.send("and back")
        assert await sending.receive() == "and back"
        await impolite.settled()
        await polite.settled()
        kinds = {transceiver.kind for transceiver in one.getTransceivers()}
        assert kinds == ({"audio", "video"} if both else set())
        for pump in pumps:
            pump.cancel()
    await asyncio.gather(one.close(), other.close())


SDP = "v=0\r\n"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"description": {"type": "pranswer", "sdp": SDP}}, InvalidDescription),
        ({"description": {"type": "rollback", "sdp": ""}}, InvalidDescription),
        ({"description": {"type": ["offer"], "sdp": SDP}}, InvalidDescription),
        ({"description": {"type": "offer", "sdp": 7}}, InvalidDescription),
        ({"description": {"type": "offer"}}, InvalidDescription),
        ({"description": "v=0"}, InvalidDescription),
        ({"description": []}, InvalidDescription),
        ({"candidate": "candidate:1 1 udp 1 192.0.2.1 5 typ host"}, InvalidCandidate),
        ({"candidate": 0}, InvalidCandidate),
        ({}, InvalidCandidate),
        ({"bye": True}, InvalidCandidate),
        ([], InvalidCandidate),
        ("offer", InvalidCandidate),
        (None, InvalidCandidate),
    ],
)
async def test_a_message_that_is_none_is_refused(message: Any, error: type[ValueError]) -> None:
    connection = PeerConnection()
    async with Negotiator(connection, polite=True, signaler=JsonSignaler()) as negotiator:
        with pytest.raises(error):
            await negotiator.receive(message)
        assert connection.signalingState == "stable"
    await connection.close()


async def test_only_offers_and_answers_are_taken() -> None:
    connection = PeerConnection()
    async with Negotiator(connection, polite=True, signaler=JsonSignaler()) as negotiator:
        with pytest.raises(InvalidDescription):
            await negotiator.receive_description(RTCSessionDescription("", "rollback"))
    await connection.close()


async def test_an_error_of_the_signaler_cancels_the_block() -> None:
    class Broken(JsonSignaler):
        async def description(self, description: RTCSessionDescription) -> None:
            raise ConnectionError("the socket is closed")

    connection = PeerConnection()
    with pytest.raises(ExceptionGroup) as raised:
        async with Negotiator(connection, polite=False, signaler=Broken()):
            connection.createDataChannel("chat")
            await asyncio.sleep(3600)
    assert raised.group_contains(ConnectionError, match="the socket is closed")
    await connection.close()


async def test_an_operation_that_fails_is_reported_and_the_next_one_works() -> None:
    connection = PeerConnection()
    failed: asyncio.Queue[Exception] = asyncio.Queue()
    signaler = JsonSignaler()
    async with Negotiator(
        connection, polite=True, signaler=signaler, on_error=failed.put_nowait
    ) as negotiator:
        await negotiator.receive({"description": {"type": "offer", "sdp": "no description"}})
        assert isinstance(await failed.get(), InvalidDescription)
        offering = PeerConnection()
        offering.createDataChannel("chat")
        await offering.setLocalDescription()
        offer = offering.localDescription
        await negotiator.receive({"description": {"type": "offer", "sdp": offer.sdp}})
        answer = json.loads(await signaler.sent.get())
        assert answer["description"]["type"] == "answer"
    await asyncio.gather(connection.close(), offering.close())


async def test_an_error_of_the_body_is_raised() -> None:
    connection = PeerConnection()
    with pytest.raises(ExceptionGroup) as raised:
        async with Negotiator(connection, polite=True, signaler=JsonSignaler()):
            raise LookupError("of the application")
    assert raised.group_contains(LookupError)
    await connection.close()
