"""What the two sides have agreed on, as far as descriptions say it."""

from typing import Any

from aiortc import InvalidStateError, RTCConfiguration, RTCIceTransport, RTCSessionDescription
from aiortc.sdp import MediaDescription, SessionDescription

from . import sdp
from ._aiortc import PeerConnectionSeam, Stable, describe_transport
from .description import DescriptionWriter


class DescribedConnection(PeerConnectionSeam):
    """The descriptions of a connection: written, kept, and taken back."""

    def __init__(self, configuration: RTCConfiguration) -> None:
        self._writer = DescriptionWriter()
        self._stable_point = Stable()
        self._channels_created = False
        super().__init__(configuration)

    @property
    def localDescription(self) -> RTCSessionDescription:
        """The local description, with the candidates found so far."""
        return self._wrap("pendingLocal") or self._wrap("currentLocal")  # type: ignore[return-value]

    @property
    def currentLocalDescription(self) -> RTCSessionDescription | None:
        """The local description that was last agreed on (W3C webrtc-pc 4.4.1)."""
        return self._wrap("currentLocal")

    @property
    def pendingLocalDescription(self) -> RTCSessionDescription | None:
        """The local description that is being negotiated."""
        return self._wrap("pendingLocal")

    @property
    def currentRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description that was last agreed on."""
        return self._wrap("currentRemote")

    @property
    def pendingRemoteDescription(self) -> RTCSessionDescription | None:
        """The remote description that is being negotiated."""
        return self._wrap("pendingRemote")

    @property
    def canTrickleIceCandidates(self) -> bool | None:
        """Whether the other side takes trickled candidates; ``None`` while it said nothing yet."""
        remote = self._latest("Remote")
        if remote is None:
            return None
        return any(sdp.TRICKLE in (m.ice_options or "").split() for m in remote.media)

    def _latest(self, side: str) -> SessionDescription | None:
        return self._description(f"pending{side}") or self._description(f"current{side}")

    def _wrap(self, which: str) -> RTCSessionDescription | None:
        description = self._description(which)
        if description is None:
            return None
        if which.endswith("Local") and description is self._latest("Local"):
            for media in description.media:
                self._refresh(media)
        return RTCSessionDescription(sdp=str(description), type=str(description.type))

    def _refresh(self, media: MediaDescription) -> None:
        dtls = self._dtls_of(media)
        if dtls is not None:
            describe_transport(media, dtls)
        media.ice_options = sdp.TRICKLE
        mid = media.rtp.muxId
        if mid in self._writer.rejected or any(
            transceiver.stopped and transceiver.mid == mid for transceiver in self.getTransceivers()
        ):
            self._writer.reject(media)

    async def createOffer(self) -> RTCSessionDescription:
        """Create an offer; what was negotiated keeps its payload types and extension ids.

        Raises:
            InvalidStateError: The connection is closed.
        """
        return self._finish(await super().createOffer())

    async def createAnswer(self) -> RTCSessionDescription:
        """Create an answer to the offer that was applied.

        Raises:
            InvalidStateError: There is no offer to answer, or the connection is closed.
        """
        return self._finish(await super().createAnswer())

    def _finish(self, created: RTCSessionDescription) -> RTCSessionDescription:
        return self._writer.finish(created, self._transceivers_by_index(), self._stable_point)

    # --- agreement

    def _settle(self) -> None:
        self._settle_descriptions()
        local = self._description("currentLocal")
        stopped = {t.mid for t in self.getTransceivers() if t.stopped}
        for media in local.media if local else ():
            # It was offered or answered as rejected, whatever the other side made of it.
            if media.rtp.muxId in stopped and media.direction == "inactive":
                self._writer.rejected.add(media.rtp.muxId)
        self._writer.learn(self.getTransceivers(), self._latest("Remote"))
        self._stable_point = self._stable()

    def _remote_text(self) -> str:
        """Return the remote description in force; empty before there is one."""
        current = self._description("currentRemote")
        return str(current) if current is not None else ""

    def _release_recycled(self, text: str) -> None:
        # RFC 9429 section 5.2.2: a rejected section may be used again, under another mid.
        for index, mid in enumerate(sdp.mids(text)):
            self._release_index(index, mid)

    async def _roll_back(self, state: str) -> None:
        if self.signalingState != state:
            raise InvalidStateError(f'Cannot roll back in signaling state "{self.signalingState}"')
        remote = state == "have-remote-offer"
        await self._restore(self._stable_point, drop=self._called_for() if remote else ())

    def _called_for(self) -> list[Any]:
        """Return what only the remote offer called for: nothing is sent over it."""
        unwanted: list[Any] = [
            transceiver
            for transceiver in self.getTransceivers()
            if not self._stable_point.knows(transceiver)
            and transceiver.direction == "recvonly"
            and transceiver.sender.track is None
        ]
        if self.sctp and not self._stable_point.knows(self.sctp) and not self._channels_created:
            unwanted.append(self.sctp)
        return unwanted

    async def _take_rejections(self, rejected: set[int]) -> None:
        remote = self._latest("Remote")
        by_index = self._transceivers_by_index()
        for index, media in enumerate(remote.media if remote else ()):
            transceiver = by_index.get(index)
            if index in rejected and transceiver is not None:
                self._writer.rejected.add(media.rtp.muxId)
                await transceiver.stop()

    # --- which section is whose

    def _section_of(self, ice: RTCIceTransport, side: str) -> tuple[str | None, int | None]:
        """Return mid and index of the media section that stands for a transport."""
        description = self._latest(side)
        for index, media in enumerate(description.media if description else ()):
            dtls = self._dtls_of(media)
            rejected = media.rtp.muxId in self._writer.rejected
            if dtls is not None and dtls.transport is ice and not rejected:
                return media.rtp.muxId, index
        return None, None

    @property
    def iceTransport(self) -> RTCIceTransport | None:
        """The ICE transport; of several, where media is not bundled, the first."""
        local = self._latest("Local") or self._latest("Remote")
        for media in local.media if local else ():
            dtls = self._dtls_of(media)
            if dtls is not None:
                return dtls.transport
        return None
