"""Checks a built release: ``python -m tests.helpers.release dist``.

The wheel is installed into an environment of its own, where two peers talk, the command answers,
and pyright finds the type of every public name.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PROGRAM = """
import asyncio
from icefloe.peer import join
from icefloe.signaling import serve


async def main() -> None:
    async with serve(port=0) as server:
        async with (
            join(server.url, room="release", name="one") as one,
            join(server.url, room="release", name="other") as other,
        ):
            there, here = await asyncio.gather(one.peer("other"), other.peer("one"))
            sending, reading = await asyncio.gather(
                there.open_channel("chat"), here.open_channel("chat")
            )
            await sending.send("installed")
            assert await reading.receive() == "installed"


asyncio.run(asyncio.wait_for(main(), 60))
"""

NEEDED = (
    "icefloe/py.typed",
    "icefloe/signaling/javascript/icefloe.js",
    "icefloe/signaling/page/index.html",
    "icefloe/peer/connection/connection.py",
)


def run(*command: str | Path) -> None:
    """Run a command; its failure ends this program."""
    subprocess.run([str(part) for part in command], check=True)


def check_types(environment: Path, place: Path) -> None:
    """Check that every public name of an installed icefloe has a type, and none of them unknown.

    Args:
        environment: The virtual environment in which icefloe is installed, with its extras.
        place: A folder that is no checkout, so that pyright finds what is installed.
    """
    first = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
    pyright = Path(sys.executable).with_name("pyright")
    # aiortc's own gaps are not icefloe's to fill.
    verify = ("--verifytypes", "icefloe", "--ignoreexternal")
    done = subprocess.run(
        [str(pyright), *verify],
        cwd=place,
        env={**os.environ, "PATH": first},
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stdout)


def check_contents(wheel: Path) -> None:
    """Check that a wheel has what is needed at run time, and no tests."""
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [name for name in NEEDED if name not in names]
    tests = [name for name in names if name.startswith("tests/")]
    if missing or tests:
        sys.exit(f"{wheel.name}: missing {missing}, not to be there {tests}")


def main() -> None:
    """Check the only wheel and the only sdist of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder.resolve()
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    check_contents(wheel)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        run(sys.executable, "-m", "venv", place / "venv")
        python = place / "venv" / "bin" / "python"
        pip = (python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet")
        run(*pip, wheel)
        run(place / "venv" / "bin" / "icefloe", "--version")
        run(python, "-I", "-c", PROGRAM)
        run(*pip, f"{wheel}[desktop]")
        check_types(place / "venv", place)
    print(f"{wheel.name} and {sdist.name} are fit to be published")  # noqa: T201


if __name__ == "__main__":
    main()
