"""A call of five of whom one is hostile: what the other four, and the process attacked, notice.

The victim has a connection to each of four well-behaved peers, with pictures, sound and data in
both directions, and to a hostile one that is another one for each attack; three processes::

    python -m tests.bench.hostile                       # everything
    python -m tests.bench.hostile --seconds 10 "sections without end"

The columns: how long the victim's loop stood still at most, by the time of the processor that its
thread took, and by the clock, in which what else the machine does is as well; how much of it one
run of the garbage collector took, which goes through all objects of the process; the memory at most
beyond that before the first attack; pictures, frames of sound and messages of the one of the four
of whom least arrived, a second; their longest wait for an answer; and what the victim counted of
the hostile one.
"""

import argparse
import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.hostility import data, media, paths
from tests.bench.hostility.friends import FRIENDS
from tests.bench.hostility.hostile_peer import NAME
from tests.bench.hostility.means import ATTACKS
from tests.helpers import forked

ROOT = Path(__file__).parent.parent.parent
MODULES = (data, media, paths)
"""They fill the table of attacks."""

KINDS = ("video", "audio", "data")
SETTLE = 1.0
"""Seconds of the call before it is measured, and after a hostile peer has gone."""

_LINE = 2**24
_END_SECONDS = 20.0


class Role:
    """One of the three processes.

    Args:
        process: The process; what it says is lines of JSON.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def say(self, do: str, **details: Any) -> None:
        """Tell it to do something."""
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps({"do": do, **details}).encode() + b"\n")
        await stdin.drain()

    async def until(self, event: str) -> dict[str, Any]:
        """Return the next report of an event.

        Raises:
            RuntimeError: The process ended before.
        """
        stdout = self._process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            message: dict[str, Any] = json.loads(line)
            if message["event"] == event:
                return message
        raise RuntimeError(f"a process ended before it was {event!r}")

    async def ask(self, do: str, event: str) -> dict[str, Any]:
        """Tell it to do something, and return its report."""
        await self.say(do)
        return await self.until(event)


@asynccontextmanager
async def running(program: str, *arguments: str, anew: bool = False) -> AsyncIterator[Role]:
    """Run one of the processes until the end of the block.

    Args:
        program: Which.
        arguments: Its own.
        anew: Whether it is an interpreter of its own and no fork, for its memory to be measured.
    """
    command = ("-m", f"tests.bench.hostility.{program}", *arguments)
    environment = {"ICEFLOE_LAB_LOG": "ERROR", **os.environ}
    if anew:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            stdin=PIPE,
            stdout=PIPE,
            cwd=ROOT,
            env=environment,
            limit=_LINE,
        )
    else:
        process = await forked.start(
            *command, stderr=None, cwd=ROOT, environment=environment, limit=_LINE
        )
    assert process.stdin is not None
    try:
        yield Role(process)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of an attack.

    Attributes:
        name: Which.
        sent: Packets or messages that it sent.
        cpu: Seconds of the processor that the victim's loop was held up at most.
        wall: Seconds by the clock.
        collecting: Seconds of the processor that the garbage collector took at once.
        grown: Megabytes of the victim beyond those before the first attack, at most.
        rates: Pictures, frames of sound and messages a second of the friend with the least.
        wait: Seconds that a friend waited for an answer at most.
        hostile: What the victim says of the hostile peer; empty if there is none.
    """

    name: str
    sent: int
    cpu: float
    wall: float
    collecting: float
    grown: float
    rates: tuple[float, float, float]
    wait: float
    hostile: dict[str, Any]

    def row(self) -> str:
        """Return a line of the table."""
        told = ", ".join(f"{k} {n}" for k, n in self.hostile.get("discarded", {}).items())
        states = f"{self.hostile.get('state', '')}/{self.hostile.get('data_state', '')}"
        rates = " ".join(f"{rate:5.1f}" for rate in self.rates)
        return (
            f"{self.name:34} {self.sent:8} {self.cpu * 1e3:6.0f} {self.wall * 1e3:6.0f} "
            f"{self.collecting * 1e3:6.0f} {self.grown:6.0f}  {rates} "
            f"{self.wait * 1e3:6.0f}  {states} {told}"
        )


HEAD = (
    f"{'attack':34} {'sent':>8} {'cpu ms':>6} {'ms':>6} {'gc ms':>6} {'+ MB':>6}  {'video':>5} "
    f"{'audio':>5} {'data':>5} {'wait':>6}  hostile connection, and what was counted of it"
)


class Stage:
    """The victim and its four friends, in a call that stands.

    Args:
        victim: Whom it is about.
        friends: The others.
        port: Where the victim takes peers.
        usual: Megabytes of the victim while nobody attacks.
    """

    def __init__(self, victim: Role, friends: Role, port: int, usual: float) -> None:
        self._victim, self._friends = victim, friends
        self._port, self._usual = port, usual

    async def look(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the victim and the friends see."""
        return await self._victim.ask("look", "seen"), await self._friends.ask("look", "seen")

    async def quiet(self, seconds: float) -> Result:
        """Measure the call without an attack."""
        before = await self._begin()
        await asyncio.sleep(seconds)
        return await self._result("none", 0, before)

    async def under(self, name: str, seconds: float) -> Result:
        """Measure the call under an attack; the hostile peer is gone afterwards.

        Args:
            name: Of :data:`ATTACKS`.
            seconds: How long it attacks.
        """
        async with running("hostile_peer", str(self._port), name) as hostile:
            await hostile.until("ready")
            before = await self._begin()
            await hostile.say("attack", seconds=seconds)
            done = await hostile.until("done")
            result = await self._result(name, done["sent"], before)
        await self.gone()
        return result

    async def go_on(self, messages: int = 10) -> None:
        """Wait until each friend has as many more messages, pictures and frames of sound."""
        before = (await self.look())[1]["peers"]
        while True:
            now = (await self.look())[1]["peers"]
            if all(
                now[friend][kind] >= before[friend][kind] + messages
                for friend in FRIENDS
                for kind in KINDS
            ):
                return
            await asyncio.sleep(0.1)

    async def gone(self) -> None:
        """Wait until the hostile peer is let go of."""
        while NAME in (await self.look())[0]["peers"]:
            await asyncio.sleep(0.1)

    async def _begin(self) -> tuple[dict[str, Any], dict[str, Any]]:
        before = await self.look()
        await self._victim.ask("begin", "begun")
        await self._friends.say("begin")
        return before

    async def _result(
        self, name: str, sent: int, before: tuple[dict[str, Any], dict[str, Any]]
    ) -> Result:
        victim, friends = await self.look()
        passed = friends["at"] - before[1]["at"]
        of_each = [
            [
                friends["peers"][friend][kind] - before[1]["peers"][friend][kind]
                for friend in FRIENDS
            ]
            for kind in KINDS
        ]
        video, audio, messages = (min(counts) / passed for counts in of_each)
        return Result(
            name,
            sent,
            victim["cpu"],
            victim["wall"],
            victim["collecting"],
            victim["peak"] - self._usual,
            (video, audio, messages),
            max(friend["wait"] for friend in friends["peers"].values()),
            victim["peers"].get(NAME, {}),
        )


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """Have the call stand, with a fifth peer that has come and gone, until the end of the block."""
    async with running("victim", anew=True) as victim:
        port = (await victim.until("ready"))["port"]
        async with running("friends", str(port)) as friends:
            await friends.until("ready")
            stage = Stage(victim, friends, port, 0.0)
            await stage.go_on()
            async with running("hostile_peer", str(port), "nothing") as fifth:
                await fifth.until("ready")
                await asyncio.sleep(SETTLE)
                usual = (await stage.look())[0]["rss"]
            await stage.gone()
            yield Stage(victim, friends, port, usual)


async def measure(names: Iterable[str], seconds: float) -> list[Result]:
    """Run attacks, one after the other, and print what each did."""
    results = []
    async with staged() as stage:
        print(HEAD, flush=True)
        results.append(await stage.quiet(seconds))
        print(results[-1].row(), flush=True)
        for name in names:
            results.append(await stage.under(name, seconds))
            print(results[-1].row(), flush=True)
            await asyncio.sleep(SETTLE)
    return results


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--seconds", type=float, default=5.0, help="of each attack")
    given = parser.parse_args()
    if unknown := set(given.attacks) - set(ATTACKS):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    asyncio.run(measure(given.attacks or ATTACKS, given.seconds))


if __name__ == "__main__":
    main()
