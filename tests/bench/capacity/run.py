"""Runs of a case: the link, the peers at its ends, and what they report."""

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from tests.bench.capacity.cases import WRTC, Case, Contestant
from tests.bench.capacity.recording import Recording
from tests.bench.network import ADDRESSES, DEVICE, set_up
from tests.bench.stacks import Job, Stack
from tests.bench.transfer import OPEN_SECONDS, REPORT_SECONDS
from tests.natlab.lab_peer import LabPeer, PeerTrouble, program_peer
from tests.natlab.namespace import DEVNULL, PIPE, Namespace, Place, Process, stop

JOB = Job("capacity", ("capacity_page.mjs", "pictures.mjs", "grain.mjs", "coded.mjs"))
_LAST = 1.0
"""Seconds that the last picture is waited for."""
_PORT = 5001
_LONGEST_LINE = 2**28
_TCP = (sys.executable, "-m", "tests.bench.tcp_flow")
_AUDIO = re.compile(r"^m=audio \d+ \S+ ([\d ]+)", re.MULTILINE)


def is_there(stack: str) -> bool:
    """Tell whether this machine has a stack."""
    return find_spec("webrtc") is not None if stack == WRTC else Stack(stack).is_there


def peer(stack: str, place: Place, name: str) -> AbstractAsyncContextManager[LabPeer]:
    """Run a peer of a stack somewhere, until the end of the block."""
    if stack == WRTC:
        command = (sys.executable, "-m", "tests.bench.peers.capacity_wrtc")
        return program_peer(place, name, stack, *command)
    return Stack(stack).peer(place, name, JOB)


@dataclass(frozen=True, slots=True)
class Link:
    """Two hosts and the link between them.

    Attributes:
        hosts: Their namespaces; the first sends through the bottleneck.
        process: The link.
    """

    hosts: tuple[Namespace, Namespace]
    process: Process

    async def begun(self) -> float:
        """Wait for the first RTP packet; return when it came.

        Raises:
            TimeoutError: There was none.
        """
        async with asyncio.timeout(OPEN_SECONDS):
            return float((await self._told())["begun"])

    async def report(self) -> dict[str, Any]:
        """Return the record of all packets."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")
        async with asyncio.timeout(REPORT_SECONDS):
            return await self._told()

    async def _told(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise ConnectionError("the link's process has ended")
        told: dict[str, Any] = json.loads(line)
        return told


@asynccontextmanager
async def linked(case: Case, seed: int) -> AsyncIterator[Link]:
    """Link two hosts as a case says, until the end of the block."""
    async with AsyncExitStack() as stack:
        hosts = Namespace(), Namespace()
        for host in hosts:
            stack.callback(host.close)
        process = await hosts[0].start(
            *(sys.executable, "-m", "tests.bench.capacity.wire"),
            *(hosts[0].path, DEVICE, hosts[1].path, DEVICE),
            stdin=PIPE,
            stdout=PIPE,
            limit=_LONGEST_LINE,
        )
        stack.push_async_callback(stop, process)
        assert process.stdin is not None and process.stdout is not None
        steps = [
            (end, step.capacity) for step, end in zip(case.steps, case.begins[1:], strict=True)
        ]
        given = {"delay": case.delay, "queue": case.queue, "loss": case.loss, "seed": seed}
        process.stdin.write(json.dumps({**given, "steps": steps}).encode() + b"\n")
        if not await process.stdout.readline():
            raise ConnectionError("the link's process has ended")
        for number, host in enumerate(hosts):
            await host.run("sh", "-e", stdin=set_up(number))
        yield Link(hosts, process)


async def connect(sender: LabPeer, receiver: LabPeer, case: Case) -> frozenset[int]:
    """Let two peers connect; return the payload types of sound.

    Raises:
        PeerTrouble: They were not connected in time.
    """
    for end in (sender, receiver):
        await end.send("start", offerer=end is sender, size=case.size, sound=case.sound)
    sdp = ""
    for source, sink in ((sender, receiver), (receiver, sender)):
        description = (await source.until("description", OPEN_SECONDS))["description"]
        await sink.send("description", description=description)
        sdp = description["sdp"]
    for end in (sender, receiver):
        await end.until("open", OPEN_SECONDS)
    found = _AUDIO.search(sdp)
    return frozenset(map(int, found[1].split())) if found else frozenset()


async def run(case: Case, contestant: Contestant, seed: int = 1) -> Recording:
    """Run a case once.

    Args:
        case: The case.
        contestant: Who.
        seed: By which the link loses packets.

    Raises:
        PeerTrouble: A peer did not do as told, or nothing was sent.
    """
    async with linked(case, seed) as link, AsyncExitStack() as stack:
        pairs = [
            (
                await stack.enter_async_context(peer(contestant.sender, link.hosts[0], f"from{n}")),
                await stack.enter_async_context(peer(contestant.receiver, link.hosts[1], f"to{n}")),
            )
            for n in range(len(case.starts))
        ]
        types = [await connect(*pairs[0], case)]
        try:
            begun = await link.begun()
        except TimeoutError:
            raise pairs[0][0].trouble("it sends nothing") from None

        def later(number: int) -> Callable[[], Awaitable[object]]:
            async def begin() -> None:
                types.append(await connect(*pairs[number], case))

            return begin

        agenda = [(at, later(number)) for number, at in enumerate(case.starts) if number]
        if case.tcp:
            agenda.append((case.tcp, lambda: stack.enter_async_context(_tcp_flow(link, case))))
        for at, begin in agenda:
            await _until(begun + at)
            await begin()
        await _until(begun + case.seconds + _LAST)
        calls = [
            {**(await _reported(ends)), "audio_types": audio}
            for ends, audio in zip(pairs, types, strict=True)
        ]
        return Recording.from_json({**await link.report(), "calls": calls}, begun=begun)


async def _until(at: float) -> None:
    await asyncio.sleep(max(0.0, at - time.monotonic()))


async def _reported(ends: tuple[LabPeer, LabPeer]) -> dict[str, Any]:
    told = []
    for end in ends:
        await end.send("report")
        told.append(await end.until("pictures", REPORT_SECONDS))
        if errors := end.told("error"):
            raise PeerTrouble(f"{end.name} ({end.kind}): {errors[0]['text']}")
    sent, came = told
    return {
        "made": sent["pictures"],
        "seen": came["pictures"],
        "gaps": came["gaps"],
        "sizes": came["sizes"],
    }


@asynccontextmanager
async def _tcp_flow(link: Link, case: Case) -> AsyncIterator[None]:
    receiver = await link.hosts[1].start(
        *_TCP, "receive", str(_PORT), stdin=PIPE, stdout=PIPE, limit=2**24
    )
    assert receiver.stdout is not None
    try:
        await receiver.stdout.readline()
        sender = await link.hosts[0].start(
            *(*_TCP, "send", ADDRESSES[1], str(_PORT), "--seconds", str(case.seconds)),
            *("--congestion-control", "cubic"),
            stdout=DEVNULL,
        )
        try:
            yield
        finally:
            await stop(sender)
    finally:
        await stop(receiver)
