"""Tests that need something of the machine that no package brings are left out where it is not."""

import ctypes
import shutil
import subprocess

import pytest

_PR_GET_MDWE = 66


def lacks_docker() -> str:
    """Return why the compose file cannot be started here; empty if it can."""
    if shutil.which("docker") is None:
        return "there is no docker"
    for command, reason in (
        (("docker", "compose", "version"), "docker has no compose"),
        (("docker", "info"), "no docker daemon runs"),
        (("docker", "manifest", "inspect", "redis:7-alpine"), "the images cannot be had"),
    ):
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return reason
    return ""


def lacks_mdwe() -> str:
    """Return why the kernel cannot forbid executable memory; empty if it can."""
    has = ctypes.CDLL(None).prctl(_PR_GET_MDWE, 0, 0, 0, 0) >= 0
    return "" if has else "the kernel is older than 6.3"


LACKS = {"docker": lacks_docker, "mdwe": lacks_mdwe}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    left_out = [
        item
        for item in items
        for marker in item.iter_markers("machine")
        if any(LACKS[name]() for name in marker.args)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
