"""Encode once, for many viewers: one encoder for each codec and size, made when somebody needs it.

``EncodedFanout`` is for one source and many peers. Each viewer's track gives encoded frames, and
peers that are icefloe's tell it what they can decode, how they receive, and when they have lost a
picture (``icefloe.peer.EncodedTrack``). A viewer that receives badly gets a smaller picture, of an
encoder of its own; the others do not notice.
"""

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aiortc import MediaStreamTrack
from aiortc.mediastreams import VIDEO_CLOCK_RATE, MediaStreamError
from av import VideoFrame
from av.packet import Packet
from av.video.frame import PictureType

from icefloe.encoding import KeyFrameRequests, MediaClock, PacketQueue, default_bitrate
from icefloe.logs import get_logger

from .._util.audio_encoder_thread import SoundThread
from .._util.shared_reader import DerivedTrack, MediaData, SharedSource
from .._util.video_encoder_thread import EncoderThread
from .._util.wakeup import Signal
from ..errors import InvalidParameter
from .quality_tiers import TierChooser

CODECS = {"video": ("H264", "VP8"), "audio": ("opus",)}
"""What can be encoded; of these a viewer gets what its peer prefers."""

_ASSUMED = {"video": "VP8", "audio": "opus"}
"""What a sender decodes that does not say so: aiortc's, unless it was told otherwise."""

_KEPT = {"video": 30, "audio": 50}
_RATE_WINDOW = 1.0
_ONE_VIEWERS_INTERVAL = 1.0
"""Seconds between the key frames that one viewer can cause: all others get them too."""

logger = get_logger(__name__)


class Codec(Protocol):
    """What is needed of ``RTCRtpCodecParameters``."""

    @property
    def name(self) -> str:
        """The part of the MIME type behind the slash."""


@dataclass(frozen=True, slots=True)
class EncoderReport:
    """What one encoder of a fan-out does.

    Attributes:
        codec: ``"H264"``, ``"VP8"`` or ``"opus"``.
        scale_down_by: By how much width and height are divided.
        implementation: FFmpeg's name of the encoder; empty before the first frame.
        viewers: How many get what it makes.
        frames: How many frames it has encoded.
        dropped: How many it has not, because it was not ready in time.
    """

    codec: str
    scale_down_by: float
    implementation: str
    viewers: int
    frames: int
    dropped: int


class EncodedFanout(SharedSource["EncodedSubscription"]):
    """Shares one track among several peers, encoding it once for each codec and tier.

    The source is first read when a viewer first asks for a frame. To be used in one event loop;
    each encoder has a thread, which ends with its last viewer.

    Args:
        track: The source, of raw frames.
        bitrate: Bits a second of the best tier; what the size of the picture is worth if ``None``.
            A tier of half the width has a quarter of it.
        tiers: By how much width and height of each tier are divided, rising.
        content_hint: ``"motion"``, ``"detail"`` or ``"text"`` (W3C mst-content-hint); the
            ``contentHint`` of the track if ``None``.
        stop_source: Whether the source is stopped when the last viewer leaves. If not, it is not
            read until somebody subscribes again.

    Attributes:
        error: Why something of the source could not be encoded, the latest; None if all was. A
            frame that is of no use is passed over, and the next one is tried.

    Raises:
        InvalidParameter: The tiers are none, below 1, or not rising.
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
            raise InvalidParameter("bitrate", bitrate, "give bits a second, or None")
        super().__init__(track, stop_source=stop_source)
        self.error: Exception | None = None
        self._bitrate = bitrate
        self._tiers = tuple(tiers) if track.kind == "video" else (1.0,)
        self._content_hint = content_hint
        self._encoders: dict[tuple[str, int], _Shared] = {}
        self._size = (0, 0)
        self._clock = MediaClock(VIDEO_CLOCK_RATE)

    @property
    def encoders(self) -> list[EncoderReport]:
        """What is being encoded, and for how many."""
        return [
            EncoderReport(
                codec,
                self._tiers[tier],
                shared.thread.implementation,
                len(shared.viewers),
                shared.thread.frames,
                shared.thread.dropped,
            )
            for (codec, tier), shared in sorted(self._encoders.items())
        ]

    def subscribe(
        self, *, codec: str | None = None, keep: int | None = None
    ) -> "EncodedSubscription":
        """Return a new track of encoded frames, for one peer; it begins with a key frame.

        If the source has ended, so has the new track.

        Args:
            codec: ``"H264"``, ``"VP8"`` or ``"opus"``; what the peer prefers if ``None``. Give it
                for peers of plain aiortc, which do not say: they are taken to prefer VP8.
            keep: How many unread frames to keep, 30 of video and 50 of audio if ``None``. When they
                are too many all are dropped, and it goes on with a key frame.

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
        viewer = EncodedSubscription(self, keep or _KEPT[kind])
        if self._ended:
            viewer.stop()
        else:
            self._readers.add(viewer)
            if codec is not None:
                viewer._choose(codec)
        return viewer

    # --- for its subscriptions

    def _join(self, viewer: "EncodedSubscription", codec: str, tier: int) -> "_Shared":
        key = (codec, tier)
        if key not in self._encoders:
            scale = self._tiers[tier]
            hint = self._content_hint
            if hint is None:
                hint = getattr(self._source, "contentHint", "")
            bitrate = round(self._bitrate / scale**2) if self._bitrate is not None else None
            shared = self._encoders[key] = _Shared()
            if self._source.kind == "audio":
                shared.thread = SoundThread(
                    codec,
                    deliver=shared.deliver,
                    fail=lambda error: self._fail(key, error),
                    refuse=self._refuse,
                )
            else:
                shared.thread = EncoderThread(
                    codec,
                    scale_down_by=scale,
                    bitrate=bitrate,
                    content_hint=hint,
                    deliver=shared.deliver,
                    fail=lambda error: self._fail(key, error),
                )
        shared = self._encoders[key]
        shared.viewers.add(viewer)
        shared.thread.key_frames.ask()
        return shared

    def _part(self, viewer: "EncodedSubscription", shared: "_Shared") -> None:
        shared.viewers.discard(viewer)
        if not shared.viewers:
            shared.thread.close()
            self._encoders = {k: v for k, v in self._encoders.items() if v is not shared}

    def _rates(self) -> list[int]:
        """Return the bits a second of each tier at most, the best first."""
        best = self._bitrate or default_bitrate(*self._size)
        return [max(1, round(best / scale**2)) for scale in self._tiers]

    # --- the source

    def _put(self, frame: MediaData) -> None:
        if isinstance(frame, Packet):
            error = InvalidParameter("track", self._source, "it comes encoded: use Fanout for it")
            self._refuse(error)
            self.close()
        elif self._source.kind == "audio":
            for shared in tuple(self._encoders.values()):
                if isinstance(shared.thread, SoundThread):
                    shared.thread.offer(frame)
        elif isinstance(frame, VideoFrame):
            self._put_picture(frame)
        else:
            what = type(frame).__name__
            self._refuse(InvalidParameter("frame", what, "a track of video gives av.VideoFrame"))

    def _put_picture(self, frame: VideoFrame) -> None:
        self._size = frame.width, frame.height
        # What a decoder gave says of each picture what it was; it is not to be that again.
        frame.pict_type = PictureType.NONE
        now = time.monotonic()
        at = self._clock.place(frame.pts, frame.time_base, now)
        for shared in tuple(self._encoders.values()):
            if not isinstance(shared.thread, EncoderThread):
                continue
            key_frame = shared.thread.key_frames.due(now)
            if key_frame:
                shared.begins(at)
            shared.thread.offer(frame, at=at, key_frame=key_frame)

    def _refuse(self, error: Exception) -> None:
        """Keep why something of the source could not be encoded; each reason is logged once."""
        if str(error) != str(self.error):
            logger.error("track %s: %s", self._source.id, error)
        self.error = error

    def _fail(self, key: tuple[str, int], error: Exception) -> None:
        self.error = error
        shared = self._encoders.get(key)
        for viewer in tuple(shared.viewers) if shared is not None else ():
            viewer.stop()


class _Shared:
    """An encoder and those who get what it makes."""

    thread: EncoderThread | SoundThread

    def __init__(self) -> None:
        self.viewers: set[EncodedSubscription] = set()
        self.rate: int | None = None
        """Bits a second that it makes, once that is known: a picture that rests takes few."""
        self._counted, self._counted_since = 0, time.monotonic()

    def begins(self, at: int | None) -> None:
        """Tell those who wait for this encoder's key frame at what time it will be."""
        for viewer in self.viewers:
            viewer._begins(self, at)

    def deliver(self, made: list["Packet[Any]"]) -> None:
        """Give everybody what was encoded."""
        self._count(sum(packet.size for packet in made))
        for packet in made:
            if packet.is_keyframe:
                self.thread.key_frames.made(time.monotonic())
            for viewer in tuple(self.viewers):
                viewer._take(self, packet)

    def _count(self, size: int) -> None:
        self._counted += size
        passed = time.monotonic() - self._counted_since
        if passed >= _RATE_WINDOW:
            latest = round(self._counted * 8 / passed)
            # A key frame now and then is not to look as if the picture had become another.
            self.rate = latest if self.rate is None else (self.rate + latest) // 2
            self._counted, self._counted_since = 0, time.monotonic()


class EncodedSubscription(DerivedTrack):
    """One peer's track of an ``EncodedFanout``; made by its ``subscribe()``.

    ``recv()`` gives ``av.Packet``. An icefloe sender uses its other methods, as
    ``icefloe.peer.EncodedTrack`` has them, and stops it when it ends.
    """

    ends_with_sender = True
    """Made for one peer: icefloe's sender stops it too when it ends."""

    def __init__(self, fanout: EncodedFanout, keep: int) -> None:
        super().__init__(fanout._source)
        self.kind = fanout._source.kind
        self._fanout = fanout
        self._packets = PacketQueue(keep)
        self._changed = Signal()
        self._complete = False
        self._codec: str | None = None
        self._current: _Shared | None = None
        self._next: _Shared | None = None
        self._until: int | None = None
        self._asking = KeyFrameRequests(_ONE_VIEWERS_INTERVAL)
        self._chooser = TierChooser()
        self._tier = 0

    @property
    def dropped(self) -> int:
        """How many frames the reader did not get because it did not read."""
        return self._packets.dropped

    @property
    def codec(self) -> str | None:
        """What it is encoded to; ``None`` until that is known."""
        return self._codec

    @property
    def scale_down_by(self) -> float:
        """By how much width and height are divided at the moment."""
        return self._fanout._tiers[self._tier]

    async def recv(self) -> "Packet[Any]":
        """Return the oldest encoded frame that is kept, waiting for one if need be.

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
                self._choose(_ASSUMED[self.kind])
            if self._packets.needs_key_frame:
                self._ask()
            self._fanout._start()
            await self._changed.wait()
        return packet

    def stop(self) -> None:
        """End this subscription; the other ones go on."""
        if self.readyState == "live":
            super().stop()
            self._packets.clear()
            for shared in (self._current, self._next):
                if shared is not None:
                    self._fanout._part(self, shared)
            self._current = self._next = None
            self._fanout._leave(self)
        self._changed.wake()

    # --- what a sender tells it

    def use(self, codecs: Sequence[Codec]) -> None:
        """Take the first of the codecs that there is an encoder for."""
        for codec in codecs:
            for known in CODECS[self.kind]:
                if codec.name.lower() == known.lower():
                    self._choose(known)
                    return
        logger.warning(
            "track %s: the peer knows none of %s, and gets nothing",
            self.id,
            ", ".join(CODECS[self.kind]),
        )

    def request_key_frame(self) -> None:
        """Have a key frame made soon, for everybody who has this codec and tier."""
        self._asking.ask()
        self._ask_if_due()

    def feedback(self, *, bitrate: int | None, loss: float, rtt: float | None) -> None:
        """Choose the tier by how the peer receives; see ``icefloe.peer.EncodedTrack``."""
        if self.kind != "video" or self._fanout._size == (0, 0) or self._codec is None:
            return
        now, rates = time.monotonic(), self._fanout._rates()
        # While it goes over to another encoder, reports are about the one before.
        sent = self._current.rate if self._current is not None and self._next is None else None
        tier = self._chooser.feedback(now, rates, sent=sent, bitrate=bitrate, loss=loss)
        if tier != self._tier:
            logger.debug("viewer.tier track=%s tier=%d bitrate=%s", self.id, tier, bitrate)
            self._tier = tier
            self._move()

    # --- what the fan-out tells it

    def _choose(self, codec: str) -> None:
        if codec != self._codec and self.readyState == "live":
            self._codec = codec
            self._move()

    def _move(self) -> None:
        """Go over to the encoder of the codec and tier; the one in use serves until it is ready."""
        assert self._codec is not None
        before = self._next
        self._next = self._fanout._join(self, self._codec, self._tier)
        self._until = None
        if before is not None and before is not self._next and before is not self._current:
            self._fanout._part(self, before)
        if self._next is self._current:  # back again before the other one was ready
            self._next = None

    def _begins(self, shared: _Shared, at: int | None) -> None:
        if shared is self._next:
            self._until = at

    def _take(self, shared: _Shared, packet: "Packet[Any]") -> None:
        if shared is self._next:
            if not packet.is_keyframe:
                shared.thread.key_frames.ask()
                return
            before, self._current, self._next = self._current, shared, None
            self._until = None
            if before is not None:
                self._fanout._part(self, before)
        elif shared is not self._current or self._is_past(packet):
            return
        self._ask_if_due()
        if self._packets.put(packet):
            self._changed.wake()

    def _is_past(self, packet: "Packet[Any]") -> bool:
        """Whether the encoder to come has this frame too, and slower ones are not to overtake."""
        return self._until is not None and packet.pts is not None and packet.pts >= self._until

    def _ask(self) -> None:
        shared = self._next or self._current
        if shared is not None:
            shared.thread.key_frames.ask()

    def _ask_if_due(self) -> None:
        if self._asking.due(time.monotonic()):
            self._ask()

    def _finish(self) -> None:
        self._complete = True
        self._changed.wake()
