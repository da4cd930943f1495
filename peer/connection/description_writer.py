"""Local descriptions as they leave the house: what aiortc writes, put right."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from aiortc import RTCRtpCodecParameters, RTCRtpTransceiver, RTCSessionDescription
from aiortc.codecs import is_rtx
from aiortc.sdp import MediaDescription, SessionDescription

from .. import sdp
from .._aiortc import (
    Snapshot,
    header_extensions,
    negotiated_media,
    parse,
    prefers_codecs,
    set_media,
    with_stream_feedback,
    with_transport_feedback,
    with_wildcards,
)
from ..sdp.steps import Steps
from .payload_numbers import Numbering, payload_type


class DescriptionWriter:
    """Finishes the descriptions of one session, and remembers what it has agreed on."""

    def __init__(self) -> None:
        self.numbering: Numbering = Numbering()
        self.rejected: set[str] = set()
        """The mids of media sections that one side has rejected."""
        self._session_id: str | None = None
        self._version = 0

    def finish(
        self,
        created: RTCSessionDescription,
        transceivers: dict[int | None, RTCRtpTransceiver],
        stable: Snapshot,
        bundle: Collection[str] | None = None,
    ) -> Steps[RTCSessionDescription]:
        """Put right what aiortc wrote into an offer or an answer.

        Args:
            created: What aiortc wrote.
            transceivers: The transceivers by the index of their media section.
            stable: What was negotiated before; an offer keeps its numbers.
            bundle: The mids that may be bundled: those that the offer bundles. ``None`` is all.
        """
        session, *sections = (sdp.join([lines]) for lines in sdp.sections_of(created.sdp))
        description = yield from parse(session, sections)
        self._identify(description)
        for index, media in enumerate(description.media):
            media.ice_options = sdp.TRICKLE
            transceiver = transceivers.get(index)
            if media.kind == "application" or transceiver is None:
                continue
            if created.type == "offer":
                self._renumber(transceiver, media, stable)
            media.rtp.codecs = [_as_decoded(codec) for codec in media.rtp.codecs]
            if transceiver.stopped or media.rtp.muxId in self.rejected:
                media.direction = "inactive"
                self.reject(media)
                for group in description.group:
                    group.items = [mid for mid in group.items if mid != media.rtp.muxId]
        for group in description.group:
            group.items = [mid for mid in group.items if bundle is None or mid in bundle]
        # A group of nothing is not in the grammar (RFC 5888 section 5).
        description.group = [group for group in description.group if group.items]
        return RTCSessionDescription(sdp=with_wildcards(str(description)), type=created.type)

    def reject(self, media: MediaDescription) -> None:
        """Write a media section as rejected (RFC 3264 section 6)."""
        media.port = 0
        media.ice_candidates = []
        media.ice_candidates_complete = False

    def learn(
        self,
        transceivers: Iterable[RTCRtpTransceiver],
        remote: SessionDescription | None,
    ) -> None:
        """Record the numbers of what was agreed on."""
        for transceiver in transceivers:
            if transceiver.mid is not None and not transceiver.stopped:
                self.numbering.learn(*negotiated_media(transceiver))
        for media in remote.media if remote else ():
            self.numbering.reserve(
                map(payload_type, media.rtp.codecs),
                (extension.id for extension in media.rtp.headerExtensions),
            )

    def _identify(self, description: SessionDescription) -> None:
        # RFC 9429 section 5.2.2: a session keeps its id, and each description has a version.
        origin = str(description.origin).split()
        self._session_id = self._session_id or origin[1]
        self._version += 1
        description.origin = " ".join(
            [origin[0], self._session_id, str(self._version), *origin[3:]]
        )

    def _renumber(
        self, transceiver: RTCRtpTransceiver, media: MediaDescription, stable: Snapshot
    ) -> None:
        codecs, extensions = stable.agreed_on(transceiver)
        if not codecs or prefers_codecs(transceiver):
            with_feedback = (
                with_stream_feedback if stable.has_stream_feedback else with_transport_feedback
            )
            codecs = self.numbering.codecs(with_feedback(media.rtp.codecs))
            extensions = self.numbering.extensions(header_extensions(media.kind))
        set_media(transceiver, codecs, extensions)
        media.rtp.codecs, media.rtp.headerExtensions = codecs, extensions
        media.fmt = [codec.payloadType for codec in codecs]
        if not any(map(is_rtx, codecs)):
            media.ssrc_group = []
            media.ssrc = media.ssrc[:1]


def _as_decoded(codec: RTCRtpCodecParameters) -> RTCRtpCodecParameters:
    """Return how a codec is written: with what this side can decode beyond what aiortc says."""
    if codec.name.lower() != "opus":
        return codec
    # Senders repeat in a packet what may be lost only for receivers that ask for it (RFC 7587
    # section 6.1). What is agreed on stays what aiortc knows, so that numbers stay too.
    return replace(codec, parameters={"minptime": 10, "useinbandfec": 1, **codec.parameters})
