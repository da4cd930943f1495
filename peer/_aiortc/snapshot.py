"""Snapshot of the negotiated state of a connection, for rollback (RFC 9429 section 4.1.10.2)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiortc import RTCPeerConnection, RTCRtpTransceiver, RTCSctpTransport
from aiortc.rtcrtpreceiver import RemoteStreamTrack

from .connection import ConnectionAdapter
from .ice import Gatherer, agent_of
from .transport_feedback import has_stream_feedback


@dataclass
class Negotiated:
    """The result of offer and answer for one transceiver."""

    mid: str | None = None
    index: int | None = None
    codecs: list[Any] = field(default_factory=list)
    extensions: list[Any] = field(default_factory=list)
    offer_direction: str | None = None
    track: RemoteStreamTrack | None = None


@dataclass
class Snapshot:
    """The negotiated state of a connection in ``stable``, which a rollback comes back to."""

    transceivers: dict[RTCRtpTransceiver, Negotiated] = field(default_factory=dict)
    has_sctp: bool = False
    sctp_mid: str | None = None
    sctp_index: int | None = None
    remote_ice: dict[Any, Any] = field(default_factory=dict)
    remote_dtls: dict[Any, Any] = field(default_factory=dict)

    def knows(self, thing: Any) -> bool:
        """Return whether a transceiver, or the SCTP transport, existed already."""
        return self.has_sctp if isinstance(thing, RTCSctpTransport) else thing in self.transceivers

    @property
    def has_stream_feedback(self) -> bool:
        """True if the feedback of RFC 8888 was agreed on."""
        agreed = (was.codecs for was in self.transceivers.values() if was.mid is not None)
        return any(map(has_stream_feedback, agreed))

    def agreed_on(self, transceiver: RTCRtpTransceiver) -> tuple[list[Any], list[Any]]:
        """Return the codecs and header extensions of a transceiver; empty if there are none."""
        was = self.transceivers.get(transceiver)
        return (was.codecs, was.extensions) if was and was.mid is not None else ([], [])


def take(connection: RTCPeerConnection, adapter: ConnectionAdapter) -> Snapshot:
    """Take a snapshot of the negotiated state."""
    sctp = connection.sctp
    return Snapshot(
        transceivers={
            t: Negotiated(
                t.mid,
                t._get_mline_index(),
                t._codecs,
                t._headerExtensions,
                t._offerDirection,
                t.receiver._track,
            )
            for t in connection.getTransceivers()
        },
        has_sctp=sctp is not None,
        sctp_mid=sctp.mid if sctp else None,
        sctp_index=adapter.private["sctp_mline_index"],
        remote_ice=dict(adapter.private["remoteIce"]),
        remote_dtls=dict(adapter.private["remoteDtls"]),
    )


async def restore(
    connection: RTCPeerConnection,
    adapter: ConnectionAdapter,
    snapshot: Snapshot,
    *,
    drop: Iterable[Any] = (),
) -> None:
    """Undo an offer, local or remote.

    Args:
        connection: The connection.
        adapter: Its adapter.
        snapshot: The state before the offer.
        drop: Transceivers, and the SCTP transport, that only the offer called for.
    """
    private = adapter.private
    for unwanted in drop:
        if unwanted is connection.sctp:
            private["sctp"] = None
        else:
            private["transceivers"].remove(unwanted)
    for transceiver in connection.getTransceivers():
        was = snapshot.transceivers.get(transceiver, Negotiated())
        transceiver._set_mid(was.mid)  # type: ignore[arg-type]
        transceiver._set_mline_index(was.index)  # type: ignore[arg-type]
        transceiver._codecs = was.codecs
        transceiver._headerExtensions = was.extensions
        transceiver._offerDirection = was.offer_direction
        transceiver.receiver._track = was.track
    if connection.sctp is not None:
        connection.sctp.mid = snapshot.sctp_mid
    private["sctp_mline_index"] = snapshot.sctp_index
    private["remoteIce"] = dict(snapshot.remote_ice)
    private["remoteDtls"] = dict(snapshot.remote_dtls)
    for side in ("Local", "Remote"):
        private[f"pending{side}Description"] = None
    for ice in adapter.sections.ice_transports():
        agent = agent_of(ice)
        agent.discard_next()
        if agent.has_gathered and isinstance(ice.iceGatherer, Gatherer):
            ice.iceGatherer.finish()
        if ice.state == "new":
            # The role goes with the side that made the offer, and that offer is undone.
            ice._role_set = False
            ice._connection.ice_controlling = False
    await adapter.sections.discard_unused_transports()
    adapter.enter_signaling_state("stable")
