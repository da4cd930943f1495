"""The rendezvous: joining the room of a code at a signaling server."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ssl import SSLContext

from icefloe.signaling import connect

from ..configuration import PeerConfiguration
from .errors import NoRoomFree
from .key_exchange import PairingCode, PairingSide
from .meeting import Meeting
from .participant import has_role

MAX_CODES_TRIED = 20
"""New codes that are tried to find a room without another sender."""


@asynccontextmanager
async def meet(
    url: str,
    code: PairingCode | str | None = None,
    *,
    side: PairingSide | None = None,
    token: str | Callable[[], Awaitable[str]] | None = None,
    ssl: SSLContext | None = None,
    configuration: PeerConfiguration | None = None,
    connect_timeout: float = 30.0,
) -> "AsyncIterator[Meeting]":
    """Wait in the room of a code for the remote peer, until the end of the block.

    The two programs show each other by SPAKE2 (RFC 9382) that they have the same code, and that
    nobody changed the fingerprints of their certificates on the way. The signaling server learns
    the number of the code alone.

    Args:
        url: The signaling server, as ``ws://127.0.0.1:8080/ws``.
        code: The code that the user was told. Without one a new code is made, and
            :attr:`Meeting.code` has it for the user of the other program.
        side: The role of this program: by default the sender if it makes the code, otherwise the
            receiver. A sender that waits again under its code of before says so here.
        token: The token that admits, if the server asks for one, or a coroutine function that gives
            one, see :func:`icefloe.peer.join`. The room is called ``files-``
            and the number of the code, as ``files-7``.
        ssl: The TLS context that verifies the certificate of a ``wss://`` server.
        configuration: The configuration of the connections; without ``iceServers`` those of the
            signaling server are used.
        connect_timeout: Seconds that a connection may take.

    Raises:
        InvalidPairingCode: The text is not a code; a ``ValueError``.
        NoRoomFree: The rooms of all new codes that were tried have another sender.
        SignalingError: The server cannot be reached, or refuses.
        ValueError: A receiver has no code.

    Cancellation: safe.
    """
    side = side or (PairingSide.SENDER if code is None else PairingSide.RECEIVER)
    if code is None and side is PairingSide.RECEIVER:
        raise ValueError("a receiver needs the code that the sender has made")
    given = PairingCode.parse(code) if isinstance(code, str) else code
    name = f"{side}-{secrets.token_hex(4)}"
    for _ in range(MAX_CODES_TRIED):
        tried = given or PairingCode.make()
        async with connect(url, room=tried.room, name=name, token=token, ssl=ssl) as client:
            if given is None and any(has_role(info, side) for info in client.peers):
                continue
            async with Meeting(client, tried, side, configuration, connect_timeout) as meeting:
                yield meeting
                return
    raise NoRoomFree
