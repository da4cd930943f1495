"""What the two sides have agreed on, as far as descriptions say it."""

from collections.abc import Callable, Collection
from typing import Any

from aiortc import (
    InvalidStateError,
    RTCConfiguration,
    RTCIceTransport,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.codecs import HEADER_EXTENSIONS
from aiortc.sdp import SessionDescription

from .. import sdp
from .._aiortc import PeerConnectionSeam, Stable, describe_transport, shares_codec
from ..sdp.steps import Steps, at_once, in_turns
from .description_writer import DescriptionWriter


class DescribedConnection(PeerConnectionSeam):
    """The descriptions of a connection: written, kept, and taken back."""

    def __init__(self, configuration: RTCConfiguration) -> None:
        self._writer = DescriptionWriter()
        self._stable_point = Stable()
        self._channels_created = False
        self._layout = self._stable_layout = sdp.Layout()
        super().__init__(configuration)

    @property
    def localDescription(self) -> RTCSessionDescription:
        """The local description, with the candidates found so far."""
        return self._wrap("pendingLocal") or self._wrap("currentLocal")  # type: ignore[return-value]

    @property
    def remoteDescription(self) -> RTCSessionDescription:
        """The remote description, as it was understood."""
        return self._wrap("pendingRemote") or self._wrap("currentRemote")  # type: ignore[return-value]

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
            self._refresh(description)
        side = "Local" if which.endswith("Local") else "Remote"
        is_latest = description is self._latest(side)
        text = (self._layout if is_latest else self._stable_layout).outward(
            str(description),
            answer=description.type != "offer",
            remote=side == "Remote",
        )
        return RTCSessionDescription(sdp=text, type=str(description.type))

    def _refresh(self, local: SessionDescription) -> None:
        transports = self._dtls_by_mid()
        rejected = self._writer.rejected | {t.mid for t in self.getTransceivers() if t.stopped}
        for media in local.media:
            mid = media.rtp.muxId
            if mid in transports:
                describe_transport(media, transports[mid])
            media.ice_options = sdp.TRICKLE
            if mid in rejected:
                self._writer.reject(media)

    async def createOffer(self) -> RTCSessionDescription:
        """Create an offer; what was negotiated keeps its payload types and extension ids.

        Raises:
            InvalidStateError: The connection is closed.
        """
        offer = await super().createOffer()
        # In one step: until this is done, transceivers have the codecs that they are offered with
        # in the place of those that are in use.
        finished = at_once(self._finish(offer))
        return RTCSessionDescription(self._layout.outward(finished.sdp, answer=False), "offer")

    async def createAnswer(self) -> RTCSessionDescription:
        """Create an answer to the offer that was applied.

        Raises:
            InvalidStateError: There is no offer to answer, or the connection is closed.
        """
        answer = await super().createAnswer()
        finished = await in_turns(self._finish(answer, self._bundled_mids()))
        return RTCSessionDescription(self._layout.outward(finished.sdp, answer=True), "answer")

    def _finish(
        self, created: RTCSessionDescription, bundle: set[str] | None = None
    ) -> Steps[RTCSessionDescription]:
        by_index = self._transceivers_by_index()
        return self._writer.finish(created, by_index, self._stable_point, bundle)

    def _bundled_mids(self) -> set[str]:
        remote = self._latest("Remote")
        return {str(mid) for group in (remote.group if remote else ()) for mid in group.items}

    # --- remote descriptions

    def _offered(self, kind: str) -> sdp.Offered:
        """Tell what there is that a remote description can speak of."""
        answer = kind != "offer"
        mids = {t: self._mid_before(t, answer=answer) for t in self.getTransceivers()}
        known = {mid: "stopped" if t.stopped else t.kind for t, mid in mids.items() if mid}
        sctp_mid = self._sctp_mid_before(answer=answer)
        if sctp_mid is not None:
            known[sctp_mid] = "application"
        return sdp.Offered(
            layout=self._layout if answer else self._stable_layout,
            known=known,
            used_mids=self._private("seenMids"),
            common=self._matcher(mids),
            lent=self._lent_transport(),
            role=self._remote_dtls_role(),
            one_transport=self._has_one_transport(),
        )

    def _mid_before(self, transceiver: RTCRtpTransceiver, *, answer: bool) -> str | None:
        # An offer that meets an own one takes that one back.
        if answer or self.signalingState != "have-local-offer":
            return transceiver.mid
        was = self._stable_point.transceivers.get(transceiver)
        return was.mid if was is not None else None

    def _sctp_mid_before(self, *, answer: bool) -> str | None:
        if self.sctp is None:
            return None
        if answer or self.signalingState != "have-local-offer":
            return self.sctp.mid
        return self._stable_point.sctp_mid

    def _matcher(
        self, mids: dict[RTCRtpTransceiver, str | None]
    ) -> Callable[[sdp.Section, str], bool]:
        """Tell of sections, asked about in their order, whether they have a codec in common."""
        free = [transceiver for transceiver, mid in mids.items() if mid is None]
        by_mid = {mid: transceiver for transceiver, mid in reversed(mids.items()) if mid}

        def common(section: sdp.Section, mid: str) -> bool:
            known = by_mid.get(mid)
            chosen = known or next((t for t in free if t.kind == section.kind), None)
            lines = [line for lines in section.codecs.values() for line in lines]
            if not shares_codec(section.kind, lines, chosen):
                return False
            if known is None and chosen is not None:
                free.remove(chosen)
            return True

        return common

    def _lent_transport(self) -> sdp.Transport | None:
        remote = self._description("currentRemote")
        for media in remote.media if remote else ():
            if media.ice is not None and media.dtls is not None:
                return sdp.Transport(
                    ufrag=media.ice.usernameFragment or "",
                    password=media.ice.password or "",
                    fingerprints=tuple(f"{f.algorithm} {f.value}" for f in media.dtls.fingerprints),
                    setup={"client": "active", "server": "passive"}.get(media.dtls.role, ""),
                )
        return None

    def _has_one_transport(self) -> bool:
        return len(self._dtls_in_use()) == 1

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
        self._stable_layout = self._layout

    def _remote_text(self) -> str:
        """Return the remote description in force; empty before there is one."""
        current = self._description("currentRemote")
        return str(current) if current is not None else ""

    async def _roll_back(self, state: str) -> None:
        if self.signalingState != state:
            raise InvalidStateError(f'Cannot roll back in signaling state "{self.signalingState}"')
        remote = state == "have-remote-offer"
        await self._restore(self._stable_point, drop=self._called_for() if remote else ())
        self._layout = self._stable_layout

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

    async def _take_rejections(self, rejected: Collection[int]) -> None:
        remote = self._latest("Remote")
        by_index = self._transceivers_by_index()
        for index, media in enumerate(remote.media if remote else ()):
            transceiver = by_index.get(index)
            if index in rejected and transceiver is not None:
                self._writer.rejected.add(media.rtp.muxId)
                await transceiver.stop()

    def _is_certain_extension(self, uri: str, id: int) -> bool:
        return self._writer.numbering.is_certain(uri, id)

    def _note_extensions(self, plan: sdp.Plan) -> None:
        """Note, before anything further is sent, what the other side may take ids for."""
        remote = self._latest("Remote")
        for media in remote.media if remote else ():
            self._writer.numbering.note(media.rtp.headerExtensions)
        if plan.by_aiortc:
            # Its next offer has its own numbers, whatever was agreed on.
            for extensions in HEADER_EXTENSIONS.values():
                self._writer.numbering.note(extensions)
        self._send_certain_extensions()

    def _unoffer(self, mid: str) -> None:
        """Take a section out of the own offer as aiortc holds it: the answer rejects it."""
        pending = self._description("pendingLocal")
        if pending is not None:
            pending.media = [media for media in pending.media if media.rtp.muxId != mid]
            for group in pending.group:
                group.items = [item for item in group.items if item != mid]

    async def _drop_unused_channels(self) -> None:
        """Close the data channels if their section is rejected."""
        mid = self.sctp.mid if self.sctp is not None else None
        if mid is not None and mid not in self._layout.mids():
            await self._drop_sctp()
            self._channels_created = False

    # --- which section is whose

    def _section_of(self, ice: RTCIceTransport, side: str) -> tuple[str | None, int | None]:
        """Return mid and index of the media section that stands for a transport."""
        return self._sections_of_transports(side).get(ice, (None, None))

    def _sections_of_transports(self, side: str) -> dict[RTCIceTransport, tuple[str, int | None]]:
        """Return mid and index of the media section that stands for each transport."""
        description = self._latest(side)
        transports = self._dtls_by_mid()
        places = self._layout.places()
        found: dict[RTCIceTransport, tuple[str, int | None]] = {}
        for index, media in enumerate(description.media if description else ()):
            mid = media.rtp.muxId
            if mid in transports and mid not in self._writer.rejected:
                found.setdefault(transports[mid].transport, (mid, places.get(mid, index)))
        return found

    @property
    def iceTransport(self) -> RTCIceTransport | None:
        """The ICE transport; of several, where media is not bundled, the first."""
        local = self._latest("Local") or self._latest("Remote")
        transports = self._dtls_by_mid()
        known = (transports.get(media.rtp.muxId) for media in (local.media if local else ()))
        return next((dtls.transport for dtls in known if dtls is not None), None)
