"""The container of docs/deploying.md: its ports, and its command with them."""

import asyncio
import json
import os
import re
import ssl
import sys
from pathlib import Path

from icefloe.peer import PeerConfiguration, join
from tests.documents.blocks import ROOT
from tests.documents.test_commands import prints, shell
from tests.helpers.netns import ADDRESS

PAGE = (ROOT / "docs" / "deploying.md").read_text()


def dockerfile() -> dict[str, str]:
    """Return the instructions of the page's Dockerfile."""
    (text,) = re.findall(r"```dockerfile\n(.*?)```", PAGE, re.DOTALL)
    return dict(line.split(" ", 1) for line in text.splitlines())


def ports(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"(\d+)/(tcp|udp)", text))


async def printed(lines: str) -> str:
    """Return what lines of a shell print, with the environment of the tests on its path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_shell(
        lines, env={**os.environ, "PATH": path}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


def test_exactly_one_tcp_and_one_udp_port_are_exposed_and_published() -> None:
    exposed = ports(dockerfile()["EXPOSE"])
    assert sorted(kind for _, kind in exposed) == ["tcp", "udp"]
    published = re.findall(r"-p (\d+):(\d+)/(tcp|udp)", PAGE)
    assert {(inside, kind) for _, inside, kind in published} == exposed
    assert all(outside == inside for outside, inside, _ in published)


async def test_the_command_of_the_container_uses_these_ports_alone(tmp_path: Path) -> None:
    command = json.loads(dockerfile()["CMD"])
    exposed = {kind: port for port, kind in ports(dockerfile()["EXPOSE"])}
    assert command[0] == "icefloe"
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    (export,) = re.findall(r"^export (ICEFLOE_TOKEN_SECRET=.*)$", PAGE, re.MULTILINE)
    (make_token,) = re.findall(r"^icefloe token .*$", PAGE, re.MULTILINE)
    lines = f"export {export}\necho $ICEFLOE_TOKEN_SECRET\n{make_token}"
    secret, token = (await printed(lines)).split()
    environment = {"ICEFLOE_EXTERNAL_ADDRESS": ADDRESS, "ICEFLOE_TOKEN_SECRET": secret}
    async with shell(" ".join(command), tmp_path, **environment) as process:
        await prints(process, "Press Ctrl-C")
        url = f"wss://127.0.0.1:{exposed['tcp']}/ws"
        configuration = PeerConfiguration(include_loopback=True)
        async with join(
            url,
            room="lobby",
            name="alice",
            token=token,
            ssl=trusting,
            configuration=configuration,
        ) as room:
            peer = await room.peer("python")
            await peer.connected()
            pair = peer.connection.selected_candidate_pair
            assert pair is not None
            assert str(pair.remote.port) == exposed["udp"]
