"""Node.js, and what npm installs for tests and benchmarks: other stacks to talk to."""

import json
import os
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[1]
"""The folder that names the versions, and in which npm installs."""

_INSTALL_SECONDS = 300
_COMMAND = ("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")


def lacks(package: str) -> bool:
    """Tell whether Node.js or a package, in the version that is asked for, is missing."""
    if shutil.which("node") is None:
        return True
    asked: dict[str, str] = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    installed = FOLDER / "node_modules" / package / "package.json"
    if not installed.exists():
        return True
    there: str = json.loads(installed.read_text())["version"]
    return there != asked[package]


def install() -> str:
    """Let npm install what is missing, if anything is; return what is in the way.

    The packages bring their programs with them: nothing of theirs is run to install them.
    """
    asked = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    if not any(lacks(package) for package in asked):
        return ""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return "there is no Node.js with npm"
    try:
        done = subprocess.run(
            _COMMAND,
            cwd=FOLDER,
            env={**os.environ, "npm_config_update_notifier": "false"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm install took more than {_INSTALL_SECONDS} s"
    if done.returncode:
        return f"npm install failed: {done.stderr.strip()[-300:]}"
    return ""
