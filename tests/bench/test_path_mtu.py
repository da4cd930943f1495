"""Packet sizes on real paths: ones that lose large packets in silence, or become narrower."""

import json
from typing import Any

import pytest

from icefloe.peer.sctp.path_mtu import BASE
from tests.bench.network import DEVICE, Network, network
from tests.bench.stacks import Stack
from tests.bench.transfer import calling, transfer

pytestmark = [pytest.mark.alone, pytest.mark.system("netns", "iproute2", "nftables")]

HEADERS = 65
"""Bytes of DTLS, UDP and IPv4 around an SCTP packet of the fast path."""

TABLE = """
table ip sizes {{
    counter whole {{ }}
    counter fragments {{ }}
    counter unfragmentable {{ }}
    counter largest {{ }}
    chain arriving {{
        type filter hook prerouting priority raw
        ip length > {limit} drop
        udp length > 1000 ip frag-off & 0x3fff == 0 counter name whole
        ip frag-off & 0x3fff != 0 counter name fragments
        udp length > 1000 ip frag-off & 0x4000 != 0 counter name unfragmentable
        ip length {largest} counter name largest
    }}
}}
"""


async def watch(link: Network, *, limit: int, largest: int) -> None:
    """Have the receiving host lose packets over a limit, and count the others."""
    # Segmented before they leave: otherwise a train of datagrams counts as one packet.
    await link.hosts[0].run("ip", "link", "set", DEVICE, "gso_max_segs", "1")
    rules = TABLE.format(limit=limit, largest=largest)
    await link.hosts[1].run("nft", "-f", "-", stdin=rules)


async def counted(link: Network) -> dict[str, int]:
    told = json.loads(await link.hosts[1].run("nft", "-j", "list", "counters"))
    counters: list[dict[str, Any]] = [e["counter"] for e in told["nftables"] if "counter" in e]
    return {counter["name"]: counter["packets"] for counter in counters}


@pytest.mark.parametrize(
    ("limit", "size", "seconds"),
    # Where probes are lost it takes until the larger sizes have been tried often enough.
    [(1500, 1432, 2.0), (1400, 1280, 6.0), (1260, 1188, 6.0)],
)
async def test_the_largest_size_that_gets_through_is_found(
    limit: int, size: int, seconds: float
) -> None:
    stack = Stack.ICEFLOE
    async with network(None, None) as link:
        await watch(link, limit=limit, largest=size + HEADERS)
        async with calling(link, stack, stack) as ends:
            first = await transfer(ends, size=16384, seconds=seconds)
            assert first.size > 100_000
        seen = await counted(link)
    assert seen["largest"] > seen["whole"] / 4
    assert seen["fragments"] == 0
    # Probes alone, and only those that got through; the receiver's handshake has none so large.
    assert (size > BASE) <= seen["unfragmentable"] < 10


async def test_a_path_that_becomes_narrower_under_way_still_carries_all() -> None:
    stack = Stack.ICEFLOE
    async with network(None, None) as link, calling(link, stack, stack) as ends:
        before = await transfer(ends, size=16384, seconds=2.0)
        assert before.size > 100_000
        await link.hosts[0].run("ip", "link", "set", DEVICE, "mtu", "1300")
        await watch(link, limit=1300, largest=1300)
        sample = await transfer(ends, size=16384, seconds=3.0)
        assert sample.size > before.size
        assert (await counted(link))["fragments"] > 0
