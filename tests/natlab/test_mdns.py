"""Peers that tell names in the place of their addresses, and meet by multicast DNS alone."""

import pytest
from aioice.mdns import is_mdns_hostname

from tests.natlab.call import Kind, calling
from tests.natlab.conftest import Note
from tests.natlab.lab_peer import LabPeer, Message
from tests.natlab.sites import same_lan
from tests.natlab.spec import CORE, LabSpec, Peer, Router
from tests.natlab.topology import Lab

pytestmark = pytest.mark.system("iproute2", "nftables", "netns")

HIDDEN: Message = {"hide_host_addresses": True, "iceServers": []}

BOTH_WAYS = [
    pytest.param(kinds, marks=[pytest.mark.browser, pytest.mark.system("chromium")])
    for kinds in (
        (Kind.ICEFLOE, Kind.HIDING_CHROMIUM),
        (Kind.HIDING_CHROMIUM, Kind.ICEFLOE),
    )
]
EVERY = [(Kind.ICEFLOE, Kind.ICEFLOE), *BOTH_WAYS]


def told(peer: LabPeer) -> list[str]:
    """Return the addresses of the candidates that a peer has told of."""
    candidates = [m["candidate"] for m in peer.told("candidate")]
    return [c["candidate"].split()[4] for c in candidates if c and c["candidate"]]


async def meet(spec: LabSpec, kinds: tuple[Kind, Kind], nodes: tuple[str, str], note: Note) -> None:
    """Let two peers meet that know only names of each other, and no server."""
    configurations = tuple(HIDDEN if kind is Kind.ICEFLOE else {} for kind in kinds)
    async with (
        Lab(spec) as lab,
        calling(lab, kinds=kinds, nodes=nodes, configurations=configurations) as call,  # type: ignore[arg-type]
    ):
        note(await call.connected())
        assert (await call.offerer.transfer(100_000, 20))["intact"]
        for peer in call.peers:
            addresses = told(peer)
            assert addresses
            assert all(is_mdns_hostname(address) for address in addresses)
            for message in peer.told("description"):
                assert "192.168." not in message["description"]["sdp"]


@pytest.mark.parametrize("kinds", EVERY)
async def test_on_one_lan(kinds: tuple[Kind, Kind], note: Note) -> None:
    await meet(same_lan(), kinds, ("a", "b"), note)


@pytest.mark.parametrize("kinds", EVERY)
async def test_on_one_machine(kinds: tuple[Kind, Kind], note: Note) -> None:
    spec = LabSpec(peers=(Peer("a", ("r",)),), routers=(Router("r", uplink=CORE),))
    await meet(spec, kinds, ("a", "a"), note)
