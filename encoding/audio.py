"""Sound in, Opus out (RFC 7587). It blocks a little and belongs into a thread."""

import time
from fractions import Fraction

import av
from av import AudioFrame, AudioResampler

from .packing import AnyPacket, Encoded, make_packet

SAMPLE_RATE = 48000
"""Opus's clock, whatever the source's."""

_SAMPLES = 960
_BITRATE = 64_000
_TIME_BASE = Fraction(1, SAMPLE_RATE)


class OpusEncoder:
    """Encodes the sound of one track in frames of 20 ms; format, layout and rate may be any.

    Args:
        bitrate: Bits a second.
    """

    codec = "opus"
    implementation = "libopus"

    def __init__(self, *, bitrate: int = _BITRATE) -> None:
        context = av.CodecContext.create("libopus", "w")
        assert isinstance(context, av.AudioCodecContext)
        context.bit_rate, context.sample_rate = bitrate, SAMPLE_RATE
        context.format, context.layout = "s16", "stereo"
        context.time_base = _TIME_BASE
        context.options = {"application": "voip"}
        self._context = context
        self._resampler = AudioResampler("s16", "stereo", SAMPLE_RATE, frame_size=_SAMPLES)

    def encode(self, frame: AudioFrame) -> list[AnyPacket]:
        """Encode sound.

        Args:
            frame: Sound, with ``pts`` and ``time_base``.

        Returns:
            The packets that are full.

        Raises:
            av.FFmpegError: FFmpeg refuses it, say because its format has changed.
        """
        began = time.monotonic()
        made = []
        for part in self._resampler.resample(frame):
            for packet in self._context.encode(part):
                data = bytes(packet)
                known = Encoded(
                    codec=self.codec,
                    implementation=self.implementation,
                    received_at=began,
                    payloads=(data,),
                )
                made.append(
                    make_packet(data, pts=packet.pts or 0, time_base=_TIME_BASE, known=known)
                )
        return made
