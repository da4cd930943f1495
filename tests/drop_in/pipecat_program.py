"""pipecat's small WebRTC transport over icefloe, in a pipeline of pipecat's, with a browser."""

import asyncio
import importlib
import logging
import time
from typing import Any

import numpy as np

from tests.drop_in import replaced

AWAY = 5.0
"""Seconds for which nobody reads the camera; pipecat stops receiving after two to four."""


def load() -> tuple[Any, ...]:
    """Load pipecat, which finds icefloe in the place of aiortc's connection."""
    replaced.replace()
    names = (
        "pipecat.frames.frames",
        "pipecat.pipeline.pipeline",
        "pipecat.pipeline.worker",
        "pipecat.processors.frame_processor",
        "pipecat.transports.base_transport",
        "pipecat.transports.smallwebrtc.connection",
        "pipecat.transports.smallwebrtc.transport",
        "pipecat.workers.runner",
    )
    return tuple(map(importlib.import_module, names))


async def main() -> None:
    frames, pipelines, workers, processors, base, connections, transports, runners = load()
    loud = asyncio.Event()
    pictures: asyncio.Queue[int] = asyncio.Queue()

    class Bot(processors.FrameProcessor):  # type: ignore[misc,name-defined]
        """Looks at what comes, and sends back a tone, its picture and each message."""

        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, frames.UserImageRawFrame):
                rgb = np.frombuffer(frame.image, np.uint8).reshape(*frame.size[::-1], 3)
                pictures.put_nowait(replaced.number_on(rgb[:, :, 0]))
                back = frames.OutputImageRawFrame(frame.image, frame.size, frame.format)
                await self.push_frame(back)
            elif isinstance(frame, frames.InputAudioRawFrame):
                if replaced.is_loud(np.frombuffer(frame.audio, np.int16)):
                    loud.set()
            elif isinstance(frame, frames.InputTransportMessageFrame):
                message = {"echo": frame.message}
                await self.push_frame(frames.OutputTransportMessageUrgentFrame(message))
            else:
                await self.push_frame(frame, direction)

    browser = replaced.Browser()
    connection = connections.SmallWebRTCConnection()
    transport = transports.SmallWebRTCTransport(
        connection,
        base.TransportParams(
            audio_in_enabled=True,
            audio_out_enabled=True,
            video_in_enabled=True,
            video_out_enabled=True,
            video_out_is_live=True,
            video_out_width=replaced.WIDTH,
            video_out_height=replaced.HEIGHT,
        ),
    )
    camera = transports.CAM_VIDEO_SOURCE

    async def capture(transport: Any, client: Any) -> None:
        await transport.capture_participant_video(transport.get_client_id(client), None, camera)

    transport.add_event_handler("on_client_connected", capture)
    await connection.initialize(**await browser.offer())
    await browser.take(connection.get_answer())
    worker = workers.PipelineWorker(
        pipelines.Pipeline([transport.input(), Bot(), transport.output()]), enable_rtvi=False
    )
    runner = runners.WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())

    await loud.wait()
    at_first = [await pictures.get() for _ in range(10)]

    samples = np.concatenate([replaced.tone(n, 160, 16000) for n in range(200)])
    worker_rate = worker.params.audio_out_sample_rate
    samples = np.resize(samples, worker_rate * 2 // 160 * 160)
    await worker.queue_frame(frames.OutputAudioRawFrame(samples.tobytes(), worker_rate, 1))
    await browser.until_loud()
    while (sent_back := await browser.until_picture()) not in at_first:
        at_first.append(await pictures.get())
    browser.channel.send('{"type": "hello", "text": "Grüße"}')
    echo = await browser.messages.get()

    # The transport's own reader is away.
    await transport.input()._stop_tasks()
    await asyncio.sleep(AWAY)
    while not pictures.empty():
        pictures.get_nowait()
    receiver = connection.pc.getTransceivers()[1].receiver
    stopped = not receiver._enabled
    await capture(transport, connection)
    returned = time.monotonic()
    afterwards = [browser.camera.made_at[await pictures.get()] - returned for _ in range(20)]

    await runner.cancel()
    await running
    await browser.connection.close()
    replaced.report(
        connection=type(connection.pc).__module__,
        at_first=at_first,
        sent_back=sent_back,
        echo=echo,
        stopped=stopped,
        afterwards=afterwards,
        state=connection.pc.connectionState,
    )


logging.basicConfig(level=logging.WARNING)
asyncio.run(asyncio.wait_for(main(), 60))
