"""Messages of the clients of each signaling server: how they join, and one to another client."""

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

_SDP_LINE = "a=candidate:1 1 udp 2122260223 192.0.2.1 54321 typ host generation 0\r\n"


class Payload(StrEnum):
    """The message that is sent."""

    CANDIDATE = "candidate"
    """A candidate, some 300 bytes with what is around it."""

    DESCRIPTION = "description"
    """An offer of some 4 KB, as of a browser with audio and video."""


CANDIDATE = {
    "candidate": "candidate:842163049 1 udp 1677729535 203.0.113.7 54321 typ srflx raddr 0.0.0.0 "
    "rport 0 generation 0 ufrag Xy3k network-cost 999",
    "sdpMid": "0",
    "sdpMLineIndex": 0,
    "usernameFragment": "Xy3k",
}
DESCRIPTION = {"type": "offer", "sdp": "v=0\r\n" + _SDP_LINE * 57}


@dataclass(frozen=True, slots=True)
class Joined:
    """The state of a client once it is in.

    Attributes:
        id: Its id, to which others send.
    """

    id: str


class Dialect(Protocol):
    """The messages of clients of one server."""

    name: str

    def path(self, number: int) -> str:
        """Return the path of the WebSocket for a client."""
        ...

    def join(self, number: int) -> bytes:
        """Return the message with which a client joins; empty if the path is enough."""
        ...

    def joined(self, message: bytes, number: int) -> Joined | None:
        """Return what a message tells a client that has joined; ``None`` for other messages."""
        ...

    def message(self, to: str, payload: Payload) -> bytes:
        """Return a message to another client."""
        ...

    def prefix(self, payload: Payload) -> bytes:
        """Return the begin of such a message as its receiver gets it."""
        ...


class Icefloe:
    """icefloe: rooms of two, which a client joins by a message."""

    name = "icefloe"

    def path(self, number: int) -> str:
        """Return the path of the WebSocket for a client."""
        return "/ws"

    def join(self, number: int) -> bytes:
        """Return the message with which a client joins."""
        room = f"room-{number // 2}"
        return _json({"type": "join", "version": 1, "room": room, "name": f"client-{number}"})

    def joined(self, message: bytes, number: int) -> Joined | None:
        """Return what ``joined`` tells."""
        found = json.loads(message)
        return Joined(found["id"]) if found["type"] == "joined" else None

    def message(self, to: str, payload: Payload) -> bytes:
        """Return a message to another client."""
        if payload is Payload.CANDIDATE:
            return _json({"type": "candidate", "to": to, "candidate": CANDIDATE})
        return _json({"type": "description", "to": to, "description": DESCRIPTION})

    def prefix(self, payload: Payload) -> bytes:
        """Return the begin of such a message as its receiver gets it."""
        return f'{{"type":"{payload}"'.encode()


class PeerServer:
    """PeerServer, the server of PeerJS: the URL has the id of a client."""

    name = "PeerServer"

    def path(self, number: int) -> str:
        """Return the path of the WebSocket for a client."""
        return f"/peerjs?key=peerjs&id=client-{number}&token=secret{number}&version=1.5.4"

    def join(self, number: int) -> bytes:
        """Return nothing: the path is enough."""
        return b""

    def joined(self, message: bytes, number: int) -> Joined | None:
        """Return what ``OPEN`` tells."""
        return Joined(f"client-{number}") if json.loads(message)["type"] == "OPEN" else None

    def message(self, to: str, payload: Payload) -> bytes:
        """Return a message to another client."""
        connection = {"type": "media", "connectionId": "mc_5f3l1v2k9qd"}
        if payload is Payload.CANDIDATE:
            content = {"candidate": CANDIDATE, **connection}
            return _json({"type": "CANDIDATE", "payload": content, "dst": to})
        content = {"sdp": DESCRIPTION, **connection}
        return _json({"type": "OFFER", "payload": content, "dst": to})

    def prefix(self, payload: Payload) -> bytes:
        """Return the begin of such a message as its receiver gets it."""
        kind = "CANDIDATE" if payload is Payload.CANDIDATE else "OFFER"
        return f'{{"type":"{kind}"'.encode()


DIALECTS: dict[str, Dialect] = {each.name: each for each in (Icefloe(), PeerServer())}


def _json(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode()
