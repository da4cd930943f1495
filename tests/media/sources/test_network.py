"""Sources that are read over a network, by a process that can be killed."""

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from av import VideoFrame

from icefloe.media import FileSource, SourceNotFound, SourceTimeout, SourceUnreadable
from icefloe.media.sources.demuxer_process import Remote
from icefloe.media.sources.location import Place
from tests.media.files import brightness, gray, make, played, read_both, read_video
from tests.media.manual_clock import ManualClock
from tests.media.servers import http, publish_rtsp, silent
from tests.media.sources.test_files import check_audio, pipe
from tests.media.tracks import threads, until


def film(path: Path, frames: int = 90, **options: object) -> Path:
    return make(
        path,
        frames=frames,
        audio=Fraction(frames, 30),
        codec="libvpx" if path.suffix == ".webm" else "libx264",
        audio_codec="libopus" if path.suffix == ".webm" else "aac",
        **options,  # type: ignore[arg-type]
    )


def numbers(frames: list[VideoFrame]) -> list[int]:
    return [brightness(frame) for frame in frames]


@pytest.mark.parametrize("name", ["film.mp4", "film.webm", "film.mkv", "film.ts"])
async def test_every_frame_of_a_file_comes_over_http(tmp_path: Path, name: str) -> None:
    film(tmp_path / name, b_frames=0 if name.endswith("webm") else 2)
    async with http(tmp_path) as server:
        url = server.url(name)
        async with await FileSource.open(url, clock=ManualClock()) as source:
            assert source.path == url
            heard, seen = await read_both(source.audio, source.video)
            assert numbers(seen) == pytest.approx([gray(n) for n in range(90)], abs=3)
            assert len(heard) == pytest.approx(150, abs=4)
            check_audio(heard)
            assert source.error is None
            assert source.reconnections == 0


@pytest.mark.parametrize("name", ["film.mp4", "film.webm", "film.mkv"])
async def test_jumps_over_http(tmp_path: Path, name: str) -> None:
    film(tmp_path / name)
    async with (
        http(tmp_path) as server,
        await FileSource.open(server.url(name), clock=ManualClock()) as source,
    ):
        assert source.seekable
        assert len(await read_video(source.video, 3)) == 3
        source.seek(2)
        seen = await read_video(source.video)
        assert numbers(seen) == pytest.approx([gray(n) for n in range(60, 90)], abs=3)


def playlist(folder: Path, *, ended: bool) -> None:
    """Write a playlist of three segments of a second."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", "#EXT-X-MEDIA-SEQUENCE:0"]
    with av.open(str(film(folder / "film.ts", keys=30))) as given:
        outputs = []
        for number in range(3):
            lines += ["#EXTINF:1.0,", f"part{number}.ts"]
            outputs.append(av.open(str(folder / f"part{number}.ts"), "w"))
        streams = [
            {s.index: output.add_stream_from_template(s, opaque=True) for s in given.streams}
            for output in outputs
        ]
        origin = (given.start_time or 0) / av.time_base
        for packet in given.demux():
            if packet.pts is None or packet.time_base is None:
                continue
            number = max(0, min(2, int(packet.pts * packet.time_base - origin + 0.01)))
            packet.stream = streams[number][packet.stream.index]
            outputs[number].mux(packet)
        for output in outputs:
            output.close()
    (folder / "film.m3u8").write_text("\n".join([*lines, *["#EXT-X-ENDLIST"] * ended, ""]))


async def test_hls(tmp_path: Path) -> None:
    playlist(tmp_path, ended=True)
    async with http(tmp_path) as server:
        async with await FileSource.open(server.url("film.m3u8"), clock=ManualClock()) as source:
            heard, seen = await read_both(source.audio, source.video)
            assert numbers(seen) == pytest.approx([gray(n) for n in range(90)], abs=3)
            assert len(heard) == pytest.approx(150, abs=4)
            assert source.error is None
        assert {name for name, _ in server.requests} >= {"film.m3u8", "part0.ts", "part2.ts"}


async def test_a_live_hls_is_closed_at_once_while_it_waits_for_a_segment(tmp_path: Path) -> None:
    playlist(tmp_path, ended=False)
    async with http(tmp_path) as server:
        source = await FileSource.open(server.url("film.m3u8"), clock=ManualClock())
        assert await read_video(source.video, 5)
        await source.aclose()
        assert not threads()


async def test_what_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    film(tmp_path / "film.webm", frames=300)
    size = (tmp_path / "film.webm").stat().st_size
    async with http(tmp_path) as server:
        server.break_after = [size * 6 // 10]
        async with await FileSource.open(server.url("film.webm"), clock=ManualClock()) as source:
            seen = await read_video(source.video)
            assert numbers(seen) == pytest.approx([gray(n) for n in range(300)], abs=3)
            assert [float(f.time) for f in seen] == pytest.approx(
                [n / 30 for n in range(300)], abs=0.04
            )
            assert source.reconnections == 1
            assert source.error is None


async def test_a_live_source_goes_on_where_it_is(tmp_path: Path) -> None:
    film(tmp_path / "radio.ts", frames=30)
    async with http(tmp_path) as server:
        server.live = True
        async with await FileSource.open(server.url("radio.ts"), clock=ManualClock()) as source:
            assert not source.seekable
            seen = await read_video(source.video, 75)
            assert numbers(seen) == pytest.approx([gray(n % 30) for n in range(75)], abs=3)
            times = [float(f.time) for f in seen]
            assert times == sorted(set(times))
            assert source.reconnections >= 2


async def test_after_so_many_failures_the_tracks_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film(tmp_path / "radio.ts", frames=30)
    async with http(tmp_path) as server:
        server.live = True
        url = server.url("radio.ts")
        source = await FileSource.open(url, clock=ManualClock(), reconnect=1)
        (tmp_path / "radio.ts").unlink()
        with caplog.at_level(logging.INFO):
            assert len(await read_video(source.video)) >= 30
        assert isinstance(source.error, SourceNotFound | SourceUnreadable)
        assert source.reconnections >= 1
        assert "reconnecting to" in caplog.text
        await source.aclose()


def nowhere() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
async def test_what_is_not_there(tmp_path: Path, scheme: str) -> None:
    with pytest.raises(SourceUnreadable) as caught:
        await FileSource.open(f"{scheme}://127.0.0.1:{nowhere()}/film.mp4")
    assert "refused" in str(caught.value)
    async with http(tmp_path) as server:
        with pytest.raises(SourceNotFound):
            await FileSource.open(server.url("nothing.mp4"))


HANGS: list[Callable[[int], str]] = [
    lambda port: f"http://127.0.0.1:{port}/film.mp4",
    lambda port: f"rtsp://127.0.0.1:{port}/camera",
    lambda port: f"tcp://127.0.0.1:{port}",
]


@pytest.mark.parametrize("url", HANGS)
async def test_a_server_that_never_answers(url: Callable[[int], str]) -> None:
    async with silent() as server:
        with pytest.raises(SourceTimeout):
            await FileSource.open(url(server.port), timeout=0.5)
        # Giving up earlier leaves nothing behind either, as a fixture sees.
        came = server.connections
        opening = asyncio.create_task(FileSource.open(url(server.port), timeout=60))
        await until(lambda: server.connections > came)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening


async def test_a_server_that_goes_silent_does_not_hold_up_closing(tmp_path: Path) -> None:
    film(tmp_path / "film.webm", frames=300)
    async with http(tmp_path) as server:
        server.silent_after = 60_000
        source = await FileSource.open(server.url("film.webm"), clock=ManualClock())
        reading = asyncio.create_task(read_video(source.video))
        await until(lambda: played(source.video).lane.waiting_readers == 1)
        await source.aclose()
        assert not threads()
        assert 0 < len(await reading) < 300
        assert source.error is None


async def test_a_jump_does_not_wait_for_a_read_that_hangs(tmp_path: Path) -> None:
    film(tmp_path / "film.webm", frames=300)
    async with http(tmp_path) as server:
        server.silent_after = 60_000
        async with await FileSource.open(server.url("film.webm"), clock=ManualClock()) as source:
            reading = asyncio.create_task(read_video(source.video))
            await until(lambda: played(source.video).lane.waiting_readers == 1)
            server.silent_after = None
            source.seek(9)
            seen = await reading
            assert numbers(seen[-30:]) == pytest.approx([gray(n) for n in range(270, 300)], abs=3)


async def test_a_hang_that_ffmpeg_does_not_watch_ends_all_the_same(tmp_path: Path) -> None:
    place = Place("pipe", f"file:{tmp_path / 'pipe.mkv'}")

    def read() -> None:
        with Remote(place, 0.2) as remote:
            remote.open()

    async with pipe(tmp_path / "pipe.mkv"):
        with pytest.raises(SourceTimeout):
            await asyncio.to_thread(read)


async def test_a_server_that_sends_faster_than_is_played_is_kept_waiting(tmp_path: Path) -> None:
    film(tmp_path / "film.ts", frames=300)
    async with http(tmp_path) as server:
        # Without a length it looks like a live source.
        server.live = True
        url = server.url("film.ts")
        async with await FileSource.open(url, reconnect=0, clock=ManualClock()) as source:
            assert source.audio is not None
            source.audio.stop()
            seen = await read_video(source.video)
            assert numbers(seen) == pytest.approx([gray(n) for n in range(300)], abs=3)


async def test_rtsp(tmp_path: Path) -> None:
    path = make(tmp_path / "film.mp4", frames=90, codec="libx264")
    url = f"rtsp://127.0.0.1:{nowhere()}/camera"
    opening = asyncio.create_task(
        FileSource.open(
            url,
            options={"rtsp_flags": "listen", "listen_timeout": "10"},
            clock=ManualClock(),
            reconnect=0,
        )
    )
    publisher = None
    try:
        while not opening.done():
            if publisher is None or publisher.returncode is not None:
                publisher = await publish_rtsp(path, url)
            await asyncio.sleep(0.1)
        async with await opening as source:
            assert not source.seekable
            seen = await read_video(source.video, 40)
            first = numbers(seen)[0]
            start = min(range(16), key=lambda n: abs(gray(n) - first))
            assert numbers(seen) == pytest.approx(
                [gray(start + n) for n in range(len(seen))], abs=4
            )
    finally:
        opening.cancel()
        if publisher is not None and publisher.returncode is None:
            publisher.kill()
        if publisher is not None:
            await publisher.wait()


async def test_a_killed_program_frees_what_it_read(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from icefloe.media import FileSource\n"
        "async def main():\n"
        "    source = await FileSource.open(sys.argv[1])\n"
        "    print(source._reader._current._process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    film(tmp_path / "film.webm", frames=300)
    async with http(tmp_path) as server:
        server.silent_after = 60_000
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            code,
            server.url("film.webm"),
            stdout=asyncio.subprocess.PIPE,
        )
        assert program.stdout is not None
        child = int(await program.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        program.kill()
        await program.wait()
        await until(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
