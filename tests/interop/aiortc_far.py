"""The other side of the interoperation tests on plain aiortc.

JSON lines in, JSON lines out, as the lab's peers (:mod:`tests.natlab.program`). Browsers and
libdatachannel do the same in ``far.mjs``.

===============  ==================================================================================
``start``        ``label`` of the channel with which it offers, or ``null``; once, before all else
``description``  ``description``: the other side's, with its candidates; it is then ``described``
``open``         ``label``, ``options``: open a channel
``send``         ``label``, ``kind``, and ``text``, or ``number`` and ``size``: send a message
``pour``         ``label``, ``count``, ``size``: send so many messages, numbered from 0
``sum``          ``label``, ``bytes``: from now on (``summing``) report no messages but, once so
                 many bytes are there, ``summed``, with the ``digest`` of them all
``close``        ``label``: close a channel
===============  ==================================================================================

It reports ``channel`` for one that the other side opens, ``open`` and ``closed`` for each, and
``message`` with ``kind``, ``size`` in bytes and ``digest``.
"""

import asyncio
import hashlib

from aiortc import RTCDataChannel, RTCPeerConnection, RTCSessionDescription

from tests.helpers import pairs
from tests.interop.content import content
from tests.natlab.program import Jobs, Message, drive, emit

HIGH, LOW = 4 * 1024 * 1024, 1024 * 1024
"""Bytes in the buffer at which a sender waits, and at which it goes on."""

_OPTIONS = ("ordered", "maxRetransmits", "maxPacketLifeTime", "protocol")


class Sum:
    """The digest of messages up to an amount of bytes."""

    def __init__(self, enough: int) -> None:
        self.enough = enough
        self.size = 0
        self.digest = hashlib.sha256()


class Far:
    """A peer connection that does what lines say."""

    def __init__(self) -> None:
        self._connection: RTCPeerConnection = pairs.make("aiortc")
        self._connection.on("datachannel", self._on_channel)
        self._channels: dict[str, RTCDataChannel] = {}
        self._sums: dict[str, Sum] = {}
        self._jobs = Jobs()

    async def handle(self, message: Message) -> None:
        """Do what a line says."""
        match message:
            case {"do": "start", "label": label}:
                if label is not None:
                    self._open(label, {})
                    await self._connection.setLocalDescription(await self._connection.createOffer())
                    self._tell()
            case {"do": "description", "description": given}:
                await self._describe(given)
            case {"do": "open", "label": label, "options": options}:
                self._open(label, options)
            case {"do": "send", "label": label, "kind": kind, "text": str(text)}:
                self._channels[label].send(text if kind == "text" else text.encode())
            case {"do": "send", "label": label, "kind": kind, "number": number, "size": size}:
                data = content(number, size)
                self._channels[label].send(data.decode() if kind == "text" else data)
            case {"do": "pour", "label": label, "count": count, "size": size}:
                self._jobs.start(self._pour(self._channels[label], count, size))
            case {"do": "sum", "label": label, "bytes": enough}:
                self._sums[label] = Sum(enough)
                emit("summing", label=label)
            case {"do": "close", "label": label}:
                self._channels[label].close()
            case unknown:
                raise ValueError(f"cannot {unknown}")

    async def close(self) -> None:
        """Close the connection."""
        await self._jobs.end()
        await asyncio.wait([asyncio.ensure_future(self._connection.close())], timeout=1)

    async def _describe(self, given: Message) -> None:
        await self._connection.setRemoteDescription(RTCSessionDescription(**given))
        emit("described")
        if given["type"] == "offer":
            await self._connection.setLocalDescription(await self._connection.createAnswer())
            self._tell()

    def _tell(self) -> None:
        description = self._connection.localDescription
        emit("description", description={"type": description.type, "sdp": description.sdp})

    def _open(self, label: str, options: Message) -> None:
        channel = self._connection.createDataChannel(label, **options)
        channel.on("open", lambda: emit("open", label=label))
        self._take(channel)

    def _on_channel(self, channel: RTCDataChannel) -> None:
        self._take(channel)
        options = {name: getattr(channel, name) for name in _OPTIONS}
        emit("channel", label=channel.label, **options)
        emit("open", label=channel.label)

    def _take(self, channel: RTCDataChannel) -> None:
        label = channel.label
        self._channels[label] = channel
        channel.on("message", lambda data: self._on_message(label, data))
        channel.on("close", lambda: emit("closed", label=label))

    def _on_message(self, label: str, data: str | bytes) -> None:
        kind, payload = ("text", data.encode()) if isinstance(data, str) else ("binary", data)
        if (total := self._sums.get(label)) is None:
            digest = hashlib.sha256(payload).hexdigest()
            emit("message", label=label, kind=kind, size=len(payload), digest=digest)
            return
        total.size += len(payload)
        total.digest.update(payload)
        if total.size >= total.enough:
            del self._sums[label]
            emit("summed", label=label, size=total.size, digest=total.digest.hexdigest())

    async def _pour(self, channel: RTCDataChannel, count: int, size: int) -> None:
        low = asyncio.Event()
        channel.bufferedAmountLowThreshold = LOW
        channel.on("bufferedamountlow", low.set)
        for number in range(count):
            while channel.bufferedAmount > HIGH:
                low.clear()
                await low.wait()
            channel.send(content(number, size))


if __name__ == "__main__":
    asyncio.run(drive(Far()))
