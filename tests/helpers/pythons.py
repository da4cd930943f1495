"""Other interpreters of this machine, for the quick tests: ``python -m tests.helpers.pythons 3.13``
prints where one is, or fails.
"""

import shutil
import subprocess
import sys
from pathlib import Path


def find(version: str) -> str | None:
    """Return the path of an interpreter of a version, such as ``3.13``; ``None`` without one.

    It is looked for on PATH and among the versions that pyenv has installed.
    """
    candidates = [shutil.which(f"python{version}")]
    if pyenv := shutil.which("pyenv"):
        prefix = subprocess.run(
            [pyenv, "prefix", version], capture_output=True, text=True, check=False
        )
        if prefix.returncode == 0:
            candidates.append(str(Path(prefix.stdout.strip(), "bin", "python")))
    return next((path for path in candidates if path and _is(path, version)), None)


def _is(path: str, version: str) -> bool:
    """Return whether a program is that interpreter: on PATH there may be a stand-in of pyenv's."""
    told = "import sys; print('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([path, "-c", told], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


if __name__ == "__main__":
    found = find(sys.argv[1])
    if found is None:
        sys.exit(f"There is no Python {sys.argv[1]} here.")
    print(found)  # noqa: T201
