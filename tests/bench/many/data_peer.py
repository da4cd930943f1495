"""A program with many data connections: it answers calls, or makes them.

``python -m tests.bench.many.data_peer STACK answer PATH`` listens at a Unix socket for offers, one
a line, and answers them. ``… call PATH`` reads from its standard input how many calls to make,
makes them one after the other, and says how long each took to an open channel.
"""

import argparse
import asyncio
import importlib
import json
import resource
import sys
import time
from abc import ABC, abstractmethod
from typing import Any

from aiortc import RTCBundlePolicy, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

LINE = 2**20
"""Bytes of a description at most."""


class Stack(ABC):
    """A way to make peer connections with one data channel each; it keeps them all."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    @abstractmethod
    async def offer(self) -> tuple[Any, str, asyncio.Event]:
        """Make a connection; return it, its offer, and what is set once its channel is open."""

    @abstractmethod
    async def answer(self, offer: str) -> str:
        """Make a connection for an offer; return the answer."""

    @abstractmethod
    async def accept(self, connection: Any, answer: str) -> None:
        """Give a connection the answer to its offer."""


class Aiortc(Stack):
    """Plain aiortc, and what has its interface."""

    def _make(self) -> RTCPeerConnection:
        configuration = RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
        connection = RTCPeerConnection(configuration)
        self._kept.append(connection)
        return connection

    async def offer(self) -> tuple[Any, str, asyncio.Event]:
        connection, opened = self._make(), asyncio.Event()
        channel = connection.createDataChannel("bench")
        channel.on("open", opened.set)
        self._kept.append(channel)
        await connection.setLocalDescription(await connection.createOffer())
        return connection, connection.localDescription.sdp, opened

    async def answer(self, offer: str) -> str:
        connection = self._make()
        connection.on("datachannel", self._kept.append)
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await connection.setLocalDescription(await connection.createAnswer())
        return connection.localDescription.sdp

    async def accept(self, connection: Any, answer: str) -> None:
        await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))


class Icefloe(Aiortc):
    """icefloe, by the interface that it shares with aiortc."""

    def _make(self) -> RTCPeerConnection:
        from icefloe.peer import PeerConnection

        connection = PeerConnection()
        self._kept.append(connection)
        return connection


class Wrtc(Stack):
    """libwebrtc in Python: what Python finds by the name ``webrtc``."""

    def __init__(self) -> None:
        super().__init__()
        self._webrtc: Any = importlib.import_module("webrtc")

    def _make(self) -> Any:
        connection = self._webrtc.RTCPeerConnection()
        self._kept.append(connection)
        return connection

    async def _gathered(self, connection: Any) -> str:
        gathered = asyncio.Event()

        def look(_: Any = None) -> None:
            if connection.ice_gathering_state == "complete":
                gathered.set()

        connection.on("icegatheringstatechange", look)
        await connection.set_local_description()
        look()
        await gathered.wait()
        return str(connection.local_description.sdp)

    async def offer(self) -> tuple[Any, str, asyncio.Event]:
        connection, opened = self._make(), asyncio.Event()
        channel = connection.create_data_channel("bench")
        channel.on("open", lambda _: opened.set())
        self._kept.append(channel)
        return connection, await self._gathered(connection), opened

    async def answer(self, offer: str) -> str:
        connection = self._make()
        connection.on("datachannel", lambda event: self._kept.append(event.channel))
        await self._take(connection, "offer", offer)
        return await self._gathered(connection)

    async def accept(self, connection: Any, answer: str) -> None:
        await self._take(connection, "answer", answer)

    async def _take(self, connection: Any, kind: str, sdp: str) -> None:
        description = self._webrtc.RTCSessionDescriptionInit(type=kind, sdp=sdp)
        await connection.set_remote_description(description)


STACKS: dict[str, type[Stack]] = {"icefloe": Icefloe, "aiortc": Aiortc, "wrtc": Wrtc}


async def answer(stack: Stack, path: str) -> None:
    """Answer offers until the caller hangs up."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(json.dumps(await stack.answer(json.loads(line))).encode() + b"\n")
        writer.close()
        ended.set()

    async with await asyncio.start_unix_server(serve, path, limit=LINE):
        print(json.dumps({"ready": True}), flush=True)
        await ended.wait()


async def call(stack: Stack, path: str) -> None:
    """Make as many calls as each line says."""
    reader, writer = await asyncio.open_unix_connection(path, limit=LINE)
    print(json.dumps({"ready": True}), flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        taken = []
        for _ in range(int(line)):
            begun = time.monotonic()
            connection, offer, opened = await stack.offer()
            writer.write(json.dumps(offer).encode() + b"\n")
            await stack.accept(connection, json.loads(await reader.readline()))
            async with asyncio.timeout(30):
                await opened.wait()
            taken.append(time.monotonic() - begun)
        print(json.dumps({"seconds": taken}), flush=True)
    writer.close()


def main() -> None:
    """Be one of both ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stack", choices=STACKS)
    parser.add_argument("role", choices=["answer", "call"])
    parser.add_argument("path")
    given = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

    async def run() -> None:
        role = answer if given.role == "answer" else call
        await role(STACKS[given.stack](), given.path)

    asyncio.run(run())


if __name__ == "__main__":
    main()
