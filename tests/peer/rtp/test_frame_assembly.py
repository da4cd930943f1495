"""Pictures from packets: as soon as they are whole, in order, and on after what is lost."""

from collections.abc import Iterable

import pytest

from icefloe.peer.rtp.receive.frame_assembly import MAX_GAP, MAX_PACKETS, FrameAssembler


class Stream:
    """A sender's numbering, and what becomes of its packets.

    Args:
        first: The number of the first packet.
        marks: Whether the last packet of a picture says so.
    """

    def __init__(self, first: int = 0, *, marks: bool = True) -> None:
        self.assembly: FrameAssembler[str] = FrameAssembler()
        self._number = first
        self._marks = marks

    def send(
        self, stamp: int, *parts: str, lost: Iterable[int] = (), marks: bool | None = None
    ) -> list[str]:
        """Send a picture without some of its packets; return the pictures that are whole then."""
        marks = self._marks if marks is None else marks
        came: list[str] = []
        for i, part in enumerate(parts):
            if i not in lost:
                is_last = marks and i == len(parts) - 1
                came += self.put(self._number, stamp, part, is_last=is_last)
            self._number += 1
        return came

    def put(self, number: int, stamp: int, part: str, *, is_last: bool) -> list[str]:
        self.needs_key_frame = self.assembly.put(
            number & 0xFFFF, stamp, part.encode(), "VP8", is_last=is_last
        )
        came = []
        while (picture := self.assembly.take()) is not None:
            came.append(picture.data.decode())
        return came


def test_a_picture_is_there_with_its_last_packet() -> None:
    stream = Stream()
    assert stream.send(1, "a", "b") == ["ab"]
    assert stream.send(2, "c") == ["c"]


def test_without_markers_a_picture_is_there_with_the_next_one() -> None:
    stream = Stream(marks=False)
    assert stream.send(1, "a", "b") == []
    assert stream.send(2, "c") == ["ab"]


def test_packets_may_come_in_any_order() -> None:
    stream = Stream()
    assert stream.put(7, 1, "a", is_last=False) == []
    assert stream.put(9, 1, "c", is_last=True) == []
    assert stream.assembly.has_gap
    assert stream.put(8, 1, "b", is_last=False) == ["abc"]
    assert not stream.assembly.has_gap


def test_all_that_waited_for_a_lost_packet_comes_with_it() -> None:
    stream = Stream()
    stream.send(1, "a")
    assert stream.send(2, "b", lost=[0]) == []
    assert stream.send(3, "c") == stream.send(4, "d") == []
    assert stream.put(1, 2, "b", is_last=True) == ["b", "c", "d"]


def test_what_comes_twice_or_too_late_is_left_out() -> None:
    stream = Stream()
    stream.send(1, "a", "b")
    assert stream.put(1, 1, "b", is_last=True) == []
    assert stream.send(2, "c") == ["c"]


@pytest.mark.parametrize("first", [0xFFFE, 0xFFFF, 0])
def test_numbers_wrap(first: int) -> None:
    stream = Stream(first)
    pictures = [stream.send(stamp, "a", "b") for stamp in range(3)]
    assert pictures == [["ab"]] * 3


def test_padding_is_no_picture_and_no_sign_of_a_marker_that_lies() -> None:
    stream = Stream()
    stream.send(1, "a", "b")
    assert stream.send(1, "", marks=False) == []
    assert stream.send(2, "c", "d") == ["cd"]
    assert stream.send(3, "e") == ["e"]


def test_a_sender_that_marks_parts_of_a_picture_is_not_believed_any_more() -> None:
    stream = Stream()
    stream.send(1, "a")
    assert stream.send(1, "b") == ["b"]
    assert stream.send(2, "c") == []
    assert stream.send(2, "d") == []
    assert stream.send(3, "e") == ["cd"]


def test_after_a_gap_it_goes_on_with_a_picture_that_has_its_beginning() -> None:
    stream = Stream()
    stream.send(1, "a")
    stream.send(2, "b", "c", lost=[0])
    stream.send(3, "d", "e", lost=[1])
    stream.send(4, "f", "g", lost=[0])
    stream.send(5, "h", "i")
    assert stream.assembly.has_gap
    stream.assembly.skip()
    assert not stream.assembly.has_gap
    assert stream.send(6, "j") == ["hi", "j"]


def test_without_a_gap_there_is_nothing_to_skip() -> None:
    stream = Stream()
    stream.send(1, "a", "b", "c", lost=[2])
    stream.assembly.skip()
    assert stream.put(2, 1, "c", is_last=True) == ["abc"]


def test_what_is_left_of_a_picture_that_was_skipped_is_no_picture() -> None:
    stream = Stream()
    stream.send(1, "a")
    stream.send(2, "b", "c", lost=[0, 1])
    stream.put(4, 3, "e", is_last=False)
    stream.assembly.skip()
    assert stream.put(5, 3, "f", is_last=True) == []
    assert stream.put(6, 4, "g", is_last=True) == ["g"]


def test_what_is_kept_is_bounded_and_pictures_are_given_up_whole() -> None:
    stream = Stream()
    stream.send(0, "a")
    stream.send(1, "a", "b", lost=[0])
    for stamp in range(2, MAX_PACKETS // 2 + 1):
        assert stream.send(stamp, "c", "d") == []
        assert not stream.needs_key_frame
    # The packet that is lost was the 513th from the newest; behind it all is there.
    came = stream.send(MAX_PACKETS, "e")
    assert stream.needs_key_frame
    assert came == ["cd"] * (MAX_PACKETS // 2 - 1) + ["e"]
    assert not stream.assembly.has_gap


def test_what_many_gaps_keep_is_bounded() -> None:
    stream = Stream()
    stream.send(0, "a")
    came: list[str] = []
    for stamp in range(1, 2 * MAX_PACKETS):
        came += stream.send(stamp, "a", "b", "c", lost=[1])
    assert came == []
    assert stream.send(2 * MAX_PACKETS, "d") == []
    stream.assembly.skip()
    assert stream.send(2 * MAX_PACKETS + 1, "e") == ["d", "e"]


def test_a_picture_that_finds_no_room_is_given_up_as_a_whole() -> None:
    stream = Stream()
    stream.send(1, "a")
    assert stream.send(2, *("b" for _ in range(MAX_PACKETS + 100))) == []
    assert stream.send(3, "c") == ["c"]


@pytest.mark.parametrize("ahead", [MAX_PACKETS, 5000, MAX_GAP + 1, -1100, -5000])
def test_numbers_that_begin_anew_are_followed(ahead: int) -> None:
    stream = Stream(10_000)
    stream.send(1, "a")
    assert stream.put(10_001 + ahead, 2, "b", is_last=True) == ["b"]
    assert stream.needs_key_frame
    assert stream.put(10_002 + ahead, 3, "c", is_last=True) == ["c"]
    assert not stream.needs_key_frame
