"""The container and the compose file: what they expose, and what their commands do."""

import asyncio
import importlib
import inspect
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from icefloe.__main__ import serve as serve_command
from icefloe.signaling import TokenKeys, connect, make_token
from tests.documents.blocks import ROOT
from tests.documents.test_commands import prints, shell
from tests.helpers import system
from tests.helpers.turn import free_port

yaml: Any = importlib.import_module("yaml")

DEPLOY = ROOT / "deploy"
TOKEN_SECRET = "s" * 44
TURN_SECRET = "x" * 32
NAMES = {"CALL_HOST": "call.example.org", "TURN_HOST": "turn.example.org"}


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    parts = (line.split(" ", 1) for line in lines if line and not line.startswith("#"))
    return [(name, rest) for name, rest in parts]


def stages() -> list[list[tuple[str, str]]]:
    """Return the instructions of each stage."""
    found: list[list[tuple[str, str]]] = []
    for name, rest in instructions():
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest))
    return found


def last(name: str) -> str:
    """Return the last instruction of a name in the stage that becomes the image."""
    return [rest for each, rest in stages()[-1] if each == name][-1]


def variables() -> dict[str, str]:
    """Return the environment of the image."""
    words = " ".join(rest for name, rest in stages()[-1] if name == "ENV").split()
    return dict(word.split("=", 1) for word in words)


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


# ---- the image ---------------------------------------------------------------------------------


def test_the_image_has_one_tcp_and_one_udp_port_and_no_root() -> None:
    exposed = [port.split("/") for port in last("EXPOSE").split()]
    assert sorted(kind for _, kind in exposed) == ["tcp", "udp"]
    assert variables()["ICEFLOE_PORT"] == {kind: port for port, kind in exposed}["tcp"]
    user, group = last("USER").split(":")
    assert int(user) > 0 and int(group) > 0


def test_only_what_was_built_gets_into_the_image() -> None:
    assert len(stages()) == 2
    copies = [rest for name, rest in stages()[-1] if name in ("COPY", "ADD")]
    assert copies == ["--from=build /opt/icefloe /opt/icefloe"]
    assert not [rest for name, rest in instructions() if name == "ARG"]
    assert not [name for name in variables() if re.search("SECRET|TOKEN|PASSWORD|CREDENTIAL", name)]


def allowed_in_context() -> list[str]:
    """Return what the .dockerignore lets into the build."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    return [rule.removeprefix("!") for rule in rules if rule.startswith("!")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder /opt/icefloe of the image, built by the steps of the Dockerfile elsewhere.

    Offline: what icefloe depends on is taken from the environment of the tests.
    """
    place = tmp_path_factory.mktemp("image")
    source, target = place / "src", place / "opt"
    for name in allowed_in_context():
        assert (ROOT / name).exists(), name
        copy = source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            left_out = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / name, copy, symlinks=True, ignore=left_out)
        else:
            shutil.copy(ROOT / name, copy)
    others = place / "others"
    others.mkdir()
    for package in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "icefloe" not in package.name and not package.name.endswith((".pth", ".egg-link")):
            (others / package.name).symlink_to(package)
    offline = "pip install --no-index --no-deps --no-build-isolation --quiet"
    for name, step in stages()[0]:
        if name != "RUN":
            continue
        step = step.replace("/opt/icefloe", str(target)).replace("/src", str(source))
        step = step.replace("pip install", offline)
        step = step.replace("python -m venv", f"{sys.executable} -m venv")
        outside = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        done = subprocess.run(
            ["sh", "-ec", step], env=outside, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for packages in target.glob("lib/python*/site-packages"):
            (packages / "others.pth").write_text(f"{others}\n")
            # Python 3.11 brings one that is too old; pip would download another.
            for old in ("setuptools", "pkg_resources", "_distutils_hack"):
                shutil.rmtree(packages / old, ignore_errors=True)
            (packages / "distutils-precedence.pth").unlink(missing_ok=True)
    return target


@pytest.mark.timeout(240)
@pytest.mark.parametrize("flags", ["--open", "--open --tls-self-signed"])
async def test_the_steps_of_the_dockerfile_make_what_serves_and_is_healthy(
    image: Path, tmp_path: Path, flags: str
) -> None:
    command = [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]
    assert command == ["icefloe", "serve"]
    port = str(free_port("127.0.0.1"))
    environment = variables() | {"ICEFLOE_PORT": port, "PATH": f"{image}/bin:{os.environ['PATH']}"}
    environment |= {"HOME": str(tmp_path), "PYTHONPATH": ""}
    line = f"{image}/bin/icefloe {command[1]} {flags}"
    check = json.loads(last("HEALTHCHECK").partition("CMD ")[2])
    assert check[0] == "python"
    script = check[1].replace("/opt/icefloe", str(image))

    async def is_healthy() -> bool:
        process = await asyncio.create_subprocess_exec(
            f"{image}/bin/python", script, env={"ICEFLOE_PORT": port}, stderr=DEVNULL
        )
        return await process.wait() == 0

    assert not await is_healthy()
    async with shell(line, tmp_path, **environment) as process:
        await prints(process, "Press Ctrl-C")
        assert await is_healthy()
    assert not await is_healthy()


async def test_without_a_secret_the_container_does_not_serve(tmp_path: Path) -> None:
    environment = {**os.environ, **variables(), "PATH": os.environ["PATH"], "ICEFLOE_PORT": "0"}
    icefloe = Path(sys.executable).parent / "icefloe"
    process = await asyncio.create_subprocess_exec(
        icefloe, "serve", env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert b"--token-secret-file" in complaint


# ---- compose -----------------------------------------------------------------------------------


def test_every_service_has_no_more_rights_than_it_needs() -> None:
    services = compose()["services"]
    assert set(services) == {"icefloe", "coturn", "redis"}
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["read_only"] is True
        assert service["restart"] == "unless-stopped"
        assert "privileged" not in service
        assert not any("secret" in str(value).lower() for value in service.get("environment", ()))
    assert "ports" not in services["redis"], "Redis is reached from within alone"


def test_secrets_are_files_that_git_and_the_image_leave_out() -> None:
    files = {name: secret["file"] for name, secret in compose()["secrets"].items()}
    used = {
        each for service in compose()["services"].values() for each in service.get("secrets", ())
    }
    assert set(files) == used
    assert all(file == f"./secrets/{name}" for name, file in files.items())
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"deploy/secrets/", "deploy/tls/", "deploy/.env"} <= set(ignored)
    assert allowed_in_context().count("deploy/healthcheck.py") == 1
    assert not {"deploy", "deploy/secrets"} & set(allowed_in_context())


def test_the_published_port_is_that_of_the_image() -> None:
    [published] = compose()["services"]["icefloe"]["ports"]
    outside, inside = published.split(":")
    assert (outside, inside) == ("443", f"{variables()['ICEFLOE_PORT']}/tcp")
    build = compose()["services"]["icefloe"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


@asynccontextmanager
async def redis(folder: Path) -> AsyncIterator[str | None]:
    """Run Redis by the command of the compose file, and yield its URL; ``None`` without Redis."""
    program = system.find("redis-server")
    if program is None:
        yield None
        return
    port = str(free_port("127.0.0.1"))
    command = compose()["services"]["redis"]["command"]
    process = await asyncio.create_subprocess_exec(
        program, *command[1:], "--port", port, "--bind", "127.0.0.1", cwd=folder, stdout=DEVNULL
    )
    try:
        for _ in range(500):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", int(port))
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                break
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def test_the_command_of_the_compose_file_serves(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert(NAMES["CALL_HOST"])
    (tmp_path / "tls").mkdir()
    certificate.private_key_pem.write_to_path(str(tmp_path / "tls" / "privkey.pem"))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(tmp_path / "tls" / "fullchain.pem"), append=True)
    for name, secret in (("token-secret", TOKEN_SECRET), ("turn-secret", TURN_SECRET)):
        (tmp_path / name).write_text(secret)
        (tmp_path / name).chmod(0o600)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    trusting.check_hostname = False
    async with redis(tmp_path) as redis_url:
        command = compose()["services"]["icefloe"]["command"]
        words = [word.replace("/run/tls", f"{tmp_path}/tls") for word in command]
        words = [word.replace("/run/secrets", str(tmp_path)) for word in words]
        for name, value in NAMES.items():
            words = [word.replace(f"${{{name}:?}}", value) for word in words]
        # A server of one node has no such flag, and one of several needs a Redis.
        if "redis" not in inspect.signature(serve_command).parameters or redis_url is None:
            words = [word for word in words if not word.startswith("--redis")]
        else:
            words = [word.replace("redis://redis:6379", redis_url) for word in words]
        assert not [word for word in words if "$" in word or "/run/" in word]
        line = f"icefloe {' '.join(words)}"
        environment = {"ICEFLOE_HOST": variables()["ICEFLOE_HOST"], "ICEFLOE_PORT": "0"}
        async with shell(line, tmp_path, **environment) as process:
            port = (await prints(process, r"Open https://127\.0\.0\.1:(\d+)/"))[1]
            token = make_token(TokenKeys(TOKEN_SECRET), room="lobby")
            url = f"wss://127.0.0.1:{port}/ws"
            async with connect(url, room="lobby", name="ann", token=token, ssl=trusting) as ann:
                [server] = ann.ice_servers
                assert server.urls == [f"turn:{NAMES['TURN_HOST']}:3478"]
                assert server.username is not None


# ---- Docker ------------------------------------------------------------------------------------


def lacking() -> str:
    """Return why the compose file cannot be started here; empty if it can."""
    if shutil.which("docker") is None:
        return "there is no docker"
    for command, reason in (
        (("docker", "compose", "version"), "docker has no compose"),
        (("docker", "info"), "no docker daemon runs"),
        (("docker", "manifest", "inspect", "redis:7-alpine"), "the images cannot be had"),
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return reason
    return ""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_compose_file_starts(tmp_path: Path) -> None:
    if reason := lacking():
        pytest.skip(reason)
    copy = tmp_path / "icefloe"
    left_out = shutil.ignore_patterns(".git", ".venv*", "node_modules", "build", "__pycache__")
    shutil.copytree(ROOT, copy, symlinks=True, ignore=left_out)
    deploy = copy / "deploy"
    (deploy / "secrets").mkdir()
    (deploy / "tls").mkdir()
    (deploy / ".env").write_text("".join(f"{name}={value}\n" for name, value in NAMES.items()))
    for name, secret in (("token-secret", TOKEN_SECRET), ("turn-secret", TURN_SECRET)):
        (deploy / "secrets" / name).write_text(secret)
    config = f"use-auth-secret\nstatic-auth-secret={TURN_SECRET}\nrealm=turn.example.org\n"
    (deploy / "secrets" / "turnserver.conf").write_text(config)
    certificate = trustme.CA().issue_cert(NAMES["CALL_HOST"])
    certificate.private_key_pem.write_to_path(str(deploy / "tls" / "privkey.pem"))
    for part in certificate.cert_chain_pems:
        part.write_to_path(str(deploy / "tls" / "fullchain.pem"), append=True)
    project = ("docker", "compose", "-f", str(deploy / "compose.yaml"), "-p", "icefloe-test")
    try:
        subprocess.run([*project, "up", "--build", "--wait", "-d"], check=True)
    finally:
        subprocess.run([*project, "down", "-v"], check=False)
