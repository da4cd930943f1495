"""streamlit-webrtc's worker over icefloe, in the threads that it has, with a browser."""

import asyncio
import importlib
import logging
import re
import threading
from typing import Any

from aiortc.contrib.media import MediaRelay
from av import AudioFrame, VideoFrame

from tests.drop_in import replaced

PICTURES = 10

OPTIONS = """
    rtc_configuration source_video_track source_audio_track sink_video_track sink_audio_track
    player_factory in_recorder_factory out_recorder_factory video_frame_callback
    audio_frame_callback queued_video_frames_callback queued_audio_frames_callback
    on_video_ended on_audio_ended video_processor_factory audio_processor_factory
"""
"""The arguments that a worker has to be given, be it ``None``."""


def load() -> Any:
    """Load it, so that it finds icefloe in the place of aiortc's connection."""
    replaced.replace()
    return importlib.import_module("streamlit_webrtc.webrtc")


def make_worker(
    webrtc: Any, mode: str, loop: asyncio.AbstractEventLoop, relay: MediaRelay, **given: Any
) -> Any:
    """Make a worker, in a thread without an event loop as streamlit's scripts are."""
    options = dict.fromkeys(OPTIONS.split())
    return webrtc.WebRtcWorker(
        webrtc.WebRtcMode[mode],
        async_processing=True,
        video_receiver_size=4,
        audio_receiver_size=4,
        sendback_video=True,
        sendback_audio=True,
        loop=loop,
        relay=relay,
        **{**options, **given},
    )


async def meet(worker: Any, browser: replaced.Browser) -> None:
    """Connect them; the browser's candidates follow its offer, as streamlit's page sends them."""
    offer = await browser.offer()
    bare = re.sub("a=(candidate|end-of-candidates).*\r\n", "", offer["sdp"])
    answer = await asyncio.to_thread(worker.process_offer, bare, offer["type"], 20)
    await browser.take({"sdp": answer.sdp, "type": answer.type})
    found = re.findall("a=(candidate:.*)\r\n", offer["sdp"])
    candidates = {
        str(number): {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0}
        for number, line in enumerate(found)
    }
    await asyncio.to_thread(worker.set_ice_candidates_from_offerer, candidates)


async def sends_back(webrtc: Any, loop: asyncio.AbstractEventLoop, relay: MediaRelay) -> Any:
    """Have each picture and the sound changed by callbacks, and sent back."""
    ended = threading.Event()

    def invert(frame: VideoFrame) -> VideoFrame:
        gray = 255 - frame.to_ndarray(format="gray")
        return VideoFrame.from_ndarray(gray, format="gray")

    def listen(frame: AudioFrame) -> AudioFrame:
        return frame

    worker = await asyncio.to_thread(
        make_worker,
        *(webrtc, "SENDRECV", loop, relay),
        video_frame_callback=invert,
        audio_frame_callback=listen,
        on_video_ended=ended.set,
    )
    browser = replaced.Browser()
    await meet(worker, browser)
    await browser.until_loud()
    inverted: list[int] = []
    while len(inverted) < PICTURES:
        number = await browser.until_picture() ^ 0xFFFF
        if number < len(browser.camera.made_at):
            inverted.append(number)  # else it is a picture from before the callback
    await browser.connection.close()
    await asyncio.to_thread(ended.wait, 20)
    await asyncio.to_thread(worker.stop)
    return {
        "connection": type(worker.pc).__module__,
        "inverted": inverted,
        "ended": ended.is_set(),
        "state": worker.pc.connectionState,
    }


async def receives(webrtc: Any, loop: asyncio.AbstractEventLoop, relay: MediaRelay) -> Any:
    """Have pictures and sound wait for a script that takes them."""
    worker = await asyncio.to_thread(make_worker, webrtc, "SENDONLY", loop, relay)
    browser = replaced.Browser()
    await meet(worker, browser)
    numbers = []
    for _ in range(PICTURES):
        frame = await asyncio.to_thread(worker.video_receiver.get_frame, True, 20)
        numbers.append(replaced.number_on(frame.to_ndarray(format="gray")))
    while True:
        sound = await asyncio.to_thread(worker.audio_receiver.get_frame, True, 20)
        if replaced.is_loud(sound.to_ndarray().ravel()):
            break
    await asyncio.to_thread(worker.stop)
    await browser.connection.close()
    return {"numbers": numbers, "state": worker.pc.connectionState}


async def main() -> None:
    webrtc = load()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def make_relay() -> MediaRelay:
        return MediaRelay()

    relay = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(make_relay(), loop))
    back = await sends_back(webrtc, loop, relay)
    received = await receives(webrtc, loop, relay)
    loop.call_soon_threadsafe(loop.stop)
    await asyncio.to_thread(thread.join)
    left = asyncio.all_tasks(loop)
    loop.close()
    replaced.report(back=back, received=received, left=[repr(task) for task in left])


logging.basicConfig(level=logging.WARNING)
asyncio.run(asyncio.wait_for(main(), 60))
