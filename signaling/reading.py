"""Reading from many sockets so that none of them holds up the others.

A socket may have hundreds of frames ready at once, and the loop is busy with them all before it
turns to the next socket. So what was read is worked off in small pieces, one a turn of the loop;
and each connection pays for its frames from a bucket of tokens. While it is in debt nothing more is
read from it: TCP makes the sender wait, and nothing is lost.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from icefloe._util.token_bucket import TokenBucket
from icefloe.logs import get_logger

RECEIVE_BUFFER = 16 * 1024
"""Bytes that the kernel keeps of what was not read yet (``SO_RCVBUF``, which Linux doubles)."""

BYTES_PER_TOKEN = 2048
"""A frame costs a token, and another one for so many bytes of it."""

HANDSHAKE_SECONDS = 10.0
"""Seconds that the handshake of TLS may take."""

_PIECE_OF_THE_QUIET = 1024
_PIECE_OF_THE_BUSY = 256
_END_OF_REQUEST = b"\r\n\r\n"
_UNHANDLED = 8  # messages in the queue above which nothing more is worked off

logger = get_logger(__name__)


class FairConnection(ServerConnection):
    """A connection to the server that takes its turn.

    Whoever takes a message from it calls :meth:`handled` when done with it.

    Args:
        number: What it is called.
        rate: Tokens a second.
        burst: Tokens at most, and at first.
        on_throttled: Called when the connection got into debt, once until it was quiet again.
        on_open: Called when the TCP connection is there; returns whether it may stay.
        on_lost: Called when it is gone.
        tls: The certificate; without one the connection is not encrypted. TLS begins here and not
            in the listener, so that a connection counts before its handshake.

    Attributes:
        received: How many messages have come.
        answered: How many messages were handled.
        peer_host: The address that it comes from; empty if that is not known.
        encryption: The handshake of TLS, if there is one.
    """

    def __init__(
        self,
        protocol: ServerProtocol,
        server: Server,
        *,
        number: int,
        rate: float,
        burst: float,
        on_throttled: Callable[["FairConnection"], None],
        on_open: Callable[["FairConnection"], bool],
        on_lost: Callable[["FairConnection"], None],
        tls: ssl.SSLContext | None = None,
        **options: Any,
    ) -> None:
        super().__init__(protocol, server, **options)
        self.number = number
        self.received = 0
        self.answered = 0
        self._bucket = TokenBucket(rate, burst, self.loop.time())
        self._on_throttled = on_throttled
        self._on_open = on_open
        self._on_lost = on_lost
        self._tls = tls
        self.encryption: asyncio.Task[None] | None = None
        self.peer_host = ""
        self._has_begun = self._is_over = False
        self._held = bytearray()
        self._request_end = b""
        self._waits_for_answer = False
        self._next_turn: asyncio.Handle | None = None
        self._is_throttled = False

    def charge(self, tokens: float) -> None:
        """Let the connection pay extra."""
        self._bucket.take(tokens, self.loop.time())

    def handled(self) -> None:
        """Note that a message was handled."""
        self.answered += 1
        if self._next_turn is None:
            self._plan()

    # ---- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer_host = str(address[0]) if isinstance(address, tuple) else ""
        if not self._on_open(self):
            self.transport.abort()
        elif self._tls is None:
            self._begin(self.transport)
        else:
            self.transport.pause_reading()
            self.encryption = self.loop.create_task(
                self._encrypt(self.transport, self._tls), name=f"TLS {self.number}"
            )

    async def _encrypt(self, transport: asyncio.Transport, tls: ssl.SSLContext) -> None:
        transport.pause_reading()  # again: uvloop begins to read after connection_made()
        starting = self.loop.create_task(
            self.loop.start_tls(
                transport, self, tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        )
        encrypted: asyncio.Transport | None = None
        try:
            await asyncio.sleep(0)  # from here on the transport's protocol is that of TLS
            if self._held:
                self.loop.call_soon(self._hand_to_tls, transport)
            encrypted = await starting
        except OSError as error:  # those of ssl are, and so is one that took too long
            logger.debug("connection %s: no TLS: %s", self.number, error)
        finally:
            # A connection that is lost in the middle of it ends it without an error.
            if encrypted is None or encrypted.is_closing():
                starting.cancel()
                transport.abort()
                self._end()
            else:
                self._begin(encrypted)

    def _hand_to_tls(self, transport: asyncio.Transport) -> None:
        """Give what came before the handshake could begin to whoever does it."""
        # uvloop's is one in all but its base class.
        protocol = cast(asyncio.BufferedProtocol, transport.get_protocol())
        while self._held:
            buffer = memoryview(protocol.get_buffer(len(self._held)))
            size = min(len(buffer), len(self._held))
            buffer[:size] = self._held[:size]
            del self._held[:size]
            protocol.buffer_updated(size)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._has_begun = True
        super().connection_made(transport)
        if self._held and self._next_turn is None:
            self._take_turn()

    def data_received(self, data: bytes) -> None:
        self._held += data
        if self._next_turn is None and self._has_begun:
            self._take_turn()

    def eof_received(self) -> None:
        if not self._has_begun:
            self.transport.abort()
            return
        # TLS reports the end together with the last data.
        while self._held and not self._is_answering():
            self._feed(_PIECE_OF_THE_QUIET)
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
        self._held.clear()
        if self._has_begun:
            super().connection_lost(exc)
        self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._on_lost(self)

    # ---- websockets ----------------------------------------------------------------------------

    def process_event(self, event: Request | Response | Frame) -> None:
        if isinstance(event, Frame):
            self._bucket.take(1 + len(event.data) // BYTES_PER_TOKEN, self.loop.time())
            if event.opcode in DATA_OPCODES and event.fin:
                self.received += 1
        super().process_event(event)

    def send_data(self) -> None:
        # As one piece: a write for each of the pongs to a flood of pings costs the time of all.
        pieces = self.protocol.data_to_send()
        if data := b"".join(pieces):
            self.transport.write(data)
        if b"" in pieces:  # the end of the stream
            self._end_stream()
        if self._waits_for_answer and not self._is_answering():
            self._waits_for_answer = False
            self._plan()

    def _end_stream(self) -> None:
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except (OSError, RuntimeError):
            self.transport.abort()

    # ---- taking turns --------------------------------------------------------------------------

    def _take_turn(self) -> None:
        self._next_turn = None
        if self.transport.is_closing():
            return
        if self._held and not self._is_answering():
            ample = self._bucket.is_ample(self.loop.time())
            self._feed(_PIECE_OF_THE_QUIET if ample else _PIECE_OF_THE_BUSY)
        self._plan()

    def _is_answering(self) -> bool:
        return self.request is not None and self.state is State.CONNECTING

    def _feed(self, size: int) -> None:
        if self.request is None:
            # What comes after the request waits for the answer: a second request would be taken for
            # a frame, and websockets errs on that in the midst of its handshake.
            begun = len(self._request_end)
            end = (self._request_end + self._held[:size]).find(_END_OF_REQUEST)
            if end >= 0:
                size = end + len(_END_OF_REQUEST) - begun
        piece = bytes(self._held[:size])
        del self._held[:size]
        self._request_end = (self._request_end + piece)[1 - len(_END_OF_REQUEST) :]
        super().data_received(piece)

    def _plan(self) -> None:
        """Settle when the next piece is due, and whether to read from the socket meanwhile."""
        if self.transport.is_closing():  # while working off the piece
            return
        now = self.loop.time()
        if wait := self._bucket.wait(now):
            self.transport.pause_reading()
            self._next_turn = self.loop.call_later(wait, self._take_turn)
            self._tell_throttled()
        elif self.received - self.answered > _UNHANDLED:
            self.transport.pause_reading()  # until `handled`
        elif self._is_answering():
            self._waits_for_answer = True
            self.transport.pause_reading()  # until `send_data`
        elif self._held:
            self.transport.pause_reading()
            self._next_turn = self.loop.call_soon(self._take_turn)
        else:
            self.transport.resume_reading()
        if self._is_throttled and self._bucket.is_ample(now):
            self._is_throttled = False

    def _tell_throttled(self) -> None:
        if not self._is_throttled and self.state is State.OPEN:
            self._is_throttled = True
            self._on_throttled(self)
