"""``icefloe.js`` against a hostile signaling server."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import Browser
from websockets.asyncio.server import ServerConnection, serve as serve_websocket

from icefloe.signaling import SignalingServer, serve
from tests.helpers.module_page import ModulePage, open_module

pytestmark = [pytest.mark.browser, pytest.mark.system("chromium"), pytest.mark.timeout(120)]

JOINED = {"type": "joined", "id": "p1", "peers": [], "resume": "s", "iceServers": []}
OFFER = {"type": "offer", "sdp": "v=0\r\n"}


def peer(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"q{number}", "name": f"n{number}", "away": False, **fields}


@asynccontextmanager
async def hostile(*messages: Any) -> AsyncIterator[str]:
    """Serve what answers the ``join`` with these messages, and nothing after them."""

    async def answer(socket: ServerConnection) -> None:
        await socket.recv()
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            await socket.send(text)
        await socket.wait_closed()

    async with serve_websocket(answer, "127.0.0.1", 0, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws"


@asynccontextmanager
async def page_for(browser: Browser) -> AsyncIterator[ModulePage]:
    """Open a page whose policy lets it open a WebSocket to another port."""
    async with serve(port=0) as server:
        page = await _open(browser, server)
        yield page
        await page.page.context.close()


async def _open(browser: Browser, server: SignalingServer) -> ModulePage:
    page = ModulePage(await (await browser.new_context(bypass_csp=True)).new_page())
    await page.load(server)
    return page


def nonsense() -> Iterator[Any]:
    """Messages that are none, after which the last one still has to arrive."""
    yield "no JSON"
    yield "[" * 10_000
    yield "null"
    yield '"text"'
    yield "[]"
    yield {"type": 7}
    yield {"type": "constructor"}
    yield {"type": "__proto__"}
    yield {"type": "toString"}
    yield {"type": "peer-joined"}
    yield {"type": "peer-joined", "peer": {"id": 5, "name": "x"}}
    yield {"type": "peer-left", "id": "nobody", "reason": "x" * 10_000}
    yield {"type": "peer-away", "id": {"a": 1}}
    yield {"type": "rights", "id": "p1", "may": "everything"}
    yield {"type": "ice-servers", "iceServers": "all", "expires": "never"}
    yield {"type": "ice-servers", "iceServers": [None, {"urls": "http://x"}, {"urls": "turn:x"}]}
    yield {"type": "description", "from": "nobody", "description": OFFER}
    yield {"type": "candidate", "from": "nobody", "candidate": {"candidate": 7}}
    yield {"type": "message", "from": "nobody", "data": {"goOn": 1}}
    yield {"type": "done", "ref": {}}
    yield {"type": "error", "code": 5, "message": None}
    yield {"type": "message", "from": "q1", "seq": "x", "data": "x" * (1024 * 1024)}


async def test_nonsense_of_a_server_is_skipped(browser: Browser) -> None:
    messages = (
        {**JOINED, "peers": [peer(1, away=True), {"id": 1}, None, "x"]},
        *nonsense(),
        {"type": "description", "from": "q1", "description": {"type": "rollback", "sdp": ""}},
        {"type": "description", "from": "q1", "description": {"type": "offer", "sdp": 7}},
        {"type": "description", "from": "q1", "description": OFFER},
        {"type": "candidate", "from": "q1", "candidate": {"candidate": 7}},
        {"type": "candidate", "from": "q1", "candidate": {"candidate": "candidate:x"}},
        {"type": "message", "from": "q1", "data": "the last"},
    )
    async with page_for(browser) as page, hostile(*messages) as url:
        await page.run(
            """
              window.heard = [];
              const room = new icefloe.Room(given, { room: "lobby", name: "page" });
              room.addEventListener("message", ({ detail }) => heard.push(detail.data));
              room.addEventListener("problem", ({ detail }) => heard.push(detail.code));
              await room._enter();
              window.room = room;
            """,
            url,
        )
        await page.until("heard.includes('the last')")
        assert await page.run("return heard;") == ["5", "the last"]
        assert await page.run("return room.peers.map(({ name }) => name);") == ["n1"]
        assert not [each for each in page.complaints if "rror:" in each], page.complaints


async def test_the_participants_and_servers_that_are_used_are_bounded(browser: Browser) -> None:
    servers = [{"urls": [f"stun:192.0.2.1:{port}" for port in range(1000, 1100)]}]
    peers = [peer(n, name="x" * 300, may=["send"] * 30) for n in range(1000)]
    async with (
        page_for(browser) as page,
        hostile({**JOINED, "peers": peers, "iceServers": servers}) as url,
    ):
        found = await page.run(
            """
              let joined;
              const onJoined = (message) => (joined = message);
              const client = new icefloe.SignalingClient(given, { room: "r", name: "n", onJoined });
              await client.open();
              const [first] = joined.peers;
              const [usable] = icefloe.usableServers(client.iceServers);
              return [joined.peers.length, first.name.length, first.may.length, usable.urls.length];
            """,
            url,
        )
        assert found == [256, 128, 16, 32]


async def test_what_errors_quote_cannot_change_a_terminal_or_a_page(browser: Browser) -> None:
    foul = "\u202e<b>\x1b[2J" + "x" * 10_000
    refusal = {"type": "error", "code": foul, "message": foul}
    async with page_for(browser) as page, hostile(refusal) as url:
        message = await page.run(
            """
              const options = { room: "lobby", name: "page" };
              return icefloe.join(given, options).catch(({ message }) => message);
            """,
            url,
        )
        assert len(message) < 1200
        assert not {"\u202e", "\x1b"} & set(message)


async def test_a_server_that_never_answers_is_given_up(browser: Browser) -> None:
    async with page_for(browser) as page, hostile() as url:
        code = await page.run(
            """
              const abort = new AbortController();
              const joining = icefloe.join(given, {
                room: "lobby", name: "page", retry: true, signal: abort.signal,
              });
              setTimeout(() => abort.abort(new Error("enough")), 200);
              return joining.catch(({ message }) => message);
            """,
            url,
        )
        assert code == "enough"
        late = await page.run(
            "const options = { room: 'lobby', name: 'page' };"
            "return icefloe.join(given, options).catch(({ name }) => name);",
            url,
        )
        assert late == "Unreachable"


async def test_what_waits_for_the_server_is_bounded(browser: Browser) -> None:
    async with serve(port=0) as server:
        page = await open_module(browser)
        await page.load(server)
        found = await page.run(
            """
              const client = await icefloe.connect("/ws", { room: "r", name: "n" });
              const sent = () => client.send({ type: "message", to: "p9", data: 1 });
              const caught = (work) => {
                try { work(); } catch ({ name, code }) { return [name, code]; }
              };
              const large = "x".repeat(70_000);
              const tooLarge = caught(() => client.send({ type: "message", to: "p", data: large }));
              client.giveUpSeat(); // the socket is closed, and nothing is sent for a moment
              let count = 0;
              let full;
              while (!(full = caught(sent))) count += 1;
              client.close();
              return [tooLarge, count, full, caught(sent)];
            """
        )
        assert found == [
            ["MessageError", "bad-message"],
            256,
            ["SendQueueFull", "send-queue-full"],
            ["SignalingClosed", "signaling-closed"],
        ]
