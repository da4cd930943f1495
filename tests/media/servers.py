"""Servers of media on the loopback: HTTP that breaks off at will, RTSP, and a silent one."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

CHUNK = 16 * 1024


class HttpServer:
    """Serves a folder, with ranges.

    Attributes:
        requests: The paths that were asked for, with the first byte wanted.
        break_after: Break off after so many bytes of each of the next answers, in turn.
        silent_after: Go silent after so many bytes of the next answer.
        live: Send ``.ts`` files without a length.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, int]] = []
        self.break_after: list[int] = []
        self.silent_after: int | None = None
        self.live = False
        self.port = 0

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/{name}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        name = head.split()[1].lstrip("/")
        start = 0
        for line in head.splitlines():
            if line.lower().startswith("range: bytes="):
                start = int(line.partition("=")[2].partition("-")[0])
        self.requests.append((name, start))
        path = self.folder / name
        if not path.exists():
            writer.write(
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            await writer.drain()
            return
        content = path.read_bytes()
        lines = ["HTTP/1.1 200 OK", "Connection: close"]
        if not self.live:
            lines[0] = "HTTP/1.1 206 Partial Content"
            lines += [
                f"Content-Length: {len(content) - start}",
                f"Content-Range: bytes {start}-{len(content) - 1}/{len(content)}",
                "Accept-Ranges: bytes",
            ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        body = content[0 if self.live else start :]
        if self.silent_after is not None:
            writer.write(body[: self.silent_after])
            await writer.drain()
            await reader.read()
            return
        if self.break_after:
            body = body[: self.break_after.pop(0)]
        for at in range(0, len(body), CHUNK):
            writer.write(body[at : at + CHUNK])
            await writer.drain()


@asynccontextmanager
async def http(folder: Path) -> AsyncIterator[HttpServer]:
    """Serve a folder over HTTP."""
    served = HttpServer(folder)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(served.answer(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class SilentServer:
    """Takes connections and never says anything.

    Attributes:
        port: Where it listens.
    """

    def __init__(self) -> None:
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def connections(self) -> int:
        """The number of those that have come."""
        return len(self._writers)

    def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def silent() -> AsyncIterator[SilentServer]:
    """Run such a server until the end of the block."""
    made = SilentServer()
    server = await asyncio.start_server(made.take, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        made.close()


PUBLISH = """
import sys, time, av
from fractions import Fraction
source, url = sys.argv[1:]
with av.open(source) as given:
    video = given.streams.video[0]
    start = time.monotonic()
    with av.open(url, "w", format="rtsp", options={"rtsp_transport": "tcp"}) as out:
        copy = out.add_stream_from_template(video, opaque=True)
        for packet in given.demux(video):
            if packet.dts is None:
                continue
            time.sleep(max(0, start + float(packet.dts * packet.time_base) - time.monotonic()))
            packet.stream = copy
            out.mux(packet)
"""


async def publish_rtsp(source: Path, url: str) -> asyncio.subprocess.Process:
    """Send a file to an RTSP reader that listens at a URL, at its own pace."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PUBLISH,
        os.fspath(source),
        url,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
