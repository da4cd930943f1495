"""Nodes in this process, and a Redis of their own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from icefloe.signaling import (
    RedisConfiguration,
    ServerConfiguration,
    SignalingServer,
    serve,
)
from tests.helpers.redis_server import RedisServer, redis_server
from tests.signaling.conftest import Proxy, proxy_on, stack  # noqa: F401

NewNode = Callable[..., Awaitable[SignalingServer]]
NewBalancer = Callable[[SignalingServer], Awaitable[Proxy]]


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
