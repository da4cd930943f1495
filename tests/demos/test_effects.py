"""Effects on pictures whose colours are known."""

import pytest
from av import VideoFrame

from icefloe.demos.call.effects import EFFECTS, effect


def picture(width: int, height: int, colour: tuple[int, int, int], pixels: str) -> VideoFrame:
    """Return a picture of one colour, given as luma and the two differences."""
    frame = VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, colour, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame if pixels == "yuv420p" else frame.reformat(format=pixels)


def colour_of(frame: VideoFrame) -> tuple[int, ...]:
    """Return the colour in the middle of a picture."""
    return tuple(
        bytes(plane)[plane.height // 2 * plane.line_size + plane.width // 2]
        for plane in frame.planes
    )


def apply(name: str, frame: VideoFrame) -> VideoFrame:
    function = effect(name)
    assert function is not None
    return function(frame)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gray", (150, 128, 128)),
        ("mirror", (150, 90, 200)),
        ("negative", (105, 165, 55)),
        ("sepia", (150, 108, 148)),
        ("blur", (150, 90, 200)),
        ("edges", (16, 128, 128)),
    ],
)
def test_effects_do_to_colours_what_their_names_say(name: str, expected: tuple[int, ...]) -> None:
    changed = colour_of(apply(name, picture(64, 48, (150, 90, 200), "yuv420p")))
    assert all(abs(a - b) <= 2 for a, b in zip(changed, expected, strict=True)), changed


def test_no_effect_is_no_work() -> None:
    assert effect("none") is None


def test_a_mirror_swaps_left_and_right() -> None:
    frame = picture(64, 48, (16, 128, 128), "yuv420p")
    luma = memoryview(frame.planes[0])
    for row in range(48):
        start = row * frame.planes[0].line_size
        luma[start : start + 8] = bytes([235]) * 8
    mirrored = bytes(apply("mirror", frame).planes[0])[:64]
    assert mirrored == bytes([16]) * 56 + bytes([235]) * 8


def test_edges_are_where_brightness_changes() -> None:
    frame = picture(64, 48, (16, 128, 128), "yuv420p")
    luma = memoryview(frame.planes[0])
    for row in range(48):
        start = row * frame.planes[0].line_size
        # Between two lines that are equally steep the filter finds none.
        luma[start : start + 33] = bytes([235]) * 32 + bytes([180])
    changed = apply("edges", frame).planes[0]
    middle = bytes(changed)[24 * changed.line_size :][:64]
    bright = [x for x, value in enumerate(middle) if value > 200]
    assert bright
    assert all(28 <= x <= 36 for x in bright)


@pytest.mark.parametrize("name", [name for name in EFFECTS if name != "none"])
@pytest.mark.parametrize("pixels", ["yuv420p", "rgb24", "nv12"])
def test_sizes_and_formats_may_change_under_way(name: str, pixels: str) -> None:
    function = effect(name)
    assert function is not None
    for width, height in ((640, 480), (322, 182), (640, 480), (97, 55), (16, 16)):
        changed = function(picture(width, height, (150, 90, 200), pixels))
        assert changed.format.name == "yuv420p"
        assert (changed.width, changed.height) == (width, height)


def test_the_picture_that_went_in_is_left_as_it_was() -> None:
    frame = picture(64, 48, (150, 90, 200), "yuv420p")
    for name in EFFECTS:
        if (function := effect(name)) is not None:
            function(frame)
    assert colour_of(frame) == (150, 90, 200)
