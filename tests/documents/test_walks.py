"""The walks of docs/architecture.md are as long as it says, and go where it says."""

import inspect
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from icefloe.media import ToneTrack
from icefloe.peer import DataChannel, PeerConnection, RemoteTrack
from icefloe.peer.ice.candidate_socket import ReceiveQueue
from icefloe.peer.ice.udp import UdpTransport
from icefloe.peer.rtp.receive.audio_playout import AudioPlayout
from icefloe.peer.rtp.receive.jitter_buffer import JitterBuffer
from icefloe.peer.rtp.receive.opus_decoder import LibopusDecoder
from icefloe.peer.rtp.receive.packet_validation import SrtpReceiver
from icefloe.peer.rtp.receive.remote_track import FrameQueue
from icefloe.peer.sctp.loss_recovery import Recovery
from icefloe.peer.sctp.outbound import SendQueue
from icefloe.peer.sctp.packet import Header
from tests.documents.blocks import ROOT
from tests.documents.test_site import WALKS, files_of
from tests.helpers.pairs import closing, connected, negotiate

TITLES = {
    "a remote candidate": "### A remote candidate",
    "an audio packet": "### An audio packet",
    "a message, with its text encoded once": "### A message",
    "a file": "### A file",
}
"""Headings of the walks that the table names."""

SOMETIMES = {"peer/rtp/receive/time_stretch.py"}
"""Files of a walk that not every packet goes through."""


def walked(name: str) -> set[str]:
    """Return the files of a walk: each step begins with one. That of a file names all of them."""
    text = WALKS.partition(TITLES[name])[2].partition("\n### ")[0]
    steps = re.findall(r"^\d+\. ((?:.+\n(?:    ?.+\n)*))", text, re.MULTILINE)
    if name == "a file":
        found: Iterable[Path] = (path for step in steps for path in files_of(step))
    else:
        found = (path for step in steps for path in files_of(step)[:1] if step[0] == "`")
    return {str(path.relative_to(ROOT)) for path in found}


@pytest.mark.parametrize("name", TITLES)
def test_a_walk_is_as_long_as_the_table_says(name: str) -> None:
    (told,) = re.findall(rf"^\| {name} \| \d+ \| (\d+) \|", WALKS, re.MULTILINE)
    assert len(walked(name)) == int(told)


class Stacks:
    """The files of `peer` that call some methods, and those of the methods themselves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.files: set[str] = set()
        self._patch = monkeypatch

    def watch(self, owner: type, name: str) -> None:
        """Note the files on the stack whenever a method is called."""
        method: Callable[..., Any] = getattr(owner, name)
        own = inspect.getsourcefile(method)

        def noting(*args: Any, **kwargs: Any) -> Any:
            self._note(str(own))
            frame = sys._getframe(1)
            while frame is not None:
                self._note(frame.f_code.co_filename)
                frame = frame.f_back  # type: ignore[assignment]
            return method(*args, **kwargs)

        self._patch.setattr(owner, name, noting)

    def _note(self, name: str) -> None:
        path = Path(name).resolve()
        if path.is_relative_to(ROOT / "peer"):
            self.files.add(str(path.relative_to(ROOT)))


async def test_a_message_goes_through_these_files(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        b.on("datachannel", lambda channel: channel.on("message", channel.send))
        channel = DataChannel(a.createDataChannel("x"))
        await negotiate(a, b)
        await channel.opened()
        await channel.send("first")  # until the answer, the two open the channel
        assert await channel.receive() == "first"
        stacks = Stacks(monkeypatch)
        stacks.watch(SendQueue, "put")
        stacks.watch(SendQueue, "take")
        stacks.watch(Recovery, "sent")
        stacks.watch(Header, "seal")
        stacks.watch(UdpTransport, "send_all")
        await channel.send("hello")
        await channel.drain()
        assert stacks.files == walked("a message, with its text encoded once")


async def test_an_audio_packet_goes_through_these_files(monkeypatch: pytest.MonkeyPatch) -> None:
    stacks = Stacks(monkeypatch)
    stacks.watch(ReceiveQueue, "put")
    stacks.watch(SrtpReceiver, "unprotect")
    stacks.watch(AudioPlayout, "put")
    stacks.watch(JitterBuffer, "next")
    stacks.watch(LibopusDecoder, "decode")
    stacks.watch(FrameQueue, "put")
    stacks.watch(RemoteTrack, "recv")
    a, b = PeerConnection(), PeerConnection()
    async with closing(a, b):
        a.addTrack(ToneTrack())
        await negotiate(a, b)
        await connected(a, b)
        track = b.getReceivers()[0].track
        assert isinstance(track, RemoteTrack)
        await track.recv()
        stacks.files.clear()  # gathering and the handshake go other ways
        for _ in range(50):
            await track.recv()
        assert stacks.files - SOMETIMES == walked("an audio packet") - SOMETIMES
