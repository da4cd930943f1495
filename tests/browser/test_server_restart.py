"""A server that was killed and started again: calls between pages go on as they are."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser

from icefloe.peer import join
from tests.helpers.browser import CallPage, open_page
from tests.helpers.command import Command, icefloe

pytestmark = [
    pytest.mark.browser,
    pytest.mark.system("chromium"),
    pytest.mark.timeout(120),
]

_HOLD = "() => { window.held = [...icefloe.peers.values()][0].pc; }"
_JOINED = "() => icefloe.state === 'joined' && icefloe.peers.size === 1"
_CONNECTED = "[...icefloe.peers.values()][0].state === 'connected'"
_SAME = (
    "[...icefloe.peers.values()].every((peer) => peer.pc === held && peer.state === 'connected')"
)
_ANEW = (
    "[...icefloe.peers.values()].every((peer) => peer.pc !== held && peer.state === 'connected')"
)
_RESTARTED = """
  () => new Promise((done) => {
    const before = held.remoteDescription.sdp;
    held.restartIce();
    const look = () => held.remoteDescription.sdp !== before && held.signalingState === "stable";
    const timer = setInterval(() => look() && (clearInterval(timer), done()), 50);
  })
"""


async def serve_again(killed: Command, stack: AsyncExitStack) -> None:
    """Kill a server, and start another one at its port."""
    killed.process.kill()
    await killed.process.wait()
    port = killed.url.rstrip("/").rpartition(":")[2]
    await stack.enter_async_context(icefloe("serve", "--port", port))


async def call(browser: Browser, server: Command) -> tuple[CallPage, CallPage]:
    alice, bob = await open_page(browser), await open_page(browser)
    await alice.join(server.url, name="alice")
    await bob.join(server.url, name="bob")
    await alice.plays("bob")
    await bob.plays("alice")
    for each in (alice, bob):
        await each.page.evaluate(_HOLD)
    return alice, bob


async def test_a_call_goes_on_after_the_server_was_killed(browser: Browser) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(icefloe("serve"))
        alice, bob = await call(browser, server)
        await serve_again(server, stack)
        for each in (alice, bob):
            await each.page.wait_for_function(_JOINED)
        # Both have their seats and know each other's; whoever asked was answered within 2 s.
        await asyncio.gather(*(each.page.wait_for_timeout(2500) for each in (alice, bob)))
        for each in (alice, bob):
            assert await each.page.evaluate(_SAME)
        await alice.plays("bob")
        await bob.plays("alice")
        await alice.say("still there?")
        await bob.reads("still there?")
        await alice.page.evaluate(_RESTARTED)  # over the new seats
        assert await bob.page.evaluate(_SAME)


async def test_a_call_of_a_page_and_python_goes_on(browser: Browser) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(icefloe("serve"))
        url = server.url.replace("http", "ws") + "ws"
        bobs = await stack.enter_async_context(join(url, room="lobby", name="bob"))
        alice = await open_page(browser)
        await alice.join(server.url, name="alice")
        peer = await bobs.peer("alice")
        await peer.connected()
        await alice.page.wait_for_function(f"{_JOINED} && {_CONNECTED}")
        await alice.page.evaluate(_HOLD)
        before = peer.id
        await serve_again(server, stack)
        await alice.page.wait_for_function(_JOINED)
        while peer.id == before:
            await asyncio.sleep(0.05)
        await alice.page.wait_for_timeout(2500)
        assert await alice.page.evaluate(_SAME)
        assert bobs.peers == (peer,)
        await alice.page.evaluate(_RESTARTED)  # over the new seats
        assert peer.connection.connectionState == "connected"


async def test_who_was_started_anew_meanwhile_is_called_anew(browser: Browser) -> None:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(icefloe("serve"))
        alice, bob = await call(browser, server)
        await bob.page.context.close()
        await serve_again(server, stack)
        await alice.page.wait_for_function("() => icefloe.state === 'joined'")
        again = await open_page(browser)
        await again.join(server.url, name="bob")
        await alice.page.wait_for_function(f"{_JOINED} && {_ANEW}")
        await again.plays("alice")
        await alice.plays("bob")
