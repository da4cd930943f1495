"""The agreement of nodes on a log: which epoch they follow, and who begins the next one.

:mod:`.epochs` decides what is to be done; this module does it. The state of a node's replica is
published as a snapshot by the node that begins an epoch, and taken over by those that differ.
"""

import asyncio
import secrets
from logging import Logger

from icefloe.logs import get_logger
from icefloe.text import PrintableError

from .epochs import Epoch, Head, Step, next_step
from .replica import Replica
from .store import Store

logger: Logger = get_logger(__name__)

ELECTION_SECONDS = 1.5
"""Seconds for which a node waits for the positions of others before it begins an epoch."""

BEGIN_SECONDS = 4.0
"""Seconds that the node with the highest position has to begin an epoch."""

_POLL_SECONDS = 0.1
"""Seconds between two looks at whether another node has begun an epoch."""

_FIRST_ID = "0-0"


class OtherRules(PrintableError):
    """The servers that share this log have other limits."""


class Agreement:
    """The place of a node in the log.

    Args:
        replica: The replica of the node.
        rules: The limits that all nodes have to have alike.

    Attributes:
        epoch: The epoch that the node follows; ``None`` until it has begun to.
        last_id: The id of the last entry that it has read.
        diverged: Whether it has read an entry that does not follow the one before.
    """

    def __init__(self, replica: Replica, rules: bytes) -> None:
        self.epoch: Epoch | None = None
        self.last_id: str = _FIRST_ID
        self.diverged: bool = False
        self._replica = replica
        self._rules = rules
        self._name = secrets.token_hex(8)

    async def reach(self, store: Store) -> bool:
        """Follow the log that is in Redis, or begin one.

        Returns:
            Whether the replica has taken over the state of another one, so that connections may
            have missed something.

        Raises:
            OtherRules: The other nodes have other limits.
            InvalidSnapshot: The snapshot cannot be read.
        """
        while True:
            head = await store.head()
            if head.epoch is not None and head.rules != self._rules:
                raise OtherRules
            match next_step(head, self.epoch, self._replica.position, diverged=self.diverged):
                case Step.FOLLOW:
                    return False
                case Step.SWITCH:
                    self.epoch, self.last_id = head.epoch, _FIRST_ID
                    return False
                case Step.LOAD:
                    epoch, id, snapshot = await store.load()
                    if epoch == head.epoch:
                        self._replica.put(snapshot)
                        is_first = self.epoch is None
                        self.epoch, self.last_id, self.diverged = epoch, id, False
                        return not is_first
                    await asyncio.sleep(_POLL_SECONDS)
                case Step.FOUND:
                    await self._begin(store, head)
                case Step.ELECT:
                    await self._elect(store, head)

    async def _begin(self, store: Store, head: Head) -> None:
        epoch = Epoch.after(head.epoch, self.epoch)
        position = self._replica.position
        new = Head(epoch, position, self.epoch, position, self._rules)
        if await store.begin(head, epoch, new, self._replica.take()):
            logger.info("the log in Redis begins with epoch %s at position %d", epoch, position)
            self.epoch, self.last_id, self.diverged = epoch, _FIRST_ID, False

    async def _elect(self, store: Store, head: Head) -> None:
        """Begin an epoch, or wait until the node with the most advanced replica has begun it."""
        logger.warning("Redis has lost entries; the most advanced server begins the log anew")
        await store.stand(self._name, self._replica.position)
        await asyncio.sleep(ELECTION_SECONDS)
        loop = asyncio.get_running_loop()
        give_up = loop.time() + BEGIN_SECONDS
        while (await store.head()).epoch == head.epoch:
            first = await store.first_candidate()
            if first == self._name:
                await self._begin(store, head)
                return
            if first is None:
                return  # Redis has lost its data again
            if loop.time() > give_up:
                await store.drop_candidate(first)
                give_up = loop.time() + BEGIN_SECONDS
            await asyncio.sleep(_POLL_SECONDS)
