"""Media sections: how descriptions apply them to transceivers and transports."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiortc import (
    InvalidStateError,
    RTCBundlePolicy,
    RTCDtlsTransport,
    RTCIceTransport,
    RTCPeerConnection,
    RTCRtpCodecParameters,
    RTCRtpTransceiver,
)
from aiortc.codecs import CODECS
from aiortc.exceptions import OperationError
from aiortc.rtcpeerconnection import (
    add_transport_description,
    filter_preferred_codecs,
    find_common_codecs,
    find_common_header_extensions,
    reverse_direction,
)
from aiortc.rtcrtpreceiver import RemoteStreamTrack
from aiortc.sdp import MediaDescription, SessionDescription

from .._util.uninterrupted import to_the_end
from ..errors import InvalidDescription
from ..sdp.steps import A_SECTION, Steps
from .private import Private
from .transport_feedback import (
    agrees_on_stream_feedback,
    header_extensions,
    with_stream_feedback,
    with_transport_feedback,
    without_stream_feedback,
)


@dataclass(frozen=True, slots=True)
class RemoteSections:
    """A remote description, read so far that applying it is little work.

    Attributes:
        description: As aiortc holds it.
        codecs: The codecs of each media section that both sides know; empty for data channels.
    """

    description: SessionDescription
    codecs: tuple[list[RTCRtpCodecParameters], ...]


def parse(session: str, sections: Iterable[str]) -> Steps[SessionDescription]:
    """Parse a description as aiortc does, one media section after the other.

    Args:
        session: Its lines before the first media section.
        sections: Those of each media section.
    """
    description = SessionDescription.parse(session)
    # A group names all sections: to read it with each of them would be work without end.
    shared = "".join(x for x in session.splitlines(keepends=True) if not x.startswith("a=group:"))
    for section in sections:
        description.media += SessionDescription.parse(shared + section).media
        yield A_SECTION + section.count("\n")
    return description


def read_sections(kind: str, session: str, sections: Sequence[str]) -> Steps[RemoteSections]:
    """Read a description that was planned, and choose codecs, one media section after the other.

    Args:
        kind: ``offer``, ``answer`` or ``pranswer``.
        session: Its lines before the first media section.
        sections: Those of each media section.
    """
    description = yield from parse(session, sections)
    description.type = kind
    codecs = []
    for media, section in zip(description.media, sections, strict=True):
        codecs.append(find_common_codecs(CODECS.get(media.kind, []), media.rtp.codecs))
        yield A_SECTION + section.count("\n")
    return RemoteSections(description, tuple(codecs))


def describe_transport(media: MediaDescription, dtls: RTCDtlsTransport, *, tcp: bool) -> None:
    """Write the transport's candidates and credentials, as they are now, into a media section.

    Args:
        media: The section.
        dtls: The transport.
        tcp: Whether TCP candidates are written as well.
    """
    add_transport_description(media, dtls)
    if not tcp:
        media.ice_candidates = [c for c in media.ice_candidates if c.protocol != "tcp"]


class MediaSections:
    """The media sections of a connection, with their transceivers and transports.

    aiortc applies a remote description in one step of the event loop, in which it looks each
    section up among all transceivers and copies its codecs. :meth:`apply` takes what was read
    before, and looks up by mid.

    Args:
        connection: The connection.
        private: Its private attributes.
        resume: Starts the transports, senders and receivers that can be started.
    """

    def __init__(
        self, connection: RTCPeerConnection, private: Private, resume: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._private = private
        self._resume = resume

    async def apply(self, remote: RemoteSections) -> None:
        """Do what ``RTCPeerConnection.setRemoteDescription()`` does with a description.

        Nobody else has a turn, unless a bundle leaves transports over that are to be closed.

        Raises:
            InvalidStateError: It does not fit the state, or the connection was closed meanwhile.
            OperationError: There is no codec that both sides know and this one prefers.
            ValueError: Its sections are not those of the offer.
        """
        description, kind = remote.description, str(remote.description.type)
        self._private["validate_description"](description, is_local=False)
        there_are = self._connection.getTransceivers()
        known = {(t.kind, t.mid): t for t in reversed(there_are) if t.mid is not None}
        new = [t for t in there_are if t.mid is None]
        free = {of: iter([t for t in new if t.kind == of]) for of in CODECS}
        tracks: list[RemoteStreamTrack] = []
        by_stream = agrees_on_stream_feedback(description.media)
        for index, (media, codecs) in enumerate(zip(description.media, remote.codecs, strict=True)):
            mid = media.rtp.muxId
            self._private["seenMids"].add(mid)
            if media.kind == "application":
                self._apply_channels(media, index, kind)
                continue
            transceiver = known.get((media.kind, mid)) or next(free[media.kind], None)
            if transceiver is None:
                transceiver = self._private["createTransceiver"]("recvonly", media.kind)
            if transceiver.mid is None:
                transceiver._set_mid(mid)
                transceiver._set_mline_index(index)
            self._apply_media(transceiver, media, codecs, kind)
            with_agreed = with_stream_feedback if by_stream else without_stream_feedback
            transceiver._codecs = with_agreed(transceiver._codecs)
            receives = reverse_direction(str(media.direction)) in ("recvonly", "sendrecv")
            if receives and not transceiver.receiver.track:
                id = description.webrtc_track_id(media)
                transceiver.receiver._track = RemoteStreamTrack(media.kind, id)
                tracks.append(transceiver.receiver._track)
        await self._share_transport(description)
        for track in tracks:
            self._connection.emit("track", track)
        self._resume()
        if kind != "pranswer":
            self._private["setSignalingState"](
                "stable" if kind == "answer" else "have-remote-offer"
            )
        is_current = kind == "answer"
        if is_current:
            self._private["currentRemoteDescription"] = description
        self._private["pendingRemoteDescription"] = None if is_current else description

    def _apply_media(
        self,
        transceiver: RTCRtpTransceiver,
        media: MediaDescription,
        codecs: list[RTCRtpCodecParameters],
        kind: str,
    ) -> None:
        common = filter_preferred_codecs(codecs, transceiver._preferred_codecs)
        if not common:
            raise OperationError(f"Failed to set remote {media.kind} description send parameters")
        transceiver._codecs = with_transport_feedback(common, media.rtp.codecs)
        transceiver._headerExtensions = find_common_header_extensions(
            header_extensions(media.kind), media.rtp.headerExtensions
        )
        direction = reverse_direction(str(media.direction))
        if kind == "offer":
            transceiver._offerDirection = direction
        else:
            transceiver._setCurrentDirection(direction)
        self._note_transport(transceiver, transceiver.receiver.transport, media, kind)

    def _apply_channels(self, media: MediaDescription, index: int, kind: str) -> None:
        if self._connection.sctp is None:
            self._private["createSctpTransport"]()
        sctp = self._connection.sctp
        assert sctp is not None
        if sctp.mid is None:
            sctp.mid = media.rtp.muxId
            self._private["sctp_mline_index"] = index
        self._connection._sctpLegacySdp = media.profile == "DTLS/SCTP"
        port = int(media.fmt[0]) if self._connection._sctpLegacySdp else media.sctp_port
        self._private["sctpRemotePort"] = port
        self._private["sctpRemoteCaps"] = media.sctpCapabilities
        self._note_transport(sctp, sctp.transport, media, kind)

    def _note_transport(
        self, user: object, dtls: RTCDtlsTransport, media: MediaDescription, kind: str
    ) -> None:
        """Record the remote peer's end of a transport, and the roles of both in it."""
        if media.dtls is None or media.ice is None:
            raise InvalidDescription(f"a section of {media.kind} has no transport")
        self._private["remoteDtls"][user] = media.dtls
        self._private["remoteIce"][user] = media.ice
        ice = dtls.transport
        if kind == "offer" and not ice._role_set:
            ice._connection.ice_controlling = media.ice.iceLite
            ice._role_set = True
        if kind == "offer" and media.dtls.role == "client":
            dtls._set_role("server")
        if kind == "answer":
            dtls._set_role("server" if media.dtls.role == "client" else "client")

    async def _share_transport(self, description: SessionDescription) -> None:
        """Have the sections of a bundle share the transport of its first one (RFC 9143)."""
        groups = (group.items for group in description.group if group.semantic == "BUNDLE")
        first, *others = map(str, next(groups, ()) or ("",))
        if not others:
            return
        transport, bundled = self.dtls_by_mid()[first], frozenset(others)
        for transceiver in self._connection.getTransceivers():
            if transceiver.mid in bundled and not transceiver._bundled:
                transceiver.receiver.setTransport(transport)
                transceiver.sender.setTransport(transport)
                transceiver._bundled = True
        if (
            self._connection.sctp is not None
            and self._connection.sctp.mid in bundled
            and not self._connection.sctp._bundled
        ):
            self._connection.sctp.setTransport(transport)
            self._connection.sctp._bundled = True
        await self.discard_unused_transports()
        if self._private["isClosed"]:
            raise InvalidStateError("RTCPeerConnection is closed")

    def transceivers_by_index(self) -> dict[int | None, RTCRtpTransceiver]:
        return {t._get_mline_index(): t for t in self._connection.getTransceivers()}

    def place(self, mids: list[str]) -> None:
        """Set the index of transceivers and data channels to that of their media section.

        A section that was rejected may be used again under another mid (RFC 9429 section 5.2.2);
        it is then taken away from the stopped transceiver that it had.
        """
        places = {mid: index for index, mid in enumerate(mids)}
        for transceiver in self._connection.getTransceivers():
            mid = transceiver.mid
            if mid in places:
                transceiver._set_mline_index(places[mid])
            elif mid is not None:
                transceiver._set_mline_index(None)  # type: ignore[arg-type]
                # aiortc starts whatever it has remote credentials for, by its index.
                self._private["remoteIce"].pop(transceiver, None)
        if self._connection.sctp is not None and self._connection.sctp.mid is not None:
            self._private["sctp_mline_index"] = places.get(self._connection.sctp.mid)

    def take_mids(self, mids: Iterable[str]) -> None:
        """Reserve mids, so that no other section gets them."""
        self._private["seenMids"].update(mids)

    def forget_remote_of(self, indices: Collection[int]) -> None:
        """Start nothing for rejected sections: what they say of their transport means nothing."""
        by_index = self.transceivers_by_index()
        for index in indices:
            self._private["remoteIce"].pop(by_index.get(index), None)

    def separate(self, *, by_kind: bool) -> None:
        """Make a transport for each transceiver, or each kind, and the data channels."""
        seen: set[RTCDtlsTransport] = set()
        own: dict[object, RTCDtlsTransport] = {}
        for transceiver in self._connection.getTransceivers():
            key = transceiver.kind if by_kind else transceiver
            transceiver._bundled = key in own
            if key not in own:
                transport = transceiver.receiver.transport
                taken = transport in seen
                own[key] = self._private["createDtlsTransport"]() if taken else transport
                seen.add(own[key])
            transceiver.receiver.setTransport(own[key])
            transceiver.sender.setTransport(own[key])
        if self._connection.sctp is not None:
            if self._connection.sctp.transport in seen:
                self._connection.sctp.setTransport(self._private["createDtlsTransport"]())
            self._connection.sctp._bundled = False

    @contextmanager
    def bundling(self, policy: RTCBundlePolicy) -> Iterator[None]:
        """Have aiortc make what it makes meanwhile by another bundle policy."""
        was = self._private["configuration"]
        self._private["configuration"] = replace(was, bundlePolicy=policy)
        try:
            yield
        finally:
            self._private["configuration"] = was

    def mark_bundled(self, *, one_transport: bool) -> None:
        """Record who shares a transport, whatever the order in which they were created.

        aiortc closes the transport of a bundle if the one that it was created for does not come
        first in the bundle. With ``max-bundle`` there is one transport, also for what an offer is
        about to add.
        """
        users: dict[Any, RTCDtlsTransport] = {
            t: t.receiver.transport for t in self._connection.getTransceivers()
        }
        if self._connection.sctp is not None:
            users[self._connection.sctp] = self._connection.sctp.transport
        shared = Counter(users.values())
        for user, transport in users.items():
            user._bundled = user._bundled or one_transport or shared[transport] > 1

    def settle_unoffered(self, offered: set[str]) -> None:
        """Keep transceivers that the offer has no section for out of the answer."""
        for transceiver in self._connection.getTransceivers():
            if transceiver.mid not in offered:
                transceiver._offerDirection = "inactive"

    async def discard_unused_transports(self) -> None:
        used = {t.receiver.transport for t in self._connection.getTransceivers()}
        if self._connection.sctp is not None:
            used.add(self._connection.sctp.transport)
        for dtls in self._private["dtlsTransports"] - used:
            # First: aiortc closes the whole connection when its last transport is closed.
            self._private["dtlsTransports"].discard(dtls)
            self._private["iceTransports"].discard(dtls.transport)
            await to_the_end(_stop(dtls))
        for state in ("IceGatheringState", "IceConnectionState", "ConnectionState"):
            self._private[f"update{state}"]()

    def dtls_by_mid(self) -> dict[str, RTCDtlsTransport]:
        """Return the transport of each media section that there is something for."""
        transports = {
            t.mid: t.receiver.transport for t in self._connection.getTransceivers() if t.mid
        }
        if self._connection.sctp is not None and self._connection.sctp.mid:
            transports[self._connection.sctp.mid] = self._connection.sctp.transport
        return transports

    def dtls_in_use(self) -> list[RTCDtlsTransport]:
        """Return the transports that carry something, each once."""
        transports = [t.receiver.transport for t in self._connection.getTransceivers()]
        if self._connection.sctp is not None:
            transports.append(self._connection.sctp.transport)
        return list(dict.fromkeys(transports))

    def ice_transports(self) -> set[RTCIceTransport]:
        return {dtls.transport for dtls in self.dtls_in_use()}


async def _stop(dtls: RTCDtlsTransport) -> None:
    await dtls.stop()
    await dtls.transport.stop()
