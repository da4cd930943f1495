"""Cameras, microphones and screens.

What FFmpeg calls the devices depends on the system: Video4Linux, ALSA or PulseAudio and X11 on
Linux, AVFoundation on macOS, DirectShow and GDI on Windows.
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
    """What the three kinds have in common.

    A process of its own reads the device, and is killed by ``aclose()``: the device is free within
    a second whatever its driver does. Frames are given out as they come; when nobody reads them,
    the newest are kept.

    Attributes:
        path: The device.
        error: What ended the track; None if nothing did.
    """

    _what = ""

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
        """Return what there is: names that can be opened, each with a description or nothing."""
        return await asyncio.to_thread(_available, cls._what)

    def _passes(self, wanted: Callable[[str], bool]) -> Passes:
        return Decoder(wanted)


class Camera(_Device):
    """A camera; its track is ``video``.

    Made by ``await Camera.open(...)``.
    """

    _what = "camera"

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
            device: One of ``available()``, such as ``/dev/video0``; the first one if None.
            width: Pixels, together with ``height``; as the camera likes if None.
            height: Pixels.
            rate: Pictures a second; as the camera likes if None.
            options: For FFmpeg, such as ``{"input_format": "mjpeg"}``.
            timeout: Seconds that opening, and later each picture, may take.
            clock: Where the time comes from; the monotonic clock of the machine if None.

        Raises:
            DeviceUnavailable: It cannot be used; the error lists what is there.
            InvalidParameter: Only one of ``width`` and ``height`` was given.

        Cancellation: safe; what was opened is closed.
        """
        wishes = {**_size(width, height), **_rate(rate), **(options or {})}
        name = await _name(cls, device)
        if sys.platform == "darwin":
            place = _place(name, f"{name}:none", "avfoundation", wishes)
        elif sys.platform == "win32":
            place = _place(name, f"video={name}", "dshow", wishes)
        else:
            place = _place(name, name, "v4l2", wishes)
        return await cls._open_device(place, timeout, clock)


class Microphone(_Device):
    """A microphone; its track is ``audio``, 20 ms frames of 48 kHz stereo in ``s16``.

    Made by ``await Microphone.open(...)``.
    """

    _what = "microphone"

    @classmethod
    async def open(
        cls,
        device: str | None = None,
        *,
        options: dict[str, str] | None = None,
        timeout: float = _TIMEOUT,
        clock: Clock | None = None,
    ) -> Self:
        """Open a microphone and wait for its first sound.

        Args:
            device: One of ``available()``; that which the system prefers if None.
            options: For FFmpeg, such as ``{"sample_rate": "16000", "channels": "1"}``.
            timeout: Seconds that opening, and later each sound, may take.
            clock: Where the time comes from; the monotonic clock of the machine if None.

        Raises:
            DeviceUnavailable: It cannot be used; the error lists what is there.

        Cancellation: safe; what was opened is closed.
        """
        wishes = dict(options or {})
        if sys.platform == "darwin":
            name = device or "default"
            place = _place(name, f"none:{name}", "avfoundation", wishes)
        elif sys.platform == "win32":
            name = await _name(cls, device)
            place = _place(name, f"audio={name}", "dshow", wishes)
        else:
            name = device or "default"
            driver = "pulse" if "pulse" in av.formats_available else "alsa"
            place = _place(name, name, driver, wishes)
        return await cls._open_device(place, timeout, clock)


class Screen(_Device):
    """A screen, or a part of it; its track is ``video``.

    Made by ``await Screen.open(...)``. On Linux it is that of an X server: Wayland shows programs
    nothing this way.
    """

    _what = "screen"

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
            device: One of ``available()``, such as ``:0``; that of the environment if None.
            rate: Pictures a second.
            left: Where the part to show begins, in pixels; not on macOS.
            top: Likewise.
            width: Pixels, together with ``height``; to the edge of the screen if None.
            height: Pixels.
            cursor: Whether the mouse pointer is shown. Without it FFmpeg does not notice that an X
                server has gone, and repeats the last picture.
            timeout: Seconds that opening, and later each picture, may take.
            clock: Where the time comes from; the monotonic clock of the machine if None.

        Raises:
            DeviceUnavailable: It cannot be used; the error lists what is there.
            InvalidParameter: Only one of ``width`` and ``height`` was given.

        Cancellation: safe; what was opened is closed.
        """
        wishes = {**_rate(rate), **_size(width, height)}
        if sys.platform == "darwin":
            name = await _name(cls, device)
            wishes["capture_cursor"] = str(int(cursor))
            place = _place(name, f"{name}:none", "avfoundation", wishes)
        elif sys.platform == "win32":
            name = device or "desktop"
            wishes |= {
                "draw_mouse": str(int(cursor)),
                "offset_x": str(left),
                "offset_y": str(top),
            }
            place = _place(name, name, "gdigrab", wishes)
        else:
            name = device or os.environ.get("DISPLAY") or ""
            if not name:
                reason = "DISPLAY is not set, so there is no X server to ask"
                raise DeviceUnavailable("screen", reason, await cls.available())
            wishes["draw_mouse"] = str(int(cursor))
            place = _place(name, f"{name}+{left},{top}", "x11grab", wishes)
        return await cls._open_device(place, timeout, clock)


async def _name(kind: type[_Device], device: str | None) -> str:
    if device is not None:
        return device
    available = await kind.available()
    if not available:
        raise DeviceUnavailable(kind._what, "there is none", {})
    return next(iter(available))


def _place(name: str, url: str, driver: str, options: dict[str, str]) -> Place:
    return Place(name, url, driver, options, waits=False)


def _rate(rate: float | None) -> dict[str, str]:
    if rate is None:
        return {}
    if not 0 < rate <= 1000:
        raise InvalidParameter("rate", rate, "give up to 1000 pictures a second")
    return {"framerate": f"{rate:g}"}


def _size(width: int | None, height: int | None) -> dict[str, str]:
    if width is None and height is None:
        return {}
    if width is None or height is None or width <= 0 or height <= 0:
        raise InvalidParameter("width", (width, height), "give both width and height, in pixels")
    return {"video_size": f"{width}x{height}"}


def _available(what: str) -> dict[str, str]:
    if sys.platform in ("darwin", "win32"):
        return _listed_by_ffmpeg(what)
    if what == "camera":
        return {
            f"/dev/{entry.name}": _text(entry / "name")
            for entry in sorted(Path("/sys/class/video4linux").glob("video*"))
        }
    if what == "screen":
        sockets = sorted(Path("/tmp/.X11-unix").glob("X*"))
        return {f":{entry.name[1:]}": "" for entry in sockets}
    found = {}
    for card in sorted(Path("/proc/asound").glob("card[0-9]*")):
        number = card.name.removeprefix("card")
        for stream in sorted(card.glob("pcm*c")):
            name = f"hw:{number},{stream.name.removeprefix('pcm').removesuffix('c')}"
            found[name] = _text(card / "id")
    return found


def _listed_by_ffmpeg(what: str) -> dict[str, str]:
    driver = "avfoundation" if sys.platform == "darwin" else "dshow"
    try:
        devices = enumerate_input_devices(driver)
    except (FFmpegError, ValueError):
        return {}
    kind = "audio" if what == "microphone" else "video"
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
