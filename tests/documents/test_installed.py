"""A project of a user's own, in an environment into which icefloe was installed editable."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT, block

pytestmark = pytest.mark.timeout(240)

FAULTY = """
from icefloe.peer import RemotePeer


async def talk(peer: RemotePeer) -> None:
    chat = await peer.open_channel(42)
    await chat.sent("hello")
"""


def run(*arguments: str | Path, cwd: Path, check: bool = True) -> str:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "MYPYPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        [*map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment into which a checkout beside it was installed, as the README says.

    What icefloe depends on is taken from the environment of the tests, so nothing is downloaded.
    """
    place = tmp_path_factory.mktemp("home")
    checkout = place / "icefloe"
    left_out = shutil.ignore_patterns(
        ".git", ".venv", "node_modules", "*.egg-info", "build", ".*_cache", "__pycache__", "tests"
    )
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=left_out)
    run(sys.executable, "-m", "venv", "--without-pip", "venv", cwd=place)
    python = place / "venv" / "bin" / "python"
    [installed] = (place / "venv").glob("lib/python*/site-packages")
    others = place / "others"
    others.mkdir()
    for package in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "icefloe" not in package.name and not package.name.endswith(".pth"):
            (others / package.name).symlink_to(package)
    (installed / "others.pth").write_text(f"{others}\n")
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", *offline, "-e", "./icefloe", cwd=place)
    return python


def test_type_checkers_find_it(python: Path, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(block("README.md/Use it").text, encoding="utf-8")
    (tmp_path / "faulty.py").write_text(FAULTY, encoding="utf-8")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", python)
    run(*mypy, "--cache-dir", tmp_path / "cache", "program.py", cwd=tmp_path)
    told = run(*mypy, "--cache-dir", tmp_path / "cache", "faulty.py", cwd=tmp_path, check=False)
    assert 'incompatible type "int"; expected "str"' in told
    assert '"DataChannel" has no attribute "sent"' in told


def test_the_package_is_whole(python: Path, tmp_path: Path) -> None:
    code = (
        "import icefloe.demos.call, icefloe.media, icefloe.peer, icefloe.signaling.server as s;"
        "from pathlib import Path;"
        "print((Path(s.__file__).parent / 'page' / 'index.html').is_file(), icefloe.__file__)"
    )
    whole, where = run(python, "-c", code, cwd=tmp_path).split()
    assert whole == "True"
    assert Path(where) == python.parents[2] / "icefloe" / "src" / "icefloe" / "__init__.py"
    command = python.parent / "icefloe"
    assert run(command, "--version", cwd=tmp_path).startswith("icefloe ")
