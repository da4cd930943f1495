"""`icefloe serve --webhook`: what it takes, and what it refuses without showing a secret."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp import web

from icefloe._webhook_options import SECRET_VARIABLE, webhooks
from tests.documents.test_commands import prints, shell

SECRET = "A" * 44
URL = "https://app.example.org/hooks"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "webhook-secret"
    file.write_text(f"# the new one\n{SECRET}\n")
    return file


def test_without_urls_there_are_no_webhooks(secret: Path) -> None:
    assert webhooks([], None) is None
    with pytest.raises(typer.BadParameter, match="give --webhook with it"):
        webhooks([], secret)


def test_the_secret_is_in_a_file_or_in_the_environment(
    secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = webhooks([URL, URL], secret)
    assert hooks is not None and (hooks.urls, hooks.secrets) == ((URL, URL), (SECRET,))
    monkeypatch.setenv(SECRET_VARIABLE, f"{SECRET}\n{'B' * 44}")
    hooks = webhooks([URL], None)
    assert hooks is not None and hooks.secrets == (SECRET, "B" * 44)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "too-short", f"{SECRET}\n{SECRET}\n{SECRET}", "x" * 70_000]
)
def test_what_is_no_secret_is_refused_and_not_shown(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SECRET_VARIABLE, raising=False)
    file = tmp_path / "secret"
    file.write_text(text)
    with pytest.raises(typer.BadParameter) as refused:
        webhooks([URL], file)
    assert SECRET not in str(refused.value) and "too-short" not in str(refused.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="cannot be read"):
        webhooks([URL], tmp_path)


def test_what_is_no_url_is_refused(secret: Path) -> None:
    with pytest.raises(typer.BadParameter, match="must be like https"):
        webhooks(["ftp://app.example.org/"], secret)


async def test_the_command_posts_that_it_has_started(secret: Path, tmp_path: Path) -> None:
    bodies: list[Any] = []

    async def handle(request: web.Request) -> web.Response:
        bodies.append(json.loads(await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    line = f"icefloe serve --webhook {url} --webhook-secret-file {secret}"
    try:
        async with shell(line, tmp_path, ICEFLOE_PORT="0") as process:
            await prints(process, "Press Ctrl-C")
        assert [body["type"] for body in bodies] == ["server.started"]
    finally:
        await runner.cleanup()
