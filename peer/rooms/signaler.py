"""Signaler of a room: sends to one participant; and the ICE servers that signaling names."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from logging import Logger

from aiortc import InvalidStateError, RTCIceServer, RTCSessionDescription

from icefloe.logs import get_logger
from icefloe.signaling import (
    Bye,
    Candidate,
    Description,
    IceCandidate,
    IceServer,
    Message,
    MessageError,
    SendQueueFull,
    SessionDescription,
    SignalingClient,
    SignalingError,
)
from icefloe.signaling.codec import encode_client

from ..configuration import PeerConfiguration
from ..connection.candidates import RTCIceCandidateInit
from ..connection.connection import PeerConnection
from ..errors import DescriptionTooLarge, InvalidServerUrl
from ..ice.server_urls import parse_servers
from ..sdp import SECTIONS

logger: Logger = get_logger(__name__)

_SEND_AGAIN = 0.5
"""Seconds before a message is sent again for which signaling had no room."""

_LATE = 2**53
"""The largest sequence number of a message, which takes the most bytes."""

_BYE_TIMEOUT = 1.0
"""Seconds that telling the remote peer of an end may take."""


MOST_SERVERS = 32
"""URLs of STUN and TURN servers that are used of those that signaling names: each is looked up, and
asked from every own address."""


def usable_servers(servers: Iterable[IceServer]) -> Iterator[RTCIceServer]:
    """Yield the servers that the signaling server names, without invalid ones.

    Of more than :data:`MOST_SERVERS` URLs the first are looked at.
    """
    left = MOST_SERVERS
    for named in servers:
        urls = [named.urls] if isinstance(named.urls, str) else named.urls
        if len(urls) > left:
            logger.warning(
                "signaling named more than %d servers: the rest is ignored", MOST_SERVERS
            )
            urls = urls[:left]
        if not urls:
            return
        left -= len(urls)
        server = RTCIceServer(urls, named.username, named.credential)
        try:
            parse_servers([server])
        except InvalidServerUrl as error:
            logger.warning("ignored a server that signaling named: %s", error)
        else:
            yield server


def with_servers(configuration: PeerConfiguration, client: SignalingClient) -> PeerConfiguration:
    """Return a configuration with the servers that signaling names, unless it has its own."""
    if configuration.iceServers is not None:
        return configuration
    return replace(configuration, iceServers=list(usable_servers(client.ice_servers)))


def renew_servers(
    connections: Iterable[PeerConnection],
    configuration: PeerConfiguration,
    servers: Iterable[IceServer],
) -> None:
    """Give connections the servers that signaling names now, unless there are own ones.

    Args:
        connections: The connections; those that are being closed are passed over.
        configuration: The configuration of the application.
        servers: The servers, with credentials.
    """
    if configuration.iceServers is not None:
        return
    usable = list(usable_servers(servers))
    for connection in connections:
        held = connection.getConfiguration()
        with suppress(InvalidStateError):  # it is being closed
            connection.setConfiguration(replace(held, iceServers=usable))


class RoomSignaler:
    """Sends to one participant. A message that cannot be sent is logged, and the call goes on.

    While too much waits for signaling to come back, descriptions and candidates wait here: a
    description that is lost is one that nobody ever answers.
    """

    def __init__(self, client: SignalingClient, to: str) -> None:
        self._client = client
        self._to = to

    def check(self, description: RTCSessionDescription) -> None:
        """Check that a description can be sent.

        Raises:
            DescriptionTooLarge: Signaling does not carry as much, or the remote peer does not take
                as many media sections.
        """
        size, sections = len(description.sdp.encode()), description.sdp.count("\nm=")
        if sections > SECTIONS:
            reason = f"it has {sections} media sections, and the other side takes {SECTIONS}"
            raise DescriptionTooLarge(description.type, size, reason)
        payload = SessionDescription(type=description.type, sdp=description.sdp)  # type: ignore[arg-type]
        try:
            encode_client(Description(to=self._to, description=payload, seq=_LATE))
        except MessageError as error:
            raise DescriptionTooLarge(description.type, size, error.reason) from error

    async def description(self, description: RTCSessionDescription) -> None:
        payload = SessionDescription(type=description.type, sdp=description.sdp)  # type: ignore[arg-type]
        await self._send(Description(to=self._to, description=payload))

    async def candidate(self, candidate: RTCIceCandidateInit | None) -> None:
        payload = IceCandidate(**candidate) if candidate is not None else None
        await self._send(Candidate(to=self._to, candidate=payload))

    async def bye(self) -> None:
        try:
            async with asyncio.timeout(_BYE_TIMEOUT):
                await self._try_to_send(Bye(to=self._to))
        except (SendQueueFull, TimeoutError):
            logger.warning("%s was not told that the call is over", self._to)

    async def message(self, data: object) -> None:
        """Send data of the application."""
        await self._send(Message(to=self._to, data=data))

    async def _send(self, message: Description | Candidate | Message) -> None:
        while True:
            try:
                return await self._try_to_send(message)
            except SendQueueFull:
                await asyncio.sleep(_SEND_AGAIN)

    async def _try_to_send(self, message: Description | Candidate | Bye | Message) -> None:
        try:
            await self._client.send(message)
        except SendQueueFull:
            raise
        except SignalingError as error:
            logger.warning("not sent to %s: %s", self._to, error)
