"""The state that all parts of a connection share."""

import asyncio
from dataclasses import dataclass

from ..configuration import PeerConfiguration
from ..ice.server_urls import Server


@dataclass(slots=True)
class Context:
    """The configuration in force, and the end of a connection.

    Attributes:
        configuration: As it was set last.
        servers: The STUN and TURN servers of it.
        closing: The task that closes the connection, from the moment it begins.
    """

    configuration: PeerConfiguration
    servers: tuple[Server, ...]
    closing: "asyncio.Task[None] | None" = None

    @property
    def is_closing(self) -> bool:
        """True from the first call of ``close()``."""
        return self.closing is not None
