"""The part of ``TcpMux`` that gathering and generations need."""

from typing import Any, Protocol


class Listening(Protocol):
    """A listener that accepts connections for many generations, such as ``TcpMux``."""

    def ensure_usable(self) -> None:
        """Do nothing if it can be used.

        Raises:
            TcpMuxUnusable: It is closed, or belongs to another event loop.
        """

    def port_for(self, host: str) -> int | None:
        """Return the port that is listened on at a local address; ``None`` for none."""

    def register(self, fragment: str, sockets: Any) -> None:
        """Hand connections with a username fragment to the ``TcpSockets`` of a generation.

        Raises:
            FragmentInUse: Another generation has it.
        """

    def unregister(self, sockets: Any) -> None:
        """Hand a generation no further connections."""
