"""One Chromium for all tests, and therefore one event loop; each has a page of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.helpers.leaks import nothing_left
from tests.interop.standing import CHROMIUM, Standing

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def standing() -> AsyncIterator[Standing]:
    """The browser of this run."""
    yield CHROMIUM
    await CHROMIUM.end()


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def nothing_left_behind(
    request: pytest.FixtureRequest, standing: Standing
) -> AsyncIterator[None]:
    """Do what the fixture of all tests does, in the loop of these, once the browser is there."""
    await standing.start()
    async with nothing_left(request.node.name):
        yield
