"""The states of a connection, derived from those of its transports (W3C webrtc-pc). No I/O."""

from collections.abc import Collection


def ice_connection_state(ice: Collection[str], *, is_closed: bool) -> str:
    """Return ``iceConnectionState`` (W3C webrtc-pc 5.6.4, "RTCIceConnectionState").

    Args:
        ice: The states of the ICE transports.
        is_closed: Whether the connection is closed.
    """
    states = set(ice)
    live = states - {"closed"}
    if is_closed:
        return "closed"
    if named := next((state for state in ("failed", "disconnected") if state in states), None):
        return named
    if live == {"completed"}:
        return "completed"
    return "checking" if live & {"checking", "completed"} else "new"


def connection_state(ice: Collection[str], dtls: Collection[str], *, is_closed: bool) -> str:
    """Return ``connectionState`` (W3C webrtc-pc 4.3.3, "RTCPeerConnectionState").

    Args:
        ice: The states of the ICE transports.
        dtls: The states of the DTLS transports.
        is_closed: Whether the connection is closed.
    """
    ice, dtls = set(ice), set(dtls)
    if is_closed:
        return "closed"
    if "failed" in ice | dtls:
        return "failed"
    if "disconnected" in ice:
        return "disconnected"
    if ice | dtls <= {"new", "closed"}:
        return "new"
    if "checking" in ice or dtls & {"new", "connecting"}:
        return "connecting"
    return "connected"
