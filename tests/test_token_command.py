"""Tokens, ``--open``, proxies and SIGHUP of the ``icefloe`` command, run as a person runs it."""

import asyncio
import signal
import ssl
import time
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from icefloe.signaling import (
    JoinRefused,
    Right,
    ServerConfiguration,
    TokenKeys,
    Unreachable,
    connect,
    make_token,
    serve,
    verify_token,
)
from tests.helpers.command import Command, icefloe, run
from tests.helpers.commands import event, process, receive_arguments
from tests.helpers.transfers import random_file

SECRET = "s" * 40


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    return private(tmp_path / "secret", SECRET)


def private(file: Path, content: str) -> Path:
    file.touch(mode=0o600)
    file.write_text(content)
    return file


def socket_of(running: Command) -> str:
    return running.url.partition("?")[0].replace("http", "ws", 1) + "ws"


async def refusal(url: str, token: str | None, room: str = "lobby") -> str:
    with pytest.raises(JoinRefused) as raised:
        async with connect(url, room=room, name="bob", token=token):
            pass
    return raised.value.code


@pytest.mark.parametrize("command", ["serve", "demo"])
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "example.org"])
async def test_other_machines_are_served_only_in_so_many_words(command: str, host: str) -> None:
    code, out, err = await run(command, "--host", host, "--port", "0")
    assert (code, out) == (2, "")
    [line] = err.splitlines()
    assert "--token-secret-file" in line
    assert "--open" in line


async def test_with_a_secret_other_machines_are_served(secret: Path) -> None:
    arguments = ("--host", "0.0.0.0", "--token-secret-file", str(secret))
    async with icefloe("serve", *arguments) as running:
        assert await refusal(socket_of(running), None) == "token-missing"


async def test_a_token_of_the_command_admits(secret: Path) -> None:
    flags = ("--token-secret-file", str(secret), "--token-audience", "us")
    code, out, err = await run(
        "token", *flags, "--room", "lobby", "--name", "bob", "--may", "join", "--may", "moderate"
    )
    assert (code, err) == (0, "")
    token = out.strip()
    claims = verify_token(
        token, TokenKeys(SECRET), room="lobby", name="bob", now=time.time(), audience="us"
    )
    assert claims.rights == {Right.JOIN, Right.MODERATE}
    assert 3500 < claims.expires - time.time() <= 3600
    async with icefloe("serve", *flags) as running:
        url = socket_of(running)
        async with connect(url, room="lobby", name="bob", token=token) as bob:
            assert Right.MODERATE in bob.rights
        assert await refusal(url, token, room="other") == "token-room"
        other = make_token(TokenKeys("o" * 32), room="lobby", audience="us")
        assert await refusal(url, other) == "token-signature"
        ended, logged = await running.end()
    assert ended == 0
    assert token not in logged
    assert SECRET not in logged


async def test_keys_and_flags_come_from_the_environment(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    variables = {"ICEFLOE_ROOMS": "team-*", "ICEFLOE_MAY": "join", "ICEFLOE_EXPIRES": "60"}
    code, out, _ = await run("token", ICEFLOE_TOKEN_SECRET=pem, **variables)
    assert code == 0
    environment = {"ICEFLOE_TOKEN_SECRET": public.decode(), "ICEFLOE_HOST": "0.0.0.0"}
    async with icefloe("serve", **environment) as running:
        url = socket_of(running)
        async with connect(url, room="team-7", name="bob", token=out.strip()) as bob:
            assert bob.rights == {Right.JOIN}
        assert await refusal(url, out.strip()) == "token-room"
    assert (await run("demo", "--port", "0", ICEFLOE_TOKEN_SECRET=public.decode()))[0] == 2


async def test_the_demo_makes_a_token_for_its_participant(secret: Path) -> None:
    flags = ("--token-secret-file", str(secret), "--room", "kitchen")
    async with icefloe("demo", *flags) as running:
        token = make_token(TokenKeys(SECRET), room="kitchen")
        async with connect(socket_of(running), room="kitchen", name="bob", token=token) as bob:
            while not bob.peers:
                await anext(bob)
            assert bob.peers[0].name == "python"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["token", "--room", "lobby"], "ICEFLOE_TOKEN_SECRET"),
        (["token"], "--rooms"),
        (["token", "--room", "a", "--rooms", "b"], "--rooms"),
        (["token", "--room", "x" * 65], "1 to 64"),
        (["token", "--room", "a", "--may", "dance"], "moderate"),
        (["token", "--room", "a", "--expires", "0"], "--expires"),
        (["token", "--token-secret-file", "/nowhere/secret", "--room", "a"], "does not exist"),
        (["serve", "--proxy-headers", "x-real-ip"], "--proxy-headers"),
        (["serve", "--proxy-headers", "forwarded", "--trusted-proxy", "proxy"], "--trusted-proxy"),
        (["serve", "--trusted-proxy", "10.0.0.0/8"], "--proxy-headers"),
    ],
)
async def test_wrong_usage_is_explained(arguments: list[str], words: str) -> None:
    code, out, err = await run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


@pytest.mark.parametrize("content", ["", "too short", "x" * 70_000, "\xff\xfe"])
async def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, content: str) -> None:
    file = private(tmp_path / "secret", content)
    code, out, err = await run("serve", "--port", "0", "--token-secret-file", str(file))
    assert (code, out) == (2, "")
    assert str(file) in err
    assert "too short" not in err


async def test_a_secret_that_others_can_read_is_told(secret: Path) -> None:
    secret.chmod(0o644)
    code, out, err = await run("token", "--token-secret-file", str(secret), "--room", "lobby")
    assert code == 0
    assert out.count(".") == 2
    assert f"chmod 600 {secret}" in err


@pytest.mark.parametrize("way", ["file", "variable"])
async def test_files_go_over_a_server_with_tokens(tmp_path: Path, way: str) -> None:
    random_file(tmp_path / "a.bin", 1000)
    token = make_token(TokenKeys(SECRET), rooms="files-*")
    flags = ["--token-file", str(private(tmp_path / "token", f"{token}\n"))]
    if way == "variable":
        flags = []
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    environment |= {"ICEFLOE_TOKEN": token} if way == "variable" else {}
    configuration = ServerConfiguration(token_keys=TokenKeys(SECRET))
    async with serve("127.0.0.1", 0, configuration=configuration) as server:
        send = ("send", str(tmp_path / "a.bin"), "--server", f"127.0.0.1:{server.port}", "--json")
        assert (await run(*send, XDG_CACHE_HOME=str(tmp_path)))[0] == 10
        async with process(*send, *flags, environment=environment) as sender:
            told = await event(sender, "code")
            arguments = receive_arguments(told, tmp_path / "out", *flags)
            async with process(*arguments, environment=environment) as receiver:
                await event(receiver, "done")
                assert await receiver.wait() == 0
            assert await sender.wait() == 0


async def test_the_server_of_a_transfer_admits_to_nothing_else(tmp_path: Path) -> None:
    random_file(tmp_path / "a.bin", 1000)
    environment = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    async with process(
        "send", str(tmp_path / "a.bin"), "--json", environment=environment
    ) as sender:
        url = (await event(sender, "code"))["server"]
        assert await refusal(url, None) == "unauthorized"
        sender.send_signal(signal.SIGTERM)
        await sender.wait()


async def test_sighup_brings_a_new_certificate_and_new_keys(tmp_path: Path, secret: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    pem = tmp_path / "cert.pem"

    def issue(authority: trustme.CA) -> None:
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)

    def trust(authority: trustme.CA) -> ssl.SSLContext:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context

    async def works(url: str, authority: trustme.CA, key: str) -> bool:
        token = make_token(TokenKeys(key), room="lobby")
        context = trust(authority)
        try:
            async with connect(url, room="lobby", name="x", token=token, ssl=context, rename=True):
                return True
        except (Unreachable, JoinRefused):
            return False

    issue(old)
    flags = ("--tls-cert", str(pem), "--token-secret-file", str(secret), "--log-level", "info")
    async with icefloe("serve", *flags) as running:
        url = socket_of(running)
        token = make_token(TokenKeys(SECRET), room="lobby")
        async with connect(url, room="lobby", name="stays", token=token, ssl=trust(old)) as stays:
            pem.write_text("broken")
            running.process.send_signal(signal.SIGHUP)
            assert await works(url, old, SECRET)
            issue(new)
            secret.write_text("n" * 40)
            running.process.send_signal(signal.SIGHUP)
            while not await works(url, new, "n" * 40):
                await asyncio.sleep(0.05)
            assert not await works(url, old, "n" * 40)
            assert not await works(url, new, SECRET)
            assert stays.is_connected
        code, logged = await running.end()
    assert code == 0
    assert "stays in use" in logged
    assert "Traceback" not in logged


async def test_a_proxy_is_believed_where_it_is_named() -> None:
    flags = ("--proxy-headers", "forwarded", "--trusted-proxy", "127.0.0.0/8")
    async with (
        icefloe("serve", *flags, "--trusted-proxy", "10.0.0.0/8") as running,
        connect(socket_of(running), room="lobby", name="bob"),
    ):
        pass
