"""Encoders of sound: what comes out is decoded by FFmpeg and sounds as it did."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av.packet import Packet

from icefloe.encoding import AudioEncoder, UnusableSound, encoded
from tests.encoding.sounds import LOUD, frame_of, loudness, tone

CODECS = {"opus": 48000, "PCMU": 8000, "PCMA": 8000, "G722": 16000}
FFMPEG = {"opus": "libopus", "PCMU": "pcm_mulaw", "PCMA": "pcm_alaw", "G722": "g722"}

KINDS = (
    ("s16", "mono", 48000),
    ("fltp", "stereo", 44100),
    ("u8", "mono", 8000),
    ("s32p", "5.1", 96000),
    ("dbl", "7.1", 192000),
)


def encode(encoder: AudioEncoder, seconds: float, length: float) -> "list[Packet[Any]]":
    """Encode a tone in frames that change their format 50 times a second at most."""
    made, at, number = [], Fraction(0), 0
    while at < seconds:
        form, layout, rate = KINDS[number // max(1, round(0.02 / length)) % len(KINDS)]
        samples = round(length * rate)
        encoder.put(frame_of(tone(at, samples, rate), form, layout, rate), float(at))
        at, number = at + Fraction(samples, rate), number + 1
        while (due := encoder.queue.due()) is not None and due < at:
            made += encoder.take(due)
    encoder.queue.finish()
    return made + encoder.take(float(at) + 10)


def decode(codec: str, packets: "list[Packet[Any]]") -> Any:
    decoder = av.CodecContext.create(FFMPEG[codec], "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate = CODECS[codec]
    decoder.layout = "stereo" if codec == "opus" else "mono"
    decoder.format = "s16"
    frames = [f for p in packets for f in decoder.decode(av.Packet(bytes(p)))]
    wave = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]) / 32767
    return wave[::2] if codec == "opus" else wave


@pytest.mark.parametrize("length", [0.0025, 0.02, 0.06, 1.0])
@pytest.mark.parametrize("codec", CODECS)
def test_each_packet_has_20_ms_and_a_time_of_its_own(codec: str, length: float) -> None:
    encoder = AudioEncoder(codec)
    packets = encode(encoder, 3.0, length)
    step = encoder.clock_rate // 50
    assert [packet.pts for packet in packets] == [n * step for n in range(len(packets))]
    assert {packet.time_base for packet in packets} == {Fraction(1, encoder.clock_rate)}
    assert 150 <= len(packets) <= 151
    wave = decode(codec, packets)
    rate = CODECS[codec]
    assert len(wave) == len(packets) * rate // 50
    assert loudness(wave[rate // 2 : rate * 5 // 2], rate) == pytest.approx(LOUD, rel=0.08)


@pytest.mark.parametrize("codec", CODECS)
def test_what_is_known_of_a_packet(codec: str) -> None:
    encoder = AudioEncoder(codec)
    encoder.put(frame_of(tone(Fraction(0), 1920, 48000), "s16", "mono", 48000), 5.0)
    encoder.queue.finish()
    (first,) = encoder.take(5.0)
    (second,) = encoder.take(5.02, muted=True)
    known, silent = encoded(first), encoded(second)
    assert known is not None
    assert silent is not None
    assert (known.codec, known.implementation) == (codec, FFMPEG[codec])
    assert known.payloads == (bytes(first),)
    assert known.received_at == 5.0
    assert known.is_key_frame
    assert known.level == pytest.approx(15, abs=1)
    assert silent.level == 127
    assert np.abs(decode(codec, [first, second])[-100:]).max() < 0.26


def test_what_is_muted_is_silent() -> None:
    encoder = AudioEncoder("PCMU")
    for number in range(3):
        encoder.put(frame_of(np.full(160, 0.5), "u8", "mono", 8000), number * 0.02)
    packets = encoder.take(1.0, muted=True)
    assert not decode("PCMU", packets).any()


def test_another_track_begins_anew_without_what_waited() -> None:
    encoder = AudioEncoder("opus")
    encoder.put(frame_of(np.full(48000, 0.5), "s16", "mono", 48000), 0.0)
    assert len(encoder.take(0.1)) == 6
    encoder.anew()
    assert encoder.take(9.0) == []
    encoder.put(frame_of(np.full(441, 0.5), "s16", "stereo", 44100), 9.0)
    encoder.put(frame_of(np.full(882, 0.5), "s16", "stereo", 44100), 9.01)
    assert [packet.pts for packet in encoder.take(10.0)] == [0]


def test_what_cannot_be_used_is_refused_and_the_next_is_not() -> None:
    encoder = AudioEncoder("opus")
    with pytest.raises(UnusableSound, match="sample rate"):
        encoder.put(av.AudioFrame("s16", "mono", 960), 0.0)
    encoder.put(frame_of(np.full(960, 0.5), "s16", "mono", 48000), 0.0)
    assert len(encoder.take(0.0)) == 1


def test_a_codec_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="telepathy"):
        AudioEncoder("telepathy")
