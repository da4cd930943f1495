"""Payloads: what aiortc unpacks is what was packed, and none is too large."""

import random

import pytest
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from hypothesis import given, strategies as st

from icefloe.encoding import KeyFrameRequests, is_key_frame
from icefloe.encoding.packing import PAYLOAD_MAX, Packer

CODECS = {
    name: RTCRtpCodecParameters(mimeType=f"video/{name}", clockRate=90000, payloadType=97)
    for name in ("H264", "VP8")
}


def unit(size: int, kind: int = 1) -> bytes:
    """Return a NAL unit without zeros, so that nothing in it looks like a start code."""
    return bytes([0x60 | kind]) + bytes(random.choices(range(1, 256), k=size - 1))


@given(st.lists(st.integers(2, 6000), min_size=1, max_size=12))
def test_h264_comes_out_as_it_went_in(sizes: list[int]) -> None:
    units = [unit(size) for size in sizes]
    whole = b"".join(b"\0\0\0\1" + each for each in units)
    payloads = Packer("H264").pack(whole)
    assert max(map(len, payloads)) <= PAYLOAD_MAX
    assert b"".join(depayload(CODECS["H264"], payload) for payload in payloads) == whole


@given(st.binary(min_size=1, max_size=9000), st.integers(0, 0x7FFF))
def test_vp8_comes_out_as_it_went_in(data: bytes, id: int) -> None:
    packer = Packer("VP8", picture_id=id)
    payloads = packer.pack(data)
    assert max(map(len, payloads)) <= PAYLOAD_MAX
    assert b"".join(depayload(CODECS["VP8"], payload) for payload in payloads) == data
    assert packer.picture_id == (id + 1) % 0x8000
    assert [payload[0] & 0x10 for payload in payloads] == [0x10] + [0] * (len(payloads) - 1)


def test_short_start_codes_and_zeros_at_the_end_are_no_content() -> None:
    first, second = unit(30, 7), unit(40, 5)
    data = b"\0\0\1" + first + b"\0\0\0\0\1" + second + b"\0\0"
    (together,) = Packer("H264").pack(data)
    assert depayload(CODECS["H264"], together) == b"\0\0\0\1" + first + b"\0\0\0\1" + second


@pytest.mark.parametrize(
    ("codec", "data", "is_key"),
    [
        ("H264", b"\0\0\0\1" + b"\x67abc" + b"\0\0\1" + b"\x65abc", True),
        ("H264", b"\0\0\0\1" + b"\x41abc", False),
        ("VP8", b"\x10abc", True),
        ("VP8", b"\x11abc", False),
        ("opus", b"\xfcabc", True),
        ("VP8", b"", False),
    ],
)
def test_key_frames_are_known(codec: str, data: bytes, is_key: bool) -> None:
    assert is_key_frame(codec, data) is is_key


def test_audio_is_one_payload() -> None:
    assert Packer("opus").pack(b"abc") == (b"abc",)


def test_a_burst_of_requests_makes_one_key_frame() -> None:
    requests = KeyFrameRequests(0.3)
    made = []
    for step in range(100):  # a frame each 10 ms, and everybody asks all the time
        requests.ask()
        requests.ask()
        if requests.due(step / 100):
            made.append(step)
    assert made == [0, 30, 60, 90]


def test_a_request_soon_after_a_key_frame_is_kept() -> None:
    requests = KeyFrameRequests(0.3)
    requests.made(10.0)
    requests.ask()
    assert not requests.due(10.1)
    assert requests.due(10.3)
    assert not requests.due(11.0)
