"""STUN transactions with a TURN server, and the long-term credentials they need.

RFC 8489 section 9.2: the server answers the first request with a realm and a nonce, and what
follows is signed. A nonce becomes stale; credentials may be replaced while an allocation lives.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aioice import stun
from aioice.turn import make_integrity_key

from icefloe.logs import get_logger

logger = get_logger(__name__)

Credentials = Callable[[], tuple[str | None, str | None]]
"""Returns user name and password, the newest there are."""

UNAUTHENTICATED, STALE_NONCE, ALLOCATION_MISMATCH = 401, 438, 437

_MAX_STALE = 2
"""Stale nonces in a row that are followed; a server that has a new one for each request never
answers."""

_MAX_CHALLENGES = 3
"""Likewise for credentials: those there were, and newer ones twice."""


class Transactions:
    """The requests to one server over one link.

    Args:
        send: Sends bytes to the server.
        address: Address and port of the server, for logging.
        credentials: Looked up each time the server asks for them.
        reliable: Whether ``send`` delivers by itself (RFC 8489 section 6.2.2).
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
        """Make a request, signed if the server wants it, and return the answer.

        Args:
            method: The STUN method.
            attributes: The attributes; those for authentication are added.

        Raises:
            ConnectionError: The link ended, see :meth:`fail`.
            stun.TransactionFailed: The server refused.
            stun.TransactionTimeout: It did not answer in 63.5 s.

        Cancellation: safe; a late answer is ignored.
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
                    # Once with what there is, and again only with newer credentials.
                    and self._answer_challenge(error.response, again=signed and challenged > 0)
                ):
                    challenged += 1
                else:
                    raise

    def _renew(self, response: stun.Message) -> bool:
        """Take the nonce of a 438 response; return whether it is worth trying."""
        nonce = response.attributes.get("NONCE")
        if nonce is None or self._key is None:
            return False
        self._nonce = nonce
        return True

    def _answer_challenge(self, response: stun.Message, *, again: bool) -> bool:
        """Take realm and nonce of a 401 response; return whether it is worth trying."""
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
        """End all requests, since the server can't answer them any more."""
        self._failure = reason
        for running in self._running:
            running.cancel()

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        """Send a request; over a reliable link only the first time that its transaction asks."""
        if self._reliable and message.transaction_id in self._sent:
            return
        self._sent.add(message.transaction_id)
        self._send(bytes(message))

    def receive(self, message: stun.Message) -> bool:
        """Take a message from the server; return whether it answers a request."""
        if message.message_class not in (stun.Class.RESPONSE, stun.Class.ERROR):
            return False
        transaction = self._open.get(message.transaction_id)
        if transaction is not None:
            transaction.response_received(message, self._address)
        return True


def binding_indication() -> bytes:
    """Return a message that keeps a NAT's binding and that nobody answers (RFC 8489 section 3)."""
    return bytes(stun.Message(stun.Method.BINDING, stun.Class.INDICATION))


async def within(seconds: float, request: Awaitable[stun.Message]) -> stun.Message:
    """Await a request for at most so many seconds.

    Raises:
        stun.TransactionTimeout: There was no answer.
    """
    try:
        async with asyncio.timeout(seconds):
            return await request
    except TimeoutError as error:
        raise stun.TransactionTimeout from error
