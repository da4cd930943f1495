"""Media that is encoded already, passed on without being decoded."""

import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from typing import Any, Self

import av
from aiortc.mediastreams import VIDEO_CLOCK_RATE
from av import Packet, VideoFrame
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.video.stream import VideoStream

from icefloe.encoding import turn_of
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
"""What aiortc can send as it is: FFmpeg's name, and that in SDP."""

_CLOCKS = {"opus": 48000, "pcm_alaw": 8000, "pcm_mulaw": 8000}
_AUDIO_DURATION = Fraction(1, 50)
_VIDEO_DURATION = Fraction(1, 30)
_TICK = Fraction(1, 1000)
_HELD = Fraction(1)
"""Seconds by which a picture may come after it is seen, in the order of decoding."""

logger = get_logger(__name__)


class EncodedSource(PlayedSource):
    """The first audio and the first video stream of a file or URL, as packets.

    Made by ``await EncodedSource.open(...)``. Like ``FileSource``, but nothing is decoded and
    encoded again: aiortc puts the packets into RTP as they are, which takes next to no processor
    time. H.264, VP8, Opus and G.711 can be sent so; a stream in another codec is left out.

    The connection must have agreed on that codec: put it first with
    ``RTCRtpTransceiver.setCodecPreferences()``. The other side must decode what comes, for nobody
    adapts it to the network. A viewer who joins late, or who lost packets, waits for the next key
    frame of the media; have one every second or two. H.264 is sent as Annex B, with its parameter
    sets before each key frame. Pictures that refer to later ones (B-frames) are sent in the order
    of decoding, with the times at which they are to be seen (RFC 6184 section 5.1); browsers, which
    do not expect them, show them unevenly, and a warning is logged. So is media that is to be shown
    turned, as a film taken upright by a phone: nothing tells it to the viewers. Where the times of
    the media leap or begin anew, it goes on without a pause.

    A jump goes to the last key frame before its target.

    Attributes:
        path: The path or URL as it was given.
        audio: Gives ``av.Packet`` objects; None if there is no audio that can be sent so.
        video: Gives ``av.Packet`` objects; None if there is no video that can be sent so.
        codecs: The name in SDP of each kind, such as ``{"video": "H264", "audio": "opus"}``.
        error: What ended the tracks before the end of the source; None if nothing did.
        duration: Seconds; None if it is not known, as with live sources.
        reconnections: How many times it was tried to connect again.
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
            loop: Start again at the end, for ever. Timestamps go on growing.
            timeout: Seconds that opening, and later each read of a URL, may take.
            reconnect: How many times in a row it may fail to connect again with a URL that gave
                media before.
            format: FFmpeg's name of a format that it does not find out by itself, or of the driver
                of a device: ``v4l2`` for ``/dev/video0``, with ``{"input_format": "h264"}``.
            options: For FFmpeg.
            clock: Paces the packets; the monotonic clock of the machine if None.

        Raises:
            SourceNotFound: There is no such file.
            SourceUnreadable: There is nothing in it that can be sent without encoding it.
            SourceTimeout: The first packet did not come in time.

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
        """The name in SDP of the codec of each kind."""
        return {kind: CODECS[name] for kind, name in self._repacking.codecs.items()}

    def _passes(self, wanted: Callable[[str], bool]) -> Passes:
        self._repacking = _Repacking(self.path, wanted)
        return self._repacking


class _Repacking:
    """From an open container to packets on one timeline, over any number of passes."""

    def __init__(self, name: str, wanted: Callable[[str], bool]) -> None:
        self.codecs: dict[str, str] = {}
        self._name = name
        self._wanted = wanted
        self._start = self._from = self._end = Fraction(0)
        self._filters: dict[str, BitStreamFilterContext] = {}
        self._last: dict[str, int] = {}
        self._warned = self._looked = False

    def pick(self, container: InputContainer) -> dict[str, AudioStream | VideoStream]:
        found = pick_streams(container)
        names = {kind: s.codec_context.codec.canonical_name for kind, s in found.items()}
        usable = {kind: s for kind, s in found.items() if names[kind] in CODECS}
        if found and not usable:
            raise SourceUnreadable(
                self._name, f"{' and '.join(names.values())} cannot be sent without encoding it"
            )
        self.codecs = {kind: names[kind] for kind in usable}
        return usable

    def restart(self, at: Fraction, rate: Fraction) -> None:
        self._start = self._end = at
        self._last.clear()

    @property
    def reached(self) -> Fraction:
        return self._from + self._end - self._start

    def play(
        self, container: InputContainer, *, start: Fraction, origin: Fraction | None
    ) -> Iterator[Timed]:
        streams = self.pick(container)
        if origin is None:
            origin = Fraction(container.start_time or 0, av.time_base)
        self._from = start
        # What was jumped to begins with a key frame, which may be earlier; sound follows it.
        begun = not start
        splices, held = Splices(start), Fraction(0)
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
            told = None if stamp is None else seconds(stamp, packet.time_base) - origin
            length = _duration(packet, kind)
            # Bare streams tell no time: one packet follows the other.
            media = due = splices.place(kind, told, length)
            if kind == "video" and told is not None and packet.dts is not None:
                decoded = seconds(packet.dts, packet.time_base) - origin + media - told
                # Those that others refer to come when they are seen, and the others after them.
                held = min(max(held, media - decoded), _HELD)
                due = min(max(media, decoded + held), media + _HELD)
            if not begun and kind == leader:
                begun = True
                self._from = media
            if not begun or media < self._from - _AUDIO_DURATION:
                continue
            self._end = max(self._end, self._start + media - self._from + length)
            # A filter takes the packet over, and leaves an empty one.
            key = packet.is_keyframe
            if kind == "video" and not self._looked:
                self._looked = True
                self._look_whether_turned(packet, streams[kind])
            for data in self._filtered(packet, kind):
                yield self._timed(data, kind, media, due, length, key=key)

    def _look_whether_turned(
        self, packet: "Packet[Any]", stream: AudioStream | VideoStream
    ) -> None:
        """Warn of media that is to be shown turned: only a picture that is decoded tells it."""
        try:
            frames = [*packet.decode(), *stream.codec_context.decode(None)]
        except av.FFmpegError:
            return  # what is damaged is passed on as it is
        if any(isinstance(frame, VideoFrame) and turn_of(frame) for frame in frames):
            logger.warning(
                "%r is to be shown turned, of which viewers hear nothing; FileSource turns it",
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
        time = max(Fraction(0), self._start + media - self._from)
        clock = _CLOCKS.get(self.codecs[kind], VIDEO_CLOCK_RATE)
        repacked: Packet[Any] = Packet(data)
        repacked.time_base = Fraction(1, clock)
        ticks = round(time * clock)
        if ticks < self._last.get(kind, 0) and not self._warned:
            self._warned = True
            logger.warning("%r has B-frames, which browsers show unevenly", self._name)
        self._last[kind] = repacked.pts = repacked.dts = ticks
        repacked.is_keyframe = key
        at = time + due - media
        end = at + (length if kind == "audio" else _TICK)
        return Timed(repacked, kind, max(0.0, float(media)), float(at), float(end))


def _filter_for(stream: AudioStream | VideoStream) -> str:
    extradata = stream.codec_context.extradata or b""
    # Configuration records of ISO/IEC 14496-15 begin with their version, Annex B with a zero.
    if extradata[:1] == b"\1":
        return "h264_mp4toannexb"
    # What RTSP tells in its description, viewers must find in the stream. FFmpeg leaves it out
    # where it is there already.
    return "dump_extra=freq=keyframe" if extradata else "null"


def _duration(packet: "Packet[Any]", kind: str) -> Fraction:
    if packet.duration and packet.time_base is not None:
        return seconds(packet.duration, packet.time_base)
    return _AUDIO_DURATION if kind == "audio" else _VIDEO_DURATION
