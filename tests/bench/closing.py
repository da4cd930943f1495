"""The time of closing until everything is given back, also while the network hangs.

A program of its own opens things one after the other, closes each, and looks how long it takes
until its threads, child processes, files, sockets and tasks are those of before. Then it has all of
them open at once, and ends in one way or another. Around it are a signaling server with two
participants, an X server, and servers that hang: HTTP that goes silent in the middle, one that
takes connections and never answers, an address to which no packet comes, and a name server that is
silent.

What cannot be ended is not counted: the thread in which the system looks up a name, and its socket.
It is a daemon, for which nothing waits, and the system gives up by itself::

    python -m tests.bench.closing
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from tests.bench.peers.closer import ENDS, NOWHERE, PATIENCE, Around, Freed
from tests.bench.report import Section, seconds
from tests.helpers import netns, signals
from tests.helpers.xserver import x_server
from tests.media.files import make
from tests.media.servers import http, silent
from tests.natlab.namespace import PIPE, Process, stop


@asynccontextmanager
async def surroundings(folder: Path) -> AsyncIterator[tuple[Around, Process]]:
    """Have all that the program finds around it; give the process of the company too."""
    make(folder / "film.webm", frames=300, audio=Fraction(10))
    (folder / "resolv.conf").write_text("nameserver 203.0.113.53\n")
    (folder / "alsa.conf").write_text("pcm.null { type null }\n")
    # Otherwise the kernel asks who has the address, and gives up after 3 s.
    neighbour = f"neigh replace {NOWHERE} lladdr 02:00:00:00:00:07 dev lan0".split()
    subprocess.run(["ip", *neighbour], check=True)
    async with http(folder) as server, silent() as mute, x_server("-wr") as display:
        server.silent_after = 60_000
        company = await start("company", "", None)
        try:
            assert company.stdout is not None
            url = json.loads(await company.stdout.readline())["url"]
            yield (
                Around(
                    url,
                    server.url("film.webm"),
                    f"http://127.0.0.1:{mute.port}/film.mp4",
                    display,
                    str(folder),
                ),
                company,
            )
        finally:
            company.send_signal(signal.SIGCONT)
            await stop(company)


async def start(role: str, how: str, around: Around | None) -> Process:
    """Start one of the programs."""
    command = [sys.executable, "-m", "tests.bench.peers.closer", role, "--how", how]
    environment = dict(os.environ)
    if around is not None:
        command += ["--around", json.dumps(asdict(around))]
        environment["ALSA_CONFIG_PATH"] = str(Path(around.folder) / "alsa.conf")
        # In a view of its own of the files, whose name server is one that never answers.
        mount = f"mount --bind {around.folder}/resolv.conf /etc/resolv.conf && exec "
        command = ["unshare", "--mount", "sh", "-c", mount + '"$@"', "sh", *command]
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, env=environment, limit=2**20
    )


async def measure_parts(around: Around, company: Process) -> list[Freed]:
    """Have the program close one thing after the other."""
    program = await start("parts", "", around)
    assert program.stdout is not None and company.stdin is not None
    freed = []
    try:
        while line := await program.stdout.readline():
            told = json.loads(line)
            if "want" in told:
                company.stdin.write(told["want"].encode() + b"\n")
            else:
                freed.append(Freed(**{**told, "left": tuple(told["left"])}))
        await program.wait()
    finally:
        await stop(program)
    return freed


async def measure_end(around: Around, company: Process, what: str) -> Freed:
    """Have the program open everything, and end."""
    how = ENDS[what]
    program = await start("end", how, around)
    assert program.stdout is not None and program.stdin is not None
    try:
        line = await program.stdout.readline()
        if not line:
            raise RuntimeError("the program has ended before it was to")
        started: list[int] = json.loads(line)["children"]
        if how == "close-frozen":
            company.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        match how:
            case "sigint" | "sigterm":
                program.send_signal(signal.SIGINT if how == "sigint" else signal.SIGTERM)
            case _:
                program.stdin.write(b"\n")
        try:
            async with asyncio.timeout(PATIENCE):
                await program.wait()
        except TimeoutError:
            return Freed(what, PATIENCE, PATIENCE, ("the program",))
        returned = time.monotonic() - begin
        while (left := _alive(started)) and time.monotonic() - begin < PATIENCE:
            await asyncio.sleep(0.005)
        freed = time.monotonic() - begin
        return Freed(what, returned, freed, tuple(f"child {pid}" for pid in left))
    finally:
        company.send_signal(signal.SIGCONT)
        await stop(program)


def _alive(pids: list[int]) -> list[int]:
    alive = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                alive.append(pid)
    return alive


async def measure() -> list[Section]:
    """Close everything, in every way."""
    with tempfile.TemporaryDirectory() as folder:
        async with surroundings(Path(folder)) as (around, company):
            parts = await measure_parts(around, company)
            ends = [await measure_end(around, company, what) for what in ENDS]
    return [
        Section(
            "Closing",
            "Until closing has returned, and until threads, child processes, files, sockets and "
            "tasks are those of before. `python -m tests.bench.closing`",
            ("closed", "returned", "freed", "left"),
            tuple(_row(freed) for freed in parts),
        ),
        Section(
            "Ending",
            "Until a program that has all of these open has ended, and until its child processes "
            "have. `python -m tests.bench.closing`",
            ("ended", "returned", "freed", "left"),
            tuple(_row(freed) for freed in ends),
        ),
    ]


def _row(freed: Freed) -> tuple[str, ...]:
    left = ", ".join(freed.left) or "nothing"
    return freed.what, seconds(freed.returned), seconds(freed.freed), left


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    signals.usual()
    netns.isolate()
    for section in asyncio.run(measure()):
        print(section.markdown())


if __name__ == "__main__":
    main()
