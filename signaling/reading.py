"""Fair reading and rate limiting of WebSocket connections.

A socket may have hundreds of frames ready at once, and parsing all of them would delay all other
sockets. So each connection parses a small piece of the received bytes per turn of the event loop,
and pays for its frames from a token bucket. While the bucket is in debt the connection reads
nothing: TCP flow control makes the sender wait, and nothing is lost.

Once a client has joined, short texts that are there as a whole go to their handler at once, a few
for each connection in a turn of the loop. All else goes through ``websockets`` and a task: the
handshake, ``join``, fragments, control frames, what is large, and what is no valid frame. Texts
never overtake each other, since the short way is taken only while nothing waits in the other one.
"""

import asyncio
import ssl
from collections.abc import Callable
from logging import Logger
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.frames import DATA_OPCODES, Frame
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from icefloe._util.token_bucket import TokenBucket
from icefloe.logs import get_logger

from .frames import FrameCutter, text_frame, whole_text

RECEIVE_BUFFER = 16 * 1024
"""Receive buffer of a socket in the kernel, in bytes (``SO_RCVBUF``, which Linux doubles)."""

BYTES_PER_TOKEN = 2048
"""A frame costs one token, and one more for each of this many bytes."""

HANDSHAKE_SECONDS = 10.0
"""Seconds that the TLS handshake may take."""

_CHUNK = 1024
"""Bytes parsed in one turn of the event loop."""

_BUSY_CHUNK = 256
"""Bytes parsed in one turn when less than half of the tokens are left."""

_TEXTS = 4
"""Texts that are handed over in one turn, at most, while half of the tokens are left; after
:data:`_CHUNK` bytes, and with fewer tokens, the next one waits for its turn."""

_UNPARSED = 4096
"""Bytes that may wait for the next turn before the connection stops to read from its socket."""

_MAX_UNHANDLED = 8
"""Messages that may wait for their handler; above it nothing more is read."""

_END_OF_REQUEST = b"\r\n\r\n"

logger: Logger = get_logger(__name__)


class FairConnection(ServerConnection):
    """A server-side WebSocket that shares the event loop fairly and is limited in rate.

    Call :meth:`mark_handled` after handling each message received from it.

    Args:
        number: The number by which the server knows the connection.
        rate: Tokens per second.
        burst: The largest number of tokens, and the number at first.
        on_throttled: Called when the connection gets into debt. It is called again only after at
            least half of the tokens were there.
        on_open: Called when the TCP connection is established; returns whether it is accepted.
        on_lost: Called when the connection is lost.
        tls: The TLS context; without one the connection is not encrypted. TLS begins here and not
            in the listener, so that a connection is counted before its handshake.

    Attributes:
        received: The number of messages received.
        handled: The number of messages handled.
        peer_host: The IP address that the connection came from; empty if unknown.
        client_host: The IP address of the client, which differs behind a reverse proxy.
        counted_as: The network that the connection is counted against; empty for none.
        encryption: The task of the TLS handshake, if TLS is used.
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
        self.received: int = 0
        self.handled: int = 0
        self._bucket = TokenBucket(rate, burst, self.loop.time())
        self._on_throttled = on_throttled
        self._on_open = on_open
        self._on_lost = on_lost
        self._tls = tls
        self.encryption: asyncio.Task[None] | None = None
        self.peer_host: str = ""
        self.client_host: str = ""
        self.counted_as: str = ""
        self._has_begun = self._is_over = False
        self._unparsed = bytearray()
        self._request_end = b""
        self._awaits_response = False
        self._next_turn: asyncio.Handle | None = None
        self._is_throttled = False
        self._on_texts: Callable[[list[bytes]], int] | None = None
        self._cutter = FrameCutter()
        self._needs_more = False  # before anything of what is unparsed can be read

    def hand_texts_over(self, on_texts: Callable[[list[bytes]], int]) -> None:
        """Have texts handled at once from now on, as far as they are short and have come whole.

        Args:
            on_texts: Called with texts in UTF-8. Returns how many of them were handled; the next
                one is received by :meth:`recv`, as all others are.
        """
        self._on_texts = on_texts

    def write_texts(self, payloads: tuple[bytes, ...]) -> None:
        """Write texts in UTF-8 without waiting; nothing if the connection is being closed."""
        if self.protocol.state is State.OPEN and not self.transport.is_closing():
            frames = [text_frame(payload) for payload in payloads]
            self.transport.write(frames[0] if len(frames) == 1 else b"".join(frames))

    def read_rest(self) -> None:
        """Parse all that has been read from the socket, unless the connection is in debt."""
        self._on_texts = None
        while self._unparsed and not self._is_responding() and not self.transport.is_closing():
            if self._bucket.wait(self.loop.time()):
                break
            self._parse(_CHUNK)

    @property
    def unparsed(self) -> int:
        """Bytes that were received and wait for their turn."""
        return len(self._unparsed)

    def charge(self, tokens: float) -> None:
        """Take additional tokens from the bucket of this connection."""
        self._bucket.take(tokens, self.loop.time())

    def mark_handled(self) -> None:
        """Count a message as handled."""
        self.handled += 1
        if self._next_turn is None:
            self._schedule()

    # ---- asyncio.Protocol ----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer_host = str(address[0]) if isinstance(address, tuple) else ""
        self.client_host = self.peer_host
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
            await asyncio.sleep(0)  # start_tls() has now set the TLS protocol of the transport
            if self._unparsed:
                self.loop.call_soon(self._pass_to_tls, transport)
            encrypted = await starting
        except OSError as error:  # includes ssl.SSLError and TimeoutError
            logger.debug("connection %s: TLS handshake failed: %s", self.number, error)
        finally:
            # start_tls() returns without an error if the connection is lost during the handshake.
            if encrypted is None or encrypted.is_closing():
                starting.cancel()
                transport.abort()
                self._end()
            else:
                self._begin(encrypted)

    def _pass_to_tls(self, transport: asyncio.Transport) -> None:
        """Pass bytes that arrived before the handshake could begin to the TLS protocol."""
        # uvloop's protocol has this interface but not this base class.
        protocol = cast(asyncio.BufferedProtocol, transport.get_protocol())
        while self._unparsed:
            buffer = memoryview(protocol.get_buffer(len(self._unparsed)))
            size = min(len(buffer), len(self._unparsed))
            buffer[:size] = self._unparsed[:size]
            del self._unparsed[:size]
            protocol.buffer_updated(size)

    def _begin(self, transport: asyncio.Transport) -> None:
        self._has_begun = True
        super().connection_made(transport)
        if self._unparsed and self._next_turn is None:
            self._take_turn()

    def data_received(self, data: bytes) -> None:
        if self._on_texts is not None and self._next_turn is None and not self._unparsed:
            used = self._take_texts(data)
            if used:
                if used < len(data):
                    self._unparsed += data[used:]
                if self._unparsed or self._is_throttled or self._bucket.is_in_debt:
                    self._schedule()
                return
        self._unparsed += data
        self._needs_more = False
        if self._next_turn is None and self._has_begun:
            self._take_turn()

    def eof_received(self) -> None:
        if not self._has_begun:
            self.transport.abort()
            return
        self._on_texts = None
        # TLS reports the end of the stream together with the last bytes.
        while self._unparsed and not self._is_responding():
            self._parse(_CHUNK)
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
        self._unparsed.clear()
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
        # Joined into one write: a separate write for each pong would make a flood of pings costly.
        pieces = self.protocol.data_to_send()
        if data := b"".join(pieces):
            self.transport.write(data)
        if b"" in pieces:  # the end of the stream
            self._end_stream()
        if self._awaits_response and not self._is_responding():
            self._awaits_response = False
            self._schedule()

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
        if self._unparsed and not self._is_responding():
            is_quiet = self._bucket.is_half_full(self.loop.time())
            size = _CHUNK if is_quiet else _BUSY_CHUNK
            if self.request is None:
                self._parse(size)
            elif used := self._take_texts(self._unparsed):
                del self._unparsed[:used]
            elif size := self._cutter.cut(
                self._unparsed, size, skips_texts=self._on_texts is not None
            ):
                self._parse(size)
            else:
                self._needs_more = True
        self._schedule()

    def _take_texts(self, data: bytes | bytearray) -> int:
        """Hand the texts over that data begins with; return the bytes of their frames."""
        if (
            self._on_texts is None
            or not self._cutter.is_between
            or self.handled != self.received
            or self.protocol.state is not State.OPEN
        ):
            return 0
        found = whole_text(data)
        if found is None:
            return 0
        text, end = found
        if end == len(data) or end >= _CHUNK or not self._bucket.was_half_full:
            return end if self._hand_over([text], len(text) // BYTES_PER_TOKEN) else 0
        texts, ends, tokens = [text], [end], len(text) // BYTES_PER_TOKEN
        while len(texts) < _TEXTS and end < _CHUNK and (found := whole_text(data, end)):
            text, end = found
            texts.append(text)
            ends.append(end)
            tokens += len(text) // BYTES_PER_TOKEN
        count = self._hand_over(texts, tokens)
        return ends[count - 1] if count else 0

    def _hand_over(self, texts: list[bytes], tokens: int) -> int:
        """Have texts handled, and pay for them; return how many were handled.

        Args:
            texts: The texts.
            tokens: Tokens for their bytes.
        """
        count = self._on_texts(texts) if self._on_texts is not None else 0
        if count:
            self._bucket.take(count + tokens, self.loop.time())
            self.received += count
            self.handled += count
        return count

    def _is_responding(self) -> bool:
        """Return whether the HTTP request has arrived and its response was not sent yet."""
        return self.request is not None and self.state is State.CONNECTING

    def _parse(self, size: int) -> None:
        if self.request is None:
            # Bytes after the request wait for the response: websockets would parse a second request
            # as a frame, and fails if that happens during its handshake.
            begun = len(self._request_end)
            end = (self._request_end + self._unparsed[:size]).find(_END_OF_REQUEST)
            if end >= 0:
                size = end + len(_END_OF_REQUEST) - begun
        piece = bytes(self._unparsed[:size])
        del self._unparsed[:size]
        self._request_end = (self._request_end + piece)[1 - len(_END_OF_REQUEST) :]
        super().data_received(piece)

    def _schedule(self) -> None:
        """Schedule the next turn, and pause or resume reading from the socket."""
        if self.transport.is_closing():  # closed while a piece was parsed
            return
        now = self.loop.time()
        if wait := self._bucket.wait(now):
            self.transport.pause_reading()
            self._next_turn = self.loop.call_later(wait, self._take_turn)
            self._report_throttled()
        elif self.received - self.handled > _MAX_UNHANDLED:
            self.transport.pause_reading()  # until `mark_handled`
        elif self._is_responding():
            self._awaits_response = True
            self.transport.pause_reading()  # until `send_data`
        elif self._unparsed and not self._needs_more:
            if len(self._unparsed) > _UNPARSED:
                self.transport.pause_reading()
            self._next_turn = self.loop.call_soon(self._take_turn)
        else:
            self.transport.resume_reading()
        # It is quiet: a machine that stood still has tokens, and as much to read as before.
        if self._is_throttled and not self._unparsed and self._bucket.is_half_full(now):
            self._is_throttled = False

    def _report_throttled(self) -> None:
        if not self._is_throttled and self.state is State.OPEN:
            self._is_throttled = True
            self._on_throttled(self)
