"""Diagnosis of a connection that failed: phase, evidence and advice."""

from aiortc import RTCIceTransport, RTCIceTransportPolicy

from ..connection.candidates import describe
from ..connection.connection import PeerConnection
from ..errors import ConnectEvidence, ConnectFailed, ConnectPhase


def connect_failed(
    peer: str, connection: PeerConnection, *, seconds: float, server_errors: list[str]
) -> ConnectFailed:
    """Make the error for a connection that could not be established.

    Args:
        peer: The name of the remote peer.
        connection: The connection, as it is when it is given up.
        seconds: How long it had been trying.
        server_errors: What STUN and TURN servers answered, as ``url: code text``.
    """
    ice = connection.ice_transport
    local = ice.iceGatherer.getLocalCandidates() if ice else []
    remote = ice.getRemoteCandidates() if ice else []
    evidence = ConnectEvidence(
        seconds=seconds,
        local=tuple(map(describe, local)),
        remote=tuple(map(describe, remote)),
        server_errors=tuple(server_errors),
        relay_only=connection.getConfiguration().iceTransportPolicy is RTCIceTransportPolicy.RELAY,
    )
    phase = _phase(connection, ice, bool(local))
    return ConnectFailed(peer, phase, evidence, connection.diagnose(gave_up=True))


def _phase(
    connection: PeerConnection, ice: RTCIceTransport | None, has_candidates: bool
) -> ConnectPhase:
    if connection.remoteDescription is None:
        return ConnectPhase.SIGNALING
    if not has_candidates:
        return ConnectPhase.GATHERING
    if ice is not None and ice.state == "completed":
        return ConnectPhase.DTLS
    return ConnectPhase.CHECKS
