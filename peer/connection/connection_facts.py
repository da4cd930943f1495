"""Collects the facts about a connection from its transports, senders and receivers."""

from typing import TYPE_CHECKING

from aiortc import RTCDtlsTransport, RTCPeerConnection, RTCRtpTransceiver

from .._aiortc import ConnectionAdapter, agent_of
from ..diagnosis.facts import DtlsFacts, MediaFacts, SctpFacts
from ..ice.agent_facts import ice_facts
from ..ice.facts import IceFacts

if TYPE_CHECKING:
    from .._aiortc.dtls import DtlsTransport

_WORST = ("failed", "disconnected", "checking", "new", "completed", "closed")
"""States of ICE transports; the first one that any of them is in is at fault."""


class FactsCollector:
    """Reads the present state of a connection.

    Args:
        connection: The connection.
        adapter: Its adapter.
        now: The time of the event loop.
        since: When what is negotiated came into force, likewise.
    """

    def __init__(
        self, connection: RTCPeerConnection, adapter: ConnectionAdapter, now: float, since: float
    ) -> None:
        self._connection = connection
        self._adapter = adapter
        self._now = now
        self._since = since

    def transport(self) -> tuple[IceFacts | None, DtlsFacts]:
        """Return what is known of the transport that is worst off: of ICE, and of DTLS."""
        used = list(self._adapter.sections.dtls_in_use())
        if not used:
            return None, DtlsFacts()
        worst = min(used, key=lambda dtls: _rank(dtls))
        return ice_facts(agent_of(worst.transport), self._now), self._dtls(worst)

    def _dtls(self, dtls: RTCDtlsTransport) -> DtlsFacts:
        from .._aiortc.dtls import DtlsTransport

        assert isinstance(dtls, DtlsTransport)
        remote = self._adapter.latest("Remote")
        told = next((media.dtls for media in remote.media if media.dtls), None) if remote else None
        return dtls.facts(self._now, remote_role=told.role if told is not None else "auto")

    @staticmethod
    def available_bitrate(adapter: ConnectionAdapter) -> int | None:
        """Return the estimate of what may be sent, in bits per second, if there is one."""
        bitrates = (_bitrate(dtls) for dtls in adapter.sections.dtls_in_use())
        return next((bitrate for bitrate in bitrates if bitrate is not None), None)

    def sctp(self) -> SctpFacts | None:
        """Return what is known of the association; ``None`` without a negotiated one."""
        sctp = self._connection.sctp
        if sctp is None or sctp.mid is None:
            return None
        from .._aiortc.sctp import SctpTransport

        assert isinstance(sctp, SctpTransport)
        return sctp.facts(self._now, self._since)

    def media(self, rejected: frozenset[str]) -> tuple[MediaFacts, ...]:
        """Return what is known of each media section.

        Args:
            rejected: Mids of sections that were rejected.
        """
        found = [
            self._media(transceiver, rejected)
            for transceiver in self._connection.getTransceivers()
            if transceiver.mid is not None
        ]
        known = {media.mid for media in found}
        gone = [MediaFacts("media", mid, rejected=True) for mid in rejected - known if mid]
        return (*found, *gone)

    def _media(self, transceiver: RTCRtpTransceiver, rejected: frozenset[str]) -> MediaFacts:
        from .._aiortc.receiver import Receiver
        from .._aiortc.sender import Sender

        sender, receiver = transceiver.sender, transceiver.receiver
        assert isinstance(sender, Sender) and isinstance(receiver, Receiver)
        direction = transceiver.currentDirection or "inactive"
        mid = str(transceiver.mid)
        return MediaFacts(
            kind=transceiver.kind,
            mid=mid,
            rejected=mid in rejected,
            sends=direction in ("sendrecv", "sendonly") and sender.track is not None,
            receives=direction in ("sendrecv", "recvonly"),
            seconds=self._now - self._since,
            sent=sender.outgoing.stream.packets,
            received=receiver.packets_received,
            decoded=receiver.decoded,
            key_frame=receiver.had_key_frame,
            read=receiver.is_decoding,
        )


def _rank(dtls: RTCDtlsTransport) -> int:
    state = str(agent_of(dtls.transport).state)
    return _WORST.index(state) if state in _WORST else len(_WORST)


def _bitrate(dtls: RTCDtlsTransport) -> int | None:
    if TYPE_CHECKING:
        assert isinstance(dtls, DtlsTransport)
    bitrate: int | None = dtls.available_bitrate
    return bitrate
