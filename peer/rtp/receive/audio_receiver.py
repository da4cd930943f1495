"""Audio receiver: packets go in, decoded frames of 20 ms come out, with loss concealed.

It does no I/O and has no clock of its own, but it decodes, so it runs in a thread. The schedule is
that of :class:`~icefloe.peer.rtp.receive.jitter_buffer.JitterBuffer`.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from logging import Logger

import av
from aiortc import RTCRtpCodecParameters
from av import AudioFrame

from icefloe.logs import get_logger

from . import time_stretch
from .audio_decoders import AudioDecoder, decoder_for
from .capture_time import CaptureTimes
from .delay_target import DelayTarget
from .jitter_buffer import STEP, Conceal, Decode, JitterBuffer, Recover, Stretch, Wait
from .time_stretch import Samples

_CONCEALMENT_HOLD, _CONCEALMENT_FADE = 0.12, 0.08
"""Seconds of concealment at full gain, and seconds of the fade-out that follows. libopus alone
would continue for half a second."""
_SILENCE_LEVEL = 32
"""Maximum absolute sample value that counts as silence: 60 dB below full scale."""

logger: Logger = get_logger(__name__)


@dataclass(slots=True)
class AudioStats:
    """Statistics of ``inbound-rtp`` (W3C webrtc-stats); counts are samples per channel."""

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
    """The state for one SSRC and one codec."""

    ssrc: int
    codec: RTCRtpCodecParameters
    decoder: AudioDecoder
    buffer: JitterBuffer
    decoded: Samples
    """Samples decoded but not returned yet."""


class AudioReceiver:
    """Decoded audio of one track.

    Args:
        times: Receives the RTP timestamp of each frame.
        make_decoder: Returns a decoder for a codec.

    Attributes:
        stats: Counters since the start.
    """

    def __init__(
        self,
        times: CaptureTimes,
        make_decoder: Callable[[RTCRtpCodecParameters], AudioDecoder] = decoder_for,
    ) -> None:
        self.stats: AudioStats = AudioStats()
        self._times = times
        self._make_decoder = make_decoder
        self._stream: _Stream | None = None
        self._target = DelayTarget()
        self._pts = 0
        self._rate, self._time_base = 0, Fraction(1)
        self._played_at: float | None = None
        self._concealed = 0
        """Consecutive concealed samples per channel."""
        self._gain = 1.0

    @property
    def is_idle(self) -> bool:
        """True if nothing is played before another packet arrives."""
        return self._stream is None or self._stream.buffer.is_idle

    @property
    def lacks_audio(self) -> bool:
        """True if it plays, and what is played next has not arrived."""
        stream = self._stream
        if stream is None or not stream.buffer.is_playing or stream.buffer.can_decode():
            return False
        wanted = round(STEP * stream.decoder.sample_rate) * stream.decoder.channels
        return len(stream.decoded) < wanted

    def put(
        self,
        now: float,
        codec: RTCRtpCodecParameters,
        ssrc: int,
        sequence: int,
        timestamp: int,
        payload: bytes,
    ) -> None:
        """Insert a packet; see :meth:`JitterBuffer.put`. A packet without audio is ignored.

        Raises:
            ValueError: There is no decoder for the codec.
        """
        stream = self._stream
        if stream is None or stream.ssrc != ssrc or stream.codec is not codec:
            decoder = self._make_decoder(codec)
            buffer = JitterBuffer(decoder.clock_rate, self._target)
            stream = self._stream = _Stream(ssrc, codec, decoder, buffer, array("h"))
        duration = stream.decoder.duration(payload)
        if not duration:
            return
        self.stats.fecPacketsReceived += stream.decoder.has_fec(payload)
        before = stream.buffer.discarded
        silent = stream.decoder.is_silence(payload)
        stream.buffer.put(now, sequence, timestamp, duration, payload, silent=silent)
        self.stats.packetsDiscarded += stream.buffer.discarded - before

    def pause(self) -> None:
        """Forget buffered audio: nobody reads the track. The next packet starts afresh."""
        if self._stream is not None:
            self._stream.buffer.pause()
            self._stream.decoded = array("h")
        self._concealed, self._gain = 0, 1.0

    def next(self, now: float) -> AudioFrame | None:
        """Return the next 20 ms of audio.

        Args:
            now: The playout time, in seconds on the clock of :meth:`put`.

        Returns:
            Interleaved 16-bit signed samples; ``None`` before the first packets, and some time
            after the last. ``pts`` counts the samples before the frame, plus the time without
            audio.
        """
        stream = self._stream
        if stream is None:
            return None
        decoder, buffer = stream.decoder, stream.buffer
        wanted = round(STEP * decoder.sample_rate) * decoder.channels
        before = buffer.discarded
        while len(stream.decoded) < wanted:
            made = self._decode_next(stream, now)
            if made is None:
                stream.decoded = array("h")
                return None
            stream.decoded += made
        self.stats.packetsDiscarded += buffer.discarded - before
        samples_per_unit = decoder.sample_rate // decoder.clock_rate * decoder.channels
        timestamp = buffer.position - len(stream.decoded) // samples_per_unit
        self._stretch(stream, now, wanted)
        played, stream.decoded = stream.decoded[:wanted], stream.decoded[wanted:]
        frame = self._frame(now, decoder, played)
        assert frame.pts is not None
        self._times.note(frame.pts, decoder.sample_rate, stream.ssrc, timestamp, decoder.clock_rate)
        return frame

    def _decode_next(self, stream: _Stream, now: float) -> Samples | None:
        decoder, buffer, stats = stream.decoder, stream.buffer, self.stats
        match buffer.next(now):
            case Wait():
                return None
            case Decode(packet):
                self._concealed, self._gain = 0, 1.0
                ratio = decoder.sample_rate // decoder.clock_rate
                samples = packet.duration * ratio
                stats.jitterBufferEmittedCount += samples
                stats.jitterBufferDelay += (now - packet.arrived) * samples
                stats.jitterBufferTargetDelay += buffer.target.seconds * samples
                try:
                    return decoder.decode(packet.payload)
                except av.FFmpegError as error:
                    logger.warning("audio.decode.failed error=%s", error)
                    return decoder.conceal(packet.duration)
            case Recover(packet, duration):
                made = decoder.recover(packet.payload, duration)
                return made if decoder.has_fec(packet.payload) else self._fade_out(made, decoder)
            case Conceal(duration, silent):
                made = decoder.conceal(duration)
                return made if silent else self._fade_out(made, decoder)

    def _fade_out(self, concealed: Samples, decoder: AudioDecoder) -> Samples:
        """Count concealed samples and apply the fade-out."""
        count = len(concealed) // decoder.channels
        self.stats.concealmentEvents += not self._concealed
        self.stats.concealedSamples += count
        self._concealed += count
        before, beyond = self._gain, self._concealed / decoder.sample_rate - _CONCEALMENT_HOLD
        self._gain = min(1.0, max(0.0, 1 - beyond / _CONCEALMENT_FADE))
        if self._gain < 1:
            concealed = time_stretch.apply_gain(concealed, before, self._gain)
        if max(concealed) <= _SILENCE_LEVEL and min(concealed) >= -_SILENCE_LEVEL:
            self.stats.silentConcealedSamples += count
        return concealed

    def _stretch(self, stream: _Stream, now: float, wanted: int) -> None:
        decoder, buffer = stream.decoder, stream.buffer
        samples_per_unit = decoder.sample_rate // decoder.clock_rate * decoder.channels
        way = buffer.stretch(now, len(stream.decoded) // samples_per_unit)
        if way is Stretch.NONE:
            return
        rate, channels = decoder.sample_rate, decoder.channels
        if way is Stretch.DECELERATE:
            changed = time_stretch.decelerate(stream.decoded, channels, rate)
        else:
            enough = wanted + time_stretch.samples_needed(rate) // 2 * channels
            while len(stream.decoded) < enough and buffer.can_decode():
                stream.decoded += self._decode_next(stream, now) or array("h")
            if len(stream.decoded) < enough:
                return
            changed = time_stretch.accelerate(stream.decoded, channels, rate)
        if changed is None:
            return
        longer = (len(changed) - len(stream.decoded)) // channels
        self.stats.insertedSamplesForDeceleration += max(longer, 0)
        self.stats.removedSamplesForAcceleration += max(-longer, 0)
        buffer.stretched(now)
        stream.decoded = changed

    def _frame(self, now: float, decoder: AudioDecoder, played: Samples) -> AudioFrame:
        rate = decoder.sample_rate
        if self._rate not in (0, rate):
            self._pts = self._pts * rate // self._rate
        if self._rate != rate:
            self._rate, self._time_base = rate, Fraction(1, rate)
        if self._played_at is not None:
            missed = round((now - self._played_at) / STEP) - 1
            self._pts += max(missed, 0) * round(STEP * rate)
        self._played_at = now
        count = len(played) // decoder.channels
        frame = AudioFrame("s16", "stereo" if decoder.channels == 2 else "mono", count)
        frame.planes[0].update(played.tobytes())
        frame.sample_rate = rate
        frame.time_base = self._time_base
        frame.pts = self._pts
        self._pts += count
        self.stats.totalSamplesReceived += count
        return frame
