"""A lab peer that is icefloe's ``RemotePeer``; see :mod:`tests.natlab.program`."""

import asyncio
import ssl
from typing import Any

from aiortc import RTCSessionDescription

from icefloe.peer import (
    ConnectFailed,
    PeerConfiguration,
    PeerLeft,
    RemotePeer,
    RTCIceCandidate,
    RTCIceCandidatePair,
    RTCPeerConnectionIceErrorEvent,
    TcpMux,
    UdpMux,
)
from icefloe.peer.connection.candidates import RTCIceCandidateInit
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


async def configuration_from(given: Message) -> PeerConfiguration:
    """Make a configuration of JSON.

    ``tlsCa`` is the path of a certification authority; with ``udpPort`` the connection uses a
    ``UdpMux`` of this port, and with ``tcpPort`` a ``TcpMux``.
    """
    known = dict(given)
    if (port := known.pop("udpPort", None)) is not None:
        known["udp_mux"] = await UdpMux.open(port)
    if (port := known.pop("tcpPort", None)) is not None:
        known["tcp_mux"] = await TcpMux.open(port)
    servers, policy = ice_servers(known), ice_transport_policy(known)
    known.pop("iceServers", None)
    known.pop("iceTransportPolicy", None)
    ca = known.pop("tlsCa", None)
    context = ssl.create_default_context(cafile=ca) if ca else None
    return PeerConfiguration(
        iceServers=servers, iceTransportPolicy=policy, tls_context=context, **known
    )


def candidate_json(candidate: RTCIceCandidate) -> dict[str, Any]:
    """Describe one end of a pair."""
    return {
        "type": candidate.type,
        "protocol": candidate.protocol,
        "address": candidate.ip,
        "port": candidate.port,
        "relayProtocol": getattr(candidate, "relayProtocol", None),
    }


def pair_json(pair: RTCIceCandidatePair | None) -> dict[str, Any] | None:
    """Describe a pair."""
    if pair is None:
        return None
    return {"local": candidate_json(pair.local), "remote": candidate_json(pair.remote)}


class IcefloePeer:
    """A ``RemotePeer`` whose signaling is the program's input and output.

    Args:
        traffic: What runs over its channels.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._jobs = Jobs()
        self._peer: RemotePeer | None = None
        self._warnings: list[str] = []
        self._muxes: list[UdpMux | TcpMux] = []

    # --- signaling, as RemotePeer asks for it

    async def description(self, description: RTCSessionDescription) -> None:
        """Send a description."""
        emit("description", description={"type": description.type, "sdp": description.sdp})

    async def candidate(self, candidate: RTCIceCandidateInit | None) -> None:
        """Send a candidate."""
        emit("candidate", candidate=candidate)

    # --- what lines ask for

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        if message["do"] == "start":
            self._start(message, await configuration_from(message["configuration"]))
            return
        peer = self._peer
        if peer is None:
            raise ValueError("start comes first")
        match message["do"]:
            case "description":
                await peer.negotiator.receive_description(
                    RTCSessionDescription(**message["description"])
                )
            case "candidate":
                await peer.negotiator.receive_candidate(message["candidate"])
            case "restart":
                peer.connection.restartIce()
            case "pair":
                emit("pair", pair=pair_json(peer.connection.selected_candidate_pair))
            case "transfer":
                self._jobs.start(self._transfer(peer, message["bytes"]))
            case unknown:
                raise ValueError(f"cannot {unknown}")

    def _start(self, message: Message, configuration: PeerConfiguration) -> None:
        offerer = message["offerer"]
        muxes = configuration.udp_mux, configuration.tcp_mux
        self._muxes = [mux for mux in muxes if mux is not None]
        peer = self._peer = RemotePeer(
            id="other",
            name="other",
            polite=not offerer,
            signaler=self,
            configuration=configuration,
            connect_timeout=message["connectTimeout"],
        )
        self._listen(peer)
        self._jobs.start(self._run(peer))
        self._jobs.start(self._verdict(peer))
        self._jobs.start(self._serve_channels(peer))
        if offerer:
            self._jobs.start(self._pulse(peer))
            peer.start()

    def _listen(self, peer: RemotePeer) -> None:
        connection = peer.connection
        connection.on(
            "connectionstatechange",
            lambda: emit("connectionState", state=connection.connectionState),
        )
        connection.on(
            "iceconnectionstatechange",
            lambda: emit("iceConnectionState", state=connection.iceConnectionState),
        )
        connection.on("icecandidateerror", _on_server_error)
        connection.on("warning", lambda verdict: self._warnings.append(verdict.cause))

    async def _run(self, peer: RemotePeer) -> None:
        await peer.run()
        emit("ended", reason=await peer.ended())

    async def _verdict(self, peer: RemotePeer) -> None:
        try:
            await peer.connected()
        except ConnectFailed as failure:
            emit(
                "failed",
                phase=failure.phase,
                text=str(failure),
                seconds=failure.evidence.seconds,
                serverErrors=failure.evidence.server_errors,
                cause=failure.verdict.cause if failure.verdict is not None else "",
                warnings=self._warnings,
            )

    async def _pulse(self, peer: RemotePeer) -> None:
        try:
            channel = await peer.open_channel(PULSE, ordered=False, max_retransmits=0)
        except (ConnectFailed, PeerLeft):
            return  # told as the verdict
        await self._traffic.serve(channel)

    async def _serve_channels(self, peer: RemotePeer) -> None:
        async for channel in peer.channels():
            self._jobs.start(self._traffic.serve(channel))

    async def _transfer(self, peer: RemotePeer, size: int) -> None:
        channel = await peer.open_channel(BULK, shared=False)  # each transfer has one
        await self._traffic.send_bulk(channel, size)

    async def close(self) -> None:
        """End the connection, within its bounds."""
        if self._peer is not None:
            self._peer.hang_up()
            await self._peer.connection.close()
        for mux in self._muxes:
            await mux.close()
        await self._jobs.end()


def _on_server_error(event: RTCPeerConnectionIceErrorEvent) -> None:
    emit("icecandidateerror", url=event.url, code=event.errorCode, text=event.errorText)


async def main() -> None:
    """Run the peer."""
    traffic = Traffic(emit)
    await drive(IcefloePeer(traffic), traffic)


if __name__ == "__main__":
    log_to_stderr()
    asyncio.run(main())
