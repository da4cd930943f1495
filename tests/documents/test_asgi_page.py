"""The examples of docs/asgi.md run as they are printed, in uvicorn."""

import json
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect as open_websocket

from icefloe.signaling import JoinRefused, connect
from tests.documents.blocks import all_blocks
from tests.documents.test_docs import load
from tests.signaling import django_site, shells
from tests.signaling.test_asgi import get


async def join(port: int, cookie: str, room: str, name: str) -> str:
    """Join below /call with a cookie; return the type of the answer, or the code of the error."""
    async with AsyncExitStack() as stack:
        socket = await stack.enter_async_context(
            open_websocket(f"ws://127.0.0.1:{port}/call/ws", additional_headers={"Cookie": cookie})
        )
        await socket.send(f'{{"type":"join","version":1,"room":"{room}","name":"{name}"}}')
        answer: dict[str, Any] = json.loads(await socket.recv())
    return str(answer.get("code", answer["type"]))


async def log_in(port: int, user: str, password: str) -> tuple[int, str]:
    """Send the form of the page; return the status and the cookie."""
    body = f"user={user}&password={password}"
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": f"{len(body)}\r\n\r\n{body}",
    }
    answer = await get(port, "/login", "POST", **headers)
    return answer.status, answer.headers.get("set-cookie", "").partition(";")[0]


async def test_a_session_of_fastapi_admits_to_the_rooms_of_its_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ALICE_PASSWORD", "BOB_PASSWORD", "SESSION_SECRET"):
        monkeypatch.setenv(name, f"of-{name}")
    page = load("asgi.md/FastAPI and its sessions")
    async with shells.run(page.app, "uvicorn") as port:
        assert b"<form" in (await get(port, "/")).body
        assert (await log_in(port, "alice", "guessed"))[0] == 401
        assert (await log_in(port, "mallory", ""))[0] in (401, 422)
        status, cookie = await log_in(port, "alice", "of-ALICE_PASSWORD")
        assert status == 303
        links = (await get(port, "/", Cookie=cookie)).body
        assert b'href="call/?room=planning"' in links
        assert b"<!doctype html>" in (await get(port, "/call/?room=planning")).body.lower()
        assert await join(port, cookie, "planning", "alice") == "joined"
        assert await join(port, cookie, "planning", "bob") == "unauthorized"
        assert await join(port, cookie, "secret", "alice") == "unauthorized"
        with pytest.raises(JoinRefused):
            async with connect(f"ws://127.0.0.1:{port}/call/ws", room="lobby", name="alice"):
                pass
        _, bobs = await log_in(port, "bob", "of-BOB_PASSWORD")
        assert await join(port, bobs, "planning", "bob") == "unauthorized"
        assert await join(port, bobs, "lobby", "bob") == "joined"
        await page.signaling.close()


async def test_a_session_of_django_admits() -> None:
    django_site.configure()
    [block] = [each for each in all_blocks("py") if each.page == "asgi.md"]
    printed: dict[str, Any] = {"__name__": "printed"}
    exec(compile(block.text, block.id, "exec"), printed)
    page = SimpleNamespace(**printed)
    session = page.sessions.SessionStore()
    session["user"] = "alice"
    session.save()
    async with shells.run(page.application, "uvicorn") as port:
        assert b"home" in (await get(port, "/")).body
        assert (await get(port, "/call/healthz")).body == b"ok\n"
        cookie = f"sessionid={session.session_key}"
        assert await join(port, cookie, "lobby", "alice") == "joined"
        assert await join(port, cookie, "lobby", "bob") == "unauthorized"
        assert await join(port, "sessionid=forged", "lobby", "alice") == "unauthorized"
        assert await join(port, "", "lobby", "alice") == "unauthorized"
        await page.signaling.close()
