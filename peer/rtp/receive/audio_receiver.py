"""What is heard of a remote track: packets in, 20 ms of sound out each time it is asked for.

There is no I/O here and no clock, but there are decoders: this runs in a thread. What plays when
is decided by :class:`~icefloe.peer.rtp.receive.jitter_buffer.Playout`.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
from aiortc import RTCRtpCodecParameters
from av import AudioFrame

from icefloe.logs import get_logger

from . import time_stretch
from .audio_decoders import AudioDecoder, decoder_for
from .capture_time import CaptureTimes
from .jitter_buffer import STEP, Conceal, Decode, DelayTarget, Playout, Recover, Stretch, Wait
from .time_stretch import Samples

_HOLD, _FADE = 0.12, 0.08
"""Seconds for which what is made up is heard, and in which it fades then: libopus goes on humming
for half a second."""
_SILENT = 32
"""The greatest sample of what counts as silence: 60 dB below full scale."""

logger = get_logger(__name__)


@dataclass(slots=True)
class AudioStats:
    """What W3C webrtc-stats asks of ``inbound-rtp``, by its names; counts are samples."""

    jitterBufferDelay: float = 0.0
    jitterBufferTargetDelay: float = 0.0
    jitterBufferEmittedCount: int = 0
    totalSamplesReceived: int = 0
    concealedSamples: int = 0
    silentConcealedSamples: int = 0
    concealmentEvents: int = 0
    insertedSamplesForDeceleration: int = 0
    removedSamplesForAcceleration: int = 0
    fecPacketsReceived: int = 0
    packetsDiscarded: int = 0


@dataclass(slots=True)
class _Stream:
    """One SSRC in one codec."""

    ssrc: int
    codec: RTCRtpCodecParameters
    decoder: AudioDecoder
    playout: Playout
    held: Samples
    """What is decoded and not heard yet."""


class Hearing:
    """The sound of one track.

    Args:
        times: Learns which timestamp each frame has.
        make_decoder: Returns a decoder for a codec.

    Attributes:
        stats: Counters of all that was heard so far.
    """

    def __init__(
        self,
        times: CaptureTimes,
        make_decoder: Callable[[RTCRtpCodecParameters], AudioDecoder] = decoder_for,
    ) -> None:
        self.stats = AudioStats()
        self._times = times
        self._make_decoder = make_decoder
        self._stream: _Stream | None = None
        self._target = DelayTarget()
        self._pts = 0
        self._rate = 0
        self._heard_at: float | None = None
        self._concealed = 0
        """Samples made up in a row."""
        self._loudness = 1.0

    @property
    def is_idle(self) -> bool:
        """Whether nothing will be heard before another packet comes."""
        return self._stream is None or self._stream.playout.is_idle

    def put(
        self,
        now: float,
        codec: RTCRtpCodecParameters,
        ssrc: int,
        sequence: int,
        timestamp: int,
        payload: bytes,
    ) -> None:
        """Take a packet; see :meth:`Playout.put`. One without content is passed over.

        Raises:
            ValueError: There is no decoder for the codec.
        """
        stream = self._stream
        if stream is None or stream.ssrc != ssrc or stream.codec is not codec:
            decoder = self._make_decoder(codec)
            playout = Playout(decoder.clock_rate, self._target)
            stream = self._stream = _Stream(ssrc, codec, decoder, playout, array("h"))
        duration = stream.decoder.duration(payload)
        if not duration:
            return
        self.stats.fecPacketsReceived += stream.decoder.repeats(payload)
        before = stream.playout.discarded
        silent = stream.decoder.is_silence(payload)
        stream.playout.put(now, sequence, timestamp, duration, payload, silent=silent)
        self.stats.packetsDiscarded += stream.playout.discarded - before

    def pause(self) -> None:
        """Note that nobody listens: what comes next has nothing to do with what came before."""
        if self._stream is not None:
            self._stream.playout.pause()
            self._stream.held = array("h")
        self._concealed, self._loudness = 0, 1.0

    def next(self, now: float) -> AudioFrame | None:
        """Return the next 20 ms.

        Args:
            now: Seconds on the clock of :meth:`put`, at which it is heard.

        Returns:
            Signed samples of 16 bits, interleaved; or ``None`` if nothing is to be heard: before
            the first packets, and a while after the last. ``pts`` counts the samples heard before
            it, and the time in which there was nothing.
        """
        stream = self._stream
        if stream is None:
            return None
        decoder, playout = stream.decoder, stream.playout
        wanted = round(STEP * decoder.sample_rate) * decoder.channels
        before = playout.discarded
        while len(stream.held) < wanted:
            made = self._do_next(stream, now)
            if made is None:
                stream.held = array("h")
                return None
            stream.held += made
        self.stats.packetsDiscarded += playout.discarded - before
        samples_per_stamp = decoder.sample_rate // decoder.clock_rate * decoder.channels
        timestamp = playout.position - len(stream.held) // samples_per_stamp
        self._stretch(stream, now, wanted)
        heard, stream.held = stream.held[:wanted], stream.held[wanted:]
        frame = self._frame(now, decoder, heard)
        assert frame.pts is not None
        self._times.note(frame.pts, decoder.sample_rate, stream.ssrc, timestamp, decoder.clock_rate)
        return frame

    def _do_next(self, stream: _Stream, now: float) -> Samples | None:
        decoder, playout, stats = stream.decoder, stream.playout, self.stats
        match playout.next(now):
            case Wait():
                return None
            case Decode(packet):
                self._concealed, self._loudness = 0, 1.0
                ratio = decoder.sample_rate // decoder.clock_rate
                samples = packet.duration * ratio
                stats.jitterBufferEmittedCount += samples
                stats.jitterBufferDelay += (now - packet.arrived) * samples
                stats.jitterBufferTargetDelay += playout.target.seconds * samples
                try:
                    return decoder.decode(packet.payload)
                except av.FFmpegError as error:
                    logger.warning("audio.decode.failed error=%s", error)
                    return decoder.conceal(packet.duration)
            case Recover(packet, duration):
                made = decoder.recover(packet.payload, duration)
                return made if decoder.repeats(packet.payload) else self._concealing(made, decoder)
            case Conceal(duration, silent):
                made = decoder.conceal(duration)
                return made if silent else self._concealing(made, decoder)

    def _concealing(self, made_up: Samples, decoder: AudioDecoder) -> Samples:
        """Count what is made up, and let it fade."""
        count = len(made_up) // decoder.channels
        self.stats.concealmentEvents += not self._concealed
        self.stats.concealedSamples += count
        self._concealed += count
        before, beyond = self._loudness, self._concealed / decoder.sample_rate - _HOLD
        self._loudness = min(1.0, max(0.0, 1 - beyond / _FADE))
        if self._loudness < 1:
            slope = (self._loudness - before) / len(made_up)
            made_up = array("h", [int(s * (before + slope * i)) for i, s in enumerate(made_up)])
        if max(made_up) <= _SILENT and min(made_up) >= -_SILENT:
            self.stats.silentConcealedSamples += count
        return made_up

    def _stretch(self, stream: _Stream, now: float, wanted: int) -> None:
        decoder, playout = stream.decoder, stream.playout
        per_stamp = decoder.sample_rate // decoder.clock_rate * decoder.channels
        way = playout.stretch(now, len(stream.held) // per_stamp)
        if way is Stretch.NONE:
            return
        rate, channels = decoder.sample_rate, decoder.channels
        if way is Stretch.DECELERATE:
            changed = time_stretch.decelerate(stream.held, channels, rate)
        else:
            enough = wanted + time_stretch.needed(rate) // 2 * channels
            while len(stream.held) < enough and playout.can_decode():
                stream.held += self._do_next(stream, now) or array("h")
            if len(stream.held) < enough:
                return
            changed = time_stretch.accelerate(stream.held, channels, rate)
        if changed is None:
            return
        longer = (len(changed) - len(stream.held)) // channels
        self.stats.insertedSamplesForDeceleration += max(longer, 0)
        self.stats.removedSamplesForAcceleration += max(-longer, 0)
        playout.stretched(now)
        stream.held = changed

    def _frame(self, now: float, decoder: AudioDecoder, heard: Samples) -> AudioFrame:
        rate = decoder.sample_rate
        if self._rate not in (0, rate):
            self._pts = self._pts * rate // self._rate
        self._rate = rate
        if self._heard_at is not None:
            missed = round((now - self._heard_at) / STEP) - 1
            self._pts += max(missed, 0) * round(STEP * rate)
        self._heard_at = now
        count = len(heard) // decoder.channels
        frame = AudioFrame("s16", "stereo" if decoder.channels == 2 else "mono", count)
        frame.planes[0].update(heard.tobytes())
        frame.sample_rate = rate
        frame.time_base = Fraction(1, rate)
        frame.pts = self._pts
        self._pts += count
        self.stats.totalSamplesReceived += count
        return frame
