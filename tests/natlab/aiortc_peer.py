"""A lab peer that is plain aiortc; see :mod:`tests.natlab.program`.

It gathers before it answers, as aiortc does, and sends its candidates in its descriptions; of
servers it uses the first of each kind. It cannot tell its selected pair, nor restart ICE.
"""

import asyncio
import os
from typing import Any

from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.sdp import candidate_from_sdp

from icefloe.peer import DataChannel
from tests.natlab.program import (
    Jobs,
    Message,
    drive,
    emit,
    ice_servers,
    ice_transport_policy,
    log_to_stderr,
)
from tests.natlab.traffic import BULK, PULSE, Traffic


class AiortcPeer:
    """An ``RTCPeerConnection`` that does what lines say.

    Args:
        traffic: What runs over its channels.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._jobs = Jobs()
        self._connection: RTCPeerConnection | None = None

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        if message["do"] == "start":
            await self._start(message)
            return
        connection = self._connection
        if connection is None:
            raise ValueError("start comes first")
        match message["do"]:
            case "description":
                await self._describe(connection, message["description"])
            case "candidate":
                await self._add_candidate(connection, message["candidate"])
            case "pair":
                emit("pair", pair=None)
            case "transfer":
                channel = DataChannel(connection.createDataChannel(BULK))
                self._jobs.start(self._traffic.send_bulk(channel, message["bytes"]))
            case unknown:
                raise ValueError(f"cannot {unknown}")

    async def _start(self, message: Message) -> None:
        given = message["configuration"]
        if ca := given.get("tlsCa"):
            os.environ["SSL_CERT_FILE"] = ca  # aiortc verifies with the default context
        connection = self._connection = RTCPeerConnection(
            RTCConfiguration(
                iceServers=ice_servers(given),
                iceTransportPolicy=ice_transport_policy(given),
                bundlePolicy=RTCBundlePolicy.MAX_BUNDLE,
            )
        )
        connection.on("datachannel", self._serve)
        connection.on("connectionstatechange", lambda: self._on_state(connection))
        connection.on(
            "iceconnectionstatechange",
            lambda: emit("iceConnectionState", state=connection.iceConnectionState),
        )
        if message["offerer"]:
            self._serve(connection.createDataChannel(PULSE, ordered=False, maxRetransmits=0))
            await connection.setLocalDescription(await connection.createOffer())
            _send(connection)

    def _serve(self, channel: RTCDataChannel) -> None:
        self._jobs.start(self._traffic.serve(DataChannel(channel)))

    def _on_state(self, connection: RTCPeerConnection) -> None:
        state = connection.connectionState
        emit("connectionState", state=state)
        if state == "failed":
            emit("failed", phase=None, text="iceConnectionState is failed", serverErrors=[])

    async def _describe(self, connection: RTCPeerConnection, given: Message) -> None:
        await connection.setRemoteDescription(RTCSessionDescription(**given))
        if given["type"] == "offer":
            await connection.setLocalDescription(await connection.createAnswer())
            _send(connection)

    async def _add_candidate(self, connection: RTCPeerConnection, given: Any) -> None:
        if given is None or not given["candidate"]:
            await connection.addIceCandidate(None)
            return
        candidate = candidate_from_sdp(given["candidate"].removeprefix("candidate:"))
        candidate.sdpMid = given.get("sdpMid")
        candidate.sdpMLineIndex = given.get("sdpMLineIndex")
        await connection.addIceCandidate(candidate)

    async def close(self) -> None:
        """Close the connection; with a TURN server that is gone it takes long, so it is bounded."""
        await self._jobs.end()
        if self._connection is not None:
            await asyncio.wait([asyncio.ensure_future(self._connection.close())], timeout=1)


def _send(connection: RTCPeerConnection) -> None:
    description = connection.localDescription
    emit("description", description={"type": description.type, "sdp": description.sdp})


async def main() -> None:
    """Run the peer."""
    traffic = Traffic(emit)
    await drive(AiortcPeer(traffic), traffic)


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(main())
