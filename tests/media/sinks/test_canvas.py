import threading

import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray

from icefloe.media.sinks.canvas import Canvas


def gray(width: int, height: int, luma: int) -> VideoFrame:
    frame = VideoFrame(width, height, "yuv420p")
    for plane, value in zip(frame.planes, (luma, 128, 128), strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def luma(canvas: Canvas) -> NDArray[np.uint8]:
    return canvas.draw().to_ndarray()[: canvas.height].astype(np.uint8)


def box(pixels: NDArray[np.uint8], value: int) -> tuple[int, int, int, int] | None:
    """Return left, top, width and height of where a luma stands, which must be a rectangle."""
    rows, columns = np.nonzero(np.abs(pixels.astype(int) - value) < 3)
    if not len(rows):
        return None
    left, top = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) - left + 1, int(rows.max()) - top + 1
    assert len(rows) == width * height
    return left, top, width, height


def test_a_picture_of_the_same_size_is_taken_as_it_is() -> None:
    canvas = Canvas(64, 48)
    canvas.show("a", gray(64, 48, 100))
    assert box(luma(canvas), 100) == (0, 0, 64, 48)


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((128, 96), (0, 0, 64, 48)),
        ((32, 24), (0, 0, 64, 48)),
        ((48, 64), (14, 0, 36, 48)),
        ((96, 48), (0, 8, 64, 32)),
        ((33, 17), (0, 8, 64, 32)),
        ((1, 1000), (30, 0, 2, 48)),
    ],
)
def test_a_picture_of_another_size_is_scaled_with_black_bars(
    size: tuple[int, int], wanted: tuple[int, int, int, int]
) -> None:
    canvas = Canvas(64, 48)
    canvas.show("a", gray(*size, 200))
    assert box(luma(canvas), 200) == wanted
    assert wanted == (0, 0, 64, 48) or 16 in luma(canvas)


def test_nothing_is_left_of_a_picture_that_was_larger() -> None:
    canvas = Canvas(64, 48)
    canvas.show("a", gray(64, 48, 200))
    canvas.show("a", gray(48, 64, 100))
    pixels = luma(canvas)
    assert box(pixels, 200) is None
    assert box(pixels, 100) == (14, 0, 36, 48)


def test_several_pictures_stand_side_by_side_and_close_up() -> None:
    canvas = Canvas(64, 48)
    for number in range(3):
        canvas.show(number, gray(64, 48, 60 + 40 * number))
    pixels = luma(canvas)
    assert [box(pixels, 60 + 40 * n) for n in range(3)] == [
        (0, 0, 32, 24),
        (32, 0, 32, 24),
        (0, 24, 32, 24),
    ]
    canvas.remove(0)
    pixels = luma(canvas)
    assert box(pixels, 60) is None
    assert box(pixels, 140) == (32, 6, 32, 36) or box(pixels, 140) == (32, 12, 32, 24)
    canvas.remove(1)
    assert box(luma(canvas), 140) == (0, 0, 64, 48)


def test_what_was_drawn_does_not_change_with_what_is_shown_next() -> None:
    canvas = Canvas(64, 48)
    canvas.show("a", gray(64, 48, 100))
    first = canvas.draw()
    canvas.show("a", gray(64, 48, 200))
    assert int(first.to_ndarray()[0, 0]) == 100


def test_canvases_in_two_threads_take_the_same_frames() -> None:
    # Were they to scale with the frame's own scaler, they would wait for each other for ever.
    threads, rounds = 2, 2000
    given = [gray(320, 256, 100)]
    barrier = threading.Barrier(threads, action=lambda: given.insert(0, gray(320, 256, 100)))

    def show() -> None:
        canvas = Canvas(160, 128)
        for _ in range(rounds):
            barrier.wait()
            canvas.show("a", given[0])
            barrier.wait()
            del given[3:]

    workers = [threading.Thread(target=show, daemon=True) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert not any(worker.is_alive() for worker in workers)
