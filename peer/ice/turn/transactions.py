"""STUN transactions with a TURN server, with the long-term credential mechanism.

RFC 8489 section 9.2: the server challenges the first request with a realm and a nonce, and the
client authenticates all further requests. A nonce may become stale, and credentials may be replaced
during the lifetime of an allocation.
"""

import asyncio
from collections.abc import Awaitable, Callable
from logging import Logger
from typing import Any

from aioice import stun
from aioice.turn import make_integrity_key

from icefloe.logs import get_logger

from ..server_urls import refusal

logger: Logger = get_logger(__name__)

Credentials = Callable[[], tuple[str | None, str | None]]
"""Returns the current user name and password."""

UNAUTHENTICATED, STALE_NONCE, ALLOCATION_MISMATCH = 401, 438, 437

_MAX_STALE = 2
"""Maximum number of consecutive stale-nonce responses that a request follows. A server may send a
new nonce for every request and never answer one."""

_MAX_CHALLENGES = 3
"""Maximum number of consecutive challenges that a request answers: the first, and two more if the
credentials have been replaced each time."""


class Transactions:
    """The transactions with one server over one link.

    Args:
        send: Sends a message to the server.
        address: Address and port of the server, for logging.
        credentials: Called for every challenge of the server.
        reliable: True for TCP and TLS, where requests are not retransmitted (RFC 8489 section
            6.2.2).
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        address: tuple[str, int],
        credentials: Credentials,
        *,
        reliable: bool,
    ) -> None:
        self._send = send
        self._address = address
        self._credentials = credentials
        self._reliable = reliable
        self._open: dict[bytes, stun.Transaction] = {}
        self._running: set[asyncio.Task[tuple[stun.Message, tuple[str, int]]]] = set()
        self._failure: str | None = None
        self._sent: set[bytes] = set()
        self._username: str | None = None
        self._password: str | None = None
        self._realm: str | None = None
        self._nonce: bytes | None = None
        self._key: bytes | None = None

    async def request(self, method: stun.Method, attributes: dict[str, Any]) -> stun.Message:
        """Send a request, authenticated once the server has sent a challenge.

        Args:
            method: The STUN method.
            attributes: The attributes, without those for authentication.

        Returns:
            The success response.

        Raises:
            ConnectionError: The link was closed, see :meth:`fail`.
            stun.TransactionFailed: The server sent an error response.
            stun.TransactionTimeout: The server did not answer within 63.5 s.

        Cancellation: safe; a late response is ignored.
        """
        challenged = stale = 0
        while True:
            signed = self._key is not None
            try:
                return await self._transact(method, attributes)
            except stun.TransactionFailed as error:
                code = error.response.error_code
                if code == STALE_NONCE and stale < _MAX_STALE and self._renew(error.response):
                    stale += 1
                elif (
                    code == UNAUTHENTICATED
                    and challenged < _MAX_CHALLENGES
                    # The first challenge is answered with the current credentials, later ones only
                    # with replaced credentials.
                    and self._answer_challenge(error.response, again=signed and challenged > 0)
                ):
                    challenged += 1
                else:
                    raise

    def _renew(self, response: stun.Message) -> bool:
        """Adopt the nonce of a 438 response; return whether to repeat the request."""
        nonce = response.attributes.get("NONCE")
        if nonce is None or self._key is None:
            return False
        self._nonce = nonce
        return True

    def _answer_challenge(self, response: stun.Message, *, again: bool) -> bool:
        """Adopt realm and nonce of a 401 response; return whether to repeat the request.

        Args:
            response: The 401 response.
            again: True if this request has already answered a challenge.
        """
        realm, nonce = (response.attributes.get(name) for name in ("REALM", "NONCE"))
        username, password = self._credentials()
        if realm is None or nonce is None or username is None or password is None:
            return False
        if again and (username, password) == (self._username, self._password):
            return False
        self._username, self._password = username, password
        self._realm, self._nonce = realm, nonce
        self._key = make_integrity_key(username, realm, password)
        return True

    async def _transact(self, method: stun.Method, attributes: dict[str, Any]) -> stun.Message:
        request = stun.Message(method, stun.Class.REQUEST, attributes=dict(attributes))
        if self._key is not None:
            request.attributes["USERNAME"] = self._username
            request.attributes["REALM"] = self._realm
            request.attributes["NONCE"] = self._nonce
            request.add_message_integrity(self._key)
        identifier = request.transaction_id
        transaction = stun.Transaction(
            request,
            self._address,
            self,
            integrity_key=self._key,
            long_term_credential=True,
        )
        self._open[identifier] = transaction
        running = asyncio.create_task(transaction.run(), name="icefloe-turn-request")
        self._running.add(running)
        try:
            response, _ = await running
            return response
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if self._failure is None or (task is not None and task.cancelling()):
                raise
            raise ConnectionError(self._failure) from error
        finally:
            self._running.discard(running)
            del self._open[identifier]
            self._sent.discard(identifier)

    def fail(self, reason: str) -> None:
        """Fail all pending requests with ``ConnectionError(reason)``: the link is closed."""
        self._failure = reason
        for running in self._running:
            running.cancel()

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        """Send a request; called by aioice for every transmission.

        Over a reliable link retransmissions are suppressed.
        """
        if self._reliable and message.transaction_id in self._sent:
            return
        self._sent.add(message.transaction_id)
        self._send(bytes(message))

    def receive(self, message: stun.Message) -> bool:
        """Handle a message from the server; return whether it is a response."""
        if message.message_class not in (stun.Class.RESPONSE, stun.Class.ERROR):
            return False
        transaction = self._open.get(message.transaction_id)
        if transaction is not None:
            transaction.response_received(message, self._address)
        return True


def binding_indication() -> bytes:
    """Return a Binding indication, a keep-alive without a response (RFC 8489 section 3)."""
    return bytes(stun.Message(stun.Method.BINDING, stun.Class.INDICATION))


def describe_error(error: stun.TransactionFailed) -> str:
    """Return the code and the reason phrase of an error response, such as ``437 Mismatch``."""
    code, reason = refusal(error, (0, "no error code"))
    return f"{code} {reason}".strip()


async def within(seconds: float, request: Awaitable[stun.Message]) -> stun.Message:
    """Await a request with a timeout in seconds.

    Raises:
        stun.TransactionTimeout: The timeout expired.

    Cancellation: safe; the request is cancelled.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request
    except TimeoutError as error:
        raise stun.TransactionTimeout from error
