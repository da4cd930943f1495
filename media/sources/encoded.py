"""Encoded source: passes on the packets of a file, URL or camera without transcoding."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from logging import Logger
from typing import Any, Self

import av
from aiortc.mediastreams import VIDEO_CLOCK_RATE
from av import Packet, VideoFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.stream import VideoStream

from icefloe.encoding import Encoded, turn_of
from icefloe.logs import get_logger

from .._util.clock import Clock
from ..errors import SourceUnreadable
from .decoding import pick_streams
from .location import Place
from .reader_thread import Passes
from .threaded_source import PlayedSource
from .timed_media import Timed, seconds
from .timestamp_splices import Splices

CODECS = {"h264": "H264", "vp8": "VP8", "opus": "opus", "pcm_alaw": "PCMA", "pcm_mulaw": "PCMU"}
"""Codecs whose packets aiortc can send: FFmpeg's name, and the name in SDP."""

_CLOCKS = {"opus": 48000, "pcm_alaw": 8000, "pcm_mulaw": 8000}
_AUDIO_DURATION = Fraction(1, 50)
_VIDEO_DURATION = Fraction(1, 30)
_MIN_FRAME_INTERVAL = Fraction(1, 1000)
_MAX_REORDER_DELAY = Fraction(2)
"""Maximum seconds by which the delivery of pictures is delayed for the reordering of B-frames."""

logger: Logger = get_logger(__name__)


class EncodedSource(PlayedSource):
    """The first audio and the first video stream of a file or URL, as packets.

    Made by ``await EncodedSource.open(...)``. It is like ``FileSource`` without transcoding: aiortc
    packetizes the packets unchanged, which takes almost no processor time. Supported codecs are
    H.264, VP8, Opus and G.711; a stream in another codec is left out.

    The connection must have negotiated the codec: put it first with
    ``RTCRtpTransceiver.setCodecPreferences()``. The bitrate is not adapted to the network. A viewer
    who joins late, or who lost packets, waits for the next key frame of the media, so it should
    have one every second or two. H.264 is sent as Annex B, with the parameter sets before each key
    frame. B-frames are sent in decoding order, with presentation timestamps (RFC 6184 section 5.1).
    Browsers do not expect B-frames and show them unevenly, so a warning is logged. A warning is
    also logged for media with a rotation, such as a portrait video of a phone, because viewers do
    not get the rotation. If the timestamps of the media jump or restart, playback continues without
    a pause.

    A seek goes to the last key frame before its target.

    Attributes:
        path: The path or URL as it was given.
        audio: Gives ``av.Packet`` objects; ``None`` if there is no audio in a supported codec.
        video: Gives ``av.Packet`` objects; ``None`` if there is no video in a supported codec.
        codecs: The SDP name of the codec of each kind, such as ``{"video": "H264"}``.
        error: The error that ended the tracks before the end of the source; ``None`` if there was
            none.
        duration: Seconds; ``None`` if not known, as with live sources.
        reconnections: Number of attempts to reconnect.
    """

    _skips = False

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        *,
        loop: bool = False,
        timeout: float = 10.0,
        reconnect: int = 5,
        format: str | None = None,
        options: dict[str, str] | None = None,
        clock: Clock | None = None,
    ) -> Self:
        """Open a file, a URL or a camera that encodes, and read its first packet.

        Args:
            path: As for ``FileSource.open()``, or a device.
            loop: Whether to restart at the end, for ever, with increasing timestamps.
            timeout: Maximum seconds for opening, and later for each read of a URL.
            reconnect: Maximum number of consecutive failed attempts to reconnect to a URL that gave
                media before.
            format: FFmpeg's name of a format that it does not detect, or of the driver of a device:
                ``v4l2`` for ``/dev/video0``, with ``{"input_format": "h264"}``.
            options: Options of FFmpeg.
            clock: Paces the packets; the monotonic clock of the machine if ``None``.

        Raises:
            SourceNotFound: The file does not exist.
            SourceUnreadable: It has no stream in a supported codec.
            SourceTimeout: The first packet did not arrive in time.

        Cancellation: safe; what was opened is closed.
        """
        name = os.fspath(path)
        return await cls._open(
            name,
            partial(Place.of, name, options, format),
            loop=loop,
            timeout=timeout,
            reconnect=reconnect,
            clock=clock,
        )

    @property
    def codecs(self) -> dict[str, str]:
        """The SDP name of the codec of each kind."""
        return {kind: CODECS[name] for kind, name in self._repacking.codecs.items()}

    def _passes(self, wanted: Callable[[str], bool]) -> Passes:
        self._repacking = _Repacking(self.path, wanted)
        return self._repacking


class _Repacking:
    """Reader of the packets of a container onto one playback timeline, in one or more passes."""

    def __init__(self, name: str, wanted: Callable[[str], bool]) -> None:
        self.codecs: dict[str, str] = {}
        self._name = name
        self._wanted = wanted
        self._start = self._media_start = self._end = Fraction(0)
        self._filters: dict[str, BitStreamFilterContext] = {}
        self._last: dict[str, int] = {}
        self._warned = self._checked_rotation = False

    def pick(self, container: InputContainer) -> dict[str, AudioStream | VideoStream]:
        found = pick_streams(container)
        names = {kind: s.codec_context.codec.canonical_name for kind, s in found.items()}
        usable = {kind: s for kind, s in found.items() if names[kind] in CODECS}
        if found and not usable:
            raise SourceUnreadable(
                self._name, f"{' and '.join(names.values())} cannot be sent without transcoding"
            )
        self.codecs = {kind: names[kind] for kind in usable}
        return usable

    def restart(self, at: Fraction, rate: Fraction) -> None:
        self._start = self._end = at
        self._last.clear()

    @property
    def reached(self) -> Fraction:
        return self._media_start + self._end - self._start

    def play(
        self, container: InputContainer, *, start: Fraction, origin: Fraction | None
    ) -> Iterator[Timed]:
        streams = self.pick(container)
        if origin is None:
            origin = Fraction(container.start_time or 0, av.time_base)
        self._media_start = start
        # After a seek, playback starts with a key frame, which may be earlier; audio follows it.
        started = not start
        splices, reorder_delay = Splices(start), Fraction(0)
        leader = "video" if "video" in streams else "audio"
        self._filters = {
            kind: BitStreamFilterContext(_filter_for(stream), stream)
            for kind, stream in streams.items()
            if self.codecs[kind] == "h264"
        }
        for packet in container.demux(*streams.values()):
            kind = packet.stream.type
            if packet.size == 0 or packet.time_base is None or not self._wanted(kind):
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            reported = None if stamp is None else seconds(stamp, packet.time_base) - origin
            length = _duration(packet, kind)
            # Raw streams have no timestamps: each packet follows the previous one.
            media = due = splices.place(kind, reported, length)
            if kind == "video" and reported is not None and packet.dts is not None:
                decoded = seconds(packet.dts, packet.time_base) - origin + media - reported
                # Delay all pictures by the largest reordering so far, for an even rate.
                reorder_delay = min(max(reorder_delay, media - decoded), _MAX_REORDER_DELAY)
                due = min(max(media, decoded + reorder_delay), media + _MAX_REORDER_DELAY)
            if not started and kind == leader:
                started = True
                self._media_start = media
            if not started or media < self._media_start - _AUDIO_DURATION:
                continue
            self._end = max(self._end, self._start + media - self._media_start + length)
            # The filter empties the packet, so its flag is read before.
            key = packet.is_keyframe
            if kind == "video" and not self._checked_rotation:
                self._checked_rotation = True
                self._warn_of_rotation(packet, streams[kind])
            for data in self._filtered(packet, kind):
                yield self._timed(data, kind, media, due, length, key=key)

    def _warn_of_rotation(self, packet: "Packet[Any]", stream: AudioStream | VideoStream) -> None:
        """Log a warning if the media has a rotation, which only a decoded picture shows."""
        try:
            frames = [*packet.decode(), *stream.codec_context.decode(None)]
        except av.FFmpegError:
            return  # damaged media is passed on unchanged
        if any(isinstance(frame, VideoFrame) and turn_of(frame) for frame in frames):
            logger.warning(
                "%r has a rotation, which viewers do not get; use FileSource, which applies it",
                self._name,
            )

    def next_pass(self) -> None:
        self._start = self._end

    def finish(self) -> Iterator[Timed]:
        return iter(())

    def _filtered(self, packet: "Packet[Any]", kind: str) -> list[bytes]:
        if kind not in self._filters:
            return [bytes(packet)]
        return [bytes(p) for p in self._filters[kind].filter(packet)]

    def _timed(
        self,
        data: bytes,
        kind: str,
        media: Fraction,
        due: Fraction,
        length: Fraction,
        *,
        key: bool,
    ) -> Timed:
        time = max(Fraction(0), self._start + media - self._media_start)
        clock = _CLOCKS.get(self.codecs[kind], VIDEO_CLOCK_RATE)
        repacked: Packet[Any] = Packet(data)
        repacked.time_base = Fraction(1, clock)
        ticks = round(time * clock)
        if ticks < self._last.get(kind, 0) and not self._warned:
            self._warned = True
            logger.warning("%r has B-frames, which browsers show unevenly", self._name)
        self._last[kind] = repacked.pts = repacked.dts = ticks
        repacked.is_keyframe = key
        # A sender that has negotiated another codec says so, in the place of sending it as that.
        repacked.opaque = Encoded(CODECS[self.codecs[kind]], is_key_frame=key)
        at = time + due - media
        end = at + (length if kind == "audio" else _MIN_FRAME_INTERVAL)
        return Timed(repacked, kind, max(0.0, float(media)), float(at), float(end))


def _filter_for(stream: AudioStream | VideoStream) -> str:
    extradata = stream.codec_context.extradata or b""
    # Configuration records of ISO/IEC 14496-15 begin with version 1, Annex B with a zero.
    if extradata[:1] == b"\1":
        return "h264_mp4toannexb"
    # RTSP has the parameter sets in its session description; viewers need them in the stream. The
    # filter does not repeat parameter sets that are there already.
    return "dump_extra=freq=keyframe" if extradata else "null"


def _duration(packet: "Packet[Any]", kind: str) -> Fraction:
    if packet.duration and packet.time_base is not None:
        return seconds(packet.duration, packet.time_base)
    return _AUDIO_DURATION if kind == "audio" else _VIDEO_DURATION
