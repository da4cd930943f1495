"""Fan-out of encoded media: one encoder for each codec and size, shared by all its viewers.

``EncodedFanout`` sends one source to many peers. Each viewer's track gives encoded frames. A sender
of icefloe passes on the codecs of its peer, receiver feedback and key frame requests
(``icefloe.peer.EncodedTrack``). A viewer with a bad connection is switched to a smaller picture,
which another encoder makes; the other viewers are not affected.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from logging import Logger
from typing import Any, Protocol

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame
from av.packet import Packet

from icefloe.encoding import KeyFrameRequests, PacketQueue, default_bitrate
from icefloe.logs import get_logger

from .._util.shared_reader import DerivedTrack, MediaData, SharedSource
from .._util.wakeup import Signal
from ..errors import InvalidParameter
from .quality_tiers import TierChooser
from .shared_encoder import EncoderPool, EncoderReport, SharedEncoder

CODECS: dict[str, tuple[str, ...]] = {"video": ("H264", "VP8"), "audio": ("opus",)}
"""Codecs with an encoder; a viewer gets the one that its peer prefers."""

_DEFAULT_CODEC = {"video": "VP8", "audio": "opus"}
"""Codec for senders that do not report the codecs of their peer; aiortc prefers these."""

_QUEUED_FRAMES = {"video": 30, "audio": 50}
_VIEWER_KEY_FRAME_INTERVAL = 1.0
"""Minimum of seconds between key frames requested by one viewer: all other viewers get them too."""

logger: Logger = get_logger(__name__)


class Codec(Protocol):
    """The part of ``RTCRtpCodecParameters`` that is used."""

    @property
    def name(self) -> str:
        """The subtype of the MIME type."""


class EncodedFanout(SharedSource["EncodedSubscription"]):
    """A fan-out of one track to several peers, which encodes it once for each codec and tier.

    The source is read from the first ``recv()`` of a viewer on. Use it in one event loop. Each
    encoder has a thread, which ends with its last viewer.

    Args:
        track: The source, of raw frames.
        bitrate: Bits per second of the best tier; chosen by the picture size if ``None``. A tier of
            half the width has a quarter of it.
        tiers: Divisors of width and height of each tier, rising, 1 or more.
        content_hint: ``"motion"``, ``"detail"`` or ``"text"`` (W3C mst-content-hint); the
            ``contentHint`` of the track if ``None``.
        stop_source: Whether to stop the source when the last viewer leaves. If not, the source is
            not read until the next subscription.

    Attributes:
        error: The latest error of a frame that could not be encoded; ``None`` if there was none.
            The stream continues with the next frame.

    Raises:
        InvalidParameter: There are no tiers, one is below 1, or they are not rising.
    """

    _name = "encoded-fanout"

    def __init__(
        self,
        track: MediaStreamTrack,
        *,
        bitrate: int | None = None,
        tiers: Sequence[float] = (1.0, 2.0, 4.0),
        content_hint: str | None = None,
        stop_source: bool = True,
    ) -> None:
        rising = all(a < b for a, b in itertools.pairwise(tiers))
        if not tiers or tiers[0] < 1 or not rising:
            raise InvalidParameter("tiers", tiers, "give rising numbers of 1 and more")
        if bitrate is not None and bitrate <= 0:
            raise InvalidParameter("bitrate", bitrate, "give bits per second, or None")
        super().__init__(track, stop_source=stop_source)
        self.error: Exception | None = None
        self._bitrate = bitrate
        self._tiers = tuple(tiers) if track.kind == "video" else (1.0,)
        self._encoders = EncoderPool(
            track,
            tiers=self._tiers,
            bitrate=bitrate,
            content_hint=content_hint,
            refuse=self._refuse,
            fail=self._fail,
        )

    @property
    def encoders(self) -> list[EncoderReport]:
        """Statistics of each encoder in use."""
        return self._encoders.reports()

    def subscribe(
        self, *, codec: str | None = None, keep: int | None = None
    ) -> "EncodedSubscription":
        """Return a new track of encoded frames, for one peer; it begins with a key frame.

        If the source has ended, the new track has ended too.

        Args:
            codec: ``"H264"``, ``"VP8"`` or ``"opus"``; the one that the peer prefers if ``None``.
                Give it for connections of plain aiortc, which do not report the codecs of the peer
                and get VP8 otherwise.
            keep: Maximum number of queued frames; if ``None`` 30 of video and 50 of audio. On
                overflow all are dropped, and the track resumes with a key frame.

        Raises:
            InvalidParameter: There is no encoder for the codec, or ``keep`` is less than one.
            RuntimeError: No event loop runs.
        """
        kind = self._source.kind
        known = CODECS.get(kind, ())
        if codec is not None and codec not in known:
            raise InvalidParameter("codec", codec, f"{kind} is encoded to {' or '.join(known)}")
        if keep is not None and keep < 1:
            raise InvalidParameter("keep", keep, "keep at least one frame")
        asyncio.get_running_loop()
        viewer = EncodedSubscription(self, keep or _QUEUED_FRAMES[kind])
        if self._ended:
            viewer.stop()
        else:
            self._readers.add(viewer)
            if codec is not None:
                viewer._choose(codec)
        return viewer

    def _rates(self) -> list[int]:
        """Return the maximum bitrate of each tier, the best first, in bits per second."""
        best = self._bitrate or default_bitrate(*self._encoders.size)
        return [max(1, round(best / scale**2)) for scale in self._tiers]

    def _put(self, frame: MediaData) -> None:
        if isinstance(frame, Packet):
            error = InvalidParameter("track", self._source, "it is encoded already: use Fanout")
            self._refuse(error)
            self.close()
        elif self._source.kind == "audio":
            self._encoders.encode_audio(frame)
        elif isinstance(frame, VideoFrame):
            self._encoders.encode_picture(frame)
        else:
            what = type(frame).__name__
            self._refuse(InvalidParameter("frame", what, "a video track must give av.VideoFrame"))

    def _refuse(self, error: Exception) -> None:
        """Keep the error of a frame that could not be encoded; log it unless it repeats."""
        if str(error) != str(self.error):
            logger.error("track %s: %s", self._source.id, error)
        self.error = error

    def _fail(self, error: Exception) -> None:
        self.error = error


class EncodedSubscription(DerivedTrack):
    """One peer's track of an ``EncodedFanout``; made by its ``subscribe()``.

    ``recv()`` gives ``av.Packet``. A sender of icefloe calls the methods of
    ``icefloe.peer.EncodedTrack`` and stops the track when the sender ends.
    """

    ends_with_sender = True
    """Tells a sender of icefloe to stop this track when the sender ends."""

    def __init__(self, fanout: EncodedFanout, keep: int) -> None:
        super().__init__(fanout._source)
        self.kind: str = fanout._source.kind
        self._fanout = fanout
        self._packets = PacketQueue(keep)
        self._changed = Signal()
        self._complete = False
        self._codec: str | None = None
        self._current: SharedEncoder | None = None
        self._next: SharedEncoder | None = None
        self._until: int | None = None
        """Timestamp of the first key frame of ``_next``, in 1/90000 s."""
        self._key_frame_requests = KeyFrameRequests(_VIEWER_KEY_FRAME_INTERVAL)
        self._chooser = TierChooser()
        self._tier = 0

    @property
    def dropped(self) -> int:
        """Number of frames that were dropped because the reader was too slow."""
        return self._packets.dropped

    @property
    def codec(self) -> str | None:
        """The codec; ``None`` until it was chosen."""
        return self._codec

    @property
    def scale_down_by(self) -> float:
        """Current divisor of width and height."""
        return self._fanout._tiers[self._tier]

    @property
    def wanted_bitrate(self) -> int:
        """Bits per second of the best tier, which the sender seeks to make room for."""
        return self._fanout._rates()[0]

    async def recv(self) -> "Packet[Any]":
        """Take and return the oldest encoded frame of the queue; wait for one if it is empty.

        Raises:
            MediaStreamError: The source has ended, or this track was stopped.

        Cancellation: safe; no frame is lost.
        """
        while (packet := self._packets.get()) is None:
            if self._complete:
                self.stop()
            if self.readyState != "live":
                raise MediaStreamError("the track has ended")
            if self._codec is None:
                self._choose(_DEFAULT_CODEC[self.kind])
            if self._packets.needs_key_frame:
                self._ask_for_key_frame()
            self._fanout._start()
            await self._changed.wait()
        return packet

    def stop(self) -> None:
        """End this subscription; the others are not affected."""
        if self.readyState == "live":
            super().stop()
            self._packets.clear()
            for shared in (self._current, self._next):
                if shared is not None:
                    self._fanout._encoders.leave(self, shared)
            self._current = self._next = None
            self._fanout._leave(self)
        self._changed.wake()

    def use(self, codecs: Sequence[Codec]) -> None:
        """Choose the first of the peer's codecs that has an encoder.

        Args:
            codecs: Codecs that the peer decodes, in its order of preference.
        """
        for codec in codecs:
            for known in CODECS[self.kind]:
                if codec.name.lower() == known.lower():
                    self._choose(known)
                    return
        logger.warning(
            "track %s: the peer supports none of %s, so nothing is sent to it",
            self.id,
            ", ".join(CODECS[self.kind]),
        )

    def request_key_frame(self) -> None:
        """Request a key frame; all viewers with this codec and tier get it."""
        self._key_frame_requests.ask()
        self._ask_if_due()

    def feedback(self, *, bitrate: int | None, loss: float, rtt: float | None) -> None:
        """Choose the tier by the reception of the peer.

        Args:
            bitrate: Bandwidth estimate, in bits per second; ``None`` if not known.
            loss: Fraction of lost packets, 0 to 1.
            rtt: Round-trip time, in seconds; ``None`` if not known. It is not used.
        """
        if self.kind != "video" or self._fanout._encoders.size == (0, 0) or self._codec is None:
            return
        now, rates = time.monotonic(), self._fanout._rates()
        # During a switch the reports are about the previous encoder.
        sent = self._current.rate if self._current is not None and self._next is None else None
        tier = self._chooser.feedback(now, rates, sent=sent, bitrate=bitrate, loss=loss)
        if tier != self._tier:
            logger.debug("viewer.tier track=%s tier=%d bitrate=%s", self.id, tier, bitrate)
            self._tier = tier
            self._switch_encoder()

    def _choose(self, codec: str) -> None:
        if codec != self._codec and self.readyState == "live":
            self._codec = codec
            self._switch_encoder()

    def _switch_encoder(self) -> None:
        """Switch to the encoder of the codec and tier at its first key frame."""
        assert self._codec is not None
        encoders = self._fanout._encoders
        before = self._next
        self._next = encoders.join(self, self._codec, self._tier)
        self._until = None
        if before is not None and before is not self._next and before is not self._current:
            encoders.leave(self, before)
        if self._next is self._current:  # switched back before the first key frame
            self._next = None

    def _expect_key_frame(self, shared: SharedEncoder, at: int | None) -> None:
        if shared is self._next:
            self._until = at

    def _take(self, shared: SharedEncoder, packet: "Packet[Any]") -> None:
        if shared is self._next:
            if not packet.is_keyframe:
                shared.thread.key_frames.ask()
                return
            before, self._current, self._next = self._current, shared, None
            self._until = None
            if before is not None:
                self._fanout._encoders.leave(self, before)
        elif shared is not self._current or self._is_past(packet):
            return
        self._ask_if_due()
        if self._packets.put(packet):
            self._changed.wake()

    def _is_past(self, packet: "Packet[Any]") -> bool:
        """Return whether the next encoder's key frame replaces this frame of the current one."""
        return self._until is not None and packet.pts is not None and packet.pts >= self._until

    def _ask_for_key_frame(self) -> None:
        shared = self._next or self._current
        if shared is not None:
            shared.thread.key_frames.ask()

    def _ask_if_due(self) -> None:
        if self._key_frame_requests.due(time.monotonic()):
            self._ask_for_key_frame()

    def _finish(self) -> None:
        self._complete = True
        self._changed.wake()
