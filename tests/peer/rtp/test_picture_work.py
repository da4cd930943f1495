"""Pictures that are made to be work: what reading one takes is bounded, whatever it is made of."""

from itertools import count

import pytest
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from icefloe.encoding import is_key_frame
from icefloe.peer.rtp.receive.bitstream_size import announced_size
from icefloe.peer.rtp.receive.depacketizer import Depacketizer
from icefloe.peer.rtp.receive.frame_assembly import MAX_BYTES, NAL_UNIT_COST
from tests.helpers.work import lines_run

LARGE = 2 * 1024 * 1024


@pytest.mark.parametrize(
    "piece",
    [b"\0\0\1\x06", b"\0\0\0\1\x06", b"\0\0\1", b"\0\0\1\x41", b"\0", b"\0\0\1\x67"],
    ids=["tiny", "four", "empty", "slices", "zeros", "sets"],
)
def test_a_key_frame_is_known_by_its_beginning(piece: bytes) -> None:
    data = b"\0\0\1\x06" + piece * (LARGE // len(piece)) + b"\0\0\1\x65"
    assert lines_run(lambda: is_key_frame("H264", data)) < 200_000
    assert not is_key_frame("H264", data)


def test_parameter_sets_before_a_key_frame_do_not_hide_it() -> None:
    sets = b"".join(b"\0\0\1" + bytes([kind]) + b"x" * 100 for kind in (9, 0x67, 0x68, 6, 6))
    assert is_key_frame("H264", sets + b"\0\0\1\x65x\0\0\1\x65y")
    assert not is_key_frame("H264", sets + b"\0\0\1\x41x\0\0\1\x41y")


def test_long_numbers_of_parameter_sets_are_little_work() -> None:
    """768 numbers of scaling lists, of 63 bits each, in as many sets as are looked at."""
    bits = f"{100:08b}" + "0" * 16 + "1" + "010" + "1" + "1" + "0" + "1"
    bits += "".join("1" + ("0" * 31 + "1" + "1" * 31) * (16 if n < 6 else 64) for n in range(8))
    data = int(bits.ljust(len(bits) + -len(bits) % 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    unit = b"\0\0\1\x67" + data.replace(b"\0\0", b"\0\0\3")[:4096]
    assert lines_run(lambda: announced_size("H264", unit * 32)) < 32 * 768 * 20


def test_a_picture_has_no_more_units_than_it_may() -> None:
    pictures: list[bytes] = []
    codec = RTCRtpCodecParameters(mimeType="video/H264", clockRate=90000, payloadType=96)

    def deliver(
        codec: RTCRtpCodecParameters, data: bytes, pts: int, *, ssrc: int, timestamp: int
    ) -> None:
        pictures.append(data)

    intake = Depacketizer("video", deliver)
    together = b"\x78" + b"\0\1\x06" * 390  # a STAP-A of units of one byte (RFC 6184 section 5.7.1)
    given_up = 0
    for number in count():
        packet = RtpPacket(
            payload_type=96,
            marker=int(number % 100 == 99),
            sequence_number=number,
            timestamp=number // 100,
            ssrc=1,
            payload=together,
        )
        given_up += intake.put_video(1000.0 + number, packet, codec, is_retransmission=False)
        if number == 299:
            break
    most = MAX_BYTES // NAL_UNIT_COST
    assert given_up
    assert all(picture.count(b"\0\0\1") <= most for picture in pictures)

    for number in range(300, 340):
        packet = RtpPacket(
            payload_type=96,
            marker=int(number % 40 == 39),
            sequence_number=number,
            timestamp=number,
            ssrc=1,
            payload=together,
        )
        intake.put_video(2000.0 + number, packet, codec, is_retransmission=False)
    assert pictures  # those that are within the bound come through
