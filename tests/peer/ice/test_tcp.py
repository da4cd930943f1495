"""A TCP connection whose packets can't leave the machine for a while."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from icefloe.peer.ice.server_urls import Transport
from icefloe.peer.ice.turn import tcp
from tests.helpers.turnserver import turn_server
from tests.peer.ice.test_turn_client import PEER, allocated

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has these options")

RETRIES = Path("/proc/sys/net/ipv4/tcp_retries2")


def has_cap() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, tcp._TCP_RTO_MAX_MS, 1000)
        except OSError:
            return False
        return True


@pytest.fixture
def few_retries() -> Iterator[None]:
    """Let the kernel give up after 6 probes: 4.4 s with the cap, 12.6 s without."""
    before = RETRIES.read_text(encoding="ascii")
    RETRIES.write_text("6", encoding="ascii")
    try:
        yield
    finally:
        RETRIES.write_text(before, encoding="ascii")


def nft(command: str) -> None:
    subprocess.run(["nft", command], check=True)


@pytest.mark.system("nftables", "netns")
@pytest.mark.skipif(not has_cap(), reason="needs Linux 6.15")
async def test_a_machine_without_a_network_does_not_give_up_its_relay(few_retries: None) -> None:
    async with turn_server(Transport.TCP) as server, allocated(server.endpoint) as (client, got):
        client.sendto(b"before", PEER)
        await server.until(lambda: bool(server.data))
        loop = asyncio.get_running_loop()
        nft("add table ip cut")
        try:
            nft("add chain ip cut out { type filter hook output priority 0; }")
            nft(f"add rule ip cut out tcp dport {server.port} drop")
            end = loop.time() + 6
            while loop.time() < end:
                client.sendto(b"during", PEER)
                await asyncio.sleep(0.02)
            assert got.reasons == []
        finally:
            nft("delete table ip cut")
        client.sendto(b"after", PEER)
        await server.until(lambda: server.data[-1][1] == b"after")


async def test_an_idle_connection_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "POLL_INTERVAL", 0.01)
    async with turn_server(Transport.TCP) as server, allocated(server.endpoint) as (client, _):
        tuner = client._link._tuner  # type: ignore[union-attr]
        client.sendto(b"x", PEER)
        await server.until(lambda: bool(server.data))
        if has_cap():
            assert tuner._timer is not None
        async with asyncio.timeout(5):
            while tuner._timer is not None:
                await asyncio.sleep(0.01)
