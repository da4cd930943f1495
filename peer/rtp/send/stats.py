"""``outbound-rtp`` statistics, with the names of W3C webrtc-stats."""

import time
from dataclasses import dataclass

import aiortc.stats

from .pipeline import SendPipeline


@dataclass
class RTCOutboundRtpStreamStats(aiortc.stats.RTCOutboundRtpStreamStats):
    """aiortc's class, with more members of ``RTCOutboundRtpStreamStats`` (W3C webrtc-stats 8.4)."""

    mid: str | None = None
    active: bool = True
    framesSent: int | None = None
    framesEncoded: int | None = None
    """Frames encoded for this peer alone; frames of encoded tracks are not counted."""
    keyFramesEncoded: int | None = None
    """Key frames sent, including those of encoded tracks."""
    frameWidth: int | None = None
    frameHeight: int | None = None
    targetBitrate: int | None = None
    """Bits per second; absent while only the frame size limits the bit rate."""
    qualityLimitationReason: str | None = None
    """``"none"`` or ``"bandwidth"``: why frames are smaller or fewer than those of the track."""
    qualityLimitationDurations: dict[str, float] | None = None
    """Seconds by reason."""
    qualityLimitationResolutionChanges: int | None = None
    """Number of changes of the frame size for such a reason."""
    encoderImplementation: str | None = None
    """FFmpeg's encoder name, such as ``libx264`` or ``h264_nvenc``; absent for encoded tracks."""
    powerEfficientEncoder: bool | None = None
    retransmittedPacketsSent: int = 0
    retransmittedBytesSent: int = 0
    retransmissions_refused: int = 0
    """Requested packets that were not retransmitted because the request, or all requests together,
    exceeded a limit. Not part of the W3C's statistics."""
    totalPacketSendDelay: float | None = None
    """Total seconds that packets waited in the pacer."""
    padding_packets_sent: int = 0
    """Packets sent once more as padding of a bandwidth probe. Not part of the W3C's statistics."""
    padding_bytes_sent: int = 0
    """Payload bytes of these. Not part of the W3C's statistics."""
    frames_skipped: int | None = None
    """Frames that were not encoded because those before them waited in the pacer. Not part of the
    W3C's statistics."""
    frames_refused: int = 0
    """Frames and packets of the track that could not be sent, see the event ``senderror``. Not part
    of the W3C's statistics."""
    nackCount: int | None = None
    pliCount: int | None = None
    firCount: int | None = None


def outbound(
    stats: aiortc.stats.RTCOutboundRtpStreamStats, pipeline: SendPipeline
) -> RTCOutboundRtpStreamStats:
    """Return aiortc's statistics extended by those of the send pipeline."""
    names = aiortc.stats.RTCOutboundRtpStreamStats.__dataclass_fields__
    more = RTCOutboundRtpStreamStats(**{name: getattr(stats, name) for name in names})
    stream = pipeline.stream
    more.mid = stream.mid or None
    more.active = pipeline.encoding.active
    more.targetBitrate = pipeline.packets.target_bitrate()
    more.retransmittedPacketsSent = stream.retransmitted_packets
    more.retransmittedBytesSent = stream.retransmitted_octets
    more.retransmissions_refused = stream.refused_retransmissions
    more.encoderImplementation = pipeline.implementation or None
    more.frames_refused = pipeline.refused.count
    if stats.kind == "video":
        more.framesSent = pipeline.frames
        more.framesEncoded = pipeline.frames_encoded
        more.keyFramesEncoded = pipeline.key_frames
        width, height = pipeline.packets.frame_size
        more.frameWidth, more.frameHeight = width or None, height or None
        more.totalPacketSendDelay = pipeline.packets.send_delay
        more.padding_packets_sent = stream.padding_packets
        more.padding_bytes_sent = stream.padding_octets
        selection = pipeline.selection
        more.frames_skipped = selection.skipped
        more.qualityLimitationReason = selection.limitation.reason
        more.qualityLimitationDurations = dict(selection.limitation.durations(time.monotonic()))
        more.qualityLimitationResolutionChanges = selection.limitation.resolution_changes
        more.nackCount = pipeline.nacks
        more.pliCount, more.firCount = pipeline.requests["pli"], pipeline.requests["fir"]
        if pipeline.implementation:
            more.powerEfficientEncoder = pipeline.implementation not in ("libx264", "libvpx")
    return more
