"""Runs a program of this folder in a process of its own."""

import asyncio
import json
import sys
from typing import Any

PATIENCE = 90.0
"""Seconds after which a program is ended."""


async def results_of(name: str) -> dict[str, Any]:
    """Run a program to its end, and return what it reported.

    Raises:
        AssertionError: It failed, or left an exception that nobody read.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.drop_in.{name}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            told, complaints = await process.communicate()
    except TimeoutError:
        process.kill()
        _, complaints = await process.communicate()
        raise AssertionError(f"{name} did not end:\n{complaints.decode()[-4000:]}") from None
    text = complaints.decode()
    assert process.returncode == 0, text[-4000:]
    assert "never retrieved" not in text and "Traceback" not in text, text[-4000:]
    results: dict[str, Any] = json.loads(told.decode().splitlines()[-1])
    return results
