"""The exploring of a target by atheris: inputs that reach lines and branches that no seed does.

atheris instruments code as it is imported, and libFuzzer ends the process; so this is a program of
its own, ``python -m tests.fuzz.guided TARGET INPUTS SEED FOLDER``, and :func:`explore` runs it.
"""

import importlib
import importlib.util
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from .mutator import dictionary
from .target import Target, load

LARGEST = 16384
"""Bytes of an input at most."""

HANGS = 60
"""Seconds after which an input is one that hangs."""

_PARTS = ("seeds", "found", "harm")


def has_atheris() -> bool:
    """Tell whether atheris is installed."""
    return importlib.util.find_spec("atheris") is not None


def explore(target: Target, inputs: int, seed: int) -> tuple[list[bytes], list[bytes]]:
    """Run so many inputs.

    Returns:
        The inputs that reached something new, and those that ended the process or hung.

    Raises:
        RuntimeError: It did not run to its end, and no input is to blame.
    """
    with tempfile.TemporaryDirectory(prefix="icefloe-fuzz-") as name:
        folder = Path(name)
        for part in _PARTS:
            (folder / part).mkdir()
        (folder / "words").write_bytes(dictionary(target))
        for number, data in enumerate(target.seeds()):
            (folder / "seeds" / str(number)).write_bytes(data)
        program = [sys.executable, "-m", "tests.fuzz.guided"]
        arguments = [target.name, str(inputs), str(seed), name]
        done = subprocess.run([*program, *arguments], capture_output=True, text=True, check=False)
        found, harm = (
            [path.read_bytes() for path in sorted((folder / part).iterdir())]
            for part in ("found", "harm")
        )
    if done.returncode and not harm:
        raise RuntimeError(f"atheris ended with {done.returncode}: {done.stderr[-2000:]}")
    return found, harm


def main(name: str, inputs: str, seed: str, folder: str) -> None:
    """Have libFuzzer run the target; it ends the process."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["icefloe", "aioice", "aiortc"]):
        target = load(name)
    options = [
        f"-runs={inputs}",
        f"-seed={int(seed) % 2**31 or 1}",
        f"-max_len={LARGEST}",
        f"-timeout={HANGS}",
        f"-dict={folder}/words",
        f"-artifact_prefix={folder}/harm/",
        "-verbosity=0",
    ]
    with target.start() as run:

        def one(data: bytes) -> None:
            # The oracle looks at it afterwards, where nothing is instrumented.
            with suppress(Exception):
                run(data)

        atheris.Setup([sys.argv[0], *options, f"{folder}/found", f"{folder}/seeds"], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
