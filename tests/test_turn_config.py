"""``icefloe turn-config``: what it prints, and a coturn that runs with it."""

import asyncio
import ipaddress
import re
import stat
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aioice import stun

from icefloe._turn_config import DENIED, InvalidTurnConfig, TurnConfig, coturn_configuration
from icefloe._turn_secrets import SECRET_VARIABLE, NoSecret, turn_secrets
from icefloe.peer.ice.server_urls import Transport
from icefloe.peer.ice.turn.client import allocate
from icefloe.peer.ice.turn.transports import Endpoint
from icefloe.signaling.turn_credentials import mint
from tests.helpers import system
from tests.helpers.command import run
from tests.helpers.netns import ADDRESS
from tests.helpers.turn import free_port

SECRET = "0123456789abcdef0123456789abcdef"
PUBLIC = "8.8.4.4"
"""A public address that the test gives to its own interface."""


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n{'o' * 16}\n")
    file.chmod(0o600)
    return file


# --- the command


async def test_the_secret_is_not_printed_unless_asked_for(secret_file: Path) -> None:
    arguments = ("turn-config", "--realm", "t.example.org", "--turn-secret-file", str(secret_file))
    code, out, err = await run(*arguments)
    assert (code, err) == (0, "")
    assert SECRET not in out
    assert "use-auth-secret" in out
    code, out, _ = await run(*arguments, "--show-secret")
    assert code == 0
    lines = [line for line in out.splitlines() if line.startswith("static-auth-secret=")]
    assert lines == [f"static-auth-secret={SECRET}", f"static-auth-secret={'o' * 16}"]


async def test_a_file_with_the_secret_is_for_its_owner_alone(
    secret_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "turnserver.conf"
    out.write_text("before")
    out.chmod(0o644)
    code, printed, _ = await run(
        "turn-config", "--realm", "t", "--turn-secret-file", str(secret_file), "--out", str(out)
    )
    assert (code, printed) == (0, "")
    assert f"static-auth-secret={SECRET}\n" in out.read_text()
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["secret", "turnserver.conf"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["turn-config"], "--realm"),
        (["turn-config", "--realm", "two words"], "turn.example.org"),
        (["turn-config", "--realm", "a\nuser=x:y"], "turn.example.org"),
        (["turn-config", "--realm", "t", "--external-ip", "not-an-address"], "--external-ip"),
        (["turn-config", "--realm", "t", "--external-ip", "1.2.3.4/1.2.3"], "--external-ip"),
        (["turn-config", "--realm", "t", "--allow-peer", "10.0.0.0/99"], "no network"),
        (["turn-config", "--realm", "t", "--tls-cert", "a b.pem"], "no spaces"),
        (["turn-config", "--realm", "t", "--tls-key", "k.pem"], "--tls-cert"),
        (["turn-config", "--realm", "t", "--min-port", "50000", "--max-port", "50000"], "above"),
        (["turn-config", "--realm", "t", "--user-quota", "9", "--total-quota", "8"], "below"),
        (["turn-config", "--realm", "t", "--show-secret"], "--turn-secret-file"),
        (["serve", "--turn-secret-file", "/nowhere/secret"], "does not exist"),
        (["serve", "--turn-secret-file", __file__, "--ice-server", "turn:t"], "secret"),
        (["serve", "--turn-lifetime", "299"], "300"),
        (["serve", "--turn-lifetime", "3601"], "3600"),
    ],
)
async def test_wrong_usage_is_explained(arguments: list[str], words: str) -> None:
    code, out, err = await run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


def test_secrets_come_from_a_file_or_the_environment(secret_file: Path, tmp_path: Path) -> None:
    assert turn_secrets(None, {}) is None
    assert turn_secrets(None, {SECRET_VARIABLE: SECRET}) == (SECRET,)
    assert turn_secrets(secret_file, {SECRET_VARIABLE: "x"}) == (SECRET, "o" * 16)
    for content in (b"", b"short", b"\xff" * 32, b"x" * 100_000):
        secret_file.write_bytes(content)
        with pytest.raises(NoSecret) as refused:
            turn_secrets(secret_file)
        assert "xxx" not in str(refused.value)
    with pytest.raises(NoSecret, match="cannot be read"):
        turn_secrets(tmp_path)


# --- what is refused


def test_all_special_addresses_are_denied() -> None:
    denied = [ipaddress.ip_network(network) for network in DENIED]

    def is_denied(address: str) -> bool:
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in denied if network.version == parsed.version)

    for address in (
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255"),
        *("192.168.1.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"),
        *("::", "::1", "::7f00:1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "fe80::1", "fd00::1"),
        *("ff02::1", "2002:a00:1::", "2001::1", "fec0::1", "2001:db8::1"),
    ):
        assert is_denied(address), address
    for address in ("8.8.8.8", "1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1", "2a00::1"):
        assert not is_denied(address), address


def test_what_python_calls_private_is_denied() -> None:
    denied = [ipaddress.ip_network(network) for network in DENIED]
    for network in denied:
        assert (
            not network[1].is_global
            or network[1].is_multicast
            or str(network)
            in (
                *("192.88.99.0/24", "64:ff9b::/96", "2001::/23", "2002::/16", "3fff::/20"),
                *("5f00::/16", "::/96", "fec0::/10", "::ffff:0:0/96", "64:ff9b:1::/48"),
            )
        ), network


@pytest.mark.parametrize("realm", ["", "a b", "x\ny", "ü", "x" * 128])
def test_nothing_can_add_a_line(realm: str) -> None:
    with pytest.raises(InvalidTurnConfig):
        TurnConfig(realm=realm)


# --- against coturn


class Ends(asyncio.DatagramProtocol):
    """The packets that an allocation or a socket receives."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.received.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        self.received.put_nowait(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set_result(None)

    def lost(self, reason: str) -> None:
        self.received.put_nowait(ConnectionError(reason))


@asynccontextmanager
async def coturn(folder: Path, config: TurnConfig) -> AsyncIterator[Path]:
    """Run coturn with a configuration of the command; it has only its addresses beside it."""
    file = folder / "turnserver.conf"
    file.write_text(coturn_configuration(config, (SECRET, "o" * 16)))
    program = system.find("turnserver")
    assert program is not None
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(program, "-c", str(file), "--listening-ip", ADDRESS, "--relay-ip", ADDRESS),
            *("--userdb", str(folder / "db"), "--pidfile", str(folder / "pid")),
            stdout=log,
            stderr=log,
        )
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection(ADDRESS, config.port)
            except ConnectionError:
                assert process.returncode is None, (folder / "log").read_text()
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                break
        yield folder / "log"
    finally:
        process.terminate()
        await process.wait()


def endpoint(config: TurnConfig) -> Endpoint:
    return Endpoint(ADDRESS, config.port, Transport.UDP, ADDRESS)


@asynccontextmanager
async def allocated(
    config: TurnConfig, lifetime: float = 600, secret: str = SECRET, name: str = "someone"
) -> AsyncIterator[tuple[Any, Ends]]:
    def credentials() -> tuple[str, str]:
        return mint(secret, name, time.time(), lifetime)

    held = credentials()
    transport, ends = await allocate(Ends, endpoint(config), lambda: held, on_lost=Ends.lost)
    try:
        yield transport, ends
    finally:
        transport.close()
        await ends.closed


@pytest.fixture
def public_address() -> Any:
    subprocess.run(["ip", "addr", "add", f"{PUBLIC}/32", "dev", "lan0"], check=True)
    yield PUBLIC
    subprocess.run(["ip", "addr", "del", f"{PUBLIC}/32", "dev", "lan0"], check=True)


@pytest.mark.system("coturn", "netns")
async def test_coturn_relays_to_public_addresses_and_not_to_private_ones(
    tmp_path: Path, public_address: str
) -> None:
    config = TurnConfig(realm="turn.example.org", port=free_port(ADDRESS))
    loop = asyncio.get_running_loop()
    async with coturn(tmp_path, config) as log:
        sink, public = await loop.create_datagram_endpoint(Ends, local_addr=(public_address, 0))
        port = sink.get_extra_info("sockname")[1]
        try:
            async with allocated(config) as (relay, ends):
                relay.sendto(b"to a public address", (public_address, port))
                assert await public.received.get() == b"to a public address"
                for address in (
                    *(ADDRESS, "10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1"),
                    *("192.168.0.1", "172.16.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"),
                ):
                    relay.sendto(b"x", (address, port))
                    refused = await ends.received.get()
                    assert isinstance(refused, OSError), address
                    assert "403" in str(refused), (address, refused)
        finally:
            sink.close()
        text = log.read_text()
    assert not re.search(r"bad config|unknown|unrecognized", text, re.IGNORECASE), text
    # Every line of the configuration was read.
    assert f"Default realm: {config.realm}" in text
    assert text.count("Black listing") == len(DENIED)


@pytest.mark.system("coturn", "netns")
async def test_coturn_takes_both_secrets_and_no_name_that_has_expired(tmp_path: Path) -> None:
    config = TurnConfig(realm="t", port=free_port(ADDRESS), user_quota=2)
    async with coturn(tmp_path, config):
        async with allocated(config), allocated(config, 601, secret="o" * 16):
            # The time in the name does not make another user of it.
            with pytest.raises(stun.TransactionFailed) as full:
                async with allocated(config, 602):
                    pass
            assert full.value.response.error_code == 486
            async with allocated(config, name="another"):
                pass
        for lifetime, secret in ((-60, SECRET), (600, "wrong secret but long".replace(" ", "-"))):
            with pytest.raises(stun.TransactionFailed) as refused:
                async with allocated(config, lifetime, secret):
                    pass
            assert refused.value.response.error_code == 401


@pytest.mark.system("coturn", "netns")
async def test_an_exception_for_a_private_network_holds(tmp_path: Path) -> None:
    config = TurnConfig(realm="t", port=free_port(ADDRESS), allowed=(f"{ADDRESS}/32",))
    loop = asyncio.get_running_loop()
    async with coturn(tmp_path, config):
        sink, here = await loop.create_datagram_endpoint(Ends, local_addr=(ADDRESS, 0))
        try:
            async with allocated(config) as (relay, _):
                relay.sendto(b"allowed", sink.get_extra_info("sockname"))
                assert await here.received.get() == b"allowed"
        finally:
            sink.close()
