"""A program behind a NAT that forwards one UDP port, as to a container; nobody has a server.

Nothing else comes in at its router, and the other side is behind a NAT of its own.
"""

import pytest

from tests.natlab.call import Kind, calling
from tests.natlab.conftest import Note
from tests.natlab.sites import Site, apart
from tests.natlab.topology import Lab

pytestmark = pytest.mark.system("iproute2", "nftables", "netns")

PORT = 7000

_FORWARD = """
table ip forwarded {{
  chain pre {{
    type nat hook prerouting priority dstnat
    iifname "wan" udp dport {port} dnat to {host}
  }}
}}
"""

CHROMIUM = pytest.param(Kind.CHROMIUM, marks=[pytest.mark.browser, pytest.mark.system("chromium")])


@pytest.mark.parametrize("other", [Kind.ICEFLOE, CHROMIUM])
@pytest.mark.parametrize("site", [Site.NONE, Site.PORT_RESTRICTED, Site.SYMMETRIC])
async def test_one_forwarded_port_is_enough(other: Kind, site: Site, note: Note) -> None:
    async with Lab(apart(Site.PORT_RESTRICTED, site)) as lab:
        forward = _FORWARD.format(port=PORT, host=lab.address("a"))
        await lab.run("ra", "nft", "-f", "-", stdin=forward)
        own = {"udpPort": PORT, "external_addresses": [lab.address("ra")]}
        async with calling(
            lab, kinds=(other, Kind.ICEFLOE), nodes=("b", "a"), configurations=({}, own)
        ) as call:
            connected = await call.connected()
            assert (await call.offerer.transfer(200_000, 20))["intact"]
            assert (await call.answerer.transfer(200_000, 20))["intact"]
            pair = await call.answerer.pair()
            assert pair is not None
            assert pair.local["port"] == PORT
            note(str(connected))


async def test_a_restart_keeps_the_forwarded_port(note: Note) -> None:
    async with Lab(apart(Site.PORT_RESTRICTED, Site.SYMMETRIC)) as lab:
        forward = _FORWARD.format(port=PORT, host=lab.address("a"))
        await lab.run("ra", "nft", "-f", "-", stdin=forward)
        own = {"udpPort": PORT, "external_addresses": [lab.address("ra")]}
        async with calling(lab, nodes=("b", "a"), configurations=({}, own)) as call:
            note(str(await call.connected()))
            before = await call.answerer.pair()
            await call.answerer.send("restart")
            # The other side's sockets are new ones, and so are the ports of its router.
            while (pair := await call.answerer.pair()) == before:
                await call.flows(20)
            assert (await call.offerer.transfer(200_000, 20))["intact"]
            pair = await call.answerer.pair()
            assert pair is not None
            assert pair.local["port"] == PORT
