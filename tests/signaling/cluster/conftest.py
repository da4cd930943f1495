"""Nodes in this process, and a Redis of their own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from icefloe.signaling import (
    PeerMessage,
    RedisConfiguration,
    ServerConfiguration,
    SignalingClient,
    SignalingServer,
    serve,
)
from tests.helpers.redis_server import RedisServer, redis_server
from tests.signaling.conftest import Proxy, proxy_on, stack  # noqa: F401

NewNode = Callable[..., Awaitable[SignalingServer]]
NewBalancer = Callable[[SignalingServer], Awaitable[Proxy]]


async def data(client: SignalingClient, count: int) -> list[Any]:
    """Return the data of so many messages."""
    got: list[Any] = []
    while len(got) < count:
        if isinstance(event := await anext(client), PeerMessage):
            got.append(event.data)
    return got


async def page(node: SignalingServer, path: str) -> str:
    """Return a page of a node, whatever its status."""
    return await page_at(node.port, path)


async def page_at(port: int, path: str) -> str:
    """Likewise, of the node at a port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return text


@pytest.fixture
async def redis() -> AsyncIterator[RedisServer]:
    async with redis_server() as server:
        yield server


@pytest.fixture
def new_node(redis: RedisServer, stack: AsyncExitStack) -> NewNode:  # noqa: F811
    """Start a node."""

    async def start(*, prefix: str = "icefloe", **settings: Any) -> SignalingServer:
        configuration = ServerConfiguration(
            redis=RedisConfiguration(url=redis.url, prefix=prefix),
            **{"shutdown_timeout": 2.0, **settings},
        )
        return await stack.enter_async_context(serve(port=0, configuration=configuration))

    return start


@pytest.fixture
def new_balancer(stack: AsyncExitStack) -> NewBalancer:  # noqa: F811
    """Put a proxy in front of a node, which may be led to another one."""
    return lambda node: stack.enter_async_context(proxy_on(node.port))
