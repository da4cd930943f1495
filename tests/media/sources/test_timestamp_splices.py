"""Media whose times leap or begin anew, as in files that were put together."""

import itertools
from fractions import Fraction
from pathlib import Path

import av
import pytest
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from hypothesis import given, strategies as st

from icefloe.media import EncodedSource, FileSource
from icefloe.media.sources.timestamp_splices import Splices
from tests.media.files import make
from tests.media.manual_clock import ManualClock

PICTURE, SOUND = Fraction(1, 30), Fraction(1, 50)


@pytest.mark.parametrize("leap", [-86400, -5, 61, 86400, 2**40])
def test_streams_go_on_and_stay_in_step_where_times_leap(leap: int) -> None:
    splices = Splices(Fraction(0))
    seen, heard = [], []
    for n in range(300):
        at = n * PICTURE
        seen.append(splices.place("video", at + leap * (n >= 100), PICTURE))
        # The sound comes to the splice a little later.
        heard += [
            splices.place("audio", m * SOUND + leap * (m >= 170), SOUND)
            for m in range(n * 5 // 3, (n + 1) * 5 // 3)
        ]
    assert seen == [n * PICTURE for n in range(300)]
    assert heard == [m * SOUND for m in range(500)]


def test_what_pauses_while_another_stream_goes_on_is_no_splice() -> None:
    splices = Splices(Fraction(0))
    splices.place("video", Fraction(0), PICTURE)
    for m in range(60_000):
        splices.place("audio", m * SOUND, SOUND)
    assert splices.place("video", Fraction(1200), PICTURE) == 1200


def test_slides_and_the_order_of_decoding_are_none() -> None:
    splices = Splices(Fraction(0))
    for at in (0, 59, 118, 170):
        assert splices.place("video", Fraction(at), PICTURE) == at
    for n in (3, 1, 2, 6, 4, 5):
        assert splices.place("video", 170 + n * PICTURE, PICTURE) == 170 + n * PICTURE


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("audio", "video")),
            st.none() | st.fractions(-(10**9), 10**9) | st.fractions(0, 10),
            st.fractions(0, 2),
        ),
        max_size=60,
    )
)
def test_places_never_leap(packets: list[tuple[str, Fraction | None, Fraction]]) -> None:
    splices, last, reached = Splices(Fraction(0)), dict[str, Fraction](), Fraction(0)
    for kind, at, length in packets:
        placed = splices.place(kind, at, length)
        assert placed <= reached + 60
        if kind in last:
            assert placed >= last[kind] - 1
        last[kind] = max(last.get(kind, placed), placed + length)
        reached = max(reached, placed + length)


def parts(folder: Path, codec: str, offsets: list[int]) -> Path:
    """Put copies of a film one behind the other, whose times begin at some second each."""
    film = folder / "part.ts"
    make(film, frames=30, audio=Fraction(1), codec=codec, audio_codec="libopus")
    joined = folder / "film.ts"
    with joined.open("wb") as out:
        for number, offset in enumerate(offsets):
            moved = folder / f"{number}.ts"
            with (
                av.open(str(film)) as source,
                av.open(str(moved), "w", options={"output_ts_offset": str(offset)}) as sink,
            ):
                streams = {s.index: sink.add_stream_from_template(s) for s in source.streams}
                for packet in source.demux():
                    if packet.dts is not None:
                        packet.stream = streams[packet.stream.index]
                        sink.mux(packet)
            out.write(moved.read_bytes())
    return joined


async def times(track: MediaStreamTrack | None) -> list[float]:
    assert track is not None
    got: list[float] = []
    try:
        while True:
            data = await track.recv()
            assert data.pts is not None
            assert data.time_base is not None
            got.append(float(data.pts * data.time_base))
    except MediaStreamError:
        return got


@pytest.mark.parametrize("source_type", [FileSource, EncodedSource])
@pytest.mark.parametrize("offsets", [[10, 20_000, 5], [500, 10, 80_000]])
async def test_films_that_were_put_together_go_on(
    tmp_path: Path, source_type: type[FileSource | EncodedSource], offsets: list[int]
) -> None:
    path = parts(tmp_path, "libx264", offsets)
    clock = ManualClock()
    async with await source_type.open(path, clock=clock) as source:
        began = clock.now()
        got = await times(source.video)
        passed = clock.now() - began
    assert len(got) >= 85
    assert got[-1] - got[0] == pytest.approx(3, abs=0.5)
    assert all(0 < b - a < 0.5 for a, b in itertools.pairwise(got))
    assert passed < 5
