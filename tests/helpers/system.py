"""The parts of the system that some tests need, and how they come onto the machine.

``python -m tests.helpers.system`` installs what is missing when it runs as root on Debian or
Ubuntu (a container, CI). Anywhere else it changes nothing unless told to with ``--install``.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.helpers import netns, node

PACKAGES = {
    "chromium": ("chromium", "chromium"),
    "coturn": ("turnserver", "coturn"),
    "espeak-ng": ("espeak-ng", "espeak-ng"),
    "firefox": ("firefox-esr", "firefox-esr"),
    "iproute2": ("ip", "iproute2"),
    "nftables": ("nft", "nftables"),
    "nodejs": ("node", "nodejs"),
    "npm": ("npm", "npm"),
    "haproxy": ("haproxy", "haproxy"),
    "redis": ("redis-server", "redis-server"),
    "strace": ("strace", "strace"),
    "systemd": ("systemd-analyze", "systemd"),
    "x11-utils": ("xev", "x11-utils"),
    "xvfb": ("Xvfb", "xvfb"),
}
"""Part: the program looked for, and the Debian package that brings it."""

NODE_PACKAGES = ("node-datachannel", "peer", "terser", "typescript", "werift")
"""Parts that npm brings, into ``tests/node_modules``."""

REQUIRED = os.environ.get("ICEFLOE_REQUIRE_SYSTEM") == "1"
"""True if a test that lacks a part fails instead of being skipped."""


def find(program: str) -> str | None:
    """Return the path of a program; system administration folders count."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    return shutil.which(program, path=path)


def missing(*parts: str) -> list[str]:
    """Return which of these parts this machine lacks; ``netns`` is the right to make namespaces."""
    return [part for part in parts if _is_missing(part)]


def _is_missing(part: str) -> bool:
    if part == "netns":
        return not netns.can_isolate()
    if part in NODE_PACKAGES:
        return node.lacks(part)
    return find(PACKAGES[part][0]) is None


def install(parts: list[str]) -> int:
    """Install Debian packages for these parts; return the exit code of apt-get."""
    packages = [PACKAGES[part][1] for part in parts]
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    print(f"Installing with apt-get, for the tests: {' '.join(packages)}", flush=True)  # noqa: T201
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages],
    ):
        done = subprocess.run(
            [*sudo, *command], env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            print(done.stdout, done.stderr, file=sys.stderr)  # noqa: T201
            return done.returncode
    return 0


def main() -> int:
    """Install what is missing, if this machine is one on which that is expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--install", action="store_true", help="also on a machine in daily use")
    forced = parser.parse_args().install
    debian = Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None
    code = 0
    if lacking := missing(*PACKAGES):
        if debian and (os.geteuid() == 0 or forced):
            code = install(lacking)
        elif forced:
            print("Please install by hand:", ", ".join(lacking))  # noqa: T201
            code = 1
    # Like the virtual environment this is a folder of the project's own, so it may always be.
    if trouble := node.install():
        print(f"Without libdatachannel and werift: {trouble}", file=sys.stderr)  # noqa: T201
    return code


if __name__ == "__main__":
    sys.exit(main())
