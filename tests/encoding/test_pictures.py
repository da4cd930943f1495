"""Pictures of any format, colours and orientation, made into those that are sent and shown."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from av import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from hypothesis import given, settings, strategies as st

from icefloe.encoding import (
    EncodingError,
    PictureConverter,
    Refusals,
    UnusablePicture,
    VideoEncoder,
    encoded,
    turn_of,
    upright_size,
)
from icefloe.encoding.pictures import BT601, MAX_SIDE
from tests.media.turned import MARKED, TURNS, marked, turned

RED = (200, 60, 20)
FORMATS = [
    "yuv420p",
    "yuvj420p",
    "yuv422p",
    "yuvj422p",
    "yuv444p",
    "nv12",
    "nv21",
    "yuyv422",
    "uyvy422",
    "yuva420p",
    "yuv420p10le",
    "yuv420p12le",
    "p010le",
    "yuv444p16le",
    "rgb24",
    "bgr24",
    "rgba",
    "bgra",
    "argb",
    "gbrp",
    "rgb48le",
    "rgb565le",
]


def red(format: str, matrix: int, color_range: int, size: tuple[int, int] = (64, 48)) -> VideoFrame:
    """Return a red picture that says how it is to be read, where its format leaves that open."""
    pixels = np.full((size[1], size[0], 3), RED, np.uint8)
    rgb = VideoFrame.from_ndarray(pixels, "rgb24")
    is_rgb = format.startswith(("rgb", "bgr", "gbr", "argb"))
    frame = VideoReformatter().reformat(
        rgb,
        format=format,
        dst_colorspace=None if is_rgb else matrix,
        dst_color_range=None if is_rgb else color_range,
    )
    frame.pts, frame.time_base = 7, Fraction(1, 1000)
    return frame


def first(frame: VideoFrame) -> list[int]:
    """Return the first pixel of each plane."""
    return [bytes(plane)[0] for plane in frame.planes]


def rgb_of(luma: int, blue: int, red: int) -> list[float]:
    """Return what a receiver shows of a pixel in limited-range BT.601 (ITU-R BT.601-7)."""
    y, b, r = (luma - 16) / 219, (blue - 128) / 224, (red - 128) / 224
    return [255 * (y + 1.402 * r), 255 * (y - 0.344136 * b - 0.714136 * r), 255 * (y + 1.772 * b)]


@pytest.mark.parametrize("color_range", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize(
    "matrix", [Colorspace.ITU601, Colorspace.ITU709, Colorspace.SMPTE240M, Colorspace.BT2020]
)
@pytest.mark.parametrize("format", FORMATS)
def test_whatever_says_how_it_is_to_be_read_keeps_its_colours(
    format: str, matrix: Colorspace, color_range: ColorRange
) -> None:
    converter = PictureConverter()
    frame = red(format, matrix, color_range)
    sent = converter.convert(frame, "yuv420p")
    assert (sent.color_range, sent.pts, sent.time_base) in [
        (kept, 7, Fraction(1, 1000)) for kept in (ColorRange.MPEG, ColorRange.UNSPECIFIED)
    ]
    wrong = max(abs(a - b) for a, b in zip(rgb_of(*first(sent)), RED, strict=True))
    assert wrong < (12 if format == "rgb565le" else 6)
    shown = converter.convert(frame, "rgb24").to_ndarray()[24, 32].astype(int)
    assert abs(shown - RED).max() < (12 if format == "rgb565le" else 5)


@pytest.mark.parametrize("format", ["yuvj420p", "yuv420p", "gray", "rgb24", "yuv420p10le", "monob"])
def test_white_is_white_and_black_is_black(format: str) -> None:
    white = VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), "rgb24")
    for level, luma in ((255, 235), (0, 16)):
        pixels = np.full((48, 64, 3), level, np.uint8)
        frame = VideoReformatter().reformat(
            VideoFrame.from_ndarray(pixels, "rgb24"),
            format=format,
            dst_color_range=ColorRange.JPEG if format.startswith("yuv") else None,
        )
        sent = PictureConverter().convert(frame, "yuv420p")
        assert abs(first(sent)[0] - luma) <= 1
        gray = PictureConverter().convert(sent, "gray")
        assert abs(first(gray)[0] - level) <= 2
    assert white.format.name == "rgb24"


def test_a_palette_is_looked_up() -> None:
    image = np.zeros((48, 64), np.uint8)
    palette = np.zeros((256, 4), np.uint8)
    palette[0] = (255, *RED)
    frame = VideoFrame.from_ndarray((image, palette), "pal8")  # type: ignore[arg-type]
    sent = PictureConverter().convert(frame, "yuv420p")
    assert max(abs(a - b) for a, b in zip(rgb_of(*first(sent)), RED, strict=True)) < 5


@pytest.mark.parametrize("matrix", [0, 2, 3, 5, BT601])
def test_what_is_as_it_is_sent_is_not_converted(matrix: int) -> None:
    frame = VideoFrame(64, 48, "yuv420p")
    frame.colorspace = matrix
    assert PictureConverter().convert(frame, "yuv420p") is frame
    frame.color_range = ColorRange.MPEG
    assert PictureConverter().convert(frame, "yuv420p") is frame
    frame.color_range = ColorRange.JPEG
    assert PictureConverter().convert(frame, "yuv420p") is not frame
    assert frame.color_range == ColorRange.JPEG


@pytest.mark.parametrize("matrix", [8, 11, 12, 13, 14])
def test_a_matrix_that_is_not_known_is_named(matrix: int) -> None:
    frame = VideoFrame(64, 48, "yuv420p")
    frame.colorspace = matrix
    with pytest.raises(UnusablePicture, match=f"yuv420p 64x48 matrix {matrix}") as caught:
        PictureConverter().convert(frame, "yuv420p")
    assert isinstance(caught.value, EncodingError)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.picture == f"yuv420p 64x48 matrix {matrix}"


@pytest.mark.parametrize("frame", [VideoFrame(), VideoFrame(0, 0, "rgb24")], ids=["none", "empty"])
def test_a_picture_without_pixels_is_named(frame: VideoFrame) -> None:
    with pytest.raises(UnusablePicture, match="no pixels"):
        PictureConverter().convert(frame, "yuv420p")
    with pytest.raises(UnusablePicture, match="no pixels"):
        VideoEncoder("VP8").encode(frame)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(av.video.format.names)),  # type: ignore[attr-defined]
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(0, 20),
    st.integers(0, 2),
)
def test_any_frame_is_converted_or_named(
    format: str, width: int, height: int, matrix: int, color_range: int
) -> None:
    try:
        frame = VideoFrame(width, height, format)
    except (ValueError, OSError):
        return  # those of graphics cards cannot be made so
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.colorspace, frame.color_range = matrix, color_range
    for wanted in ("yuv420p", "rgb24", "gray", "yuvj420p", "nv12"):
        try:
            made = PictureConverter().convert(frame, wanted)
        except UnusablePicture as error:
            assert f"{width}x{height}" in error.picture
        else:
            assert (made.width, made.height, made.format.name) == (width, height, wanted)


@pytest.mark.parametrize(
    ("format", "width", "height"),
    [("bayer_rggb8", 64, 33), ("bayer_bggr16le", 33, 64), ("yaf32le", 64, 64), ("yaf32be", 2, 2)],
)
def test_what_ends_the_process_in_ffmpeg_is_refused(format: str, width: int, height: int) -> None:
    with pytest.raises(UnusablePicture, match=format):
        PictureConverter().convert(VideoFrame(width, height, format), "yuv420p")


# --- orientation


@pytest.mark.parametrize("name", TURNS)
@pytest.mark.parametrize("format", ["yuv420p", "rgb24", "nv12", "gray", "yuv420p10le"])
def test_a_picture_is_turned_as_its_matrix_says(name: str, format: str) -> None:
    frame = turned(VideoReformatter().reformat(marked(), format=format), name)
    expected = TURNS[name].expected(MARKED)
    assert upright_size(frame) == expected.shape[::-1]
    converter = PictureConverter()
    for upright in (
        converter.convert(frame, "gray"),
        converter.convert(converter.upright(frame), "gray"),
        converter.convert(converter.convert(frame, "yuv420p"), "gray"),
    ):
        assert turn_of(upright) == ""
        assert upright.pts == frame.pts
        assert abs(upright.to_ndarray().astype(int) - expected).max() < 8


def test_only_the_wanted_size_is_turned() -> None:
    frame = turned(marked(), "right")
    made = PictureConverter().convert(frame, "yuv420p", 20, 40)
    assert (made.width, made.height) == (20, 40)


@pytest.mark.parametrize("name", ["right", "half", "mirrored"])
@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_what_is_sent_is_upright(codec: str, name: str) -> None:
    encoder = VideoEncoder(codec)
    frame = turned(marked(), name)
    frame.pts, frame.time_base = 0, Fraction(1, 90000)
    (packet,) = encoder.encode(frame, scale_down_by=2)
    known = encoded(packet)
    height, width = TURNS[name].expected(MARKED).shape
    assert known is not None
    assert (known.width, known.height) == (width // 2, height // 2)
    (picture,) = decoded(codec, [bytes(packet)])
    small = PictureConverter().convert(picture, "gray", width, height).to_ndarray().astype(int)
    # Corners tell which way it is; what is encoded is not exact.
    expected = TURNS[name].expected(MARKED).astype(int)
    for y in (4, -5):
        for x in (4, -5):
            assert abs(small[y, x] - expected[y, x]) < 25


def decoded(codec: str, packets: list[bytes]) -> list[VideoFrame]:
    decoder = av.CodecContext.create(codec.lower(), "r")
    assert isinstance(decoder, av.VideoCodecContext)
    frames = [f for data in packets for f in decoder.decode(av.Packet(data))]
    return frames + list(decoder.decode(None))


# --- what is sent


def test_h264_says_how_it_is_to_be_read() -> None:
    frame = red("rgb24", Colorspace.ITU601, ColorRange.JPEG)
    (packet,) = VideoEncoder("H264").encode(frame)
    (picture,) = decoded("H264", [bytes(packet)])
    assert (picture.color_range, picture.colorspace) == (ColorRange.MPEG, BT601)
    wrong = max(abs(a - b) for a, b in zip(rgb_of(*first(picture)), RED, strict=True))
    assert wrong < 12


SIZES = [(1, 1), (3, 3), (161, 121), (1, 500), (500, 1), (4097, 33), (33, 4097), (2, 2), (640, 481)]


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_size_that_changes_with_each_picture_is_followed(codec: str) -> None:
    encoder = VideoEncoder(codec)
    for number, (width, height) in enumerate(SIZES):
        frame = VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes([100 + number]) * plane.buffer_size)
        frame.pts, frame.time_base = number * 3000, Fraction(1, 90000)
        (packet,) = encoder.encode(frame, key_frame=True)
        (picture,) = decoded(codec, [bytes(packet)])
        assert (picture.width, picture.height) == (max(2, width & ~1), max(2, height & ~1))
        assert abs(first(picture)[0] - 100 - number) < 3


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_side_that_no_codec_has_is_named_and_the_next_picture_is_encoded(codec: str) -> None:
    encoder = VideoEncoder(codec)
    wide = VideoFrame(MAX_SIDE + 1, 16, "yuv420p")
    with pytest.raises(UnusablePicture, match="scale it down"):
        encoder.encode(wide)
    assert encoder.encode(red("rgb24", Colorspace.ITU601, ColorRange.JPEG))


def test_refusals_are_counted_and_logged_sparsely(caplog: pytest.LogCaptureFixture) -> None:
    refusals = Refusals("a test")
    for number in range(150):
        refusals.note(ValueError(f"number {number}"))
    assert refusals.count == 150
    told: list[Any] = [record.args for record in caplog.records]
    assert [args[1] for args in told] == [1, 10, 100]
