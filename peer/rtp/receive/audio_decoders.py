"""Decoders of audio, of which each makes up what is missing."""

from array import array
from typing import Protocol

from aiortc import RTCRtpCodecParameters
from aiortc.codecs import get_decoder
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterFrame
from av import AudioFrame

from . import opus_decoder
from .loss_concealment import Concealment
from .time_stretch import Samples


class AudioDecoder(Protocol):
    """Decodes one stream; for one thread at a time."""

    @property
    def clock_rate(self) -> int:
        """The rate of the RTP timestamps, in Hz."""

    @property
    def sample_rate(self) -> int:
        """Samples of a channel a second; a multiple of :attr:`clock_rate`."""

    @property
    def channels(self) -> int:
        """1 or 2."""

    def duration(self, packet: bytes) -> int:
        """Return how much a packet plays, in timestamps; 0 if it is malformed."""

    def is_silence(self, packet: bytes) -> bool:
        """Whether a packet says that the sender sends nothing (DTX)."""

    def repeats(self, packet: bytes) -> bool:
        """Whether a packet has what came before it once more."""

    def decode(self, packet: bytes) -> Samples:
        """Return the interleaved samples of a packet; what is malformed is made up."""

    def recover(self, packet: bytes, timestamps: int) -> Samples:
        """Return what a packet repeats of the time before it; else it is made up."""

    def conceal(self, timestamps: int) -> Samples:
        """Make up so much."""


class PlainDecoder:
    """A decoder of aiortc, with :class:`~icefloe.peer.rtp.receive.loss_concealment.Concealment`."""

    def __init__(self, codec: RTCRtpCodecParameters) -> None:
        self._decoder: Decoder = get_decoder(codec)
        self._is_opus = codec.name.lower() == "opus"
        self.clock_rate = codec.clockRate
        self.sample_rate = 16000 if codec.name.upper() == "G722" else codec.clockRate
        self.channels = 2 if self._is_opus else 1
        self._concealment = Concealment(self.sample_rate, self.channels)

    def duration(self, packet: bytes) -> int:
        # RFC 3551: G.711 has a byte, and a timestamp, a sample; G.722 a byte for two samples, and
        # by a mistake that was kept (section 4.5.2) a timestamp for both.
        return opus_decoder.duration(packet) if self._is_opus else len(packet)

    def is_silence(self, packet: bytes) -> bool:
        return self._is_opus and opus_decoder.is_silence(packet)

    def repeats(self, packet: bytes) -> bool:
        return False

    def decode(self, packet: bytes) -> Samples:
        samples = array("h")
        for frame in self._decoder.decode(JitterFrame(packet, 0)):
            if isinstance(frame, AudioFrame):
                size = 2 * frame.samples * self.channels
                samples.frombytes(bytes(frame.planes[0])[:size])
        return self._concealment.heard(samples) if samples else self.conceal(self.duration(packet))

    def recover(self, packet: bytes, timestamps: int) -> Samples:
        return self.conceal(timestamps)

    def conceal(self, timestamps: int) -> Samples:
        return self._concealment.make_up(timestamps * self.sample_rate // self.clock_rate)


def decoder_for(codec: RTCRtpCodecParameters) -> AudioDecoder:
    """Return a new decoder.

    Raises:
        ValueError: aiortc has none.
    """
    if codec.name.lower() == "opus" and opus_decoder.library() is not None:
        return opus_decoder.LibopusDecoder()
    return PlainDecoder(codec)
