"""One's seat at a signaling server, as a peer connection needs it: its servers, and its way out."""

import logging
from collections.abc import Iterable, Iterator

from aiortc import RTCIceServer, RTCSessionDescription

from icefloe.signaling import (
    Bye,
    Candidate,
    Description,
    IceCandidate,
    IceServer,
    Message,
    SessionDescription,
    SignalingClient,
    SignalingError,
)

from .candidates import RTCIceCandidateInit
from .errors import InvalidServerUrl
from .ice.servers import parse_servers

logger = logging.getLogger(__name__)


def usable_servers(servers: Iterable[IceServer]) -> Iterator[RTCIceServer]:
    """Give the servers that the signaling server names, without those that cannot be read."""
    for named in servers:
        server = RTCIceServer(named.urls, named.username, named.credential)
        try:
            parse_servers([server])
        except InvalidServerUrl as error:
            logger.warning("ignored a server that signaling named: %s", error)
        else:
            yield server


class SeatSignaler:
    """Sends to one participant. What cannot be sent is logged: the call does not hang on it."""

    def __init__(self, client: SignalingClient, to: str) -> None:
        self._client = client
        self._to = to

    async def description(self, description: RTCSessionDescription) -> None:
        """Send an offer or an answer."""
        payload = SessionDescription(type=description.type, sdp=description.sdp)  # type: ignore[arg-type]
        await self._send(Description(to=self._to, description=payload))

    async def candidate(self, candidate: RTCIceCandidateInit | None) -> None:
        """Send a candidate, or with ``None`` the end of them."""
        payload = IceCandidate(**candidate) if candidate is not None else None
        await self._send(Candidate(to=self._to, candidate=payload))

    async def bye(self) -> None:
        """Tell that the connection is over."""
        await self._send(Bye(to=self._to))

    async def message(self, data: object) -> None:
        """Send data of the application."""
        await self._send(Message(to=self._to, data=data))

    async def _send(self, message: Description | Candidate | Bye | Message) -> None:
        try:
            await self._client.send(message)
        except SignalingError as error:
            logger.warning("not sent to %s: %s", self._to, error)


def init_of(sent: IceCandidate | None) -> RTCIceCandidateInit | None:
    """Return a candidate as ``addIceCandidate`` takes it."""
    if sent is None:
        return None
    return {
        "candidate": sent.candidate,
        "sdpMid": sent.sdpMid,
        "sdpMLineIndex": sent.sdpMLineIndex,
        "usernameFragment": sent.usernameFragment,
    }
