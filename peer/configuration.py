"""What a peer connection can be told: ``PeerConfiguration``."""

import ssl
from dataclasses import dataclass, fields, replace

from aiortc import RTCBundlePolicy, RTCConfiguration


@dataclass
class PeerConfiguration(RTCConfiguration):
    """aiortc's ``RTCConfiguration`` with icefloe's fields.

    Two defaults differ from aiortc's: without ``iceServers`` no server is contacted, and media is
    bundled on one transport.
    """

    bundlePolicy: RTCBundlePolicy = RTCBundlePolicy.MAX_BUNDLE
    """Everything on one transport, as every browser does it (RFC 8843)."""

    gatheringTimeout: float = 1.0
    """Seconds that ``setLocalDescription()`` waits at most for servers that do not answer, while
    nobody listens to ``icecandidate``. With a listener it never waits."""

    serverTimeout: float = 5.0
    """Seconds that a STUN or TURN server has to answer before it is given up."""

    patience: float = 39.5
    """Seconds after the start of connectivity checks before they may fail for want of candidates,
    and after which no further remote candidates are waited for. RFC 8863 section 4 asks for at
    least the length of a STUN transaction, which is 39.5 s."""

    checkingTimeout: float = 60.0
    """Seconds after the start of connectivity checks after which they fail, whatever is still
    pending; at least :attr:`patience`."""

    disconnectedTimeout: float = 1.5
    """Seconds of silence before a path that worked is ``disconnected``. It is probed twice a second
    when nothing else is heard, so a path that is lost is noticed after as long."""

    failedTimeout: float = 25.0
    """Seconds after that before the connection has ``failed``. It still comes back if the path
    does, or another one is found."""

    restartAutomatically: bool = True
    """Whether an ICE restart is asked for, by ``negotiationneeded``, when the path is
    ``disconnected``, the machine's addresses change or a TURN server drops the allocation."""

    closeTimeout: float = 1.0
    """Seconds that closing waits at most for TURN servers to free their allocations."""

    tlsContext: ssl.SSLContext | None = None
    """How the certificates of ``turns:`` servers are verified; by default with the system's
    certification authorities."""

    def __post_init__(self) -> None:
        for name in _TIMES:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")


_TIMES = (
    "gatheringTimeout",
    "serverTimeout",
    "patience",
    "checkingTimeout",
    "disconnectedTimeout",
    "failedTimeout",
    "closeTimeout",
)


def complete(configuration: RTCConfiguration | None) -> PeerConfiguration:
    """Return a ``PeerConfiguration`` for whatever a peer connection was given.

    aiortc's ``BALANCED`` cannot be told from not having chosen, and gathers up to three times for
    transports that are then thrown away: out of an ``RTCConfiguration`` it becomes ``MAX_BUNDLE``.
    Who wants it says so in a ``PeerConfiguration``.
    """
    if configuration is None:
        return PeerConfiguration()
    if isinstance(configuration, PeerConfiguration):
        return replace(configuration)
    given = {field.name: getattr(configuration, field.name) for field in fields(RTCConfiguration)}
    if given["bundlePolicy"] is RTCBundlePolicy.BALANCED:
        given["bundlePolicy"] = RTCBundlePolicy.MAX_BUNDLE
    return PeerConfiguration(**given)
