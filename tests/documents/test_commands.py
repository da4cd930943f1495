"""The commands in the README and in docs are there, and do what stands beside them."""

import asyncio
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from icefloe.peer import join
from tests.documents.blocks import all_blocks, block
from tests.helpers.xserver import x_server

ELSEWHERE = {
    "make demo": "tests/test_command.py runs what it runs",
    "make test": "is what runs this",
    "python studio.py": "tests/documents/test_tutorials.py",
    "python base.py": "so",
    "python station.py": "so",
    "python clock.py": "so",
    'export ICEFLOE_TOKEN_SECRET="$(openssl rand -base64 32)"': "test_deploy.py runs them",
    "icefloe token --room lobby --name alice": "likewise",
    "sysctl -w net.core.rmem_max=16777216": "changes the machine",
    "pip install ./icefloe": "tests/documents/test_installed.py, without a network",
    "pip install 'icefloe[desktop]'": "needs a network",
    "pip install 'icefloe[redis]'": "likewise",
    "icefloe send PATH…": "shows the form; test_files_go_from_one_machine_to_another runs it",
    "icefloe receive CODE --server URL": "likewise",
    "icefloe send holiday/ report.pdf": "test_files_go_from_one_machine_to_another",
    "icefloe receive 7-amber-falcon --server ws://192.168.1.5:41234/ws --out ~/Downloads": "so",
    "(umask 077; openssl rand -base64 32 > secret)": "tests/test_token_command.py has its own",
    "icefloe token --token-secret-file secret --room lobby --name alice --expires 3600": "so",
    "uvicorn example:app --ws-max-size 262144 --ws-per-message-deflate false"
    " --ws-ping-timeout 60": "tests/signaling/test_asgi_processes.py has its own",
    "openssl genpkey -algorithm ed25519 -out key.pem": "so",
    "openssl pkey -in key.pem -pubout -out public.pem": "so",
}
TURN = "tests/test_turn_config.py"
ELSEWHERE |= {
    "(umask 077; openssl rand -hex 32 > turn-secret)": "the tests have a secret",
    "(umask 077; openssl rand -base64 32 > webhook-secret)": "the tests have a secret",
    "icefloe turn-config --realm turn.example.org --turn-secret-file turn-secret"
    " --out turnserver.conf": TURN,
}
DEPLOY = {
    line.partition(" #")[0].strip(): "test_deploy.py runs it elsewhere, or says why not"
    for block in all_blocks("sh")
    if block.page == "deploy.md" and "sysctl" not in block.text
    for line in block.text.splitlines()
}
ELSEWHERE |= DEPLOY
"""Lines that are not run as they are, and why."""

LINES = list(
    dict.fromkeys(
        line.partition(" #")[0].strip()
        for block in all_blocks("sh")
        for line in block.text.splitlines()
        if line.strip()
    )
)
FLEETS = [line for line in LINES if line.startswith("python -m icefloe.demos.fleet")]
SERVING = [line for line in LINES if line.startswith(("icefloe serve", "icefloe demo"))]


@asynccontextmanager
async def shell(
    line: str, folder: Path, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a line with the environment of the tests on its path; give it SIGTERM in the end."""
    variables = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONUNBUFFERED": "1",
        **environment,
    }
    process = await asyncio.create_subprocess_shell(
        f"exec {line}", cwd=folder, env=variables, stdout=PIPE, stderr=STDOUT
    )
    try:
        yield process
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()
        assert process.returncode == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def prints(process: asyncio.subprocess.Process, pattern: str) -> re.Match[str]:
    """Wait for a line, or a part of one, and return it."""
    assert process.stdout is not None
    lines = []
    while line := (await process.stdout.readline()).decode():
        lines.append(line)
        if found := re.search(pattern, line):
            return found
    raise AssertionError(f"{pattern!r} was not printed, but {lines}")


def test_every_line_is_run_or_is_known_not_to_be() -> None:
    run = {*SERVING, *FLEETS, "python -m icefloe.demos.desktop --control"}
    assert set(LINES) == run | (ELSEWHERE.keys() & set(LINES))


@pytest.mark.parametrize("line", SERVING)
async def test_what_serves_names_its_page(line: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 44)
    (tmp_path / "turn-secret").write_text("x" * 32)
    (tmp_path / "turn-secret").chmod(0o600)
    (tmp_path / "webhook-secret").write_text("A" * 44)
    async with shell(line, tmp_path, ICEFLOE_PORT="0") as process:
        found = await prints(process, r"Open (https?)://127\.0\.0\.1:\d+/")
        assert found[1] == ("https" if "--tls-self-signed" in line else "http")
        await prints(process, "Press Ctrl-C to stop")


@pytest.mark.parametrize("line", FLEETS)
async def test_a_fleet_has_a_bot_in_each_room(line: str, tmp_path: Path) -> None:
    (tmp_path / "bots.py").write_text(block("scale.md/A runner").text)
    async with shell(line, tmp_path, ICEFLOE_PORT="0") as process:
        host = (await prints(process, r"Open http://([\d.:]+)/\?room="))[1]
        for name in ("one", "two"):
            async with join(f"ws://{host}/ws", room=name, name="guest") as room:
                await (await room.peer("bot")).connected()


@pytest.mark.system("xvfb")
async def test_a_desktop_is_shared(tmp_path: Path) -> None:
    line = "python -m icefloe.demos.desktop --control"
    async with (
        shell("icefloe serve", tmp_path, ICEFLOE_PORT="0") as server,
        x_server() as display,
    ):
        host = (await prints(server, r"Open http://([\d.:]+)/"))[1]
        settings = {"DISPLAY": display, "ICEFLOE_SERVER": f"ws://{host}/ws"}
        async with shell(line, tmp_path, **settings) as desktop:
            await prints(desktop, r"anybody in room 'lobby' may ask to use it")
            await prints(desktop, rf"Open http://{host}/ and join: you see this screen")


async def test_files_go_from_one_machine_to_another(tmp_path: Path) -> None:
    send = "icefloe send holiday/ report.pdf"
    assert send in LINES
    sender, receiver = tmp_path / "sender", tmp_path / "receiver"
    (sender / "holiday").mkdir(parents=True)
    (receiver / "Downloads").mkdir(parents=True)
    (sender / "holiday" / "sea.jpg").write_bytes(b"blue" * 1000)
    (sender / "report.pdf").write_bytes(b"%PDF")
    async with shell(send, sender) as sending:
        receive = (await prints(sending, r"icefloe receive \S+ --server ws://\S+"))[0]
        words = shlex.split(receive)
        assert re.fullmatch(r"\d+-\w+-\w+", words[2])
        async with shell(f"{receive} --out ~/Downloads --yes", receiver) as receiving:
            assert await receiving.wait() == 0
            await receiving.communicate()
        assert await sending.wait() == 0
    assert (receiver / "Downloads" / "holiday" / "sea.jpg").read_bytes() == b"blue" * 1000
    assert (receiver / "Downloads" / "report.pdf").read_bytes() == b"%PDF"
