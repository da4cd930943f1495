"""Takes docs/call.png, the picture in the README: ``python -m tests.browser.screenshot``.

It is a real call: Chromium, whose camera shows a drawn puffin, with ``icefloe demo``.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from av import VideoFrame, open as open_media
from playwright.async_api import expect

from tests.helpers import netns
from tests.helpers.browser import FAKE_DEVICES, chromium, open_page
from tests.helpers.command import icefloe

PICTURE = Path(__file__).parent.parent.parent / "docs" / "call.png"
SIZE = (1280, 800)
CAMERA = (640, 360)

_PUFFIN = """
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 360" width="640" height="360">
  <rect width="640" height="360" fill="#9fd3ee"/>
  <circle cx="530" cy="70" r="34" fill="#fff3c4"/>
  <path d="M0 210 90 130 150 180 240 105 330 200 420 140 520 215 640 160V360H0z" fill="#5d93b8"/>
  <path d="m90 130 34 29-26 6-22-12zm150-25 40 42-32-7-36 14zm180 35 42 31-34 2-22-8z" fill="#fff"/>
  <rect y="235" width="640" height="125" fill="#23658f"/>
  <path d="M150 330 205 276 430 268 500 322 470 360H176z" fill="#eef9ff"/>
  <path d="M300 326v22m44-22v22" stroke="#e8663d" stroke-width="11" stroke-linecap="round"/>
  <ellipse cx="322" cy="245" rx="84" ry="92" fill="#1d232b"/>
  <ellipse cx="330" cy="258" rx="57" ry="76" fill="#fdfdfb"/>
  <circle cx="322" cy="132" r="66" fill="#1d232b"/>
  <ellipse cx="330" cy="136" rx="44" ry="42" fill="#fdfdfb"/>
  <path d="M362 108q62 8 74 46-30 12-74 10z" fill="#e8663d"/>
  <path d="M362 108q24 2 40 12l-6 45-34-1z" fill="#f2b53c"/>
  <path d="M362 108q10 0 18 3l-3 54-15-1z" fill="#44505c"/>
  <circle cx="332" cy="122" r="9" fill="#1d232b"/>
  <circle cx="335" cy="119" r="3" fill="#fff"/>
  <path d="M244 216q-36 50-6 104 22-30 30-84z" fill="#11161c"/>
</svg>
"""


async def take(path: Path) -> None:
    """Take the picture.

    Args:
        path: Where it goes, as PNG.
    """
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "camera.y4m"
        async with chromium() as browser:
            page = (await open_page(browser, CAMERA)).page
            await page.set_content(f"<body style='margin:0'>{_PUFFIN}</body>")
            drawn = Path(folder) / "puffin.png"
            await page.screenshot(path=drawn)
        _film(drawn, film)
        async with (
            icefloe("demo") as demo,
            chromium(*FAKE_DEVICES, f"--use-file-for-fake-video-capture={film}") as browser,
        ):
            call = await open_page(browser, SIZE)
            await call.join(demo.url, name="Puffin")
            await call.plays("python", 30)
            await call.page.get_by_test_id("panel-toggle").click()
            await expect(call.page.get_by_test_id("in-video")).to_contain_text("fps")
            await call.say("/stats")
            await call.reads("direct")
            await call.plays("python", 60)
            await call.page.screenshot(path=path)


def _film(picture: Path, film: Path) -> None:
    """Make a film of a picture, in the form that Chromium takes for a camera."""
    with open_media(str(picture)) as source:
        frame = next(f for f in source.decode(video=0) if isinstance(f, VideoFrame))
    with open_media(str(film), "w", format="yuv4mpegpipe") as output:
        stream = output.add_stream("wrapped_avframe", rate=30)
        stream.width, stream.height = CAMERA
        stream.pix_fmt = "yuv420p"
        for number in range(60):
            shown = frame.reformat(format="yuv420p")
            shown.pts = number
            output.mux(stream.encode(shown))
        output.mux(stream.encode(None))


def main() -> None:
    """Read the command line and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, default=PICTURE)
    path = parser.parse_args().path
    netns.isolate()
    asyncio.run(take(path))


if __name__ == "__main__":
    main()
