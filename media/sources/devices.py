"""Capture devices: cameras, microphones and screens.

They are opened with FFmpeg's input devices: Video4Linux, ALSA or PulseAudio and X11 on Linux,
AVFoundation on macOS, DirectShow and GDI on Windows.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

import av
from av.device import enumerate_input_devices
from av.error import FFmpegError

from .._util.clock import Clock
from ..errors import DeviceUnavailable, InvalidParameter, SourceError
from .decoding import Decoder
from .location import Place
from .reader_thread import Passes
from .threaded_source import PlayedSource

_TIMEOUT = 10.0


class _Device(PlayedSource):
    """Base of the capture devices.

    A separate process reads the device, and ``aclose()`` kills it, so that the device is released
    within a second even if its driver hangs. Frames are delivered as they arrive; while the track
    is not read, the newest frames are kept.

    Attributes:
        path: Name of the device.
        error: The error that ended the track; ``None`` if there was none.
    """

    _device_kind = ""

    @classmethod
    async def _open_device(cls, place: Place, timeout: float, clock: Clock | None) -> Self:
        try:
            if place.format not in av.formats_available:
                reason = f"this PyAV was built without {place.format}"
                raise DeviceUnavailable(place.name, reason, {})
            source = await cls._open(
                place.name, lambda: place, loop=False, timeout=timeout, reconnect=0, clock=clock
            )
        except DeviceUnavailable:
            raise
        except SourceError as exc:
            reason = getattr(exc, "reason", str(exc))
            raise DeviceUnavailable(place.name, reason, await cls.available()) from exc
        source._transport.paced = False
        return source

    @classmethod
    async def available(cls) -> dict[str, str]:
        """Return the available devices: names for ``open()``, with descriptions or ``""``.

        Cancellation: safe.
        """
        return await asyncio.to_thread(_available, cls._device_kind)

    def _passes(self, wanted: Callable[[str], bool]) -> Passes:
        return Decoder(wanted)


class Camera(_Device):
    """A camera; its track is ``video``.

    Made by ``await Camera.open(...)``.
    """

    _device_kind = "camera"

    @classmethod
    async def open(
        cls,
        device: str | None = None,
        *,
        width: int | None = None,
        height: int | None = None,
        rate: float | None = None,
        options: dict[str, str] | None = None,
        timeout: float = _TIMEOUT,
        clock: Clock | None = None,
    ) -> Self:
        """Open a camera and wait for its first picture.

        Args:
            device: One of ``available()``, such as ``/dev/video0``; the first one if ``None``.
            width: Pixels, together with ``height``; the default of the camera if ``None``.
            height: Pixels.
            rate: Frames per second, up to 1000; the default of the camera if ``None``.
            options: Options of FFmpeg, such as ``{"input_format": "mjpeg"}``.
            timeout: Maximum seconds for opening, and later for each picture.
            clock: The monotonic clock of the machine if ``None``.

        Raises:
            DeviceUnavailable: The camera cannot be used; the error lists the available ones.
            InvalidParameter: ``rate`` is out of range, or only one of ``width`` and ``height`` was
                given.

        Cancellation: safe; what was opened is closed.
        """
        settings = {**_size(width, height), **_rate(rate), **(options or {})}
        name = await _name(cls, device)
        if sys.platform == "darwin":
            place = _place(name, f"{name}:none", "avfoundation", settings)
        elif sys.platform == "win32":
            place = _place(name, f"video={name}", "dshow", settings)
        else:
            place = _place(name, name, "v4l2", settings)
        return await cls._open_device(place, timeout, clock)


class Microphone(_Device):
    """A microphone; its track is ``audio``, 20 ms frames of 48 kHz stereo in ``s16``.

    Made by ``await Microphone.open(...)``.
    """

    _device_kind = "microphone"

    @classmethod
    async def open(
        cls,
        device: str | None = None,
        *,
        options: dict[str, str] | None = None,
        timeout: float = _TIMEOUT,
        clock: Clock | None = None,
    ) -> Self:
        """Open a microphone and wait for its first audio frame.

        Args:
            device: One of ``available()``; the default device of the system if ``None``.
            options: Options of FFmpeg, such as ``{"sample_rate": "16000", "channels": "1"}``.
            timeout: Maximum seconds for opening, and later for each frame.
            clock: The monotonic clock of the machine if ``None``.

        Raises:
            DeviceUnavailable: The microphone cannot be used; the error lists the available ones.

        Cancellation: safe; what was opened is closed.
        """
        settings = dict(options or {})
        if sys.platform == "darwin":
            name = device or "default"
            place = _place(name, f"none:{name}", "avfoundation", settings)
        elif sys.platform == "win32":
            name = await _name(cls, device)
            place = _place(name, f"audio={name}", "dshow", settings)
        else:
            name = device or "default"
            driver = "pulse" if "pulse" in av.formats_available else "alsa"
            place = _place(name, name, driver, settings)
        return await cls._open_device(place, timeout, clock)


class Screen(_Device):
    """A screen, or a part of it; its track is ``video``.

    Made by ``await Screen.open(...)``. On Linux it captures an X server; it cannot capture Wayland.
    """

    _device_kind = "screen"

    @classmethod
    async def open(
        cls,
        device: str | None = None,
        *,
        rate: float = 15,
        left: int = 0,
        top: int = 0,
        width: int | None = None,
        height: int | None = None,
        cursor: bool = True,
        timeout: float = _TIMEOUT,
        clock: Clock | None = None,
    ) -> Self:
        """Open a screen and wait for its first picture.

        Args:
            device: One of ``available()``, such as ``:0``; on Linux ``DISPLAY`` if ``None``.
            rate: Frames per second, up to 1000.
            left: Left edge of the captured part, in pixels; ignored on macOS.
            top: Top edge of the captured part, in pixels; ignored on macOS.
            width: Pixels, together with ``height``; to the edge of the screen if ``None``.
            height: Pixels.
            cursor: Whether to capture the mouse pointer. Without it FFmpeg does not detect that an
                X server has ended, and repeats the last picture.
            timeout: Maximum seconds for opening, and later for each picture.
            clock: The monotonic clock of the machine if ``None``.

        Raises:
            DeviceUnavailable: The screen cannot be used; the error lists the available ones.
            InvalidParameter: ``rate`` is out of range, or only one of ``width`` and ``height`` was
                given.

        Cancellation: safe; what was opened is closed.
        """
        settings = {**_rate(rate), **_size(width, height)}
        if sys.platform == "darwin":
            name = await _name(cls, device)
            settings["capture_cursor"] = str(int(cursor))
            place = _place(name, f"{name}:none", "avfoundation", settings)
        elif sys.platform == "win32":
            name = device or "desktop"
            settings |= {
                "draw_mouse": str(int(cursor)),
                "offset_x": str(left),
                "offset_y": str(top),
            }
            place = _place(name, name, "gdigrab", settings)
        else:
            name = device or os.environ.get("DISPLAY") or ""
            if not name:
                reason = "DISPLAY is not set; set it or give the name of an X server"
                raise DeviceUnavailable("screen", reason, await cls.available())
            settings["draw_mouse"] = str(int(cursor))
            place = _place(name, f"{name}+{left},{top}", "x11grab", settings)
        return await cls._open_device(place, timeout, clock)


async def _name(kind: type[_Device], device: str | None) -> str:
    if device is not None:
        return device
    available = await kind.available()
    if not available:
        raise DeviceUnavailable(kind._device_kind, "the system lists none", {})
    return next(iter(available))


def _place(name: str, url: str, driver: str, options: dict[str, str]) -> Place:
    return Place(name, url, driver, options, waits=False)


def _rate(rate: float | None) -> dict[str, str]:
    if rate is None:
        return {}
    if not 0 < rate <= 1000:
        raise InvalidParameter("rate", rate, "give up to 1000 frames per second")
    return {"framerate": f"{rate:g}"}


def _size(width: int | None, height: int | None) -> dict[str, str]:
    if width is None and height is None:
        return {}
    if width is None or height is None or width <= 0 or height <= 0:
        raise InvalidParameter("width", (width, height), "give both width and height, in pixels")
    return {"video_size": f"{width}x{height}"}


def _available(device_kind: str) -> dict[str, str]:
    if sys.platform in ("darwin", "win32"):
        return _listed_by_ffmpeg(device_kind)
    if device_kind == "camera":
        return {
            f"/dev/{entry.name}": _text(entry / "name")
            for entry in sorted(Path("/sys/class/video4linux").glob("video*"))
        }
    if device_kind == "screen":
        sockets = sorted(Path("/tmp/.X11-unix").glob("X*"))
        return {f":{entry.name[1:]}": "" for entry in sockets}
    found = {}
    for card in sorted(Path("/proc/asound").glob("card[0-9]*")):
        number = card.name.removeprefix("card")
        for stream in sorted(card.glob("pcm*c")):
            name = f"hw:{number},{stream.name.removeprefix('pcm').removesuffix('c')}"
            found[name] = _text(card / "id")
    return found


def _listed_by_ffmpeg(device_kind: str) -> dict[str, str]:
    driver = "avfoundation" if sys.platform == "darwin" else "dshow"
    try:
        devices = enumerate_input_devices(driver)
    except (FFmpegError, ValueError):
        return {}
    kind = "audio" if device_kind == "microphone" else "video"
    return {
        device.name: device.description
        for device in devices
        if not device.media_types or kind in device.media_types
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
