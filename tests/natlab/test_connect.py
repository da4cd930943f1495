"""Connections across every kind of NAT, and those that cannot come about, with their reason.

Who connects with whom, and over what, is asserted; how long it takes is printed.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from icefloe.peer import ConnectPhase, VerdictCause
from tests.natlab.call import Kind, Pair, calling
from tests.natlab.conftest import Note
from tests.natlab.sites import Site, apart, same_carrier, same_lan
from tests.natlab.spec import Ipv6, LabSpec, Peer, Wire
from tests.natlab.topology import Lab
from tests.natlab.turn import Credentials, Turn, coturn, dead_stun, dead_turn

pytestmark = pytest.mark.system("iproute2", "nftables", "coturn", "netns")

OWN = (Kind.ICEFLOE, Kind.ICEFLOE)

WITH_CHROMIUM = [
    pytest.param(kinds, marks=[pytest.mark.browser, pytest.mark.system("chromium")])
    for kinds in ((Kind.ICEFLOE, Kind.CHROMIUM), (Kind.CHROMIUM, Kind.ICEFLOE))
]
WITH_AIORTC = [(Kind.ICEFLOE, Kind.AIORTC), (Kind.AIORTC, Kind.ICEFLOE)]
EVERY = [OWN, *WITH_AIORTC, *WITH_CHROMIUM]


def servers(turn: Turn, *, relay: bool = True, stun: bool = True) -> dict[str, object]:
    """Configure a peer with STUN, and TURN over UDP, TCP and TLS."""
    listed = [turn.stun()] * stun + [turn.turn()] * relay
    return {"iceServers": listed, "tlsCa": str(turn.ca)}


async def connect(
    spec: LabSpec,
    note: Note,
    *,
    kinds: tuple[Kind, Kind] = OWN,
    relay: bool = False,
    right: Callable[[Pair], bool],
) -> None:
    """Connect ``a`` with ``b``, see that data arrives intact, and that the pairs are right.

    The relay may answer first: a peer has some seconds to find what is better.
    """
    async with Lab(spec) as lab, coturn(lab) as turn:
        configuration = servers(turn, relay=relay)
        async with calling(lab, kinds=kinds, configurations=configuration) as call:
            connected = await call.connected()
            assert (await call.offerer.transfer(200_000, 20))["intact"]
            assert (await call.answerer.transfer(200_000, 20))["intact"]
            note(f"{connected}; later {await call.settled(right, 10)}")
            assert any(await call.pairs())


def direct(pair: Pair) -> bool:
    return not pair.relayed


def relayed(pair: Pair) -> bool:
    return pair.relayed


def of_types(local: str, remote: str) -> Callable[[Pair], bool]:
    return lambda pair: pair.types == (local, remote)


@pytest.mark.parametrize("kinds", EVERY)
async def test_port_restricted_to_port_restricted_is_direct(
    kinds: tuple[Kind, Kind], note: Note
) -> None:
    await connect(
        apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED), note, kinds=kinds, right=direct
    )


@pytest.mark.parametrize("kinds", EVERY)
async def test_symmetric_to_symmetric_is_relayed(kinds: tuple[Kind, Kind], note: Note) -> None:
    await connect(
        apart(Site.SYMMETRIC, Site.SYMMETRIC), note, kinds=kinds, relay=True, right=relayed
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Site.NONE, Site.NONE),
        (Site.FULL_CONE, Site.FULL_CONE),
        (Site.ADDRESS_RESTRICTED, Site.PORT_RESTRICTED),
        (Site.SYMMETRIC, Site.NONE),
        (Site.FULL_CONE, Site.SYMMETRIC),
        (Site.SYMMETRIC, Site.ADDRESS_RESTRICTED),
        (Site.CGN, Site.CGN),
    ],
)
async def test_there_is_a_direct_path_and_it_is_taken(
    first: Site, second: Site, note: Note
) -> None:
    await connect(apart(first, second), note, relay=True, right=direct)


async def test_in_one_home_packets_stay_there(note: Note) -> None:
    await connect(same_lan(), note, relay=True, right=of_types("host", "host"))


async def test_behind_one_carrier_that_hairpins_it_is_direct(note: Note) -> None:
    await connect(same_carrier(hairpin=True), note, relay=True, right=direct)


async def test_behind_one_carrier_that_does_not_it_is_relayed(note: Note) -> None:
    await connect(same_carrier(hairpin=False), note, relay=True, right=relayed)


@pytest.mark.parametrize("kinds", [OWN, WITH_AIORTC[0], *WITH_CHROMIUM])
async def test_where_udp_is_blocked_the_relay_is_reached_over_tls(
    kinds: tuple[Kind, Kind], note: Note
) -> None:
    spec = apart(Site.UDP_BLOCKED, Site.PORT_RESTRICTED)
    await connect(spec, note, kinds=kinds, relay=True, right=relayed)


async def test_udp_blocked_on_both_sides_goes_through_two_relays(note: Note) -> None:
    await connect(
        apart(Site.UDP_BLOCKED, Site.UDP_BLOCKED),
        note,
        relay=True,
        right=of_types("relay", "relay"),
    )


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_relay_alone_is_enough_over_every_transport(transport: str, note: Note) -> None:
    async with Lab(apart(Site.SYMMETRIC, Site.PORT_RESTRICTED)) as lab, coturn(lab) as turn:
        configuration = {
            "iceServers": [turn.turn(transport)],
            "iceTransportPolicy": "relay",
            "tlsCa": str(turn.ca),
        }
        async with calling(lab, configurations=configuration) as call:
            connected = await call.connected()
            note(connected)
            for pair in connected.pairs:
                assert pair is not None
                assert pair.types == ("relay", "relay")


async def test_time_limited_credentials_work_until_they_lapse(note: Note) -> None:
    spec = apart(Site.SYMMETRIC, Site.SYMMETRIC)
    async with Lab(spec) as lab, coturn(lab, Credentials.TIME_LIMITED, number=1) as turn:
        async with calling(lab, configurations={"iceServers": [turn.turn("udp")]}) as call:
            connected = await call.connected()
            note(f"{connected}; later {await call.settled(relayed, 10)}")
        lapsed = {"iceServers": [turn.turn("udp", lifetime=-60)], "iceTransportPolicy": "relay"}
        async with calling(lab, configurations=lapsed, connect_timeout=4) as call:
            verdicts = await call.not_connected(20)
            assert all("401" in " ".join(v["serverErrors"]) for v in verdicts.values())


async def test_without_a_relay_symmetric_to_port_restricted_fails_and_says_why(note: Note) -> None:
    spec = apart(Site.SYMMETRIC, Site.PORT_RESTRICTED)
    async with Lab(spec) as lab, coturn(lab) as turn:
        configuration = servers(turn, relay=False)
        async with calling(lab, configurations=configuration, connect_timeout=8) as call:
            verdicts = await call.not_connected(20)
            note({name: verdict["text"] for name, verdict in verdicts.items()})
            for verdict in verdicts.values():
                assert verdict["phase"] == ConnectPhase.CHECKS
                assert verdict["cause"] == VerdictCause.NO_RELAY
                assert verdict["warnings"] == [VerdictCause.NO_RELAY]
                assert "TURN" in verdict["text"]


async def test_two_symmetric_nats_without_a_relay_are_warned_of_before_it_fails(
    note: Note,
) -> None:
    async with Lab(apart(Site.SYMMETRIC, Site.SYMMETRIC)) as lab, coturn(lab) as turn:
        configuration = servers(turn, relay=False)
        async with calling(lab, configurations=configuration, connect_timeout=8) as call:
            verdicts = await call.not_connected(20)
            note({name: verdict["text"] for name, verdict in verdicts.items()})
            for verdict in verdicts.values():
                assert verdict["cause"] == VerdictCause.NO_RELAY
                assert verdict["warnings"] == [VerdictCause.NO_RELAY]


async def test_a_dead_relay_with_nothing_else_allowed_fails_and_names_it(note: Note) -> None:
    async with Lab(apart(Site.NONE, Site.NONE)) as lab, coturn(lab) as turn:
        dead = {"iceServers": [dead_turn("udp", "tls")], "iceTransportPolicy": "relay"}
        both = (dead, servers(turn))
        async with calling(lab, configurations=both, connect_timeout=9) as call:
            verdict = (await call.not_connected(25))["a"]
            note(verdict["text"])
            assert verdict["phase"] == ConnectPhase.GATHERING
            for url in dead["iceServers"][0]["urls"]:  # type: ignore[index]
                assert any(error.startswith(url) for error in verdict["serverErrors"])


@pytest.mark.parametrize("kinds", [OWN, *WITH_CHROMIUM])
async def test_dead_servers_hold_up_nobody(kinds: tuple[Kind, Kind], note: Note) -> None:
    spec = apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)
    async with Lab(spec) as lab, coturn(lab) as turn:
        listed = [dead_stun(), dead_turn(), turn.stun(), turn.turn("udp")]
        async with calling(lab, kinds=kinds, configurations={"iceServers": listed}) as call:
            note(await call.connected())
            note(await call.settled(direct, 10))


@pytest.mark.parametrize("kinds", [OWN, *WITH_CHROMIUM])
async def test_with_nothing_but_ipv6_it_is_direct(kinds: tuple[Kind, Kind], note: Note) -> None:
    a, b = (Peer(name, ipv4=False, ipv6=Ipv6.WORKING) for name in ("a", "b"))
    await connect(LabSpec(peers=(a, b)), note, kinds=kinds, right=direct)


async def test_from_ipv6_alone_to_ipv4_alone_it_goes_through_the_relay(note: Note) -> None:
    spec = LabSpec(peers=(Peer("a", ipv4=False, ipv6=Ipv6.WORKING), Peer("b")))
    async with Lab(spec) as lab, coturn(lab) as turn:
        six = {"iceServers": [turn.stun(ipv6=True), turn.turn("udp", ipv6=True)]}
        async with calling(lab, configurations=(six, servers(turn))) as call:
            connected = await call.connected()
            note(f"{connected}; later {await call.settled(relayed, 10)}")


@pytest.mark.parametrize("kinds", [OWN, *WITH_CHROMIUM])
async def test_ipv6_that_goes_nowhere_holds_up_nobody(kinds: tuple[Kind, Kind], note: Note) -> None:
    spec = LabSpec(peers=(Peer("a", ipv6=Ipv6.BROKEN), Peer("b", ipv6=Ipv6.WORKING)))
    await connect(spec, note, kinds=kinds, right=direct)


async def test_a_slow_and_lossy_line_connects(note: Note) -> None:
    spec = apart(Site.PORT_RESTRICTED, Site.PORT_RESTRICTED)
    wire = Wire(delay=0.04, jitter=0.005, loss=0.03)
    spec = replace(spec, routers=tuple(replace(router, wire=wire) for router in spec.routers))
    await connect(spec, note, right=direct)
