"""The time that `from icefloe.peer import PeerConnection` takes, beside `import aiortc`.

Each import is in a process of its own, the two in turn, so that what else the machine does is the
same for both. The figure is the processor time in user mode of the import alone::

    python -m tests.bench.imports --rounds 15

Python compiles what has changed at the first import, and that is not what a program waits for day
by day: the bytecode goes into a folder of its own, and a first round is left out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

PLAIN = "import aiortc"
OURS = "from icefloe.peer import PeerConnection"

MEASURE = """
import resource
before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
{statement}
print(resource.getrusage(resource.RUSAGE_SELF).ru_utime - before)
"""


def seconds(statement: str, bytecode: Path) -> float:
    """Return the processor time of an import in a process of its own, in seconds."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE.format(statement=statement)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return float(done.stdout)


def measure(rounds: int) -> list[tuple[float, float]]:
    """Import aiortc and icefloe in turn.

    Returns:
        The seconds of both for each round.
    """
    with tempfile.TemporaryDirectory() as folder:
        bytecode = Path(folder)
        pairs = [(seconds(PLAIN, bytecode), seconds(OURS, bytecode)) for _ in range(rounds + 1)]
    return pairs[1:]


def describe(pairs: list[tuple[float, float]]) -> str:
    """Return a line with the medians and their ratio."""
    plain, ours = (median(times) for times in zip(*pairs, strict=True))
    ratio = median(ours / plain for plain, ours in pairs)
    return (
        f"aiortc {plain * 1000:.0f} ms, icefloe {ours * 1000:.0f} ms of processor time, "
        f"{ratio:.2f} times as much: medians of {len(pairs)} rounds"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    print(describe(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
