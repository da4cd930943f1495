"""Audio decoders with packet-loss concealment (PLC)."""

from array import array
from typing import Protocol

from aiortc import RTCRtpCodecParameters
from aiortc.codecs import get_decoder
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterFrame
from av import AudioFrame

from icefloe.encoding.libopus import library

from . import opus_decoder
from .loss_concealment import LossConcealment
from .time_stretch import Samples


class AudioDecoder(Protocol):
    """A stateful decoder of one stream. Not thread-safe."""

    @property
    def clock_rate(self) -> int:
        """The rate of the RTP timestamps, in Hz."""

    @property
    def sample_rate(self) -> int:
        """Samples per second and channel; a multiple of :attr:`clock_rate`."""

    @property
    def channels(self) -> int:
        """The number of channels, 1 or 2."""

    def duration(self, packet: bytes) -> int:
        """Return the duration of a packet in RTP timestamp units; 0 if it is malformed."""

    def is_silence(self, packet: bytes) -> bool:
        """Return whether a packet announces silence (DTX)."""

    def has_fec(self, packet: bytes) -> bool:
        """Return whether a packet contains in-band FEC for the previous packet."""

    def decode(self, packet: bytes) -> Samples:
        """Return the interleaved samples of a packet; concealment if it is malformed."""

    def recover(self, packet: bytes, timestamps: int) -> Samples:
        """Return the audio before a packet from its in-band FEC; concealment if it has none.

        Args:
            packet: The packet after the lost one.
            timestamps: The duration to recover, in RTP timestamp units.
        """

    def conceal(self, timestamps: int) -> Samples:
        """Return concealment for a duration in RTP timestamp units."""


class PlainDecoder:
    """A decoder of aiortc, combined with :class:`.loss_concealment.LossConcealment`."""

    def __init__(self, codec: RTCRtpCodecParameters) -> None:
        self._decoder: Decoder = get_decoder(codec)
        self._is_opus = codec.name.lower() == "opus"
        self.clock_rate: int = codec.clockRate
        self.sample_rate: int = 16000 if codec.name.upper() == "G722" else codec.clockRate
        self.channels = 2 if self._is_opus else 1
        self._concealment = LossConcealment(self.sample_rate, self.channels)

    def duration(self, packet: bytes) -> int:
        # RFC 3551: G.711 has one byte and one timestamp unit per sample. G.722 has one byte for two
        # samples, and due to a historical error (section 4.5.2) one timestamp unit for both.
        return opus_decoder.duration(packet) if self._is_opus else len(packet)

    def is_silence(self, packet: bytes) -> bool:
        return self._is_opus and opus_decoder.is_silence(packet)

    def has_fec(self, packet: bytes) -> bool:
        return False

    def decode(self, packet: bytes) -> Samples:
        samples = array("h")
        for frame in self._decoder.decode(JitterFrame(packet, 0)):
            if isinstance(frame, AudioFrame):
                size = 2 * frame.samples * self.channels
                samples.frombytes(bytes(frame.planes[0])[:size])
        return self._concealment.join(samples) if samples else self.conceal(self.duration(packet))

    def recover(self, packet: bytes, timestamps: int) -> Samples:
        return self.conceal(timestamps)

    def conceal(self, timestamps: int) -> Samples:
        return self._concealment.conceal(timestamps * self.sample_rate // self.clock_rate)


def decoder_for(codec: RTCRtpCodecParameters) -> AudioDecoder:
    """Return a new decoder.

    Raises:
        ValueError: aiortc does not support the codec.
    """
    if codec.name.lower() == "opus" and library() is not None:
        return opus_decoder.LibopusDecoder()
    return PlainDecoder(codec)
