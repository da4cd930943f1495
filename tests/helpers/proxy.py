"""A way between two peers that neither of them knows of: UDP through a port in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.helpers.netns import ADDRESS, can_isolate

HOST = ADDRESS if can_isolate() else "127.0.0.1"


class _Port(asyncio.DatagramProtocol):
    def __init__(self, received: Callable[[bytes, Any], None]) -> None:
        self._received = received
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._received(data, addr)

    @property
    def port(self) -> int:
        number: int = self.transport.get_extra_info("sockname")[1]
        return number


class Proxy:
    """Stands for a peer: what comes to :attr:`port` goes to it from another port, and back.

    Attributes:
        target: The address of the peer that it stands for.
        answer: Looks at each datagram of that peer; ``False`` loses it.
    """

    def __init__(self) -> None:
        self.target: tuple[str, int] | None = None
        self.answer: Callable[[bytes], bool] = lambda _: True
        self._visitor: Any = None
        self._outer = _Port(self._from_visitor)
        self._inner = _Port(self._from_target)

    @property
    def port(self) -> int:
        """The address at which the peer appears."""
        return self._outer.port

    @property
    def visitor_port(self) -> int:
        """The address at which the other peer appears to that peer."""
        return self._inner.port

    def _from_visitor(self, data: bytes, source: Any) -> None:
        self._visitor = source
        if self.target is not None:
            self._inner.transport.sendto(data, self.target)

    def _from_target(self, data: bytes, source: Any) -> None:
        if self._visitor is not None and self.answer(data):
            self._outer.transport.sendto(data, self._visitor)


@asynccontextmanager
async def proxy() -> AsyncIterator[Proxy]:
    """Run a proxy until the end of the block."""
    loop = asyncio.get_running_loop()
    made = Proxy()
    for port in (made._outer, made._inner):
        await loop.create_datagram_endpoint(lambda port=port: port, local_addr=(HOST, 0))  # type: ignore[misc]
    try:
        yield made
    finally:
        made._outer.transport.close()
        made._inner.transport.close()
