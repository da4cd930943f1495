"""Opus decoder of libopus, with in-band FEC and packet-loss concealment.

FFmpeg's decoder, which aiortc uses, offers neither.
"""

import ctypes
from array import array

from icefloe.encoding.libopus import CHANNELS, RATE, library

from .time_stretch import Samples

_MAX_SAMPLES = RATE * 120 // 1000
"""Samples of the longest packet (RFC 6716 section 3.2.5)."""
_FRAME_MS = (
    *((10, 20, 40, 60) * 3),
    *((10, 20) * 2),
    *((2.5, 5, 10, 20) * 4),
)
"""Frame duration in milliseconds by configuration number (RFC 6716 section 3.1, table 2)."""
_FRAME_SAMPLES = tuple(round(milliseconds * RATE / 1000) for milliseconds in _FRAME_MS)
_CELT = 16 << 3
"""The first byte of the first configuration that codes music, which has no FEC."""


def duration(packet: bytes) -> int:
    """Return the duration of a packet in samples (RFC 6716 section 3.1); 0 if it is malformed."""
    if not packet:
        return 0
    frame = _FRAME_SAMPLES[packet[0] >> 3]
    match packet[0] & 3:
        case 0:
            count = 1
        case 3:
            count = packet[1] & 0x3F if len(packet) > 1 else 0
        case _:
            count = 2
    return frame * count if frame * count <= _MAX_SAMPLES else 0


def is_silence(packet: bytes) -> bool:
    """Return whether a packet announces silence (DTX, RFC 7587 section 3.1.3)."""
    return len(packet) <= 2


class LibopusDecoder:
    """Opus decoder for 48 kHz stereo. Not thread-safe.

    Raises:
        OSError: libopus is missing or fails; see :func:`library`.
    """

    clock_rate = RATE
    sample_rate = RATE
    channels = CHANNELS

    def __init__(self) -> None:
        found = library()
        if found is None:
            raise OSError("libopus was not found; install PyAV's wheel, or libopus of the system")
        self._library = found
        error = ctypes.c_int()
        self._decoder = found.opus_decoder_create(RATE, CHANNELS, ctypes.byref(error))
        if not self._decoder:
            raise OSError(error.value, "libopus could not create a decoder")
        self._samples = array("h", bytes(2 * CHANNELS * _MAX_SAMPLES))
        self._address = self._samples.buffer_info()[0]

    def __del__(self) -> None:
        if decoder := getattr(self, "_decoder", None):
            self._library.opus_decoder_destroy(decoder)

    def duration(self, packet: bytes) -> int:
        """Return the duration of a packet in RTP timestamp units; 0 if it is malformed."""
        return duration(packet)

    def is_silence(self, packet: bytes) -> bool:
        """Return whether a packet announces silence (DTX)."""
        return is_silence(packet)

    def has_fec(self, packet: bytes) -> bool:
        """Return whether a packet contains in-band FEC (RFC 6716 section 2.1.7).

        Always false before libopus 1.5, which cannot tell.
        """
        if not packet or packet[0] >= _CELT or not hasattr(self._library, "opus_packet_has_lbrr"):
            return False
        return bool(self._library.opus_packet_has_lbrr(packet, len(packet)) == 1)

    def decode(self, packet: bytes) -> Samples:
        """Return the interleaved samples of a packet; concealment if it is malformed."""
        samples = self._run(packet, _MAX_SAMPLES, fec=False)
        return samples or self.conceal(duration(packet) or RATE // 50)

    def recover(self, packet: bytes, timestamps: int) -> Samples:
        """Return the audio before a packet from its in-band FEC; concealment if it has none.

        Args:
            packet: The packet after the lost one.
            timestamps: The duration to recover, in RTP timestamp units.
        """
        return self._run(packet, timestamps, fec=True) or self.conceal(timestamps)

    def conceal(self, timestamps: int) -> Samples:
        """Return concealment for a duration in RTP timestamp units: a multiple of 2.5 ms."""
        made = self._run(None, timestamps, fec=False)
        return made or array("h", bytes(2 * CHANNELS * timestamps))

    def _run(self, packet: bytes | None, timestamps: int, *, fec: bool) -> Samples:
        size = len(packet) if packet else 0
        count = self._library.opus_decode(
            self._decoder, packet or None, size, self._address, timestamps, fec
        )
        return self._samples[: max(count, 0) * CHANNELS]
