"""The signaling server that the demos and their tests meet at."""

from collections.abc import AsyncIterator

import pytest

from icefloe.signaling import SignalingServer, serve


@pytest.fixture
async def server() -> AsyncIterator[SignalingServer]:
    """Serve at a free port of this machine."""
    async with serve(port=0) as running:
        yield running
