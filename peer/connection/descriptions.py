"""The descriptions of a connection: written, kept, and rolled back (RFC 9429)."""

from collections.abc import Callable, Collection
from typing import Any

from aiortc import (
    InvalidStateError,
    RTCIceTransport,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.codecs import HEADER_EXTENSIONS
from aiortc.sdp import SessionDescription

from .. import sdp
from .._aiortc import (
    ConnectionAdapter,
    Snapshot,
    describe_transport,
    restore,
    shares_codec,
    take,
    with_wildcards,
)
from .._util.uninterrupted import to_the_end
from ..sdp.steps import Steps, at_once, in_turns
from .description_writer import DescriptionWriter


class Descriptions:
    """The local and remote descriptions, and the layout of their media sections.

    Args:
        connection: The connection.
        adapter: Its adapter.
    """

    def __init__(self, connection: RTCPeerConnection, adapter: ConnectionAdapter) -> None:
        self._connection = connection
        self._adapter = adapter
        self._sections = adapter.sections
        self.writer: DescriptionWriter = DescriptionWriter()
        self.layout: sdp.Layout = sdp.Layout()
        """The media sections of the descriptions in force."""
        self.channels_created: bool = False
        """True if the application wants data channels, whatever the remote peer offers."""
        self._stable_layout = self.layout
        self._snapshot = Snapshot()
        self._made: int | None = None

    # --- local descriptions

    def wrap(self, which: str) -> RTCSessionDescription | None:
        """Return a description as the application gets it.

        Args:
            which: ``currentLocal``, ``pendingRemote`` and so on.
        """
        description = self._adapter.description(which)
        if description is None:
            return None
        side = "Local" if which.endswith("Local") else "Remote"
        is_latest = description is self._adapter.latest(side)
        if side == "Local" and is_latest:
            self._refresh(description)
        text = (self.layout if is_latest else self._stable_layout).with_unused_sections(
            with_wildcards(str(description)),
            answer=description.type != "offer",
            remote=side == "Remote",
        )
        return RTCSessionDescription(sdp=text, type=str(description.type))

    def _refresh(self, local: SessionDescription) -> None:
        """Write the candidates found so far into a local description.

        Those over TCP are in one section of each transport: a large description has no room for
        them in each.
        """
        written = set()
        transports = self._sections.dtls_by_mid()
        stopped = {t.mid for t in self._connection.getTransceivers() if t.stopped}
        rejected = self.writer.rejected | stopped
        for media in local.media:
            mid = media.rtp.muxId
            if mid in transports:
                dtls = transports[mid]
                describe_transport(media, dtls, tcp=dtls not in written)
                if mid not in rejected:
                    written.add(dtls)
            media.ice_options = sdp.TRICKLE
            if mid in rejected:
                self.writer.reject(media)

    def finish_offer(self, offer: RTCSessionDescription) -> RTCSessionDescription:
        """Complete an offer of aiortc's.

        In one step: until this is done, transceivers have the codecs that they are offered with in
        the place of those that are in use.
        """
        finished = at_once(self._finish(offer))
        return self._make(self.layout.with_unused_sections(finished.sdp, answer=False), "offer")

    async def finish_answer(self, answer: RTCSessionDescription) -> RTCSessionDescription:
        """Complete an answer of aiortc's."""
        finished = await in_turns(self._finish(answer, self._bundled_mids()))
        return self._make(self.layout.with_unused_sections(finished.sdp, answer=True), "answer")

    def _make(self, text: str, kind: str) -> RTCSessionDescription:
        self._made = hash((kind, text))  # to hold the text would take kilobytes
        return RTCSessionDescription(text, kind)

    def is_as_made(self, description: RTCSessionDescription) -> bool:
        """Return whether a description is the last one that was made here, unchanged."""
        return self._made == hash((description.type, description.sdp))

    def _finish(
        self, created: RTCSessionDescription, bundle: set[str] | None = None
    ) -> Steps[RTCSessionDescription]:
        by_index = self._sections.transceivers_by_index()
        return self.writer.finish(created, by_index, self._snapshot, bundle)

    def _bundled_mids(self) -> set[str]:
        remote = self._adapter.latest("Remote")
        return {str(mid) for group in (remote.group if remote else ()) for mid in group.items}

    def settle_unoffered(self) -> None:
        """Keep transceivers that the pending offer has no section for out of the answer."""
        offer = self._adapter.latest("Remote")
        self._sections.settle_unoffered({m.rtp.muxId for m in offer.media} if offer else set())

    # --- remote descriptions

    def offered(self, kind: str) -> "sdp.Offered":
        """Return the sections, codecs and transports that a remote description can refer to."""
        answer = kind != "offer"
        mids = {t: self._mid_before(t, answer=answer) for t in self._connection.getTransceivers()}
        known = {mid: "stopped" if t.stopped else t.kind for t, mid in mids.items() if mid}
        sctp_mid = self._sctp_mid_before(answer=answer)
        if sctp_mid is not None:
            known[sctp_mid] = "application"
        return sdp.Offered(
            layout=self.layout if answer else self._stable_layout,
            known=known,
            used_mids=self._adapter.private["seenMids"],
            common=_matcher(mids),
            fallback_transport=self._lent_transport(),
            role=self._adapter.remote_dtls_role(),
            one_transport=len(self._sections.dtls_in_use()) == 1,
        )

    def _mid_before(self, transceiver: RTCRtpTransceiver, *, answer: bool) -> str | None:
        # An offer that collides with a local one rolls that one back.
        if answer or self._connection.signalingState != "have-local-offer":
            return transceiver.mid
        was = self._snapshot.transceivers.get(transceiver)
        return was.mid if was is not None else None

    def _sctp_mid_before(self, *, answer: bool) -> str | None:
        if self._connection.sctp is None:
            return None
        if answer or self._connection.signalingState != "have-local-offer":
            return self._connection.sctp.mid
        return self._snapshot.sctp_mid

    def _lent_transport(self) -> "sdp.Transport | None":
        """Return the remote transport in use, for sections that repeat nothing of it."""
        remote = self._adapter.description("currentRemote")
        for media in remote.media if remote else ():
            if media.ice is not None and media.dtls is not None:
                return sdp.Transport(
                    ufrag=media.ice.usernameFragment or "",
                    password=media.ice.password or "",
                    fingerprints=tuple(f"{f.algorithm} {f.value}" for f in media.dtls.fingerprints),
                    setup={"client": "active", "server": "passive"}.get(media.dtls.role, ""),
                )
        return None

    async def take_rejections(self, rejected: Collection[int]) -> None:
        """Stop the transceivers of sections, by index, that the remote description rejects."""
        remote = self._adapter.latest("Remote")
        by_index = self._sections.transceivers_by_index()
        for index, media in enumerate(remote.media if remote else ()):
            transceiver = by_index.get(index)
            if index in rejected and transceiver is not None:
                self.writer.rejected.add(media.rtp.muxId)
                await to_the_end(transceiver.stop())

    def note_extensions(self, plan: "sdp.Plan") -> None:
        """Record, before anything is sent, which header extensions each number may stand for."""
        remote = self._adapter.latest("Remote")
        for media in remote.media if remote else ():
            self.writer.numbering.note(media.rtp.headerExtensions)
        if plan.by_aiortc:
            # The next offer of aiortc has its own numbers, whatever was agreed on.
            for extensions in HEADER_EXTENSIONS.values():
                self.writer.numbering.note(extensions)
        self._adapter.send_certain_extensions()

    def remove_from_offer(self, mid: str) -> None:
        """Remove a section from the local offer as aiortc holds it: the answer rejects it."""
        pending = self._adapter.description("pendingLocal")
        if pending is not None:
            pending.media = [media for media in pending.media if media.rtp.muxId != mid]
            for group in pending.group:
                group.items = [item for item in group.items if item != mid]

    async def drop_unused_channels(self) -> None:
        """Close the data channels if their section is rejected."""
        sctp = self._connection.sctp
        if sctp is not None and sctp.mid is not None and sctp.mid not in self.layout.mids():
            await self._adapter.drop_sctp()
            self.channels_created = False

    # --- agreement and rollback

    def settle(self) -> None:
        """Make the pending descriptions current, and the state a rollback comes back to."""
        self._adapter.settle_descriptions()
        local = self._adapter.description("currentLocal")
        transceivers = self._connection.getTransceivers()
        stopped = {t.mid for t in transceivers if t.stopped}
        for media in local.media if local else ():
            # It was offered or answered as rejected, whatever the remote peer made of it.
            if media.rtp.muxId in stopped and media.direction == "inactive":
                self.writer.rejected.add(media.rtp.muxId)
        self.writer.learn(transceivers, self._adapter.latest("Remote"))
        self._snapshot = take(self._connection, self._adapter)
        self._stable_layout = self.layout

    async def roll_back(self, state: str) -> None:
        """Come back to ``stable``.

        Args:
            state: The state to leave: ``have-local-offer`` or ``have-remote-offer``.

        Raises:
            InvalidStateError: The connection is in another state.
        """
        if self._connection.signalingState != state:
            raise InvalidStateError(
                f'Cannot roll back in signaling state "{self._connection.signalingState}"'
            )
        await self.restore(remote=state == "have-remote-offer")
        self.layout = self._stable_layout

    async def restore(self, *, remote: bool) -> None:
        """Restore the state before an offer, of the remote peer or the local one."""
        drop = self._called_for() if remote else ()
        await restore(self._connection, self._adapter, self._snapshot, drop=drop)

    def _called_for(self) -> list[Any]:
        """Return what exists only because of the remote offer, and sends nothing."""
        unwanted: list[Any] = [
            transceiver
            for transceiver in self._connection.getTransceivers()
            if not self._snapshot.knows(transceiver)
            and transceiver.direction == "recvonly"
            and transceiver.sender.track is None
        ]
        sctp = self._connection.sctp
        if sctp and not self._snapshot.knows(sctp) and not self.channels_created:
            unwanted.append(sctp)
        return unwanted

    def remote_text(self) -> str:
        """Return the current remote description; empty before there is one."""
        current = self._adapter.description("currentRemote")
        return str(current) if current is not None else ""

    # --- sections and transports

    def section_of(self, ice: RTCIceTransport, side: str) -> tuple[str | None, int | None]:
        """Return mid and index of the media section that stands for a transport."""
        return self.sections_of_transports(side).get(ice, (None, None))

    def sections_of_transports(self, side: str) -> dict[RTCIceTransport, tuple[str, int | None]]:
        """Return mid and index of the media section that stands for each transport."""
        description = self._adapter.latest(side)
        transports = self._sections.dtls_by_mid()
        places = self.layout.places()
        found: dict[RTCIceTransport, tuple[str, int | None]] = {}
        for index, media in enumerate(description.media if description else ()):
            mid = media.rtp.muxId
            if mid in transports and mid not in self.writer.rejected:
                found.setdefault(transports[mid].transport, (mid, places.get(mid, index)))
        return found

    def ice_transport(self) -> RTCIceTransport | None:
        """Return the ICE transport; of several, where media is not bundled, the first."""
        local = self._adapter.latest("Local") or self._adapter.latest("Remote")
        transports = self._sections.dtls_by_mid()
        known = (transports.get(media.rtp.muxId) for media in (local.media if local else ()))
        return next((dtls.transport for dtls in known if dtls is not None), None)


def _matcher(mids: dict[RTCRtpTransceiver, str | None]) -> "Callable[[sdp.Section, str], bool]":
    """Return a function that tells, of sections in order, if there is a codec in common."""
    free = [transceiver for transceiver, mid in mids.items() if mid is None]
    by_mid = {mid: transceiver for transceiver, mid in reversed(mids.items()) if mid}

    def common(section: "sdp.Section", mid: str) -> bool:
        known = by_mid.get(mid)
        chosen = known or next((t for t in free if t.kind == section.kind), None)
        lines = [line for lines in section.codecs.values() for line in lines]
        if not shares_codec(section.kind, lines, chosen):
            return False
        if known is None and chosen is not None:
            free.remove(chosen)
        return True

    return common
