"""Admission of clients: verifies the token of a ``join``, and asks the application's ``admit``.

A coroutine ``admit`` has a time limit, runs for a bounded number of joins at a time, and is
cancelled when its client is gone.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from logging import Logger
from typing import Any, Protocol

from msgspec import UnsetType

from icefloe.logs import get_logger

from .configuration import Admission, Refusal, ServerConfiguration
from .errors import ErrorCode, JoinRefused, TokenRefused
from .join_tokens import JoinToken, verify_token
from .messages import Join
from .token_keys import TokenKeys

logger: Logger = get_logger(__name__)

_FAILED = Refusal(
    ErrorCode.ADMISSION_FAILED, "The server cannot tell now whether you may join. Try again later."
)


class _Closing(Protocol):
    """A connection that can be waited for."""

    async def wait_closed(self) -> None: ...


class Admitting:
    """Decides who may join.

    Args:
        configuration: The settings of the server.

    Attributes:
        keys: The keys of join tokens, which may be replaced; ``None`` if there are no tokens.
    """

    def __init__(self, configuration: ServerConfiguration) -> None:
        self.keys: TokenKeys | None = configuration.token_keys
        self._configuration = configuration
        self._turns = asyncio.Semaphore(configuration.admits_at_once)

    def decide(
        self, join: Join, socket: _Closing, now: float
    ) -> Admission | Refusal | Coroutine[Any, Any, Admission | Refusal | None] | None:
        """Return the decision, or a coroutine to await that returns it.

        Args:
            join: The message.
            socket: The connection of the client.
            now: The present time in seconds since the epoch.
        """
        token = self._verify(join, now)
        if isinstance(token, Refusal):
            return token
        admit = self._configuration.admit
        if admit is None:
            default = Admission(ice_servers=self._configuration.ice_servers, rename=True)
            return _with_token(default, token, now)
        try:
            decision = admit(join)
        except Exception as error:
            return _refusal(error)
        if isinstance(decision, Admission) or decision is None:
            return _with_token(decision, token, now)
        return self._wait(decision, token, socket, now)

    async def _wait(
        self,
        deciding: Awaitable[Admission | None],
        token: JoinToken | None,
        socket: _Closing,
        now: float,
    ) -> Admission | Refusal | None:
        """Wait for the application; it is cancelled when the client is gone.

        Cancellation: safe; the application is cancelled, too.
        """
        running = asyncio.create_task(self._ask(deciding), name="signaling admit")
        closed = asyncio.create_task(socket.wait_closed(), name="signaling admit closed")
        try:
            await asyncio.wait((running, closed), return_when=asyncio.FIRST_COMPLETED)
            is_decided = running.done() and not running.cancelled()
            decision = running.result() if is_decided else _FAILED
        finally:
            running.cancel()
            closed.cancel()
            await asyncio.wait((running, closed))
        if isinstance(decision, Refusal):
            return decision
        if decision is not None and not isinstance(decision, Admission):
            return _refusal(TypeError(f"`admit` returned {type(decision).__name__}"))
        return _with_token(decision, token, now)

    async def _ask(self, deciding: Awaitable[Admission | None]) -> Admission | Refusal | None:
        try:
            async with asyncio.timeout(self._configuration.admit_timeout):
                async with self._turns:
                    return await deciding
        except Exception as error:
            return _refusal(error)
        finally:
            if inspect.iscoroutine(deciding):
                deciding.close()  # its turn may not have come

    def _verify(self, join: Join, now: float) -> JoinToken | Refusal | None:
        if self.keys is None or isinstance(join.resume, str):
            return None
        token = None if isinstance(join.token, UnsetType) else join.token
        audience = self._configuration.audience
        try:
            return verify_token(
                token, self.keys, room=join.room, name=join.name, now=now, audience=audience
            )
        except TokenRefused as refused:
            return Refusal(refused.code, refused.reason)


def _with_token(
    admission: Admission | None, token: JoinToken | None, now: float
) -> Admission | None:
    if admission is None or token is None:
        return admission
    return replace(
        admission,
        rights=token.rights if admission.rights is None else admission.rights,
        rename=admission.rename and token.name is None,
        token_id=token.id,
        token_seconds=token.expires - now,
    )


def _refusal(error: Exception) -> Refusal:
    """Return the refusal for what ``admit`` has raised, and log it."""
    if isinstance(error, TokenRefused | JoinRefused) and error.code in tuple(ErrorCode):
        logger.info("signaling: `admit` refused a join: %s", error.code)
        return Refusal(ErrorCode(error.code), error.reason)
    if isinstance(error, TimeoutError):
        logger.warning("signaling: `admit` took too long; a join was refused")
    else:
        logger.error("signaling: `admit` has failed; a join was refused", exc_info=error)
    return _FAILED
