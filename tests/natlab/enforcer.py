"""Ends the allocations of a coturn whose user names have expired; runs beside it.

coturn 4.6.1 looks at the time in a user name when an allocation is made and, since it keeps the
key, never again. Other servers end an allocation then. This program makes coturn one of them, over
its command line: it looks a few times a second, and writes a line for each allocation that it ends.
"""

import asyncio
import json
import re
import sys
import time
from typing import Any

PORT, PASSWORD = 5766, "lab"

_PERIOD = 0.2
"""Seconds between two looks."""

_SESSION = re.compile(rb"id=(\d+), user <(\d+):")
_END = re.compile(rb"Total sessions: \d+")
_LONGEST_ANSWER = 1_000_000


def _emit(message: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(message)}\n")
    sys.stdout.flush()


async def enforce() -> None:
    """End expired allocations until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT, limit=_LONGEST_ANSWER)
    await reader.readuntil(b"password:")
    writer.write(PASSWORD.encode() + b"\r\n")
    await reader.readuntil(b"> ")  # what comes together with the password counts as part of it
    _emit({"event": "ready"})
    while True:
        writer.write(b"ps\r\n")
        answer = b""
        while not _END.search(answer):
            part = await reader.read(65536)
            if not part:
                return
            answer += part
        for identifier, expires in dict(_SESSION.findall(answer)).items():
            if int(expires) <= time.time():
                writer.write(b"cs " + identifier + b"\r\n")
                _emit({"event": "ended", "expired": int(expires)})
        await asyncio.sleep(_PERIOD)


if __name__ == "__main__":
    try:
        asyncio.run(enforce())
    except (KeyboardInterrupt, ConnectionError):
        sys.exit(0)
