"""Sound in, packets of 20 ms out: Opus (RFC 7587), G.711 and G.722 (RFC 3551)."""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType

import av
from av import AudioCodecContext, AudioFrame

from .packing import AnyPacket, Encoded, make_packet
from .pieces import Piece, SoundQueue
from .sound import SoundFormat, audio_level

SILENT = 127
"""The level of silence, in decibels below full scale."""


@dataclass(frozen=True, slots=True)
class _Codec:
    """One codec of sound.

    Attributes:
        implementation: FFmpeg's name of the encoder.
        format: What it takes.
        clock_rate: Of its RTP timestamps; G.722's is half the rate of its samples (RFC 3551 4.5.2).
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
    """Encodes the sound of one track; format, layout, rate and length of its frames may be any.

    It blocks a little and belongs into a thread, one at a time.

    Args:
        codec: ``"opus"``, ``"PCMU"``, ``"PCMA"`` or ``"G722"``.
        bitrate: Bits a second of Opus.

    Attributes:
        queue: What is not encoded yet. A piece is encoded when it leaves.
        expected_loss: The part of the packets that is expected to be lost, 0 to 1. Opus repeats
            itself then (RFC 6716 section 2.1.7). May be set by another thread, and holds from the
            next packet on.

    Raises:
        ValueError: There is no such codec.
    """

    def __init__(self, codec: str, *, bitrate: int = 64_000) -> None:
        known = _CODECS.get(codec.lower())
        if known is None:
            raise ValueError(f"sound is encoded to {', '.join(_CODECS)}, not to {codec!r}")
        self.codec = codec
        self.implementation = known.implementation
        self.clock_rate = known.clock_rate
        self.expected_loss = 0.0
        self._known = known
        self._bitrate = bitrate
        self._loss = 0.0
        self._context = self._open()
        self._fed = 0
        self._encoding: deque[tuple[Piece, int]] = deque()
        self.queue = SoundQueue(known.format)

    def anew(self) -> None:
        """Go on with another track: nothing of the one before is to be heard any more."""
        self.queue = SoundQueue(self._known.format)

    def put(self, frame: object, now: float) -> None:
        """Add sound; see :meth:`SoundQueue.put`.

        Raises:
            UnusableSound: It cannot be used, and the next frame may be of use.
        """
        self.queue.put(frame, now)

    def take(self, now: float, *, muted: bool = False) -> list[AnyPacket]:
        """Encode the pieces that leave by now.

        Args:
            now: Seconds on the clock of :meth:`put`.
            muted: Whether silence takes the place of the sound.

        Returns:
            Packets of 20 ms. ``pts`` is in units of the codec's RTP clock.

        Raises:
            av.FFmpegError: FFmpeg refuses it.
        """
        made: list[AnyPacket] = []
        while (piece := self.queue.take(now)) is not None:
            made += self._encode(piece, muted=muted)
        return made

    def _encode(self, piece: Piece, *, muted: bool) -> list[AnyPacket]:
        if self.expected_loss != self._loss:
            # FFmpeg takes this when an encoder is opened, and not later.
            self._loss = self.expected_loss
            self._context = self._open()
        data = bytes(len(piece.data)) if muted else piece.data
        form = self._known.format
        frame = AudioFrame(form.type, form.layout, len(data) // form.sample_bytes)
        frame.planes[0].update(data)
        frame.sample_rate, frame.time_base = form.rate, Fraction(1, form.rate)
        # The encoder counts what it gets; where there is a gap is for the packets to say.
        frame.pts = self._fed
        self._fed += frame.samples
        self._encoding.append((piece, SILENT if muted else audio_level(memoryview(data))))
        return [self._packed(bytes(packet)) for packet in self._context.encode(frame)]

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
        return make_packet(data, pts=pts, time_base=Fraction(1, self.clock_rate), known=known)

    def _open(self) -> AudioCodecContext:
        form = self._known.format
        context = av.CodecContext.create(self.implementation, "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate, context.layout, context.format = form.rate, form.layout, form.type
        context.time_base = Fraction(1, form.rate)
        if self.implementation == "libopus":
            context.bit_rate = self._bitrate
            context.options = {"application": "voip"}
            if self._loss:
                context.options |= {"fec": "1", "packet_loss": str(round(self._loss * 100))}
        return context
