"""Audio encoder: Opus (RFC 7587), G.711 and G.722 (RFC 3551) in packets of 20 ms."""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import av
from av import AudioCodecContext, AudioFrame

from .libopus import OpusEncoder, library
from .packing import AnyPacket, Encoded, make_packet
from .pieces import Piece, SoundQueue
from .sound import SoundFormat, audio_level, duration_of

SILENT = 127
"""The level of silence, in decibels below full scale."""


_QUICK_SECONDS = 0.04
"""Maximum length of a frame whose encoding is quick, in seconds: half a millisecond of work."""
_QUICK_PIECES = 2
"""Maximum pieces that are due, before that frame, for the encoding to be quick."""


@dataclass(frozen=True, slots=True)
class _Codec:
    """An audio codec.

    Attributes:
        implementation: FFmpeg's name of the encoder.
        format: Input format of the encoder.
        clock_rate: RTP clock rate, in hertz; that of G.722 is half its sample rate (RFC 3551
            section 4.5.2).
    """

    implementation: str
    format: SoundFormat
    clock_rate: int


_CODECS = MappingProxyType(
    {
        "opus": _Codec("libopus", SoundFormat(48000, "stereo"), 48000),
        "pcmu": _Codec("pcm_mulaw", SoundFormat(8000, "mono"), 8000),
        "pcma": _Codec("pcm_alaw", SoundFormat(8000, "mono"), 8000),
        "g722": _Codec("g722", SoundFormat(16000, "mono"), 8000),
    }
)


class AudioEncoder:
    """Encoder of the audio of one track; frames may have any format, layout, rate and length.

    It blocks for a short time and is to be used by one thread at a time, not by the event loop.

    Args:
        codec: ``"opus"``, ``"PCMU"``, ``"PCMA"`` or ``"G722"``.
        bitrate: Bits per second of Opus.

    Attributes:
        bitrate: See above. Another thread may set it; it takes effect with the next packet.
        queue: Audio that is not encoded yet. A piece is encoded when its send time has come.
        expected_loss: The expected packet loss, 0 to 1. Above 0 Opus adds in-band forward error
            correction (RFC 6716 section 2.1.7). Another thread may set it; it takes effect with the
            next packet.

    Raises:
        ValueError: There is no such codec.
    """

    def __init__(self, codec: str, *, bitrate: int = 64_000) -> None:
        known = _CODECS.get(codec.lower())
        if known is None:
            raise ValueError(f"codec={codec!r} is refused: give one of {', '.join(_CODECS)}")
        self.codec = codec
        self.implementation: str = known.implementation
        self.clock_rate: int = known.clock_rate
        self._time_base = Fraction(1, known.clock_rate)
        self.expected_loss: float = 0.0
        self._known = known
        self.bitrate = bitrate
        self._opus = OpusEncoder() if self.implementation == "libopus" and library() else None
        self._loss, self._opened_bitrate = 0.0, bitrate
        self._context = None if self._opus else self._open()
        self._encoded_samples = 0
        self._encoding: deque[tuple[Piece, int]] = deque()
        self.queue: SoundQueue = SoundQueue(known.format)

    def anew(self) -> None:
        """Switch to another track: drop the queued audio of the previous one."""
        self.queue = SoundQueue(self._known.format)

    def is_quick(self, frame: object, now: float) -> bool:
        """Return whether :meth:`put` and :meth:`take` would cost less than a millisecond.

        That is so of a short frame of Opus, unless more than it is due. What is no frame takes no
        time at all.

        Args:
            frame: The frame, of any type.
            now: Seconds on the clock of :meth:`put`.
        """
        if self._opus is None or self.queue.count_due(now) > _QUICK_PIECES:
            return False
        return not isinstance(frame, AudioFrame) or (
            duration_of(frame) <= _QUICK_SECONDS and self.queue.is_prepared(frame)
        )

    def put(self, frame: object, now: float) -> None:
        """Queue an audio frame; see :meth:`SoundQueue.put`.

        Raises:
            UnusableSound: The frame cannot be used; the next one may be usable.
        """
        self.queue.put(frame, now)

    def take(self, now: float, *, muted: bool = False) -> list[AnyPacket]:
        """Encode the pieces that are due.

        Args:
            now: Seconds on the clock of :meth:`put`.
            muted: Whether silence replaces the audio.

        Returns:
            Packets of 20 ms. ``pts`` is in units of the codec's RTP clock.

        Raises:
            av.FFmpegError: FFmpeg rejects the audio.
            OSError: libopus rejects it.
        """
        made: list[AnyPacket] = []
        while (piece := self.queue.take(now)) is not None:
            made += self._encode(piece, muted=muted)
        return made

    def _encode(self, piece: Piece, *, muted: bool) -> list[AnyPacket]:
        data = bytes(len(piece.data)) if muted else piece.data
        self._encoding.append((piece, SILENT if muted else audio_level(memoryview(data))))
        if self._opus is not None:
            packet = self._opus.encode(
                data, bitrate=self.bitrate, loss=self.expected_loss, mono=piece.is_mono
            )
            return [self._packed(packet)]
        if self._context is None or self._has_changed():
            # FFmpeg reads these options only when an encoder is opened.
            self._loss, self._opened_bitrate = self.expected_loss, self.bitrate
            self._context = self._open()
        form = self._known.format
        frame = AudioFrame(form.type, form.layout, len(data) // form.sample_bytes)
        frame.planes[0].update(data)
        frame.sample_rate, frame.time_base = form.rate, Fraction(1, form.rate)
        # The encoder requires contiguous timestamps; gaps are in those of the packets only.
        frame.pts = self._encoded_samples
        self._encoded_samples += frame.samples
        return [self._packed(bytes(packet)) for packet in self._context.encode(frame)]

    def _has_changed(self) -> bool:
        return (self.expected_loss, self.bitrate) != (self._loss, self._opened_bitrate)

    def _packed(self, data: bytes) -> AnyPacket:
        piece, level = self._encoding.popleft()
        known = Encoded(
            codec=self.codec,
            implementation=self.implementation,
            received_at=piece.taken_at,
            payloads=(data,),
            level=level,
        )
        pts = piece.position * self.clock_rate // self._known.format.rate
        return make_packet(data, pts=pts, time_base=self._time_base, known=known)

    def _open(self) -> AudioCodecContext:
        form = self._known.format
        context = av.CodecContext.create(self.implementation, "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.layout, context.format = form.rate, form.layout, form.type
        context.time_base = Fraction(1, form.rate)
        if self.implementation == "libopus":
            context.bit_rate = self._opened_bitrate
            context.options = {"application": "voip"}
            if self._loss:
                context.options |= {"fec": "1", "packet_loss": str(round(self._loss * 100))}
        return context
