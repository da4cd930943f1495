"""Packets of video that are put together, shared by the targets of the codecs."""

from collections.abc import Iterable, Sequence

from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from icefloe.encoding import is_key_frame
from icefloe.encoding.packing import Packer
from icefloe.peer.rtp.receive.bitstream_size import FrameSizeLimit, announced_size
from icefloe.peer.rtp.receive.depacketizer import Depacketizer
from icefloe.peer.rtp.receive.encoded_stream import EncodedStream
from icefloe.peer.rtp.receive.loss_repair import RepairAction
from tests.fuzz.target import join, split

LARGEST = 1500
"""Bytes of a packet at most: those of the buffer of SRTP."""

_LEAST = 3


class Depayload:
    """Takes packets of one codec: one way for a decoder, and one to be passed on.

    A packet is a byte with the marker and by how much its number is ahead, two of its timestamp,
    and its payload.

    Args:
        codec: ``VP8`` or ``H264``.
    """

    def __init__(self, codec: str) -> None:
        self._name = codec
        self._codec = RTCRtpCodecParameters(
            mimeType=f"video/{codec}", clockRate=90000, payloadType=96
        )

    def __call__(self, data: bytes) -> object:
        self._sizes = FrameSizeLimit()
        self._packer = Packer(self._name, 0)
        self._now = 1000.0
        intake = Depacketizer("video", self._deliver)
        origin = self._origin = EncodedStream(lambda: None)
        origin.interrupt()
        number = 65530
        for part in split(data):
            if len(part) < _LEAST:
                continue
            number = number + (part[0] & 0x7F) & 0xFFFF
            packet = RtpPacket(
                payload_type=96,
                marker=part[0] >> 7,
                sequence_number=number,
                timestamp=int.from_bytes(part[1:3], "big"),
                ssrc=1,
                payload=part[_LEAST:LARGEST],
            )
            self._now += 0.1
            if not intake.accepts(self._now, packet.ssrc):
                continue
            intake.missing.add(packet)
            intake.put_video(self._now, packet, self._codec, is_retransmission=False)
            assembler, next_action = intake.assembler, intake.repair.next_action
            action = next_action(self._now, assembler.gap, has_gap=assembler.has_gap)
            if action is RepairAction.SKIP:
                assembler.skip()
                intake.missing.give_up()
        return intake.discarded

    def _deliver(
        self, codec: RTCRtpCodecParameters, data: bytes, pts: int, *, ssrc: int, timestamp: int
    ) -> None:
        self._origin.take(codec, data, timestamp)
        if (size := announced_size(self._name, data)) is not None:
            self._sizes.refusal(self._now, size)
        is_key_frame(self._name, data)
        for payload in self._packer.pack(data):
            assert len(payload) <= LARGEST


def payloads(
    packer: Packer, pictures: Iterable[bytes], *, order: Sequence[int] | None = None
) -> bytes:
    """Return an input: pictures in packets, in order or in another one."""
    packets = []
    for stamp, picture in enumerate(pictures):
        packed = packer.pack(picture)
        for at, payload in enumerate(packed):
            last = 0x80 if at == len(packed) - 1 else 0
            packets.append((last, stamp.to_bytes(2, "big") + payload))
    told, before = [], -1
    for at in order if order is not None else range(len(packets)):
        last, rest = packets[at]
        told.append(bytes([last | at - before & 0x7F]) + rest)
        before = at
    return join(told)
