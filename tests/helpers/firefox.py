"""A real Firefox without a window, driven by WebDriver BiDi (W3C) over its own port."""

import asyncio
import contextlib
import itertools
import json
import os
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.helpers.system import find

_PREFERENCES = {
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "media.autoplay.default": 0,
    "media.navigator.permission.disabled": True,
    "media.navigator.streams.fake": True,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


class Firefox:
    """A running Firefox with one page.

    Args:
        socket: The connection over which it is driven.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._page = ""

    async def open(self, url: str) -> None:
        """Open a page in a tab."""
        if not self._page:
            await self._command("session.new", {"capabilities": {}})
            made = await self._command("browsingContext.create", {"type": "tab"})
            self._page = made["context"]
        where = {"context": self._page, "url": url, "wait": "complete"}
        await self._command("browsingContext.navigate", where)

    async def run(self, script: str) -> Any:
        """Run the body of an asynchronous function in the page; return what it returns, by JSON."""
        body = f"(async () => JSON.stringify((await (async () => {{ {script} }})()) ?? null))()"
        result = await self._command(
            "script.evaluate",
            {"expression": body, "target": {"context": self._page}, "awaitPromise": True},
        )
        if result["type"] != "success":
            raise AssertionError(result["exceptionDetails"]["text"])
        return json.loads(result["result"]["value"])

    async def _command(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") != number:
                continue  # an event
            if message["type"] == "error":
                raise AssertionError(f"{method}: {message['error']}: {message['message']}")
            answer: dict[str, Any] = message["result"]
            return answer


@asynccontextmanager
async def firefox(folder: Path) -> AsyncIterator[Firefox]:
    """Run Firefox, with a camera that is not real.

    Args:
        folder: Where its profile goes.
    """
    profile = folder / "profile"
    profile.mkdir()
    lines = (f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in _PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines))
    program = find("firefox-esr")
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program,
        *("--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(profile)),
        env={**os.environ, "HOME": str(folder), "MOZ_DISABLE_CONTENT_SANDBOX": "1"},
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=PIPE,
    )
    assert process.stderr is not None
    reading = None
    try:
        address = ""
        while not address and (line := (await process.stderr.readline()).decode()):
            if told := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
                address = told[1]
        reading = asyncio.create_task(process.stderr.read())  # lest it waits for somebody to read
        async with connect(f"{address}/session", max_size=None) as socket:
            yield Firefox(socket)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        if reading is not None:
            await reading
        await process.wait()
