"""A page in a real browser that uses ``icefloe.js``, with what tests run in it."""

from typing import Any

from playwright.async_api import Browser

from icefloe.signaling import SignalingServer
from tests.helpers.browser import WatchedPage

_JOIN = """
  async ([name, options]) => {
    window.icefloe = await import("/icefloe.js");
    window.room = await icefloe.join("/ws", { room: "lobby", name, ...options });
    window.texts = [];
    window.hold ??= async (peer) => {
      const chat = await peer.openChannel("chat");
      for await (const message of chat) texts.push(`${peer.name}: ${message}`);
    };
    window.over = room.attend(hold).then(() => null, (error) => error);
  }
"""


class ModulePage(WatchedPage):
    """A page that uses ``icefloe.js``; it has ``icefloe``, ``room``, ``peer(name)``, ``texts``."""

    async def load(self, server: SignalingServer | str) -> None:
        """Open a page of the server, with its content security policy; nothing of it is used."""
        url = server if isinstance(server, str) else server.page_url
        await self.page.goto(f"{url}files")
        await self.page.evaluate("async () => { window.icefloe = await import('/icefloe.js'); }")

    async def join(self, server: SignalingServer | str, name: str, **options: Any) -> None:
        """Open a page of the server and join the room."""
        await self.load(server)
        await self.page.evaluate(_JOIN, [name, options])

    async def run(self, script: str, argument: Any = None) -> Any:
        """Run the body of an asynchronous function in the page; its argument is ``given``."""
        peer = "const peer = (name) => room.peer(name);"
        return await self.page.evaluate(f"async (given) => {{ {peer} {script} }}", argument)

    async def until(self, condition: str) -> None:
        """Wait until an expression holds in the page."""
        await self.page.wait_for_function(f"() => {condition}")

    async def connected(self, name: str) -> None:
        """Wait for the connection to a participant."""
        await self.run("await (await peer(given)).connected();", name)


async def open_module(browser: Browser) -> ModulePage:
    """Open a page in a context of its own."""
    context = await browser.new_context()
    return ModulePage(await context.new_page())
