"""Every place against every other one: writes docs/nat-matrix.md. ``make nat-matrix``.

icefloe calls icefloe, with STUN and TURN and with STUN alone; plain aiortc calls plain aiortc in
the same labs; and Chromium and icefloe call each other from some of the places. All run two or
three at a time, so the seconds are those of a machine that is busy::

    python -m tests.natlab.matrix --jobs 2 --only symmetric
"""

import argparse
import asyncio
import datetime
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.report import Section, machine
from tests.helpers import netns, system
from tests.natlab.call import Connected, NotConnected, calling
from tests.natlab.lab_peer import Kind, Message, Pair, PeerTrouble
from tests.natlab.sites import MEANING, Site, apart, same_carrier, same_lan
from tests.natlab.spec import Ipv6, LabSpec, Peer
from tests.natlab.topology import Lab
from tests.natlab.turn import coturn

REPORT = Path(__file__).parents[2] / "docs" / "nat-matrix.md"

GIVE_UP = 15.0
"""Seconds after which a connection counts as one that does not come about. aiortc itself takes a
minute to say so."""

SETTLE = 3.0
"""Seconds after which it is looked at once more which pairs are in use."""

MOST_JOBS = 3

Pairs = tuple[Pair | None, Pair | None]

INTRO = """\
# Who connects with whom

`make nat-matrix` makes this page. Each row is a network built of Linux namespaces with the kernel's
own NAT, coturn in the middle, and two peers that call each other; the NATs are probed by RFC 4787's
terms in `tests/natlab/test_lab.py`. Seconds go from the exchange of the descriptions to a data
channel that is open at both ends; "with gathering", from the moment that both were told to call.
{jobs} such networks ran at a time on this machine. A pair is written as `local → remote`, for the
caller and then for the called; if they moved to others within {settle:g} s, those follow. Where
there is no connection after {give_up:g} s the verdict stands, as the application gets it.

TURN means a server over UDP, over TCP and over TLS at port 443. aiortc uses the first URL of a
server alone, and waits for servers, at most 5 s, before it sends its description.

{places}

Taken on {date}: {machine}.
"""

NOT_TOLD, FAILS = "–", "fails"


@dataclass(frozen=True, slots=True)
class Case:
    """One call.

    Attributes:
        name: What the row is called.
        spec: Where it takes place.
        kinds: Who calls whom.
        relay: Whether both have TURN beside STUN.
    """

    name: str
    spec: LabSpec
    kinds: tuple[Kind, Kind]
    relay: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a call.

    Attributes:
        connected: How it connected, if it did.
        settled: Its pairs in words, and those that it moved to after them.
        verdict: What was said of it if it did not.
    """

    connected: Connected | None = None
    settled: str = ""
    verdict: str = ""

    @property
    def seconds(self) -> str:
        """The seconds, or that there are none."""
        return f"{self.connected.seconds:.2f}" if self.connected else FAILS

    @property
    def whole(self) -> str:
        """The seconds of the whole call."""
        return f"{self.connected.whole:.2f}" if self.connected else NOT_TOLD

    @property
    def pairs(self) -> str:
        """The pairs of both, or the verdict."""
        return self.settled if self.connected else self.verdict


async def run(case: Case) -> Outcome:
    """Build the network, call, and tear it down."""
    async with Lab(case.spec) as lab, coturn(lab) as turn:
        # Each peer is told the addresses of the family that it has.
        configurations = tuple(
            _configuration(
                [turn.stun(ipv6=not peer.ipv4)] + [turn.turn(ipv6=not peer.ipv4)] * case.relay,
                str(turn.ca),
            )
            for peer in case.spec.peers
        )
        async with calling(
            lab,
            kinds=case.kinds,
            configurations=(configurations[0], configurations[1]),
            connect_timeout=GIVE_UP,
        ) as call:
            try:
                connected = await call.connected(GIVE_UP + 2)
                await asyncio.sleep(SETTLE)
                return Outcome(connected, _moves(connected.pairs, await call.pairs()))
            except NotConnected as failure:
                return Outcome(verdict=_verdict(failure))
            except PeerTrouble:
                return Outcome(verdict=f"nothing within {GIVE_UP:g} s")


def _configuration(servers: list[Message], ca: str) -> Message:
    return {"iceServers": servers, "tlsCa": ca}


def _moves(first: Pairs, settled: Pairs) -> str:
    words = [
        ", ".join(str(pair) if pair else NOT_TOLD for pair in pairs) for pairs in (first, settled)
    ]
    return ", then ".join(dict.fromkeys(words))


def _verdict(failure: NotConnected) -> str:
    verdict = next(iter(failure.verdicts.values()))
    text: str = verdict["text"]
    if not verdict["phase"]:
        return text
    # What the table says itself is left out: who, after how long, how many candidates.
    advice = text.partition(f"{verdict['phase']}. ")[2].partition(" (")[0]
    return "; ".join([f"{verdict['phase']}: {advice}", *verdict["serverErrors"]])


# --- what is run


def places() -> list[tuple[str, LabSpec]]:
    """Return the rows of the table: their names, and their networks."""
    pairs = itertools.combinations_with_replacement(Site, 2)
    rows = [(f"{first} / {second}", apart(first, second)) for first, second in pairs]
    a6, b6 = (Peer(name, ipv4=False, ipv6=Ipv6.WORKING) for name in ("a", "b"))
    return [
        *rows,
        ("in one home", same_lan()),
        ("behind one carrier, hairpinning", same_carrier(hairpin=True)),
        ("behind one carrier, not hairpinning", same_carrier(hairpin=False)),
        ("IPv6 alone / IPv6 alone", LabSpec((a6, b6))),
        ("IPv6 alone / IPv4 alone", LabSpec((a6, Peer("b")))),
        (
            "broken IPv6 / IPv6",
            LabSpec((Peer("a", ipv6=Ipv6.BROKEN), Peer("b", ipv6=Ipv6.WORKING))),
        ),
    ]


CHROMIUM_ROWS = (
    (Site.NONE, Site.NONE),
    (Site.PORT_RESTRICTED, Site.PORT_RESTRICTED),
    (Site.SYMMETRIC, Site.FULL_CONE),
    (Site.SYMMETRIC, Site.SYMMETRIC),
    (Site.CGN, Site.PORT_RESTRICTED),
    (Site.UDP_BLOCKED, Site.PORT_RESTRICTED),
    (Site.UDP_BLOCKED, Site.UDP_BLOCKED),
)


def cases(chosen: Callable[[str], bool], *, chromium: bool) -> list[Case]:
    """Return every call, each once; those that may take long come first."""
    found = [
        Case(name, spec, kinds, relay)
        for relay in (False, True)
        for name, spec in places()
        for kinds in (OURS, THEIRS)
    ]
    if chromium:
        found += [
            Case(f"{first} / {second}", apart(first, second), kinds, True)
            for first, second in CHROMIUM_ROWS
            for kinds in (THERE, HERE)
        ]
    return [case for case in found if chosen(case.name)]


async def run_all(todo: list[Case], jobs: int) -> dict[Case, Outcome]:
    """Run calls, so many at a time."""
    waiting = iter(enumerate(todo, 1))
    outcomes: dict[Case, Outcome] = {}

    async def work() -> None:
        for number, case in waiting:
            outcomes[case] = outcome = await run(case)
            servers = "TURN" if case.relay else "STUN"
            print(  # noqa: T201
                f"{number}/{len(todo)} {'-'.join(case.kinds)}, {servers}, {case.name}: "
                f"{outcome.seconds} {outcome.pairs}",
                flush=True,
            )

    async with asyncio.TaskGroup() as group:
        for _ in range(jobs):
            group.create_task(work())
    return outcomes


# --- what is written


OURS, THEIRS = (Kind.ICEFLOE, Kind.ICEFLOE), (Kind.AIORTC, Kind.AIORTC)
THERE, HERE = (Kind.CHROMIUM, Kind.ICEFLOE), (Kind.ICEFLOE, Kind.CHROMIUM)


_HEADER = (
    "caller / called",
    "icefloe, s",
    "aiortc, s",
    "icefloe, with gathering",
    "aiortc, with gathering",
    "icefloe's pairs, or its verdict",
)


def sections(outcomes: dict[Case, Outcome]) -> list[Section]:
    """Make the tables."""
    by_key = {(c.name, c.kinds, c.relay): outcome for c, outcome in outcomes.items()}
    names = list(dict.fromkeys(case.name for case in outcomes))
    tables = []
    for relay, title in ((True, "With STUN and TURN"), (False, "With STUN alone")):
        rows: list[tuple[str, ...]] = []
        for name in names:
            own, other = by_key.get((name, OURS, relay)), by_key.get((name, THEIRS, relay))
            if own is not None and other is not None:
                times = (own.seconds, other.seconds, own.whole, other.whole)
                rows.append((name, *times, own.pairs))
        tables.append(Section(title, _count(rows), _HEADER, tuple(rows)))
    tables.append(
        Section(
            "Chromium and icefloe",
            "With STUN and TURN.",
            ("caller / called", "Chromium calls, s", "pairs", "icefloe calls, s", "pairs"),
            tuple(
                (name, to.seconds, to.pairs, back.seconds, back.pairs)
                for name in names
                if (to := by_key.get((name, THERE, True)))
                and (back := by_key.get((name, HERE, True)))
            ),
        )
    )
    return [table for table in tables if table.rows]


def _count(rows: list[tuple[str, ...]]) -> str:
    ours, theirs = (sum(row[column] != FAILS for row in rows) for column in (1, 2))
    return f"Of {len(rows)}, icefloe connects {ours}, aiortc {theirs}."


def page(outcomes: dict[Case, Outcome], jobs: int) -> str:
    """Make the page."""
    intro = INTRO.format(
        jobs=jobs,
        give_up=GIVE_UP,
        settle=SETTLE,
        places="\n".join(f"- **{site}**: {meaning}" for site, meaning in MEANING.items()),
        date=datetime.date.today().isoformat(),
        machine=machine(),
    )
    return "\n".join([intro, *(section.markdown() for section in sections(outcomes))])


def main() -> None:
    """Run everything, and write the page unless only a part was run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, choices=range(1, MOST_JOBS + 1))
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    parser.add_argument("--output", type=Path, help="where the page goes")
    given = parser.parse_args()
    if lacking := system.missing("iproute2", "nftables", "coturn", "netns"):
        parser.exit(1, f"needs {', '.join(lacking)}; `make system` installs what Debian has\n")
    netns.isolate()
    todo = cases(lambda name: given.only in name, chromium=not system.missing("chromium"))
    text = page(asyncio.run(run_all(todo, given.jobs)), given.jobs)
    output = given.output or (None if given.only else REPORT)
    if output is not None:
        output.write_text(text)
    print(text)  # noqa: T201


if __name__ == "__main__":
    main()
