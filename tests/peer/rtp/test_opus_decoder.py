"""libopus: what it decodes, what a packet repeats of the one before, what it makes up."""

import math
import random
from array import array
from fractions import Fraction
from itertools import pairwise

import av
import pytest
from aiortc import RTCRtpCodecParameters
from aiortc.codecs import G722_CODEC, PCMA_CODEC, PCMU_CODEC, get_encoder
from av import AudioFrame

from icefloe.encoding import AudioEncoder
from icefloe.encoding.libopus import library
from icefloe.peer.rtp.receive import opus_decoder
from icefloe.peer.rtp.receive.audio_decoders import PlainDecoder, decoder_for
from icefloe.peer.rtp.receive.opus_decoder import LibopusDecoder
from icefloe.peer.rtp.receive.time_stretch import Samples
from icefloe.peer.rtp.send.opus_fec import OpusFec

OPUS = RTCRtpCodecParameters(mimeType="audio/opus", clockRate=48000, channels=2, payloadType=96)


def speech(number: int) -> AudioFrame:
    """Return 20 ms of syllables, whose pitch glides."""
    samples = array("h")
    noise = random.Random(number)
    for i in range(960):
        at = (number * 960 + i) / 48000
        phase = 2 * math.pi * (120 * at + 5 * math.sin(2 * at))
        value = sum(math.sin(k * phase) / k for k in range(1, 12))
        loudness = 4000 * max(0.02, math.sin(2 * math.pi * 2.5 * at))
        samples.extend([round(loudness * value + noise.gauss(0, 30))] * 2)
    frame = AudioFrame("s16", "stereo", 960)
    frame.planes[0].update(samples.tobytes())
    frame.sample_rate, frame.pts, frame.time_base = 48000, number * 960, Fraction(1, 48000)
    return frame


def packets(count: int, **options: str) -> list[bytes]:
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.bit_rate, encoder.sample_rate = 32000, 48000
    encoder.format, encoder.layout = "s16", "stereo"
    encoder.options = {"application": "voip", **options}
    return [bytes(packet) for n in range(count) for packet in encoder.encode(speech(n))]


def energy(samples: Samples) -> float:
    return math.sqrt(sum(s * s for s in samples) / len(samples))


def likeness(a: Samples, b: Samples) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (len(a) * energy(a) * energy(b))


def test_pyav_brings_libopus() -> None:
    assert library() is not None
    assert isinstance(decoder_for(OPUS), LibopusDecoder)


def test_a_lost_packet_is_what_the_next_one_repeats() -> None:
    coded = packets(60, fec="1", packet_loss="20")
    whole, lossy = LibopusDecoder(), LibopusDecoder()
    wanted = [whole.decode(packet) for packet in coded]
    lost = next(n for n in range(30, 59) if whole.has_fec(coded[n + 1]))
    for packet in coded[:lost]:
        lossy.decode(packet)
    recovered = lossy.recover(coded[lost + 1], 960)
    assert likeness(recovered, wanted[lost]) > 0.8
    assert likeness(lossy.decode(coded[lost + 1]), wanted[lost + 1]) > 0.8


def test_a_packet_that_repeats_nothing_says_so() -> None:
    decoder = LibopusDecoder()
    assert not any(decoder.has_fec(packet) for packet in packets(20))
    assert not decoder.has_fec(b"")


def test_what_is_made_up_sounds_like_what_was_before_and_fades() -> None:
    decoder = LibopusDecoder()
    last = [decoder.decode(packet) for packet in packets(46)][-1]
    made_up = [decoder.conceal(960) for _ in range(10)]
    assert energy(made_up[0]) > energy(last) / 3
    assert energy(made_up[-1]) < energy(made_up[0]) / 3
    assert max(abs(b - a) for a, b in pairwise((last + made_up[0])[::2])) < 8000


@pytest.mark.parametrize("milliseconds", [2.5, 5, 10, 20, 40, 60])
def test_the_length_of_a_packet_is_read_from_it(milliseconds: float) -> None:
    decoder = LibopusDecoder()
    for packet in packets(12, frame_duration=str(milliseconds)):
        length = round(48 * milliseconds)
        assert opus_decoder.duration(packet) == length
        assert len(decoder.decode(packet)) == 2 * length


@pytest.mark.parametrize("packet", [b"", b"\xff", b"\x03", b"\x1b\x3f" + bytes(50), b"\x02\xff"])
def test_malformed_packets_are_made_up(packet: bytes) -> None:
    decoder = LibopusDecoder()
    assert len(decoder.decode(packet)) > 0
    assert opus_decoder.duration(packet) in range(5761)
    assert not decoder.has_fec(packet) or packet


@pytest.mark.parametrize("codec", [PCMU_CODEC, PCMA_CODEC, G722_CODEC, OPUS])
def test_every_codec_of_aiortc_is_decoded_and_concealed(codec: RTCRtpCodecParameters) -> None:
    encoder, decoder = get_encoder(codec), PlainDecoder(codec)
    coded = [packet for number in range(46) for packet in encoder.encode(speech(number))[0]]
    assert all(decoder.duration(packet) * 50 == decoder.clock_rate for packet in coded)
    heard = [decoder.decode(packet) for packet in coded][-1]
    assert len(heard) * 50 == decoder.sample_rate * decoder.channels
    made_up = decoder.recover(coded[-1], decoder.clock_rate // 50)
    assert len(made_up) == len(heard)
    assert energy(made_up) > energy(heard) / 3


def test_more_is_repeated_at_once_and_less_after_a_while() -> None:
    redundancy = OpusFec()
    assert redundancy.report(0, 0.005) == 0
    assert redundancy.report(1, 0.02) == 0.1
    assert redundancy.report(2, 0.15) == 0.2
    assert redundancy.report(3, 0.9) == 0.3
    assert redundancy.report(4, 0.0) == 0.3
    assert redundancy.report(13, 0.0) == 0.3
    assert redundancy.report(14, 0.0) == 0
    assert redundancy.report(15, 0.02) == 0.1
    assert redundancy.report(16, 0.0) == 0.1
    assert redundancy.report(20, 0.05) == 0.1
    assert redundancy.report(27, 0.0) == 0.1


def test_an_encoder_that_expects_losses_repeats_and_keeps_time() -> None:
    encoder, decoder = AudioEncoder("opus", bitrate=96_000), LibopusDecoder()
    stamps, has_fec = [], []
    for number in range(150):
        encoder.expected_loss = 0.2 if 50 <= number < 100 else 0.0
        encoder.put(speech(number), number * 0.02)
        (packet,) = encoder.take(number * 0.02)
        stamps.append(packet.pts)
        has_fec.append(decoder.has_fec(bytes(packet)))
    assert stamps == [960 * number for number in range(150)]
    assert not any(has_fec[:50])
    assert sum(has_fec[50:100]) > 10
    assert not any(has_fec[100:])
