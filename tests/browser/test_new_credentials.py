"""New TURN credentials during a call between pages: the relay in use is replaced by another."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser

from icefloe.signaling import IceAccess, IceRequest, IceServer, ServerConfiguration, serve
from tests.helpers.browser import open_page
from tests.helpers.netns import ADDRESS
from tests.helpers.turn import PASSWORD, USER, coturn

pytestmark = [
    pytest.mark.browser,
    pytest.mark.system("chromium", "coturn", "netns"),
    pytest.mark.timeout(120),
]

_RELAYS_ALONE = """
  const Real = RTCPeerConnection;
  window.RTCPeerConnection = class extends Real {
    constructor(configuration) {
      super({ ...configuration, iceTransportPolicy: "relay" });
    }
  };
"""
_HOLD = """() => {
  window.held = [...icefloe.peers.values()][0].pc;
  window.ufrag = held.localDescription.sdp.match(/a=ice-ufrag:(.*)/)[1];
}"""
_RENEWED = """() =>
  held.getConfiguration().iceServers[0].username === "second" &&
  held.localDescription.sdp.match(/a=ice-ufrag:(.*)/)[1] !== ufrag &&
  held.signalingState === "stable" &&
  held.connectionState === "connected"
"""


async def test_a_page_replaces_its_relay_when_credentials_are_renewed(
    browser: Browser, tmp_path: Path
) -> None:
    asked: set[str] = set()
    async with coturn(tmp_path, ADDRESS, "user=second:other") as turn:

        def provide(request: IceRequest) -> IceAccess:
            if request.name in asked:
                return IceAccess((IceServer(turn.turn("udp"), "second", "other"),))
            asked.add(request.name)
            return IceAccess((IceServer(turn.turn("udp"), USER, PASSWORD),), 20.0)

        configuration = ServerConfiguration(ice_provider=provide)
        async with serve(port=0, configuration=configuration) as server:
            alice, bob = await open_page(browser), await open_page(browser)
            for each, name in ((alice, "alice"), (bob, "bob")):
                await each.page.add_init_script(_RELAYS_ALONE)
                await each.join(server.page_url, name=name)
            await alice.plays("bob")
            await bob.plays("alice")
            await asyncio.gather(*(each.page.evaluate(_HOLD) for each in (alice, bob)))
            for each in (alice, bob):
                await each.page.wait_for_function(_RENEWED)
            await alice.plays("bob")
            await alice.say("still there?")
            await bob.reads("still there?")
            assert alice.complaints == bob.complaints == []
            for each in (alice, bob):
                await each.page.context.close()
