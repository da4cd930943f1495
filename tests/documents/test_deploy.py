"""The steps of docs/deploy.md, in a folder in the place of the machine; and its container."""

import asyncio
import os
import re
import shlex
import ssl
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from icefloe.peer import PeerConfiguration, join
from icefloe.signaling import TokenKeys, verify_token
from tests.deploy.test_container import compose, last, variables
from tests.documents.blocks import ROOT, all_blocks
from tests.documents.test_commands import prints, shell
from tests.helpers.netns import ADDRESS

PAGE = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
MACHINE = "From an empty machine to a call"
COMPOSE = "With Docker Compose"

OTHERS = (
    *("apt-get", "ufw", "groupadd", "usermod", "chown", "systemctl", "journalctl", "curl"),
    *("docker", "certbot", "python3", "pip"),
)
"""Programs that would change the machine, or that it lacks: stubs note that they were called."""

CERTBOT = """
while [ "$1" != --deploy-hook ]; do shift; done
RENEWED_LINEAGE="{root}/certificate" sh "{root}$2"
"""
INSTALL = """
arguments=()
while [ $# -gt 0 ]; do
    if [ "$1" = -g ]; then shift 2; else arguments+=("$1"); shift; fi
done
exec /usr/bin/install "${arguments[@]}"
"""
"""The group is not there; files stay those of whoever runs this."""


def lines(heading: str) -> list[str]:
    """Return the lines of the shell blocks below a heading."""
    blocks = [b for b in all_blocks("sh") if (b.page, b.heading) == ("deploy.md", heading)]
    text = [
        line.partition("  #")[0].strip() for block in blocks for line in block.text.splitlines()
    ]
    return [line for line in text if line]


class Machine:
    """A folder that has ``etc`` and ``opt``, and stubs for what belongs to a real machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = root / "calls"
        programs = root / "stubs"
        for folder in ("etc/systemd/system", "etc/prometheus", "opt/icefloe/bin", "certificate"):
            (root / folder).mkdir(parents=True)
        programs.mkdir()
        (root / "icefloe").symlink_to(ROOT)
        for name in OTHERS:
            note = f'#!/bin/sh\necho "{name} $*" >> "{self.calls}"\n'
            more = CERTBOT.format(root=root) if name == "certbot" else ""
            self.write(programs / name, note + more)
        self.write(programs / "install", f"#!/bin/bash{INSTALL}")
        (root / "opt/icefloe/bin/pip").symlink_to(programs / "pip")
        icefloe = Path(sys.executable).parent / "icefloe"
        (root / "opt/icefloe/bin/icefloe").symlink_to(icefloe)
        self.path = f"{programs}:{os.environ['PATH']}"
        certificate = trustme.CA().issue_cert("call.example.org", "turn.example.org")
        certificate.private_key_pem.write_to_path(str(root / "certificate" / "privkey.pem"))
        for part in certificate.cert_chain_pems:
            part.write_to_path(str(root / "certificate" / "fullchain.pem"), append=True)

    @staticmethod
    def write(file: Path, text: str) -> None:
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755)

    def run(self, line: str, folder: Path | None = None) -> str:
        """Run a line, with the folder in the place of the machine's root."""
        moved = re.sub(r"(?<![\w./-])/(etc|opt)/", rf"{self.root}/\1/", line)
        # The hook is given to certbot as it is on the machine.
        moved = moved.replace(f"--deploy-hook {self.root}", "--deploy-hook ")
        done = subprocess.run(
            ["bash", "-ec", moved],
            cwd=folder or self.root,
            env={**os.environ, "PATH": self.path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def mode(self, path: str) -> int:
        return stat.S_IMODE((self.root / path).stat().st_mode)

    def text(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_steps_lead_from_an_empty_machine_to_a_server(machine: Machine) -> None:
    printed = []
    for line in lines(MACHINE):
        printed.append(machine.run(line))
        if "certbot-hook.sh" in line and line.startswith("install"):
            # It names files of the machine as well.
            hook = machine.root / "etc/icefloe/certbot-hook.sh"
            hook.write_text(hook.read_text().replace(" /etc/", f" {machine.root}/etc/"))
    assert (
        machine.mode("etc/icefloe/token-secret") == machine.mode("etc/icefloe/turn-secret") == 0o600
    )
    assert machine.mode("etc/icefloe/tls/privkey.pem") == 0o640
    assert machine.text("etc/icefloe/tls/fullchain.pem").startswith("-----BEGIN CERTIFICATE")
    secret = machine.text("etc/icefloe/turn-secret").strip()
    assert machine.mode("etc/turnserver.conf") == 0o600
    assert f"static-auth-secret={secret}" in machine.text("etc/turnserver.conf")
    settings = dict(
        line.split("=", 1) for line in machine.text("etc/icefloe/icefloe.env").splitlines()
    )
    assert settings["ICEFLOE_ALLOWED_HOST"] == "call.example.org"
    assert len(settings["ICEFLOE_ICE_SERVER"].split()) == 2
    unit = machine.text("etc/systemd/system/icefloe.service")
    assert unit == (ROOT / "deploy" / "icefloe.service").read_text(encoding="utf-8")
    assert machine.text("etc/prometheus/prometheus.yml").startswith("# Prometheus")
    tokens = [text.strip() for text in printed if text.startswith("ey")]
    keys = TokenKeys(machine.text("etc/icefloe/token-secret"))
    assert len(tokens) == 2
    for token, name in zip(tokens, ("alice", "bob"), strict=True):
        verify_token(token, keys, room="lobby", name=name, now=time.time())
    calls = machine.calls.read_text().splitlines()
    assert "systemctl reload icefloe" in calls
    assert "systemctl enable --now icefloe" in calls
    assert calls.index("systemctl daemon-reload") < calls.index("systemctl enable --now icefloe")


async def test_the_server_of_these_steps_serves(machine: Machine) -> None:
    for line in lines(MACHINE):
        if re.search(r"token-secret\)|turn-secret\)|icefloe\.env|install -d -m 755", line):
            machine.run(line)
    settings = dict(
        line.split("=", 1) for line in machine.text("etc/icefloe/icefloe.env").splitlines()
    )
    etc = machine.root / "etc" / "icefloe"
    environment = settings | {
        "ICEFLOE_PORT": "0",
        "ICEFLOE_TOKEN_SECRET_FILE": str(etc / "token-secret"),
        "ICEFLOE_TURN_SECRET_FILE": str(etc / "turn-secret"),
        "ICEFLOE_TLS_CERT": str(machine.root / "certificate" / "fullchain.pem"),
        "ICEFLOE_TLS_KEY": str(machine.root / "certificate" / "privkey.pem"),
    }
    async with shell("icefloe serve", machine.root, **environment) as process:
        await prints(process, "Open https://")
        await prints(process, "Press Ctrl-C")


def test_the_steps_before_compose_make_its_files(machine: Machine) -> None:
    checkout = machine.root / "checkout"
    (checkout / "deploy").mkdir(parents=True)
    # The image's command, without the image.
    (machine.root / "stubs" / "docker").write_text(
        f'#!/bin/sh\necho "docker $*" >> "{machine.calls}"\n'
        'case "$*" in *turn-config*) while [ "$1" != turn-config ]; do shift; done;\n'
        f'exec {machine.root}/opt/icefloe/bin/icefloe "$@";; esac\n'
    )
    for line in lines(COMPOSE):
        machine.run(line.replace(" /secrets/", f" {checkout}/deploy/secrets/"), checkout)
    secrets = checkout / "deploy" / "secrets"
    files = {Path(secret["file"]).name for secret in compose()["secrets"].values()}
    assert {file.name for file in secrets.iterdir()} == files
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in secrets.iterdir())
    secret = (secrets / "turn-secret").read_text().strip()
    assert f"static-auth-secret={secret}" in (secrets / "turnserver.conf").read_text()
    names = [line.split("=")[0] for line in (checkout / "deploy/.env").read_text().splitlines()]
    text = (ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8")
    assert set(names) == set(re.findall(r"\$\{(\w+)", text))
    user = last("USER").partition(":")[0]
    assert f"chown {user} deploy/secrets/token-secret deploy/secrets/turn-secret" in lines(COMPOSE)


# ---- a bot in a container ----------------------------------------------------------------------


def bot_command() -> tuple[list[str], set[tuple[str, str]]]:
    """Return the command of the bot's container, and the ports that are published."""
    [line] = re.findall(r"^docker run -p .*$", PAGE, re.MULTILINE)
    words = shlex.split(line)
    command = words[words.index("icefloe") :]
    return command, set(re.findall(r"-p \d+:(\d+)/(tcp|udp)", line))


def test_exactly_one_tcp_and_one_udp_port_are_exposed_and_published() -> None:
    exposed = set(re.findall(r"(\d+)/(tcp|udp)", last("EXPOSE")))
    assert sorted(kind for _, kind in exposed) == ["tcp", "udp"]
    assert bot_command()[1] == exposed
    published = re.findall(r"-p (\d+):(\d+)/(?:tcp|udp)", PAGE)
    assert all(outside == inside for outside, inside in published)


async def printed(text: str) -> str:
    """Return what lines of a shell print, with the environment of the tests on its path."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_shell(
        text, env={**os.environ, "PATH": path}, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out.decode()


async def test_the_command_of_the_container_uses_these_ports_alone(tmp_path: Path) -> None:
    command, published = bot_command()
    ports = {kind: port for port, kind in published}
    assert command[0] == "icefloe"
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    (export,) = re.findall(r"^export (ICEFLOE_TOKEN_SECRET=.*)$", PAGE, re.MULTILINE)
    (make_token,) = re.findall(r"^icefloe token .*$", PAGE, re.MULTILINE)
    secret, token = (
        await printed(f"export {export}\necho $ICEFLOE_TOKEN_SECRET\n{make_token}")
    ).split()
    environment = {
        "ICEFLOE_HOST": variables()["ICEFLOE_HOST"],
        "ICEFLOE_PORT": variables()["ICEFLOE_PORT"],
        "ICEFLOE_EXTERNAL_ADDRESS": ADDRESS,
        "ICEFLOE_TOKEN_SECRET": secret,
    }
    async with shell(shlex.join(command), tmp_path, **environment) as process:
        await prints(process, "Press Ctrl-C")
        url = f"wss://127.0.0.1:{ports['tcp']}/ws"
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
            assert str(pair.remote.port) == ports["udp"]
